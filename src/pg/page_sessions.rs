//! Sessions of the web page in the database: `sql/functions/page_sessions.sql`.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Client;

use super::tokens::Live;
use crate::{Error, Result};

/// By what somebody comes in.
#[derive(Debug, Clone, Copy)]
pub enum Key<'a> {
    /// SHA-256 of his token.
    Token(&'a [u8]),
    /// SHA-256 of a link's code.
    Link(&'a [u8]),
}

/// Begins a session. The id of its token; none = the key is good for nothing.
///
/// # Errors
/// Database errors.
pub async fn begin(client: &Client, by: Key<'_>, session: &[u8], lives: Duration) -> Result<Option<i32>> {
    let (token, link) = match by {
        Key::Token(token) => (Some(token), None),
        Key::Link(link) => (None, Some(link)),
    };
    let row = client
        .query_one(
            "select odoo_eventd.begin_page_session($1, $2, $3, pg_catalog.make_interval(secs => $4))",
            &[&token, &link, &session, &lives.as_secs_f64()],
        )
        .await
        .map_err(|e| Error::database("begin a session of the web page", e))?;
    Ok(row.get(0))
}

/// The token of a session, and the login of its Odoo user; none = there is no such session.
///
/// # Errors
/// Database errors.
pub async fn visitor(client: &Client, session: &[u8]) -> Result<Option<(Live, Option<String>)>> {
    let row = client
        .query_opt(
            "select id, name, digest, scopes, models, user_id, user_login from odoo_eventd.page_visitor($1)",
            &[&session],
        )
        .await
        .map_err(|e| Error::database("look a session of the web page up", e))?;
    Ok(row.map(|row| {
        let live = Live {
            id: row.get("id"),
            name: row.get("name"),
            digest: row.get("digest"),
            scopes: row.get("scopes"),
            models: row.get("models"),
            user_id: row.get("user_id"),
        };
        (live, row.get("user_login"))
    }))
}

/// Ends a session.
///
/// # Errors
/// Database errors.
pub async fn end(client: &Client, session: &[u8]) -> Result<()> {
    client
        .query_one("select odoo_eventd.end_page_session($1)", &[&session])
        .await
        .map_err(|e| Error::database("end a session of the web page", e))?;
    Ok(())
}

/// Keeps a link that logs in once. Until when it can be used; none = the token lets nobody in.
///
/// # Errors
/// Database errors.
pub async fn add_link(client: &Client, token: i32, link: &[u8], lives: Duration) -> Result<Option<Timestamp>> {
    let row = client
        .query_one(
            "select odoo_eventd.add_login_link($1, $2, pg_catalog.make_interval(secs => $3))",
            &[&token, &link, &lives.as_secs_f64()],
        )
        .await
        .map_err(|e| Error::database("keep a login link", e))?;
    Ok(row.get(0))
}
