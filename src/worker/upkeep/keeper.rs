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
use crate::pg::connections::Connections;
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

fn is_due(at: Option<Instant>) -> bool {
    at.is_some_and(|at| at <= Instant::now())
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
        let mut known_version = None;
        let mut known: Option<Known> = None;
        let mut also = Also::default();
        let mut busy = Busy::new();
        let mut retry_at: Option<Instant> = None;
        let mut pause = BUSY_PAUSE_FIRST;
        let (mut invalid_at, mut invalid_pause) = (None::<Instant>, INVALID_PAUSE_FIRST);
        let (mut drop_idle_at, mut drop_idle_pause) = (None::<Instant>, DROP_IDLE_PAUSE_FIRST);
        let mut look_for_drift_at = Instant::now() + LOOK_FOR_DRIFT_EVERY;
        let mut troubles = Troubles::default();
        let mut is_first = true;
        let (mut refresh_at, mut refresh_pause) = (None::<Instant>, BUSY_PAUSE_FIRST);
        let mut known_stamp: Option<String> = None;
        let mut secrets = secrets::Tender::new(self.rules.keyring.clone());
        loop {
            let client = self.connections.at_once().await;
            secrets.tend(&client).await?;
            let version = subscriptions::version_of(&client).await?;
            let mut must_look = self.quarantine.take_news();
            let mut stamp = None;
            let is_edited = known_version != Some(version) && known.is_some();
            let waits = if is_edited { DRIFT_WAITS } else { Duration::ZERO };
            if look_for_drift_at + waits <= Instant::now() {
                look_for_drift_at = Instant::now() + LOOK_FOR_DRIFT_EVERY;
                let captured = known.as_ref().map_or(0, Known::models);
                let own = match captured > DRIFT_ASIDE {
                    true => self.connections.own_until(&cancel).await?,
                    false => None,
                };
                let asked: &Client = match &own {
                    Some(own) => own,
                    None => &client,
                };
                let drifted = match subscriptions::note_drift(asked, LOCK_WAIT).await {
                    // Somebody is changing the capture; that is looked at afterwards.
                    Err(error) if error.is_lock_timeout() => Vec::new(),
                    looked => troubles
                        .settle(asked, "look for drift", looked)
                        .await?
                        .unwrap_or_default(),
                };
                // A table that stays busy has its own, growing pauses.
                if retry_at.is_none() && !drifted.is_empty() {
                    also.models.extend(drifted);
                    must_look = true;
                }
                // Fields that came, went or changed: Studio, an upgrade. A look for another reason asks too.
                stamp = stamp_of(asked, &mut troubles).await?;
                must_look |= stamp.is_some() && stamp != known_stamp;
            }
            if known_version != Some(version) {
                invalid_pause = INVALID_PAUSE_FIRST;
            } else if is_due(invalid_at) {
                must_look = true;
                also.invalid = true;
                invalid_pause = (invalid_pause * 2).min(INVALID_PAUSE_MOST);
            }
            if is_due(retry_at) {
                // What waits for another reason than its table is looked at again in any case.
                also.models
                    .extend(std::mem::take(&mut busy).into_keys().filter(|model| !model.is_empty()));
                must_look = true;
            }
            let is_held = refresh_at.is_some() && !is_due(refresh_at);
            if (known_version != Some(version) || must_look || refresh_at.is_some()) && !is_held {
                // Before the look: what changes during it is found at the next.
                if stamp.is_none() {
                    stamp = stamp_of(&client, &mut troubles).await?;
                }
                if stamp.is_some() && stamp != known_stamp {
                    known = None;
                }
                drop(client);
                let looked = match known.take() {
                    Some(known) => {
                        // Its own, since a setting of the session tells how long a look may wait for a lock.
                        let Some(own) = self.connections.own_until(&cancel).await? else {
                            break;
                        };
                        let also = std::mem::take(&mut also);
                        let looked = known
                            .look(&own, &self.rules, &self.quarantine, also, &self.awaited)
                            .await?;
                        looked.map(|(known, changed)| (own, known, changed))
                    }
                    None => None,
                };
                let mut is_all = true;
                if let Some((own, now, changed)) = looked {
                    is_all = changed.is_all;
                    self.publish_changed(&own, is_all.then_some(version), &now, &changed.ids)
                        .await?;
                    known = Some(now);
                    busy.extend(changed.busy);
                    busy.extend(Known::narrow(&own, &changed.concerned).await?);
                } else {
                    let Some(aside) = self.budget.aside(&self.database, &cancel).await? else {
                        break;
                    };
                    known_stamp = stamp;
                    also = Also::default();
                    let looked = admission::refresh(&aside, Some(&self.rules), &self.quarantine).await;
                    let looked = troubles.settle(&aside, "look at the subscriptions", looked).await?;
                    if let Some(mut looked) = looked {
                        (refresh_at, refresh_pause) = (None, BUSY_PAUSE_FIRST);
                        busy = std::mem::take(&mut looked.busy);
                        let now = Known::of(looked);
                        self.publish(&aside, version, &now).await?;
                        known = Some(now);
                        if std::mem::take(&mut is_first) {
                            troubles::end(&aside, TERM_FAILS).await?;
                        }
                    } else {
                        // An upgrade of Odoo holds what says which fields there are: those that are served are served on.
                        refresh_at = Some(Instant::now() + refresh_pause);
                        refresh_pause = (refresh_pause * 2).min(REFRESH_PAUSE_MOST);
                    }
                }
                if known.is_some() {
                    if busy.is_empty() {
                        (retry_at, pause) = (None, BUSY_PAUSE_FIRST);
                    } else {
                        retry_at = Some(Instant::now() + pause);
                        pause = (pause * 2).min(BUSY_PAUSE_MOST);
                    }
                    // What an upgrade took away it may give back: a table that is made anew, a field that is installed later.
                    let has_invalid = known.as_ref().is_some_and(Known::has_invalid);
                    invalid_at = has_invalid.then(|| Instant::now() + invalid_pause);
                    drop_idle_pause = DROP_IDLE_PAUSE_FIRST;
                    drop_idle_at = Some(Instant::now() + drop_idle_pause);
                    known_version = is_all.then_some(version);
                }
            } else {
                drop(client);
            }
            let stats = Arc::clone(&self.subscription_set.borrow().stats);
            for (subscription, reason) in stats.note(&self.connections, self.give_up).await? {
                tracing::error!(subscription.id = subscription, reason, "subscription is disabled");
                // Its row has not changed for anybody else: look at once, so that nothing more is sent.
                also.subscriptions.insert(subscription);
                known_version = None;
            }
            if known_version.is_none() && refresh_at.is_none() && !cancel.is_cancelled() {
                continue;
            }
            if is_due(drop_idle_at) {
                self.drop_idle(&mut troubles, &cancel).await?;
                // Those of a table that was busy are left.
                drop_idle_pause = (drop_idle_pause * 2).min(DROP_IDLE_PAUSE_MOST);
                drop_idle_at = Some(Instant::now() + drop_idle_pause);
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
