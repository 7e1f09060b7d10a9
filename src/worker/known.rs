//! What the keeper of the roster knows of the subscriptions from its last look, so that a change of one among ten thousand costs what one
//! costs: deliveries wait for the keeper whenever somebody has edited a subscription.
//!
//! Rows are told apart by their stamps. One that has the stamp it had is what it was, as long as Odoo's fields are
//! ([`crate::pg::registry::stamp`]); the first look, and each after a change of those, goes through all of them ([`admission::refresh`]).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::Client;

use super::admission::{self, Busy, ServiceRules, sync};
use super::quarantine::Quarantine;
use crate::Result;
use crate::odoo::registry::Registry;
use crate::pg::subscriptions;
use crate::pg::troubles::is_of_a_lock;
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
    /// What could not be captured now.
    pub busy: Busy,
    /// Models of which less may be needed than before: somebody's needs have changed, or are gone.
    pub concerned: Vec<String>,
}

impl Known {
    /// After a look at all of them.
    ///
    /// # Errors
    /// Database errors.
    pub async fn of(client: &Client, looked: admission::Looked) -> Result<Self> {
        let rows = looked.rows;
        let stamps = subscriptions::stamps(client).await?;
        let served: HashMap<_, _> = rows
            .accepted
            .into_iter()
            .map(|accepted| (accepted.row.id, Arc::new(accepted)))
            .collect();
        // What was written since that look has another stamp than what was looked at, or was not there.
        let stamps = stamps
            .into_iter()
            .filter(|(id, stamp)| rows.stamps.get(id) == Some(stamp))
            .collect();
        Ok(Self {
            registry: Arc::new(looked.registry),
            served,
            stamps,
            invalid: rows.invalid,
            waiting: rows.waiting,
        })
    }

    /// The version of every row.
    pub fn stamps(&self) -> &HashMap<i32, String> {
        &self.stamps
    }

    /// Whether there are active ones that cannot be served.
    pub fn has_invalid(&self) -> bool {
        !self.invalid.is_empty()
    }

    /// Looks at what has changed since. `None` when all should be looked at: that is so much, or concerns others.
    ///
    /// # Errors
    /// Database errors. A subscription that cannot be served is no error; nor is a busy table.
    pub async fn look(
        mut self,
        client: &Client,
        rules: &ServiceRules,
        quarantine: &Quarantine,
        also: Also,
    ) -> Result<Option<(Self, Changed)>> {
        let now: HashMap<i32, String> = subscriptions::stamps(client).await?.into_iter().collect();
        let mut ids: HashSet<i32> = now
            .iter()
            .filter(|(id, stamp)| self.stamps.get(id) != Some(stamp))
            .map(|(id, _)| *id)
            .collect();
        ids.extend(also.subscriptions);
        let unheard = quarantine.of_versions(&now).into_iter();
        ids.extend(unheard.filter(|id| !self.invalid.contains(id)));
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
        let looked = admission::look_at_these(client, &wanted, &self.registry, rules, quarantine).await?;
        let mut unsynced: BTreeSet<String> = also.models;
        unsynced.extend(subscriptions::unmet_models(client, &wanted).await?);
        let mut synced = sync(client, unsynced).await?;
        // A model that cannot be captured concerns others too.
        if !synced.refused.is_empty() {
            return Ok(None);
        }
        let settled = admission::settle(client, looked, &mut synced.busy, Some(&wanted)).await?;
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
        let changed = Changed {
            ids,
            busy: synced.busy,
            concerned: concerned.into_iter().collect(),
        };
        Ok(Some((self, changed)))
    }

    /// Captures no more what nobody needs any more of these models. Not before the others are served: it is not urgent.
    ///
    /// # Errors
    /// Database errors.
    pub async fn narrow(client: &Client, models: &[String]) -> Result<Busy> {
        let unsynced = match subscriptions::unsynced_models(client, Some(models)).await {
            // An upgrade of Odoo is in the way: tried again like a busy table.
            Err(error) if is_of_a_lock(&error) => {
                return Ok(models.iter().map(|model| (model.clone(), error.chain())).collect());
            }
            unsynced => unsynced?,
        };
        // Whoever is left needs no more than before: what is refused now is found at the next look at its subscriptions.
        Ok(sync(client, unsynced).await?.busy)
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
