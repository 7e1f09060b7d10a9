//! The wall of models: what an operator who is bound to some may have read for him.
//!
//! Odoo's record rules do not apply to what a trigger tells, so this is the only wall there is. A model's own fields are its columns, the
//! ids of its relations, and what it inherits through `_inherits`; a path that leads on, or a condition on related records, reads another
//! model. What is refused never names it.

use std::collections::BTreeSet;

use super::error::{Error, Result};
use super::operator::Operator;
use crate::domain::check::TypedDomain;
use crate::odoo::registry::Registry;
use crate::payload::plan::Plan;
use crate::subscription::{Refusal, ResolvedSubscription};

/// Where Odoo 16 and 17 keep the values of company-dependent fields: they are fields of the record's own model.
const KEPT_APART: &str = "ir_property";

impl Operator {
    /// # Errors
    /// [`Error::Refused`] where a subscription reads records of a model that he may not use.
    pub(super) fn refuse_beyond(&self, accepted: &ResolvedSubscription, registry: &Registry) -> Result<()> {
        let Some(within) = self.within(registry) else {
            return Ok(());
        };
        if let Some(domain) = &accepted.domain {
            within.refuse_in_domain(domain)?;
        }
        let sent = accepted
            .content
            .plan
            .as_deref()
            .map(Plan::sent_models)
            .unwrap_or_default();
        match sent.iter().all(|model| within.models.contains(model)) {
            true => Ok(()),
            false if accepted.row.payload_fields.is_empty() => Err(beyond("enrich_fields")),
            false => Err(beyond("payload_fields")),
        }
    }

    /// # Errors
    /// [`Error::Refused`] where a domain reads records of a model that he may not use.
    pub(super) fn refuse_beyond_in_domain(&self, domain: &TypedDomain, registry: &Registry) -> Result<()> {
        self.within(registry)
            .map_or(Ok(()), |within| within.refuse_in_domain(domain))
    }

    /// What is his; none = everything.
    fn within<'a>(&'a self, registry: &'a Registry) -> Option<Within<'a>> {
        let mut models: BTreeSet<&str> = self.models()?.iter().map(String::as_str).collect();
        let mut left: Vec<&str> = models.iter().copied().collect();
        while let Some(name) = left.pop() {
            let parents = registry.model(name).into_iter().flat_map(|model| &model.inherits);
            let parents = parents.map(|parent| parent.parent.as_str());
            left.extend(parents.filter(|parent| models.insert(parent)));
        }
        Some(Within { models, registry })
    }
}

struct Within<'a> {
    models: BTreeSet<&'a str>,
    registry: &'a Registry,
}

impl Within<'_> {
    fn refuse_in_domain(&self, domain: &TypedDomain) -> Result<()> {
        let is_his = |table: &str| {
            let mut models = self.registry.models().filter(|model| model.table.name() == Some(table));
            let Some(first) = models.next() else {
                // Pairs of a many2many field.
                return true;
            };
            table == KEPT_APART
                || std::iter::once(first)
                    .chain(models)
                    .any(|model| self.models.contains(model.name.as_str()))
        };
        match domain.plan().tables().into_iter().all(is_his) {
            true => Ok(()),
            false => Err(beyond("domain")),
        }
    }
}

fn beyond(column: &'static str) -> Error {
    let refusal = Refusal::of(
        column,
        "it reads records of a model that is not among those that you may use",
    );
    Error::refused(refusal.with_hint("a model's own fields and the ids of its relations can be used"))
}
