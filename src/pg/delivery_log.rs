//! The log as operators read it, and deliveries that are sent once more: `sql/functions/delivery_reads.sql` and `dead_letters.sql`.

use jiff::Timestamp;
use jiff::civil::DateTime;
use serde_json::Value;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::{Error, Result};

/// Attempts that an operator sees and looks for, newest first, before a place in the log, as JSON.
///
/// # Errors
/// Database errors.
pub async fn find(
    client: &Client,
    operator: &Value,
    filter: &Value,
    before: Option<(DateTime, i64)>,
    most: i32,
) -> Result<Vec<String>> {
    let (date, id) = before.unzip();
    let rows = client
        .query(
            "select f::pg_catalog.text from odoo_eventd.find_attempts($1, $2, $3, $4, $5) f",
            &[operator, filter, &date, &id, &most],
        )
        .await
        .map_err(|e| Error::database("list deliveries", e))?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// One delivery with all of its attempts, as JSON; `None` where the operator sees none.
///
/// # Errors
/// Database errors.
pub async fn get(client: &Client, operator: &Value, delivery: Uuid) -> Result<Option<String>> {
    let row = client
        .query_one(
            "select odoo_eventd.find_delivery($1, $2)::pg_catalog.text",
            &[operator, &delivery],
        )
        .await
        .map_err(|e| Error::database(format_args!("read delivery {delivery}"), e))?;
    Ok(row.get(0))
}

/// How many dead letters each subscription has.
///
/// # Errors
/// Database errors.
pub async fn count_dead(client: &Client) -> Result<Vec<(i32, i64)>> {
    let rows = client
        .query(
            "select subscription_id, dead from odoo_eventd.count_dead_letters()",
            &[],
        )
        .await
        .map_err(|e| Error::database("count dead letters", e))?;
    Ok(rows.into_iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Which dead letters; what is `None` does not matter.
#[derive(Debug, Clone, Copy)]
pub struct Dead<'a> {
    /// Of this subscription.
    pub subscription: Option<i32>,
    /// Of this model.
    pub model: Option<&'a str>,
    /// With this record.
    pub record: Option<i64>,
    /// The last attempt was begun since then.
    pub since: Timestamp,
    /// The last attempt was begun before then.
    pub until: Option<Timestamp>,
}

/// Behind which dead letter the next ones are looked for.
#[derive(Debug, Clone, Copy)]
pub struct PlaceInLog {
    date: DateTime,
    id: i64,
}

/// The delivery ids of the next dead letters that an operator sees, the oldest first, and the place of the last; none = there are no more.
///
/// # Errors
/// Database errors.
pub async fn find_dead(
    client: &Client,
    operator: &Value,
    dead: Dead<'_>,
    after: Option<PlaceInLog>,
    most: i32,
) -> Result<(Vec<Uuid>, Option<PlaceInLog>)> {
    let rows = client
        .query(
            "select delivery_id, create_date, id from odoo_eventd.find_dead_letters($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            &[
                operator,
                &dead.subscription,
                &dead.model,
                &dead.record,
                &dead.since,
                &dead.until,
                &after.map(|place| place.date),
                &after.map(|place| place.id),
                &most,
            ],
        )
        .await
        .map_err(|e| Error::database("look for dead letters", e))?;
    let last = rows.last().map(|row| PlaceInLog {
        date: row.get(1),
        id: row.get(2),
    });
    Ok((rows.into_iter().map(|row| row.get(0)).collect(), last))
}

/// Sends ended deliveries once more, those of them that an operator sees; without `sends` only tells which
/// would be sent, and with `payloads` what.
///
/// # Errors
/// Database errors.
pub async fn redeliver(
    client: &Client,
    operator: &Value,
    deliveries: &[Uuid],
    sends: bool,
    payloads: bool,
) -> Result<Vec<Row>> {
    client
        .query(
            "select r.* from odoo_eventd.redeliver(odoo_eventd.seen_deliveries($1, $2), $3, $4) r",
            &[operator, &deliveries, &!sends, &payloads],
        )
        .await
        .map_err(|e| Error::database("redeliver", e))
}
