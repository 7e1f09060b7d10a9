//! `[api]`: the HTTP server.

use std::net::{IpAddr, SocketAddr};

use clap::Args;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::http::server::parse_address;
use crate::{Error, Result};

/// Sessions to each database at most, where nothing else is said.
const SESSIONS: usize = 8;

/// Connections at once, where nothing else is said: a process has 1,024 file descriptors by default, and deliveries need some.
const CONNECTIONS: usize = 512;

/// Requests a second with one token, where nothing else is said.
const REQUESTS_PER_SECOND: u32 = 50;

/// The table as it was said.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawApi {
    /// Where to serve the API: ADDRESS:PORT, or a port of loopback [default: nowhere]
    #[arg(long = "api-listen", env = "ODOO_EVENTD_API_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// The URL under which clients reach it, where a proxy is in between
    #[arg(long = "api-public-url", env = "ODOO_EVENTD_API_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<String>,
    /// The path below which a proxy has it: /eventd
    #[arg(long = "api-base-path", env = "ODOO_EVENTD_API_BASE_PATH", value_name = "PATH")]
    pub base_path: Option<String>,
    /// Names under which it may be called, beside localhost, addresses and that of the public URL
    #[arg(
        long = "api-allowed-hosts",
        env = "ODOO_EVENTD_API_ALLOWED_HOSTS",
        value_delimiter = ',',
        value_name = "HOST"
    )]
    pub allowed_hosts: Vec<String>,
    /// Networks of proxies whose X-Forwarded-For is believed, as CIDR
    #[arg(
        long = "api-trusted-proxies",
        env = "ODOO_EVENTD_API_TRUSTED_PROXIES",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    pub trusted_proxies: Vec<String>,
    /// Whether assistants may come by MCP, at /mcp [default: true]
    #[arg(long = "api-mcp", env = "ODOO_EVENTD_API_MCP", value_name = "true|false")]
    pub mcp: Option<bool>,
    /// Its sessions to each database at most [default: 8]
    #[arg(long = "api-max-sessions", env = "ODOO_EVENTD_API_MAX_SESSIONS", value_name = "N")]
    pub max_sessions: Option<usize>,
    /// Connections to it at most [default: 512]
    #[arg(
        long = "api-max-connections",
        env = "ODOO_EVENTD_API_MAX_CONNECTIONS",
        value_name = "N"
    )]
    pub max_connections: Option<usize>,
    /// Requests a second with one token [default: 50]
    #[arg(
        long = "api-requests-per-second",
        env = "ODOO_EVENTD_API_REQUESTS_PER_SECOND",
        value_name = "N"
    )]
    pub requests_per_second: Option<u32>,
    /// Whether it has the web page [default: true]
    #[arg(long = "api-ui", env = "ODOO_EVENTD_API_UI", value_name = "true|false")]
    pub ui: Option<bool>,
}

/// The table, validated.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct ApiSettings {
    /// Where it listens; none = nowhere.
    pub listen: Option<SocketAddr>,
    /// Under which URL clients reach it, without a slash at its end.
    pub public_url: Option<String>,
    /// The path that requests come with before its own; empty, or with a slash at its beginning and none at its end.
    pub base_path: String,
    /// Names under which it may be called, in lower case.
    pub allowed_hosts: Vec<String>,
    /// Networks of proxies that are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether assistants may come by MCP.
    pub mcp: bool,
    /// Sessions to each database at most.
    pub max_sessions: usize,
    /// Connections at most.
    pub max_connections: usize,
    /// Requests a second with one token.
    pub requests_per_second: u32,
    /// Whether it has the web page.
    pub ui: bool,
}

impl ApiSettings {
    /// Puts together what was said.
    ///
    /// # Errors
    /// [`Error::is_usage`] naming the setting that cannot be.
    pub fn resolve(said: RawApi, file: RawApi) -> Result<Self> {
        let either = |said: Vec<String>, file: Vec<String>| if said.is_empty() { file } else { said };
        let public_url = said
            .public_url
            .or(file.public_url)
            .map(|url| public_url(&url))
            .transpose()?;
        let mut allowed_hosts: Vec<String> = either(said.allowed_hosts, file.allowed_hosts)
            .into_iter()
            .map(|host| host.trim().to_ascii_lowercase())
            .collect();
        allowed_hosts.extend(public_url.as_ref().and_then(Url::host_str).map(str::to_owned));
        let public_url = public_url.map(|url| url.as_str().trim_end_matches('/').to_owned());
        let trusted_proxies = either(said.trusted_proxies, file.trusted_proxies);
        let settings = Self {
            listen: said
                .listen
                .or(file.listen)
                .filter(|address| !address.trim().is_empty())
                .map(|address| parse_address("api.listen", &address))
                .transpose()?,
            public_url,
            base_path: base_path(said.base_path.or(file.base_path).as_deref().unwrap_or_default())?,
            allowed_hosts,
            trusted_proxies: trusted_proxies
                .iter()
                .map(|text| network(text))
                .collect::<Result<_>>()?,
            mcp: said.mcp.or(file.mcp).unwrap_or(true),
            max_sessions: said.max_sessions.or(file.max_sessions).unwrap_or(SESSIONS),
            max_connections: said.max_connections.or(file.max_connections).unwrap_or(CONNECTIONS),
            requests_per_second: said
                .requests_per_second
                .or(file.requests_per_second)
                .unwrap_or(REQUESTS_PER_SECOND),
            ui: said.ui.or(file.ui).unwrap_or(true),
        };
        for (name, value) in [
            ("max_sessions", settings.max_sessions),
            ("max_connections", settings.max_connections),
            ("requests_per_second", settings.requests_per_second as usize),
        ] {
            if value == 0 {
                return Err(Error::usage(format!("api.{name} must be more than 0")));
            }
        }
        Ok(settings)
    }
}

fn public_url(text: &str) -> Result<Url> {
    let wrong = || {
        Error::usage(format!(
            "api.public_url is \"{text}\", which is no URL that clients could call"
        ))
        .with_hint("for example https://odoo.example.com/eventd")
    };
    let url = Url::parse(text.trim().trim_end_matches('/')).map_err(|e| wrong().with_source(e))?;
    let is_plain =
        url.query().is_none() && url.fragment().is_none() && url.username().is_empty() && url.password().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !is_plain {
        return Err(wrong());
    }
    Ok(url)
}

fn base_path(text: &str) -> Result<String> {
    let path = text.trim().trim_matches('/');
    if path
        .chars()
        .any(|c| !(c.is_ascii_alphanumeric() || "-_.~/".contains(c)))
        || path.split('/').any(|part| part == "..")
    {
        return Err(
            Error::usage(format!("api.base_path is \"{text}\", which is no path")).with_hint("for example /eventd")
        );
    }
    Ok(if path.is_empty() {
        String::new()
    } else {
        format!("/{path}")
    })
}

fn network(text: &str) -> Result<IpNet> {
    let text = text.trim();
    let network = text
        .parse::<IpNet>()
        .or_else(|e| text.parse::<IpAddr>().map(IpNet::from).map_err(|_| e));
    network.map_err(|e| {
        Error::usage(format!("api.trusted_proxies: \"{text}\" is no network"))
            .with_source(e)
            .with_hint("for example 10.0.0.0/8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ApiSettings> {
        ApiSettings::resolve(RawApi::default(), toml::from_str(text).unwrap())
    }

    #[test]
    fn it_is_off_unless_it_has_an_address() {
        assert_eq!(read("").unwrap().listen, None);
        assert_eq!(read("listen = ''").unwrap().listen, None);
        let on =
            read("listen = '8075'\nbase_path = 'eventd/'\npublic_url = 'https://Odoo.Example.com/eventd/'").unwrap();
        assert_eq!(on.listen.unwrap().to_string(), "127.0.0.1:8075");
        assert_eq!(on.base_path, "/eventd");
        assert_eq!(on.public_url.unwrap(), "https://odoo.example.com/eventd");
        assert_eq!(on.allowed_hosts, ["odoo.example.com"]);
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_name() {
        for (text, said) in [
            ("listen = 'here'", "api.listen"),
            ("public_url = 'odoo.example.com'", "api.public_url"),
            ("public_url = 'https://a@odoo.example.com'", "api.public_url"),
            ("base_path = '/a/../b'", "api.base_path"),
            ("base_path = '/a?b'", "api.base_path"),
            ("trusted_proxies = ['somewhere']", "api.trusted_proxies"),
            ("max_sessions = 0", "api.max_sessions"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.is_usage() && error.chain().contains(said), "{}", error.chain());
        }
        assert_eq!(
            read("trusted_proxies = ['10.1.2.3']").unwrap().trusted_proxies[0].to_string(),
            "10.1.2.3/32"
        );
    }
}
