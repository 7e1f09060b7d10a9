//! The vitals of all databases of one process, as health pages, metrics and systemd are told of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::metrics::{self, Metrics};
use crate::worker::vitals::{Phase, Readiness, Vitals};

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Board {
    vitals: Mutex<BTreeMap<String, Arc<Vitals>>>,
    alarm_after: Duration,
    is_many: bool,
}

/// What `/readyz` answers.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Of the only database.
    One(Readiness),
    /// Of many.
    Many {
        /// Whether every database is.
        ready: bool,
        /// By name.
        databases: BTreeMap<String, Readiness>,
    },
}

impl Answer {
    /// Whether everything is as it should be.
    pub fn is_ready(&self) -> bool {
        match self {
            Self::One(readiness) => readiness.ready,
            Self::Many { ready, .. } => *ready,
        }
    }
}

impl Board {
    /// Nothing is on it. With `is_many` everything is told by database, also of a single one.
    pub fn new(alarm_after: Duration, is_many: bool) -> Self {
        Self {
            vitals: Mutex::default(),
            alarm_after,
            is_many,
        }
    }

    fn vitals(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Vitals>>> {
        self.vitals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vitals of a database that begins to be served.
    pub fn add(&self, name: &str) -> Arc<Vitals> {
        let metrics = Metrics::of(self.is_many.then_some(name));
        let vitals = Arc::new(Vitals::counting(metrics, self.alarm_after));
        self.vitals().insert(name.to_owned(), Arc::clone(&vitals));
        vitals
    }

    /// A database is served no more.
    pub fn remove(&self, name: &str) {
        self.vitals().remove(name);
    }

    /// Whether many databases are served: then the service has started although none of them has answered.
    pub fn is_many(&self) -> bool {
        self.is_many
    }

    /// Whether work gets on for each; false = something hangs.
    pub fn is_alive(&self) -> bool {
        self.vitals().values().all(|vitals| vitals.is_alive())
    }

    /// How long ago something was done for the database for which it is longest.
    pub fn idle_for(&self) -> Duration {
        let vitals = self.vitals();
        vitals
            .values()
            .map(|vitals| vitals.idle_for())
            .max()
            .unwrap_or_default()
    }

    /// How far the service has come with the database it has come furthest with.
    pub fn phase(&self) -> Phase {
        let vitals = self.vitals();
        vitals
            .values()
            .map(|vitals| vitals.phase())
            .max()
            .unwrap_or(Phase::Connecting)
    }

    /// Whether everything is as it should be.
    pub fn readiness(&self) -> Answer {
        let databases: BTreeMap<String, Readiness> = self
            .vitals()
            .iter()
            .map(|(name, vitals)| (name.clone(), vitals.readiness()))
            .collect();
        if !self.is_many
            && let Some(only) = databases.values().next()
        {
            return Answer::One(only.clone());
        }
        Answer::Many {
            ready: databases.values().all(|readiness| readiness.ready),
            databases,
        }
    }

    /// All metrics as OpenMetrics text; of many databases with the label `database`.
    pub fn encode(&self) -> String {
        metrics::merge(self.vitals().values().map(|vitals| vitals.metrics.encode()))
    }
}
