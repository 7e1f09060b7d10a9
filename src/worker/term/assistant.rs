//! Delivers beside the instance that leads, while standing by.
//!
//! One instance reads the outbox and makes deliveries; what it cannot send at once waits in the database, and so does what is to be tried
//! again. An assistant claims of that what it can send. Two kinds it leaves to the leading instance, whose promises hold for all requests
//! together: deliveries in order, and those of subscriptions with a rate limit. It changes neither subscriptions nor capture, and serves
//! what the leading instance has found to be well.
//!
//! It is known to be alive by an advisory lock of its session. When that is gone, the leading instance ends as interrupted what it had
//! claimed, and what it still wants to write is refused, as an earlier leader's is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::pg::connections::Connections;
use crate::pg::{assistants, outbox, subscriptions};
use crate::worker::deliver::deliverer::{Deliverer, Duties, Handed};
use crate::worker::deliver::in_flight::InFlight;
use crate::worker::deliver::recorder::{Log, Unrecorded};
use crate::worker::deliver::slots::Slots;
use crate::worker::term::budget::Budget;
use crate::worker::term::eviction;
use crate::worker::term::supervisor::Options;
use crate::worker::upkeep::admission::{self, ServiceRules};
use crate::worker::upkeep::subscription_set::SubscriptionSet;
use crate::worker::vitals::Vitals;

/// How often changed subscriptions are looked for, as the leading instance does.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How often it is asked whether this database is a copy, which delivers nothing. Claiming asks too.
const LOOK_FOR_COPY_EVERY: Duration = Duration::from_secs(2);

/// What an assistant needs.
#[derive(Debug)]
pub struct Assistant {
    /// Settings of the service.
    pub options: Options,
    /// What the process's databases share.
    pub budget: Budget,
    /// Connections; their lead session is what tells that it is alive.
    pub connections: Connections,
    /// Keeps results that cannot be written.
    pub unrecorded: Unrecorded,
    /// Told of every attempt before it is made.
    pub in_flight: InFlight,
    /// Told of every attempt that was recorded.
    pub vitals: Arc<Vitals>,
}

impl Assistant {
    /// Runs until cancelled; then what is under way may end.
    ///
    /// # Errors
    /// When the database fails, or this assistant was taken for dead.
    pub async fn run(self, cancel: CancellationToken) -> Result<()> {
        let term = assistants::begin(self.connections.lead()).await?;
        self.in_flight.lead(term);
        tracing::info!(number = -term, "delivering what the leading instance leaves");
        let (roster_sender, subscription_set) = watch::channel(Arc::new(SubscriptionSet::default()));
        // Nothing is handed on: there is no dispatcher here.
        let (_handed, nothing_handed) = mpsc::unbounded_channel::<Handed>();
        let slots = Slots::below(self.budget.in_flight(), self.options.limits);
        let deliverer = Deliverer {
            log: Log {
                connections: self.connections.clone(),
                term,
                unrecorded: self.unrecorded.clone(),
                in_flight: self.in_flight.clone(),
                subscription_set,
                vitals: Arc::clone(&self.vitals),
            },
            client: self.options.client.clone(),
            slots: slots.clone(),
            handed: nothing_handed,
            grace: self.options.grace,
            duties: Duties::WhatIsLeft,
        };
        // When one fails the other ends; what is under way is recorded or kept in any case.
        let both = cancel.child_token();
        let (delivered, kept_up) = tokio::join!(
            ending(&both, deliverer.run(both.clone())),
            ending(&both, self.keep_roster(&roster_sender, &slots, &both)),
        );
        eviction::both(delivered, kept_up)?;
        self.in_flight.give_back_of(self.connections.lead(), term).await?;
        assistants::end(self.connections.lead(), term).await
    }

    /// Follows the subscriptions as the leading instance left them.
    async fn keep_roster(
        &self,
        subscription_set: &watch::Sender<Arc<SubscriptionSet>>,
        slots: &Slots,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let rules = ServiceRules {
            guard: self.options.guard.clone(),
            keyring: self.options.keyring.clone(),
        };
        let mut known = None;
        let mut look_for_copy_at = Instant::now();
        let mut is_copy = false;
        while !cancel.is_cancelled() {
            let client = self.connections.at_once().await;
            if look_for_copy_at <= Instant::now() {
                look_for_copy_at = Instant::now() + LOOK_FOR_COPY_EVERY;
                is_copy = outbox::fence(&client).await?.is_some();
                if is_copy && known.take().is_some() {
                    subscription_set.send_replace(Arc::new(SubscriptionSet::default()));
                }
            }
            let version = subscriptions::version_of(&client).await?;
            drop(client);
            if !is_copy && known != Some(version) {
                let Some(aside) = self.budget.aside(&self.options.database, cancel).await? else {
                    break;
                };
                let stats = Arc::clone(&subscription_set.borrow().stats);
                let looked = match admission::as_recorded(&aside, &rules, version, stats).await {
                    // An upgrade of Odoo holds what says which fields there are: those that are served are served on.
                    Err(error) if error.is_lock_timeout() => None,
                    looked => Some(looked?),
                };
                drop(aside);
                let Some((now, is_settled)) = looked else {
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        () = tokio::time::sleep(LOOK_EVERY) => {}
                    }
                    continue;
                };
                slots.retain(&now.subscriptions(), &now.endpoints());
                subscription_set.send_replace(Arc::new(now));
                // While the leading instance is at it, a subscription's state may change without a new version.
                known = is_settled.then_some(version);
            }
            let stats = Arc::clone(&subscription_set.borrow().stats);
            stats.note(&self.connections, self.options.give_up).await?;
            tokio::select! {
                () = cancel.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        let stats = Arc::clone(&subscription_set.borrow().stats);
        stats.note_last(&self.connections, self.options.give_up).await
    }
}

/// Cancels the other when this one has ended.
async fn ending(both: &CancellationToken, work: impl Future<Output = Result<()>>) -> Result<()> {
    let ended = work.await;
    both.cancel();
    ended
}
