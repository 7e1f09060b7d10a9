//! What waits, and for how long: judged here alone, for `status`, `doctor` and `/readyz`.

use std::time::Duration;

use serde::Deserialize;

use super::{Level, limits};
use crate::health::facts::Measurement;

/// What is known of what waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backlog {
    /// How much of its cap the outbox takes.
    pub outbox_fill: f64,
    /// For how long the oldest captured change has waited to be read, in seconds.
    pub unread_age_s: f64,
    /// For how long the oldest delivery could have been sent, in seconds.
    pub due_age_s: f64,
}

/// A reason for alarm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Alarm {
    /// The outbox takes so much of its cap.
    Outbox(f64),
    /// A change was captured so many seconds ago and is not read.
    Unread(f64),
    /// A delivery could have been sent so many seconds ago and was not.
    Due(f64),
}

impl From<&Measurement> for Backlog {
    fn from(measured: &Measurement) -> Self {
        Self {
            outbox_fill: fill(measured.outbox_bytes, measured.outbox_max_bytes),
            unread_age_s: measured.outbox_oldest_unread_age_s,
            due_age_s: measured.oldest_due_age_s,
        }
    }
}

/// The parts of `status`'s answer that tell what waits.
#[derive(Debug, Deserialize)]
pub struct OfStatus {
    outbox: Outbox,
    deliveries: Deliveries,
}

#[derive(Debug, Deserialize)]
struct Outbox {
    bytes: i64,
    max_bytes: i64,
    oldest_unread_age_s: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Deliveries {
    oldest_due_age_s: Option<f64>,
}

impl From<OfStatus> for Backlog {
    fn from(told: OfStatus) -> Self {
        Self {
            outbox_fill: fill(told.outbox.bytes, told.outbox.max_bytes),
            // Nothing waits.
            unread_age_s: told.outbox.oldest_unread_age_s.unwrap_or(0.0),
            due_age_s: told.deliveries.oldest_due_age_s.unwrap_or(0.0),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share of bytes for people")]
fn fill(bytes: i64, most: i64) -> f64 {
    bytes as f64 / most.max(1) as f64
}

impl Backlog {
    /// How full the outbox is, and whether something in it has waited for too long.
    pub fn outbox_level(&self, alarm_after: Duration) -> Level {
        let of_fill = limits::level(self.outbox_fill, limits::OUTBOX_WARNING, limits::OUTBOX_WRONG);
        match self.unread_age_s > alarm_after.as_secs_f64() {
            true => Level::Wrong,
            false => of_fill,
        }
    }

    /// Whether a delivery has waited for too long.
    pub fn due_level(&self, alarm_after: Duration) -> Level {
        match self.due_age_s > alarm_after.as_secs_f64() {
            true => Level::Wrong,
            false => Level::Ok,
        }
    }

    /// Each reason for alarm.
    pub fn alarms(&self, alarm_after: Duration) -> impl Iterator<Item = Alarm> + use<> {
        let limit = alarm_after.as_secs_f64();
        [
            (self.outbox_fill > limits::OUTBOX_WARNING).then_some(Alarm::Outbox(self.outbox_fill)),
            (self.unread_age_s > limit).then_some(Alarm::Unread(self.unread_age_s)),
            (self.due_age_s > limit).then_some(Alarm::Due(self.due_age_s)),
        ]
        .into_iter()
        .flatten()
    }
}
