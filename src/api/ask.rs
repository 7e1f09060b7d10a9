//! What a request brings: query and body, read strictly. What is unknown is refused, for whoever misspells it would believe that it holds.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::form_urlencoded;
use utoipa::IntoParams;

use super::problem::{Fault, Problem};
use crate::http::server::{BodyFault, read_body};

/// The largest body: 1 MiB.
pub const BODY_BYTES: usize = 1024 * 1024;

/// How long a body may take to come.
const BODY_WITHIN: Duration = Duration::from_secs(20);

/// The query of a request, in the parameters that are documented for it and no others.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S: Sync, T: DeserializeOwned + IntoParams> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let known = T::into_params(|| None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = decoded(key).ok_or_else(|| not_text("?"))?;
            let value = decoded(value).ok_or_else(|| not_text(&format!("?{key}")))?;
            if value.contains('\0') {
                return Err(has_nul(format!("?{key}")));
            }
            if !known.iter().any(|parameter| parameter.name == key) {
                let names: Vec<&str> = known.iter().map(|parameter| parameter.name.as_str()).collect();
                let told = match names.as_slice() {
                    [] => "there are none here".to_owned(),
                    names => format!("there are {}", names.join(", ")),
                };
                return Err(Problem::unreadable(Fault::at(
                    format!("?{key}"),
                    format!("unknown parameter \"{key}\"; {told}"),
                )));
            }
        }
        let pairs = form_urlencoded::parse(query.as_bytes());
        let read = serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs));
        read.map(Self).map_err(|error| {
            let name = error.path().to_string();
            let message = error.inner().to_string();
            // `duplicate field` and `missing field` come without a path.
            let named = message.split('`').nth(1).filter(|_| name == ".").map(str::to_owned);
            let name = named.unwrap_or(name);
            Problem::unreadable(Fault::at(
                format!("?{name}"),
                format!("{name} cannot be read: {message}"),
            ))
        })
    }
}

fn not_text(pointer: &str) -> Problem {
    Problem::unreadable(Fault::at(pointer, "it is no text in UTF-8"))
}

/// A part of a query as text; none where its escapes or bytes are wrong.
fn decoded(part: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let (high, low) = (char::from(rest.next()?), char::from(rest.next()?));
                u8::try_from(high.to_digit(16)? * 16 + low.to_digit(16)?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// The variable parts of a path. What cannot be one names nothing that is there.
#[derive(Debug)]
pub struct Place<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Place<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        let axum::extract::Path(read) = read.map_err(|_| Problem::not_found("there is no such thing"))?;
        Ok(Self(read))
    }
}

/// The body of a request as JSON, in a shape that is documented.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json { value, .. } = Json::from_request(request, state).await?;
        shaped(value).map(Self)
    }
}

/// The same where there may be none.
#[derive(Debug)]
pub struct MaybeBody<T>(pub Option<T>);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for MaybeBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = whole(body).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        require_json(&parts)?;
        shaped(parsed(&bytes)?).map(Some).map(Self)
    }
}

/// The body of a request as JSON of whatever shape, and its bytes.
#[derive(Debug)]
pub struct Json {
    /// What it says.
    pub value: Value,
    /// How it says it.
    pub bytes: Bytes,
}

impl<S: Sync> FromRequest<S> for Json {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        require_json(&parts)?;
        let bytes = whole(body).await?;
        Ok(Self {
            value: parsed(&bytes)?,
            bytes,
        })
    }
}

fn require_json(parts: &Parts) -> Result<(), Problem> {
    let said = parts
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" {
        return Ok(());
    }
    let fault = Fault::at("header:content-type", "a body is application/json");
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "media-type",
        "a body is application/json",
    )
    .with(vec![fault]))
}

/// All of a body.
///
/// # Errors
/// 413 where it is too large, 408 where it takes too long to come.
pub async fn whole(body: axum::body::Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_WITHIN, read_body(body, BODY_BYTES)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(BodyFault::TooLarge)) => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            format!("a body has {BODY_BYTES} bytes at most"),
        )),
        Ok(Err(BodyFault::Broken)) => Err(Problem::unreadable(Fault::at("#", "the body ended too early"))),
        Err(_) => Err(
            Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not come in time")
                .with_header(CONNECTION, HeaderValue::from_static("close")),
        ),
    }
}

fn parsed(bytes: &[u8]) -> Result<Value, Problem> {
    let unreadable = |detail: String| Problem::unreadable(Fault::at("#", detail));
    let text = std::str::from_utf8(bytes).map_err(|_| unreadable("the body is not UTF-8".to_owned()))?;
    let value: Value =
        serde_json::from_str(text).map_err(|error| unreadable(format!("the body is no JSON: {error}")))?;
    match nul_in(&value, "#") {
        None => Ok(value),
        Some(pointer) => Err(has_nul(pointer)),
    }
}

/// It is text, and yet none that PostgreSQL can keep.
fn has_nul(pointer: impl Into<String>) -> Problem {
    let detail = "no text can have a NUL in it";
    Problem::refused(pointer, detail)
}

/// Where there is a NUL in it. JSON is 128 levels deep at most when it was parsed.
fn nul_in(value: &Value, at: &str) -> Option<String> {
    match value {
        Value::String(text) => text.contains('\0').then(|| at.to_owned()),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .find_map(|(index, item)| nul_in(item, &format!("{at}/{index}"))),
        Value::Object(entries) => entries.iter().find_map(|(key, item)| {
            if key.contains('\0') {
                return Some(at.to_owned());
            }
            nul_in(item, &format!("{at}/{}", escaped(key)))
        }),
        _ => None,
    }
}

/// As RFC 6901 writes it in a pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Reads JSON into a shape.
///
/// # Errors
/// 422 with a pointer to what has no place in it.
pub fn shaped<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let mut pointer = "#".to_owned();
        for segment in error.path() {
            use serde_path_to_error::Segment;
            match segment {
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Map { key } => pointer.push_str(&format!("/{}", escaped(key))),
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        let message = error.inner().to_string();
        // The path ends before a key that has no place.
        if let Some(key) = message
            .strip_prefix("unknown field `")
            .and_then(|rest| rest.split('`').next())
            && !pointer.ends_with(&format!("/{}", escaped(key)))
        {
            pointer.push_str(&format!("/{}", escaped(key)));
        }
        Problem::refused(pointer, message)
    })
}

/// For `deserialize_with`: a list with commas in between.
///
/// # Errors
/// Where one of them cannot be read.
pub fn comma_separated<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text: String = serde::Deserialize::deserialize(deserializer)?;
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    let read: Result<Vec<T>, _> = items
        .map(|item| item.parse().map_err(|error| cannot_read(item, &error)))
        .collect();
    read.map(Some)
}

/// For `deserialize_with`: an instant after RFC 3339, of a year that PostgreSQL has too.
///
/// # Errors
/// Where it is none.
pub fn instant<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text: Option<String> = serde::Deserialize::deserialize(deserializer)?;
    let Some(text) = text else { return Ok(None) };
    let at: Timestamp = text.parse().map_err(|error| cannot_read(&text, &error))?;
    if at.as_second() < YEAR_1 {
        return Err(cannot_read(&text, &"there is nothing so old"));
    }
    Ok(Some(at))
}

/// When year 1 began, in seconds since 1970.
const YEAR_1: i64 = -62_135_596_800;

fn cannot_read<E: serde::de::Error>(item: &str, error: &dyn std::fmt::Display) -> E {
    E::custom(format!("\"{item}\": {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_part_of_a_query_is_text_or_nothing() {
        assert_eq!(decoded("a+b%20c%C3%A9").as_deref(), Some("a b cé"));
        for wrong in ["%", "%4", "%zz", "%ff", "a%"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_has_no_place_in_a_shape_is_pointed_at() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Shape {
            #[expect(dead_code, reason = "only its shape matters")]
            ids: Vec<i32>,
        }
        let pointer =
            |value| serde_json::to_value(shaped::<Shape>(value).unwrap_err()).unwrap()["errors"][0]["pointer"].clone();
        assert_eq!(pointer(json!({"ids": [1, "x"]})), "#/ids/1");
        assert_eq!(pointer(json!({"ids": [1], "a/b": 2})), "#/a~1b");
        assert_eq!(pointer(json!([])), "#");
        assert_eq!(
            nul_in(&json!({"a": [1, {"b/c": "\0"}]}), "#").as_deref(),
            Some("#/a/1/b~1c")
        );
        assert!(parsed("[".repeat(100_000).as_bytes()).is_err());
    }
}
