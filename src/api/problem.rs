//! What is answered when something is not done: a problem after RFC 9457, with a pointer to each thing that is wrong.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, ETAG, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::condition::etag;
use crate::ops::error::{Conflict, Error};
use crate::ops::operator::Scope;
use crate::pg::sqlstate::CUT_OFF;
use crate::subscription::Refusal;

/// The media type of problems.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What is wrong.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// Which kind of problem: `urn:odoo-eventd:problem:` and a word.
    #[serde(rename = "type")]
    #[schema(example = "urn:odoo-eventd:problem:refused")]
    kind: String,
    /// The HTTP status in words.
    title: &'static str,
    /// The HTTP status.
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16, example = 422)]
    status: StatusCode,
    /// What is wrong, in a sentence.
    detail: String,
    /// Each thing that is wrong with what was sent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<Fault>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// One thing that is wrong with what was sent.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Fault {
    /// Where: `#/fields/1` in the body, `?limit` in the query, `header:If-Match` in the headers, `path:delivery_id` in the path.
    #[schema(example = "#/domain")]
    pointer: String,
    /// What is wrong, in a sentence.
    detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    /// Where in the text of that place, in bytes: from, and up to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<usize>>)]
    span: Option<(usize, usize)>,
}

fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

/// Where the columns that a verb refuses came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The body.
    Body,
    /// The query.
    Query,
}

impl Fault {
    /// Something about a place.
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
            hint: None,
            span: None,
        }
    }

    fn of(refusal: Refusal, asked: Asked) -> Self {
        let pointer = match (refusal.column, asked) {
            (None, _) => "#".to_owned(),
            (Some(column), Asked::Body) => format!("#/{column}"),
            (Some(column), Asked::Query) => format!("?{column}"),
        };
        Self {
            pointer,
            detail: refusal.message,
            hint: refusal.hint,
            span: refusal.span,
        }
    }
}

impl Problem {
    /// A problem of this kind, a word.
    pub fn new(status: StatusCode, kind: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:odoo-eventd:problem:{kind}"),
            title: status.canonical_reason().unwrap_or("Problem"),
            status,
            detail: detail.into(),
            errors: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// What was sent cannot be read.
    pub fn unreadable(fault: Fault) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unreadable", fault.detail.clone()).with(vec![fault])
    }

    /// What was sent can be read, and is not what it must be.
    pub fn refused(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        let fault = Fault::at(pointer, detail);
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", fault.detail.clone()).with(vec![fault])
    }

    /// There is no such thing, or not for whoever asks.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// Nobody is known to ask.
    pub fn unauthorized(detail: &str, challenge: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }

    /// The token lets nobody in any more.
    pub fn dismissed() -> Self {
        Self::unauthorized(
            "the token is none, or it was revoked, or its time is over",
            "Bearer realm=\"odoo-eventd\", error=\"invalid_token\"",
        )
    }

    /// The same, with a challenge that is not always the same.
    pub fn unauthorized_with(detail: &str, challenge: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).challenging(challenge)
    }

    /// Says how somebody would be let do it; what is no header is left out.
    #[must_use]
    pub fn challenging(self, challenge: &str) -> Self {
        match HeaderValue::try_from(challenge) {
            Ok(challenge) => self.with_header(WWW_AUTHENTICATE, challenge),
            Err(_) => self,
        }
    }

    /// He asks too fast with his token, and may go on after this.
    pub fn too_fast(wait: Duration) -> Self {
        let told = "too many requests with this token";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-fast", told).retry_after(wait.as_secs() + 1)
    }

    /// Too much of what he asked with his token is not answered yet.
    pub fn too_many() -> Self {
        let told = "too many requests with this token are under way";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", told).retry_after(1)
    }

    /// The token is not for this.
    pub fn forbidden(scope: Scope) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!("this needs the scope {scope}"),
        )
    }

    /// It is not at hand now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).retry_after(1)
    }

    /// The path is there, the method is not; the router says which are.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "there are only the methods that Allow names",
        )
    }

    /// It is another version than the one that was named.
    pub fn changed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PRECONDITION_FAILED, "changed", detail)
    }

    /// What a verb did not do.
    pub fn of(error: Error, asked: Asked) -> Self {
        match error {
            Error::NotFound(missing) => Self::not_found(format!("there is no {missing}")),
            Error::Forbidden(scope) => Self::forbidden(scope),
            Error::Conflict(Conflict::Changed { ref now, .. }) => {
                let tag = etag(now);
                Self::changed(error.to_string()).with_header(ETAG, tag)
            }
            Error::Conflict(_) => Self::new(StatusCode::CONFLICT, "copy", error.to_string()),
            Error::Refused(ref refusals) => {
                let detail = error.to_string();
                let faults = refusals
                    .iter()
                    .cloned()
                    .map(|refusal| Fault::of(refusal, asked))
                    .collect();
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", detail).with(faults)
            }
            Error::Busy(error) if error.means(CUT_OFF) => {
                tracing::info!(error = %error.chain(), "a request was cut off");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too-slow",
                    "it took too long and was cut off: ask for less, for example with since and until",
                )
                .retry_after(30)
            }
            Error::Busy(error) => {
                tracing::info!(error = %error.chain(), "a request was refused: busy");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "busy",
                    "too much is being asked at once",
                )
                .retry_after(1)
            }
            Error::Unavailable(error) => {
                tracing::error!(error = %error.chain(), hint = error.hint(), "a request was not answered");
                Self::unavailable("the database cannot do this now; the log of the service says why")
            }
        }
    }

    /// Says what is wrong where.
    #[must_use]
    pub fn with(mut self, errors: Vec<Fault>) -> Self {
        self.errors = errors;
        self
    }

    /// Points to other places, where what was looked at came in under other names: each is asked for its new one.
    #[must_use]
    pub fn pointing(mut self, name: impl Fn(&str) -> Option<String>) -> Self {
        for fault in &mut self.errors {
            if let Some(pointer) = name(&fault.pointer) {
                fault.pointer = pointer;
            }
        }
        self
    }

    /// Points to places below this one in the body, where what was looked at is a part of it.
    #[must_use]
    pub fn below(mut self, part: &str) -> Self {
        for fault in &mut self.errors {
            if let Some(rest) = fault.pointer.strip_prefix('#') {
                fault.pointer = format!("#{part}{rest}");
            }
        }
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Says after how many seconds it may be tried again.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// Its HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong, in a sentence.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

/// Of what was sent in the body.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::of(error, Asked::Body)
    }
}

/// Of what was asked in the query: for `map_err`.
pub fn in_query(error: Error) -> Problem {
    Problem::of(error, Asked::Query)
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (self.status, [(CONTENT_TYPE, PROBLEM_JSON)], body).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}
