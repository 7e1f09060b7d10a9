//! From which web pages a browser may bring requests: a page of somebody else's must not use what a browser here can reach.

use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::ORIGIN;
use url::{Host, Url};

use crate::config::{ApiSettings, McpSettings};

/// Whether a request comes from no page, from one of this machine, of this server, or of those that the settings name.
pub fn is_allowed(headers: &HeaderMap, api: &ApiSettings, mcp: &McpSettings) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    origins.all(|origin| {
        let Ok(origin) = origin.to_str() else { return false };
        mcp.allowed_origins.iter().any(|allowed| allowed == origin) || is_of_here(origin, &api.allowed_hosts)
    })
}

fn is_of_here(origin: &str, hosts: &[String]) -> bool {
    let Ok(url) = Url::parse(origin) else { return false };
    if !matches!(url.scheme(), "http" | "https") {
        return false;
    }
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || hosts.iter().any(|host| host == name),
        Some(Host::Ipv4(address)) => is_loopback(address.into()),
        Some(Host::Ipv6(address)) => is_loopback(address.into()),
        None => false,
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{RawApi, RawMcp};

    #[test]
    fn pages_of_here_and_those_that_were_named_may_come_and_no_others() {
        let api = RawApi {
            public_url: Some("https://odoo.example.com/eventd".to_owned()),
            ..RawApi::default()
        };
        let api = ApiSettings::resolve(api, RawApi::default()).unwrap();
        let mcp = RawMcp {
            allowed_origins: vec!["https://app.example.com".to_owned()],
            ..RawMcp::default()
        };
        let mcp = McpSettings::resolve(mcp, RawMcp::default(), None).unwrap();
        let may = |origin: &str| {
            let headers = HeaderMap::from_iter([(ORIGIN, origin.parse().unwrap())]);
            is_allowed(&headers, &api, &mcp)
        };
        assert!(is_allowed(&HeaderMap::new(), &api, &mcp));
        for fine in [
            "http://localhost:6274",
            "http://127.0.0.1",
            "http://[::1]:1",
            "https://odoo.example.com",
            "https://app.example.com",
        ] {
            assert!(may(fine), "{fine}");
        }
        for wrong in [
            "null",
            "",
            "https://example.com",
            "http://localhost.example.com",
            "http://app.example.com",
            "https://app.example.com:8443",
            "file://localhost",
            "http://10.0.0.1",
        ] {
            assert!(!may(wrong), "{wrong}");
        }
    }
}
