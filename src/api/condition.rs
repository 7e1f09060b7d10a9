//! Conditional requests (RFC 9110, section 13): what is done only to the version that was seen.

use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::ops::error::Version;

/// A version as an entity tag.
pub fn etag(version: &Version) -> HeaderValue {
    HeaderValue::try_from(format!("\"{version}\"")).expect("a version is hex digits")
}

/// The header that tells it.
pub fn tagged(version: &Version) -> [(HeaderName, HeaderValue); 1] {
    [(ETAG, etag(version))]
}

/// What a header with entity tags says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tags {
    /// `*`: any version that there is.
    Any,
    /// One of these. Weak ones are never equal to a version that is about to be changed.
    These(Vec<Version>),
}

impl Tags {
    /// `If-Match`, if it is there.
    pub fn if_match(headers: &HeaderMap) -> Option<Self> {
        Self::read(headers, &IF_MATCH, false)
    }

    /// `If-None-Match`, if it is there: a weak comparison.
    pub fn if_none_match(headers: &HeaderMap) -> Option<Self> {
        Self::read(headers, &IF_NONE_MATCH, true)
    }

    /// What is no entity tag is one that no version has.
    fn read(headers: &HeaderMap, name: &HeaderName, takes_weak: bool) -> Option<Self> {
        let mut lines = headers.get_all(name).iter().peekable();
        lines.peek()?;
        let mut tags = Vec::new();
        for line in lines {
            let mut rest = line.to_str().unwrap_or_default().trim();
            if rest == "*" {
                return Some(Self::Any);
            }
            while let Some((is_weak, tag, behind)) = first_tag(rest) {
                if takes_weak || !is_weak {
                    tags.push(Version(tag.to_owned()));
                }
                rest = behind.trim_start().trim_start_matches(',').trim_start();
            }
        }
        Some(Self::These(tags))
    }

    /// Whether this version is one of them.
    pub fn include(&self, version: &Version) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.contains(version),
        }
    }
}

/// The entity tag that a list begins with: whether it is weak, it, and what is behind it.
fn first_tag(list: &str) -> Option<(bool, &str, &str)> {
    let (is_weak, quoted) = match list.strip_prefix("W/") {
        Some(quoted) => (true, quoted),
        None => (false, list),
    };
    let (tag, behind) = quoted.strip_prefix('"')?.split_once('"')?;
    Some((is_weak, tag, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<Tags> {
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, HeaderValue::from_str(value).unwrap());
        Tags::if_match(&headers)
    }

    #[test]
    fn a_list_of_tags_is_read_and_anything_else_is_the_tag_of_no_version() {
        let tags = |of: &[&str]| Some(Tags::These(of.iter().map(|tag| Version((*tag).to_owned())).collect()));
        assert_eq!(read("\"a\""), tags(&["a"]));
        assert_eq!(read("\"a\" , \"b,c\""), tags(&["a", "b,c"]));
        assert_eq!(read("*"), Some(Tags::Any));
        assert_eq!(read("W/\"a\""), tags(&[]));
        assert_eq!(Tags::if_match(&HeaderMap::new()), None);
        for wrong in ["", "a", "\"a", "0", "W/a"] {
            assert_eq!(read(wrong), tags(&[]), "{wrong}");
        }
    }
}
