//! Around every page: headers that let a browser do nothing but what our own pages need, and what went wrong as a page of its own.

use askama::Template;
use axum::extract::Request;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};

use super::assets;
use crate::api::layers::Mount;
use crate::api::problem::Problem;
use crate::ops::error::{Conflict, Error};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Without a referrer of our own origin a browser would say `Origin: null` of our own forms.
const REFERRERS: &str = "same-origin";

/// What is told in place of a page.
#[derive(Debug, Clone)]
pub struct Trouble {
    status: StatusCode,
    title: String,
    detail: String,
    hint: Option<String>,
    retry_after: Option<u64>,
}

impl Trouble {
    /// Something that went wrong.
    pub fn new(status: StatusCode, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            status,
            title: title.into(),
            detail: detail.into(),
            hint: None,
            retry_after: None,
        }
    }

    /// There is no such thing, or not for whoever asks.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", detail)
    }

    /// It cannot be read.
    pub fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "That cannot be read", detail)
    }

    /// He may not.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Not allowed", detail)
    }

    /// Says what to do.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says after how many seconds it may be tried again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match error {
            Error::Forbidden(scope) => {
                Self::forbidden(format!("this needs the scope {scope}, which your token has not"))
            }
            Error::NotFound(_) => {
                Self::not_found(error.to_string()).with_hint("it may have been deleted, or it is not yours to see")
            }
            Error::Refused(ref refusals) => {
                let hint = refusals.first().and_then(|refusal| refusal.hint.clone());
                let trouble = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "That was refused", error.to_string());
                Self { hint, ..trouble }
            }
            Error::Conflict(Conflict::Changed { .. }) => {
                Self::new(StatusCode::CONFLICT, "Somebody was quicker", error.to_string())
                    .with_hint("look at it again, and repeat what you did")
            }
            Error::Conflict(Conflict::Copy { .. }) => {
                Self::new(StatusCode::CONFLICT, "This database is a copy", error.to_string())
                    .with_hint("if it should deliver: odoo-eventd adopt")
            }
            Error::Busy(_) | Error::Unavailable(_) => Problem::from(error).into(),
        }
    }
}

/// Of what the other doors say in the same words.
impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        let title = problem.status().canonical_reason().unwrap_or("Problem");
        Self::new(problem.status(), title, problem.detail())
    }
}

/// Only noted here; [`dress`] knows where the page lies.
impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Template)]
#[template(path = "trouble.html", config = ".askama.toml")]
struct TroublePage<'a> {
    base: &'a str,
    assets: &'static str,
    trouble: &'a Trouble,
}

/// A template as an answer.
///
/// # Errors
/// 500 where it cannot be filled, which is our mistake.
pub fn page(template: &impl Template) -> Result<Response, Trouble> {
    match template.render() {
        Ok(text) => Ok(Html(text).into_response()),
        Err(error) => {
            tracing::error!(error = %error, "a page cannot be made: this is a mistake in this program");
            Err(Trouble::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "This is a mistake in odoo-eventd",
                "the page cannot be made; the log of the service says more",
            ))
        }
    }
}

/// See the [module documentation](self).
pub async fn dress(request: Request, next: Next) -> Response {
    let base = request
        .extensions()
        .get::<Mount>()
        .map(|mount| mount.0.clone())
        .unwrap_or_default();
    let mut response = next.run(request).await;
    if let Some(trouble) = response.extensions_mut().remove::<Trouble>() {
        response = told(&base, &trouble);
    }
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, REFERRERS),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn told(base: &str, trouble: &Trouble) -> Response {
    let page = TroublePage {
        base,
        assets: assets::version(),
        trouble,
    };
    let text = page.render().unwrap_or_else(|_| trouble.detail.clone());
    let mut response = (trouble.status, Html(text)).into_response();
    if let Some(seconds) = trouble.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    debug_assert!(response.headers().contains_key(CONTENT_TYPE));
    response
}
