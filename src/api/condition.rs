//! Conditional requests (RFC 9110, section 13): what is done only to the version that was seen.

use axum::http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::problem::{Fault, Problem};
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
    ///
    /// # Errors
    /// 400 where it is no list of entity tags.
    pub fn if_match(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        Self::read(headers, &IF_MATCH, false)
    }

    /// `If-None-Match`, if it is there: a weak comparison.
    ///
    /// # Errors
    /// As [`Tags::if_match`].
    pub fn if_none_match(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        Self::read(headers, &IF_NONE_MATCH, true)
    }

    fn read(headers: &HeaderMap, name: &HeaderName, takes_weak: bool) -> Result<Option<Self>, Problem> {
        let mut lines = headers.get_all(name).iter().peekable();
        if lines.peek().is_none() {
            return Ok(None);
        }
        let wrong = || {
            Problem::unreadable(Fault::at(
                format!("header:{name}"),
                format!("{name} is no list of entity tags: \"..\", or *"),
            ))
        };
        let mut tags = Vec::new();
        for line in lines {
            let mut rest = line.to_str().map_err(|_| wrong())?.trim();
            if rest == "*" {
                return Ok(Some(Self::Any));
            }
            while !rest.is_empty() {
                let (is_weak, quoted) = match rest.strip_prefix("W/") {
                    Some(quoted) => (true, quoted),
                    None => (false, rest),
                };
                let (tag, behind) = quoted
                    .strip_prefix('"')
                    .and_then(|tag| tag.split_once('"'))
                    .ok_or_else(wrong)?;
                if takes_weak || !is_weak {
                    tags.push(Version(tag.to_owned()));
                }
                rest = behind.trim_start();
                match rest.strip_prefix(',') {
                    Some(next) => rest = next.trim_start(),
                    None if rest.is_empty() => {}
                    None => return Err(wrong()),
                }
            }
        }
        Ok(Some(Self::These(tags)))
    }

    /// Whether this version is one of them.
    pub fn include(&self, version: &Version) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.contains(version),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Option<Tags>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, HeaderValue::from_str(value).unwrap());
        Tags::if_match(&headers)
    }

    #[test]
    fn a_list_of_tags_is_read_and_anything_else_is_refused() {
        let tags = |of: &[&str]| Some(Tags::These(of.iter().map(|tag| Version((*tag).to_owned())).collect()));
        assert_eq!(read("\"a\"").unwrap(), tags(&["a"]));
        assert_eq!(read("\"a\" , \"b,c\"").unwrap(), tags(&["a", "b,c"]));
        assert_eq!(read("*").unwrap(), Some(Tags::Any));
        assert_eq!(read("W/\"a\"").unwrap(), tags(&[]));
        assert_eq!(Tags::if_match(&HeaderMap::new()).unwrap(), None);
        for wrong in ["a", "\"a", "\"a\" \"b\"", "\"a\";", "W/a"] {
            assert_eq!(read(wrong).unwrap_err().status(), 400, "{wrong}");
        }
    }
}
