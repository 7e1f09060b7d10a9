//! Attempts counted by the hour: `sql/functions/traffic.sql`.

use serde_json::Value;
use tokio_postgres::Client;

use crate::{Error, Result};

/// The dashboard's figures of the last `days` days of a time zone, as an operator sees them.
///
/// # Errors
/// Database errors; SQLSTATE 22023 for a time zone that PostgreSQL does not know.
pub async fn dashboard(client: &Client, operator: &Value, days: i32, tz: &str) -> Result<Value> {
    let row = client
        .query_one("select odoo_eventd.dashboard($1, $2, $3)", &[operator, &days, &tz])
        .await
        .map_err(|e| Error::database("read the dashboard's figures", e))?;
    Ok(row.get(0))
}

/// Counts the next `most` attempts of the log that ended before attempts were counted; false when there are no more.
///
/// # Errors
/// Database errors.
pub async fn backfill(client: &Client, term: i64, most: i32) -> Result<bool> {
    let row = client
        .query_one("select odoo_eventd.backfill_traffic($1, $2)", &[&term, &most])
        .await
        .map_err(|e| Error::database("count old attempts", e))?;
    Ok(row.get(0))
}

/// Lets go of counts that are older than so many days, at most `most` rows of each table. Returns how many.
///
/// # Errors
/// Database errors.
pub async fn forget(client: &Client, term: i64, keep_days: i32, most: i32) -> Result<i64> {
    let row = client
        .query_one(
            "select odoo_eventd.forget_traffic($1, $2, $3)",
            &[&term, &keep_days, &most],
        )
        .await
        .map_err(|e| Error::database("let go of old counts", e))?;
    Ok(row.get(0))
}
