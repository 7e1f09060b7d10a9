//! Fields that are not stored: those that repeat another field's value along a path, and those that are computed.

use super::super::ast::Operator;
use super::super::error::DomainError;
use super::super::plan::Plan;
use super::literal::Literal;
use super::{Checker, Operand, Step};
use crate::odoo::known;
use crate::odoo::registry::{Field, FieldType, Model};

impl Checker<'_> {
    /// A field without a column of its own.
    pub(super) fn not_stored(&self, model: &Model, field: &Field, step: Step<'_>) -> Result<Plan, DomainError> {
        if field.name == "display_name" && self.version < 18 {
            return Err(DomainError::new(format!(
                "Odoo {} cannot search {}.display_name: it takes every record for a match",
                self.version, model.name
            ))
            .at(step.spans.path)
            .hint("use the fields that the name is made of"));
        }
        if field.name == "display_name"
            && let Operand::Literal(value) = step.value
        {
            return self.display_name(model, step.operator, value, step);
        }
        if let Some(path) = &field.related {
            return self.related(model, field, path, step).map_err(|error| {
                let whole = format!("{}.{} repeats {}", model.name, field.name, path.join("."));
                error.within(&whole)
            });
        }
        if let Some(property) = field.property {
            return self.kept_apart(model, field, property, step);
        }
        if known::is_company_dependent(self.registry.facts().version, &model.name, &field.name) {
            // No record has a value of its own yet, nor is there one for all: no row of any field has the id 0.
            return self.kept_apart(model, field, 0, step);
        }
        if let Some(plan) = self.computed(model, field, step)? {
            return Ok(plan);
        }
        let whole = format!("{}.{}", model.name, field.name);
        let error = DomainError::new(format!("{whole} is computed by Odoo and stored nowhere")).at(step.spans.path);
        let mut dependencies = self.registry.stored_dependencies(&model.name, &field.name);
        // What lies behind the wall is no advice.
        dependencies.retain(|path| self.context.models.is_none() || !path.contains('.'));
        Err(match dependencies.is_empty() {
            true => error.hint("use a stored field"),
            false => error.hint(format!("it depends on {}: use those", dependencies.join(", "))),
        })
    }

    /// A field that repeats the value at the end of a path: the leaf is asked there.
    fn related(&self, model: &Model, field: &Field, path: &[String], step: Step<'_>) -> Result<Plan, DomainError> {
        if self.version < 18 {
            // The leaf is asked of the path as it would be if it had been written: a missing link never satisfies it.
            let path = path.join(".");
            return self.leaf(
                model,
                Step {
                    path: &path,
                    depth: step.depth + 1,
                    ..step
                },
            );
        }
        if self.version >= 19 {
            return self.related_as_positive(model, field, path, step);
        }
        // A missing link counts as an empty value, where an empty value would satisfy the leaf.
        let mentions_unset = match step.value {
            Operand::Literal(Literal::List(items)) => items.iter().any(Literal::is_unset),
            Operand::Literal(value) => value.is_unset(),
            Operand::Domain(_) | Operand::Lowered(_) => false,
        };
        let unset_matches = step.operator.is_negative() != mentions_unset;
        self.at_end_of(model, path, unset_matches, step)
    }

    /// 19: a negative operator is the opposite of the positive one, for the path as a whole.
    fn related_as_positive(
        &self,
        model: &Model,
        field: &Field,
        path: &[String],
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        let has_zero = field.kind.is_number() || field.kind == FieldType::Many2oneReference;
        let is_null = |value: &Literal| {
            value.is_unset()
                || (has_zero && value.is_zero())
                || (field.kind.is_text() && *value == Literal::Str(String::new()))
        };
        let value_is_null = match step.value {
            Operand::Literal(Literal::List(items)) => items.iter().any(is_null),
            Operand::Literal(value) => is_null(value),
            Operand::Domain(_) | Operand::Lowered(_) => false,
        };
        let is_negative = step.operator.is_negative() || step.operator == Operator::NotAny;
        if let (true, false, Some(positive)) = (is_negative, value_is_null, step.operator.negated()) {
            let step = Step {
                operator: positive,
                ..step
            };
            return Ok(self.negated(self.at_end_of(model, path, false, step)?));
        }
        self.at_end_of(model, path, value_is_null != is_negative, step)
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
        let inner = self.at_end_of(comodel, rest, unset_matches, step)?;
        let is_asked = matches!(rest, [only] if matches!(only.as_str(), "id" | "res_field"));
        let inner = self.visible(comodel, is_asked, inner, step.spans)?;
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
