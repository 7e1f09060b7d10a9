//! Keeps the subscriptions: notices changes within a second, looks at each, keeps capture in step with them, and publishes what can
//! be served.
//!
//! A subscription that cannot be served is marked `invalid` with a sentence and stops no other. A table that is too busy for its
//! triggers is tried again with growing pauses; everything else goes on meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::Pool;
use tokio::sync::{Notify, watch};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::deliverer::no_connection;
use super::quarantine::Quarantine;
use super::slots::Slots;
use super::tally::Tally;
use crate::domain::check::Context;
use crate::domain::judge::Judge;
use crate::http::guard::Guard;
use crate::odoo::registry::Registry;
use crate::pg::subscriptions::GiveUp;
use crate::pg::{deliveries, judge, registry, subscriptions};
use crate::subscription::{Accepted, Subscription};
use crate::{Error, Result};

/// How often changes of subscriptions are looked for; SPEC promises a second.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a trigger's DDL may wait for its lock, and writers behind it.
pub const LOCK_WAIT: Duration = Duration::from_millis(300);

/// Pauses between tries of DDL on a busy table.
const BUSY_PAUSE_FIRST: Duration = Duration::from_millis(500);
const BUSY_PAUSE_MOST: Duration = Duration::from_secs(30);

/// How often captured tables are compared with the catalogue: an Odoo upgrade may drop, rename or retype what is watched.
const LOOK_FOR_DRIFT_EVERY: Duration = Duration::from_secs(5);

/// How often triggers that nobody needs are tried to be dropped.
const DROP_IDLE_EVERY: Duration = Duration::from_secs(60);

/// The subscriptions that can be served, by model and by id. Immutable: a change makes a new one.
#[derive(Debug, Default)]
pub struct Roster {
    /// The version of the subscriptions that it was made from; `None` before the first look.
    pub version: Option<i64>,
    by_id: HashMap<i32, Arc<Accepted>>,
    by_model: HashMap<String, OfModel>,
    /// What their deliveries came to; shared by all rosters of a term.
    pub tally: Arc<Tally>,
}

/// The subscriptions of one model.
#[derive(Debug)]
pub struct OfModel {
    /// In order of their ids.
    pub subscriptions: Vec<Arc<Accepted>>,
    /// Judges all their domains in one statement; `None` when none has one.
    pub judge: Option<Judge>,
    /// Each domain alone, for finding out which one fails.
    pub alone: Vec<(Arc<Accepted>, Judge)>,
}

impl Roster {
    fn new(version: i64, accepted: Vec<Accepted>, registry: &Registry, tally: Arc<Tally>) -> Result<Self> {
        let accepted: Vec<Arc<Accepted>> = accepted.into_iter().map(Arc::new).collect();
        let by_id = accepted.iter().map(|s| (s.row.id, Arc::clone(s))).collect();
        let mut grouped: BTreeMap<String, Vec<Arc<Accepted>>> = BTreeMap::new();
        for subscription in accepted {
            grouped
                .entry(subscription.row.model.clone())
                .or_default()
                .push(subscription);
        }
        let mut by_model = HashMap::new();
        for (model, subscriptions) in grouped {
            let domains: Vec<_> = subscriptions
                .iter()
                .filter_map(|s| s.domain.as_ref().map(|domain| (i64::from(s.row.id), domain)))
                .collect();
            let judge = if domains.is_empty() {
                None
            } else {
                Some(Judge::new(&domains, registry)?)
            };
            let mut alone = Vec::new();
            for subscription in &subscriptions {
                if let Some(domain) = &subscription.domain {
                    let of_one = Judge::new(&[(i64::from(subscription.row.id), domain)], registry)?;
                    alone.push((Arc::clone(subscription), of_one));
                }
            }
            by_model.insert(
                model,
                OfModel {
                    subscriptions,
                    judge,
                    alone,
                },
            );
        }
        Ok(Self {
            version: Some(version),
            by_id,
            by_model,
            tally,
        })
    }

    /// The subscriptions of a model.
    pub fn of_model(&self, model: &str) -> Option<&OfModel> {
        self.by_model.get(model)
    }

    /// A subscription that has somewhere to send to; it may be paused or disabled.
    pub fn sendable(&self, id: i32) -> Option<Arc<Accepted>> {
        self.by_id.get(&id).filter(|s| s.url().is_some()).cloned()
    }
}

/// Looks at subscriptions; see [`refresh`].
#[derive(Debug)]
pub struct Looked {
    /// Those that can be served.
    pub accepted: Vec<Accepted>,
    /// Models whose table was too busy to set up its triggers.
    pub busy: BTreeSet<String>,
    /// What they were checked against.
    pub registry: Registry,
}

/// Looks at all subscriptions, records what each is found to be, and brings capture in step. The one path for the service and for
/// `odoo-eventd subscribe`, which has no `guard`: which addresses may be called is the service's setting, so the command line leaves
/// alone what the service refused.
///
/// # Errors
/// Database errors. A subscription that cannot be served is no error; nor is a busy table.
pub async fn refresh(client: &Client, guard: Option<&Guard>, quarantine: &Quarantine) -> Result<Looked> {
    let registry = registry::load(client).await?;
    let mut accepted: Vec<Accepted> = Vec::new();
    for row in subscriptions::load(client).await? {
        if !row.active || (guard.is_none() && row.state.as_deref() == Some("invalid")) {
            continue;
        }
        let checked = match quarantine.reason_for(&row) {
            Some(reason) => Err(Error::usage(reason)),
            None => match check(row.clone(), &registry, guard) {
                Ok(subscription) => may_read_related(client, subscription, &registry).await?,
                refused => refused,
            },
        };
        match checked {
            Ok(subscription) => {
                if subscription.is_recorded() || subscriptions::accept(client, &subscription).await? {
                    accepted.push(subscription);
                }
            }
            Err(error) => {
                let reason = match error.hint() {
                    Some(hint) => format!("{} (hint: {hint})", error.chain()),
                    None => error.chain(),
                };
                if row.state.as_deref() != Some("invalid") || row.error.as_deref() != Some(&reason) {
                    tracing::warn!(subscription.id = row.id, error = %error.chain(), "subscription is invalid");
                    subscriptions::refuse(client, &row, &reason).await?;
                }
            }
        }
    }
    let mut busy = BTreeSet::new();
    for model in subscriptions::unsynced_models(client).await? {
        match subscriptions::sync_capture(client, &model, LOCK_WAIT).await {
            Ok(changed) => {
                if changed {
                    tracing::info!(model, "capture changed");
                }
            }
            Err(error) if error.sql_state() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                tracing::warn!(
                    model,
                    "the table is busy: its triggers will be set up when a lock can be had"
                );
                busy.insert(model);
            }
            Err(error) if is_of_the_model(&error) => {
                tracing::warn!(model, error = %error.chain(), "capture cannot be set up");
                for subscription in accepted.extract_if(.., |s| s.row.model == model) {
                    subscriptions::refuse(client, &subscription.row, &error.chain()).await?;
                }
            }
            Err(error) => return Err(error),
        }
    }
    subscriptions::settle_capture(client).await?;
    let ready: Vec<i32> = accepted
        .iter()
        .filter(|s| !busy.contains(&s.row.model))
        .map(|s| s.row.id)
        .collect();
    subscriptions::mark_ready(client, &ready).await?;
    // Once more, for the transaction that each is judged from; known only now.
    let from: HashMap<i32, (Option<u64>, String)> = subscriptions::load(client)
        .await?
        .into_iter()
        .map(|s| (s.id, (s.captured_from, s.write_stamp)))
        .collect();
    accepted.retain_mut(|subscription| {
        let Some((captured_from, write_stamp)) = from.get(&subscription.row.id) else {
            return false;
        };
        subscription.row.captured_from = *captured_from;
        // Whoever was served before a trigger went missing is served on: leaving it out would move the position past its events.
        let is_served = matches!(subscription.row.state.as_deref(), Some("ready" | "disabled"));
        *write_stamp == subscription.row.write_stamp && (is_served || !busy.contains(&subscription.row.model))
    });
    Ok(Looked {
        accepted,
        busy,
        registry,
    })
}

/// Whether setting up capture failed for a reason that lies in the one model.
fn is_of_the_model(error: &Error) -> bool {
    error.sql_state().is_some_and(|state| {
        [
            &SqlState::UNDEFINED_COLUMN,
            &SqlState::UNDEFINED_TABLE,
            &SqlState::INSUFFICIENT_PRIVILEGE,
        ]
        .contains(&state)
    })
}

/// A domain that looks at other records needs the right to read them; without it every batch would fail.
///
/// The outer error is the database's; the inner one the subscription's.
async fn may_read_related(client: &Client, subscription: Accepted, registry: &Registry) -> Result<Result<Accepted>> {
    let Some(domain) = subscription.domain.as_ref().filter(|domain| domain.reads_related()) else {
        return Ok(Ok(subscription));
    };
    let judge = Judge::new(&[(i64::from(subscription.row.id), domain)], registry)?;
    match judge::rehearse(client, &judge).await {
        Ok(()) => Ok(Ok(subscription)),
        Err(error) if error.sql_state() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            Ok(Err(Error::usage("the domain looks at other records, which the service may not read")
                .with_source(error)
                .with_hint("grant pg_read_all_data to the service's role (PostgreSQL 14 or later), or use stored fields of the model itself")))
        }
        Err(error) => Err(error),
    }
}

/// Looks at one subscription for its maker, now.
///
/// # Errors
/// As [`Accepted::check`].
pub fn check(row: Subscription, registry: &Registry, guard: Option<&Guard>) -> Result<Accepted> {
    let context = context_of(&row);
    Accepted::check(row, registry, &context, guard)
}

/// For whom and when a subscription's domains are meant.
pub fn context_of(row: &Subscription) -> Context {
    let mut context = Context::at(jiff::Timestamp::now());
    context.uid = row.user_id;
    if let Some(lang) = &row.lang {
        context.lang.clone_from(lang);
    }
    context
}

/// The task that keeps the roster.
#[derive(Debug)]
pub struct Keeper {
    /// Connections.
    pub pool: Pool,
    /// A connection of its own, for the registry.
    pub client: Client,
    /// Which addresses may be called.
    pub guard: Guard,
    /// The fencing token.
    pub term: i64,
    /// Where the roster is published.
    pub roster: watch::Sender<Arc<Roster>>,
    /// Somebody changed a subscription.
    pub changed: Arc<Notify>,
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
        let mut retry_at: Option<Instant> = None;
        let mut pause = BUSY_PAUSE_FIRST;
        let mut drop_idle_at = Instant::now() + DROP_IDLE_EVERY;
        let mut look_for_drift_at = Instant::now() + LOOK_FOR_DRIFT_EVERY;
        loop {
            let version = subscriptions::version_of(&self.client).await?;
            let mut must_look = self.quarantine.take_news();
            if look_for_drift_at <= Instant::now() {
                look_for_drift_at = Instant::now() + LOOK_FOR_DRIFT_EVERY;
                // A table that stays busy has its own, growing pauses.
                must_look |= retry_at.is_none() && !subscriptions::unsynced_models(&self.client).await?.is_empty();
            }
            if known_version != Some(version) || must_look || retry_at.is_some_and(|at| at <= Instant::now()) {
                let looked = refresh(&self.client, Some(&self.guard), &self.quarantine).await?;
                if looked.busy.is_empty() {
                    (retry_at, pause) = (None, BUSY_PAUSE_FIRST);
                } else {
                    retry_at = Some(Instant::now() + pause);
                    pause = (pause * 2).min(BUSY_PAUSE_MOST);
                }
                self.publish(version, looked).await?;
                known_version = Some(version);
            }
            let tally = Arc::clone(&self.roster.borrow().tally);
            for (subscription, reason) in tally.note(&self.pool, self.give_up).await? {
                tracing::error!(subscription.id = subscription, reason, "subscription is disabled");
                // Its row has not changed for anybody else: look at once, so that nothing more is sent.
                known_version = None;
            }
            if known_version.is_none() {
                continue;
            }
            if drop_idle_at <= Instant::now() {
                drop_idle_at = Instant::now() + DROP_IDLE_EVERY;
                self.drop_idle().await?;
            }
            tokio::select! {
                () = cancel.cancelled() => {
                    return tally.note(&self.pool, self.give_up).await.map(drop);
                }
                () = self.changed.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn publish(&self, version: i64, looked: Looked) -> Result<()> {
        let tally = Arc::clone(&self.roster.borrow().tally);
        let count = looked.accepted.len();
        let ids: HashSet<i32> = looked.accepted.iter().map(|s| s.row.id).collect();
        let endpoints: HashSet<Arc<str>> = looked.accepted.iter().map(|s| Arc::clone(&s.endpoint)).collect();
        let roster = Roster::new(version, looked.accepted, &looked.registry, tally)?;
        self.slots.retain(&ids, &endpoints);
        self.roster.send_replace(Arc::new(roster));
        let client = self.pool.get().await.map_err(no_connection)?;
        let cancelled = deliveries::cancel_unwanted(&client, self.term).await?;
        tracing::info!(subscriptions = count, cancelled, "subscriptions loaded");
        Ok(())
    }

    async fn drop_idle(&self) -> Result<()> {
        let client = self.pool.get().await.map_err(no_connection)?;
        match subscriptions::drop_idle_triggers(&client, LOCK_WAIT).await {
            Ok(dropped) => {
                for trigger in dropped {
                    tracing::info!(trigger, "dropped a trigger that no subscription needs");
                }
                Ok(())
            }
            Err(error) if error.sql_state() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
