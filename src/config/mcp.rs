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
    /// Web pages whose scripts may come by MCP, beside those of this machine and of the public URL
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
    /// Another server whose tokens are taken beside our own, as it calls itself: `iss` of its tokens
    #[arg(long = "mcp-oauth-issuer", env = "ODOO_EVENTD_MCP_OAUTH_ISSUER", value_name = "URL")]
    pub oauth_issuer: Option<String>,
    /// Where that server publishes its keys: `jwks_uri` of its metadata
    #[arg(
        long = "mcp-oauth-jwks-url",
        env = "ODOO_EVENTD_MCP_OAUTH_JWKS_URL",
        value_name = "URL"
    )]
    pub oauth_jwks_url: Option<String>,
    /// For whom its tokens have to be meant [default: the public URL with /mcp]
    #[arg(
        long = "mcp-oauth-audience",
        env = "ODOO_EVENTD_MCP_OAUTH_AUDIENCE",
        value_delimiter = ',',
        value_name = "AUDIENCE"
    )]
    pub oauth_audience: Vec<String>,
    /// What of its tokens is the login or the id of an Odoo user [default: sub]
    #[arg(
        long = "mcp-oauth-user-claim",
        env = "ODOO_EVENTD_MCP_OAUTH_USER_CLAIM",
        value_name = "CLAIM"
    )]
    pub oauth_user_claim: Option<String>,
}

/// Another server whose tokens are taken.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct OauthSettings {
    /// As it calls itself.
    pub issuer: String,
    /// Where it publishes its keys.
    pub jwks_url: Url,
    /// For whom its tokens have to be meant: one of these.
    pub audience: Vec<String>,
    /// What of its tokens names the Odoo user.
    pub user_claim: String,
}

/// The table, validated.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct McpSettings {
    /// Web pages whose scripts may come: scheme, host and port.
    pub allowed_origins: Vec<String>,
    /// A session without a request and without a stream ends after so many seconds.
    pub session_idle_s: u64,
    /// Another server whose tokens are taken.
    pub oauth: Option<OauthSettings>,
}

impl McpSettings {
    /// Puts together what was said.
    ///
    /// # Errors
    /// [`Error::is_usage`] naming the setting that cannot be.
    pub fn resolve(said: RawMcp, file: RawMcp, public_url: Option<&str>) -> Result<Self> {
        let either = |said: Vec<String>, file: Vec<String>| if said.is_empty() { file } else { said };
        let allowed_origins = either(said.allowed_origins, file.allowed_origins);
        let session_idle_s = said.session_idle_s.or(file.session_idle_s).unwrap_or(SESSION_IDLE_S);
        if session_idle_s == 0 {
            return Err(Error::usage("mcp.session_idle_s must be more than 0"));
        }
        Ok(Self {
            allowed_origins: allowed_origins.iter().map(|text| origin(text)).collect::<Result<_>>()?,
            session_idle_s,
            oauth: oauth(Oauth {
                issuer: said.oauth_issuer.or(file.oauth_issuer),
                jwks_url: said.oauth_jwks_url.or(file.oauth_jwks_url),
                audience: either(said.oauth_audience, file.oauth_audience),
                user_claim: said.oauth_user_claim.or(file.oauth_user_claim),
                public_url,
            })?,
        })
    }
}

/// What was said of that server.
struct Oauth<'a> {
    issuer: Option<String>,
    jwks_url: Option<String>,
    audience: Vec<String>,
    user_claim: Option<String>,
    public_url: Option<&'a str>,
}

fn oauth(said: Oauth<'_>) -> Result<Option<OauthSettings>> {
    let Some(issuer) = said.issuer.filter(|issuer| !issuer.trim().is_empty()) else {
        return match said.jwks_url.is_some() || !said.audience.is_empty() || said.user_claim.is_some() {
            true => Err(Error::usage("mcp.oauth_issuer is missing")
                .with_hint("name the server whose tokens are taken, or leave out mcp.oauth_..")),
            false => Ok(None),
        };
    };
    let issuer = issuer.trim().to_owned();
    called("mcp.oauth_issuer", &issuer)?;
    let jwks_url = said.jwks_url.ok_or_else(|| {
        Error::usage("mcp.oauth_jwks_url is missing").with_hint("it is jwks_uri of that server's metadata")
    })?;
    let mut audience = said.audience;
    if audience.is_empty() {
        audience.extend(said.public_url.map(|url| format!("{url}/mcp")));
    }
    if audience.is_empty() {
        return Err(Error::usage("mcp.oauth_audience is missing")
            .with_hint("say for whom tokens have to be meant, or set api.public_url"));
    }
    Ok(Some(OauthSettings {
        jwks_url: called("mcp.oauth_jwks_url", &jwks_url)?,
        issuer,
        audience,
        user_claim: said.user_claim.unwrap_or_else(|| "sub".to_owned()),
    }))
}

/// A URL of a server: in plain text on this machine alone, as nobody must be able to change what comes from there.
fn called(setting: &str, text: &str) -> Result<Url> {
    let wrong = |why: &str| {
        Error::usage(format!("{setting} is \"{text}\": {why}")).with_hint("for example https://login.example.com")
    };
    let url = Url::parse(text.trim()).map_err(|e| wrong("this is no URL").with_source(e))?;
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        _ => Err(wrong("it has to be https")),
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
        McpSettings::resolve(RawMcp::default(), toml::from_str(text).unwrap(), None)
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
            ("oauth_jwks_url = 'https://a.b/jwks'", "mcp.oauth_issuer"),
            ("oauth_issuer = 'https://a.b'", "mcp.oauth_jwks_url"),
            ("oauth_issuer = 'http://a.b'", "it has to be https"),
            (
                "oauth_issuer = 'https://a.b'\noauth_jwks_url = 'https://a.b/jwks'",
                "mcp.oauth_audience",
            ),
            (
                "oauth_issuer = 'https://a.b'\noauth_jwks_url = 'http://a.b/jwks'\noauth_audience = ['x']",
                "it has to be https",
            ),
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.is_usage() && error.chain().contains(said), "{}", error.chain());
        }
    }
}
