//! What the service knows of its own life: whether it gets on with its work, whether it is ready, and its metrics.
//!
//! Progress is made by work alone, never by a timer: a look into the outbox that was processed, a page of a large transaction, a
//! standby's question that was answered, a try to connect that came to an end. A service that hangs anywhere makes none. While
//! the database is away it does make progress, because restarting the service would not bring the database back and would lose
//! results that are kept in memory; it is not *ready* then.

pub mod board;
pub mod monitor;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::health::backlog::{Alarm, Backlog};
use crate::health::facts::Measurement;
use crate::metrics::Metrics;
use crate::pg::deliveries::Finished;

/// A service that made no progress for so long hangs. Longer than a try to connect and every pause.
pub const HANGS_AFTER: Duration = Duration::from_secs(90);

/// A leader that has not read the outbox for so long is not ready; also longer than any `poll_interval_ms` that makes sense.
const SCAN_IS_STALE_AFTER: Duration = Duration::from_secs(60);

/// A database that was not measured for so long is not known to be well.
const MEASUREMENT_IS_STALE_AFTER: Duration = Duration::from_secs(60);

/// What the service is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Connecting, or waiting to try again.
    Connecting,
    /// Another instance leads.
    Standby,
    /// The database looks like a copy.
    Fenced,
    /// At work.
    Leading,
}

impl Phase {
    /// As metrics and pages name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Standby => "standby",
            Self::Fenced => "fenced",
            Self::Leading => "leading",
        }
    }
}

/// What `/readyz` answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Readiness {
    /// Whether everything is as it should be.
    pub ready: bool,
    /// What the service is doing.
    pub phase: Phase,
    /// Why it is not ready, in sentences.
    pub reasons: Vec<String>,
    /// How long ago the outbox was last read; null = never.
    pub last_scan_age_s: Option<f64>,
    /// For how long the oldest unsent delivery could have been sent, as last measured.
    pub oldest_due_age_s: Option<f64>,
    /// For how long the oldest captured change has not been read, as last measured.
    pub capture_age_s: Option<f64>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    progressed_at: Instant,
    scanned_at: Option<Instant>,
    measured: Option<(Instant, Measurement)>,
}

/// See the [module documentation](self). One for the whole life of a service, over all its terms.
#[derive(Debug)]
pub struct Vitals {
    /// What is counted.
    pub metrics: Metrics,
    state: Mutex<State>,
    /// An event may wait for so long before somebody is told.
    alarm_after: Duration,
}

impl Vitals {
    /// A service that begins now. A delivery that could have been sent `alarm_after` ago makes it unready.
    pub fn new(alarm_after: Duration) -> Self {
        Self::counting(Metrics::default(), alarm_after)
    }

    /// The same, counting with these.
    pub fn counting(metrics: Metrics, alarm_after: Duration) -> Self {
        Self {
            metrics,
            state: Mutex::new(State {
                phase: Phase::Connecting,
                progressed_at: Instant::now(),
                scanned_at: None,
                measured: None,
            }),
            alarm_after,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was done.
    pub fn progressed(&self) {
        self.state().progressed_at = Instant::now();
    }

    /// The service goes on to something else; that is progress, too.
    pub fn enter(&self, phase: Phase) {
        let mut state = self.state();
        state.progressed_at = Instant::now();
        if state.phase != phase {
            state.phase = phase;
            // What another term has seen says nothing about this one.
            state.scanned_at = None;
            state.measured = None;
            self.metrics.set_phase(phase.as_str());
        }
    }

    /// What the service is doing.
    pub fn phase(&self) -> Phase {
        self.state().phase
    }

    /// The outbox was read and what was found is committed.
    pub fn scanned(&self, rows: usize) {
        let mut state = self.state();
        state.progressed_at = Instant::now();
        state.scanned_at = Some(Instant::now());
        self.metrics.scanned(rows, unix_now());
    }

    /// Attempts were recorded.
    pub fn recorded(&self, finished: &[Finished]) {
        for attempt in finished {
            self.metrics
                .attempted(attempt.success, attempt.error, attempt.duration_ms);
        }
    }

    /// The database was looked at.
    pub fn measured(&self, health: Measurement) {
        self.metrics.measured(&health, unix_now());
        self.state().measured = Some((Instant::now(), health));
    }

    /// Whether work gets on; false = it hangs.
    pub fn is_alive(&self) -> bool {
        self.state().progressed_at.elapsed() < HANGS_AFTER
    }

    /// How long ago something was done.
    pub fn idle_for(&self) -> Duration {
        self.state().progressed_at.elapsed()
    }

    /// Whether everything is as it should be.
    pub fn readiness(&self) -> Readiness {
        let state = self.state();
        let mut reasons = Vec::new();
        match state.phase {
            Phase::Connecting => reasons.push("it has no connection to the database".to_owned()),
            Phase::Fenced => reasons
                .push("the database looks like a copy: `odoo-eventd status` says why, `adopt` settles it".to_owned()),
            // Ready to take over is all that a standby can be.
            Phase::Standby => {}
            Phase::Leading => self.leader_reasons(&state, &mut reasons),
        }
        let measured = state.measured.as_ref().map(|(_, health)| health);
        Readiness {
            ready: reasons.is_empty(),
            phase: state.phase,
            reasons,
            last_scan_age_s: state.scanned_at.map(|at| at.elapsed().as_secs_f64()),
            oldest_due_age_s: measured.map(|health| health.oldest_due_age_s),
            capture_age_s: measured.map(|health| health.outbox_oldest_unread_age_s),
        }
    }

    fn leader_reasons(&self, state: &State, reasons: &mut Vec<String>) {
        match state.scanned_at {
            None => reasons.push("the outbox was not read yet".to_owned()),
            Some(at) if at.elapsed() > SCAN_IS_STALE_AFTER => {
                reasons.push(format!("the outbox was last read {} s ago", at.elapsed().as_secs()));
            }
            Some(_) => {}
        }
        match &state.measured {
            None => reasons.push("the database was not measured yet".to_owned()),
            Some((at, _)) if at.elapsed() > MEASUREMENT_IS_STALE_AFTER => {
                reasons.push(format!(
                    "the database was last measured {} s ago",
                    at.elapsed().as_secs()
                ));
            }
            Some((_, health)) => {
                for alarm in Backlog::from(health).alarms(self.alarm_after) {
                    match alarm {
                        Alarm::Due(age) => {
                            reasons.push(format!("a delivery could have been sent {age:.0} s ago and was not"));
                        }
                        Alarm::Unread(age) => {
                            reasons.push(format!("a change was captured {age:.0} s ago and not read yet"));
                        }
                        // Events arrive all the same.
                        Alarm::Outbox(_) => {}
                    }
                }
            }
        }
    }
}

/// Seconds since 1970 by this host's clock, for people and graphs only.
fn unix_now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Measurement {
        serde_json::from_value(serde_json::json!({
            "server_time": 0.0, "fence": null, "capture": true, "outbox_max_bytes": 100, "outbox_bytes": 0, "outbox_unread": 0,
            "outbox_oldest_unread_age_s": 0.0, "gaps_open": 0, "troubles_open": 0, "unfinished": 0, "oldest_due_age_s": 0.0,
            "subscriptions": {"ready": 1, "invalid": 0, "pending": 0, "disabled": 0, "inactive": 0},
            "log": {"days": 3, "bytes": 0, "today": true, "tomorrow": true, "oldest_age_days": 0},
            "oldest_transaction_age_s": 0.0, "oldest_prepared_age_s": 0.0, "notify_queue_ratio": 0.0,
            "feed": {"bytes": 0, "max_bytes": 1, "keep_s": 86400, "oldest_age_s": 0.0, "is_shortened": false}
        }))
        .unwrap()
    }

    #[test]
    fn a_leader_is_ready_once_it_has_read_and_measured_and_not_before() {
        let vitals = Vitals::new(Duration::from_secs(300));
        assert!(!vitals.readiness().ready);
        vitals.enter(Phase::Leading);
        assert_eq!(vitals.readiness().reasons.len(), 2);
        vitals.scanned(0);
        vitals.measured(healthy());
        assert_eq!(vitals.readiness().reasons, Vec::<String>::new());
        vitals.enter(Phase::Connecting);
        vitals.enter(Phase::Leading);
        assert!(
            !vitals.readiness().ready,
            "what was seen before the reconnect does not count"
        );
    }

    #[test]
    fn what_waits_for_too_long_makes_it_unready() {
        let vitals = Vitals::new(Duration::from_secs(300));
        vitals.enter(Phase::Leading);
        vitals.scanned(0);
        for (due, unread) in [(301.0, 0.0), (0.0, 301.0)] {
            vitals.measured(Measurement {
                oldest_due_age_s: due,
                outbox_oldest_unread_age_s: unread,
                ..healthy()
            });
            assert_eq!(vitals.readiness().reasons.len(), 1, "{due} {unread}");
        }
        vitals.measured(Measurement {
            oldest_due_age_s: 299.0,
            ..healthy()
        });
        assert!(vitals.readiness().ready);
    }

    #[test]
    fn a_standby_is_ready_and_a_fenced_service_is_not() {
        let vitals = Vitals::new(Duration::from_secs(300));
        vitals.enter(Phase::Standby);
        assert!(vitals.readiness().ready);
        vitals.enter(Phase::Fenced);
        assert!(!vitals.readiness().ready);
    }
}
