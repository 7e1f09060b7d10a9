//! Leaves about related records: paths, `any`, and comparisons of many2one fields.

use super::super::ast::{Operator, Spans};
use super::super::error::DomainError;
use super::super::plan::{Plan, Query, Scalar, Source};
use super::literal::Literal;
use super::{Checker, Operand, Step};
use crate::odoo::known;
use crate::odoo::registry::{Field, FieldType, Model};

impl Checker<'_> {
    /// `head.rest`, where `head` is relational; `negate` is a `!` in front of it.
    pub(super) fn path(
        &self,
        model: &Model,
        head: &str,
        rest: &str,
        step: Step<'_>,
        negate: bool,
    ) -> Result<Plan, DomainError> {
        // Parents may inherit from each other in a circle.
        self.within_limits(step)?;
        let field = self.field(model, head, step.spans)?;
        if let Some(parent) = model.inherited_from(field) {
            let parent_model = self.model(&parent.parent)?;
            let inner = self.path(
                parent_model,
                head,
                rest,
                Step {
                    depth: step.depth + 1,
                    ..step
                },
                negate,
            )?;
            return Ok(Plan::Joined {
                link: self.scalar(model, self.field(model, &parent.link, step.spans)?, step.spans)?,
                table: self.table(parent_model)?.to_owned(),
                inherits: Some((parent.link.clone(), parent_model.name.clone())),
                plan: Box::new(inner),
            });
        }
        let comodel = self.comodel(model, field, step.spans)?;
        self.expect_plain_search(comodel, step.spans)?;
        self.expect_same_in_python(model, field, step)?;
        let inner = self.leaf(
            comodel,
            Step {
                path: rest,
                depth: step.depth + 1,
                ..step
            },
        )?;
        self.through(model, field, inner, negate, step)
    }

    /// `any` and `not any` with a domain.
    pub(super) fn any(&self, model: &Model, field: &Field, step: Step<'_>) -> Result<Plan, DomainError> {
        if !field.kind.is_relational() {
            return Err(DomainError::new(format!(
                "'{}' needs a many2one, one2many or many2many; {}.{} is a {} field",
                step.operator,
                model.name,
                field.name,
                field.kind.name()
            ))
            .at(step.spans.operator));
        }
        let comodel = self.comodel(model, field, step.spans)?;
        self.expect_plain_search(comodel, step.spans)?;
        self.expect_same_in_python(model, field, step)?;
        let inner = match step.value {
            Operand::Domain(domain) => self.lower(comodel, domain, false, step.depth + 1)?,
            Operand::Lowered(plan) => (*plan).clone(),
            Operand::Literal(_) => {
                return Err(DomainError::new(format!("'{}' takes a domain", step.operator)).at(step.spans.value));
            }
        };
        self.through(model, field, inner, step.operator == Operator::NotAny, step)
    }

    /// Some (or no) related record satisfies `inner`.
    fn through(
        &self,
        model: &Model,
        field: &Field,
        inner: Plan,
        negated: bool,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        if field.kind == FieldType::Many2one {
            if !field.stored {
                self.expect_searchable(model, field, negated, step)?;
                let found = self.not_stored(model, field, membership(step, &Operand::Lowered(&inner), negated))?;
                if !negated {
                    return Ok(found);
                }
                let unset = self.not_stored(model, field, unset(step, &Operand::Literal(&Literal::Bool(false))))?;
                return Ok(Plan::any(vec![found, unset]));
            }
            let scalar = self.scalar(model, field, step.spans)?;
            let comodel = self.comodel(model, field, step.spans)?;
            if known::is_auto_join(self.version, &model.name, &field.name) {
                let inner = match negated {
                    false => inner,
                    true => Plan::any(vec![Plan::IsNull(Scalar::Column("id".to_owned())), self.negated(inner)]),
                };
                let table = self.table(comodel)?.to_owned();
                return Ok(Plan::Joined {
                    link: scalar,
                    table,
                    inherits: None,
                    plan: Box::new(inner),
                });
            }
            let found = self.in_records(scalar.clone(), comodel, inner, negated)?;
            return Ok(if negated { found.or_null(&scalar) } else { found });
        }
        // Up to 17 a path through an x2many field did not look at the field's domain.
        let narrowed = match self.version {
            16 | 17 => inner,
            _ => Plan::all(vec![inner, self.field_domain(model, field, step)?]),
        };
        if !field.stored {
            self.expect_searchable(model, field, negated, step)?;
            return self.not_stored(model, field, membership(step, &Operand::Lowered(&narrowed), negated));
        }
        self.members(model, field, narrowed, negated, step)
    }

    /// 17 hands `not any` to the field's own search, which makes something else of it.
    fn expect_searchable(
        &self,
        model: &Model,
        field: &Field,
        negated: bool,
        step: Step<'_>,
    ) -> Result<(), DomainError> {
        if self.version == 17 && negated {
            return Err(DomainError::new(format!(
                "Odoo 17 cannot negate a search through {}.{}, which is not stored",
                model.name, field.name
            ))
            .at(step.spans.path));
        }
        Ok(())
    }

    /// `scalar IN (SELECT id FROM comodel WHERE filter)`
    pub(super) fn in_records(
        &self,
        scalar: Scalar,
        comodel: &Model,
        filter: Plan,
        negated: bool,
    ) -> Result<Plan, DomainError> {
        Ok(Plan::InQuery {
            left: scalar,
            query: Box::new(records(self.table(comodel)?, filter)),
            negated,
        })
    }

    pub(super) fn comodel(&self, model: &Model, field: &Field, spans: Spans) -> Result<&Model, DomainError> {
        let unknown =
            || DomainError::new(format!("{}.{} leads to no known model", model.name, field.name)).at(spans.path);
        let comodel = self
            .model(field.relation.as_deref().ok_or_else(unknown)?)
            .map_err(|_| unknown())?;
        self.table(comodel).map_err(|error| error.at(spans.path))?;
        Ok(comodel)
    }

    pub(super) fn not_ids(&self, step: Step<'_>) -> DomainError {
        let what = match step.value {
            Operand::Literal(Literal::List(_)) => "this list",
            Operand::Literal(literal) => literal.describe(),
            _ => "a domain",
        };
        DomainError::new(format!(
            "operator '{}' cannot compare related records with {what}",
            step.operator
        ))
        .at(step.spans.value)
        .hint("give ids")
    }

    /// A stored many2one field.
    pub(super) fn many2one(&self, model: &Model, field: &Field, step: Step<'_>) -> Result<Plan, DomainError> {
        let scalar = self.scalar(model, field, step.spans)?;
        let comodel = self.comodel(model, field, step.spans)?;
        if let Operand::Lowered(filter) = step.value {
            return self.in_records(scalar, comodel, (*filter).clone(), step.operator.is_negative());
        }
        if matches!(step.operator, Operator::ChildOf | Operator::ParentOf) {
            return self.many2one_hierarchy(model, field, step);
        }
        let value = self.literal(step)?;
        let is_name = match value {
            Literal::Str(_) => true,
            Literal::List(items) => !items.is_empty() && items.iter().all(|item| matches!(item, Literal::Str(_))),
            _ => false,
        };
        let is_changed_zero = self.version >= 19 && matches!(value, Literal::Int(0));
        if is_changed_zero || value == &Literal::Str(String::new()) {
            // What this means has changed between versions, and is never what was meant.
            return Err(self.not_ids(step).hint("use '=' or '!=' with False"));
        }
        if !is_name {
            return self.condition(model, field, &scalar, step.operator, value, step.spans);
        }
        let operator = match (step.operator, value) {
            (Operator::In, Literal::Str(_)) => Operator::Eq,
            (Operator::NotIn, Literal::Str(_)) => Operator::Ne,
            (Operator::Eq | Operator::Ne, Literal::List(_)) | (Operator::Unset, _) => return Err(self.not_ids(step)),
            (operator, _) if operator.is_inequality() => return Err(self.not_ids(step)),
            (operator, _) => operator,
        };
        let negated = operator.is_negative();
        let positive = if negated {
            operator.negated().unwrap_or(operator)
        } else {
            operator
        };
        let found = self.display_name(comodel, positive, value, step)?;
        let plan = self.in_records(scalar.clone(), comodel, found, negated)?;
        Ok(if negated { plan.or_null(&scalar) } else { plan })
    }
}

/// All records of a table that satisfy a condition, as ids.
pub(super) fn records(table: &str, filter: Plan) -> Query {
    Query {
        source: Source::Table(table.to_owned()),
        output: Scalar::Column("id".to_owned()),
        filter,
        output_not_null: false,
    }
}

fn membership<'l>(step: Step<'l>, value: &'l Operand<'l>, negated: bool) -> Step<'l> {
    Step {
        operator: if negated { Operator::NotIn } else { Operator::In },
        value,
        depth: step.depth + 1,
        ..step
    }
}

fn unset<'l>(step: Step<'l>, value: &'l Operand<'l>) -> Step<'l> {
    Step {
        operator: Operator::Eq,
        value,
        depth: step.depth + 1,
        ..step
    }
}
