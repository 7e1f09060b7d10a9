//! Callback URLs of single records, read for a whole batch in one statement.

use std::collections::HashMap;
use std::fmt;

use deadpool_postgres::GenericClient;

use crate::sealing::{self, Kept, Keyring, Kind, Place};
use crate::signature::Secret;
use crate::{Error, Result};

/// Where the changes of one record are sent. Its `Debug` shows neither URL nor secret: both are a stranger's words.
#[derive(Clone)]
pub struct Callback {
    /// As it was stored; nothing of it has been checked.
    pub url: String,
    /// Signs what is sent there; the inner error is why its secret cannot be used.
    pub secret: Result<Option<Secret>, String>,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").finish_non_exhaustive()
    }
}

/// The active callbacks of these records, by model and record id.
///
/// # Errors
/// Database errors.
pub async fn of_records(
    client: &impl GenericClient,
    records: &[(&str, i64)],
    keyring: Option<&Keyring>,
) -> Result<HashMap<(String, i64), Callback>> {
    let (models, ids): (Vec<&str>, Vec<i64>) = records.iter().copied().unzip();
    let statement = client
        .prepare_cached(
            "select model, record_id, callback_url, webhook_secret, kept from odoo_eventd.record_callbacks($1, $2)",
        )
        .await
        .map_err(|e| Error::database("prepare reading callbacks", e))?;
    let rows = client
        .query(&statement, &[&models, &ids])
        .await
        .map_err(|e| Error::database("read the callbacks of records", e))?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let plain: Option<String> = row.get("webhook_secret");
            let callback = Callback {
                url: row.get("callback_url"),
                secret: secret_of(plain, row.get("kept"), keyring),
            };
            ((row.get("model"), row.get("record_id")), callback)
        })
        .collect())
}

fn secret_of(
    plain: Option<String>,
    kept: Option<serde_json::Value>,
    keyring: Option<&Keyring>,
) -> Result<Option<Secret>, String> {
    let text = match (plain, kept) {
        (Some(plain), _) => Some(plain),
        (None, None) => None,
        (None, Some(kept)) => {
            let kept: Kept = serde_json::from_value(kept).map_err(|_| "its secret cannot be read".to_owned())?;
            let place = Place {
                secret_ref: kept.secret_ref,
                kind: Kind::WebhookSecret,
            };
            sealing::open(keyring, place, kept.sealed_secret.as_deref())
                .map_err(|why| format!("its secret cannot be read: {why}"))?
        }
    };
    text.map(Secret::parse).transpose().map_err(|error| error.chain())
}
