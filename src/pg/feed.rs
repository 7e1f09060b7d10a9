//! The event feed in the database: `sql/functions/feed.sql`, `feed_blocks.sql` and `feed_leases.sql`.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::deliveries::{array_text, failed};
use super::session_pool::Session;
use crate::{Error, Result};

/// Hears, in this session, which subscriptions have new events: `12:3456,13:3460`, each with its newest place in the feed, or `*` for any.
///
/// # Errors
/// Database errors.
pub async fn listen(client: &Client) -> Result<()> {
    client
        .batch_execute("listen odoo_eventd_feed")
        .await
        .map_err(|e| Error::database("listen for new events", e))
}

/// An event for readers.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// Whose.
    pub subscription_id: i32,
    /// The event.
    pub event_id: Uuid,
    /// The record id, or the number of the block of ids.
    pub part: i64,
    /// The transaction's time.
    pub at: Timestamp,
    /// The model.
    pub model: String,
    /// `create`, `write`, `unlink`.
    pub event_type: &'static str,
    /// Of the body.
    pub content_type: &'static str,
    /// The records, ascending.
    pub record_ids: Vec<i64>,
    /// The body as it is posted, or would be.
    pub body: String,
}

/// Events as the arguments of `append_to_feed()` that follow the term.
pub(super) struct Columns<'a> {
    subscriptions: Vec<i32>,
    events: Vec<Uuid>,
    parts: Vec<i64>,
    times: Vec<Timestamp>,
    models: Vec<&'a str>,
    event_types: Vec<&'static str>,
    content_types: Vec<&'static str>,
    record_ids: Vec<String>,
    bodies: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(events: &'a [NewEvent]) -> Self {
        Self {
            subscriptions: events.iter().map(|e| e.subscription_id).collect(),
            events: events.iter().map(|e| e.event_id).collect(),
            parts: events.iter().map(|e| e.part).collect(),
            times: events.iter().map(|e| e.at).collect(),
            models: events.iter().map(|e| e.model.as_str()).collect(),
            event_types: events.iter().map(|e| e.event_type).collect(),
            content_types: events.iter().map(|e| e.content_type).collect(),
            record_ids: events.iter().map(|e| array_text(&e.record_ids)).collect(),
            bodies: events.iter().map(|e| e.body.as_str()).collect(),
        }
    }

    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 9] {
        [
            &self.subscriptions,
            &self.events,
            &self.parts,
            &self.times,
            &self.models,
            &self.event_types,
            &self.content_types,
            &self.record_ids,
            &self.bodies,
        ]
    }
}

/// A place in the feed of one installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Of which installation; another one after a restore.
    pub epoch: Uuid,
    /// Behind the event with this number.
    pub seq: i64,
}

/// What one reader asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Who asks, as `sql/functions/operators.sql` takes it.
    pub operator: &'a Value,
    /// Of which subscription.
    pub subscription: i32,
    /// From where on; none = from the oldest event that is kept.
    pub after: Option<Place>,
    /// At most so many events.
    pub most: i32,
}

/// What one reader finds.
#[derive(Debug)]
pub struct Found {
    /// False = he sees no such subscription.
    pub is_seen: bool,
    /// Behind what was found; where reading began, if nothing was.
    pub end: Place,
    /// Events between his place and the first of these are not kept any more.
    pub is_truncated: bool,
    /// There are more.
    pub has_more: bool,
    /// In order.
    pub events: Vec<FoundEvent>,
}

/// An event of the feed.
#[derive(Debug)]
pub struct FoundEvent {
    /// Its number.
    pub seq: i64,
    /// The event.
    pub event_id: Uuid,
    /// The record id, or the number of the block of ids.
    pub part: i64,
    /// The transaction's time.
    pub at: Timestamp,
    /// The model.
    pub model: String,
    /// `create`, `write`, `unlink`.
    pub event_type: String,
    /// Of the body.
    pub content_type: String,
    /// The records, ascending.
    pub record_ids: Vec<i64>,
    /// The body as it is posted, or would be.
    pub body: String,
}

/// Reads for all of these readers at once. Bodies of more than `most_bytes` together are left for the next time; some reader's first event
/// is always there.
///
/// # Errors
/// Database errors.
pub async fn read(session: &Session, asked: &[Asked<'_>], most_bytes: i64) -> Result<Vec<Found>> {
    let client = session.caching();
    let statement = client
        .prepare_cached("select * from odoo_eventd.read_feed($1, $2, $3, $4, $5, $6)")
        .await
        .map_err(|e| Error::database("prepare reading the feed", e))?;
    let rows = client
        .query(
            &statement,
            &[
                &asked.iter().map(|a| a.operator).collect::<Vec<_>>(),
                &asked.iter().map(|a| a.subscription).collect::<Vec<_>>(),
                &asked
                    .iter()
                    .map(|a| a.after.map(|after| after.epoch))
                    .collect::<Vec<_>>(),
                &asked.iter().map(|a| a.after.map(|after| after.seq)).collect::<Vec<_>>(),
                &asked.iter().map(|a| a.most).collect::<Vec<_>>(),
                &most_bytes,
            ],
        )
        .await
        .map_err(|e| Error::database("read the feed", e))?;
    let mut found: Vec<Found> = Vec::with_capacity(asked.len());
    for row in rows {
        let reader: i64 = row.get("reader");
        // They come in order, each with a row at least.
        if usize::try_from(reader).is_ok_and(|reader| reader > found.len()) {
            found.push(found_of(&row));
        }
        let (Some(found), Some(seq)) = (found.last_mut(), row.get::<_, Option<i64>>("seq")) else {
            continue;
        };
        found.end.seq = seq;
        found.events.push(FoundEvent {
            seq,
            event_id: row.get("event_id"),
            part: row.get("part"),
            at: row.get("at"),
            model: row.get("model"),
            event_type: row.get("event_type"),
            content_type: row.get("content_type"),
            record_ids: row.get("record_ids"),
            body: row.get("body"),
        });
    }
    Ok(found)
}

fn found_of(row: &Row) -> Found {
    Found {
        is_seen: row.get("is_seen"),
        end: Place {
            epoch: row.get("epoch"),
            seq: row.get("began_after"),
        },
        is_truncated: row.get("is_truncated"),
        has_more: row.get("has_more"),
        events: Vec::new(),
    }
}

/// The place behind all that a subscription has in the feed now; none where the operator sees no such subscription.
///
/// # Errors
/// Database errors.
pub async fn end(client: &Client, operator: &Value, subscription: i32) -> Result<Option<Place>> {
    let row = client
        .query_opt(
            "select epoch, seq from odoo_eventd.end_of_feed($1, $2)",
            &[operator, &subscription],
        )
        .await
        .map_err(|e| Error::database("look for the end of the feed", e))?;
    Ok(row.map(|row| Place {
        epoch: row.get(0),
        seq: row.get(1),
    }))
}

/// The place behind which a subscription has so many events, or all that are kept; none where the operator sees no such subscription.
///
/// # Errors
/// Database errors.
pub async fn tail(client: &Client, operator: &Value, subscription: i32, most: i32) -> Result<Option<Place>> {
    let row = client
        .query_opt(
            "select epoch, seq from odoo_eventd.tail_of_feed($1, $2, $3)",
            &[operator, &subscription, &most],
        )
        .await
        .map_err(|e| Error::database("look for the last events of the feed", e))?;
    Ok(row.map(|row| Place {
        epoch: row.get(0),
        seq: row.get(1),
    }))
}

/// The newest event of each of these subscriptions that has any.
///
/// # Errors
/// Database errors.
pub async fn newest(client: &Client, subscriptions: &[i32]) -> Result<Vec<(i32, i64)>> {
    let rows = client
        .query(
            "select subscription_id, seq from odoo_eventd.last_in_feed($1)",
            &[&subscriptions],
        )
        .await
        .map_err(|e| Error::database("look for new events", e))?;
    Ok(rows.into_iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Notes that these are being read; their leases begin anew. Returns after how long it is to be noted again.
///
/// # Errors
/// Database errors.
pub async fn note_readers(client: &Client, subscriptions: &[i32]) -> Result<Duration> {
    let row = client
        .query_one("select odoo_eventd.note_feed_readers($1)", &[&subscriptions])
        .await
        .map_err(|e| Error::database("note who is read", e))?;
    Ok(Duration::from_millis(u64::try_from(row.get::<_, i32>(0)).unwrap_or(0)))
}

/// What is kept of the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// For how long.
    pub keep: Duration,
    /// How many events of a subscription.
    pub max_events: u32,
    /// How much of all.
    pub max_bytes: u64,
    /// How long a leased subscription lives that nobody reads.
    pub lease: Duration,
}

/// As a service keeps it that nobody has told otherwise.
impl Default for Keeping {
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(24 * 3_600),
            max_events: 10_000,
            max_bytes: 1024 * 1024 * 1024,
            lease: Duration::from_secs(3_600),
        }
    }
}

/// Notes what is kept, for readers of whatever process.
///
/// # Errors
/// [`Error::is_lease_lost`]; database errors.
pub async fn set(client: &Client, term: i64, keeping: Keeping) -> Result<()> {
    let seconds = |time: Duration| i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
    client
        .execute(
            "select odoo_eventd.set_feed($1, $2, $3, $4, $5)",
            &[
                &term,
                &seconds(keeping.keep),
                &i32::try_from(keeping.max_events).unwrap_or(i32::MAX),
                &i64::try_from(keeping.max_bytes).unwrap_or(i64::MAX),
                &seconds(keeping.lease),
            ],
        )
        .await
        .map(drop)
        .map_err(|e| failed("note what is kept of the feed", e))
}

/// Lets the feed go on in its next block if it is time. True if it did.
///
/// # Errors
/// [`Error::is_lease_lost`]; database errors.
pub async fn rotate(client: &Client, term: i64) -> Result<bool> {
    let row = client
        .query_one("select odoo_eventd.rotate_feed($1)", &[&term])
        .await
        .map_err(|e| failed("let the feed go on in its next block", e))?;
    Ok(row.get(0))
}

/// What became of the oldest block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// It was emptied because it was old.
    Old,
    /// It was emptied before its time, because the feed was too large.
    Shortened,
    /// Somebody reads it.
    Busy,
}

/// How often the lock is tried, five milliseconds apart, before a block counts as being read.
const LOCK_TRIES: i32 = 20;

/// Empties the oldest block if it is time; none = nothing was to be emptied.
///
/// # Errors
/// [`Error::is_lease_lost`]; database errors.
pub async fn drop_block(client: &Client, term: i64) -> Result<Option<Dropped>> {
    try_to_drop(client, term, LOCK_TRIES).await
}

/// Whether there is a block to be emptied; changes nothing.
///
/// # Errors
/// As [`drop_block`].
pub async fn has_doomed_block(client: &Client, term: i64) -> Result<bool> {
    Ok(try_to_drop(client, term, 0).await?.is_some())
}

async fn try_to_drop(client: &Client, term: i64, tries: i32) -> Result<Option<Dropped>> {
    let row = client
        .query_opt(
            "select shortened, is_busy from odoo_eventd.drop_feed_block($1, $2)",
            &[&term, &tries],
        )
        .await
        .map_err(|e| failed("empty a block of the feed", e))?;
    Ok(row.map(|row| match (row.get(0), row.get(1)) {
        (_, true) => Dropped::Busy,
        (true, false) => Dropped::Shortened,
        (false, false) => Dropped::Old,
    }))
}

/// Lets go of the oldest events of subscriptions that have too many. Returns how many subscriptions that was.
///
/// # Errors
/// [`Error::is_lease_lost`]; database errors.
pub async fn limit(client: &Client, term: i64) -> Result<i64> {
    let row = client
        .query_one("select odoo_eventd.limit_feed($1)", &[&term])
        .await
        .map_err(|e| failed("let go of events that are too many", e))?;
    Ok(row.get(0))
}

/// Deactivates leased subscriptions that nobody reads any more, and returns them.
///
/// # Errors
/// [`Error::is_lease_lost`]; database errors.
pub async fn end_leases(client: &Client, term: i64) -> Result<Vec<i32>> {
    let rows = client
        .query("select odoo_eventd.end_feed_leases($1)", &[&term])
        .await
        .map_err(|e| failed("end leases", e))?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}
