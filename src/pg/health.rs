//! What the database tells about an installation's health.

use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::Client;

use crate::{Error, Result};

/// One look at the database. Ages in seconds; counts stop at 100,000.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Health {
    /// The server's clock, in seconds since 1970.
    pub server_time: f64,
    /// Why nothing may be delivered from here.
    pub fence: Option<String>,
    /// False after `capture off`.
    pub capture: bool,
    /// What the outbox may take.
    pub outbox_max_bytes: i64,
    /// What its rows take, long values included and indexes not: what the cap goes by.
    pub outbox_bytes: i64,
    /// Rows that were not read yet.
    pub outbox_unread: i64,
    /// Since when the oldest of them waits.
    pub outbox_oldest_unread_age_s: f64,
    /// Gaps in capture that go on.
    pub gaps_open: i64,
    /// Things that are tried in vain.
    #[serde(default)]
    pub troubles_open: i64,
    /// Deliveries that have not ended.
    pub unfinished: i64,
    /// For how long the oldest of them could have been sent.
    pub oldest_due_age_s: f64,
    /// How many there are.
    pub subscriptions: Subscriptions,
    /// The log of attempts.
    pub log: Log,
    /// The oldest transaction of anybody in this database: reading by snapshot waits for it, and so does vacuum.
    pub oldest_transaction_age_s: f64,
    /// The oldest prepared transaction of this database.
    pub oldest_prepared_age_s: f64,
    /// How full PostgreSQL's queue of notifications is, 0 to 1.
    pub notify_queue_ratio: f64,
}

/// Subscriptions by state.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Subscriptions {
    /// Active and served.
    pub ready: i64,
    /// Active and refused.
    pub invalid: i64,
    /// Active and not looked at yet.
    pub pending: i64,
    /// Active, and the endpoint was given up.
    pub disabled: i64,
    /// Kept for audit.
    pub inactive: i64,
}

/// The partitions of the log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Log {
    /// How many there are, those ahead of time included.
    pub days: i64,
    /// What they take.
    pub bytes: i64,
    /// Whether there is one for today (UTC); `None` without any.
    pub today: Option<bool>,
    /// Whether there is one for tomorrow.
    pub tomorrow: Option<bool>,
    /// How many days ago the oldest began.
    pub oldest_age_days: Option<i64>,
}

/// Looks at the database; cheap enough for every few seconds.
///
/// # Errors
/// Database errors.
pub async fn measure(client: &Client) -> Result<Health> {
    let row = client
        .query_one("select odoo_eventd.health()", &[])
        .await
        .map_err(|e| Error::database("measure the installation's health", e))?;
    serde_json::from_value(row.get(0))
        .map_err(|e| Error::other("the database told its health in an unknown way").with_source(e))
}

/// Looks at everything that `doctor` judges.
///
/// # Errors
/// Database errors.
pub async fn examine(client: &Client) -> Result<Value> {
    let row = client
        .query_one("select odoo_eventd.examine()", &[])
        .await
        .map_err(|e| Error::database("examine the installation", e))?;
    Ok(row.get(0))
}
