//! Dropping old days of the log, clearing deliveries that ended long ago, and erasing what is known of a record.

use tokio_postgres::Client;
use uuid::Uuid;

use serde_json::Value;

use crate::{Error, Result};

/// How long a DROP may wait for readers of the log, and everybody else behind it; longer than a statement of the service's takes.
const DROP_LOCK_WAIT_MS: i32 = 50;

/// Where clearing goes on: the key of the delivery that was looked at last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryKey {
    event_id: Uuid,
    subscription_id: i32,
    part: i64,
}

impl DeliveryKey {
    /// Before every delivery.
    pub const FIRST: Self = Self {
        event_id: Uuid::nil(),
        subscription_id: i32::MIN,
        part: i64::MIN,
    };
}

/// What one batch of clearing did.
#[derive(Debug, Clone, Copy)]
pub struct Cleared {
    /// Deliveries looked at.
    pub examined: i64,
    /// Deliveries removed.
    pub cleared: i64,
    /// The last one looked at; `None` when there was none.
    pub last: Option<DeliveryKey>,
}

/// Drops the oldest day of the log if it is older than `keep_days` days. Returns the day that was dropped.
///
/// # Errors
/// SQLSTATE 55P03 when somebody reads the log: nothing was changed, try again later. Database errors.
pub async fn drop_log_day(client: &Client, term: i64, keep_days: u16) -> Result<Option<jiff::civil::Date>> {
    let row = client
        .query_one(
            "select odoo_eventd.drop_log_day($1, $2, $3)",
            &[&term, &i32::from(keep_days), &DROP_LOCK_WAIT_MS],
        )
        .await
        .map_err(|e| Error::database("drop an old day of the log", e))?;
    Ok(row.get(0))
}

/// Removes ended deliveries of which the log has no attempt any more; looks at `most` of them beyond `after`.
///
/// # Errors
/// Database errors.
pub async fn clear_deliveries(
    client: &Client,
    term: i64,
    keep_days: u16,
    after: DeliveryKey,
    most: i32,
) -> Result<Cleared> {
    let row = client
        .query_one(
            "select * from odoo_eventd.clear_deliveries($1, $2, $3, $4, $5, $6)",
            &[
                &term,
                &i32::from(keep_days),
                &after.event_id,
                &after.subscription_id,
                &after.part,
                &most,
            ],
        )
        .await
        .map_err(|e| Error::database("clear old deliveries", e))?;
    Ok(Cleared {
        examined: row.get("examined"),
        cleared: row.get("cleared"),
        last: row.get::<_, Option<Uuid>>("last_event").map(|event_id| DeliveryKey {
            event_id,
            subscription_id: row.get("last_subscription"),
            part: row.get("last_part"),
        }),
    })
}

/// Blanks what is kept of these records, and of whatever contains a text; with `only_show` just counts it.
///
/// # Errors
/// Database errors; only the owner may.
pub async fn erase(
    client: &Client,
    model: Option<&str>,
    ids: &[i64],
    containing: Option<&str>,
    only_show: bool,
) -> Result<Value> {
    let row = client
        .query_one(
            "select odoo_eventd.erase_records($1, $2, $3, $4)",
            &[&model, &ids, &containing, &only_show],
        )
        .await
        .map_err(|e| Error::database("erase records", e))?;
    Ok(row.get(0))
}

/// Whether the outbox has been in one table for more than a day.
///
/// # Errors
/// Database errors.
pub async fn outbox_is_old(client: &Client) -> Result<bool> {
    let row = client
        .query_one("select odoo_eventd.outbox_is_old()", &[])
        .await
        .map_err(|e| Error::database("ask how old the outbox is", e))?;
    Ok(row.get(0))
}
