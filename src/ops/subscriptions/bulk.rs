//! Changing and deleting several subscriptions: what can be done is done in one transaction, and each gets an answer of its own.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::preview::look_at;
use super::read::{Filter, Order};
use crate::ops::error::{Conflict, Error, Result, Version};
use crate::ops::operator::{Operator, Scope};
use crate::ops::page::PageRequest;
use crate::ops::service::Service;
use crate::pg::session_pool::Session;
use crate::pg::subscription_rows::{self, Change, Fate};
use crate::subscription::{Patch, Reach, Refusal};

/// So many at once at most: each is looked at, and all are locked together.
pub const AT_MOST: usize = 500;

const AT_MOST_SAID: &str = "at most 500 subscriptions are changed at once";

/// One of those that are to be changed.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its id.
    pub id: i32,
    /// The version that it must still be; none = whichever.
    pub expected: Option<Version>,
}

impl Target {
    /// Whichever version it is.
    pub fn any(id: i32) -> Self {
        Self { id, expected: None }
    }
}

/// What became of one.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct BulkResult {
    /// Its id.
    pub id: i32,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of one of several.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done {
        /// The version that it is now; of one that was deleted, the last.
        version: Version,
    },
    /// There is none with this id.
    NotFound,
    /// It is not the version that was named, or somebody changed it while it was looked at.
    Conflict {
        /// The version that it is.
        version: Version,
    },
    /// It could not be served.
    Refused {
        /// Everything that is wrong.
        refusals: Vec<Refusal>,
    },
}

impl Outcome {
    /// None of one that was left because of others.
    fn of(fate: Fate) -> Option<Self> {
        Some(match fate {
            Fate::Done(version) => Self::Done {
                version: Version(version),
            },
            Fate::NotFound => Self::NotFound,
            Fate::Conflict(version) => Self::Conflict {
                version: Version(version),
            },
            Fate::Left => return None,
        })
    }
}

impl Service {
    /// Writes the same columns of several subscriptions. Those that can be changed are, in one transaction; an answer for each id, in the
    /// order of the ids.
    ///
    /// # Errors
    /// [`Error::Refused`] for more than [`AT_MOST`], or a value that no subscription could have: nothing was written.
    /// [`Error::Forbidden`] without `subscriptions:write`.
    pub async fn update_subscriptions(
        &self,
        operator: &Operator,
        targets: &[Target],
        patch: &Patch,
    ) -> Result<Vec<BulkResult>> {
        operator.require(Scope::SubscriptionsWrite)?;
        operator.refuse_giving_away(patch)?;
        let targets = distinct(targets)?;
        let session = self.session().await?;
        let wanted = Wanted::same(targets, patch);
        let (mut results, wanted) = Box::pin(self.prepared(&session, operator, wanted)).await?;
        let fates = Box::pin(self.write(&session, operator, wanted, false)).await?;
        results.extend(
            fates
                .into_iter()
                .filter_map(|(id, fate)| Some((id, Outcome::of(fate)?))),
        );
        Ok(answers(results))
    }

    /// Writes to each of these what is said of it, in one transaction: to all of them, or to none.
    ///
    /// # Errors
    /// Why the first of those that cannot be written cannot: [`Error::NotFound`], [`Error::Conflict`], [`Error::Refused`]; else as
    /// [`Service::update_subscriptions`]. Nothing was written.
    pub async fn update_together(&self, operator: &Operator, changes: &[(Vec<Target>, Patch)]) -> Result<()> {
        operator.require(Scope::SubscriptionsWrite)?;
        let mut wanted = Wanted::default();
        for (targets, patch) in changes {
            operator.refuse_giving_away(patch)?;
            wanted.add(distinct(targets)?, patch);
        }
        if wanted.rows.len() > AT_MOST {
            return Err(too_many());
        }
        let session = self.session().await?;
        let (results, wanted) = Box::pin(self.prepared(&session, operator, wanted)).await?;
        all_done(results)?;
        let fates = Box::pin(self.write(&session, operator, wanted, true)).await?;
        all_done(
            fates
                .into_iter()
                .filter_map(|(id, fate)| Some((id, Outcome::of(fate)?))),
        )
    }

    /// What is to be written, each row that has to be looked at pinned to the version that was looked at; and what is to be said of those
    /// to which nothing is written.
    async fn prepared<'p>(
        &self,
        session: &Session,
        operator: &Operator,
        mut wanted: Wanted<'p>,
    ) -> Result<(BTreeMap<i32, Outcome>, Wanted<'p>)> {
        let mut results = Box::pin(self.unmask(session, operator, &mut wanted)).await?;
        let registry = self.registry(session).await?;
        let patches: Vec<Value> = wanted.patches.iter().map(|patch| patch.to_json()).collect();
        for (id, row) in std::mem::take(&mut wanted.rows) {
            if !wanted.patches[row.patch].needs_a_look() {
                wanted.rows.insert(id, row);
                continue;
            }
            let expected = row.expected.clone();
            let target = Target { id, expected };
            let asked = (&patches[row.patch], Some(&target));
            let outcome = match Box::pin(look_at(session, self.rules(), operator, asked, &registry)).await {
                Ok(None) => Outcome::NotFound,
                Ok(Some(looked)) => {
                    let row = Row {
                        expected: looked.version,
                        reach: Some(looked.accepted.reach),
                        ..row
                    };
                    wanted.rows.insert(id, row);
                    continue;
                }
                Err(Error::Refused(refusals)) => Outcome::Refused { refusals },
                Err(Error::Conflict(Conflict::Changed { now, .. })) => Outcome::Conflict { version: now },
                Err(error) => return Err(error),
            };
            results.insert(id, outcome);
        }
        Ok((results, wanted))
    }

    /// Writes in one transaction, and lets capture follow.
    async fn write(
        &self,
        session: &Session,
        operator: &Operator,
        wanted: Wanted<'_>,
        together: bool,
    ) -> Result<Vec<(i32, Fate)>> {
        let Wanted { rows, patches } = wanted;
        let changes = rows.into_iter().map(|(id, row)| Change {
            id,
            version: row.expected.map(|version| version.0),
            reach: row.reach,
            patch: row.patch,
        });
        let as_json: Vec<Value> = patches.iter().map(|patch| patch.to_json()).collect();
        let fates =
            subscription_rows::change(session, &operator.to_json(), changes.collect(), &as_json, together).await?;
        let changed: Vec<i32> = done(&fates);
        // Whether deliveries wait is nothing that has to be captured.
        let is_captured = |patch: &Cow<'_, Patch>| patch.columns().any(|column| column != "paused");
        if !changed.is_empty() && patches.iter().any(is_captured) {
            self.let_capture_follow_later(session, &changed).await;
            // Those that are served no more, or are of another model now, leave captures behind that nobody may need.
            if patches
                .iter()
                .any(|patch| patch.set.active == Some(false) || patch.set.model.is_some())
            {
                self.let_capture_narrow_later(session).await;
            }
        }
        Ok(fates)
    }

    /// Deletes several subscriptions; the log of their deliveries stays. Those that can be deleted are, in one transaction; an answer for
    /// each id, in the order of the ids.
    ///
    /// # Errors
    /// [`Error::Refused`] for more than [`AT_MOST`]; [`Error::Forbidden`] without `subscriptions:write`.
    pub async fn delete_subscriptions(&self, operator: &Operator, targets: &[Target]) -> Result<Vec<BulkResult>> {
        operator.require(Scope::SubscriptionsWrite)?;
        let fates = self.delete(operator, targets, false).await?;
        let results = fates
            .into_iter()
            .filter_map(|(id, fate)| Some((id, Outcome::of(fate)?)));
        Ok(answers(results.collect()))
    }

    /// The same of all of them, or of none.
    ///
    /// # Errors
    /// Why the first of those that cannot be deleted cannot: [`Error::NotFound`], [`Error::Conflict`]; else as
    /// [`Service::delete_subscriptions`]. None was deleted.
    pub async fn delete_together(&self, operator: &Operator, targets: &[Target]) -> Result<()> {
        operator.require(Scope::SubscriptionsWrite)?;
        let fates = self.delete(operator, targets, true).await?;
        all_done(
            fates
                .into_iter()
                .filter_map(|(id, fate)| Some((id, Outcome::of(fate)?))),
        )
    }

    async fn delete(&self, operator: &Operator, targets: &[Target], together: bool) -> Result<Vec<(i32, Fate)>> {
        let targets = distinct(targets)?;
        let session = self.session().await?;
        let (ids, versions): (Vec<i32>, Vec<Option<String>>) = targets
            .into_iter()
            .map(|(id, version)| (id, version.map(|v| v.0)))
            .unzip();
        let fates = subscription_rows::delete(&session, &operator.to_json(), &ids, &versions, together).await?;
        if !done(&fates).is_empty() {
            self.let_capture_narrow_later(&session).await;
        }
        Ok(fates)
    }

    /// The subscriptions that fit, as targets of a bulk verb: each is the version that fits, and another one is a conflict.
    ///
    /// # Errors
    /// [`Error::Refused`] when they are more than [`AT_MOST`]; [`Error::Forbidden`] without `subscriptions:write`.
    pub async fn targets(&self, operator: &Operator, filter: &Filter) -> Result<Vec<Target>> {
        operator.require(Scope::SubscriptionsWrite)?;
        // Who may change them may say which.
        let reader = operator.clone().also(Scope::SubscriptionsRead);
        let request = PageRequest::first(u32::try_from(AT_MOST).unwrap_or(u32::MAX));
        let page = self.subscriptions(&reader, filter, Order::default(), &request).await?;
        if page.next_cursor.is_some() {
            return Err(Error::refused(Refusal::of("domain", AT_MOST_SAID)));
        }
        let targets = page.items.into_iter().map(|found| Target {
            id: found.subscription.id,
            expected: Some(found.version),
        });
        Ok(targets.collect())
    }
}

/// What is to be written: rows by their ids, and what is written to them.
#[derive(Debug, Default)]
pub(super) struct Wanted<'p> {
    pub(super) rows: BTreeMap<i32, Row>,
    /// Thousands of bytes each: rows that are given the same share one.
    pub(super) patches: Vec<Cow<'p, Patch>>,
}

/// A row that is to be written.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) expected: Option<Version>,
    pub(super) patch: usize,
    reach: Option<Reach>,
}

impl<'p> Wanted<'p> {
    fn same(targets: Targets, patch: &'p Patch) -> Self {
        let mut wanted = Self::default();
        wanted.add(targets, patch);
        wanted
    }

    fn add(&mut self, targets: Targets, patch: &'p Patch) {
        let place = self.patches.len();
        self.patches.push(Cow::Borrowed(patch));
        self.rows.extend(targets.into_iter().map(|(id, expected)| {
            let row = Row {
                expected,
                patch: place,
                reach: None,
            };
            (id, row)
        }));
    }
}

/// # Errors
/// Why the first that was not done was not.
fn all_done(results: impl IntoIterator<Item = (i32, Outcome)>) -> Result<()> {
    for (id, outcome) in results {
        match outcome {
            Outcome::Done { .. } => {}
            Outcome::NotFound => return Err(Error::no_subscription(id)),
            Outcome::Conflict { version } => return Err(Error::Conflict(Conflict::Changed { id, now: version })),
            Outcome::Refused { refusals } => return Err(Error::Refused(refusals)),
        }
    }
    Ok(())
}

type Targets = BTreeMap<i32, Option<Version>>;

/// Refuses more than are changed at once.
///
/// # Errors
/// [`Error::Refused`] for more than [`AT_MOST`].
pub fn refuse_too_many(targets: &[Target]) -> Result<()> {
    let ids: BTreeSet<i32> = targets.iter().map(|target| target.id).collect();
    match ids.len() > AT_MOST {
        true => Err(too_many()),
        false => Ok(()),
    }
}

/// Each once. Who names one twice with two versions has a conflict with himself: the last one counts.
fn distinct(targets: &[Target]) -> Result<Targets> {
    refuse_too_many(targets)?;
    Ok(targets
        .iter()
        .map(|target| (target.id, target.expected.clone()))
        .collect())
}

fn done(fates: &[(i32, Fate)]) -> Vec<i32> {
    let done = fates.iter().filter(|(_, fate)| matches!(fate, Fate::Done(_)));
    done.map(|(id, _)| *id).collect()
}

fn too_many() -> Error {
    Error::refused(Refusal::of("ids", AT_MOST_SAID))
}

fn answers(results: BTreeMap<i32, Outcome>) -> Vec<BulkResult> {
    results
        .into_iter()
        .map(|(id, outcome)| BulkResult { id, outcome })
        .collect()
}
