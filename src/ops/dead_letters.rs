//! Dead letters, the deliveries that ended without success: counting, listing, finding, and sending them once more.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{Error, Result};

/// Which dead letters; what is `None` does not matter.
#[derive(Debug, Default)]
pub struct Filter {
    /// Of this subscription.
    pub subscription: Option<i32>,
    /// Of this model.
    pub model: Option<String>,
    /// With this record.
    pub record: Option<i64>,
    /// The last attempt was begun since then.
    pub since: Option<Timestamp>,
    /// The last attempt was begun before then.
    pub until: Option<Timestamp>,
}

/// How many each subscription has.
///
/// # Errors
/// Database errors.
pub async fn count(client: &Client) -> Result<Vec<(i32, i64)>> {
    let rows = client
        .query(
            "select subscription_id, dead from odoo_eventd.count_dead_letters()",
            &[],
        )
        .await
        .map_err(|e| Error::database("count dead letters", e))?;
    Ok(rows.into_iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The last attempt of each, newest first, at most so many.
///
/// # Errors
/// Database errors.
pub async fn list(client: &Client, filter: &Filter, most: i32) -> Result<Vec<Value>> {
    let rows = client
        .query(
            "select odoo_eventd.list_dead_letters($1, $2, $3, $4, $5, $6)",
            &[
                &filter.subscription,
                &filter.model,
                &filter.record,
                &filter.since,
                &filter.until,
                &most,
            ],
        )
        .await
        .map_err(|e| Error::database("list dead letters", e))?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// Their delivery ids, the oldest first.
///
/// # Errors
/// [`Error::is_usage`] when no beginning is named; database errors.
pub async fn find(client: &Client, filter: &Filter) -> Result<Vec<Uuid>> {
    if filter.since.is_none() {
        return Err(Error::usage("since when is not said").with_hint("give --since 2h, or a time"));
    }
    let rows = client
        .query(
            "select odoo_eventd.find_dead_letters($1, $2, $3, $4, $5)",
            &[
                &filter.subscription,
                &filter.model,
                &filter.record,
                &filter.since,
                &filter.until,
            ],
        )
        .await
        .map_err(|e| Error::database("look for dead letters", e))?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// A delivery that was asked to be sent once more.
#[derive(Debug, Serialize)]
pub struct Redelivered {
    /// Equal on every attempt.
    pub delivery_id: Uuid,
    /// To whom.
    pub subscription_id: i32,
    /// The event.
    pub event_id: Uuid,
    /// The model.
    pub model: String,
    /// `create`, `write`, `unlink`.
    pub event_type: String,
    /// The records.
    pub record_ids: Vec<i64>,
    /// What it was before: `failed` or `success`; others are left alone.
    pub state: String,
    /// How often it was tried.
    pub attempts: i32,
    /// What would be sent; only where that was asked.
    pub payload: Option<String>,
    /// Why it is left alone.
    pub refused: Option<String>,
}

/// Sends ended deliveries once more; with `dry_run` only tells what would be sent. What is not in the log is left out of the answer.
///
/// # Errors
/// This is a copy; database errors.
pub async fn redeliver(client: &Client, deliveries: &[Uuid], dry_run: bool) -> Result<Vec<Redelivered>> {
    if !dry_run {
        super::require_adopted(client).await?;
    }
    let rows = client
        .query("select * from odoo_eventd.redeliver($1, $2)", &[&deliveries, &dry_run])
        .await
        .map_err(|e| Error::database("redeliver", e))?;
    Ok(rows
        .into_iter()
        .map(|row| Redelivered {
            delivery_id: row.get("delivery_id"),
            subscription_id: row.get("subscription_id"),
            event_id: row.get("event_id"),
            model: row.get("model"),
            event_type: row.get("event_type"),
            record_ids: row.get("record_ids"),
            state: row.get("state"),
            attempts: row.get("attempts"),
            payload: row.get("payload"),
            refused: row.get("refused"),
        })
        .collect())
}
