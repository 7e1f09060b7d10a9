//! Deliveries and the log of attempts in the database.

use std::time::{Duration, SystemTime};

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use jiff::civil::DateTime;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::callbacks::Callback;
use super::feed::{self, NewEvent};
use super::outbox::Position;
use super::sqlstate::{FENCED, LEASE_LOST};
use crate::{Error, Result};

/// How much longer than its timeout an attempt may stay unrecorded before it counts as interrupted.
const LEASE_MARGIN: Duration = Duration::from_secs(60);

/// A delivery that is to be made: one event to one subscription, in one part.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// The event.
    pub event_id: Uuid,
    /// The subscription.
    pub subscription_id: i32,
    /// The record id, or the number of the block of ids.
    pub part: i64,
    /// Equal on every attempt.
    pub delivery_id: Uuid,
    /// The model.
    pub model: String,
    /// `create`, `write`, `unlink`.
    pub event_type: &'static str,
    /// The records, ascending.
    pub record_ids: Vec<i64>,
    /// The body, as it will be signed and sent.
    pub body: String,
    /// Whether its first attempt begins at once, if nothing in its lane is in the way.
    pub claimed: bool,
    /// Ordered subscriptions only: its place among the deliveries of the same subscription and part.
    pub lane_position: Option<i64>,
    /// Another of the same batch comes before it in its lane.
    pub is_behind: bool,
    /// The limit of one attempt.
    pub timeout: Duration,
}

/// An attempt that was logged as pending: whoever holds it must send, and record what came of it.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The event.
    pub event_id: Uuid,
    /// The subscription.
    pub subscription_id: i32,
    /// The part.
    pub part: i64,
    /// Equal on every attempt.
    pub delivery_id: Uuid,
    /// The model.
    pub model: String,
    /// `create`, `write`, `unlink`.
    pub event_type: String,
    /// The records, ascending.
    pub record_ids: Vec<i64>,
    /// Counts from 1.
    pub attempt: i32,
    /// What to send.
    pub body: String,
    /// Where to, when its subscription sends to the callbacks of records and the record has one.
    pub callback: Option<Callback>,
    /// The log row.
    pub log: LogKey,
    /// An operator asked for it.
    pub redelivered: bool,
    /// When it was due, if it had to wait.
    pub was_due: Option<Timestamp>,
}

/// Finds a row of the partitioned log.
#[derive(Debug, Clone, Copy)]
pub struct LogKey {
    /// Its id.
    pub id: i64,
    /// Its day and time, UTC.
    pub date: DateTime,
}

/// How an attempt ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The event.
    pub event_id: Uuid,
    /// The subscription.
    pub subscription_id: i32,
    /// The part.
    pub part: i64,
    /// The log row.
    pub log: LogKey,
    /// Whether it arrived.
    pub success: bool,
    /// The HTTP status, if one came.
    pub response_code: Option<i32>,
    /// The beginning of the answer's body.
    pub response_body: Option<String>,
    /// Why it failed.
    pub error: Option<&'static str>,
    /// What exactly went wrong, where more than the word is known.
    pub error_detail: Option<String>,
    /// Whole milliseconds.
    pub duration_ms: i32,
    /// The host that it was for; `record callbacks` for all of those, and empty where none is known.
    pub host: String,
    /// When to try again; `None` = it is over.
    pub retry_in: Option<Duration>,
    /// Whether it was the endpoint that failed.
    pub endpoint_failed: bool,
    /// Whether the receiver said that it wants nothing more.
    pub gone: bool,
    /// Whether a request was made at all.
    pub sent: bool,
    /// When it ended.
    pub ended_at: SystemTime,
}

pub(super) fn failed(tried: &str, error: tokio_postgres::Error) -> Error {
    if LEASE_LOST.of(&error) {
        return Error::lease_lost(format!("cannot {tried}: another instance leads")).with_source(error);
    }
    if FENCED.of(&error) {
        return Error::fenced(format!("cannot {tried}: nothing may be delivered from this database"))
            .with_source(error);
    }
    Error::database(tried, error)
}

/// How long an attempt with this timeout may stay unrecorded, in milliseconds.
pub(super) fn lease_ms(timeout: Duration) -> i32 {
    i32::try_from((timeout + LEASE_MARGIN).as_millis()).unwrap_or(i32::MAX)
}

macro_rules! commit {
    () => {
        "select ord, log_id, log_date from odoo_eventd.commit_batch($1, $2::pg_catalog.text::pg_catalog.pg_snapshot,
                    $3::pg_catalog.text::pg_catalog.pg_snapshot, $4::pg_catalog.text::pg_catalog.xid8, $5, $6, $7, $8, $9, $10, $11, $12,
                    $13, $14, $15, $16, $17)"
    };
}

const COMMIT: &str = commit!();

/// One statement, so that both are committed together, or neither is. The second part returns nothing.
const COMMIT_AND_FEED: &str = concat!(
    commit!(),
    " union all select f, f, null from odoo_eventd.append_to_feed($1, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27) f"
);

/// What is committed together with a position.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// What is to be sent.
    pub deliveries: &'a [NewDelivery],
    /// What readers get.
    pub fed: &'a [NewEvent],
    /// It is part of a transaction that is committed in many pieces.
    pub is_piece: bool,
}

/// Commits deliveries, events for readers and the position they lead to. Returns, for each delivery that is new and was claimed, its index
/// and its log row. Where there are no readers, nothing is said of them.
///
/// # Errors
/// [`Error::is_lease_lost`] when another instance leads; database errors. Nothing was written then.
pub async fn commit_batch(
    client: &impl GenericClient,
    term: i64,
    position: &Position,
    batch: Batch<'_>,
) -> Result<Vec<(usize, LogKey)>> {
    let deliveries = batch.deliveries;
    let target = position.target.as_ref();
    let snapshot = target.map(|t| t.snapshot.as_str());
    let last_xid = target.map(|t| t.last_xid.to_string());
    let last_id = target.map(|t| t.last_id);
    let events: Vec<Uuid> = deliveries.iter().map(|d| d.event_id).collect();
    let subscriptions: Vec<i32> = deliveries.iter().map(|d| d.subscription_id).collect();
    let parts: Vec<i64> = deliveries.iter().map(|d| d.part).collect();
    let ids: Vec<Uuid> = deliveries.iter().map(|d| d.delivery_id).collect();
    let models: Vec<&str> = deliveries.iter().map(|d| d.model.as_str()).collect();
    let event_types: Vec<&str> = deliveries.iter().map(|d| d.event_type).collect();
    let record_ids: Vec<String> = deliveries.iter().map(|d| array_text(&d.record_ids)).collect();
    let bodies: Vec<&str> = deliveries.iter().map(|d| d.body.as_str()).collect();
    let claimed: Vec<bool> = deliveries.iter().map(|d| d.claimed).collect();
    let leases: Vec<i32> = deliveries.iter().map(|d| lease_ms(d.timeout)).collect();
    let lanes: Vec<Option<i64>> = deliveries.iter().map(|d| d.lane_position).collect();
    let behind: Vec<bool> = deliveries.iter().map(|d| d.is_behind).collect();
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![
        &term,
        &position.done,
        &snapshot,
        &last_xid,
        &last_id,
        &events,
        &subscriptions,
        &parts,
        &ids,
        &models,
        &event_types,
        &record_ids,
        &bodies,
        &claimed,
        &leases,
        &lanes,
        &behind,
    ];
    let fed = feed::Columns::of(batch.fed);
    let text = if batch.fed.is_empty() {
        COMMIT
    } else {
        params.extend(fed.params());
        params.push(&batch.is_piece);
        COMMIT_AND_FEED
    };
    let statement = client
        .prepare_cached(text)
        .await
        .map_err(|e| failed("prepare committing deliveries", e))?;
    let rows = client
        .query(&statement, &params)
        .await
        .map_err(|e| failed("commit deliveries", e))?;
    rows.into_iter()
        .map(|row| {
            let ord: i64 = row.get("ord");
            let index = usize::try_from(ord - 1)
                .map_err(|e| Error::other("the database numbered deliveries oddly").with_source(e))?;
            Ok((
                index,
                LogKey {
                    id: row.get("log_id"),
                    date: row.get("log_date"),
                },
            ))
        })
        .collect()
}

/// PostgreSQL's text of an array of numbers.
pub(super) fn array_text(ids: &[i64]) -> String {
    let mut text = String::with_capacity(ids.len() * 8 + 2);
    text.push('{');
    for (index, id) in ids.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&id.to_string());
    }
    text.push('}');
    text
}

/// The first waiting delivery of a subscription.
#[derive(Debug, Clone, Copy)]
pub struct FirstDue {
    /// The subscription.
    pub subscription: i32,
    /// When it is due.
    pub due_at: Timestamp,
    /// In how long that is; zero = it is due now.
    pub due_in: Duration,
}

/// Subscriptions with waiting deliveries, and the first of each.
///
/// # Errors
/// Database errors.
pub async fn due_subscriptions(client: &Client) -> Result<Vec<FirstDue>> {
    let rows = client
        .query(
            "select subscription_id, due_at, due_in_ms from odoo_eventd.due_subscriptions()",
            &[],
        )
        .await
        .map_err(|e| failed("look for due deliveries", e))?;
    Ok(rows
        .into_iter()
        .map(|row| FirstDue {
            subscription: row.get(0),
            due_at: row.get(1),
            due_in: Duration::from_millis(u64::try_from(row.get::<_, i64>(2)).unwrap_or(0)),
        })
        .collect())
}

/// Which of these subscriptions have something to send, from the times given with them on.
///
/// # Errors
/// Database errors.
pub async fn due_since(
    client: &impl GenericClient,
    from: &[(i32, Option<Timestamp>)],
) -> Result<Vec<(i32, Timestamp)>> {
    let (ids, since): (Vec<i32>, Vec<Option<Timestamp>>) = from.iter().copied().unzip();
    let statement = client
        .prepare_cached("select subscription_id, due_at from odoo_eventd.due_since($1, $2)")
        .await
        .map_err(|e| failed("prepare looking for due deliveries", e))?;
    let rows = client
        .query(&statement, &[&ids, &since])
        .await
        .map_err(|e| failed("look for due deliveries", e))?;
    Ok(rows.into_iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// How much of a subscription's waiting deliveries is to be claimed.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// The subscription.
    pub subscription: i32,
    /// At most so many.
    pub most: usize,
    /// The limit of one attempt.
    pub timeout: Duration,
    /// Nothing that was due before waits.
    pub since: Option<Timestamp>,
}

/// Claims due deliveries, the oldest of each subscription first.
///
/// # Errors
/// [`Error::is_lease_lost`]; database errors.
pub async fn claim(client: &impl GenericClient, term: i64, wanted: &[Wanted]) -> Result<Vec<Claimed>> {
    let ids: Vec<i32> = wanted.iter().map(|w| w.subscription).collect();
    let limits: Vec<i32> = wanted
        .iter()
        .map(|w| i32::try_from(w.most).unwrap_or(i32::MAX))
        .collect();
    let leases: Vec<i32> = wanted.iter().map(|w| lease_ms(w.timeout)).collect();
    let since: Vec<Option<Timestamp>> = wanted.iter().map(|w| w.since).collect();
    let statement = client
        .prepare_cached("select * from odoo_eventd.claim_deliveries($1, $2, $3, $4, $5)")
        .await
        .map_err(|e| failed("prepare claiming deliveries", e))?;
    let rows = client
        .query(&statement, &[&term, &ids, &limits, &leases, &since])
        .await
        .map_err(|e| failed("claim deliveries", e))?;
    Ok(rows
        .into_iter()
        .map(|row| Claimed {
            event_id: row.get("event_id"),
            subscription_id: row.get("subscription_id"),
            part: row.get("part"),
            delivery_id: row.get("delivery_id"),
            model: row.get("model"),
            event_type: row.get("event_type"),
            record_ids: row.get("record_ids"),
            attempt: row.get("attempt"),
            body: row.get::<_, Option<String>>("payload").unwrap_or_default(),
            callback: None,
            log: LogKey {
                id: row.get("log_id"),
                date: row.get("log_date"),
            },
            redelivered: row.get("redelivered"),
            was_due: row.get("was_due"),
        })
        .collect())
}

/// Lets the first delivery of each of these lanes (subscription, part) be sent. To be called after the deliveries that came behind
/// others were committed, and between two calls of [`record`]: only then it is certain that one of both sees the other's work.
///
/// # Errors
/// Database errors.
pub async fn wake_lanes(client: &impl GenericClient, lanes: &[(i32, i64)]) -> Result<()> {
    let (subscriptions, parts): (Vec<i32>, Vec<i64>) = lanes.iter().copied().unzip();
    client
        .execute("select odoo_eventd.wake_lanes($1, $2)", &[&subscriptions, &parts])
        .await
        .map_err(|e| failed("wake lanes", e))?;
    Ok(())
}

/// Wakes lanes that nobody woke.
///
/// # Errors
/// Database errors.
pub async fn wake_all_lanes(client: &Client) -> Result<()> {
    client
        .execute("select odoo_eventd.wake_all_lanes()", &[])
        .await
        .map_err(|e| failed("wake lanes", e))?;
    Ok(())
}

/// Records how attempts ended. Returns how many were still ours to record.
///
/// # Errors
/// [`Error::is_lease_lost`]; database errors: nothing was recorded, the same call may be made again.
pub async fn record(client: &impl GenericClient, term: i64, finished: &[Finished]) -> Result<i64> {
    let statement = client
        .prepare_cached(
            "select odoo_eventd.record_attempts($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        )
        .await
        .map_err(|e| failed("prepare recording attempts", e))?;
    let row = client
        .query_one(
            &statement,
            &[
                &term,
                &finished.iter().map(|f| f.event_id).collect::<Vec<_>>(),
                &finished.iter().map(|f| f.subscription_id).collect::<Vec<_>>(),
                &finished.iter().map(|f| f.part).collect::<Vec<_>>(),
                &finished.iter().map(|f| f.log.id).collect::<Vec<_>>(),
                &finished.iter().map(|f| f.log.date).collect::<Vec<_>>(),
                &finished
                    .iter()
                    .map(|f| if f.success { "success" } else { "failed" })
                    .collect::<Vec<_>>(),
                &finished.iter().map(|f| f.response_code).collect::<Vec<_>>(),
                &finished.iter().map(|f| f.response_body.as_deref()).collect::<Vec<_>>(),
                &finished.iter().map(|f| f.error).collect::<Vec<_>>(),
                &finished.iter().map(|f| f.error_detail.as_deref()).collect::<Vec<_>>(),
                &finished.iter().map(|f| f.duration_ms).collect::<Vec<_>>(),
                &finished
                    .iter()
                    .map(|f| f.retry_in.map(|d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
                    .collect::<Vec<_>>(),
                &finished.iter().map(|f| f.host.as_str()).collect::<Vec<_>>(),
            ],
        )
        .await
        .map_err(|e| failed("record attempts", e))?;
    Ok(row.get(0))
}

/// Lets be claimed anew what was claimed in these terms, all of them this process's, and is not among the attempts that were begun (by
/// their ids in the log). Returns how many there were.
///
/// # Errors
/// [`Error::is_lease_lost`]; database errors.
pub async fn give_back(client: &Client, term: i64, own_terms: &[i64], begun: &[i64]) -> Result<i64> {
    let row = client
        .query_one("select odoo_eventd.give_back($1, $2, $3)", &[&term, &own_terms, &begun])
        .await
        .map_err(|e| failed("give back what was not sent", e))?;
    Ok(row.get(0))
}

/// Ends attempts that were begun and never recorded. Returns how many there were.
///
/// # Errors
/// [`Error::is_lease_lost`]; database errors.
pub async fn recover_interrupted(client: &Client, term: i64) -> Result<i64> {
    let row = client
        .query_one("select odoo_eventd.recover_interrupted($1)", &[&term])
        .await
        .map_err(|e| failed("end interrupted attempts", e))?;
    Ok(row.get(0))
}

/// So many deliveries are ended at once at most; whoever waits for the statement waits well below a second.
pub const CANCEL_AT_MOST: i32 = 5_000;

/// Ends unsent deliveries of subscriptions that were deactivated, deleted, lost their URL, or are disabled: at most [`CANCEL_AT_MOST`].
/// Returns how many.
///
/// # Errors
/// [`Error::is_lease_lost`]; database errors.
pub async fn cancel_unwanted(client: &Client, term: i64) -> Result<i64> {
    let row = client
        .query_one(
            "select odoo_eventd.cancel_deliveries($1, $2)",
            &[&term, &CANCEL_AT_MOST],
        )
        .await
        .map_err(|e| failed("cancel deliveries", e))?;
    Ok(row.get(0))
}

/// Makes the log's partitions for today and the days after it.
///
/// # Errors
/// Database errors.
pub async fn ensure_log_days(client: &Client, days_ahead: i32) -> Result<()> {
    client
        .execute("select odoo_eventd.ensure_log_days($1)", &[&days_ahead])
        .await
        .map_err(|e| failed("make the log's next days", e))?;
    Ok(())
}
