//! Fields that are not stored: those that repeat another field's value along a path, and those that are computed.

use super::super::ast::Operator;
use super::super::error::DomainError;
use super::super::plan::Plan;
use super::literal::Literal;
use super::{Checker, Operand, Step};
use crate::odoo::registry::{Field, FieldType, Model};

impl Checker<'_> {
    /// A field without a column of its own.
    pub(super) fn not_stored(&self, model: &Model, field: &Field, step: Step<'_>) -> Result<Plan, DomainError> {
        if field.name == "display_name"
            && let Operand::Literal(value) = step.value
        {
            return self.display_name(model, step.operator, value, step);
        }
        if let Some(path) = &field.related {
            return self.related(model, path, step);
        }
        if let Some(property) = field.property {
            return self.kept_apart(model, field, property, step);
        }
        if let Some(plan) = self.computed(model, field, step)? {
            return Ok(plan);
        }
        let whole = format!("{}.{}", model.name, field.name);
        let error = DomainError::new(format!("{whole} is computed by Odoo and stored nowhere")).at(step.spans.path);
        let dependencies = self.registry.stored_dependencies(&model.name, &field.name);
        Err(match dependencies.is_empty() {
            true => error.hint("use a stored field"),
            false => error.hint(format!("it depends on {}: use those", dependencies.join(", "))),
        })
    }

    /// A field that repeats the value at the end of a path: the leaf is asked there.
    fn related(&self, model: &Model, path: &[String], step: Step<'_>) -> Result<Plan, DomainError> {
        // A missing link counts as an empty value, where an empty value would satisfy the leaf.
        let mentions_unset = match step.value {
            Operand::Literal(Literal::List(items)) => items.iter().any(Literal::is_unset),
            Operand::Literal(value) => value.is_unset(),
            Operand::Domain(_) | Operand::Lowered(_) => false,
        };
        let unset_matches = step.operator.is_negative() != mentions_unset;
        self.at_end_of(model, path, unset_matches, step)
    }

    fn at_end_of(
        &self,
        model: &Model,
        path: &[String],
        unset_matches: bool,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        let [head, rest @ ..] = path else {
            return Err(DomainError::new("an empty path").at(step.spans.path));
        };
        let step = Step {
            depth: step.depth + 1,
            ..step
        };
        if rest.is_empty() {
            return self.leaf(model, Step { path: head, ..step });
        }
        let field = self.field(model, head, step.spans)?;
        let comodel = self.comodel(model, field, step.spans)?;
        self.expect_plain_search(comodel, step.spans)?;
        let inner = self.at_end_of(comodel, rest, unset_matches, step)?;
        let found = Operand::Lowered(&inner);
        let plan = self.leaf(
            model,
            Step {
                path: head,
                operator: Operator::In,
                value: &found,
                ..step
            },
        )?;
        if !(unset_matches && field.kind == FieldType::Many2one && !field.required) {
            return Ok(plan);
        }
        let unset = Operand::Literal(&Literal::Bool(false));
        Ok(Plan::any(vec![
            plan,
            self.leaf(
                model,
                Step {
                    path: head,
                    operator: Operator::Eq,
                    value: &unset,
                    ..step
                },
            )?,
        ]))
    }
}
