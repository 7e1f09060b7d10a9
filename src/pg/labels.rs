//! What people call things of Odoo's: `sql/functions/labels.sql`.

use std::collections::HashMap;

use tokio_postgres::Client;

use crate::{Error, Result};

/// The names of models in a language, by model; one without a name is left out.
///
/// # Errors
/// Database errors.
pub async fn of_models(client: &Client, lang: &str) -> Result<HashMap<String, String>> {
    let rows = client
        .query(
            "select model, label from odoo_eventd.model_labels($1) where label is not null",
            &[&lang],
        )
        .await
        .map_err(|e| Error::database("read the names of models", e))?;
    Ok(rows.into_iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The names of a model's fields in a language, by field.
///
/// # Errors
/// Database errors.
pub async fn of_fields(client: &Client, model: &str, lang: &str) -> Result<HashMap<String, String>> {
    let rows = client
        .query(
            "select field, label from odoo_eventd.field_labels($1, $2) where label is not null",
            &[&model, &lang],
        )
        .await
        .map_err(|e| Error::database(format_args!("read the names of the fields of {model}"), e))?;
    Ok(rows.into_iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The logins of Odoo users, by id.
///
/// # Errors
/// Database errors.
pub async fn of_users(client: &Client, ids: &[i32]) -> Result<HashMap<i32, String>> {
    let rows = client
        .query("select id, login from odoo_eventd.user_labels($1)", &[&ids])
        .await
        .map_err(|e| Error::database("read the logins of users", e))?;
    Ok(rows.into_iter().map(|row| (row.get(0), row.get(1))).collect())
}
