//! What pages are dressed with: one style sheet, one script, one icon. All are in the program, and none is a kilobyte too large for that.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::dress::Trouble;

/// Name, media type, content.
const ASSETS: [(&str, &str, &str); 3] = [
    ("page.css", "text/css; charset=utf-8", include_str!("static/page.css")),
    (
        "page.js",
        "text/javascript; charset=utf-8",
        include_str!("static/page.js"),
    ),
    ("icon.svg", "image/svg+xml", include_str!("static/icon.svg")),
];

/// Differs where any of them does, so that a browser keeps none for too long.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let all = ASSETS
        .iter()
        .fold(Sha256::new(), |all, (_, _, text)| all.chain_update(text));
    hex::encode(&all.finalize()[..6])
});

/// What stands behind their addresses.
pub fn version() -> &'static str {
    &VERSION
}

/// Answers one of them. They are the same for everybody, so nobody has to be known.
pub async fn asset(Path(name): Path<String>) -> Response {
    let Some((_, media_type, text)) = ASSETS.iter().find(|(known, _, _)| *known == name) else {
        return Trouble::not_found("there is no such file").into_response();
    };
    let forever = HeaderValue::from_static("public, max-age=31536000, immutable");
    (
        [
            (CONTENT_TYPE, HeaderValue::from_static(media_type)),
            (CACHE_CONTROL, forever),
        ],
        *text,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_are_small_and_the_script_is_short() {
        let bytes: usize = ASSETS.iter().map(|(_, _, text)| text.len()).sum();
        assert!(bytes < 120_000, "{bytes}");
        let lines = include_str!("static/page.js").lines().count();
        assert!(lines <= 300, "{lines}");
    }
}
