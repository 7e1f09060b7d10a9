//! Which models a subscription reads beside its own.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::check::TypedDomain;
use crate::odoo::registry::Registry;
use crate::payload::plan::Plan;

/// The models whose records are judged or sent, beside the subscription's own: for each the models that make it somebody's to read, which
/// are itself and those that inherit from it. Whoever is bound to models sees the subscription if he has one of each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reach(BTreeSet<BTreeSet<String>>);

impl Reach {
    /// Of a subscription on `own` with this domain that sends this.
    pub fn of(own: &str, domain: Option<&TypedDomain>, sent: Option<&Plan>, registry: &Registry) -> Self {
        let judged = domain.iter().flat_map(|domain| domain.plan().tables());
        // A table may be that of several models.
        let judged = judged.map(|table| {
            registry
                .models_kept_in(table)
                .map(|model| model.name.as_str())
                .collect()
        });
        let sent = sent.iter().flat_map(|plan| plan.sent_models());
        let read: BTreeSet<BTreeSet<&str>> = judged.chain(sent.map(|model| BTreeSet::from([model]))).collect();
        let lists = read.into_iter().filter(|one_of| !one_of.is_empty()).map(|one_of| {
            let inheriting = one_of.into_iter().flat_map(|model| registry.inheriting(model));
            inheriting.map(str::to_owned).collect::<BTreeSet<String>>()
        });
        Self(lists.filter(|one_of| !one_of.contains(own)).collect())
    }

    /// Whether another says of everything here that it is read.
    pub fn is_part_of(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }
}
