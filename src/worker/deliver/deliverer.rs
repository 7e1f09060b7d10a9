//! Sends claimed deliveries, and has recorded what came of them ([`crate::worker::deliver::recorder`]). What was claimed and is not sent when the term ends
//! is given back ([`crate::worker::deliver::in_flight`]).
//!
//! What waits in the database is looked for once a second; for subscriptions that are known to be behind also whenever a slot has
//! become free, and when the next token of a rate limit comes. Nobody looks in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::delivery::{Failure, Outcome, Verdict};
use crate::failpoint::{self, Step};
use crate::http::client::{Attempt, Client, Request};
use crate::pg::deliveries::{self, Claimed, Finished, Wanted};
use crate::subscription::ResolvedSubscription;
use crate::worker::deliver::backlog::Backlog;
use crate::worker::deliver::callbacks;
use crate::worker::deliver::recorder::{Ended, Log, Recorder};
use crate::worker::deliver::request;
use crate::worker::deliver::slots::{Claimant, Patience, Slot, Slots};
use crate::worker::term::timeout::{ANSWER_WITHIN, within};
use crate::{Result, event};

/// How often waiting deliveries are looked for, beside when a slot becomes free.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often deliveries that nobody can send are looked for, where some are due: their subscription went while they were made.
const CANCEL_EVERY: Duration = Duration::from_secs(5);

/// What the dispatcher hands on.
#[derive(Debug)]
pub enum Handed {
    /// An attempt that it claimed, with the slot for it.
    Claimed(Box<Claimed>, Slot),
    /// Lanes (subscription, part) to which it has added behind others.
    Lanes(Vec<(i32, i64)>),
    /// A large transaction's deliveries wait: they were written long before they were committed.
    Backlog,
}

/// What a deliverer takes care of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duties {
    /// Everything: it belongs to the leading instance.
    All,
    /// What waits in the database, but for lanes and rate limits, which one instance alone can keep.
    WhatIsLeft,
}

/// What a deliverer needs.
#[derive(Debug)]
pub struct Deliverer {
    /// The database, and what came of attempts.
    pub log: Log,
    /// Sends.
    pub client: Client,
    /// Who may send how much at once.
    pub slots: Slots,
    /// From the dispatcher.
    pub handed: mpsc::UnboundedReceiver<Handed>,
    /// How long attempts under way may go on after a stop.
    pub grace: Duration,
    /// What it takes care of.
    pub duties: Duties,
}

impl Deliverer {
    /// Runs until cancelled, then lets what is under way end, for at most the grace time.
    ///
    /// # Errors
    /// When the database fails or another instance leads; what ended meanwhile is in [`crate::worker::deliver::recorder::Unrecorded`].
    pub async fn run(mut self, cancel: CancellationToken) -> Result<()> {
        let mut under_way: JoinSet<Ended> = JoinSet::new();
        let mut recorder = Recorder::new(self.log.clone());
        let result = self.work(&mut under_way, &mut recorder, &cancel).await;
        self.drain(under_way, &mut recorder).await;
        recorder.finish(result).await
    }

    async fn work(
        &mut self,
        under_way: &mut JoinSet<Ended>,
        recorder: &mut Recorder,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut cancel_at = Instant::now();
        let mut next_token: Option<Instant> = None;
        let mut lanes = Vec::new();
        let mut waiting = Backlog::default();
        loop {
            let mut patience = Patience::OnlyWell;
            let record_at = recorder.due_at();
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                _ = look.tick() => patience = Patience::Everybody,
                () = until(next_token) => {}
                recorded = recorder.written() => self.settle(recorded?),
                handed = self.handed.recv() => {
                    let Some(handed) = handed else { return Ok(()) };
                    let mut next = Some(handed);
                    while let Some(handed) = next {
                        match handed {
                            Handed::Claimed(claimed, slot) => self.send(*claimed, slot, under_way),
                            Handed::Lanes(more) => lanes.extend(more),
                            Handed::Backlog => {
                                waiting.distrust();
                                patience = Patience::Everybody;
                            }
                        }
                        next = self.handed.try_recv().ok();
                    }
                    if lanes.is_empty() && patience == Patience::OnlyWell {
                        continue;
                    }
                }
                Some(ended) = under_way.join_next() => {
                    recorder.add(ended);
                    while let Some(ended) = under_way.try_join_next() {
                        recorder.add(ended);
                    }
                    if lanes.is_empty() {
                        recorder.write_if_worth(under_way.is_empty());
                    }
                    continue;
                }
                () = until(record_at) => {
                    recorder.write_if_worth(true);
                    continue;
                }
            }
            if !lanes.is_empty() && !recorder.is_writing() {
                // Nobody may wait for a dead connection here: what ends meanwhile would not be collected, and lost with the task.
                let client = self.log.connections.at_once().await;
                within(ANSWER_WITHIN, "wake lanes", deliveries::wake_lanes(&*client, &lanes)).await?;
                lanes
                    .drain(..)
                    .for_each(|(subscription, _)| self.slots.note_behind(subscription));
            }
            // Those that ended while the last group was written.
            recorder.write_if_worth(under_way.is_empty());
            if patience == Patience::Everybody {
                let looked = self.look(&mut waiting, &mut cancel_at);
                within(ANSWER_WITHIN, "look for due deliveries", looked).await?;
            }
            let claimed = self.claim_waiting(under_way, &mut waiting, patience);
            next_token = within(ANSWER_WITHIN, "claim deliveries", claimed).await?;
        }
    }

    /// Gives the slots of recorded attempts back. What waits behind one in its lane may be due now.
    fn settle(&self, recorded: Vec<Ended>) {
        let subscription_set = self.log.subscription_set.borrow();
        for (attempt, slot) in recorded {
            if !attempt.sent {
                slot.refund();
            }
            if subscription_set
                .sendable(attempt.subscription_id)
                .is_some_and(|s| s.row.ordered)
            {
                self.slots.note_behind(attempt.subscription_id);
            }
        }
    }

    /// Finds out for whom something is due, and ends what nobody can send any more.
    async fn look(&self, waiting: &mut Backlog, cancel_at: &mut Instant) -> Result<()> {
        let client = self.log.connections.at_once().await;
        let subscription_set = Arc::clone(&self.log.subscription_set.borrow());
        let due = waiting.look(&client, &subscription_set).await?;
        let somebody_is_away = self.duties == Duties::All
            && due.iter().any(|id| {
                subscription_set
                    .sendable(*id)
                    .is_none_or(|s| s.row.disabled_at.is_some())
            });
        if somebody_is_away && *cancel_at <= Instant::now() {
            *cancel_at = Instant::now() + CANCEL_EVERY;
            let ended = deliveries::cancel_unwanted(&client, self.log.term).await?;
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

    fn send(&self, claimed: Claimed, slot: Slot, under_way: &mut JoinSet<Ended>) {
        // A callback that is gone is an endpoint that is gone.
        let has_endpoint = |s: &Arc<ResolvedSubscription>| !s.sends_to_callbacks() || claimed.callback.is_some();
        let subscription = self
            .log
            .subscription_set
            .borrow()
            .sendable(claimed.subscription_id)
            .filter(has_endpoint);
        let client = self.client.clone();
        self.log.in_flight.add(self.log.term, claimed.log);
        let request = async move {
            let mut slot = slot;
            let finished = attempt(claimed, subscription, client).await;
            if finished.sent {
                slot.note(finished.success);
            }
            slot.request_ended();
            (finished, slot)
        };
        under_way.spawn(request.in_current_span());
    }

    /// Claims what waits, as far as there are slots. Returns when to come back for the next token of a rate limit.
    async fn claim_waiting(
        &self,
        under_way: &mut JoinSet<Ended>,
        waiting: &mut Backlog,
        patience: Patience,
    ) -> Result<Option<Instant>> {
        let now = Instant::now();
        let mut wanted = Vec::new();
        let mut granted: HashMap<i32, Vec<Slot>> = HashMap::new();
        let mut next_token: Option<Instant> = None;
        {
            let subscription_set = self.log.subscription_set.borrow();
            // A subscription that is gone has its deliveries ended, one that is paused keeps them.
            let is_sending = |id: i32| subscription_set.sendable(id).filter(|s| s.is_sending());
            let behind: Vec<_> = self.slots.behind().into_iter().filter_map(is_sending).collect();
            let mut sharers: HashMap<Arc<str>, usize> = HashMap::new();
            for subscription in &behind {
                *sharers.entry(Arc::clone(&subscription.endpoint)).or_default() += 1;
            }
            for subscription in behind {
                let id = subscription.row.id;
                if self.duties == Duties::WhatIsLeft && (subscription.row.ordered || subscription.rate.is_some()) {
                    continue;
                }
                let claimant = claimant_of(&subscription);
                // Few at a time would be many statements; when others have ended there is more room. A rate limit is not of that kind.
                if patience == Patience::OnlyWell && claimant.rate.is_none() && !self.slots.has_room(claimant) {
                    continue;
                }
                let slots = self.slots.take(
                    claimant,
                    self.slots.share(claimant, sharers[&subscription.endpoint]),
                    patience,
                    now,
                );
                if slots.is_empty() {
                    let token = self.slots.next_token(claimant, now);
                    next_token = [next_token, token].into_iter().flatten().min();
                } else {
                    wanted.push(Wanted {
                        subscription: id,
                        most: slots.len(),
                        timeout: Duration::from_millis(u64::from(subscription.row.timeout_ms)),
                        since: waiting.since(&subscription),
                    });
                    granted.insert(id, slots);
                }
            }
        }
        if wanted.is_empty() {
            return Ok(next_token);
        }
        let client = self.log.connections.at_once().await;
        let mut claimed = deliveries::claim(&*client, self.log.term, &wanted).await?;
        if !claimed.is_empty() {
            failpoint::reach(Step::AfterClaim);
        }
        waiting.claimed(&claimed);
        let subscription_set = Arc::clone(&self.log.subscription_set.borrow());
        callbacks::attach(&*client, &subscription_set, &mut claimed).await?;
        drop(client);
        for claimed in claimed {
            if let Some(slot) = granted.get_mut(&claimed.subscription_id).and_then(Vec::pop) {
                self.send(claimed, slot, under_way);
            }
        }
        for (id, unused) in granted {
            if unused.is_empty() {
                // There may be more; a rate limit says when.
                let subscription_set = self.log.subscription_set.borrow();
                let token = subscription_set
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

    /// Waits for what is under way, at most the grace time; then cuts it off. Slots end with the deliverer.
    async fn drain(&self, mut under_way: JoinSet<Ended>, recorder: &mut Recorder) {
        let all_ended = tokio::time::timeout(self.grace, async {
            while let Some(ended) = under_way.join_next().await {
                recorder.add(ended);
            }
        });
        if all_ended.await.is_err() {
            // Their log rows stay pending; the next leader ends them as interrupted.
            tracing::warn!(attempts = under_way.len(), "stopped before all requests had ended");
            under_way.abort_all();
        }
    }
}

/// Who asks for slots when this subscription's deliveries are to be sent.
pub fn claimant_of(subscription: &ResolvedSubscription) -> Claimant<'_> {
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

/// Makes one attempt. Never fails: whatever happens is in what it returns.
async fn attempt(mut claimed: Claimed, subscription: Option<Arc<ResolvedSubscription>>, client: Client) -> Finished {
    let now = SystemTime::now();
    let unix_now = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
    let mut sent = false;
    let target = subscription
        .as_ref()
        .and_then(|subscription| subscription.target.as_ref());
    // Records' callbacks may name any number of hosts.
    let host = match target.and_then(|url| url.host_str()) {
        _ if claimed.callback.is_some() => "record callbacks",
        host => host.unwrap_or_default(),
    }
    .to_owned();
    let ended = match &subscription {
        None => nothing_sent(Failure::Cancelled),
        Some(subscription) if !claimed.redelivered && is_too_old(&claimed, subscription) => {
            nothing_sent(Failure::Expired)
        }
        Some(subscription) => match request_of(&mut claimed, subscription, unix_now) {
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
        error_detail: ended.detail,
        duration_ms,
        host,
        retry_in,
        // Callback URLs are strangers' words: nobody's failing one may cost a subscription its deliveries.
        endpoint_failed: claimed.callback.is_none() && ended.outcome.failure.is_some_and(Failure::is_of_the_endpoint),
        gone: ended.outcome.verdict == Verdict::Disable,
        sent,
        ended_at: SystemTime::now(),
    }
}

/// The request of an attempt; its body goes with it.
fn request_of(claimed: &mut Claimed, subscription: &ResolvedSubscription, unix_now: i64) -> Result<Request> {
    let body = std::mem::take(&mut claimed.body).into();
    request::build(claimed, body, subscription, unix_now)
}

/// The attempt was logged by the database's clock, which is also the one that the event's id tells.
fn is_too_old(claimed: &Claimed, subscription: &ResolvedSubscription) -> bool {
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
