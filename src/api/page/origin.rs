//! Whether a form comes from a page of ours. What a browser says of where a request comes from no page can make it say otherwise.

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Uri};

use super::dress::Trouble;
use crate::api::Shared;

/// Refuses what another site's page sends.
///
/// # Errors
/// 403.
pub fn require_our_own(shared: &Shared, headers: &HeaderMap) -> Result<(), Trouble> {
    if is_our_own(&shared.settings.allowed_hosts, headers) {
        return Ok(());
    }
    Err(Trouble::forbidden("this form was sent by a page of another site")
        .with_hint("open the page here, and do it again; behind a proxy its name belongs into api.public_url"))
}

fn is_our_own(allowed_hosts: &[String], headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = text(ORIGIN.as_str()) else {
        // No browser of the last ten years sends another site's form without it; and there is the form's token.
        return true;
    };
    let Some(authority) = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().cloned()) else {
        return false;
    };
    text(HOST.as_str()) == Some(authority.as_str())
        || allowed_hosts
            .iter()
            .any(|host| host.eq_ignore_ascii_case(authority.host()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_may_send_forms() {
        let ours = |pairs: &[(&'static str, &str)]| {
            let headers = pairs.iter().map(|(name, value)| {
                (
                    axum::http::HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            });
            is_our_own(&["odoo.example.com".to_owned()], &headers.collect())
        };
        assert!(ours(&[
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://anything")
        ]));
        for foreign in ["cross-site", "same-site", "none", ""] {
            assert!(!ours(&[("sec-fetch-site", foreign)]), "{foreign}");
        }
        assert!(ours(&[("host", "localhost:8075"), ("origin", "http://localhost:8075")]));
        assert!(ours(&[
            ("host", "127.0.0.1:8075"),
            ("origin", "https://odoo.example.com")
        ]));
        assert!(!ours(&[
            ("host", "localhost:8075"),
            ("origin", "http://localhost:8076")
        ]));
        assert!(!ours(&[("host", "localhost:8075"), ("origin", "null")]));
        assert!(!ours(&[("host", "localhost:8075"), ("origin", "https://evil.example")]));
    }
}
