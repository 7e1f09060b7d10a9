//! `[mcp]`: the door for assistants.

use clap::Args;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{Error, Result};

/// A session that nobody uses ends after so long, where nothing else is said.
const SESSION_IDLE_S: u64 = 600;

/// The table as it was said.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawMcp {
    /// Web pages whose scripts may come by MCP, beside those of this machine and of the public URL: https://app.example.com
    #[arg(
        long = "mcp-allowed-origins",
        env = "ODOO_EVENTD_MCP_ALLOWED_ORIGINS",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub allowed_origins: Vec<String>,
    /// A session without a request and without a stream ends after so long [default: 600]
    #[arg(
        long = "mcp-session-idle-s",
        env = "ODOO_EVENTD_MCP_SESSION_IDLE_S",
        value_name = "S"
    )]
    pub session_idle_s: Option<u64>,
}

/// The table, validated.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct McpSettings {
    /// Web pages whose scripts may come: scheme, host and port.
    pub allowed_origins: Vec<String>,
    /// A session without a request and without a stream ends after so many seconds.
    pub session_idle_s: u64,
}

impl McpSettings {
    /// Puts together what was said.
    ///
    /// # Errors
    /// [`Error::is_usage`] naming the setting that cannot be.
    pub fn resolve(said: RawMcp, file: RawMcp) -> Result<Self> {
        let either = |said: Vec<String>, file: Vec<String>| if said.is_empty() { file } else { said };
        let allowed_origins = either(said.allowed_origins, file.allowed_origins);
        let session_idle_s = said.session_idle_s.or(file.session_idle_s).unwrap_or(SESSION_IDLE_S);
        if session_idle_s == 0 {
            return Err(Error::usage("mcp.session_idle_s must be more than 0"));
        }
        Ok(Self {
            allowed_origins: allowed_origins.iter().map(|text| origin(text)).collect::<Result<_>>()?,
            session_idle_s,
        })
    }
}

/// As a browser writes it.
fn origin(text: &str) -> Result<String> {
    let wrong = || {
        Error::usage(format!("mcp.allowed_origins: \"{text}\" is no origin of a web page"))
            .with_hint("for example https://app.example.com")
    };
    let url = Url::parse(text.trim()).map_err(|e| wrong().with_source(e))?;
    let origin = url.origin();
    match origin.is_tuple() && matches!(url.path(), "" | "/") && url.query().is_none() {
        true => Ok(origin.ascii_serialization()),
        false => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<McpSettings> {
        McpSettings::resolve(RawMcp::default(), toml::from_str(text).unwrap())
    }

    #[test]
    fn origins_are_kept_as_browsers_write_them_and_anything_else_is_refused() {
        let kept = read("allowed_origins = ['HTTPS://App.Example.com/', 'http://a.b:8080']").unwrap();
        assert_eq!(kept.allowed_origins, ["https://app.example.com", "http://a.b:8080"]);
        for (wrong, said) in [
            ("allowed_origins = ['app.example.com']", "mcp.allowed_origins"),
            ("allowed_origins = ['https://app.example.com/x']", "mcp.allowed_origins"),
            ("allowed_origins = ['data:text/plain,x']", "mcp.allowed_origins"),
            ("session_idle_s = 0", "mcp.session_idle_s"),
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.is_usage() && error.chain().contains(said), "{}", error.chain());
        }
    }
}
