//! Which of the related records a one2many or many2many field shows: those of the domain in its own declaration.

use super::super::ast::{Operator, Spans};
use super::super::error::DomainError;
use super::super::plan::Plan;
use super::literal::Literal;
use super::{Checker, Context, Operand, Step, TypedDomain};
use crate::odoo::registry::{Field, Model, Registry};

/// The domain that a record must satisfy to be listed by an x2many field, on the model the field leads to; none where all are listed.
///
/// # Errors
/// A [`DomainError`] where it is not known whether the field has a domain, or the domain cannot be evaluated exactly.
pub fn shown_by(
    model: &Model,
    field: &Field,
    registry: &Registry,
    context: &Context,
) -> Result<Option<TypedDomain>, DomainError> {
    let checker = Checker::new(registry, context)?;
    let nothing = Literal::Bool(false);
    let step = Step {
        path: &field.name,
        operator: Operator::Ne,
        value: &Operand::Literal(&nothing),
        spans: Spans::default(),
        depth: 0,
    };
    let plan = checker.field_domain(model, field, step)?;
    if plan == Plan::TRUE {
        return Ok(None);
    }
    let comodel = checker.comodel(model, field, step.spans)?;
    let reads = plan.reads();
    Ok(Some(TypedDomain {
        model: comodel.name.clone(),
        table: checker.table(comodel)?.to_owned(),
        plan,
        reads,
        // Domains in fields' declarations are written out in the shipped table: none of them asks for the time.
        depends_on_time: false,
    }))
}
