//! Sends claimed deliveries and records what came of them.
//!
//! Results are recorded in groups: all that ended while the last group was being written. An attempt holds its slot until its result
//! is in the database, so the number of attempts whose end a crash would leave unknown is bounded. When the database goes away,
//! results are kept in [`Unrecorded`] and written first thing when it is back, if nobody else took over meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::callbacks;
use super::request;
use super::roster::Roster;
use super::slots::Slots;
use crate::Result;
use crate::backoff::Backoff;
use crate::delivery::{Failure, Outcome, Verdict};
use crate::http::client::{Attempt, Client};
use crate::pg::connections::Connections;
use crate::pg::deliveries::{self, Claimed, Finished};
use crate::pg::subscriptions::{self, Results};
use crate::subscription::Accepted;

/// How often waiting deliveries are looked for, beside when a slot becomes free.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// First delay of a retry; doubled by every further one.
const FIRST_RETRY: Duration = Duration::from_secs(60);

/// At most so many results are written at once; keeps one statement well below a second.
const RECORD_AT_MOST: usize = 1_000;

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

/// What a deliverer needs.
#[derive(Debug)]
pub struct Deliverer {
    /// Connections.
    pub connections: Connections,
    /// Sends.
    pub client: Client,
    /// The fencing token.
    pub term: i64,
    /// Who may send how much at once.
    pub slots: Slots,
    /// Attempts that the dispatcher claimed.
    pub claimed: mpsc::UnboundedReceiver<Claimed>,
    /// The subscriptions as they are now.
    pub roster: watch::Receiver<Arc<Roster>>,
    /// Keeps results that cannot be written.
    pub unrecorded: Unrecorded,
    /// How long attempts under way may go on after a stop.
    pub grace: Duration,
}

impl Deliverer {
    /// Runs until cancelled, then lets what is under way end, for at most the grace time.
    ///
    /// # Errors
    /// When the database fails or another instance leads; what ended meanwhile is in [`Unrecorded`].
    pub async fn run(mut self, cancel: CancellationToken) -> Result<()> {
        let mut under_way: JoinSet<Finished> = JoinSet::new();
        let result = self.work(&mut under_way, &cancel).await;
        let drained = self.drain(under_way).await;
        if result.is_err() || drained.is_empty() {
            self.unrecorded.push(self.term, drained);
            return result;
        }
        if let Err(error) = self.record(&drained).await {
            self.unrecorded.push(self.term, drained);
            return Err(error);
        }
        result
    }

    async fn work(&mut self, under_way: &mut JoinSet<Finished>, cancel: &CancellationToken) -> Result<()> {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Subscriptions known to have more waiting than there were slots for.
        let mut backlogged: HashSet<i32> = HashSet::new();
        loop {
            let mut finished = Vec::new();
            let mut look_now = false;
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                Some(ended) = under_way.join_next() => {
                    finished.extend(ended_attempt(ended));
                    while let Some(ended) = under_way.try_join_next() {
                        finished.extend(ended_attempt(ended));
                        if finished.len() >= RECORD_AT_MOST { break; }
                    }
                }
                claimed = self.claimed.recv() => {
                    let Some(claimed) = claimed else { return Ok(()) };
                    self.send(claimed, under_way);
                    while let Ok(claimed) = self.claimed.try_recv() {
                        self.send(claimed, under_way);
                    }
                }
                _ = look.tick() => look_now = true,
            }
            if !finished.is_empty() {
                if let Err(error) = self.record(&finished).await {
                    self.unrecorded.push(self.term, finished);
                    return Err(error);
                }
                for attempt in &finished {
                    self.slots.give_back(attempt.subscription_id, 1);
                }
            }
            if look_now {
                let client = self.connections.at_once().await;
                backlogged = deliveries::due_subscriptions(&client)
                    .await?
                    .into_iter()
                    .filter(|(_, due_in)| due_in.is_zero())
                    .map(|(id, _)| id)
                    .collect();
            }
            if !backlogged.is_empty() && (look_now || !finished.is_empty()) {
                self.claim_waiting(&mut backlogged, under_way).await?;
            }
        }
    }

    fn send(&self, claimed: Claimed, under_way: &mut JoinSet<Finished>) {
        // A callback that is gone is an endpoint that is gone.
        let has_endpoint = |s: &Arc<Accepted>| !s.sends_to_callbacks() || claimed.callback.is_some();
        let subscription = self
            .roster
            .borrow()
            .sendable(claimed.subscription_id)
            .filter(has_endpoint);
        let client = self.client.clone();
        under_way.spawn(attempt(claimed, subscription, client).in_current_span());
    }

    /// Claims what waits, as far as there are slots.
    async fn claim_waiting(&self, backlogged: &mut HashSet<i32>, under_way: &mut JoinSet<Finished>) -> Result<()> {
        let mut wanted = Vec::new();
        {
            let roster = self.roster.borrow();
            for &id in backlogged.iter() {
                // A subscription that is gone has its deliveries cancelled by the roster's keeper.
                let Some(subscription) = roster.sendable(id) else {
                    continue;
                };
                let granted = self.slots.take(id, usize::MAX);
                if granted > 0 {
                    wanted.push((
                        id,
                        granted,
                        Duration::from_millis(u64::from(subscription.row.timeout_ms)),
                    ));
                }
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let client = self.connections.at_once().await;
        let mut claimed = deliveries::claim(&*client, self.term, &wanted).await?;
        let roster = Arc::clone(&self.roster.borrow());
        callbacks::attach(&*client, &roster, &mut claimed).await?;
        drop(client);
        for (id, granted, _) in &wanted {
            let got = claimed.iter().filter(|c| c.subscription_id == *id).count();
            self.slots.give_back(*id, granted - got);
            if got < *granted {
                backlogged.remove(id);
            }
        }
        for claimed in claimed {
            self.send(claimed, under_way);
        }
        Ok(())
    }

    async fn record(&self, finished: &[Finished]) -> Result<()> {
        let client = self.connections.at_once().await;
        deliveries::record(&*client, self.term, finished).await?;
        self.roster.borrow().tally.add(finished);
        Ok(())
    }

    /// Waits for what is under way, at most the grace time; then cuts it off. Slots end with the deliverer.
    async fn drain(&self, mut under_way: JoinSet<Finished>) -> Vec<Finished> {
        let mut finished = Vec::new();
        let all_ended = tokio::time::timeout(self.grace, async {
            while let Some(ended) = under_way.join_next().await {
                finished.extend(ended_attempt(ended));
            }
        });
        if all_ended.await.is_err() {
            // Their log rows stay pending; the next leader ends them as interrupted.
            tracing::warn!(attempts = under_way.len(), "stopped before all requests had ended");
            under_way.abort_all();
        }
        finished
    }
}

fn ended_attempt(ended: std::result::Result<Finished, tokio::task::JoinError>) -> Option<Finished> {
    match ended {
        Ok(finished) => Some(finished),
        Err(error) => {
            // Its log row stays pending until its lease runs out; then it is ended as interrupted.
            tracing::error!(error = %error, "a request's task died");
            None
        }
    }
}

/// Makes one attempt. Never fails: whatever happens is in what it returns.
async fn attempt(claimed: Claimed, subscription: Option<Arc<Accepted>>, client: Client) -> Finished {
    let now = SystemTime::now();
    let unix_now = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
    let ended = match &subscription {
        None => nothing_sent(Failure::Cancelled),
        Some(subscription) => match request::build(&claimed, subscription, unix_now) {
            Ok(request) => client.send(request).await,
            Err(error) => {
                tracing::warn!(
                    subscription.id = claimed.subscription_id, delivery.id = %claimed.delivery_id, error = %error.chain(),
                    "a delivery cannot be sent"
                );
                nothing_sent(Failure::InvalidRequest)
            }
        },
    };
    let attempts_left = subscription
        .as_ref()
        .is_some_and(|s| claimed.attempt < s.row.max_attempts);
    let retry_in = (ended.outcome.verdict == Verdict::Retry && attempts_left).then(|| {
        let attempt = u32::try_from(claimed.attempt).unwrap_or(1);
        Backoff::new(FIRST_RETRY).map_or(FIRST_RETRY, |b| {
            b.delay(attempt, rand::random::<f64>(), ended.retry_after)
        })
    });
    let duration_ms = i32::try_from(ended.duration.as_millis()).unwrap_or(i32::MAX);
    tracing::info!(
        event.id = %claimed.event_id, delivery.id = %claimed.delivery_id, subscription.id = claimed.subscription_id,
        attempt.number = claimed.attempt, status = ended.status, error = ended.outcome.failure.map(Failure::as_str),
        detail = ended.detail.as_deref(), duration_ms, retry_in_s = retry_in.map(|d| d.as_secs()),
        "{} {}", if ended.outcome.is_success() { "delivered" } else { "not delivered:" }, claimed.model
    );
    Finished {
        event_id: claimed.event_id,
        subscription_id: claimed.subscription_id,
        part: claimed.part,
        log: claimed.log,
        success: ended.outcome.is_success(),
        response_code: ended.status.map(i32::from),
        response_body: ended.status.map(|_| ended.response.text),
        error: ended.outcome.failure.map(Failure::as_str),
        duration_ms,
        retry_in,
        ended_at: SystemTime::now(),
    }
}

fn nothing_sent(failure: Failure) -> Attempt {
    Attempt {
        outcome: Outcome::of_failure(failure),
        status: None,
        retry_after: None,
        response: crate::http::client::Snippet::default(),
        detail: None,
        duration: Duration::ZERO,
    }
}

/// What the deliveries of each subscription came to since it was last noted in the database.
#[derive(Debug, Default)]
pub struct Tally(Mutex<HashMap<i32, Results>>);

impl Tally {
    fn add(&self, finished: &[Finished]) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for attempt in finished {
            let results = tally.entry(attempt.subscription_id).or_insert(Results {
                last_delivery: attempt.ended_at,
                last_status: "success",
                failures: 0,
            });
            results.last_delivery = attempt.ended_at;
            results.last_status = if attempt.success { "success" } else { "failed" };
            results.failures += i32::from(!attempt.success);
        }
    }

    /// Counts deliveries that failed without a request.
    pub(super) fn add_failures(&self, subscriptions: impl Iterator<Item = i32>, at: SystemTime) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in subscriptions {
            let results = tally.entry(id).or_insert(Results {
                last_delivery: at,
                last_status: "failed",
                failures: 0,
            });
            (results.last_delivery, results.last_status) = (at, "failed");
            results.failures += 1;
        }
    }

    /// Writes what came together to the subscriptions; at most once a second by its caller.
    ///
    /// # Errors
    /// Database errors; the results are kept for the next time.
    pub async fn note(&self, connections: &Connections) -> Result<()> {
        let results: Vec<(i32, Results)> = self.0.lock().unwrap_or_else(PoisonError::into_inner).drain().collect();
        if results.is_empty() {
            return Ok(());
        }
        // Somebody may hold a subscription's row; nobody else must wait for that.
        let noted = async { subscriptions::note_results(&*connections.own().await?, &results).await }.await;
        if noted.is_err() {
            let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            for (id, earlier) in results {
                tally
                    .entry(id)
                    .and_modify(|later| later.failures += earlier.failures)
                    .or_insert(earlier);
            }
        }
        noted
    }
}
