//! Tokens in the database: `sql/functions/tokens.sql`.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Client;

use crate::{Error, Result};

/// A token that lets somebody in now.
#[derive(Debug)]
pub struct Live {
    /// Its id.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// SHA-256 of the token.
    pub digest: Vec<u8>,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// The only models that it may be used for.
    pub models: Option<Vec<String>>,
    /// The Odoo user for whom it acts.
    pub user_id: Option<i32>,
}

/// A token that is made.
#[derive(Debug)]
pub struct New<'a> {
    /// Its name.
    pub name: &'a str,
    /// SHA-256 of the token.
    pub digest: &'a [u8],
    /// What it may be used for.
    pub scopes: &'a [&'a str],
    /// The only models that it may be used for.
    pub models: Option<&'a [String]>,
    /// The Odoo user for whom it acts.
    pub user_id: Option<i32>,
    /// How long it may be used; none = until it is revoked.
    pub lives: Option<Duration>,
}

/// The Odoo user with this login, or else with this id.
///
/// # Errors
/// Database errors.
pub async fn user_named(client: &Client, who: &str) -> Result<Option<i32>> {
    let row = client
        .query_one("select odoo_eventd.user_named($1)", &[&who])
        .await
        .map_err(|e| Error::database("look for the Odoo user", e))?;
    Ok(row.get(0))
}

/// Keeps a token; none where another that is not revoked has its name.
///
/// # Errors
/// Database errors.
pub async fn add(client: &Client, new: New<'_>) -> Result<Option<Value>> {
    let lives_s = new.lives.map(|lives| lives.as_secs_f64());
    let row = client
        .query_one(
            "select odoo_eventd.add_token($1, $2, $3, $4, $5, pg_catalog.make_interval(secs => $6))",
            &[&new.name, &new.digest, &new.scopes, &new.models, &new.user_id, &lives_s],
        )
        .await
        .map_err(|e| Error::database("keep the token", e))?;
    Ok(row.get(0))
}

/// Every token, as JSON.
///
/// # Errors
/// Database errors.
pub async fn list(client: &Client) -> Result<Vec<Value>> {
    let rows = client
        .query("select odoo_eventd.list_tokens()", &[])
        .await
        .map_err(|e| Error::database("list tokens", e))?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// Revokes a token. Returns since when it is; none = there is no such token.
///
/// # Errors
/// Database errors.
pub async fn revoke(client: &Client, id: i32) -> Result<Option<Timestamp>> {
    let row = client
        .query_one("select odoo_eventd.revoke_token($1)", &[&id])
        .await
        .map_err(|e| Error::database(format_args!("revoke token {id}"), e))?;
    Ok(row.get(0))
}

/// The tokens that let somebody in now; notes which were used since the last call.
///
/// # Errors
/// Database errors.
pub async fn live(client: &Client, used: &[i32]) -> Result<Vec<Live>> {
    let rows = client
        .query(
            "select id, name, digest, scopes, models, user_id from odoo_eventd.live_tokens($1)",
            &[&used],
        )
        .await
        .map_err(|e| Error::database("read the tokens", e))?;
    Ok(rows
        .into_iter()
        .map(|row| Live {
            id: row.get("id"),
            name: row.get("name"),
            digest: row.get("digest"),
            scopes: row.get("scopes"),
            models: row.get("models"),
            user_id: row.get("user_id"),
        })
        .collect())
}
