//! From where on something counts as trouble: one number for `status`, `doctor`, `/readyz` and the alerts.

use std::time::Duration;

use super::Level;

/// An event that has waited for longer is an alarm, where `alarm_after_s` does not say otherwise.
pub const ALARM_AFTER: Duration = Duration::from_secs(300);

/// Part of the outbox's cap above which somebody is told: hours before capture stops, on most days.
pub const OUTBOX_WARNING: f64 = 0.25;

/// Part of the outbox's cap above which it counts as wrong.
pub const OUTBOX_WRONG: f64 = 0.5;

/// Part of PostgreSQL's queue of notifications above which somebody is told.
pub const NOTIFY_QUEUE_WARNING: f64 = 0.1;

/// Part of it above which it counts as wrong: when it is full, commits that notify fail.
pub const NOTIFY_QUEUE_WRONG: f64 = 0.5;

/// Seconds that clocks may differ: receivers refuse signatures that are off by 5 minutes.
pub const CLOCK_WARNING_S: f64 = 5.0;
/// Seconds that make the difference wrong.
pub const CLOCK_WRONG_S: f64 = 120.0;

/// Dead rows of deliveries above which vacuum does not get through, where they are also more than those alive.
pub const DEAD_ROWS: i64 = 100_000;

/// Good up to one limit, wrong above another.
pub(super) fn level(value: f64, warning: f64, wrong: f64) -> Level {
    if value > wrong {
        Level::Wrong
    } else if value > warning {
        Level::Warning
    } else {
        Level::Ok
    }
}
