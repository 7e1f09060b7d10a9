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
            let link = self.field(model, &parent.link, step.spans)?;
            let step = Step {
                depth: step.depth + 1,
                ..step
            };
            if !link.stored {
                let inner = self.path(parent_model, head, rest, step, false)?;
                return self.through(model, link, inner, negate, step);
            }
            let inner = self.path(parent_model, head, rest, step, negate)?;
            return Ok(Plan::Joined {
                link: self.scalar(model, self.field(model, &parent.link, step.spans)?, step.spans)?,
                table: self.table(parent_model)?.to_owned(),
                inherits: Some((parent.link.clone(), parent_model.name.clone())),
                plan: Box::new(inner),
            });
        }
        let comodel = self.comodel(model, field, step.spans)?;
        if rest != "id" {
            self.enter(comodel, step.spans)?;
        }
        self.expect_same_in_python(model, field, step)?;
        if rest == "id" && !negate {
            if let Some(plan) = self.link_without_zero(model, field, step)? {
                return Ok(plan);
            }
        } else if rest == "id" {
            self.expect_no_zero(field, step)?;
        }
        let inner = self.leaf(
            comodel,
            Step {
                path: rest,
                depth: step.depth + 1,
                ..step
            },
        )?;
        let inner = self.found(
            model,
            field,
            comodel,
            matches!(rest, "id" | "res_field"),
            inner,
            step.spans,
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
        if matches!(step.value, Operand::Domain(_)) {
            self.enter(comodel, step.spans)?;
        }
        self.expect_same_in_python(model, field, step)?;
        let inner = match step.value {
            Operand::Domain(domain) if self.is_joined(model, field) => {
                self.lower(comodel, domain, false, step.depth + 1)?
            }
            Operand::Domain(domain) => {
                if super::search::mentions_zero_id(domain) {
                    let zero = Operand::Literal(&Literal::Int(0));
                    self.expect_no_zero(field, Step { value: &zero, ..step })?;
                }
                self.search(comodel, domain, step.depth + 1)?
            }
            Operand::Lowered(plan) => (*plan).clone(),
            Operand::Literal(_) => {
                return Err(DomainError::new(format!("'{}' takes a domain", step.operator)).at(step.spans.value));
            }
        };
        self.through(model, field, inner, step.operator == Operator::NotAny, step)
    }

    /// Some (or no) related record satisfies `inner`.
    pub(super) fn through(
        &self,
        model: &Model,
        field: &Field,
        inner: Plan,
        negated: bool,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        if field.kind == FieldType::Many2one {
            if !field.stored {
                return self.through_search(model, field, &inner, negated, step);
            }
            let scalar = self.scalar(model, field, step.spans)?;
            let comodel = self.comodel(model, field, step.spans)?;
            if self.is_joined(model, field) {
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
            return self.through_search(model, field, &narrowed, negated, step);
        }
        self.members(model, field, narrowed, negated, step)
    }

    /// The same through a field that is not stored: its own search decides what it is.
    fn through_search(
        &self,
        model: &Model,
        field: &Field,
        inner: &Plan,
        negated: bool,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        let found = Operand::Lowered(inner);
        if self.version == 17
            && negated
            && let Some(path) = field.related.as_deref()
        {
            // `not any` is asked at the end of the path, of records that lead there.
            let path = path.join(".");
            let operator = Operator::NotAny;
            return self.leaf(
                model,
                Step {
                    path: &path,
                    operator,
                    value: &found,
                    depth: step.depth + 1,
                    ..step
                },
            );
        }
        self.expect_searchable(model, field, negated, step)?;
        if negated && self.version >= 19 {
            return Ok(self.negated(self.not_stored(model, field, membership(step, &found, false))?));
        }
        let plan = self.not_stored(model, field, membership(step, &found, negated))?;
        if !negated || field.kind != FieldType::Many2one {
            return Ok(plan);
        }
        let unset = self.not_stored(model, field, unset(step, &Operand::Literal(&Literal::Bool(false))))?;
        Ok(Plan::any(vec![plan, unset]))
    }

    /// A path of 19 that ends in `id`, compared with 0: the link itself is compared, and 0 is taken for False where that is left out.
    fn link_without_zero(&self, model: &Model, field: &Field, step: Step<'_>) -> Result<Option<Plan>, DomainError> {
        if self.expect_no_zero(field, step).is_ok() {
            return Ok(None);
        }
        let Operand::Literal(value) = step.value else {
            return Ok(None);
        };
        let items = match *value {
            Literal::List(items) => items.clone(),
            one => vec![one.clone()],
        };
        let (operator, items) = match step.operator {
            Operator::Eq | Operator::In => {
                let ids = items.into_iter().filter(|item| !item.is_zero() && !item.is_unset());
                (Operator::In, ids.collect())
            }
            Operator::Ne | Operator::NotIn => (Operator::NotIn, items),
            _ => return self.expect_no_zero(field, step).map(|()| None),
        };
        let value = Literal::List(items);
        let value = Operand::Literal(&value);
        let path = &field.name;
        self.leaf(
            model,
            Step {
                path,
                operator,
                value: &value,
                ..step
            },
        )
        .map(Some)
    }

    /// 19 compares the link itself where a path ends in `id`, and there 0 is no id but null.
    fn expect_no_zero(&self, field: &Field, step: Step<'_>) -> Result<(), DomainError> {
        let is_zero = |value: &Literal| value.is_zero() && !value.is_unset();
        let has_zero = match step.value {
            Operand::Literal(Literal::List(items)) => items.iter().any(is_zero),
            Operand::Literal(value) => is_zero(value),
            _ => false,
        };
        // Without a value `=?` asks for no id.
        let is_asked = step.operator != Operator::Unset;
        match self.version >= 19 && field.kind == FieldType::Many2one && has_zero && is_asked {
            true => Err(self.not_ids(step).hint("no record has the id 0")),
            false => Ok(()),
        }
    }

    /// Whether Odoo joins the related record rather than searching for it.
    pub(super) fn is_joined(&self, model: &Model, field: &Field) -> bool {
        self.version < 19
            && field.stored
            && field.kind == FieldType::Many2one
            && (model.inherits.iter().any(|parent| parent.link == field.name)
                || known::is_auto_join(self.version, &model.name, &field.name))
    }

    /// Those of the related records that satisfy `inner` which a search for them finds; a join finds them all.
    fn found(
        &self,
        model: &Model,
        field: &Field,
        comodel: &Model,
        is_asked: bool,
        inner: Plan,
        spans: Spans,
    ) -> Result<Plan, DomainError> {
        match self.is_joined(model, field) {
            true => Ok(inner),
            false => self.visible(comodel, is_asked, inner, spans),
        }
    }

    /// 17 hands `not any` to the field's own search, which makes something else of it.
    fn expect_searchable(
        &self,
        model: &Model,
        field: &Field,
        negated: bool,
        step: Step<'_>,
    ) -> Result<(), DomainError> {
        if self.version == 17 && negated && known::searched_by(17, &model.name, &field.name).is_none() {
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
        if self.version >= 19
            && let (Operator::In | Operator::NotIn, Literal::List(items)) = (step.operator, value)
        {
            return self.many2one_as_read(model, field, comodel, items, step);
        }
        if self.version == 18 && value == &Literal::Str(String::new()) {
            // What this means has changed between versions, and is never what was meant.
            return Err(self.not_ids(step).hint("use '=' or '!=' with False"));
        }
        if !is_name {
            return self.condition(model, field, &scalar, step.operator, value, step.spans);
        }
        let operator = match (step.operator, value) {
            (Operator::In, Literal::Str(_)) => Operator::Eq,
            (Operator::NotIn, Literal::Str(_)) => Operator::Ne,
            // Up to 17 an order of names is their equality.
            (operator, Literal::Str(_)) if operator.is_inequality() && self.version < 18 => Operator::Eq,
            (Operator::Eq | Operator::Ne, Literal::List(_)) | (Operator::Unset, _) => return Err(self.not_ids(step)),
            (operator, _) if operator.is_inequality() => return Err(self.not_ids(step)),
            (operator, _) => operator,
        };
        if self.version < 18 && operator.is_negative() {
            // The names are searched with the negative operator itself, and what has none is added.
            let found = self.display_name(comodel, operator, value, step)?;
            return Ok(self.in_records(scalar.clone(), comodel, found, false)?.or_null(&scalar));
        }
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

impl Checker<'_> {
    /// 19: a many2one among these records; a text in the list is a name.
    fn many2one_as_read(
        &self,
        model: &Model,
        field: &Field,
        comodel: &Model,
        items: &[Literal],
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        let scalar = self.scalar(model, field, step.spans)?;
        let negated = step.operator == Operator::NotIn;
        let (names, others) = names_and_others(items);
        let mut plans = Vec::new();
        if !names.is_empty() {
            let found = self.display_name(comodel, Operator::In, &Literal::List(names), step)?;
            let plan = self.in_records(scalar.clone(), comodel, found, negated)?;
            plans.push(if negated { plan.or_null(&scalar) } else { plan });
        }
        if !others.is_empty() {
            let others = Literal::List(others);
            plans.push(self.condition(model, field, &scalar, step.operator, &others, step.spans)?);
        }
        Ok(if negated { Plan::all(plans) } else { Plan::any(plans) })
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

/// What a list says by name, and what by id or as unset.
pub(super) fn names_and_others(items: &[Literal]) -> (Vec<Literal>, Vec<Literal>) {
    items.iter().cloned().partition(|item| matches!(item, Literal::Str(_)))
}
