//! Sending ended deliveries once more, under the same ids.

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::ops::error::{Error, Missing, Result};
use crate::ops::operator::{Operator, Scope};
use crate::ops::service::Service;
use crate::pg::delivery_log::{self, Dead, PlaceInLog};
use crate::subscription::Refusal;

/// So many are asked for in one statement.
pub const AT_ONCE: usize = 1_000;

/// Which dead letters; what is not said does not matter.
#[derive(Debug, Clone)]
pub struct DeadFilter {
    /// To this subscription.
    pub subscription: Option<i32>,
    /// Of this model.
    pub model: Option<String>,
    /// With this record.
    pub record_id: Option<i64>,
    /// The last attempt was begun since then.
    pub since: Timestamp,
    /// The last attempt was begun before then.
    pub until: Option<Timestamp>,
}

impl DeadFilter {
    /// Those of them that are there by now: one that is sent once more and fails again is not met again by whoever goes through them.
    #[must_use]
    pub fn until_now(&self) -> Self {
        let mut filter = self.clone();
        filter.until = filter.until.or_else(|| Some(Timestamp::now()));
        filter
    }
}

/// A delivery that was asked to be sent once more.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
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

/// How many deliveries are sent once more, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RedeliveredCount {
    /// That many are sent.
    pub count: usize,
    /// That many are left alone.
    pub refused: usize,
}

impl Service {
    /// Sends these once more; with `dry_run` only tells what would be sent. What the operator does not see is left out of the answer.
    ///
    /// # Errors
    /// [`Error::Conflict`] in a copy; [`Error::Forbidden`] without `deliveries:redeliver`.
    pub async fn redeliver(&self, operator: &Operator, ids: &[Uuid], dry_run: bool) -> Result<Vec<Redelivered>> {
        operator.require(Scope::DeliveriesRedeliver)?;
        let mut all = Vec::new();
        for block in ids.chunks(AT_ONCE) {
            all.extend(self.redeliver_block(operator, block, !dry_run, dry_run).await?);
        }
        Ok(all)
    }

    /// At most [`AT_ONCE`] of them; what would be sent is only told where it was asked for: it may be long.
    async fn redeliver_block(
        &self,
        operator: &Operator,
        block: &[Uuid],
        sends: bool,
        payloads: bool,
    ) -> Result<Vec<Redelivered>> {
        let session = self.session().await?;
        if sends {
            self.require_adopted(&session).await?;
        }
        let rows = delivery_log::redeliver(&session, &operator.to_json(), block, sends, payloads).await?;
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

    /// Sends one once more; with `dry_run` only tells what would be sent.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] where it is left alone; else as [`Service::redeliver`].
    pub async fn redeliver_one(&self, operator: &Operator, id: Uuid, dry_run: bool) -> Result<Redelivered> {
        let found = self.redeliver(operator, &[id], dry_run).await?.into_iter().next();
        let found = found.ok_or(Error::NotFound(Missing::Delivery(id)))?;
        match found.refused {
            Some(reason) => Err(Error::refused(Refusal::of("delivery_id", reason))),
            None => Ok(found),
        }
    }

    /// The next [`AT_ONCE`] dead letters that fit, the oldest first, and the place behind them; none = there are no more.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `deliveries:redeliver`.
    pub async fn dead_letters(
        &self,
        operator: &Operator,
        filter: &DeadFilter,
        after: Option<PlaceInLog>,
    ) -> Result<(Vec<Uuid>, Option<PlaceInLog>)> {
        operator.require(Scope::DeliveriesRedeliver)?;
        let session = self.session().await?;
        let dead = Dead {
            subscription: filter.subscription,
            model: filter.model.as_deref(),
            record: filter.record_id,
            since: filter.since,
            until: filter.until,
        };
        let most = i32::try_from(AT_ONCE).unwrap_or(i32::MAX);
        Ok(delivery_log::find_dead(&session, &operator.to_json(), dead, after, most).await?)
    }

    /// Sends the dead letters that fit once more; with `dry_run` only counts them.
    ///
    /// # Errors
    /// As [`Service::redeliver`].
    pub async fn redeliver_dead(
        &self,
        operator: &Operator,
        filter: &DeadFilter,
        dry_run: bool,
    ) -> Result<RedeliveredCount> {
        let mut counted = RedeliveredCount::default();
        let mut after = None;
        let filter = &filter.until_now();
        // What is told of a block is gone from memory before the next is asked for.
        loop {
            let (block, last) = self.dead_letters(operator, filter, after).await?;
            if last.is_none() {
                return Ok(counted);
            }
            for delivery in self.redeliver_block(operator, &block, !dry_run, false).await? {
                match delivery.refused {
                    None => counted.count += 1,
                    Some(_) => counted.refused += 1,
                }
            }
            after = last;
        }
    }
}
