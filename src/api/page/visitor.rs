//! Who looks at a page: an extractor, so that nothing of a request is looked at before it is known whose it is.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Redirect, Response};
use tokio::sync::OwnedSemaphorePermit;

use super::dress::Trouble;
use super::fields::Fields;
use super::frame::{Frame, Section};
use super::{origin, session};
use crate::api::Shared;
use crate::api::door::Door;
use crate::api::gate::Refused;
use crate::api::layers::Mount;
use crate::http::crowd::Member;
use crate::ops::Service;
use crate::ops::operator::{Operator, Scope};
use crate::ops::page_sessions::{SessionKey, Visit};

/// Somebody who is logged in.
#[derive(Debug)]
pub struct Visitor {
    /// Who he is.
    pub visit: Visit,
    /// The key of his session.
    pub key: SessionKey,
    /// The verbs of the database that he asks.
    pub service: Service,
    /// Where this database's pages lie.
    pub base: String,
    /// What he asks for, below that.
    pub uri: Uri,
    /// Among the requests of his token that are under way.
    _place: OwnedSemaphorePermit,
}

fn too_much(seconds: u64) -> Trouble {
    let detail = "too many requests with this token";
    Trouble::new(StatusCode::TOO_MANY_REQUESTS, "Too much at once", detail).retry_after(seconds)
}

/// Why somebody does not get his page.
#[derive(Debug)]
pub enum Turned {
    /// He is asked to log in, and comes back then.
    ToLogin(String),
    /// He came by a link of another site, to which a browser shows no cookie: he is sent here once more, by ourselves.
    Around(String),
    /// Something else.
    Away(Trouble),
}

impl From<Trouble> for Turned {
    fn from(trouble: Trouble) -> Self {
        Self::Away(trouble)
    }
}

impl IntoResponse for Turned {
    fn into_response(self) -> Response {
        match self {
            Self::ToLogin(url) => Redirect::to(&url).into_response(),
            Self::Around(url) => {
                let url = askama::filters::escape(&url, askama::filters::Html).map(|url| url.to_string());
                let url = url.unwrap_or_default();
                let text = format!(
                    "<!doctype html><html lang=en><title>odoo-eventd</title><meta http-equiv=refresh content=\"0; url={url}\">\
                     <p><a href=\"{url}\">Go on to odoo-eventd</a></p></html>"
                );
                Html(text).into_response()
            }
            Self::Away(trouble) => trouble.into_response(),
        }
    }
}

impl FromRequestParts<Arc<Shared>> for Visitor {
    type Rejection = Turned;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Shared>) -> Result<Self, Turned> {
        let (door, base) = place(parts)?;
        let Some(key) = session::shown(&parts.headers, &base) else {
            return Err(unknown(parts, &base));
        };
        let service = door.service().await.map_err(Trouble::from)?;
        let Some(visit) = service.visit(&key).await.map_err(Trouble::from)? else {
            return Err(unknown(parts, &base));
        };
        let place = match door.gate.enter(visit.token) {
            Ok(place) => place,
            Err(Refused::TooFast(wait)) => return Err(too_much(wait.as_secs() + 1).into()),
            Err(_) => return Err(too_much(1).into()),
        };
        if let Some(connection) = parts.extensions.get::<Arc<Member>>() {
            connection.is_known();
        }
        Ok(Self {
            visit,
            key,
            service,
            base,
            uri: parts.uri.clone(),
            _place: place,
        })
    }
}

/// The database that is asked, and where its pages lie.
///
/// # Errors
/// 404 where there is none.
pub fn place(parts: &Parts) -> Result<(Arc<Door>, String), Trouble> {
    let door = parts.extensions.get::<Arc<Door>>().cloned();
    let door = door.ok_or_else(|| Trouble::not_found("there is no such database"))?;
    let base = parts
        .extensions
        .get::<Mount>()
        .map(|mount| mount.0.clone())
        .unwrap_or_default();
    Ok((door, base))
}

/// Nobody is known to ask.
fn unknown(parts: &Parts, base: &str) -> Turned {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if parts.method != Method::GET || path.starts_with("/live/") {
        return Trouble::new(
            StatusCode::UNAUTHORIZED,
            "You are not logged in",
            "the session has ended: log in, and do it again",
        )
        .into();
    }
    let site = parts.headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    if site == Some("cross-site") && session::shown(&parts.headers, base).is_none() {
        return Turned::Around(format!("{base}{path}"));
    }
    let mut to = Fields::default();
    to.add("to", if path == "/" { "" } else { path });
    Turned::ToLogin(format!("{base}/login{}", to.to_query()))
}

impl Visitor {
    /// Who asks the verbs.
    pub fn operator(&self) -> &Operator {
        &self.visit.operator
    }

    /// Whether he may do this: it decides which buttons there are, and the verb decides again.
    pub fn may(&self, scope: Scope) -> bool {
        self.visit.operator.may(scope)
    }

    /// What he asked for beside the path.
    pub fn query(&self) -> Fields {
        Fields::of_query(&self.uri)
    }

    /// What is around a page of his.
    pub fn frame(&self, here: Section, title: impl Into<String>) -> Frame {
        Frame::of(self, here, title.into())
    }

    /// Sends him to another page.
    pub fn to(&self, path: &str) -> Response {
        Redirect::to(&format!("{}{path}", self.base)).into_response()
    }
}

/// A form that somebody sent from a page of ours.
#[derive(Debug)]
pub struct Posted {
    /// Who.
    pub visitor: Visitor,
    /// What it says.
    pub fields: Fields,
}

impl FromRequest<Arc<Shared>> for Posted {
    type Rejection = Turned;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Turned> {
        let (mut parts, body) = request.into_parts();
        origin::require_our_own(shared, &parts.headers)?;
        let visitor = Visitor::from_request_parts(&mut parts, shared).await?;
        let fields = Fields::of_body(&parts, body).await?;
        // Both are digests of random bits: how long it takes to compare them tells nothing that could be guessed on.
        if fields.get("form_token") != visitor.key.form_token() {
            return Err(Trouble::forbidden("this form was made for another session")
                .with_hint("open the page anew, and do it again")
                .into());
        }
        Ok(Self { visitor, fields })
    }
}

/// Slows down whoever brings what is good for nothing.
pub async fn let_wait(shared: &Shared) {
    tokio::time::sleep(shared.strangers.pause(Instant::now())).await;
}
