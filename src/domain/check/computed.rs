//! Computed fields whose Python search is simple enough to be repeated here exactly.

use super::super::error::DomainError;
use super::super::plan::Plan;
use super::{Checker, Step};
use crate::odoo::registry::{Field, Model};

impl Checker<'_> {
    /// The search of a computed field of a standard module, if it is one that is known.
    pub(super) fn computed(&self, _model: &Model, _field: &Field, _step: Step<'_>) -> Result<Option<Plan>, DomainError> {
        Ok(None)
    }
}
