//! What operators do to the whole installation, and what it says of itself.

use serde_json::Value;
use tokio_postgres::Client;

use super::sqlstate::UNDEFINED_OBJECT;
use crate::{Error, Result};

/// Switches capture on or off, of one model or of all. Returns the models concerned.
///
/// # Errors
/// [`Error::is_usage`] for a model that is not captured; database errors.
pub async fn switch_capture(client: &Client, on: bool, model: Option<&str>) -> Result<Vec<String>> {
    let rows = client
        .query("select odoo_eventd.switch_capture($1, $2)", &[&on, &model])
        .await
        .map_err(|error| {
            if UNDEFINED_OBJECT.of(&error) {
                Error::usage(format!("model \"{}\" is not captured", model.unwrap_or_default()))
                    .with_hint("`odoo-eventd status` lists those that are")
            } else {
                Error::database("switch capture", error)
            }
        })?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// What the installation says of itself, as `status` shows it.
///
/// # Errors
/// Database errors.
pub async fn status(client: &Client) -> Result<Value> {
    let row = client
        .query_one("select odoo_eventd.status()", &[])
        .await
        .map_err(|e| Error::database("read the status", e))?;
    Ok(row.get(0))
}

/// The version of Odoo's module `base`: what the database says now, not what it said at the installation.
///
/// # Errors
/// Database errors.
pub async fn odoo_version(client: &Client) -> Result<Option<String>> {
    let row = client
        .query_one("select f.base_version from odoo_eventd.registry_facts() f", &[])
        .await
        .map_err(|e| Error::database("read Odoo's version", e))?;
    Ok(row.get(0))
}

/// Lets this copy of a database capture and deliver. Returns what was done with what is pending.
///
/// # Errors
/// Database errors; what is pending cannot be kept after a restore to another time.
pub async fn adopt(client: &Client, keep_pending: bool) -> Result<String> {
    let row = client
        .query_one("select odoo_eventd.adopt($1)", &[&keep_pending])
        .await
        .map_err(|e| Error::database("adopt this database", e))?;
    Ok(row.get(0))
}

/// The name of the database that a session is in.
///
/// # Errors
/// Database errors.
pub async fn database_name(client: &Client) -> Result<String> {
    let row = client
        .query_one("select pg_catalog.current_database()::pg_catalog.text", &[])
        .await
        .map_err(|e| Error::database("ask for the database's name", e))?;
    Ok(row.get(0))
}

/// The session's role, quoted, and the server's version as one number: 150004.
///
/// # Errors
/// Database errors.
pub async fn role_and_version(client: &Client) -> Result<(String, i32)> {
    let row = client
        .query_one(
            "select pg_catalog.quote_ident(current_user), pg_catalog.current_setting('server_version_num')::integer",
            &[],
        )
        .await
        .map_err(|e| Error::database("look up the service's role", e))?;
    Ok((row.get(0), row.get(1)))
}
