//! What the keeper of the roster knows of the subscriptions from its last look, so that a change of one among ten thousand costs what one
//! costs: deliveries wait for the keeper whenever somebody has edited a subscription.
//!
//! Rows are told apart by their stamps. One that has the stamp it had is what it was, as long as Odoo's fields are
//! ([`crate::pg::registry::stamp`]); the first look, and each after a change of those, goes through all of them ([`admission::refresh`]).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::pg::Client;

use crate::Result;
use crate::odoo::registry::Registry;
use crate::pg::subscriptions;
use crate::subscription::ResolvedSubscription;
use crate::worker::dispatch::behind::Awaited;
use crate::worker::upkeep::admission::{self, Busy, ServiceRules, sync};
use crate::worker::upkeep::quarantine::Quarantine;

/// So many rows are looked at at once. What each part of thousands comes to is served while the next is looked at.
const AT_ONCE: usize = 500;

/// The last look.
#[derive(Debug)]
pub struct Known {
    /// What the subscriptions were checked against.
    pub registry: Arc<Registry>,
    /// Those that are served.
    pub served: HashMap<i32, Arc<ResolvedSubscription>>,
    /// The version of every row.
    stamps: HashMap<i32, String>,
    /// Active ones that cannot be served.
    invalid: HashSet<i32>,
    /// Those that can be served once their tables are less busy.
    waiting: HashSet<i32>,
    /// What was too much for the last look.
    left: HashSet<i32>,
    /// [`Changed::concerned`] of the parts before.
    concerned: BTreeSet<String>,
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
    /// Models of which less may be needed than before: somebody's needs have changed, or are gone. None until all were looked at.
    pub concerned: Vec<String>,
    /// Whether all were looked at that were to be; else there is more, to be looked at next.
    pub is_all: bool,
}

impl Known {
    /// After a look at all of them.
    pub fn of(looked: admission::Looked) -> Self {
        let rows = looked.rows;
        let served: HashMap<_, _> = rows
            .accepted
            .into_iter()
            .map(|accepted| (accepted.row.id, Arc::new(accepted)))
            .collect();
        Self {
            registry: Arc::new(looked.registry),
            served,
            // What was written or deleted since that look has another stamp now, or none.
            stamps: rows.stamps,
            invalid: rows.invalid,
            waiting: rows.waiting,
            left: HashSet::new(),
            concerned: BTreeSet::new(),
        }
    }

    /// The version of every row.
    pub fn stamps(&self) -> &HashMap<i32, String> {
        &self.stamps
    }

    /// How many models they are of.
    pub fn models(&self) -> usize {
        let models: HashSet<&str> = self.served.values().map(|served| served.row.model.as_str()).collect();
        models.len()
    }

    /// Whether there are active ones that cannot be served.
    pub fn has_invalid(&self) -> bool {
        !self.invalid.is_empty()
    }

    /// Looks at what has changed since, at most [`AT_ONCE`] rows: those that events wait for first, then those of models that have few.
    /// `None` when all should be looked at: it concerns others.
    ///
    /// # Errors
    /// Database errors. A subscription that cannot be served is no error; nor is a busy table.
    pub async fn look(
        mut self,
        client: &Client,
        rules: &ServiceRules,
        quarantine: &Quarantine,
        also: Also,
        awaited: &Awaited,
    ) -> Result<Option<(Self, Changed)>> {
        let (mut edited, mut gone) = (HashMap::new(), Vec::new());
        for (id, model) in subscriptions::edited(client, &self.stamps).await? {
            match model {
                Some(model) => drop(edited.insert(id, model)),
                None => gone.push(id),
            }
        }
        let mut ids: HashSet<i32> = edited.keys().copied().collect();
        ids.extend(&also.subscriptions);
        let unheard = quarantine.of_versions(&self.stamps).into_iter();
        ids.extend(unheard.filter(|id| !self.invalid.contains(id)));
        // Those whose table was busy a moment ago are in no part of a look that is going on, unless it is their time again: they would be in
        // each of its parts, and it would not end.
        let waited = match self.left.is_empty() || !also.models.is_empty() {
            true => std::mem::take(&mut self.waiting),
            false => HashSet::new(),
        };
        ids.extend(&waited);
        ids.extend(std::mem::take(&mut self.left));
        if also.invalid {
            ids.extend(&self.invalid);
        }
        // A table that was made anew may have been captured in part.
        let of_model = |accepted: &Arc<ResolvedSubscription>| also.models.iter().any(|model| accepted.needs(model));
        ids.extend(self.served.iter().filter(|(_, s)| of_model(s)).map(|(id, _)| *id));
        let mut first = awaited.now();
        first.extend(&also.subscriptions);
        self.left = self.leave_for_later(&mut ids, &edited, &first, &waited);
        let mut before = HashMap::new();
        for id in ids.iter().chain(&gone) {
            // Of what is left for later the old stamp stands: it is found edited until it was looked at, or deleted.
            self.stamps.remove(id);
            before.extend(self.served.remove(id).map(|accepted| (*id, accepted)));
            self.invalid.remove(id);
        }

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
        for accepted in settled.accepted {
            let id = accepted.row.id;
            if before.get(&id).is_some_and(|before| needs(before) == needs(&accepted)) {
                before.remove(&id);
            }
            self.served.insert(id, Arc::new(accepted));
        }
        for accepted in before.into_values() {
            self.concerned.insert(accepted.row.model.clone());
            self.concerned.extend(accepted.elsewhere.keys().cloned());
        }
        ids.extend(gone);
        let is_all = self.left.is_empty();
        let concerned = match is_all {
            true => std::mem::take(&mut self.concerned).into_iter().collect(),
            false => Vec::new(),
        };
        let changed = Changed {
            ids,
            busy: synced.busy,
            concerned,
            is_all,
        };
        Ok(Some((self, changed)))
    }

    /// Takes out of `ids` what is too much for one look: not the first, and the last before all others.
    fn leave_for_later(
        &self,
        ids: &mut HashSet<i32>,
        edited: &HashMap<i32, String>,
        first: &HashSet<i32>,
        last: &HashSet<i32>,
    ) -> HashSet<i32> {
        if ids.len() <= AT_ONCE {
            return HashSet::new();
        }
        let model_of = |id: &i32| {
            let served = || self.served.get(id).map(|served| served.row.model.as_str());
            edited.get(id).map(String::as_str).or_else(served).unwrap_or_default()
        };
        let mut of_model: HashMap<&str, usize> = HashMap::new();
        for id in ids.iter() {
            *of_model.entry(model_of(id)).or_default() += 1;
        }
        // Whole models as far as they go: an event of theirs then waits for nobody else.
        let mut in_turn: Vec<i32> = ids.iter().copied().collect();
        in_turn.sort_by_cached_key(|id| {
            let model = model_of(id);
            (
                !first.contains(id),
                last.contains(id),
                of_model[model],
                model.to_owned(),
                *id,
            )
        });
        let left: HashSet<i32> = in_turn.drain(AT_ONCE..).collect();
        ids.retain(|id| !left.contains(id));
        left
    }

    /// Captures no more what nobody needs any more of these models. Not before the others are served: it is not urgent.
    ///
    /// # Errors
    /// Database errors.
    pub async fn narrow(client: &Client, models: &[String]) -> Result<Busy> {
        let unsynced = match subscriptions::unsynced_models(client, Some(models)).await {
            // An upgrade of Odoo is in the way: tried again like a busy table.
            Err(error) if error.is_lock_timeout() => {
                return Ok(models.iter().map(|model| (model.clone(), error.chain())).collect());
            }
            unsynced => unsynced?,
        };
        // Whoever is left needs no more than before: what is refused now is found at the next look at its subscriptions.
        Ok(sync(client, unsynced).await?.busy)
    }
}

/// What of a subscription decides what is captured for it.
fn needs(accepted: &ResolvedSubscription) -> impl PartialEq {
    let row = &accepted.row;
    (
        row.model.clone(),
        accepted.columns.clone(),
        accepted.compared.clone(),
        accepted.whole.clone(),
        accepted.elsewhere.clone(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::odoo::registry::Facts;

    #[test]
    fn of_more_than_can_be_looked_at_at_once_those_that_events_wait_for_come_first_then_models_with_few() {
        let known = Known {
            registry: Arc::new(Registry::new(Facts::default())),
            served: HashMap::new(),
            stamps: HashMap::new(),
            invalid: HashSet::new(),
            waiting: HashSet::new(),
            left: HashSet::new(),
            concerned: BTreeSet::new(),
        };
        let model_of = |id: i32| match id {
            0..400 => "crm.tag",
            400..700 => "res.partner",
            _ => "sale.order",
        };
        let edited: HashMap<i32, String> = (0..1200).map(|id| (id, model_of(id).to_owned())).collect();
        let none = HashSet::new();
        let chosen = |first: &HashSet<i32>, last: &HashSet<i32>| {
            let mut ids: HashSet<i32> = edited.keys().copied().collect();
            let left = known.leave_for_later(&mut ids, &edited, first, last);
            assert!(ids.is_disjoint(&left) && ids.len() + left.len() == 1200 && ids.len() == AT_ONCE);
            ids
        };
        let expected = (400..700).chain(0..200).collect::<HashSet<i32>>();
        assert_eq!(
            chosen(&none, &none),
            expected,
            "the whole of the smallest model, then of the next"
        );
        let awaited = (1000..1200).collect();
        let expected = (1000..1200).chain(400..700).collect::<HashSet<i32>>();
        assert_eq!(chosen(&awaited, &none), expected);
        let waited = (400..700).collect();
        let expected = (1000..1200).chain(0..300).collect::<HashSet<i32>>();
        assert_eq!(chosen(&awaited, &waited), expected);
    }
}
