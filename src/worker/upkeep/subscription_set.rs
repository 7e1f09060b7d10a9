//! The subscriptions that can be served, as the tasks of a term see them: immutable, published anew after each change.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::Result;
use crate::domain::check::check_text;
use crate::odoo::registry::Registry;
use crate::pg::domain::judge::Judge;
use crate::relations::{Derivation, Derivations};
use crate::sealing::Keyring;
use crate::subscription::ResolvedSubscription;
use crate::worker::upkeep::admission::context_of;
use crate::worker::upkeep::stats::Stats;

/// The subscriptions that can be served, by model and by id. Immutable: a change makes a new one.
#[derive(Debug, Default)]
pub struct SubscriptionSet {
    /// The version of the subscriptions that it was made from; `None` before the first look, and where a part of what was edited has yet
    /// to be looked at.
    pub version: Option<i64>,
    by_id: HashMap<i32, Arc<ResolvedSubscription>>,
    by_model: HashMap<String, Arc<OfModel>>,
    /// Opens the secrets of callbacks.
    pub keyring: Option<Arc<Keyring>>,
    /// The watched fields that are kept elsewhere than in a column of their own.
    pub derivations: Arc<Derivations>,
    /// Models of which values are sent to subscriptions of those that inherit from them.
    pub parents_sent: HashSet<String>,
    /// What their deliveries came to; shared by all rosters of a term.
    pub stats: Arc<Stats>,
    /// The version of each row that it was made from.
    pub stamps: Arc<HashMap<i32, String>>,
    /// What they were checked against; `None` before the first look.
    pub registry: Option<Arc<Registry>>,
}

/// The subscriptions of one model.
#[derive(Debug)]
pub struct OfModel {
    /// In order of their ids.
    pub subscriptions: Vec<Arc<ResolvedSubscription>>,
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
    pub fn alone(&self) -> impl Iterator<Item = Result<(&Arc<ResolvedSubscription>, Judge)>> {
        self.subscriptions.iter().filter_map(|subscription| {
            let domain = subscription.domain.as_ref()?;
            let judge = Judge::new(&[(i64::from(subscription.row.id), domain)], &self.registry);
            Some(judge.map(|judge| (subscription, judge)))
        })
    }

    /// Those of one model, by id; what `before` them can be used of is.
    fn of(
        subscriptions: Vec<Arc<ResolvedSubscription>>,
        registry: &Arc<Registry>,
        before: Option<&Self>,
    ) -> Result<Self> {
        let domains: Vec<_> = subscriptions
            .iter()
            .filter_map(|s| s.domain.as_ref().map(|domain| (i64::from(s.row.id), domain)))
            .collect();
        let kept = before.filter(|before| Arc::ptr_eq(&before.registry, registry));
        let changed = match kept.and_then(|before| Some((before, before.judge.as_ref()?))) {
            Some((before, judge)) => {
                let was: HashMap<i32, &Arc<ResolvedSubscription>> =
                    before.subscriptions.iter().map(|s| (s.row.id, s)).collect();
                let is: HashMap<i32, &Arc<ResolvedSubscription>> =
                    subscriptions.iter().map(|s| (s.row.id, s)).collect();
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

impl SubscriptionSet {
    /// Of these subscriptions, that were looked at as of a version of all.
    ///
    /// # Errors
    /// The domains of a model do not go together.
    pub fn new(
        version: i64,
        accepted: impl IntoIterator<Item = Arc<ResolvedSubscription>>,
        registry: &Arc<Registry>,
        stats: Arc<Stats>,
    ) -> Result<Self> {
        let by_id: HashMap<i32, Arc<ResolvedSubscription>> = accepted.into_iter().map(|s| (s.row.id, s)).collect();
        let mut grouped: BTreeMap<&str, Vec<Arc<ResolvedSubscription>>> = BTreeMap::new();
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
            stats,
            stamps: Arc::default(),
            registry: Some(Arc::clone(registry)),
        })
    }

    /// The same after a change of some subscriptions, which are in `served` if they can still be served. The other models' are not
    /// touched.
    ///
    /// # Errors
    /// The domains of a model do not go together.
    pub fn changed(
        &self,
        version: Option<i64>,
        ids: &HashSet<i32>,
        served: &HashMap<i32, Arc<ResolvedSubscription>>,
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
            version,
            derivations: if is_as_before {
                Arc::clone(&self.derivations)
            } else {
                Arc::new(Derivations::new(by_id.values().flat_map(|s| derivations_of(s))))
            },
            parents_sent: parents_sent(&by_id),
            by_id,
            by_model,
            keyring: self.keyring.clone(),
            stats: Arc::clone(&self.stats),
            stamps: Arc::default(),
            registry: Some(Arc::clone(registry)),
        })
    }

    /// The model of a subscription that is served.
    pub fn model_of(&self, id: i32) -> Option<&str> {
        self.by_id.get(&id).map(|served| served.row.model.as_str())
    }

    /// The subscriptions of a model.
    pub fn of_model(&self, model: &str) -> Option<&OfModel> {
        self.by_model.get(model).map(AsRef::as_ref)
    }

    /// All subscriptions that have somewhere to send to.
    pub fn sendable_all(&self) -> impl Iterator<Item = &Arc<ResolvedSubscription>> {
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
    pub fn sendable(&self, id: i32) -> Option<Arc<ResolvedSubscription>> {
        self.by_id.get(&id).filter(|s| s.has_endpoint()).cloned()
    }
}

/// The watched fields of a subscription that are kept elsewhere than in a column of their own.
fn derivations_of(subscription: &ResolvedSubscription) -> impl Iterator<Item = Derivation> {
    subscription.derived.iter().map(|watch| Derivation {
        model: subscription.row.model.as_str().into(),
        watch: watch.clone(),
    })
}

fn parents_sent(by_id: &HashMap<i32, Arc<ResolvedSubscription>>) -> HashSet<String> {
    let inherited = by_id.values().flat_map(|s| &s.inherited);
    inherited.map(|inherited| inherited.parent.clone()).collect()
}
