//! Looks at the rows of subscriptions: finds out which can be served, records what each was found to be, and brings capture in step.
//!
//! A subscription that cannot be served is marked `invalid` with a sentence and stops no other. A table whose triggers cannot be set up
//! now, mostly because it is busy, is told on its subscriptions and tried again; everything else goes on meanwhile.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::pg::Client;

use crate::domain::check::Context;
use crate::endpoint::guard::Guard;
use crate::failpoint::{self, Step};
use crate::odoo::registry::Registry;
use crate::pg::looking::Looking;
use crate::pg::sqlstate::OF_THE_MODEL;
use crate::pg::subscriptions::{Unreadable, Verdict};
use crate::pg::{registry, subscriptions};
use crate::sealing::Keyring;
use crate::subscription::choices::State;
use crate::subscription::{ResolvedSubscription, Subscription};
use crate::worker::upkeep::quarantine::Quarantine;
use crate::worker::upkeep::readable;
use crate::worker::upkeep::stats::Stats;
use crate::worker::upkeep::subscription_set::SubscriptionSet;
use crate::{Error, Result};

/// How long a trigger's DDL may wait for its lock, and writers behind it.
pub const LOCK_WAIT: Duration = Duration::from_millis(300);

/// Models, or relation tables, of which the capture could not be set up now, each with the reason: mostly they were too busy. An empty
/// name stands for the note of what is captured.
pub type Busy = BTreeMap<String, String>;

/// What a look at all subscriptions came to; see [`refresh`].
#[derive(Debug)]
pub struct Looked {
    /// What the rows were found to be.
    pub rows: LookedAt,
    /// What could not be captured now.
    pub busy: Busy,
    /// What they were checked against.
    pub registry: Registry,
}

/// What some rows were found to be.
#[derive(Debug, Default)]
pub struct LookedAt {
    /// Those that can be served.
    pub accepted: Vec<ResolvedSubscription>,
    /// Active ones that cannot be read, or that another may serve.
    pub invalid: HashSet<i32>,
    /// Those that can be served once their tables are less busy.
    pub waiting: HashSet<i32>,
    /// Their versions.
    pub stamps: HashMap<i32, String>,
}

/// Settings of the service that a subscription is judged by. The command line, which does not know them, goes without.
#[derive(Debug, Clone)]
pub struct ServiceRules {
    /// Which addresses may be called.
    pub guard: Guard,
    /// Opens and seals secrets at rest.
    pub keyring: Option<Arc<Keyring>>,
}

/// Looks at all subscriptions, records what each is found to be, and brings capture in step. Without `rules` it is not asked which
/// addresses may be called, and secrets stay closed; what the service refused is left alone then.
///
/// # Errors
/// Database errors. A subscription that cannot be served is no error; nor is a busy table.
pub async fn refresh(client: &Client, rules: Option<&ServiceRules>, quarantine: &Quarantine) -> Result<Looked> {
    let registry = registry::load(client).await?;
    let rows = subscriptions::load_all(client).await?;
    quarantine.forget_others(rows.0.iter().map(|row| row.id));
    let mut looked = Box::pin(look_at_rows(client, rows, &registry, rules, quarantine)).await?;
    let unsynced = subscriptions::unsynced_models(client, None).await?;
    let mut synced = sync(client, unsynced).await?;
    refuse(client, &mut looked, &synced).await?;
    let rows = settle(client, looked, &mut synced.busy, None).await?;
    Ok(Looked {
        rows,
        busy: synced.busy,
        registry,
    })
}

/// Looks at these subscriptions after an operator wrote them, and brings the capture of what they need in step, whether or not the service
/// runs. Which addresses may be called, and the key of encrypted secrets, are the service's settings: what it refused is left alone.
///
/// # Errors
/// Database errors. A subscription that cannot be served is no error; nor is a busy table.
pub async fn follow(client: &Client, ids: &[i32], registry: &Registry) -> Result<()> {
    let rows = subscriptions::load_these(client, ids).await?;
    let models: HashSet<String> = rows.0.iter().map(|row| row.model.clone()).collect();
    let models: Vec<String> = models.into_iter().collect();
    let mut looked = Box::pin(look_at_rows(client, rows, registry, None, &Quarantine::default())).await?;
    let mut unsynced: BTreeSet<String> = subscriptions::unmet_models(client, ids).await?.into_iter().collect();
    unsynced.extend(subscriptions::unsynced_models(client, Some(&models)).await?);
    let mut synced = sync(client, unsynced).await?;
    refuse(client, &mut looked, &synced).await?;
    settle(client, looked, &mut synced.busy, Some(ids)).await?;
    Ok(())
}

/// Captures no more what nobody needs any more, of whatever model.
///
/// # Errors
/// Database errors. A busy table is no error: a service that runs tries again.
pub async fn narrow(client: &Client) -> Result<()> {
    let unsynced = subscriptions::unsynced_models(client, None).await?;
    sync(client, unsynced).await?;
    subscriptions::settle_capture(client).await
}

/// Marks those invalid whose models cannot be captured.
async fn refuse(client: &Client, looked: &mut LookedAt, synced: &Synced) -> Result<()> {
    let mut verdicts = Vec::new();
    for (model, reason) in &synced.refused {
        for subscription in looked.accepted.extract_if(.., |s| s.needs(model)) {
            verdicts.push(Verdict::refused(&subscription.row, reason));
            looked.invalid.insert(subscription.row.id);
        }
    }
    subscriptions::judge(client, verdicts).await?;
    Ok(())
}

/// Looks at the rows of these subscriptions, and records what each is found to be.
///
/// # Errors
/// Database errors.
pub async fn look_at_these(
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
    let stamps = rows.iter().map(|row| (row.id, row.write_stamp.clone()));
    let mut looked = LookedAt {
        invalid: unreadable.iter().filter(|row| row.active).map(|row| row.id).collect(),
        stamps: stamps
            .chain(unreadable.iter().map(|row| (row.id, row.write_stamp.clone())))
            .collect(),
        ..LookedAt::default()
    };
    let mut verdicts = Vec::new();
    for row in unreadable
        .iter()
        .filter(|row| row.active && row.state.as_deref() != Some(State::Invalid.as_str()))
    {
        tracing::warn!(subscription.id = row.id, error = row.reason, "subscription is invalid");
        verdicts.push(Verdict::unreadable(row));
    }
    let looking = match rules {
        Some(_) => Looking::begin(client, &rows, |row| quarantine.has_survived(row)).await?,
        None => Looking::default(),
    };
    let (mut together, mut outcomes) = (Vec::new(), Vec::new());
    for row in &rows {
        if !row.active || (rules.is_none() && row.state == Some(State::Invalid)) {
            continue;
        }
        if looking.is_aside(row) {
            outcomes.push((row, Err(put_aside())));
        } else if looking.is_suspect(row) {
            looking.at(client, row).await?;
            outcomes.extend(look_at_some(client, &[row], registry, rules, quarantine).await?);
            looking.survived(client, row).await?;
        } else {
            together.push(row);
        }
    }
    outcomes.extend(look_at_some(client, &together, registry, rules, quarantine).await?);
    let mut to_record = HashSet::new();
    for (row, outcome) in outcomes {
        match outcome {
            Ok(subscription) => {
                if !subscription.is_recorded() {
                    verdicts.push(Verdict::accepted(&subscription));
                    to_record.insert(row.id);
                }
                looked.accepted.push(subscription);
            }
            Err(error) => {
                let reason = error.chain_with_hint();
                if row.state != Some(State::Invalid) || row.error.as_deref() != Some(&reason) {
                    tracing::warn!(subscription.id = row.id, error = %error.chain(), "subscription is invalid");
                    verdicts.push(Verdict::refused(row, &reason));
                }
                looked.invalid.insert(row.id);
            }
        }
    }
    let recorded = subscriptions::judge(client, verdicts).await?;
    // A row that has changed meanwhile is looked at again.
    looked
        .accepted
        .retain(|s| !to_record.contains(&s.row.id) || recorded.contains(&s.row.id));
    if rules.is_some() {
        // One commit, and only where something was noted.
        if !rows.iter().all(|row| !row.active || quarantine.has_survived(row)) {
            Looking::end(client).await?;
        }
        quarantine.note_survived(rows.iter().filter(|row| !looking.is_aside(row)));
    }
    Ok(looked)
}

/// What came of bringing the capture of some models in step.
#[derive(Debug, Default)]
pub struct Synced {
    /// What could not be captured now.
    pub busy: Busy,
    /// Models that cannot be captured, each with the reason.
    pub refused: BTreeMap<String, String>,
}

/// Brings the capture of these models in step.
///
/// # Errors
/// Database errors that end the session. What is in the way of one model's capture is told of that model.
pub async fn sync(client: &Client, models: impl IntoIterator<Item = String>) -> Result<Synced> {
    let mut synced = Synced::default();
    for model in models {
        match subscriptions::sync_capture(client, &model, LOCK_WAIT).await {
            Ok(true) => tracing::info!(model, "capture changed"),
            Ok(false) => {}
            Err(error) if error.is_lock_timeout() => {
                tracing::warn!(
                    model,
                    "the table is busy: its triggers will be set up when a lock can be had"
                );
                let reason = "the table is busy: it is captured as soon as a lock can be had";
                synced.busy.insert(model, reason.to_owned());
            }
            Err(error) if error.means(OF_THE_MODEL) => {
                tracing::warn!(model, error = %error.chain(), "capture cannot be set up");
                synced.refused.insert(model, error.chain());
            }
            // Whatever is in the way of this table's capture, an event trigger of somebody else's for one: what was captured before is
            // captured still, and all others go on.
            Err(error) if error.is_of_the_statement() => {
                tracing::error!(model, error = %error.chain(), "capture cannot be set up now: it is tried again");
                synced.busy.insert(model, error.chain());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(synced)
}

/// Notes that what these need is captured, but for those whose tables are busy, and finds out from which transaction on each is judged.
/// Only those of `ids` were looked at; `None` = all.
///
/// # Errors
/// Database errors.
pub async fn settle(client: &Client, mut looked: LookedAt, busy: &mut Busy, ids: Option<&[i32]>) -> Result<LookedAt> {
    let waiting: Vec<(i32, String)> = looked
        .accepted
        .iter()
        .filter_map(|s| Some((s.row.id, busy.iter().find(|(table, _)| s.needs(table))?.1.clone())))
        .collect();
    if !waiting.is_empty() {
        subscriptions::mark_waiting(client, &waiting).await?;
    }
    let is_settled = match subscriptions::settle_capture(client).await {
        Err(error) if error.is_of_the_statement() => {
            tracing::error!(error = %error.chain(), "it cannot be noted what is captured: nobody new is served until it is");
            busy.insert(String::new(), error.chain());
            false
        }
        settled => settled.map(|()| true)?,
    };
    let ready: Vec<i32> = looked
        .accepted
        .iter()
        .filter(|s| !is_busy(s, busy) && (is_settled || s.row.state == Some(State::Ready)))
        .map(|s| s.row.id)
        .collect();
    subscriptions::mark_ready(client, &ready).await?;
    // Once more, for the transaction that each is judged from; known only now.
    let (loaded, _) = match ids {
        Some(ids) => subscriptions::load_these(client, ids).await?,
        None => subscriptions::load_all(client).await?,
    };
    let is_invalid = |s: &&Subscription| s.active && s.state == Some(State::Invalid);
    looked.invalid.extend(loaded.iter().filter(is_invalid).map(|s| s.id));
    let from: HashMap<i32, Subscription> = loaded.into_iter().map(|s| (s.id, s)).collect();
    looked.waiting = looked.accepted.iter().map(|s| s.row.id).collect();
    looked.accepted.retain_mut(|subscription| {
        let Some(now) = from.get(&subscription.row.id) else {
            return false;
        };
        subscription.row.captured_from = now.captured_from;
        // Another who looked at the same time may have found that it cannot be captured.
        let is_ready = now.state.is_some_and(State::is_served) && now.write_stamp == subscription.row.write_stamp;
        // Whoever was served before a trigger went missing is served on: leaving it out would move the position past its events.
        let is_served = subscription.row.state.is_some_and(State::is_served);
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
    stats: Arc<Stats>,
) -> Result<(SubscriptionSet, bool)> {
    let registry = registry::load(client).await?;
    let (rows, unreadable) = subscriptions::load_all(client).await?;
    let is_settled = rows.iter().all(|row| !row.active || row.state.is_some())
        && unreadable.iter().all(|row| !row.active || row.state.is_some());
    let accepted = rows
        .into_iter()
        .filter(|row| row.active && row.state.is_some_and(State::is_served))
        // What this process's settings forbid, another with others may send.
        .filter_map(|row| check(row, &registry, Some(rules)).ok())
        .map(Arc::new);
    let accepted: Vec<_> = accepted.collect();
    let mut subscription_set = SubscriptionSet::new(version, accepted, &Arc::new(registry), stats)?;
    subscription_set.keyring.clone_from(&rules.keyring);
    Ok((subscription_set, is_settled))
}

/// Whether one of the tables that a subscription needs was too busy to set up its triggers.
fn is_busy(subscription: &ResolvedSubscription, busy: &BTreeMap<String, String>) -> bool {
    busy.keys().any(|table| subscription.needs(table))
}

/// What a process died of is not looked at again.
fn put_aside() -> Error {
    Error::usage("the service died while it looked at this subscription, twice: it is put aside").with_hint(
        "change what is unusual in its template, domain or fields; whoever writes the row has it looked at again",
    )
}

/// Looks at one subscription, for somebody who may read records of these models, or of all.
///
/// The outer error is the database's; the inner one the subscription's.
pub(crate) async fn look_at(
    client: &Client,
    row: &Subscription,
    registry: &Registry,
    rules: &ServiceRules,
    models: Option<Arc<BTreeSet<String>>>,
) -> Result<Result<ResolvedSubscription>> {
    let context = Context {
        models,
        ..context_of(row)
    };
    let outcome = look_at_row(row, registry, Some(rules), &Quarantine::default(), &context);
    let mut refused = readable::refusals(client, outcome.iter(), registry).await?;
    Ok(match refused.remove(&row.id) {
        Some(refusal) => Err(refusal),
        None => outcome,
    })
}

/// Looks at subscriptions: each alone as far as its row tells, all together where the database has to be asked.
///
/// The outer error is the database's; the inner ones the subscriptions'.
async fn look_at_some<'r>(
    client: &Client,
    rows: &[&'r Subscription],
    registry: &Registry,
    rules: Option<&ServiceRules>,
    quarantine: &Quarantine,
) -> Result<Vec<(&'r Subscription, Result<ResolvedSubscription>)>> {
    let mut outcomes = Vec::with_capacity(rows.len());
    for row in rows {
        outcomes.push((*row, look_at_row(row, registry, rules, quarantine, &context_of(row))));
        // Thousands are looked at while others' events are matched and sent by the same threads.
        tokio::task::yield_now().await;
    }
    let readable = outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().ok());
    let mut refused = readable::refusals(client, readable, registry).await?;
    if !refused.is_empty() {
        for (row, outcome) in &mut outcomes {
            if let Some(refusal) = refused.remove(&row.id) {
                *outcome = Err(refusal);
            }
        }
    }
    Ok(outcomes)
}

/// What a row alone tells of a subscription.
fn look_at_row(
    row: &Subscription,
    registry: &Registry,
    rules: Option<&ServiceRules>,
    quarantine: &Quarantine,
    context: &Context,
) -> Result<ResolvedSubscription> {
    if rules.is_some() {
        failpoint::reach(Step::WhileLooking);
    }
    if let Some(reason) = quarantine.reason_for(row) {
        return Err(Error::usage(reason));
    }
    // A panic is a bug of ours, and no reason to serve nobody.
    let checked = catch_unwind(AssertUnwindSafe(|| check_in(row.clone(), registry, rules, context)));
    checked.unwrap_or_else(|_| {
        Err(
            Error::usage("the service failed while it looked at this subscription: that is a bug of odoo-eventd")
                .with_hint("its log tells more; a simpler template, domain or list of fields may get by"),
        )
    })
}

/// Looks at one subscription, for the user who made it and at this moment.
pub(crate) fn check(
    row: Subscription,
    registry: &Registry,
    rules: Option<&ServiceRules>,
) -> Result<ResolvedSubscription> {
    let context = context_of(&row);
    check_in(row, registry, rules, &context)
}

fn check_in(
    mut row: Subscription,
    registry: &Registry,
    rules: Option<&ServiceRules>,
    context: &Context,
) -> Result<ResolvedSubscription> {
    if let Some(rules) = rules {
        row.open_secrets(rules.keyring.as_deref())?;
    }
    ResolvedSubscription::check(row, registry, context, rules.map(|rules| &rules.guard))
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
