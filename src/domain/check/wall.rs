//! The wall of models: of a model whose records may not be read nothing is told, not even by how a leaf fails.
//!
//! A leaf that leads to such a model is refused in the same words whether the field that it names there exists or not, and whatever is
//! wrong with it.

use super::super::ast::{Leaf, Spans};
use super::super::error::DomainError;
use super::super::plan::Plan;
use super::Checker;
use crate::odoo::registry::Model;

/// What is said of all that leads beyond the wall.
pub const BEYOND: &str = "it reads records of a model that is not among those that you may use";

/// What can be done instead.
pub const BEYOND_HINT: &str = "a model's own fields and the ids of its relations can be used";

impl Checker<'_> {
    /// Refuses to go on into a model that may not be read, before anything is looked up there.
    pub(super) fn enter(&self, model: &Model, spans: Spans) -> Result<(), DomainError> {
        match self.context.may_read(&model.name) {
            true => Ok(()),
            false => Err(beyond(spans)),
        }
    }

    /// What became of a leaf, as far as it may be told.
    pub(super) fn within_the_wall(
        &self,
        leaf: &Leaf,
        lower: impl FnOnce() -> Result<Plan, DomainError>,
    ) -> Result<Plan, DomainError> {
        if self.context.models.is_none() {
            return lower();
        }
        let met_before = self.met_foreign.replace(false);
        let lowered = lower();
        let has_met = self.met_foreign.get();
        self.met_foreign.set(met_before || has_met);
        match lowered {
            Err(_) if has_met => Err(beyond(leaf.spans)),
            Ok(plan) if !self.may_read_tables(&plan) => Err(beyond(leaf.spans)),
            lowered => lowered,
        }
    }

    fn may_read_tables(&self, plan: &Plan) -> bool {
        let mut tables = plan.tables().into_iter();
        tables.all(|table| {
            let mut models = self.registry.models_kept_in(table).peekable();
            models.peek().is_none() || models.any(|model| self.context.may_read(&model.name))
        })
    }
}

fn beyond(spans: Spans) -> DomainError {
    DomainError::new(BEYOND).at(spans.path).hint(BEYOND_HINT)
}
