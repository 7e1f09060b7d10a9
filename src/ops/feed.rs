//! The event feed: events of a subscription, read by whoever may, from a place of his own.
//!
//! A subscription without an endpoint, or with `in_session`, has its events kept for readers: for a day, so many of each subscription, and
//! so many bytes of all; what is too old or too much goes, oldest first. The order is that in which they were committed.
//!
//! A **cursor** names a place behind an event: whoever asks with the cursor of the last page gets every event after it once, in order,
//! whatever was restarted meanwhile and whoever leads. Without a cursor reading begins at the oldest event that is kept;
//! [`Service::feed_end`] names the place behind the newest. [`FeedPage::truncated`] says that events after the cursor are not kept any more,
//! or that it is of another installation (a restore): reading goes on at the oldest event that is kept. A text that is no cursor is refused.
//!
//! [`Service::wait_feed`] sleeps until there is something. All who wait in a process share one session that listens (`ear`) and are
//! read for together (`readers`): a thousand readers cost one session, and a batch of events one query for those that it concerns.
//! A notification that is lost costs some seconds.
//!
//! Each read renews the lease of what an assistant or `listen` made; see `sql/functions/feed_leases.sql`.

mod cursor;
mod ear;
pub mod forward;
mod noted;
mod readers;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

pub(in crate::ops) use self::readers::Readers;
use super::error::{Error, Result};
use super::operator::{Operator, Scope};
use super::service::Service;
use crate::pg::feed::{self, Found, FoundEvent, Place};
use crate::subscription::Refusal;

/// How many events a page has at most.
pub const FEED_LIMIT_AT_MOST: u32 = 200;

/// Events of a subscription, in order.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct FeedPage {
    /// They; fewer than asked for where their bodies are large.
    pub events: Vec<FeedEvent>,
    /// Where the next page begins: behind the last of these; where this one began if there are none.
    pub cursor: String,
    /// There are more already.
    pub has_more: bool,
    /// Events between the cursor that was given and the first of these are not kept any more.
    pub truncated: bool,
}

/// One event, or one part of a large one.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct FeedEvent {
    /// The place behind it: a cursor, and what a stream names it by. It has neither spaces nor line breaks.
    pub cursor: String,
    /// The event; the same for all its parts and to all subscriptions.
    pub event_id: Uuid,
    /// The record id, or the number of the block of ids.
    pub part: i64,
    /// When the transaction began; Odoo's `write_date`.
    #[serde(serialize_with = "in_microseconds")]
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The model.
    pub model: String,
    /// `create`, `write`, `unlink`.
    pub event_type: String,
    /// The records, ascending.
    pub record_ids: Vec<i64>,
    /// Of the body.
    pub content_type: String,
    /// Byte for byte what is posted, or would be. In JSON it stands as it is where it is JSON itself, and as a text where it is not. A
    /// template's body may have line breaks.
    #[serde(serialize_with = "as_it_is")]
    #[schema(value_type = serde_json::Value)]
    pub body: Arc<str>,
}

fn in_microseconds<S: Serializer>(at: &Timestamp, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{at:.6}"))
}

fn as_it_is<S: Serializer>(body: &Arc<str>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    match serde_json::from_str::<&RawValue>(body) {
        Ok(json) => json.serialize(serializer),
        Err(_) => serializer.serialize_str(body),
    }
}

impl FeedPage {
    fn of(found: Found) -> Self {
        let Found { end, events, .. } = found;
        let event = |event: FoundEvent| FeedEvent {
            cursor: cursor::write(Place { seq: event.seq, ..end }),
            event_id: event.event_id,
            part: event.part,
            at: event.at,
            model: event.model,
            event_type: event.event_type,
            record_ids: event.record_ids,
            content_type: event.content_type,
            body: event.body.into(),
        };
        Self {
            events: events.into_iter().map(event).collect(),
            cursor: cursor::write(end),
            has_more: found.has_more,
            truncated: found.is_truncated,
        }
    }
}

impl Service {
    /// Events of a subscription after a cursor; at once, also where there are none.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] for a text that is no cursor, or a limit that is not 1 to [`FEED_LIMIT_AT_MOST`];
    /// [`Error::Forbidden`] without `events:read`.
    pub async fn read_feed(
        &self,
        operator: &Operator,
        subscription: i32,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<FeedPage> {
        self.ask_feed(operator, subscription, cursor, limit, None).await
    }

    /// The same, but where there are none it waits for the first of them, for so long at most: then the page is empty.
    ///
    /// # Errors
    /// As [`Service::read_feed`].
    pub async fn wait_feed(
        &self,
        operator: &Operator,
        subscription: i32,
        cursor: Option<&str>,
        limit: u32,
        wait: Duration,
    ) -> Result<FeedPage> {
        self.ask_feed(operator, subscription, cursor, limit, Some(Instant::now() + wait))
            .await
    }

    async fn ask_feed(
        &self,
        operator: &Operator,
        subscription: i32,
        cursor: Option<&str>,
        limit: u32,
        until: Option<Instant>,
    ) -> Result<FeedPage> {
        operator.require(Scope::EventsRead)?;
        if !(1..=FEED_LIMIT_AT_MOST).contains(&limit) {
            let said = format!("a page of the feed has 1 to {FEED_LIMIT_AT_MOST} events");
            return Err(Error::refused(Refusal::of("limit", said)));
        }
        let after = cursor.map(cursor::read).transpose()?;
        let most = i32::try_from(limit).unwrap_or(i32::MAX);
        self.readers()
            .ask(operator.to_json(), subscription, after, most, until)
            .await
    }

    /// The last events of a subscription, as many as these at most.
    ///
    /// # Errors
    /// As [`Service::read_feed`].
    pub async fn last_of_feed(&self, operator: &Operator, subscription: i32, limit: u32) -> Result<FeedPage> {
        operator.require(Scope::EventsRead)?;
        let most = i32::try_from(limit).unwrap_or(i32::MAX);
        let place = feed::tail(&*self.session().await?, &operator.to_json(), subscription, most).await?;
        let place = place.ok_or_else(|| Error::no_subscription(subscription))?;
        self.read_feed(operator, subscription, Some(&cursor::write(place)), limit)
            .await
    }

    /// The cursor behind all that a subscription has in the feed now: whoever reads from there gets what is new.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] without `events:read`.
    pub async fn feed_end(&self, operator: &Operator, subscription: i32) -> Result<String> {
        operator.require(Scope::EventsRead)?;
        let session = self.session().await?;
        let end = feed::end(&session, &operator.to_json(), subscription).await?;
        end.map(cursor::write)
            .ok_or_else(|| Error::no_subscription(subscription))
    }
}
