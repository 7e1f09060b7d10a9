//! Changing and deleting several subscriptions: what can be done is done in one transaction, and each gets an answer of its own.

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
use crate::pg::subscription_rows::{self, Fate};
use crate::subscription::{Patch, Refusal};

/// So many at once at most: each is looked at, and all are locked together.
pub const AT_MOST: usize = 500;

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

impl From<Fate> for Outcome {
    fn from(fate: Fate) -> Self {
        match fate {
            Fate::Done(version) => Self::Done {
                version: Version(version),
            },
            Fate::NotFound => Self::NotFound,
            Fate::Conflict(version) => Self::Conflict {
                version: Version(version),
            },
        }
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
        let patch_json = patch.to_json();
        let (mut results, targets) = if patch.needs_a_look() {
            Box::pin(self.look_at_targets(&session, operator, targets, &patch_json)).await?
        } else {
            (BTreeMap::new(), targets)
        };
        let (ids, versions): (Vec<i32>, Vec<Option<String>>) = targets
            .into_iter()
            .map(|(id, version)| (id, version.map(|v| v.0)))
            .unzip();
        let fates = subscription_rows::change(&session, &operator.to_json(), (&ids, &versions), &patch_json).await?;
        let changed: Vec<i32> = done(&fates);
        results.extend(fates.into_iter().map(|(id, fate)| (id, Outcome::from(fate))));
        // Whether deliveries wait is nothing that has to be captured.
        if !changed.is_empty() && patch.columns().any(|column| column != "paused") {
            self.let_capture_follow_later(&session, &changed).await;
            // Those that are served no more, or are of another model now, leave captures behind that nobody may need.
            if patch.set.active == Some(false) || patch.set.model.is_some() {
                self.let_capture_narrow_later(&session).await;
            }
        }
        Ok(answers(results))
    }

    /// Those that could be served with the change, each pinned to the version that was looked at; and what is to be said of the others.
    async fn look_at_targets(
        &self,
        session: &Session,
        operator: &Operator,
        targets: Targets,
        patch: &Value,
    ) -> Result<(BTreeMap<i32, Outcome>, Targets)> {
        let registry = self.registry(session).await?;
        let (mut results, mut pinned) = (BTreeMap::new(), Targets::new());
        for (id, expected) in targets {
            let target = Target { id, expected };
            let looked = look_at(session, self.rules(), operator, (patch, Some(&target)), &registry);
            match Box::pin(looked).await {
                Ok(None) => {
                    results.insert(id, Outcome::NotFound);
                }
                Ok(Some(looked)) => {
                    pinned.insert(id, looked.version);
                }
                Err(Error::Refused(refusals)) => {
                    results.insert(id, Outcome::Refused { refusals });
                }
                Err(Error::Conflict(Conflict::Changed { now, .. })) => {
                    results.insert(id, Outcome::Conflict { version: now });
                }
                Err(error) => return Err(error),
            }
        }
        Ok((results, pinned))
    }

    /// Deletes several subscriptions; the log of their deliveries stays. Those that can be deleted are, in one transaction; an answer for
    /// each id, in the order of the ids.
    ///
    /// # Errors
    /// [`Error::Refused`] for more than [`AT_MOST`]; [`Error::Forbidden`] without `subscriptions:write`.
    pub async fn delete_subscriptions(&self, operator: &Operator, targets: &[Target]) -> Result<Vec<BulkResult>> {
        operator.require(Scope::SubscriptionsWrite)?;
        let targets = distinct(targets)?;
        let session = self.session().await?;
        let (ids, versions): (Vec<i32>, Vec<Option<String>>) = targets
            .into_iter()
            .map(|(id, version)| (id, version.map(|v| v.0)))
            .unzip();
        let fates = subscription_rows::delete(&session, &operator.to_json(), &ids, &versions).await?;
        if !done(&fates).is_empty() {
            self.let_capture_narrow_later(&session).await;
        }
        let results = fates.into_iter().map(|(id, fate)| (id, Outcome::from(fate)));
        Ok(answers(results.collect()))
    }

    /// The subscriptions that fit, as targets of a bulk verb: whichever version each is.
    ///
    /// # Errors
    /// [`Error::Refused`] when they are more than [`AT_MOST`]; [`Error::Forbidden`] without `subscriptions:read`.
    pub async fn targets(&self, operator: &Operator, filter: &Filter) -> Result<Vec<Target>> {
        let request = PageRequest::first(u32::try_from(AT_MOST).unwrap_or(u32::MAX));
        let page = self.subscriptions(operator, filter, Order::default(), &request).await?;
        if page.next_cursor.is_some() {
            return Err(too_many());
        }
        let targets = page.items.into_iter().map(|found| Target::any(found.subscription.id));
        Ok(targets.collect())
    }
}

type Targets = BTreeMap<i32, Option<Version>>;

/// Each once. Who names one twice with two versions has a conflict with himself: the last one counts.
fn distinct(targets: &[Target]) -> Result<Targets> {
    let ids: BTreeSet<i32> = targets.iter().map(|target| target.id).collect();
    if ids.len() > AT_MOST {
        return Err(too_many());
    }
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
    Error::refused(Refusal::of(
        "ids",
        format!("at most {AT_MOST} subscriptions are changed at once"),
    ))
}

fn answers(results: BTreeMap<i32, Outcome>) -> Vec<BulkResult> {
    results
        .into_iter()
        .map(|(id, outcome)| BulkResult { id, outcome })
        .collect()
}
