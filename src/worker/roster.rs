//! Keeps the subscriptions: notices changes within a second, looks at each, keeps capture in step with them, and publishes what can
//! be served.
//!
//! A subscription that cannot be served is marked `invalid` with a sentence and stops no other. A table that is too busy for its
//! triggers is tried again with growing pauses; everything else goes on meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::process::Process;
use super::quarantine::Quarantine;
use super::secrets;
use super::slots::Slots;
use super::tally::Tally;
use crate::domain::check::{Context, check_text};
use crate::domain::judge::Judge;
use crate::failpoint::{self, Step};
use crate::http::guard::Guard;
use crate::odoo::registry::Registry;
use crate::pg::connect::Database;
use crate::pg::connections::Connections;
use crate::pg::looking::Looking;
use crate::pg::subscriptions::GiveUp;
use crate::pg::troubles::{Troubles, is_of_the_statement};
use crate::pg::{deliveries, judge, records, registry, subscriptions};
use crate::relations::{Derivation, Derivations};
use crate::sealing::Keyring;
use crate::subscription::{Accepted, Subscription};
use crate::{Error, Result};

/// What is told while terms begin and end.
pub const TERM_FAILS: &str = "serve this database";

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
    by_model: HashMap<String, OfModel>,
    /// Opens the secrets of callbacks.
    pub keyring: Option<Arc<Keyring>>,
    /// The watched fields that are kept elsewhere than in a column of their own.
    pub derivations: Derivations,
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
    /// Each domain alone, for finding out which one fails.
    pub alone: Vec<(Arc<Accepted>, Judge)>,
    /// What domains that speak of the time are checked against at each batch; `None` when none does.
    timed: Option<Arc<Registry>>,
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
        let (Some(kept), Some(registry)) = (&self.judge, &self.timed) else {
            return Ok(self.judge.as_ref().map(Current::Kept));
        };
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
        // Images are asked for once: what the domains read does not change with the time.
        debug_assert_eq!(made.columns(), kept.columns(), "a moment is only a value");
        Ok(Some(Current::Made(Box::new(made))))
    }
}

impl Roster {
    fn new(version: i64, accepted: Vec<Accepted>, registry: Registry, tally: Arc<Tally>) -> Result<Self> {
        let registry = Arc::new(registry);
        let accepted: Vec<Arc<Accepted>> = accepted.into_iter().map(Arc::new).collect();
        let by_id = accepted.iter().map(|s| (s.row.id, Arc::clone(s))).collect();
        let derivations = Derivations::new(accepted.iter().flat_map(|s| {
            s.derived.iter().map(|watch| Derivation {
                model: s.row.model.as_str().into(),
                watch: watch.clone(),
            })
        }));
        let inherited = accepted.iter().flat_map(|s| &s.inherited);
        let parents_sent = inherited.map(|inherited| inherited.parent.clone()).collect();
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
                Some(Judge::new(&domains, &registry)?)
            };
            let is_timed = domains.iter().any(|(_, domain)| domain.depends_on_time());
            let mut alone = Vec::new();
            for subscription in &subscriptions {
                if let Some(domain) = &subscription.domain {
                    let of_one = Judge::new(&[(i64::from(subscription.row.id), domain)], &registry)?;
                    alone.push((Arc::clone(subscription), of_one));
                }
            }
            let whole: BTreeSet<&String> = subscriptions.iter().flat_map(|s| &s.whole).collect();
            let whole = whole.into_iter().cloned().collect();
            let inheriting = subscriptions
                .iter()
                .filter(|s| s.domain.as_ref().is_some_and(|domain| !domain.inherited().is_empty()))
                .map(|s| i64::from(s.row.id))
                .collect();
            by_model.insert(
                model,
                OfModel {
                    subscriptions,
                    judge,
                    alone,
                    timed: is_timed.then(|| Arc::clone(&registry)),
                    whole,
                    inheriting,
                },
            );
        }
        Ok(Self {
            version: Some(version),
            by_id,
            by_model,
            keyring: None,
            derivations,
            parents_sent,
            tally,
        })
    }

    /// The subscriptions of a model.
    pub fn of_model(&self, model: &str) -> Option<&OfModel> {
        self.by_model.get(model)
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

/// Looks at subscriptions; see [`refresh`].
#[derive(Debug)]
pub struct Looked {
    /// Those that can be served.
    pub accepted: Vec<Accepted>,
    /// Models, or relation tables, of which the capture could not be set up now, each with the reason: mostly they were too busy.
    pub busy: BTreeMap<String, String>,
    /// Whether there are active ones that cannot be served.
    pub has_invalid: bool,
    /// What they were checked against.
    pub registry: Registry,
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
    let mut accepted: Vec<Accepted> = Vec::new();
    let (rows, unreadable) = subscriptions::load_all(client).await?;
    for row in unreadable
        .iter()
        .filter(|row| row.active && row.state.as_deref() != Some("invalid"))
    {
        tracing::warn!(subscription.id = row.id, error = row.reason, "subscription is invalid");
        subscriptions::refuse_unreadable(client, row).await?;
    }
    let looking = match rules {
        Some(_) => Looking::begin(client, &rows, |row| quarantine.has_survived(row)).await?,
        None => Looking::default(),
    };
    let all: Vec<Subscription> = rows;
    for row in &all {
        if !row.active || (rules.is_none() && row.state.as_deref() == Some("invalid")) {
            continue;
        }
        let checked = if looking.is_aside(row) {
            Err(put_aside())
        } else {
            looking.at(client, row).await?;
            let looked = match look_at(client, row, &registry, rules, quarantine).await {
                // A statement that this row alone asks for.
                Err(error) if is_of_the_statement(&error) => Err(error),
                looked => looked?,
            };
            looking.survived(client, row).await?;
            looked
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
                    subscriptions::refuse(client, row, &reason).await?;
                }
            }
        }
    }
    if rules.is_some() {
        // One commit, and only where something was noted.
        if !all.iter().all(|row| !row.active || quarantine.has_survived(row)) {
            Looking::end(client).await?;
        }
        quarantine.note_survived(all.iter().filter(|row| !looking.is_aside(row)));
    }
    let mut busy = BTreeMap::new();
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
                busy.insert(
                    model,
                    "the table is busy: it is captured as soon as a lock can be had".to_owned(),
                );
            }
            Err(error) if is_of_the_model(&error) => {
                tracing::warn!(model, error = %error.chain(), "capture cannot be set up");
                for subscription in accepted.extract_if(.., |s| s.needs(&model)) {
                    subscriptions::refuse(client, &subscription.row, &error.chain()).await?;
                }
            }
            // Whatever is in the way of this table's capture, an event trigger of somebody else's for one: what was captured before is
            // captured still, and all others go on.
            Err(error) if is_of_the_statement(&error) => {
                tracing::error!(model, error = %error.chain(), "capture cannot be set up now: it is tried again");
                busy.insert(model, error.chain());
            }
            Err(error) => return Err(error),
        }
    }
    let waiting: Vec<(i32, String)> = accepted
        .iter()
        .filter_map(|s| Some((s.row.id, busy.iter().find(|(table, _)| s.needs(table))?.1.clone())))
        .collect();
    if !waiting.is_empty() {
        subscriptions::mark_waiting(client, &waiting).await?;
    }
    let is_settled = match subscriptions::settle_capture(client).await {
        Err(error) if is_of_the_statement(&error) => {
            tracing::error!(error = %error.chain(), "it cannot be noted what is captured: nobody new is served until it is");
            busy.insert(String::new(), error.chain());
            false
        }
        settled => settled.map(|()| true)?,
    };
    let ready: Vec<i32> = accepted
        .iter()
        .filter(|s| !is_busy(s, &busy) && (is_settled || s.row.state.as_deref() == Some("ready")))
        .map(|s| s.row.id)
        .collect();
    subscriptions::mark_ready(client, &ready).await?;
    // Once more, for the transaction that each is judged from; known only now.
    let loaded = subscriptions::load(client).await?;
    let has_invalid = loaded.iter().any(|s| s.active && s.state.as_deref() == Some("invalid"));
    let from: HashMap<i32, Subscription> = loaded.into_iter().map(|s| (s.id, s)).collect();
    accepted.retain_mut(|subscription| {
        let Some(now) = from.get(&subscription.row.id) else {
            return false;
        };
        subscription.row.captured_from = now.captured_from;
        // Another who looked at the same time may have found that it cannot be captured.
        let is_ready = matches!(now.state.as_deref(), Some("ready" | "disabled"))
            && now.write_stamp == subscription.row.write_stamp;
        // Whoever was served before a trigger went missing is served on: leaving it out would move the position past its events.
        let is_served = matches!(subscription.row.state.as_deref(), Some("ready" | "disabled"));
        is_ready && (is_served || !is_busy(subscription, &busy))
    });
    Ok(Looked {
        accepted,
        busy,
        has_invalid,
        registry,
    })
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
        .collect();
    let mut roster = Roster::new(version, accepted, registry, tally)?;
    roster.keyring.clone_from(&rules.keyring);
    Ok((roster, is_settled))
}

/// Whether one of the tables that a subscription needs was too busy to set up its triggers.
fn is_busy(subscription: &Accepted, busy: &BTreeMap<String, String>) -> bool {
    busy.keys().any(|table| subscription.needs(table))
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

/// What a process died of is not looked at again.
fn put_aside() -> Error {
    Error::usage("the service died while it looked at this subscription, twice: it is put aside").with_hint(
        "change what is unusual in its template, domain or fields; whoever writes the row has it looked at again",
    )
}

/// Looks at one subscription.
///
/// The outer error is the database's; the inner one the subscription's.
async fn look_at(
    client: &Client,
    row: &Subscription,
    registry: &Registry,
    rules: Option<&ServiceRules>,
    quarantine: &Quarantine,
) -> Result<Result<Accepted>> {
    if rules.is_some() {
        failpoint::reach(Step::WhileLooking);
    }
    if let Some(reason) = quarantine.reason_for(row) {
        return Ok(Err(Error::usage(reason)));
    }
    // A panic is a bug of ours, and no reason to serve nobody.
    let checked = catch_unwind(AssertUnwindSafe(|| check(row.clone(), registry, rules)));
    let checked = checked.unwrap_or_else(|_| {
        Err(
            Error::usage("the service failed while it looked at this subscription: that is a bug of odoo-eventd")
                .with_hint("its log tells more; a simpler template, domain or list of fields may get by"),
        )
    });
    Ok(match checked {
        Ok(subscription) => match may_read_related(client, subscription, registry).await? {
            Ok(subscription) => may_read_values(client, subscription).await?,
            refused => refused,
        },
        refused => refused,
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
            "select pg_catalog.quote_ident(current_user), pg_catalog.current_setting('server_version_num')::integer",
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
        let mut retry_at: Option<Instant> = None;
        let mut pause = BUSY_PAUSE_FIRST;
        let (mut invalid_at, mut invalid_pause) = (None::<Instant>, INVALID_PAUSE_FIRST);
        let (mut drop_idle_at, mut drop_idle_pause) = (None::<Instant>, DROP_IDLE_PAUSE_FIRST);
        let mut look_for_drift_at = Instant::now() + LOOK_FOR_DRIFT_EVERY;
        let mut troubles = Troubles::default();
        let mut is_first = true;
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
                    looked => troubles
                        .settle(&client, "look for drift", looked)
                        .await?
                        .unwrap_or_default(),
                };
                // A table that stays busy has its own, growing pauses.
                must_look |= retry_at.is_none() && !drifted.is_empty();
            }
            if known_version != Some(version) {
                invalid_pause = INVALID_PAUSE_FIRST;
            } else if invalid_at.is_some_and(|at| at <= Instant::now()) {
                must_look = true;
                invalid_pause = (invalid_pause * 2).min(INVALID_PAUSE_MOST);
            }
            drop(client);
            if known_version != Some(version) || must_look || is_due(retry_at) {
                let Some(aside) = self.process.aside(&self.database, &cancel).await? else {
                    break;
                };
                let looked = refresh(&aside, Some(&self.rules), &self.quarantine).await?;
                if looked.busy.is_empty() {
                    (retry_at, pause) = (None, BUSY_PAUSE_FIRST);
                } else {
                    retry_at = Some(Instant::now() + pause);
                    pause = (pause * 2).min(BUSY_PAUSE_MOST);
                }
                // What an upgrade took away it may give back: a table that is made anew, a field that is installed later.
                invalid_at = looked.has_invalid.then(|| Instant::now() + invalid_pause);
                self.publish(&aside, version, looked).await?;
                drop_idle_pause = DROP_IDLE_PAUSE_FIRST;
                drop_idle_at = Some(Instant::now() + drop_idle_pause);
                if std::mem::take(&mut is_first) {
                    crate::pg::troubles::end(&aside, TERM_FAILS).await?;
                }
                known_version = Some(version);
            }
            let tally = Arc::clone(&self.roster.borrow().tally);
            for (subscription, reason) in tally.note(&self.connections, self.give_up).await? {
                tracing::error!(subscription.id = subscription, reason, "subscription is disabled");
                // Its row has not changed for anybody else: look at once, so that nothing more is sent.
                known_version = None;
            }
            if known_version.is_none() {
                continue;
            }
            if drop_idle_at.is_some_and(|at| at <= Instant::now()) {
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
        let tally = Arc::clone(&self.roster.borrow().tally);
        tally.note_last(&self.connections, self.give_up).await
    }

    async fn publish(&self, client: &Client, version: i64, looked: Looked) -> Result<()> {
        let tally = Arc::clone(&self.roster.borrow().tally);
        let count = looked.accepted.len();
        let mut roster = Roster::new(version, looked.accepted, looked.registry, tally)?;
        roster.keyring.clone_from(&self.rules.keyring);
        self.slots.retain(&roster.subscriptions(), &roster.endpoints());
        self.roster.send_replace(Arc::new(roster));
        let cancelled = deliveries::cancel_unwanted(client, self.term).await?;
        tracing::info!(subscriptions = count, cancelled, "subscriptions loaded");
        Ok(())
    }

    async fn drop_idle(&self, troubles: &mut Troubles, cancel: &CancellationToken) -> Result<()> {
        let Some(client) = self.process.aside(&self.database, cancel).await? else {
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
