//! Secrets at rest: reading them to encrypt them, and changing them.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::sealing::{Kind, Place};
use crate::{Error, Result};

/// One secret as it is kept; exactly one of its forms is there.
#[derive(Clone)]
pub struct Kept {
    /// Its row.
    pub secret_ref: Uuid,
    /// Its column: `webhook_secret`, `auth` or `previous_secret`.
    pub field: String,
    /// As it was written.
    pub plain: Option<String>,
    /// Encrypted.
    pub sealed: Option<Vec<u8>>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("secret_ref", &self.secret_ref)
            .field("field", &self.field)
            .field("is_sealed", &self.sealed.is_some())
            .finish_non_exhaustive()
    }
}

impl Kept {
    /// What its sealed form is bound to.
    #[must_use]
    pub fn place(&self) -> Place {
        let kind = if self.field == "auth" {
            Kind::Auth
        } else {
            Kind::WebhookSecret
        };
        Place {
            secret_ref: self.secret_ref,
            kind,
        }
    }

    fn digest(&self) -> Vec<u8> {
        let bytes = self.sealed.as_deref().or(self.plain.as_ref().map(String::as_bytes));
        Sha256::digest(bytes.unwrap_or_default()).to_vec()
    }
}

/// Every secret, or only those in plain text.
///
/// # Errors
/// Database errors.
pub async fn load(client: &Client, only_plain: bool) -> Result<Vec<Kept>> {
    let rows = client
        .query(
            "select secret_ref, field, plain, sealed from odoo_eventd.load_secrets($1)",
            &[&only_plain],
        )
        .await
        .map_err(|e| Error::database("read the secrets to encrypt", e))?;
    Ok(rows
        .into_iter()
        .map(|row| Kept {
            secret_ref: row.get("secret_ref"),
            field: row.get("field"),
            plain: row.get("plain"),
            sealed: row.get("sealed"),
        })
        .collect())
}

/// Puts `sealed` in the place of what was read, all in one transaction; what was changed meanwhile is left. Returns how many were put.
///
/// # Errors
/// Database errors; nothing was changed.
pub async fn replace(client: &Client, read: &[Kept], sealed: &[Vec<u8>]) -> Result<i64> {
    let row = client
        .query_one(
            "select odoo_eventd.seal_secrets($1, $2, $3, $4)",
            &[
                &read.iter().map(|kept| kept.secret_ref).collect::<Vec<_>>(),
                &read.iter().map(|kept| kept.field.as_str()).collect::<Vec<_>>(),
                &read.iter().map(Kept::digest).collect::<Vec<_>>(),
                &sealed,
            ],
        )
        .await
        .map_err(|e| Error::database("store encrypted secrets", e))?;
    Ok(row.get(0))
}

/// Forgets old secrets whose overlap has ended. Returns how many.
///
/// # Errors
/// Database errors.
pub async fn expire(client: &Client) -> Result<i64> {
    let row = client
        .query_one("select odoo_eventd.expire_secrets()", &[])
        .await
        .map_err(|e| Error::database("forget old secrets", e))?;
    Ok(row.get(0))
}

/// Gives a subscription a new secret. Returns until when the old one signs too; `None` when it does not.
///
/// # Errors
/// [`Error::is_no_data_found`] where the operator sees no such subscription; database errors.
pub async fn rotate(
    client: &Client,
    operator: &serde_json::Value,
    subscription: i32,
    secret: &str,
    overlap: Duration,
) -> Result<Option<Timestamp>> {
    let overlap_s = overlap.as_secs_f64();
    let row = client
        .query_one(
            "select odoo_eventd.rotate_secret(own, $3, pg_catalog.make_interval(secs => $4)) from odoo_eventd.act_on($1, $2) own",
            &[operator, &subscription, &secret, &overlap_s],
        )
        .await
        .map_err(|e| Error::database(format_args!("rotate the secret of subscription {subscription}"), e))?;
    Ok(row.get(0))
}

/// How secrets are kept: `plain`, `encrypted`, `overlapping`, each a count.
///
/// # Errors
/// Database errors.
pub async fn status(client: &Client) -> Result<serde_json::Value> {
    let row = client
        .query_one("select odoo_eventd.secret_status()", &[])
        .await
        .map_err(|e| Error::database("count secrets", e))?;
    Ok(row.get(0))
}
