//! The task that keeps the roster: notices changes within a second, has them looked at, and publishes what can be served.
//!
//! A table that is too busy for its triggers is tried again with growing pauses.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::pg::Client;
use crate::pg::connect::Database;
use crate::pg::connections::{Connection, Connections};
use crate::pg::subscriptions::GiveUp;
use crate::pg::troubles::{self, Troubles};
use crate::pg::{deliveries, registry, subscriptions};
use crate::worker::deliver::slots::Slots;
use crate::worker::dispatch::behind::Awaited;
use crate::worker::term::budget::Budget;
use crate::worker::upkeep::admission::{self, Busy, LOCK_WAIT, ServiceRules};
use crate::worker::upkeep::known_rows::{Also, Known};
use crate::worker::upkeep::quarantine::Quarantine;
use crate::worker::upkeep::secrets;
use crate::worker::upkeep::subscription_set::SubscriptionSet;

/// What is told while terms begin and end.
pub const TERM_FAILS: &str = "serve this database";

/// How often changes of subscriptions are looked for; SPEC promises a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Pauses between tries of DDL on a busy table.
const BUSY_PAUSE_FIRST: Duration = Duration::from_millis(500);
const BUSY_PAUSE_MOST: Duration = Duration::from_secs(30);

/// Pauses between looks at all subscriptions while an upgrade of Odoo is in the way.
const REFRESH_PAUSE_MOST: Duration = Duration::from_secs(5);

/// How often captured tables are compared with the catalogue: an Odoo upgrade may drop, rename or retype what is watched.
const LOOK_FOR_DRIFT_EVERY: Duration = Duration::from_secs(5);

/// With subscriptions to more models than this that has a connection of its own: those who share the session would wait for it.
const DRIFT_ASIDE: usize = 16;

/// A look at what somebody edited goes before it, but not for longer than this.
const DRIFT_WAITS: Duration = Duration::from_secs(30);

/// Pauses between looks at subscriptions that cannot be served, although nobody changed them.
const INVALID_PAUSE_FIRST: Duration = Duration::from_secs(5);
const INVALID_PAUSE_MOST: Duration = Duration::from_secs(60);

/// Pauses between tries to drop triggers that nobody needs. They come of changed subscriptions only, so the pauses begin there.
const DROP_IDLE_PAUSE_FIRST: Duration = Duration::from_secs(60);
const DROP_IDLE_PAUSE_MOST: Duration = Duration::from_secs(3_600);

/// When something is tried again, and how long the pause after that is.
#[derive(Debug)]
struct Pause {
    at: Option<Instant>,
    next: Duration,
    first: Duration,
    most: Duration,
}

impl Pause {
    fn new(first: Duration, most: Duration) -> Self {
        Self {
            at: None,
            next: first,
            first,
            most,
        }
    }

    fn is_set(&self) -> bool {
        self.at.is_some()
    }

    fn is_due(&self) -> bool {
        self.at.is_some_and(|at| at <= Instant::now())
    }

    fn begin(&mut self) {
        self.at = Some(Instant::now() + self.next);
    }

    fn lengthen(&mut self) {
        self.next = (self.next * 2).min(self.most);
    }

    /// Begins; the one after it will be longer.
    fn begin_growing(&mut self) {
        self.begin();
        self.lengthen();
    }

    fn end(&mut self) {
        (self.at, self.next) = (None, self.first);
    }
}

/// What the keeper remembers from one round to the next.
struct Memory {
    /// The version of the subscriptions that all of `known` was looked at with.
    version: Option<i64>,
    known: Option<Known>,
    /// What Odoo's tables said of its fields then.
    stamp: Option<String>,
    /// What is looked at although nobody changed it.
    also: Also,
    busy: Busy,
    /// Tables that were busy are tried again.
    retry: Pause,
    /// All subscriptions are looked at again: an upgrade of Odoo was in the way.
    refresh: Pause,
    /// Those that cannot be served are looked at again.
    invalid: Pause,
    /// Triggers that nobody needs are dropped.
    drop_idle: Pause,
    look_for_drift_at: Instant,
    troubles: Troubles,
    is_first: bool,
}

impl Memory {
    fn new() -> Self {
        Self {
            version: None,
            known: None,
            stamp: None,
            also: Also::default(),
            busy: Busy::new(),
            retry: Pause::new(BUSY_PAUSE_FIRST, BUSY_PAUSE_MOST),
            refresh: Pause::new(BUSY_PAUSE_FIRST, REFRESH_PAUSE_MOST),
            invalid: Pause::new(INVALID_PAUSE_FIRST, INVALID_PAUSE_MOST),
            drop_idle: Pause::new(DROP_IDLE_PAUSE_FIRST, DROP_IDLE_PAUSE_MOST),
            look_for_drift_at: Instant::now() + LOOK_FOR_DRIFT_EVERY,
            troubles: Troubles::default(),
            is_first: true,
        }
    }

    /// Whether it is time to look at some although their rows are as they were.
    fn take_due(&mut self, version: i64) -> bool {
        let mut must_look = false;
        if self.version != Some(version) {
            self.invalid.next = self.invalid.first;
        } else if self.invalid.is_due() {
            must_look = true;
            self.also.invalid = true;
            self.invalid.lengthen();
        }
        if self.retry.is_due() {
            // What waits for another reason than its table is looked at again in any case.
            let busy = std::mem::take(&mut self.busy);
            self.also
                .models
                .extend(busy.into_keys().filter(|model| !model.is_empty()));
            must_look = true;
        }
        must_look
    }

    /// Keeps what a look has found; a `version` if it was a look at all that had changed.
    fn looked(&mut self, known: Known, version: Option<i64>) {
        if self.busy.is_empty() {
            self.retry.end();
        } else {
            self.retry.begin_growing();
        }
        // What an upgrade took away it may give back: a table that is made anew, a field that is installed later.
        if known.has_invalid() {
            self.invalid.begin();
        } else {
            self.invalid.at = None;
        }
        self.drop_idle.end();
        self.drop_idle.begin_growing();
        self.known = Some(known);
        self.version = version;
    }
}

/// One round of the keeper's.
struct Round {
    /// The version of the subscriptions now.
    version: i64,
    /// What Odoo's tables say of its fields, if it was asked.
    stamp: Option<String>,
    must_look: bool,
}

/// Tells whether what Odoo's tables say of its fields has changed; none while an upgrade of Odoo holds one of them.
async fn stamp_of(client: &Client, troubles: &mut Troubles) -> Result<Option<String>> {
    match registry::stamp(client, LOCK_WAIT).await {
        Err(error) if error.is_lock_timeout() => Ok(None),
        looked => troubles.settle(client, "look for changed fields", looked).await,
    }
}

/// The task that keeps the roster.
#[derive(Debug)]
pub struct Keeper {
    /// Connections.
    pub connections: Connections,
    /// Where a connection of its own is made, for what takes long.
    pub database: Database,
    /// How many databases do that at once.
    pub budget: Budget,
    /// What subscriptions are judged by.
    pub rules: ServiceRules,
    /// The fencing token.
    pub term: i64,
    /// Where the roster is published.
    pub subscription_set: watch::Sender<Arc<SubscriptionSet>>,
    /// Somebody changed a subscription.
    pub changed: Arc<Notify>,
    /// Those that events wait for.
    pub awaited: Awaited,
    /// Whose domain failed on a record's data.
    pub quarantine: Quarantine,
    /// When an endpoint that fails everything is given up.
    pub give_up: GiveUp,
    /// Forgets who is gone.
    pub slots: Slots,
}

impl Keeper {
    /// Runs until cancelled.
    ///
    /// # Errors
    /// Database errors.
    pub async fn run(self, cancel: CancellationToken) -> Result<()> {
        let mut memory = Memory::new();
        let mut secrets = secrets::Tender::new(self.rules.keyring.clone());
        loop {
            let client = self.connections.at_once().await;
            secrets.tend(&client).await?;
            let mut round = Round {
                version: subscriptions::version_of(&client).await?,
                stamp: None,
                must_look: self.quarantine.take_news(),
            };
            self.look_for_drift(&client, &mut memory, &mut round, &cancel).await?;
            round.must_look |= memory.take_due(round.version);
            let is_held = memory.refresh.is_set() && !memory.refresh.is_due();
            let is_needed = memory.version != Some(round.version) || round.must_look || memory.refresh.is_set();
            if !is_needed || is_held {
                drop(client);
            } else if !self.look(client, &mut memory, round, &cancel).await? {
                break;
            }
            let stats = Arc::clone(&self.subscription_set.borrow().stats);
            for (subscription, reason) in stats.note(&self.connections, self.give_up).await? {
                tracing::error!(subscription.id = subscription, reason, "subscription is disabled");
                // Its row has not changed for anybody else: look at once, so that nothing more is sent.
                memory.also.subscriptions.insert(subscription);
                memory.version = None;
            }
            if memory.version.is_none() && !memory.refresh.is_set() && !cancel.is_cancelled() {
                continue;
            }
            if memory.drop_idle.is_due() {
                self.drop_idle(&mut memory.troubles, &cancel).await?;
                // Those of a table that was busy are left.
                memory.drop_idle.begin_growing();
            }
            tokio::select! {
                () = cancel.cancelled() => break,
                () = self.changed.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        let stats = Arc::clone(&self.subscription_set.borrow().stats);
        stats.note_last(&self.connections, self.give_up).await
    }

    /// Finds out, when it is time, whether captured tables and Odoo's fields are what they were.
    async fn look_for_drift(
        &self,
        client: &Client,
        memory: &mut Memory,
        round: &mut Round,
        cancel: &CancellationToken,
    ) -> Result<()> {
        let is_edited = memory.version != Some(round.version) && memory.known.is_some();
        let waits = if is_edited { DRIFT_WAITS } else { Duration::ZERO };
        if memory.look_for_drift_at + waits > Instant::now() {
            return Ok(());
        }
        memory.look_for_drift_at = Instant::now() + LOOK_FOR_DRIFT_EVERY;
        let captured = memory.known.as_ref().map_or(0, Known::models);
        let own = match captured > DRIFT_ASIDE {
            true => self.connections.own_until(cancel).await?,
            false => None,
        };
        let asked: &Client = match &own {
            Some(own) => own,
            None => client,
        };
        let drifted = match subscriptions::note_drift(asked, LOCK_WAIT).await {
            // Somebody is changing the capture; that is looked at afterwards.
            Err(error) if error.is_lock_timeout() => Vec::new(),
            looked => memory
                .troubles
                .settle(asked, "look for drift", looked)
                .await?
                .unwrap_or_default(),
        };
        // A table that stays busy has its own, growing pauses.
        if !memory.retry.is_set() && !drifted.is_empty() {
            memory.also.models.extend(drifted);
            round.must_look = true;
        }
        // Fields that came, went or changed: Studio, an upgrade. A look for another reason asks too.
        round.stamp = stamp_of(asked, &mut memory.troubles).await?;
        round.must_look |= round.stamp.is_some() && round.stamp != memory.stamp;
        Ok(())
    }

    /// Looks at what changed, or at everything, and publishes what it finds. False when it was cancelled.
    async fn look(
        &self,
        client: Connection,
        memory: &mut Memory,
        mut round: Round,
        cancel: &CancellationToken,
    ) -> Result<bool> {
        // Before the look: what changes during it is found at the next.
        if round.stamp.is_none() {
            round.stamp = stamp_of(&client, &mut memory.troubles).await?;
        }
        if round.stamp.is_some() && round.stamp != memory.stamp {
            memory.known = None;
        }
        drop(client);
        let Some(known) = memory.known.take() else {
            return self.look_at_all(memory, round, cancel).await;
        };
        // Its own, since a setting of the session tells how long a look may wait for a lock.
        let Some(own) = self.connections.own_until(cancel).await? else {
            return Ok(false);
        };
        let also = std::mem::take(&mut memory.also);
        let looked = known
            .look(&own, &self.rules, &self.quarantine, also, &self.awaited)
            .await?;
        let Some((known, changed)) = looked else {
            drop(own);
            return self.look_at_all(memory, round, cancel).await;
        };
        let version = changed.is_all.then_some(round.version);
        self.publish_changed(&own, version, &known, &changed.ids).await?;
        memory.busy.extend(changed.busy);
        memory.busy.extend(Known::narrow(&own, &changed.concerned).await?);
        memory.looked(known, version);
        Ok(true)
    }

    async fn look_at_all(&self, memory: &mut Memory, round: Round, cancel: &CancellationToken) -> Result<bool> {
        let Some(aside) = self.budget.aside(&self.database, cancel).await? else {
            return Ok(false);
        };
        memory.stamp = round.stamp;
        memory.also = Also::default();
        let looked = admission::refresh(&aside, Some(&self.rules), &self.quarantine).await;
        let looked = memory
            .troubles
            .settle(&aside, "look at the subscriptions", looked)
            .await?;
        let Some(mut looked) = looked else {
            // An upgrade of Odoo holds what says which fields there are: those that are served are served on.
            memory.refresh.begin_growing();
            return Ok(true);
        };
        memory.refresh.end();
        memory.busy = std::mem::take(&mut looked.busy);
        let known = Known::of(looked);
        self.publish(&aside, round.version, &known).await?;
        if std::mem::take(&mut memory.is_first) {
            troubles::end(&aside, TERM_FAILS).await?;
        }
        memory.looked(known, Some(round.version));
        Ok(true)
    }

    async fn publish(&self, client: &Client, version: i64, known: &Known) -> Result<()> {
        let stats = Arc::clone(&self.subscription_set.borrow().stats);
        let mut subscription_set =
            SubscriptionSet::new(version, known.served.values().map(Arc::clone), &known.registry, stats)?;
        subscription_set.keyring.clone_from(&self.rules.keyring);
        subscription_set.stamps = Arc::new(known.stamps().clone());
        self.serve(client, subscription_set, known.served.len()).await
    }

    /// `version` is none of what was looked at in part.
    async fn publish_changed(
        &self,
        client: &Client,
        version: Option<i64>,
        known: &Known,
        ids: &HashSet<i32>,
    ) -> Result<()> {
        let before = Arc::clone(&self.subscription_set.borrow());
        let mut subscription_set = before.changed(version, ids, &known.served, &known.registry)?;
        subscription_set.stamps = Arc::new(known.stamps().clone());
        self.serve(client, subscription_set, ids.len()).await
    }

    async fn serve(&self, client: &Client, subscription_set: SubscriptionSet, looked_at: usize) -> Result<()> {
        self.slots
            .retain(&subscription_set.subscriptions(), &subscription_set.endpoints());
        let count = subscription_set.subscriptions().len();
        self.subscription_set.send_replace(Arc::new(subscription_set));
        let cancelled = deliveries::cancel_unwanted(client, self.term).await?;
        tracing::info!(subscriptions = count, looked_at, cancelled, "subscriptions loaded");
        Ok(())
    }

    async fn drop_idle(&self, troubles: &mut Troubles, cancel: &CancellationToken) -> Result<()> {
        let Some(client) = self.budget.aside(&self.database, cancel).await? else {
            return Ok(());
        };
        loop {
            let dropped = subscriptions::drop_idle_triggers(&client, LOCK_WAIT).await;
            let dropped = troubles
                .settle(&client, "drop triggers that nobody needs", dropped)
                .await?;
            let Some(dropped) = dropped.filter(|dropped| !dropped.is_empty()) else {
                return Ok(());
            };
            for trigger in dropped {
                tracing::info!(trigger, "dropped a trigger that no subscription needs");
            }
        }
    }
}
