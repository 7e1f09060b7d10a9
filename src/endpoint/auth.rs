//! How a subscription proves to its endpoint who it is: one header made from its `auth`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};

use super::headers::parse_header;
use crate::signature::without_surroundings;
use crate::{Error, Result};

/// Reads a subscription's `auth` into the header that is sent.
///
/// | text | header |
/// | --- | --- |
/// | `bearer TOKEN` | `Authorization: Bearer TOKEN` |
/// | `basic USER:PASSWORD` | `Authorization: Basic <base64 of it>` |
/// | `X-Api-Key: KEY` (any name) | that header |
///
/// The value is marked sensitive, so no `Debug` shows it.
///
/// # Errors
/// [`Error::is_usage`] without the text, which is a secret, when it has none of these forms.
pub fn parse_auth(text: &str) -> Result<(HeaderName, HeaderValue)> {
    let text = without_surroundings(text).trim();
    let (scheme, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    let value = if scheme.eq_ignore_ascii_case("bearer") && !rest.is_empty() {
        format!("Bearer {rest}")
    } else if scheme.eq_ignore_ascii_case("basic") && rest.contains(':') {
        // UTF-8, as RFC 7617 recommends; without a colon there would be no password.
        format!("Basic {}", STANDARD.encode(rest))
    } else if let Some((name, key)) = text
        .split_once(':')
        .filter(|(name, _)| !name.contains(char::is_whitespace))
    {
        return parse_header(name, key);
    } else {
        return Err(Error::usage("the auth has none of the known forms")
            .with_hint("write bearer TOKEN, basic USER:PASSWORD, or a header such as X-Api-Key: KEY"));
    };
    let mut value = HeaderValue::try_from(value)
        .map_err(|_| Error::usage("the auth contains a line break or a control character"))?;
    value.set_sensitive(true);
    Ok((AUTHORIZATION, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_forms_become_headers() {
        for (text, name, value) in [
            ("Bearer abc.def", "authorization", "Bearer abc.def"),
            (" bearer  abc ", "authorization", "Bearer abc"),
            // The example of RFC 7617.
            (
                "basic Aladdin:open sesame",
                "authorization",
                "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            ),
            ("X-Api-Key: a:b c", "x-api-key", "a:b c"),
            ("\u{feff}X-Api-Key: a\r\n", "x-api-key", "a"),
            ("Authorization: Digest x", "authorization", "Digest x"),
        ] {
            let (found, sent) = parse_auth(text).unwrap();
            assert_eq!((found.as_str(), sent.to_str().unwrap()), (name, value), "{text}");
            assert!(sent.is_sensitive());
        }
    }

    #[test]
    fn anything_else_is_refused_without_being_repeated() {
        for text in [
            "",
            "s3cret",
            "bearer",
            "basic s3cret",
            "Host: s3cret",
            "bearer s3cret\nX: y",
            "X Y: s3cret",
        ] {
            let error = parse_auth(text).unwrap_err();
            assert!(
                error.is_usage() && !error.chain().contains("s3cret"),
                "{text}: {error:?}"
            );
        }
    }
}
