//! The attempt of a test event, which is logged as any other and is no delivery.

use std::time::Duration;

use tokio_postgres::Client;

use super::deliveries::{self, Claimed, Finished, LogKey, lease_ms};
use super::session_pool::Session;
use crate::{Error, Result};

/// Logs the attempt of a test event as pending. Returns the term that it belongs to.
///
/// # Errors
/// Database errors.
pub(crate) async fn begin(client: &Client, claimed: &mut Claimed, timeout: Duration) -> Result<i64> {
    let row = client
        .query_one(
            "select term, log_id, log_date from odoo_eventd.begin_test($1, $2, $3, $4, $5, $6)",
            &[
                &claimed.subscription_id,
                &claimed.event_id,
                &claimed.delivery_id,
                &claimed.model,
                &claimed.body,
                &lease_ms(timeout),
            ],
        )
        .await
        .map_err(|e| Error::database("log the test", e))?;
    claimed.log = LogKey {
        id: row.get("log_id"),
        date: row.get("log_date"),
    };
    Ok(row.get("term"))
}

/// Notes what came of it.
///
/// # Errors
/// Database errors.
pub(crate) async fn record(session: &Session, term: i64, finished: &Finished) -> Result<()> {
    deliveries::record(session.pooled(), term, std::slice::from_ref(finished)).await?;
    Ok(())
}
