//! What the keeper of the roster knows of the subscriptions from its last look, so that a change of one among ten thousand costs what one
//! costs: deliveries wait for the keeper whenever somebody has edited a subscription.
//!
//! Rows are told apart by their stamps. One that has the stamp it had is what it was, as long as Odoo's fields are
//! ([`crate::pg::registry::stamp`]); the first look, and each after a change of those, goes through all of them ([`super::roster::refresh`]).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::quarantine::Quarantine;
use super::roster::{self, LOCK_WAIT, ServiceRules};
use crate::Result;
use crate::odoo::registry::Registry;
use crate::pg::subscriptions;
use crate::subscription::Accepted;

/// More changes than that are looked at together with all the others: that is fewer statements.
const MOST_CHANGED: usize = 500;

/// The last look.
#[derive(Debug)]
pub struct Known {
    /// What the subscriptions were checked against.
    pub registry: Arc<Registry>,
    /// Those that are served.
    pub served: HashMap<i32, Arc<Accepted>>,
    /// The version of every row.
    stamps: HashMap<i32, String>,
    /// Active ones that cannot be served.
    invalid: HashSet<i32>,
    /// Those that can be served once their tables are less busy.
    waiting: HashSet<i32>,
}

/// What is to be looked at beside rows that have another stamp.
#[derive(Debug, Default)]
pub struct Also {
    /// These subscriptions: something else than their row has changed.
    pub subscriptions: HashSet<i32>,
    /// Those that could not be served.
    pub invalid: bool,
    /// The capture of these models.
    pub models: BTreeSet<String>,
}

/// What came of a look.
#[derive(Debug, Default)]
pub struct Changed {
    /// Rows that are no longer what they were, or are gone; those of them that are served are in [`Known::served`].
    pub ids: HashSet<i32>,
    /// Models, or relation tables, that were too busy to set up their triggers.
    pub busy: BTreeSet<String>,
    /// Models of which less may be needed than before: somebody's needs have changed, or are gone.
    pub concerned: Vec<String>,
}

impl Known {
    /// After a look at all of them.
    ///
    /// # Errors
    /// Database errors.
    pub async fn of(client: &Client, looked: roster::Looked) -> Result<Self> {
        let stamps = subscriptions::stamps(client).await?;
        let served: HashMap<_, _> = looked
            .accepted
            .into_iter()
            .map(|accepted| (accepted.row.id, Arc::new(accepted)))
            .collect();
        // What was written since that look has another stamp than what was looked at, or was not there.
        let stamps = stamps
            .into_iter()
            .filter(|(id, stamp)| looked.stamps.get(id) == Some(stamp))
            .collect();
        Ok(Self {
            registry: Arc::new(looked.registry),
            served,
            stamps,
            invalid: looked.invalid,
            waiting: looked.waiting,
        })
    }

    /// Whether there are active ones that cannot be served.
    pub fn has_invalid(&self) -> bool {
        !self.invalid.is_empty()
    }

    /// Looks at what has changed since. `None` when that is so much that all should be looked at.
    ///
    /// # Errors
    /// Database errors. A subscription that cannot be served is no error; nor is a busy table.
    pub async fn look(
        &mut self,
        client: &Client,
        rules: &ServiceRules,
        quarantine: &Quarantine,
        also: Also,
    ) -> Result<Option<Changed>> {
        let now: HashMap<i32, String> = subscriptions::stamps(client).await?.into_iter().collect();
        let mut ids: HashSet<i32> = now
            .iter()
            .filter(|(id, stamp)| self.stamps.get(id) != Some(stamp))
            .map(|(id, _)| *id)
            .collect();
        ids.extend(also.subscriptions);
        ids.extend(quarantine.subscriptions());
        ids.extend(std::mem::take(&mut self.waiting));
        if also.invalid {
            ids.extend(&self.invalid);
        }
        // A table that was made anew may have been captured in part.
        let of_model = |accepted: &Arc<Accepted>| also.models.iter().any(|model| accepted.needs(model));
        ids.extend(self.served.iter().filter(|(_, s)| of_model(s)).map(|(id, _)| *id));
        if ids.len() > MOST_CHANGED {
            return Ok(None);
        }
        let gone: Vec<i32> = self.stamps.keys().filter(|id| !now.contains_key(id)).copied().collect();
        let mut before = HashMap::new();
        for id in ids.iter().chain(&gone) {
            before.extend(self.served.remove(id).map(|accepted| (*id, accepted)));
            self.invalid.remove(id);
        }
        self.stamps = now;

        let wanted: Vec<i32> = ids.iter().copied().collect();
        let looked = roster::look_at(client, &wanted, &self.registry, rules, quarantine).await?;
        let mut unsynced: BTreeSet<String> = also.models;
        unsynced.extend(subscriptions::unmet_models(client, &wanted).await?);
        // A model that cannot be captured concerns others too.
        let Some(busy) = sync(client, &unsynced).await? else {
            return Ok(None);
        };
        let settled = roster::settle(client, looked, &busy, Some(&wanted)).await?;
        for (id, stamp) in settled.stamps {
            self.stamps.insert(id, stamp);
        }
        self.invalid.extend(settled.invalid);
        self.waiting.extend(settled.waiting);
        let mut concerned: BTreeSet<String> = BTreeSet::new();
        for accepted in settled.accepted {
            let id = accepted.row.id;
            if before.get(&id).is_some_and(|before| needs(before) == needs(&accepted)) {
                before.remove(&id);
            }
            self.served.insert(id, Arc::new(accepted));
        }
        for accepted in before.into_values() {
            concerned.insert(accepted.row.model.clone());
            concerned.extend(accepted.elsewhere.keys().cloned());
        }
        ids.extend(gone);
        Ok(Some(Changed {
            ids,
            busy,
            concerned: concerned.into_iter().collect(),
        }))
    }

    /// Captures no more what nobody needs any more of these models. Not before the others are served: it is not urgent.
    ///
    /// # Errors
    /// Database errors.
    pub async fn narrow(client: &Client, models: &[String]) -> Result<BTreeSet<String>> {
        let unsynced = subscriptions::unsynced_models_of(client, models).await?;
        Ok(sync(client, &unsynced.into_iter().collect()).await?.unwrap_or_default())
    }
}

/// What of a subscription decides what is captured for it.
fn needs(accepted: &Accepted) -> impl PartialEq {
    let row = &accepted.row;
    (
        row.model.clone(),
        accepted.columns.clone(),
        accepted.compared.clone(),
        accepted.whole.clone(),
        accepted.elsewhere.clone(),
    )
}

/// Brings the capture of these in step; returns those that were too busy, and `None` when one cannot be captured.
async fn sync(client: &Client, models: &BTreeSet<String>) -> Result<Option<BTreeSet<String>>> {
    let mut busy = BTreeSet::new();
    for model in models {
        match subscriptions::sync_capture(client, model, LOCK_WAIT).await {
            Ok(true) => tracing::info!(model, "capture changed"),
            Ok(false) => {}
            Err(error) if error.sql_state() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                tracing::warn!(
                    model,
                    "the table is busy: its triggers will be set up when a lock can be had"
                );
                busy.insert(model.clone());
            }
            Err(error) if error.sql_state().is_some() && !error.is_connection_lost() => {
                tracing::debug!(model, error = %error.chain(), "looking at all subscriptions");
                return Ok(None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(Some(busy))
}
