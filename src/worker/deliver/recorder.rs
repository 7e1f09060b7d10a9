//! Records how attempts ended, in groups: one is being written while the next comes together.
//!
//! An attempt holds its slot until its result is in the database, so the number of attempts whose end a crash would leave unknown is
//! bounded. When the database goes away, results are kept in [`Unrecorded`] and written first thing when it is back, if nobody else
//! took over meanwhile.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tracing::Instrument;

use crate::failpoint::{self, Step};
use crate::pg::connections::Connections;
use crate::pg::deliveries::{self, Finished};
use crate::worker::deliver::in_flight::InFlight;
use crate::worker::deliver::slots::Slot;
use crate::worker::term::eviction;
use crate::worker::term::timeout::{ANSWER_WITHIN, within};
use crate::worker::upkeep::subscription_set::SubscriptionSet;
use crate::worker::vitals::Vitals;
use crate::{Error, Result};

/// At most so many results are written at once; keeps one statement well below a second.
const AT_MOST: usize = 1_000;

/// So many are worth a statement of their own: one costs as much as twenty. Fewer wait for others that are under way.
const AT_LEAST: usize = 64;

/// How long they wait for others at most. Nobody but the log waits for a result.
const PATIENCE: Duration = Duration::from_millis(8);

/// An attempt that ended, and its slot, which is held until the end is recorded.
pub type Ended = (Finished, Slot);

/// Results that could not be written because the database was away, with the term they belong to. Survives the term's tasks.
#[derive(Debug, Clone, Default)]
pub struct Unrecorded(Arc<Mutex<HashMap<i64, Vec<Finished>>>>);

impl Unrecorded {
    /// Keeps results of a term.
    pub fn push(&self, term: i64, finished: Vec<Finished>) {
        if !finished.is_empty() {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(term)
                .or_default()
                .extend(finished);
        }
    }

    /// Takes all of them out, by term.
    pub fn take(&self) -> HashMap<i64, Vec<Finished>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What writing takes.
#[derive(Debug, Clone)]
pub struct Log {
    /// Connections.
    pub connections: Connections,
    /// The fencing token.
    pub term: i64,
    /// Keeps results that cannot be written.
    pub unrecorded: Unrecorded,
    /// Told of every attempt before it is made, and when it is recorded.
    pub in_flight: InFlight,
    /// The subscriptions as they are now; their counters are kept there.
    pub subscription_set: watch::Receiver<Arc<SubscriptionSet>>,
    /// Told of every attempt that was recorded.
    pub vitals: Arc<Vitals>,
}

impl Log {
    /// Writes a group, or keeps it for later.
    async fn record(self, group: Vec<Ended>) -> Result<Vec<Ended>> {
        let (finished, slots): (Vec<_>, Vec<_>) = group.into_iter().unzip();
        let recorded = async {
            let client = self.connections.at_once().await;
            failpoint::during(Step::WhileRecording, deliveries::record(&*client, self.term, &finished)).await
        };
        // A connection that is dead without a word must not swallow results: kept, they are recorded over the next one. If they were
        // recorded after all, they are not recorded twice.
        if let Err(error) = within(ANSWER_WITHIN, "record attempts", recorded).await {
            self.unrecorded.push(self.term, finished);
            return Err(error);
        }
        self.in_flight
            .recorded(self.term, finished.iter().map(|attempt| attempt.log));
        self.subscription_set.borrow().stats.add(&finished);
        self.vitals.recorded(&finished);
        Ok(finished.into_iter().zip(slots).collect())
    }
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Recorder {
    log: Log,
    ended: Vec<Ended>,
    first_ended_at: Instant,
    writing: JoinSet<Result<Vec<Ended>>>,
}

impl Recorder {
    /// One that has nothing to write.
    pub fn new(log: Log) -> Self {
        Self {
            log,
            ended: Vec::new(),
            first_ended_at: Instant::now(),
            writing: JoinSet::new(),
        }
    }

    /// Takes the end of an attempt in.
    pub fn add(&mut self, ended: std::result::Result<Ended, JoinError>) {
        match ended {
            Ok(ended) => {
                if self.ended.is_empty() {
                    self.first_ended_at = Instant::now();
                }
                self.ended.push(ended);
            }
            // Its log row stays pending until its lease runs out; then it is ended as interrupted. Its slot is free.
            Err(error) => tracing::error!(error = %error, "a request's task died"),
        }
    }

    /// Whether a group is being written.
    pub fn is_writing(&self) -> bool {
        !self.writing.is_empty()
    }

    /// Begins to write what came together, unless a group is being written or there is so little that it may wait for more;
    /// `nothing_follows` says that no more is to be expected.
    pub fn write_if_worth(&mut self, nothing_follows: bool) {
        let is_worth = nothing_follows || self.ended.len() >= AT_LEAST || self.first_ended_at.elapsed() >= PATIENCE;
        if self.ended.is_empty() || self.is_writing() || !is_worth {
            return;
        }
        let rest = self.ended.split_off(self.ended.len().min(AT_MOST));
        let group = std::mem::replace(&mut self.ended, rest);
        self.first_ended_at = Instant::now();
        self.writing.spawn(self.log.clone().record(group).in_current_span());
    }

    /// Waits for a group that was written. Never returns while none is being written.
    ///
    /// # Errors
    /// When the database fails or another instance leads; the results are in [`Unrecorded`] then.
    pub async fn written(&mut self) -> Result<Vec<Ended>> {
        match self.writing.join_next().await {
            Some(Ok(written)) => written,
            Some(Err(error)) => Err(Error::other("recording attempts died").with_source(error)),
            None => std::future::pending().await,
        }
    }

    /// When the first that ended will have waited long enough for others.
    pub fn due_at(&self) -> Option<Instant> {
        (!self.ended.is_empty() && !self.is_writing()).then(|| self.first_ended_at + PATIENCE)
    }

    /// Writes all that is left, or, when the database has failed already, keeps it.
    ///
    /// # Errors
    /// As [`Recorder::written`].
    pub async fn finish(mut self, mut so_far: Result<()>) -> Result<()> {
        loop {
            if so_far.is_ok() {
                self.write_if_worth(true);
            }
            if !self.is_writing() {
                return so_far;
            }
            let written = self.written().await.map(drop);
            so_far = eviction::both(so_far, written);
        }
    }
}

impl Drop for Recorder {
    /// Whoever waits for a dead connection's answer may be given up any time: nothing is lost by that. A group that is being written
    /// is written or kept within the time that this may take.
    fn drop(&mut self) {
        self.writing.detach_all();
        let kept = self.ended.drain(..).map(|(finished, _)| finished).collect();
        self.log.unrecorded.push(self.log.term, kept);
    }
}
