//! Sends claimed deliveries and records what came of them.
//!
//! Results are recorded in groups: all that ended while the last group was being written. An attempt holds its slot until its result
//! is in the database, so the number of attempts whose end a crash would leave unknown is bounded. When the database goes away,
//! results are kept in [`Unrecorded`] and written first thing when it is back, if nobody else took over meanwhile. What was claimed and
//! is not sent when the term ends is given back ([`super::begun`]).
//!
//! What waits in the database is looked for once a second; for subscriptions that are known to be behind also whenever a slot has
//! become free, and when the next token of a rate limit comes. Nobody looks in between.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::begun::Begun;
use super::callbacks;
use super::request;
use super::roster::Roster;
use super::slots::{Claimant, Patience, Slot, Slots};
use super::supervisor::{ANSWER_WITHIN, within};
use super::vitals::Vitals;
use crate::delivery::{Failure, Outcome, Verdict};
use crate::failpoint::{self, Step};
use crate::http::client::{Attempt, Client};
use crate::pg::connections::Connections;
use crate::pg::deliveries::{self, Claimed, Finished};
use crate::subscription::Accepted;
use crate::{Result, event};

/// How often waiting deliveries are looked for, beside when a slot becomes free.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often deliveries that nobody can send are looked for, where some are due: their subscription went while they were made.
const CANCEL_EVERY: Duration = Duration::from_secs(5);

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

    /// What is kept of a term.
    fn of(&self, term: i64) -> Vec<Finished> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(&term).cloned().unwrap_or_default()
    }

    /// Nothing of this term needs to be kept any more.
    fn forget(&self, term: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&term);
    }

    /// Takes all of them out, by term.
    pub fn take(&self) -> HashMap<i64, Vec<Finished>> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the dispatcher hands on.
#[derive(Debug)]
pub enum Handed {
    /// An attempt that it claimed, with the slot for it.
    Claimed(Box<Claimed>, Slot),
    /// Lanes (subscription, part) to which it has added behind others.
    Lanes(Vec<(i32, i64)>),
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
    /// From the dispatcher.
    pub handed: mpsc::UnboundedReceiver<Handed>,
    /// The subscriptions as they are now.
    pub roster: watch::Receiver<Arc<Roster>>,
    /// Keeps results that cannot be written.
    pub unrecorded: Unrecorded,
    /// Told of every attempt before it is made.
    pub begun: Begun,
    /// How long attempts under way may go on after a stop.
    pub grace: Duration,
    /// Told of every attempt that was recorded.
    pub vitals: Arc<Vitals>,
}

impl Deliverer {
    /// Runs until cancelled, then lets what is under way end, for at most the grace time.
    ///
    /// # Errors
    /// When the database fails or another instance leads; what ended meanwhile is in [`Unrecorded`].
    pub async fn run(mut self, cancel: CancellationToken) -> Result<()> {
        let mut under_way: JoinSet<Ended> = JoinSet::new();
        let result = self.work(&mut under_way, &cancel).await;
        self.drain(under_way).await;
        let drained = self.unrecorded.of(self.term);
        if result.is_ok() && !drained.is_empty() {
            self.record(&drained).await?;
            self.unrecorded.forget(self.term);
        }
        result
    }

    async fn work(&mut self, under_way: &mut JoinSet<Ended>, cancel: &CancellationToken) -> Result<()> {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut cancel_at = Instant::now();
        let mut next_token: Option<Instant> = None;
        loop {
            let mut finished = Vec::new();
            let mut slots = Vec::new();
            let mut lanes = Vec::new();
            let mut patience = Patience::OnlyWell;
            let mut has_tokens = false;
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                Some(ended) = under_way.join_next() => {
                    collect(ended, &mut finished, &mut slots);
                    while finished.len() < RECORD_AT_MOST && let Some(ended) = under_way.try_join_next() {
                        collect(ended, &mut finished, &mut slots);
                    }
                }
                handed = self.handed.recv() => {
                    let Some(handed) = handed else { return Ok(()) };
                    self.take_over(handed, under_way, &mut lanes);
                    while let Ok(handed) = self.handed.try_recv() {
                        self.take_over(handed, under_way, &mut lanes);
                    }
                }
                _ = look.tick() => patience = Patience::Everybody,
                () = until(next_token) => has_tokens = true,
            }
            if !finished.is_empty() {
                if let Err(error) = self.record(&finished).await {
                    self.unrecorded.push(self.term, finished);
                    return Err(error);
                }
                self.settle(&finished, slots);
            }
            if !lanes.is_empty() {
                // Nobody may wait for a dead connection here: what ends meanwhile would not be collected, and lost with the task.
                let client = self.connections.at_once().await;
                within(ANSWER_WITHIN, "wake lanes", deliveries::wake_lanes(&*client, &lanes)).await?;
                lanes
                    .iter()
                    .for_each(|(subscription, _)| self.slots.note_behind(*subscription));
            }
            if patience == Patience::Everybody {
                within(ANSWER_WITHIN, "look for due deliveries", self.look(&mut cancel_at)).await?;
            } else if finished.is_empty() && lanes.is_empty() && !has_tokens {
                continue;
            }
            let claimed = self.claim_waiting(under_way, patience);
            next_token = within(ANSWER_WITHIN, "claim deliveries", claimed).await?;
        }
    }

    /// Notes how requests ended, and gives their slots back. What waits behind one in its lane may be due now.
    fn settle(&self, finished: &[Finished], slots: Vec<Slot>) {
        let roster = self.roster.borrow();
        for (attempt, slot) in finished.iter().zip(slots) {
            if attempt.sent {
                slot.note(attempt.success);
            } else {
                slot.refund();
            }
            if roster.sendable(attempt.subscription_id).is_some_and(|s| s.row.ordered) {
                self.slots.note_behind(attempt.subscription_id);
            }
        }
    }

    /// Finds out for whom something is due, and ends what nobody can send any more.
    async fn look(&self, cancel_at: &mut Instant) -> Result<()> {
        let client = self.connections.at_once().await;
        let due: HashSet<i32> = deliveries::due_subscriptions(&client)
            .await?
            .into_iter()
            .filter(|(_, due_in)| due_in.is_zero())
            .map(|(id, _)| id)
            .collect();
        let somebody_is_away = {
            let roster = self.roster.borrow();
            due.iter()
                .any(|id| roster.sendable(*id).is_none_or(|s| s.row.disabled_at.is_some()))
        };
        if somebody_is_away && *cancel_at <= Instant::now() {
            *cancel_at = Instant::now() + CANCEL_EVERY;
            let ended = deliveries::cancel_unwanted(&client, self.term).await?;
            if ended == i64::from(deliveries::CANCEL_AT_MOST) {
                // There are more: at the next look.
                *cancel_at = Instant::now();
            }
            if ended > 0 {
                tracing::info!(deliveries = ended, "ended deliveries that nobody wants any more");
            }
        }
        self.slots.set_behind(due);
        Ok(())
    }

    fn take_over(&self, handed: Handed, under_way: &mut JoinSet<Ended>, lanes: &mut Vec<(i32, i64)>) {
        match handed {
            Handed::Claimed(claimed, slot) => self.send(*claimed, slot, under_way),
            Handed::Lanes(more) => lanes.extend(more),
        }
    }

    fn send(&self, claimed: Claimed, slot: Slot, under_way: &mut JoinSet<Ended>) {
        // A callback that is gone is an endpoint that is gone.
        let has_endpoint = |s: &Arc<Accepted>| !s.sends_to_callbacks() || claimed.callback.is_some();
        let subscription = self
            .roster
            .borrow()
            .sendable(claimed.subscription_id)
            .filter(has_endpoint);
        let client = self.client.clone();
        self.begun.add(self.term, claimed.log);
        under_way.spawn(async move { (attempt(claimed, subscription, client).await, slot) }.in_current_span());
    }

    /// Claims what waits, as far as there are slots. Returns when to come back for the next token of a rate limit.
    async fn claim_waiting(&self, under_way: &mut JoinSet<Ended>, patience: Patience) -> Result<Option<Instant>> {
        let now = Instant::now();
        let mut wanted = Vec::new();
        let mut granted: HashMap<i32, Vec<Slot>> = HashMap::new();
        let mut next_token: Option<Instant> = None;
        {
            let roster = self.roster.borrow();
            for id in self.slots.behind() {
                // A subscription that is gone has its deliveries ended, one that is paused keeps them.
                let Some(subscription) = roster.sendable(id).filter(|s| s.is_sending()) else {
                    continue;
                };
                let claimant = claimant_of(&subscription);
                let slots = self.slots.take(claimant, usize::MAX, patience, now);
                if slots.is_empty() {
                    let token = self.slots.next_token(claimant, now);
                    next_token = [next_token, token].into_iter().flatten().min();
                } else {
                    wanted.push((
                        id,
                        slots.len(),
                        Duration::from_millis(u64::from(subscription.row.timeout_ms)),
                    ));
                    granted.insert(id, slots);
                }
            }
        }
        if wanted.is_empty() {
            return Ok(next_token);
        }
        let client = self.connections.at_once().await;
        let mut claimed = deliveries::claim(&*client, self.term, &wanted).await?;
        if !claimed.is_empty() {
            failpoint::reach(Step::AfterClaim);
        }
        let roster = Arc::clone(&self.roster.borrow());
        callbacks::attach(&*client, &roster, &mut claimed).await?;
        drop(client);
        for claimed in claimed {
            if let Some(slot) = granted.get_mut(&claimed.subscription_id).and_then(Vec::pop) {
                self.send(claimed, slot, under_way);
            }
        }
        for (id, unused) in granted {
            if unused.is_empty() {
                // There may be more; a rate limit says when.
                let roster = self.roster.borrow();
                let token = roster
                    .sendable(id)
                    .and_then(|s| self.slots.next_token(claimant_of(&s), now));
                next_token = [next_token, token].into_iter().flatten().min();
            } else {
                self.slots.caught_up(id);
                unused.into_iter().for_each(Slot::refund);
            }
        }
        Ok(next_token)
    }

    async fn record(&self, finished: &[Finished]) -> Result<()> {
        let recorded = async {
            let client = self.connections.at_once().await;
            failpoint::during(Step::WhileRecording, deliveries::record(&*client, self.term, finished)).await
        };
        // A connection that is dead without a word must not swallow results: kept, they are recorded over the next one. If they were
        // recorded after all, they are not recorded twice.
        within(ANSWER_WITHIN, "record attempts", recorded).await?;
        self.begun
            .recorded(self.term, finished.iter().map(|attempt| attempt.log));
        self.roster.borrow().tally.add(finished);
        self.vitals.recorded(finished);
        Ok(())
    }

    /// Waits for what is under way, at most the grace time; then cuts it off. Each result is kept at once: whoever waits for a dead
    /// connection's answer may be given up any time.
    async fn drain(&self, mut under_way: JoinSet<Ended>) {
        let all_ended = tokio::time::timeout(self.grace, async {
            while let Some(ended) = under_way.join_next().await {
                let (mut finished, mut slots) = (Vec::new(), Vec::new());
                collect(ended, &mut finished, &mut slots);
                self.unrecorded.push(self.term, finished);
            }
        });
        if all_ended.await.is_err() {
            // Their log rows stay pending; the next leader ends them as interrupted.
            tracing::warn!(attempts = under_way.len(), "stopped before all requests had ended");
            under_way.abort_all();
        }
    }
}

/// An attempt that ended, and its slot, which is held until the end is recorded.
type Ended = (Finished, Slot);

/// Who asks for slots when this subscription's deliveries are to be sent.
pub fn claimant_of(subscription: &Accepted) -> Claimant<'_> {
    Claimant {
        subscription: subscription.row.id,
        endpoint: &subscription.endpoint,
        rate: subscription.rate,
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

fn collect(
    ended: std::result::Result<Ended, tokio::task::JoinError>,
    finished: &mut Vec<Finished>,
    slots: &mut Vec<Slot>,
) {
    match ended {
        Ok((attempt, slot)) => {
            finished.push(attempt);
            slots.push(slot);
        }
        // Its log row stays pending until its lease runs out; then it is ended as interrupted. Its slot is free.
        Err(error) => tracing::error!(error = %error, "a request's task died"),
    }
}

/// Makes one attempt. Never fails: whatever happens is in what it returns.
async fn attempt(claimed: Claimed, subscription: Option<Arc<Accepted>>, client: Client) -> Finished {
    let now = SystemTime::now();
    let unix_now = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
    let mut sent = false;
    let ended = match &subscription {
        None => nothing_sent(Failure::Cancelled),
        Some(subscription) if !claimed.redelivered && is_too_old(&claimed, subscription) => {
            nothing_sent(Failure::Expired)
        }
        Some(subscription) => match request::build(&claimed, subscription, unix_now) {
            Ok(request) => {
                sent = true;
                failpoint::reach(Step::BeforeSend);
                let ended = client.send(request).await;
                failpoint::reach(Step::AfterSend);
                ended
            }
            Err(error) => {
                tracing::warn!(
                    subscription.id = claimed.subscription_id, delivery.id = %claimed.delivery_id, error = %error.chain(),
                    "a delivery cannot be sent"
                );
                nothing_sent(Failure::InvalidRequest)
            }
        },
    };
    let retry_in = subscription
        .as_ref()
        .filter(|s| ended.outcome.verdict == Verdict::Retry && claimed.attempt < s.row.max_attempts)
        .map(|s| {
            let attempt = u32::try_from(claimed.attempt).unwrap_or(1);
            s.backoff.delay(attempt, rand::random::<f64>(), ended.retry_after)
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
        // Callback URLs are strangers' words: nobody's failing one may cost a subscription its deliveries.
        endpoint_failed: claimed.callback.is_none() && ended.outcome.failure.is_some_and(Failure::is_of_the_endpoint),
        gone: ended.outcome.verdict == Verdict::Disable,
        sent,
        ended_at: SystemTime::now(),
    }
}

/// The attempt was logged by the database's clock, which is also the one that the event's id tells.
fn is_too_old(claimed: &Claimed, subscription: &Accepted) -> bool {
    let logged_at = claimed
        .log
        .date
        .to_zoned(jiff::tz::TimeZone::UTC)
        .map_or(0, |at| at.timestamp().as_millisecond());
    subscription.is_too_old(event::time_of_id(claimed.event_id), logged_at)
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
