//! Attempts page by page, and one delivery with all of its attempts.

use std::str::FromStr;

use jiff::Timestamp;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::ops::error::{Error, Missing, Result};
use crate::ops::operator::{Operator, Scope};
use crate::ops::page::{Page, PageRequest, time_of};
use crate::ops::service::Service;
use crate::pg::delivery_log;
use crate::subscription::Refusal;

/// How an attempt ended, so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = AttemptStatus)]
pub enum Status {
    /// It is under way.
    Pending,
    /// The receiver took it.
    Success,
    /// It did not arrive, or was refused.
    Failed,
}

impl FromStr for Status {
    type Err = serde::de::value::Error;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Self::deserialize(text.into_deserializer())
    }
}

/// One attempt, as the log has it; the columns of `mcp_webhook_delivery` in their order. Times are UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Attempt {
    /// The row's id.
    pub id: i64,
    /// Equal on every attempt of a delivery.
    pub delivery_id: Uuid,
    /// To whom.
    pub subscription_id: i32,
    /// The event.
    pub event_id: Uuid,
    /// Its model.
    pub model: String,
    /// The records.
    pub record_ids: Vec<i64>,
    /// Counts from 1.
    pub attempt: i32,
    /// How it ended.
    pub status: Status,
    /// The HTTP status, if one came.
    pub response_code: Option<i32>,
    /// The body exactly as it was sent; none in lists, and where `payload_is` says so.
    #[serde(default)]
    pub payload: Option<String>,
    /// Where the body is; none in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub payload_is: Option<PayloadIs>,
    /// The beginning of the answer's body; none in lists.
    #[serde(default)]
    pub response_body: Option<String>,
    /// Why it failed: a word.
    pub error: Option<String>,
    /// A sentence on that.
    pub error_detail: Option<String>,
    /// Whole milliseconds.
    pub duration_ms: Option<i32>,
    /// When it began.
    pub create_date: String,
    /// When it ended.
    pub finished_at: Option<String>,
    /// When it is tried again; none = it is not.
    pub next_attempt_at: Option<String>,
}

/// Where the body of an attempt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PayloadIs {
    /// It is the delivery's, and there.
    Shared,
    /// It is another one, and here.
    Own,
    /// It is another one, and more than is told at once; the log has it.
    LeftOut,
    /// It was cleared.
    Cleared,
}

/// One delivery: an event to a subscription.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Delivery {
    /// Equal on every attempt.
    pub delivery_id: Uuid,
    /// The event.
    pub event_id: Uuid,
    /// To whom.
    pub subscription_id: i32,
    /// Its model.
    pub model: String,
    /// The records.
    pub record_ids: Vec<i64>,
    /// `create`, `write`, `unlink` or `test`; none once it was cleared from the queue's memory.
    pub event_type: Option<String>,
    /// What became of it so far; none as above: its last attempt says how it ended.
    pub state: Option<DeliveryState>,
    /// When it is sent next (UTC), if it waits for a time.
    pub due_at: Option<String>,
    /// The body of its last attempt of which one is kept, exactly as it was sent; none once all were cleared.
    #[serde(default)]
    pub payload: Option<String>,
    /// All of its attempts, the oldest first.
    pub attempts: Vec<Attempt>,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It is sent when it is due.
    Waiting,
    /// An attempt is under way.
    Sending,
    /// It arrived.
    Success,
    /// It ended without success.
    Failed,
}

/// An HTTP status, or all of a hundred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// 404.
    One(i32),
    /// 5xx.
    Hundred(i32),
}

impl std::str::FromStr for Code {
    type Err = crate::Error;

    /// # Errors
    /// [`crate::Error::is_usage`] for anything but a status or `4xx`.
    fn from_str(text: &str) -> crate::Result<Self> {
        let read = match text.strip_suffix("xx") {
            Some(hundred) => hundred.parse().ok().filter(|n| (1..=5).contains(n)).map(Self::Hundred),
            None => text.parse().ok().filter(|n| (100..=599).contains(n)).map(Self::One),
        };
        read.ok_or_else(|| crate::Error::usage(format!("\"{text}\" is no HTTP status")).with_hint("write 404, or 5xx"))
    }
}

/// Which attempts; what is not said does not matter.
#[derive(Debug, Clone, Default)]
pub struct AttemptFilter {
    /// To this subscription.
    pub subscription: Option<i32>,
    /// That ended so.
    pub statuses: Option<Vec<Status>>,
    /// That were answered with one of these.
    pub codes: Option<Vec<Code>>,
    /// That failed with one of these words.
    pub errors: Option<Vec<String>>,
    /// Of this model.
    pub model: Option<String>,
    /// With this record.
    pub record_id: Option<i64>,
    /// Of this event.
    pub event_id: Option<Uuid>,
    /// Of this delivery.
    pub delivery_id: Option<Uuid>,
    /// Begun since then.
    pub since: Option<Timestamp>,
    /// Begun before then.
    pub until: Option<Timestamp>,
    /// With this text in body, answer or detail: reads all of them, so name a time too.
    pub text: Option<String>,
    /// Only the last attempts of dead letters, the deliveries that ended without success.
    pub dead: bool,
    /// Leaves out what was sent and answered: of a page of attempts that may be hundreds of megabytes.
    pub without_bodies: bool,
}

impl AttemptFilter {
    fn to_json(&self) -> Value {
        let codes = |wanted: fn(Code) -> Option<i32>| {
            let codes: Option<Vec<i32>> = self
                .codes
                .as_ref()
                .map(|codes| codes.iter().filter_map(|c| wanted(*c)).collect());
            codes
        };
        json!({
            "subscription": self.subscription, "statuses": self.statuses, "errors": self.errors, "model": self.model,
            "codes": codes(|code| match code { Code::One(code) => Some(code), Code::Hundred(_) => None }),
            "code_classes": codes(|code| match code { Code::Hundred(class) => Some(class), Code::One(_) => None }),
            "record_id": self.record_id, "event_id": self.event_id, "delivery_id": self.delivery_id,
            "since": self.since.map(|at| at.to_string()), "until": self.until.map(|at| at.to_string()), "text": self.text,
            "is_dead": self.dead, "without_bodies": self.without_bodies,
        })
    }
}

/// A place in the log.
#[derive(Serialize, Deserialize)]
struct Place {
    date: String,
    id: i64,
}

impl Service {
    /// A page of attempts, newest first. The log is never counted, and nothing in it is skipped over.
    ///
    /// # Errors
    /// [`Error::Refused`] for a cursor of another list, or a page that is too large; [`Error::Forbidden`] without `deliveries:read`.
    pub async fn attempts(
        &self,
        operator: &Operator,
        filter: &AttemptFilter,
        page: &PageRequest,
    ) -> Result<Page<Attempt>> {
        operator.require(Scope::DeliveriesRead)?;
        let place: Option<Place> = page.place()?;
        let before = match place {
            Some(Place { date, id }) => Some((time_of(&date)?, id)),
            None => None,
        };
        if filter
            .until
            .zip(filter.since)
            .is_some_and(|(until, since)| until < since)
        {
            return Err(Error::refused(Refusal::of("until", "the time ends before it begins")));
        }
        let session = self.session().await?;
        let found = delivery_log::find(
            &session,
            &operator.to_json(),
            &filter.to_json(),
            before,
            page.fetched()?,
        )
        .await?;
        let attempts: Result<Vec<Attempt>> = found.iter().map(|text| read(text)).collect();
        Ok(Page::of(attempts?, page, |attempt| Place {
            date: attempt.create_date.clone(),
            id: attempt.id,
        }))
    }

    /// One delivery with all of its attempts, the exact payload and the answer to each.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] without `deliveries:read`.
    pub async fn delivery(&self, operator: &Operator, id: Uuid) -> Result<Delivery> {
        operator.require(Scope::DeliveriesRead)?;
        let session = self.session().await?;
        match delivery_log::get(&session, &operator.to_json(), id).await? {
            Some(text) => read(&text),
            None => Err(Error::NotFound(Missing::Delivery(id))),
        }
    }
}

/// The text may hold anything: serde's error names the column.
fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text)).map_err(|error| {
        let said = format!("a row of the log cannot be read: {}: {}", error.path(), error.inner());
        Error::Unavailable(crate::Error::unfit(said))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_one_or_a_hundred() {
        assert_eq!("404".parse::<Code>().unwrap(), Code::One(404));
        assert_eq!("5xx".parse::<Code>().unwrap(), Code::Hundred(5));
        for wrong in ["", "xx", "6xx", "99", "4x4"] {
            assert!(wrong.parse::<Code>().unwrap_err().is_usage(), "{wrong}");
        }
    }
}
