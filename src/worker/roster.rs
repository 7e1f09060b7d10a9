//! Keeps the subscriptions: notices changes within a second, looks at each, keeps capture in step with them, and publishes what can
//! be served.
//!
//! A subscription that cannot be served is marked `invalid` with a sentence and stops no other. A table that is too busy for its
//! triggers is tried again with growing pauses; everything else goes on meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::known::{Also, Known};
use super::process::Process;
use super::quarantine::Quarantine;
use super::secrets;
use super::slots::Slots;
use super::tally::Tally;
use crate::domain::check::{Context, check_text};
use crate::domain::judge::Judge;
use crate::http::guard::Guard;
use crate::odoo::registry::Registry;
use crate::pg::connect::Database;
use crate::pg::connections::Connections;
use crate::pg::subscriptions::{GiveUp, Unreadable};
use crate::pg::{deliveries, judge, records, registry, subscriptions};
use crate::relations::{Derivation, Derivations};
use crate::sealing::Keyring;
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

/// Pauses between looks at subscriptions that cannot be served, although nobody changed them.
const INVALID_PAUSE_FIRST: Duration = Duration::from_secs(5);
const INVALID_PAUSE_MOST: Duration = Duration::from_secs(60);

/// Pauses between tries to drop triggers that nobody needs. They come of changed subscriptions only, so the pauses begin there.
const DROP_IDLE_PAUSE_FIRST: Duration = Duration::from_secs(60);
const DROP_IDLE_PAUSE_MOST: Duration = Duration::from_secs(3_600);

/// The subscriptions that can be served, by model and by id. Immutable: a change makes a new one.
#[derive(Debug, Default)]
pub struct Roster {
    /// The version of the subscriptions that it was made from; `None` before the first look.
    pub version: Option<i64>,
    by_id: HashMap<i32, Arc<Accepted>>,
    by_model: HashMap<String, Arc<OfModel>>,
    /// Opens the secrets of callbacks.
    pub keyring: Option<Arc<Keyring>>,
    /// The watched fields that are kept elsewhere than in a column of their own.
    pub derivations: Arc<Derivations>,
    /// Models of which values are sent to subscriptions of those that inherit from them.
    pub parents_sent: HashSet<String>,
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
    /// What the domains were checked against.
    registry: Arc<Registry>,
    /// Some domain speaks of the time: it is checked again at each batch.
    is_timed: bool,
    /// The columns of which somebody needs the value.
    pub whole: Vec<String>,
    /// Subscriptions whose domain reads what a parent of `_inherits` keeps.
    pub inheriting: HashSet<i64>,
}

/// The judge of a batch.
#[derive(Debug)]
pub enum Current<'r> {
    /// The one of all batches.
    Kept(&'r Judge),
    /// Made for this moment.
    Made(Box<Judge>),
}

impl std::ops::Deref for Current<'_> {
    type Target = Judge;

    fn deref(&self) -> &Judge {
        match self {
            Self::Kept(judge) => judge,
            Self::Made(judge) => judge,
        }
    }
}

impl OfModel {
    /// The judge to ask now: `context_today()` and the like mean the moment at which an event is processed.
    ///
    /// # Errors
    /// The domains no longer go together; they did when the roster was made.
    pub fn judge_now(&self) -> Result<Option<Current<'_>>> {
        let (Some(kept), true) = (&self.judge, self.is_timed) else {
            return Ok(self.judge.as_ref().map(Current::Kept));
        };
        let registry = &self.registry;
        let anew: Vec<_> = self
            .subscriptions
            .iter()
            .filter_map(|s| Some((s, s.domain.as_ref()?)))
            .map(|(subscription, domain)| {
                let row = &subscription.row;
                let again = domain
                    .depends_on_time()
                    .then(|| check_text(&row.domain, &row.model, registry, &context_of(row)));
                // What was right for one moment is hardly ever refused for another: a date beyond the calendar's end.
                let now = again
                    .and_then(std::result::Result::ok)
                    .unwrap_or_else(|| domain.clone());
                (i64::from(row.id), now)
            })
            .collect();
        let domains: Vec<_> = anew.iter().map(|(id, domain)| (*id, domain)).collect();
        let made = Judge::new(&domains, registry)?;
        // What the domains read does not change with the time; what is kept may still read what nobody asks for any more.
        debug_assert!(
            made.columns().iter().all(|column| kept.columns().contains(column)),
            "a moment is only a value"
        );
        Ok(Some(Current::Made(Box::new(made))))
    }

    /// Each domain alone, for finding out which one fails.
    ///
    /// # Errors
    /// As [`Judge::new`]; it did not fail with all of them together.
    pub fn alone(&self) -> impl Iterator<Item = Result<(&Arc<Accepted>, Judge)>> {
        self.subscriptions.iter().filter_map(|subscription| {
            let domain = subscription.domain.as_ref()?;
            let judge = Judge::new(&[(i64::from(subscription.row.id), domain)], &self.registry);
            Some(judge.map(|judge| (subscription, judge)))
        })
    }

    /// Those of one model, by id; what `before` them can be used of is.
    fn of(subscriptions: Vec<Arc<Accepted>>, registry: &Arc<Registry>, before: Option<&Self>) -> Result<Self> {
        let domains: Vec<_> = subscriptions
            .iter()
            .filter_map(|s| s.domain.as_ref().map(|domain| (i64::from(s.row.id), domain)))
            .collect();
        let kept = before.filter(|before| Arc::ptr_eq(&before.registry, registry));
        let changed = match kept.and_then(|before| Some((before, before.judge.as_ref()?))) {
            Some((before, judge)) => {
                let was: HashMap<i32, &Arc<Accepted>> = before.subscriptions.iter().map(|s| (s.row.id, s)).collect();
                let is: HashMap<i32, &Arc<Accepted>> = subscriptions.iter().map(|s| (s.row.id, s)).collect();
                let is_same =
                    |id: i32| matches!((was.get(&id), is.get(&id)), (Some(was), Some(is)) if Arc::ptr_eq(was, is));
                let gone = was
                    .keys()
                    .filter(|id| !is_same(**id))
                    .map(|id| i64::from(*id))
                    .collect();
                let new: Vec<_> = domains
                    .iter()
                    .filter(|(id, _)| i32::try_from(*id).is_ok_and(|id| !is_same(id)))
                    .copied()
                    .collect();
                judge.changed(&gone, &new, &domains.iter().copied().collect(), registry)?
            }
            None => None,
        };
        let judge = match changed {
            _ if domains.is_empty() => None,
            Some(changed) => Some(changed),
            None => Some(Judge::new(&domains, registry)?),
        };
        let is_timed = domains.iter().any(|(_, domain)| domain.depends_on_time());
        let whole: BTreeSet<&String> = subscriptions.iter().flat_map(|s| &s.whole).collect();
        let whole = whole.into_iter().cloned().collect();
        let inheriting = subscriptions
            .iter()
            .filter(|s| s.domain.as_ref().is_some_and(|domain| !domain.inherited().is_empty()))
            .map(|s| i64::from(s.row.id))
            .collect();
        Ok(Self {
            subscriptions,
            judge,
            registry: Arc::clone(registry),
            is_timed,
            whole,
            inheriting,
        })
    }
}

impl Roster {
    fn new(
        version: i64,
        accepted: impl IntoIterator<Item = Arc<Accepted>>,
        registry: &Arc<Registry>,
        tally: Arc<Tally>,
    ) -> Result<Self> {
        let by_id: HashMap<i32, Arc<Accepted>> = accepted.into_iter().map(|s| (s.row.id, s)).collect();
        let mut grouped: BTreeMap<&str, Vec<Arc<Accepted>>> = BTreeMap::new();
        for subscription in by_id.values() {
            grouped
                .entry(&subscription.row.model)
                .or_default()
                .push(Arc::clone(subscription));
        }
        let mut by_model = HashMap::new();
        for (model, mut subscriptions) in grouped {
            subscriptions.sort_by_key(|s| s.row.id);
            let of_model = OfModel::of(subscriptions, registry, None)?;
            by_model.insert(model.to_owned(), Arc::new(of_model));
        }
        Ok(Self {
            version: Some(version),
            derivations: Arc::new(Derivations::new(by_id.values().flat_map(|s| derivations_of(s)))),
            parents_sent: parents_sent(&by_id),
            by_id,
            by_model,
            keyring: None,
            tally,
        })
    }

    /// The same after a change of some subscriptions, which are in `served` if they can still be served. The other models' are not
    /// touched.
    ///
    /// # Errors
    /// The domains of a model do not go together.
    pub(super) fn changed(
        &self,
        version: i64,
        ids: &HashSet<i32>,
        served: &HashMap<i32, Arc<Accepted>>,
        registry: &Arc<Registry>,
    ) -> Result<Self> {
        let mut by_id = self.by_id.clone();
        let mut concerned: BTreeSet<&str> = BTreeSet::new();
        let (mut watched, mut watched_before) = (HashSet::new(), HashSet::new());
        for id in ids {
            by_id.remove(id);
            if let Some(before) = self.by_id.get(id) {
                concerned.insert(&before.row.model);
                watched_before.extend(derivations_of(before));
            }
            if let Some(now) = served.get(id) {
                concerned.insert(&now.row.model);
                watched.extend(derivations_of(now));
                by_id.insert(*id, Arc::clone(now));
            }
        }
        let mut by_model = self.by_model.clone();
        for model in concerned {
            let before = self.by_model.get(model);
            let kept = before.into_iter().flat_map(|of_model| &of_model.subscriptions);
            let kept = kept.filter(|s| !ids.contains(&s.row.id));
            let new = ids
                .iter()
                .filter_map(|id| served.get(id))
                .filter(|s| s.row.model == model);
            let mut subscriptions: Vec<_> = kept.chain(new).map(Arc::clone).collect();
            subscriptions.sort_by_key(|s| s.row.id);
            if subscriptions.is_empty() {
                by_model.remove(model);
            } else {
                let of_model = OfModel::of(subscriptions, registry, before.map(AsRef::as_ref))?;
                by_model.insert(model.to_owned(), Arc::new(of_model));
            }
        }
        let known: HashSet<&Derivation> = self.derivations.all().iter().collect();
        let is_as_before = watched_before.is_subset(&watched) && watched.iter().all(|watch| known.contains(watch));
        Ok(Self {
            version: Some(version),
            derivations: if is_as_before {
                Arc::clone(&self.derivations)
            } else {
                Arc::new(Derivations::new(by_id.values().flat_map(|s| derivations_of(s))))
            },
            parents_sent: parents_sent(&by_id),
            by_id,
            by_model,
            keyring: self.keyring.clone(),
            tally: Arc::clone(&self.tally),
        })
    }

    /// The subscriptions of a model.
    pub fn of_model(&self, model: &str) -> Option<&OfModel> {
        self.by_model.get(model).map(AsRef::as_ref)
    }

    /// All subscriptions that have somewhere to send to.
    pub fn sendable_all(&self) -> impl Iterator<Item = &Arc<Accepted>> {
        self.by_id.values().filter(|s| s.has_endpoint())
    }

    /// Whose subscriptions they are, by id.
    pub fn subscriptions(&self) -> HashSet<i32> {
        self.by_id.keys().copied().collect()
    }

    /// Where they send to.
    pub fn endpoints(&self) -> HashSet<Arc<str>> {
        self.by_id.values().map(|s| Arc::clone(&s.endpoint)).collect()
    }

    /// A subscription that has somewhere to send to; it may be paused or disabled.
    pub fn sendable(&self, id: i32) -> Option<Arc<Accepted>> {
        self.by_id.get(&id).filter(|s| s.has_endpoint()).cloned()
    }
}

/// The watched fields of a subscription that are kept elsewhere than in a column of their own.
fn derivations_of(subscription: &Accepted) -> impl Iterator<Item = Derivation> {
    subscription.derived.iter().map(|watch| Derivation {
        model: subscription.row.model.as_str().into(),
        watch: watch.clone(),
    })
}

fn parents_sent(by_id: &HashMap<i32, Arc<Accepted>>) -> HashSet<String> {
    let inherited = by_id.values().flat_map(|s| &s.inherited);
    inherited.map(|inherited| inherited.parent.clone()).collect()
}

/// Looks at subscriptions; see [`refresh`].
#[derive(Debug)]
pub struct Looked {
    /// Those that can be served.
    pub accepted: Vec<Accepted>,
    /// Models, or relation tables, that were too busy to set up their triggers.
    pub busy: BTreeSet<String>,
    /// Active ones that cannot be served.
    pub invalid: HashSet<i32>,
    /// Those that can be served once their tables are less busy.
    pub waiting: HashSet<i32>,
    /// The version of every row that was looked at.
    pub stamps: HashMap<i32, String>,
    /// What they were checked against.
    pub registry: Registry,
}

/// What some rows were found to be.
#[derive(Debug, Default)]
pub(super) struct LookedAt {
    /// Those that can be served.
    pub(super) accepted: Vec<Accepted>,
    /// Active ones that cannot be read, or that another may serve.
    pub(super) invalid: HashSet<i32>,
    /// Those that can be served once their tables are less busy.
    pub(super) waiting: HashSet<i32>,
    /// Their versions.
    pub(super) stamps: HashMap<i32, String>,
}

/// Settings of the service that a subscription is judged by. The command line, which does not know them, goes without.
#[derive(Debug, Clone)]
pub struct ServiceRules {
    /// Which addresses may be called.
    pub guard: Guard,
    /// Opens and seals secrets at rest.
    pub keyring: Option<Arc<Keyring>>,
}

/// Looks at all subscriptions, records what each is found to be, and brings capture in step. The one path for the service and for
/// `odoo-eventd subscribe`, which has no `rules`: which addresses may be called, and the key of encrypted secrets, are the service's
/// settings, so the command line leaves alone what the service refused.
///
/// # Errors
/// Database errors. A subscription that cannot be served is no error; nor is a busy table.
pub async fn refresh(client: &Client, rules: Option<&ServiceRules>, quarantine: &Quarantine) -> Result<Looked> {
    let registry = registry::load(client).await?;
    let rows = subscriptions::load_all(client).await?;
    let mut looked = look_at_rows(client, rows, &registry, rules, quarantine).await?;
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
                for subscription in looked.accepted.extract_if(.., |s| s.needs(&model)) {
                    subscriptions::refuse(client, &subscription.row, &error.chain()).await?;
                    looked.invalid.insert(subscription.row.id);
                }
            }
            Err(error) => return Err(error),
        }
    }
    let looked = settle(client, looked, &busy, None).await?;
    Ok(Looked {
        accepted: looked.accepted,
        busy,
        invalid: looked.invalid,
        waiting: looked.waiting,
        stamps: looked.stamps,
        registry,
    })
}

/// Looks at the rows of these subscriptions, and records what each is found to be.
///
/// # Errors
/// Database errors.
pub(super) async fn look_at(
    client: &Client,
    ids: &[i32],
    registry: &Registry,
    rules: &ServiceRules,
    quarantine: &Quarantine,
) -> Result<LookedAt> {
    let rows = subscriptions::load_these(client, ids).await?;
    look_at_rows(client, rows, registry, Some(rules), quarantine).await
}

async fn look_at_rows(
    client: &Client,
    (rows, unreadable): (Vec<Subscription>, Vec<Unreadable>),
    registry: &Registry,
    rules: Option<&ServiceRules>,
    quarantine: &Quarantine,
) -> Result<LookedAt> {
    let mut accepted: Vec<Accepted> = Vec::new();
    let mut invalid: HashSet<i32> = unreadable.iter().filter(|row| row.active).map(|row| row.id).collect();
    let stamps = rows.iter().map(|row| (row.id, row.write_stamp.clone()));
    let stamps = stamps
        .chain(unreadable.iter().map(|row| (row.id, row.write_stamp.clone())))
        .collect();
    for row in unreadable
        .iter()
        .filter(|row| row.active && row.state.as_deref() != Some("invalid"))
    {
        tracing::warn!(subscription.id = row.id, error = row.reason, "subscription is invalid");
        subscriptions::refuse_unreadable(client, row).await?;
    }
    for row in rows {
        if !row.active || (rules.is_none() && row.state.as_deref() == Some("invalid")) {
            continue;
        }
        let checked = match quarantine.reason_for(&row) {
            Some(reason) => Err(Error::usage(reason)),
            None => match check(row.clone(), registry, rules) {
                Ok(subscription) => match may_read_related(client, subscription, registry).await? {
                    Ok(subscription) => may_read_values(client, subscription).await?,
                    refused => refused,
                },
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
                invalid.insert(row.id);
            }
        }
    }
    Ok(LookedAt {
        accepted,
        invalid,
        waiting: HashSet::new(),
        stamps,
    })
}

/// Notes that what these need is captured, but for those whose tables are busy, and finds out from which transaction on each is judged.
/// Only those of `ids` were looked at; `None` = all.
///
/// # Errors
/// Database errors.
pub(super) async fn settle(
    client: &Client,
    mut looked: LookedAt,
    busy: &BTreeSet<String>,
    ids: Option<&[i32]>,
) -> Result<LookedAt> {
    subscriptions::settle_capture(client).await?;
    let ready: Vec<i32> = looked
        .accepted
        .iter()
        .filter(|s| !is_busy(s, busy))
        .map(|s| s.row.id)
        .collect();
    subscriptions::mark_ready(client, &ready).await?;
    // Once more, for the transaction that each is judged from; known only now.
    let (loaded, _) = match ids {
        Some(ids) => subscriptions::load_these(client, ids).await?,
        None => subscriptions::load_all(client).await?,
    };
    let is_invalid = |s: &&Subscription| s.active && s.state.as_deref() == Some("invalid");
    looked.invalid.extend(loaded.iter().filter(is_invalid).map(|s| s.id));
    let from: HashMap<i32, Subscription> = loaded.into_iter().map(|s| (s.id, s)).collect();
    looked.waiting = looked.accepted.iter().map(|s| s.row.id).collect();
    looked.accepted.retain_mut(|subscription| {
        let Some(now) = from.get(&subscription.row.id) else {
            return false;
        };
        subscription.row.captured_from = now.captured_from;
        // Another who looked at the same time may have found that it cannot be captured.
        let is_ready = matches!(now.state.as_deref(), Some("ready" | "disabled"))
            && now.write_stamp == subscription.row.write_stamp;
        // Whoever was served before a trigger went missing is served on: leaving it out would move the position past its events.
        let is_served = matches!(subscription.row.state.as_deref(), Some("ready" | "disabled"));
        is_ready && (is_served || !is_busy(subscription, busy))
    });
    for served in &looked.accepted {
        looked.waiting.remove(&served.row.id);
    }
    Ok(looked)
}

/// The roster of an instance that does not lead: the subscriptions that the leading one serves, as it left them. Also tells whether it has
/// looked at all of them.
///
/// # Errors
/// Database errors.
pub async fn as_recorded(
    client: &Client,
    rules: &ServiceRules,
    version: i64,
    tally: Arc<Tally>,
) -> Result<(Roster, bool)> {
    let registry = registry::load(client).await?;
    let (rows, unreadable) = subscriptions::load_all(client).await?;
    let is_settled = rows.iter().all(|row| !row.active || row.state.is_some())
        && unreadable.iter().all(|row| !row.active || row.state.is_some());
    let accepted = rows
        .into_iter()
        .filter(|row| row.active && matches!(row.state.as_deref(), Some("ready" | "disabled")))
        // What this process's settings forbid, another with others may send.
        .filter_map(|row| check(row, &registry, Some(rules)).ok())
        .map(Arc::new);
    let accepted: Vec<_> = accepted.collect();
    let mut roster = Roster::new(version, accepted, &Arc::new(registry), tally)?;
    roster.keyring.clone_from(&rules.keyring);
    Ok((roster, is_settled))
}

/// Whether one of the tables that a subscription needs was too busy to set up its triggers.
fn is_busy(subscription: &Accepted, busy: &BTreeSet<String>) -> bool {
    busy.iter().any(|table| subscription.needs(table))
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
pub(crate) async fn may_read_related(
    client: &Client,
    subscription: Accepted,
    registry: &Registry,
) -> Result<Result<Accepted>> {
    let Some(domain) = subscription.domain.as_ref().filter(|domain| domain.reads_related()) else {
        return Ok(Ok(subscription));
    };
    let judge = Judge::new(&[(i64::from(subscription.row.id), domain)], registry)?;
    match judge::rehearse(client, &judge).await {
        Ok(()) => Ok(Ok(subscription)),
        Err(error) if error.sql_state() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            let hint = how_to_read(client).await?;
            Ok(Err(Error::usage(
                "the domain looks at other records, which the service may not read",
            )
            .with_source(error)
            .with_hint(hint)))
        }
        Err(error) => Err(error),
    }
}

/// The fields of a payload are read by a function with rights of its own, which knows what may be read; asked once, before the first
/// event finds out.
///
/// The outer error is the database's; the inner one the subscription's.
async fn may_read_values(client: &Client, subscription: Accepted) -> Result<Result<Accepted>> {
    let Some(plan) = &subscription.content.plan else {
        return Ok(Ok(subscription));
    };
    if subscription.row.state.as_deref() == Some("ready") && subscription.is_recorded() {
        return Ok(Ok(subscription));
    }
    for level in &plan.levels {
        match records::rehearse(client, level).await {
            Err(error) if error.sql_state().is_some_and(|state| state.code().starts_with("42")) => {
                return Ok(Err(
                    Error::usage("the fields of the payload may not be read").with_source(error)
                ));
            }
            rehearsed => rehearsed?,
        }
    }
    Ok(Ok(subscription))
}

/// The statement that lets this session's role read what domains look at.
async fn how_to_read(client: &Client) -> Result<String> {
    let row = client
        .query_one(
            "select quote_ident(current_user), current_setting('server_version_num')::int4",
            &[],
        )
        .await
        .map_err(|e| Error::database("look up the service's role", e))?;
    let (role, version): (String, i32) = (row.get(0), row.get(1));
    Ok(match version {
        // The role came with PostgreSQL 14.
        140_000.. => format!(
            "as a superuser: GRANT pg_read_all_data TO {role}; it then reads every table of the cluster. Or use stored fields of \
             the model itself"
        ),
        _ => format!(
            "PostgreSQL before 14 has no pg_read_all_data: grant {role} SELECT on the tables named here, or run the \
             service as the owner of Odoo's tables, or use stored fields of the model itself"
        ),
    })
}

/// Looks at one subscription, for the user who made it and at this moment.
pub(crate) fn check(mut row: Subscription, registry: &Registry, rules: Option<&ServiceRules>) -> Result<Accepted> {
    if let Some(rules) = rules {
        row.open_secrets(rules.keyring.as_deref())?;
    }
    let context = context_of(&row);
    Accepted::check(row, registry, &context, rules.map(|rules| &rules.guard))
}

/// For whom and when a subscription's domain is meant.
pub(crate) fn context_of(row: &Subscription) -> Context {
    let mut context = Context::at(jiff::Timestamp::now());
    context.uid = row.user_id;
    if let Some(lang) = &row.lang {
        context.lang.clone_from(lang);
    }
    context
}

fn is_due(at: Option<Instant>) -> bool {
    at.is_some_and(|at| at <= Instant::now())
}

/// Tells whether what Odoo's tables say of its fields has changed; none while an upgrade of Odoo holds one of them.
async fn stamp_of(client: &Client) -> Result<Option<String>> {
    match registry::stamp(client, LOCK_WAIT).await {
        Err(error) if error.sql_state() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(None),
        looked => looked.map(Some),
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
    pub process: Process,
    /// What subscriptions are judged by.
    pub rules: ServiceRules,
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
        let mut known: Option<Known> = None;
        let mut also = Also::default();
        let mut busy: BTreeSet<String> = BTreeSet::new();
        let mut retry_at: Option<Instant> = None;
        let mut pause = BUSY_PAUSE_FIRST;
        let (mut invalid_at, mut invalid_pause) = (None::<Instant>, INVALID_PAUSE_FIRST);
        let (mut drop_idle_at, mut drop_idle_pause) = (None::<Instant>, DROP_IDLE_PAUSE_FIRST);
        let mut look_for_drift_at = Instant::now() + LOOK_FOR_DRIFT_EVERY;
        let mut known_stamp: Option<String> = None;
        let mut secrets = secrets::Tender::new(self.rules.keyring.clone());
        loop {
            let client = self.connections.at_once().await;
            secrets.tend(&client).await?;
            let version = subscriptions::version_of(&client).await?;
            let mut must_look = self.quarantine.take_news();
            if look_for_drift_at <= Instant::now() {
                look_for_drift_at = Instant::now() + LOOK_FOR_DRIFT_EVERY;
                let drifted = match subscriptions::note_drift(&client, LOCK_WAIT).await {
                    // Somebody is changing the capture; that is looked at afterwards.
                    Err(error) if error.sql_state() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Vec::new(),
                    looked => looked?,
                };
                // A table that stays busy has its own, growing pauses.
                if retry_at.is_none() && !drifted.is_empty() {
                    also.models.extend(drifted);
                    must_look = true;
                }
                // Fields that came, went or changed: Studio, an upgrade. A look for another reason asks too.
                must_look |= stamp_of(&client).await?.is_some_and(|stamp| known_stamp != Some(stamp));
            }
            if known_version != Some(version) {
                invalid_pause = INVALID_PAUSE_FIRST;
            } else if invalid_at.is_some_and(|at| at <= Instant::now()) {
                must_look = true;
                also.invalid = true;
                invalid_pause = (invalid_pause * 2).min(INVALID_PAUSE_MOST);
            }
            if is_due(retry_at) {
                also.models.append(&mut busy);
                must_look = true;
            }
            if known_version != Some(version) || must_look {
                // Before the look: what changes during it is found at the next.
                let stamp = stamp_of(&client).await?;
                if stamp.is_some() && stamp != known_stamp {
                    known = None;
                }
                let changed = match &mut known {
                    Some(known) => {
                        let also = std::mem::take(&mut also);
                        known.look(&client, &self.rules, &self.quarantine, also).await?
                    }
                    None => None,
                };
                if let (Some(known), Some(changed)) = (&known, changed) {
                    self.publish_changed(&client, version, known, &changed.ids).await?;
                    busy.extend(changed.busy);
                    busy.extend(Known::narrow(&client, &changed.concerned).await?);
                    drop(client);
                } else {
                    drop(client);
                    let Some(aside) = self.process.aside(&self.database, &cancel).await? else {
                        break;
                    };
                    known_stamp = stamp;
                    also = Also::default();
                    let mut looked = refresh(&aside, Some(&self.rules), &self.quarantine).await?;
                    busy = std::mem::take(&mut looked.busy);
                    let now = Known::of(&aside, looked).await?;
                    self.publish(&aside, version, &now).await?;
                    known = Some(now);
                }
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
                known_version = Some(version);
            } else {
                drop(client);
            }
            let tally = Arc::clone(&self.roster.borrow().tally);
            for (subscription, reason) in tally.note(&self.connections, self.give_up).await? {
                tracing::error!(subscription.id = subscription, reason, "subscription is disabled");
                // Its row has not changed for anybody else: look at once, so that nothing more is sent.
                also.subscriptions.insert(subscription);
                known_version = None;
            }
            if known_version.is_none() {
                continue;
            }
            if drop_idle_at.is_some_and(|at| at <= Instant::now()) {
                self.drop_idle(&cancel).await?;
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
        let tally = Arc::clone(&self.roster.borrow().tally);
        tally.note_last(&self.connections, self.give_up).await
    }

    async fn publish(&self, client: &Client, version: i64, known: &Known) -> Result<()> {
        let tally = Arc::clone(&self.roster.borrow().tally);
        let mut roster = Roster::new(version, known.served.values().map(Arc::clone), &known.registry, tally)?;
        roster.keyring.clone_from(&self.rules.keyring);
        self.serve(client, roster, known.served.len()).await
    }

    async fn publish_changed(&self, client: &Client, version: i64, known: &Known, ids: &HashSet<i32>) -> Result<()> {
        let before = Arc::clone(&self.roster.borrow());
        let roster = before.changed(version, ids, &known.served, &known.registry)?;
        self.serve(client, roster, ids.len()).await
    }

    async fn serve(&self, client: &Client, roster: Roster, looked_at: usize) -> Result<()> {
        self.slots.retain(&roster.subscriptions(), &roster.endpoints());
        let count = roster.by_id.len();
        self.roster.send_replace(Arc::new(roster));
        let cancelled = deliveries::cancel_unwanted(client, self.term).await?;
        tracing::info!(subscriptions = count, looked_at, cancelled, "subscriptions loaded");
        Ok(())
    }

    async fn drop_idle(&self, cancel: &CancellationToken) -> Result<()> {
        let Some(client) = self.process.aside(&self.database, cancel).await? else {
            return Ok(());
        };
        loop {
            let dropped = subscriptions::drop_idle_triggers(&client, LOCK_WAIT).await?;
            if dropped.is_empty() {
                return Ok(());
            }
            for trigger in dropped {
                tracing::info!(trigger, "dropped a trigger that no subscription needs");
            }
        }
    }
}
