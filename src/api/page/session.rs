//! The cookie that a session's key travels in.
//!
//! With TLS it is a `__Host-` cookie, which no other host can set. Over plain HTTP it is for this machine alone, where browsers take no
//! such cookie. Each database has a cookie of its own, for all of them may lie at one host.

use axum::http::header::{COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Uri};
use sha2::{Digest, Sha256};

use crate::api::layers::host_of;
use crate::ops::page_sessions::{LASTS, SessionKey};

/// How a browser reaches us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// With TLS, by a proxy.
    Tls,
    /// Plainly, on this machine.
    Loopback,
    /// Plainly, over a network: a cookie would be read by whoever listens.
    Plain,
}

impl Way {
    /// What a browser says of itself when it sends a form; by the name it called us where it says nothing.
    pub fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let origin = text(ORIGIN)
            .filter(|origin| *origin != "null")
            .and_then(|origin| origin.parse::<Uri>().ok());
        match origin {
            Some(origin) if origin.scheme_str() == Some("https") => Self::Tls,
            Some(origin) => Self::by_name(origin.host().unwrap_or_default()),
            None => Self::by_name(&host_of(text(HOST).unwrap_or_default())),
        }
    }

    fn by_name(host: &str) -> Self {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_loopback = bare.eq_ignore_ascii_case("localhost")
            || bare
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        if is_loopback { Self::Loopback } else { Self::Plain }
    }
}

fn name_at(mount: &str) -> String {
    format!("odoo-eventd-{}", hex::encode(&Sha256::digest(mount)[..4]))
}

/// The key that a browser showed.
pub fn shown(headers: &HeaderMap, mount: &str) -> Option<SessionKey> {
    let plain = name_at(mount);
    let strict = format!("__Host-{plain}");
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let cookies: Vec<(&str, &str)> = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .collect();
    let named = |name: &str| {
        cookies
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    };
    // What another host cannot have set goes first.
    named(&strict).or_else(|| named(&plain)).map(SessionKey::told)
}

/// What makes a browser show this key from now on.
pub fn kept(key: &SessionKey, mount: &str, way: Way) -> HeaderValue {
    cookie(key.expose(), mount, way, LASTS.as_secs())
}

/// What makes a browser forget it.
pub fn forgotten(mount: &str) -> [HeaderValue; 2] {
    [Way::Tls, Way::Loopback].map(|way| cookie("", mount, way, 0))
}

fn cookie(value: &str, mount: &str, way: Way, seconds: u64) -> HeaderValue {
    let name = name_at(mount);
    let text = match way {
        Way::Tls => format!("__Host-{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={seconds}"),
        Way::Loopback | Way::Plain => {
            let path = if mount.is_empty() { "/" } else { mount };
            format!("{name}={value}; Path={path}; HttpOnly; SameSite=Strict; Max-Age={seconds}")
        }
    };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(axum::http::HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn a_cookie_without_tls_is_for_this_machine_alone() {
        let way = |pairs| Way::of(&headers(pairs));
        assert_eq!(
            way(&[(ORIGIN, "https://odoo.example.com"), (HOST, "127.0.0.1:8075")]),
            Way::Tls
        );
        assert_eq!(way(&[(ORIGIN, "http://localhost:8075")]), Way::Loopback);
        assert_eq!(way(&[(HOST, "[::1]:8075")]), Way::Loopback);
        assert_eq!(way(&[(ORIGIN, "http://10.0.0.5:8075")]), Way::Plain);
        assert_eq!(way(&[(HOST, "odoo.example.com")]), Way::Plain);
    }

    #[test]
    fn each_database_has_a_cookie_of_its_own_and_the_strict_one_goes_first() {
        let key = SessionKey::told("k1");
        let one = kept(&key, "/d/a", Way::Tls);
        let pair = one.to_str().unwrap().split(';').next().unwrap().to_owned();
        assert!(pair.starts_with("__Host-odoo-eventd-"));
        let shown_to = |mount, cookies: &str| shown(&headers(&[(COOKIE, cookies)]), mount);
        assert_eq!(shown_to("/d/a", &pair), Some(key.clone()));
        assert_eq!(shown_to("/d/b", &pair), None);
        let weak = kept(&SessionKey::told("k2"), "/d/a", Way::Loopback);
        let weak = weak.to_str().unwrap().split(';').next().unwrap();
        assert_eq!(shown_to("/d/a", &format!("{weak}; {pair}")), Some(key));
    }
}
