//! Logging in, with a token or a link, and out.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};

use super::dress::{Trouble, page};
use super::fields::Fields;
use super::session::{self, Way};
use super::visitor::{Posted, Turned, let_wait, place};
use super::{assets, origin};
use crate::api::Shared;
use crate::ops::page_sessions::Proof;
use crate::ops::tokens::PREFIX;

#[derive(Template)]
#[template(path = "login.html", config = ".askama.toml")]
struct LoginPage<'a> {
    base: &'a str,
    assets: &'static str,
    to: &'a str,
    link: &'a str,
    wrong: Option<&'a str>,
    is_out: bool,
    is_plain: bool,
}

/// The page that asks for a token; opened by a link it only asks to go on.
pub async fn ask(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Turned> {
    let (parts, _) = request.into_parts();
    let (_, base) = place(&parts)?;
    let query = Fields::of_query(&parts.uri);
    Ok(page(&LoginPage {
        base: &base,
        assets: assets::version(),
        to: query.get("to"),
        link: query.get("link"),
        wrong: None,
        is_out: query.get("done") == "out",
        // A browser says with which scheme it came only when it sends the form; a proxy with TLS is one that the settings know of.
        is_plain: Way::of(&parts.headers) == Way::Plain && !is_behind_tls(&shared),
    })?)
}

fn is_behind_tls(shared: &Shared) -> bool {
    let url = shared.settings.public_url.as_deref();
    url.is_some_and(|url| url.starts_with("https://"))
}

/// Begins a session.
pub async fn log_in(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Turned> {
    let (parts, body) = request.into_parts();
    let (door, base) = place(&parts)?;
    origin::require_our_own(&shared, &parts.headers)?;
    let way = Way::of(&parts.headers);
    if way == Way::Plain {
        return Err(Trouble::forbidden(
            "whoever listens to this network would read your token: nobody logs in here without TLS",
        )
        .with_hint(
            "have a proxy with TLS in front, or open it at http://localhost on the machine itself, by `ssh -L` for one",
        )
        .into());
    }
    let fields = Fields::of_body(&parts, body).await?;
    let (token, link) = (fields.get("token"), fields.get("link"));
    let proof = match link {
        "" => Proof::Token(token),
        link => Proof::Link(link),
    };
    let can_be = !link.is_empty() || token.starts_with(PREFIX);
    let service = door.service().await.map_err(Trouble::from)?;
    let begun = match can_be {
        true => service.log_in(proof).await.map_err(Trouble::from)?,
        false => None,
    };
    let Some(key) = begun else {
        let_wait(&shared).await;
        let wrong = match link {
            "" => "The token is none, or it was revoked, or its time is over.",
            _ => "The link was used already, or its time is over. `odoo-eventd login-link` makes another one.",
        };
        let mut response = page(&LoginPage {
            base: &base,
            assets: assets::version(),
            to: fields.get("to"),
            link: "",
            wrong: Some(wrong),
            is_out: false,
            is_plain: false,
        })?;
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        return Ok(response);
    };
    let mut response = Redirect::to(&format!("{base}{}", within(fields.get("to")))).into_response();
    let cookie = session::kept(&key, &base, way);
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}

/// Where to go after a login: a path below our own, whatever the form says.
fn within(to: &str) -> &str {
    let is_path =
        to.starts_with('/') && !to.starts_with("//") && !to.contains('\\') && !to.chars().any(char::is_control);
    if is_path { to } else { "/" }
}

/// Ends the session, in every tab. What a browser kept of the pages goes with it.
pub async fn log_out(posted: Posted) -> Result<Response, Turned> {
    let visitor = posted.visitor;
    visitor.service.log_out(&visitor.key).await.map_err(Trouble::from)?;
    let mut response = visitor.to("/login?done=out");
    let headers = response.headers_mut();
    for cookie in session::forgotten(&visitor.base) {
        headers.append(SET_COOKIE, cookie);
    }
    headers.insert(
        HeaderName::from_static("clear-site-data"),
        HeaderValue::from_static("\"cache\""),
    );
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere_after_a_login() {
        assert_eq!(within("/deliveries?status=failed"), "/deliveries?status=failed");
        for wrong in [
            "",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "\\",
            "/a\nb",
        ] {
            assert_eq!(within(wrong), "/", "{wrong:?}");
        }
    }
}
