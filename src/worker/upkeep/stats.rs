//! What the deliveries of each subscription came to since it was last noted in the database.
//!
//! Attempts are counted here and noted by the roster's keeper, at most once a second for each subscription (SPEC section 4).

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::pg::Client;

use crate::Result;
use crate::pg::connections::Connections;
use crate::pg::deliveries::Finished;
use crate::pg::sqlstate::OUT_OF_CONNECTIONS;
use crate::pg::subscriptions::{self, GiveUp, Results};

/// Counts since the last note.
#[derive(Debug, Default)]
pub struct Stats {
    results: Mutex<HashMap<i32, Results>>,
    /// There was no connection to note them on, and that was said.
    is_late: AtomicBool,
}

impl Stats {
    /// Counts attempts that ended and were recorded. What was never sent says nothing of an endpoint.
    pub fn add(&self, finished: &[Finished]) {
        let mut stats = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        for attempt in finished {
            let results = stats
                .entry(attempt.subscription_id)
                .or_insert_with(|| nothing_yet(attempt.ended_at));
            results.last_delivery = attempt.ended_at;
            results.last_status = if attempt.success { "success" } else { "failed" };
            results.failures += i32::from(!attempt.success);
            results.gone |= attempt.gone;
            if attempt.success {
                results.succeeded = true;
                results.failed_since_success = 0;
            } else if attempt.endpoint_failed {
                results.failed_since_success += 1;
            }
        }
    }

    /// Counts deliveries that failed without a request; they say nothing of an endpoint.
    pub(in crate::worker) fn add_failures(&self, subscriptions: impl Iterator<Item = i32>, at: SystemTime) {
        let mut stats = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        for id in subscriptions {
            let results = stats.entry(id).or_insert_with(|| nothing_yet(at));
            (results.last_delivery, results.last_status) = (at, "failed");
            results.failures += 1;
        }
    }

    /// Writes what came together to the subscriptions; at most once a second by its caller. Returns those that were disabled for it,
    /// each with the reason.
    ///
    /// # Errors
    /// Database errors; the results are kept for the next time.
    pub async fn note(&self, connections: &Connections, give_up: GiveUp) -> Result<Vec<(i32, String)>> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        // Somebody may hold a subscription's row; nobody else must wait for that.
        match connections.own().await {
            Ok(client) => {
                self.is_late.store(false, Ordering::Relaxed);
                self.note_on(&client, give_up).await
            }
            Err(error) if error.means(OUT_OF_CONNECTIONS) => {
                if !self.is_late.swap(true, Ordering::Relaxed) {
                    tracing::warn!(error = %error.chain(), "no further connection can be had: what deliveries came to is noted later");
                }
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// The same at the end of a term, when nothing is waited for.
    ///
    /// # Errors
    /// As [`Stats::note`].
    pub async fn note_last(&self, connections: &Connections, give_up: GiveUp) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        match connections.own().await {
            Ok(client) => self.note_on(&client, give_up).await,
            Err(_) => self.note_on(connections.lead(), give_up).await,
        }
        .map(drop)
    }

    fn is_empty(&self) -> bool {
        self.results.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    async fn note_on(&self, client: &Client, give_up: GiveUp) -> Result<Vec<(i32, String)>> {
        let results: Vec<(i32, Results)> = self
            .results
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain()
            .collect();
        let noted = subscriptions::note_results(client, &results, give_up).await;
        if noted.is_err() {
            let mut stats = self.results.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, earlier) in results {
                stats
                    .entry(id)
                    .and_modify(|later| {
                        later.failures += earlier.failures;
                        later.gone |= earlier.gone;
                        if !later.succeeded {
                            later.succeeded = earlier.succeeded;
                            later.failed_since_success += earlier.failed_since_success;
                        }
                    })
                    .or_insert(earlier);
            }
        }
        noted
    }
}

fn nothing_yet(at: SystemTime) -> Results {
    Results {
        last_delivery: at,
        last_status: "success",
        failures: 0,
        succeeded: false,
        failed_since_success: 0,
        gone: false,
    }
}
