//! Names: what a text compared with a relational field, or with `display_name`, means.

use super::super::ast::Operator;
use super::super::error::DomainError;
use super::super::plan::Plan;
use super::literal::Literal;
use super::{Checker, Step};
use crate::odoo::registry::Model;

impl Checker<'_> {
    /// The records of `model` whose name compares like that.
    pub(super) fn display_name(
        &self,
        model: &Model,
        _operator: Operator,
        _value: &Literal,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        Err(DomainError::new(format!("how Odoo searches {} by name is not known here", model.name)).at(step.spans.value))
    }
}
