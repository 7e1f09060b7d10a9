//! Which headers a subscription may add to its requests.

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::{Error, Result};

/// The longest value accepted, in bytes: below the 8 KiB for all headers together that common servers take.
const MAX_VALUE_BYTES: usize = 4_096;

/// Headers that belong to the connection or to the message's framing; the HTTP client sets them, or they must not be sent.
///
/// Another `host` would reach a virtual host that was never checked, another `content-length` or `transfer-encoding` would smuggle a second
/// request. Source: RFC 9110, section 7.6.1.
const CONNECTION: [&str; 12] = [
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Prefixes of the headers by which receivers recognise and verify our messages.
const OURS: [&str; 2] = ["x-mcp-", "webhook-"];

/// Checks one header that a subscription wants to add.
///
/// The value is marked sensitive: it is often a key, so neither `Debug` nor HTTP/2's header compression table keeps it.
///
/// # Errors
/// [`Error::is_usage`] with the header's name, never its value: the name or the value is not valid HTTP (a line break would start
/// another header), it belongs to the connection, or it is one of our own.
pub fn parse_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let parsed =
        HeaderName::try_from(name.trim()).map_err(|_| Error::usage(format!("{name:?} is not a header's name")))?;
    if CONNECTION.contains(&parsed.as_str()) {
        return Err(Error::usage(format!(
            "the header {parsed} belongs to the connection and cannot be set"
        )));
    }
    if OURS.iter().any(|prefix| parsed.as_str().starts_with(prefix)) {
        return Err(Error::usage(format!(
            "the header {parsed} is set by odoo-eventd itself"
        )));
    }
    if value.len() > MAX_VALUE_BYTES {
        return Err(Error::usage(format!(
            "the header {parsed} is longer than {MAX_VALUE_BYTES} bytes"
        )));
    }
    let mut value = HeaderValue::try_from(value.trim()).map_err(|_| {
        Error::usage(format!(
            "the value of header {parsed} contains a line break or a control character"
        ))
    })?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

/// Checks a subscription's headers together; a later one of the same name replaces the earlier.
///
/// # Errors
/// As [`parse_header`].
pub fn parse_headers<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<HeaderMap> {
    headers
        .into_iter()
        .map(|(name, value)| parse_header(name, value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_headers_pass_and_hide_their_value() {
        let headers = parse_headers([("Authorization", "Bearer s3cret"), ("X-Tenant", "Größe")]).unwrap();
        assert_eq!(headers["authorization"], "Bearer s3cret");
        assert!(!format!("{headers:?}").contains("s3cret"));
    }

    #[test]
    fn headers_that_break_the_message_are_refused_without_their_value() {
        for (name, value) in [
            ("Host", "s3cret"),
            ("Content-Length", "1"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "close"),
            ("X-MCP-Signature", "s3cret"),
            ("webhook-id", "s3cret"),
            ("X-A", "s3cret\r\nX-B: c"),
            ("X-A\r\nX-B", "s3cret"),
            ("", "s3cret"),
            ("X A", "s3cret"),
        ] {
            let error = parse_header(name, value).unwrap_err();
            assert!(error.is_usage() && !error.chain().contains("s3cret"), "{error:?}");
        }
        assert!(parse_header("X-A", &"a".repeat(5_000)).is_err());
    }
}
