//! Comparisons of one2many and many2many fields.
//!
//! They are "at least one" searches: `child_ids.name != 'x'` is some child with another name. What a search through such a
//! field finds is narrowed by the domain in the field's own declaration; a plain "has any" is not (until 19).

use super::super::ast::{Domain, Operator, Spans, Value};
use super::super::error::DomainError;
use super::super::parse;
use super::super::plan::{Bound, Comparison, Members, Plan, Query, Scalar, Source};
use super::literal::Literal;
use super::relational::{names_and_others, records};
use super::{Checker, Operand, Step};
use crate::odoo::known::{self, FieldDomain};
use crate::odoo::registry::{Field, FieldType, Model};

impl Checker<'_> {
    /// A stored x2many field leads to a record (or to none) that satisfies `filter`.
    pub(super) fn members(
        &self,
        model: &Model,
        field: &Field,
        filter: Plan,
        negated: bool,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        let comodel = self.comodel(model, field, step.spans)?;
        if field.kind == FieldType::Many2many {
            let query = records(self.table(comodel)?, filter);
            return self.linked(model, field, Some(Members::Query(Box::new(query))), negated, step.spans);
        }
        let inverse = self.inverse(model, field, comodel, step.spans)?;
        let filter = if is_loose(inverse.field) {
            Plan::all(vec![filter, self.field_domain(model, field, step)?])
        } else {
            filter
        };
        self.led_to(comodel, &inverse, filter, negated)
    }

    /// Records of `comodel` that satisfy `filter` lead to the current row by their inverse field.
    fn led_to(&self, comodel: &Model, inverse: &Inverse<'_>, filter: Plan, negated: bool) -> Result<Plan, DomainError> {
        let table = Source::Table(self.table(comodel)?.to_owned());
        let id = || Scalar::Column("id".to_owned());
        let query = |source: Source, output: &str, filter: Plan| {
            Box::new(Query {
                source,
                output: Scalar::Column(output.to_owned()),
                filter,
                output_not_null: true,
            })
        };
        let query = match inverse.inherited {
            None => query(table, &inverse.field.name, filter),
            // The inverse stands on the record that the related one inherits from.
            Some((parent, link)) => {
                let inheriting = Plan::InQuery {
                    left: id(),
                    query: query(table, link, filter),
                    negated: false,
                };
                let parent = Source::Table(self.table(parent)?.to_owned());
                query(parent, &inverse.field.name, inheriting)
            }
        };
        Ok(Plan::InQuery {
            left: id(),
            query,
            negated,
        })
    }

    pub(super) fn linked(
        &self,
        model: &Model,
        field: &Field,
        to: Option<Members>,
        negated: bool,
        spans: Spans,
    ) -> Result<Plan, DomainError> {
        let link = field.link_table.clone().ok_or_else(|| {
            DomainError::new(format!(
                "{}.{} has no relation table in the database",
                model.name, field.name
            ))
            .at(spans.path)
        })?;
        Ok(Plan::Linked {
            table: link.table,
            own: link.own,
            other: link.other,
            to,
            negated,
        })
    }

    /// The field of `comodel` that leads back.
    fn inverse<'m>(
        &'m self,
        model: &Model,
        field: &Field,
        comodel: &'m Model,
        spans: Spans,
    ) -> Result<Inverse<'m>, DomainError> {
        let stored = |field: &&Field| field.column.is_some() && !field.company_dependent;
        let refused = || {
            DomainError::new(format!(
                "the field that leads from {} back to {} has no column",
                comodel.name, model.name
            ))
            .at(spans.path)
        };
        let inverse = field
            .inverse
            .as_deref()
            .and_then(|name| comodel.field(name))
            .ok_or_else(refused)?;
        let Some(inherit) = comodel.inherited_from(inverse) else {
            let field = Some(inverse).filter(stored).ok_or_else(refused)?;
            return Ok(Inverse { field, inherited: None });
        };
        let parent = self.model(&inherit.parent)?;
        let searched = known::searched_by(self.registry.facts().version, &comodel.name, &inherit.link);
        let link = searched.map_or(inherit.link.as_str(), |(path, _)| path);
        let link = comodel.field(link).filter(stored).ok_or_else(refused)?;
        let field = parent.field(&inverse.name).filter(stored).ok_or_else(refused)?;
        Ok(Inverse {
            field,
            inherited: Some((parent, &link.name)),
        })
    }

    /// The domain in the declaration of an x2many field, lowered on the model it leads to.
    pub(super) fn field_domain(&self, model: &Model, field: &Field, step: Step<'_>) -> Result<Plan, DomainError> {
        let comodel = self.comodel(model, field, step.spans)?;
        let whole = format!("{}.{}", model.name, field.name);
        if known::is_active_tested(&model.name, &field.name) {
            return Err(DomainError::new(format!(
                "{whole} hides archived records by itself, which is not supported"
            ))
            .at(step.spans.path));
        }
        let declared = if field.manual {
            field.domain.clone().map_or(FieldDomain::None, FieldDomain::Json)
        } else {
            self.registry.x2many_domain(&model.name, &field.name, &comodel.name)
        };
        let mut domains = match declared {
            FieldDomain::None => Vec::new(),
            FieldDomain::Json(text) => vec![
                parse::parse(&text.replace("\"$company\"", &self.context.company.to_string())).map_err(|error| {
                    DomainError::new(format!("the domain of {whole} itself cannot be read: {error}"))
                        .at(step.spans.path)
                })?,
            ],
            FieldDomain::Unknown => {
                return Err(DomainError::new(format!(
                    "{whole} may have a domain of its own that only Odoo's Python code knows"
                ))
                .at(step.spans.path)
                .hint("ask only whether it is set (= False, != False), or give the related ids"));
            }
        };
        let inverse = field.inverse.as_deref().and_then(|name| comodel.field(name));
        if let Some(inverse) = inverse.filter(|inverse| inverse.kind == FieldType::Many2oneReference) {
            let named = known::reference_model_field(&comodel.name, &inverse.name).ok_or_else(|| {
                DomainError::new(format!("which field of {} names the model is not known", comodel.name))
                    .at(step.spans.path)
            })?;
            domains.push(Domain::leaf(named, Operator::Eq, Value::Str(model.name.clone())));
        }
        self.lower(comodel, &Domain::and(domains), false, step.depth + 1)
            .map_err(|error| {
                DomainError::new(format!("the domain of {whole} itself is refused: {error}")).at(step.spans.path)
            })
    }

    /// A stored one2many field.
    pub(super) fn one2many(&self, model: &Model, field: &Field, step: Step<'_>) -> Result<Plan, DomainError> {
        let negated = step.operator.is_negative();
        if let Operand::Lowered(filter) = step.value {
            return self.members(model, field, (*filter).clone(), negated, step);
        }
        if matches!(step.operator, Operator::ChildOf | Operator::ParentOf) {
            return self.one2many_hierarchy(model, field, step);
        }
        if self.version >= 19 {
            return self.x2many_as_read(model, field, step);
        }
        let step = as_membership(step);
        let comodel = self.comodel(model, field, step.spans)?;
        let filter = match self.literal(step)? {
            value if self.is_no_record(value) => {
                self.expect_membership(step)?;
                let inverse = self.inverse(model, field, comodel, step.spans)?;
                if known::is_active_tested(&model.name, &field.name) {
                    return Err(self
                        .field_domain(model, field, step)
                        .err()
                        .unwrap_or_else(|| self.not_ids(step)));
                }
                // "Has any": a lookup by number needs the model it is meant for, anything else takes all rows.
                let mut filter = Plan::TRUE;
                if is_loose(inverse.field) {
                    filter = self.field_domain(model, field, step)?;
                    filter = self.visible(comodel, false, filter, step.spans)?;
                    if inverse.field.kind == FieldType::Integer && inverse.inherited.is_none() {
                        let zero = Bound::Int4(0);
                        let left = Scalar::Column(inverse.field.name.clone());
                        filter = Plan::all(vec![
                            filter,
                            Plan::Compare {
                                left,
                                operator: Comparison::Ne,
                                right: zero,
                            },
                        ]);
                    }
                }
                return self.led_to(comodel, &inverse, filter, !negated);
            }
            Literal::Str(text) => {
                let found = self.named(comodel, step, text)?;
                Plan::all(vec![self.field_domain(model, field, step)?, found])
            }
            other => {
                // Only a search by the bare number drops a False among the ids; the database refuses to compare it.
                let inverse = self.inverse(model, field, comodel, step.spans)?;
                has_id(self.related_ids(step, other, is_loose(inverse.field))?)
            }
        };
        self.members(model, field, filter, negated, step)
    }

    /// A stored many2many field.
    pub(super) fn many2many(&self, model: &Model, field: &Field, step: Step<'_>) -> Result<Plan, DomainError> {
        let negated = step.operator.is_negative();
        if let Operand::Lowered(filter) = step.value {
            return self.members(model, field, (*filter).clone(), negated, step);
        }
        if matches!(step.operator, Operator::ChildOf | Operator::ParentOf) {
            return self.many2many_hierarchy(model, field, step);
        }
        if self.version >= 19 {
            return self.x2many_as_read(model, field, step);
        }
        let step = as_membership(step);
        match self.literal(step)? {
            value if self.is_no_record(value) => {
                self.expect_membership(step)?;
                self.linked(model, field, None, !negated, step.spans)
            }
            Literal::Str(text) => {
                let comodel = self.comodel(model, field, step.spans)?;
                let found = self.named(comodel, step, text)?;
                let filter = Plan::all(vec![self.field_domain(model, field, step)?, found]);
                self.members(model, field, filter, negated, step)
            }
            other => {
                let to = Members::Ids(self.related_ids(step, other, true)?);
                self.linked(model, field, Some(to), negated, step.spans)
            }
        }
    }

    /// What an x2many field is compared with to ask for "none".
    fn is_no_record(&self, value: &Literal) -> bool {
        *value == Literal::Bool(false)
    }

    /// 19: some of these records, or none at all where False is among them; the field's own domain narrows both.
    fn x2many_as_read(&self, model: &Model, field: &Field, step: Step<'_>) -> Result<Plan, DomainError> {
        let value = self.literal(step)?;
        let comodel = self.comodel(model, field, step.spans)?;
        let (Operator::In | Operator::NotIn, Literal::List(items)) = (step.operator, value) else {
            let Literal::Str(text) = value else {
                return Err(self.not_ids(step));
            };
            let found = self.named(comodel, step, text)?;
            let filter = Plan::all(vec![self.field_domain(model, field, step)?, found]);
            return self.members(model, field, filter, step.operator.is_negative(), step);
        };
        let negated = step.operator == Operator::NotIn;
        let (names, others) = names_and_others(items);
        let mut plans = Vec::new();
        if !names.is_empty() {
            let found = self.display_name(comodel, Operator::In, &Literal::List(names), step)?;
            let filter = Plan::all(vec![self.field_domain(model, field, step)?, found]);
            plans.push(self.members(model, field, filter, negated, step)?);
        }
        if !others.is_empty() {
            let has_false = others.iter().any(|item| item.is_unset() || item.is_zero());
            let ids = others
                .iter()
                .filter(|item| !(item.is_unset() || item.is_zero()))
                .map(|item| match item {
                    Literal::Int(id) => Ok(*id),
                    _ => Err(self.not_ids(step)),
                })
                .collect::<Result<Vec<i64>, _>>()?;
            let listed = self.field_domain(model, field, step)?;
            if has_false {
                plans.push(self.members(model, field, listed.clone(), !negated, step)?);
            }
            if !ids.is_empty() {
                let filter = Plan::all(vec![has_id(ids), listed]);
                plans.push(self.members(model, field, filter, negated, step)?);
            }
        }
        Ok(if negated { Plan::all(plans) } else { Plan::any(plans) })
    }

    /// A relation of a many2many field to the records of a query.
    pub(super) fn linked_to(
        &self,
        model: &Model,
        field: &Field,
        query: Query,
        spans: Spans,
    ) -> Result<Plan, DomainError> {
        self.linked(model, field, Some(Members::Query(Box::new(query))), false, spans)
    }

    /// A stored one2many field leads to one of the records of `filter`, whatever the field's own domain.
    pub(super) fn led_by(
        &self,
        model: &Model,
        field: &Field,
        filter: Plan,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        self.members(model, field, filter, false, step)
    }

    /// The records a name means, whether the operator is negated or not.
    pub(super) fn named(&self, comodel: &Model, step: Step<'_>, text: &str) -> Result<Plan, DomainError> {
        let operator = match step.operator {
            Operator::In | Operator::NotIn => return Err(self.not_ids(step)),
            operator if operator.is_inequality() => return Err(self.not_ids(step)),
            operator if operator.is_negative() => operator.negated().unwrap_or(operator),
            Operator::Unset => Operator::Eq,
            operator => operator,
        };
        self.display_name(comodel, operator, &Literal::Str(text.to_owned()), step)
    }

    /// The ids an x2many field is compared with. `false_is_none`: a False among them counts for nothing.
    fn related_ids(&self, step: Step<'_>, value: &Literal, false_is_none: bool) -> Result<Vec<i64>, DomainError> {
        self.expect_membership(step)?;
        let is_list = matches!(step.operator, Operator::In | Operator::NotIn);
        let items = match value {
            Literal::List(items) if is_list => items.as_slice(),
            Literal::List(_) => {
                let instead = if step.operator.is_negative() { "not in" } else { "in" };
                return Err(
                    DomainError::new(format!("operator '{}' takes one id, not a list", step.operator))
                        .at(step.spans.value)
                        .hint(format!("use '{instead}'")),
                );
            }
            other => std::slice::from_ref(other),
        };
        let mut ids = Vec::with_capacity(items.len());
        for item in items {
            match item {
                Literal::Int(id) => ids.push(*id),
                Literal::None => {}
                Literal::Bool(false) if false_is_none => {}
                Literal::Str(_) => {
                    return Err(self
                        .not_ids(step)
                        .hint("names are compared with '=' or 'ilike', one at a time"));
                }
                Literal::Bool(false) => {
                    return Err(DomainError::new("a list of ids of a one2many cannot hold False")
                        .at(step.spans.value)
                        .hint("ask for \"none\" in a leaf of its own: '|', (.., '=', False), (.., 'in', [..])"));
                }
                _ => return Err(self.not_ids(step)),
            }
        }
        if false_is_none {
            ids.retain(|id| *id != 0);
        }
        Ok(ids)
    }

    /// x2many fields know no order and no pattern but that of names.
    fn expect_membership(&self, step: Step<'_>) -> Result<(), DomainError> {
        if matches!(
            step.operator,
            Operator::Eq | Operator::Ne | Operator::In | Operator::NotIn | Operator::Unset
        ) {
            return match (step.operator, step.value) {
                (Operator::In | Operator::NotIn, Operand::Literal(Literal::Bool(_))) => Err(self.not_ids(step)),
                _ => Ok(()),
            };
        }
        Err(DomainError::new(format!(
            "operator '{}' cannot compare related records with this",
            step.operator
        ))
        .at(step.spans.operator)
        .hint("use 'in' with ids, or '=' with False"))
    }
}

/// How the records of a one2many lead back.
struct Inverse<'m> {
    /// The field with the column.
    field: &'m Field,
    /// Where the field is inherited: the parent that has it, and the column that leads there.
    inherited: Option<(&'m Model, &'m str)>,
}

/// The current row's id is one of these.
fn has_id(ids: Vec<i64>) -> Plan {
    let left = Scalar::Column("id".to_owned());
    Plan::OneOf {
        left,
        values: Bound::Ints(ids.into_iter().map(Some).collect()),
        negated: false,
    }
}

/// A one2many whose inverse is a bare number: the model it is meant for stands beside it.
fn is_loose(inverse: &Field) -> bool {
    matches!(inverse.kind, FieldType::Integer | FieldType::Many2oneReference)
}

/// Up to 18 a comparison with related records is one of two: `<` and its like count as `=`. Only a name keeps its operator.
fn as_membership(step: Step<'_>) -> Step<'_> {
    match step.value {
        Operand::Literal(value)
            if step.operator.is_inequality() && !matches!(value, Literal::Str(_) | Literal::List(_)) =>
        {
            Step {
                operator: Operator::Eq,
                ..step
            }
        }
        _ => step,
    }
}
