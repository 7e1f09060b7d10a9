//! Leaves about related records: paths, `any`, and comparisons of many2one, one2many and many2many fields.
//!
//! one2many and many2many are "at least one" searches: `child_ids.name != 'x'` is some child with another name. What a
//! search through such a field finds is narrowed by the domain in the field's own declaration; a plain "has any" is not.

use super::super::ast::{Domain, Operator, Spans, Value};
use super::super::error::DomainError;
use super::super::parse;
use super::super::plan::{Bound, Comparison, Members, Plan, Query, Scalar, Source};
use super::literal::Literal;
use super::{Checker, Operand, Step};
use crate::odoo::known::{self, FieldDomain};
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

    /// A stored x2many field leads to a record (or to none) that satisfies `filter`.
    fn members(
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
        let filter = if is_loose(inverse) {
            Plan::all(vec![filter, self.field_domain(model, field, step)?])
        } else {
            filter
        };
        Ok(Plan::InQuery {
            left: Scalar::Column("id".to_owned()),
            query: Box::new(Query {
                source: Source::Table(self.table(comodel)?.to_owned()),
                output: Scalar::Column(inverse.name.clone()),
                filter,
                output_not_null: true,
            }),
            negated,
        })
    }

    fn linked(
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

    /// The field of `comodel` that leads back.
    fn inverse<'m>(
        &self,
        model: &Model,
        field: &Field,
        comodel: &'m Model,
        spans: Spans,
    ) -> Result<&'m Field, DomainError> {
        let inverse = field.inverse.as_deref().and_then(|name| comodel.field(name));
        inverse
            .filter(|inverse| inverse.column.is_some() && !inverse.company_dependent)
            .ok_or_else(|| {
                DomainError::new(format!(
                    "the field that leads from {} back to {} has no column",
                    comodel.name, model.name
                ))
                .at(spans.path)
            })
    }

    /// The domain in the declaration of an x2many field, lowered on the model it leads to.
    fn field_domain(&self, model: &Model, field: &Field, step: Step<'_>) -> Result<Plan, DomainError> {
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
            known::x2many_domain(&model.name, &field.name, &comodel.name)
        };
        let mut domains = match declared {
            FieldDomain::None => Vec::new(),
            FieldDomain::Json(text) => vec![parse::parse(&text).map_err(|error| {
                DomainError::new(format!("the domain of {whole} itself cannot be read: {error}")).at(step.spans.path)
            })?],
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
                let mut filter = self.standing_domain(model, field, step)?;
                if is_loose(inverse) {
                    filter = self.field_domain(model, field, step)?;
                    if inverse.kind == FieldType::Integer {
                        let zero = Bound::Int4(0);
                        let left = Scalar::Column(inverse.name.clone());
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
                return Ok(Plan::InQuery {
                    left: Scalar::Column("id".to_owned()),
                    query: Box::new(Query {
                        source: Source::Table(self.table(comodel)?.to_owned()),
                        output: Scalar::Column(inverse.name.clone()),
                        filter,
                        output_not_null: true,
                    }),
                    negated: !negated,
                });
            }
            Literal::Str(text) => {
                let found = self.named(comodel, step, text)?;
                Plan::all(vec![self.field_domain(model, field, step)?, found])
            }
            other => {
                let ids = self.related_ids(step, other, false)?;
                Plan::all(vec![has_id(ids), self.standing_domain(model, field, step)?])
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
        match self.literal(step)? {
            value if self.is_no_record(value) => {
                self.expect_membership(step)?;
                let to = match self.standing_domain(model, field, step)? {
                    Plan::Const(Some(true)) => None,
                    domain => {
                        let comodel = self.comodel(model, field, step.spans)?;
                        Some(Members::Query(Box::new(records(self.table(comodel)?, domain))))
                    }
                };
                self.linked(model, field, to, !negated, step.spans)
            }
            Literal::Str(text) => {
                let comodel = self.comodel(model, field, step.spans)?;
                let found = self.named(comodel, step, text)?;
                let filter = Plan::all(vec![self.field_domain(model, field, step)?, found]);
                self.members(model, field, filter, negated, step)
            }
            other => {
                let ids = self.related_ids(step, other, self.version < 19)?;
                let to = match self.standing_domain(model, field, step)? {
                    Plan::Const(Some(true)) => Members::Ids(ids),
                    domain => {
                        let comodel = self.comodel(model, field, step.spans)?;
                        let filter = Plan::all(vec![has_id(ids), domain]);
                        Members::Query(Box::new(records(self.table(comodel)?, filter)))
                    }
                };
                self.linked(model, field, Some(to), negated, step.spans)
            }
        }
    }

    /// What an x2many field is compared with to ask for "none".
    fn is_no_record(&self, value: &Literal) -> bool {
        match value {
            Literal::Bool(false) => true,
            Literal::None => self.version >= 19,
            _ => false,
        }
    }

    /// The field's own domain where it narrows every comparison: from 19 on.
    fn standing_domain(&self, model: &Model, field: &Field, step: Step<'_>) -> Result<Plan, DomainError> {
        if self.version >= 19 {
            self.field_domain(model, field, step)
        } else {
            Ok(Plan::TRUE)
        }
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
    fn named(&self, comodel: &Model, step: Step<'_>, text: &str) -> Result<Plan, DomainError> {
        if self.version >= 19 && text.is_empty() {
            return Err(self.not_ids(step).hint("use '=' or '!=' with False"));
        }
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
                _ => return Err(self.not_ids(step)),
            }
        }
        if false_is_none {
            ids.retain(|id| *id != 0);
        }
        Ok(ids)
    }

    fn not_ids(&self, step: Step<'_>) -> DomainError {
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
        if self.version >= 19 && matches!(value, Literal::Int(0)) || value == &Literal::Str(String::new()) {
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

    /// A binary field kept as an attachment.
    ///
    /// Its value is a row of `ir_attachment`, written apart from the record and often by another transaction: whether it was
    /// there "in the event" cannot be told.
    pub(super) fn attachment(&self, model: &Model, field: &Field, step: Step<'_>) -> DomainError {
        DomainError::new(format!(
            "{}.{} is a file, kept outside the record as an attachment",
            model.name, field.name
        ))
        .at(step.spans.path)
        .hint("files cannot be used in a domain")
    }

    /// A company-dependent field: jsonb by company from 18 on.
    pub(super) fn per_company(&self, model: &Model, field: &Field, spans: Spans) -> Result<Scalar, DomainError> {
        let whole = format!("{}.{}", model.name, field.name);
        let column = field
            .column
            .as_ref()
            .filter(|column| column.type_name == "jsonb")
            .ok_or_else(|| {
                DomainError::new(format!("{whole} depends on the company and is not kept in a column")).at(spans.path)
            })?;
        let sql_type = match field.kind {
            FieldType::Boolean => "bool",
            FieldType::Integer | FieldType::Many2one => "int4",
            FieldType::Float if known::digits(&model.name, &field.name).is_none() => "float8",
            FieldType::Float | FieldType::Monetary => "numeric",
            FieldType::Char | FieldType::Selection => "varchar",
            FieldType::Text | FieldType::Html => "text",
            FieldType::Date => "date",
            FieldType::Datetime => "timestamp",
            _ => {
                return Err(DomainError::new(format!(
                    "{whole}: company-dependent {} fields are not supported",
                    field.kind.name()
                ))
                .at(spans.path));
            }
        };
        let company = self.context.company;
        let fallback = match field.default_for(company) {
            None => None,
            Some(default) => Some(default_bound(field.kind, default).ok_or_else(|| {
                DomainError::new(format!(
                    "the default of {whole} for company {company} has an unexpected form"
                ))
                .at(spans.path)
            })?),
        };
        let scalar = Scalar::PerCompany {
            column: column.name.clone(),
            company,
            fallback,
            sql_type,
        };
        if field.kind != FieldType::Many2one {
            return Ok(scalar);
        }
        // No foreign key guards these ids: one whose record is gone reads as empty.
        let table = self.table(self.comodel(model, field, spans)?)?.to_owned();
        Ok(Scalar::Existing {
            table,
            id: Box::new(scalar),
        })
    }

    /// `date_order.month_number`: a part of a date, from 18 on.
    pub(super) fn date_part(
        &self,
        model: &Model,
        field: &Field,
        part: &str,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        const PARTS: [(&str, &str); 10] = [
            ("year_number", "year"),
            ("quarter_number", "quarter"),
            ("month_number", "month"),
            ("iso_week_number", "week"),
            ("day_of_year", "doy"),
            ("day_of_month", "day"),
            ("day_of_week", "dow"),
            ("hour_number", "hour"),
            ("minute_number", "minute"),
            ("second_number", "second"),
        ];
        let Some((_, sql_part)) = PARTS
            .iter()
            .find(|(name, _)| *name == part)
            .filter(|_| self.version >= 18)
        else {
            let names: Vec<&str> = PARTS.iter().map(|(name, _)| *name).collect();
            let error =
                DomainError::new(format!("{part:?} is no part of a {} field", field.kind.name())).at(step.spans.path);
            return Err(if self.version >= 18 {
                error.hint(format!("the parts are {}", names.join(", ")))
            } else {
                error
            });
        };
        let comparison = Comparison::of(step.operator);
        let (Some(operator), Literal::Int(number)) = (comparison, self.literal(step)?) else {
            return Err(DomainError::new(format!(
                "'{part}' is compared with a whole number, by = != < <= > or >="
            ))
            .at(step.spans.value));
        };
        if !field.stored {
            return Err(DomainError::new(format!("{}.{} is not stored", model.name, field.name)).at(step.spans.path));
        }
        let scalar = self.scalar(model, field, step.spans)?;
        if field.kind == FieldType::Date && matches!(*sql_part, "hour" | "minute" | "second") {
            return Err(DomainError::new("a date has no time of day").at(step.spans.path));
        }
        let first_day = match *sql_part {
            "dow" => Some(
                self.registry
                    .facts()
                    .week_starts
                    .get(&self.context.lang)
                    .copied()
                    .unwrap_or(7),
            ),
            _ => None,
        };
        Ok(Plan::Compare {
            left: Scalar::DatePart {
                part: sql_part,
                of: Box::new(scalar),
                zone: (field.kind == FieldType::Datetime).then(|| self.context.tz.clone()),
                first_day,
            },
            operator,
            right: i32::try_from(*number).map_or(Bound::Int8(*number), Bound::Int4),
        })
    }
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

/// All records of a table that satisfy a condition, as ids.
pub(super) fn records(table: &str, filter: Plan) -> Query {
    Query {
        source: Source::Table(table.to_owned()),
        output: Scalar::Column("id".to_owned()),
        filter,
        output_not_null: false,
    }
}

/// A one2many whose inverse is a bare number: the model it is meant for stands beside it.
fn is_loose(inverse: &Field) -> bool {
    matches!(inverse.kind, FieldType::Integer | FieldType::Many2oneReference)
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

/// The default of a company-dependent field, as a value of its type.
fn default_bound(kind: FieldType, value: &serde_json::Value) -> Option<Bound> {
    Some(match kind {
        FieldType::Boolean => Bound::Bool(value.as_bool()?),
        FieldType::Integer | FieldType::Many2one => Bound::Int4(i32::try_from(value.as_i64()?).ok()?),
        FieldType::Float | FieldType::Monetary => Bound::Numeric(value.as_number()?.to_string()),
        _ => Bound::Text(value.as_str()?.to_owned()),
    })
}
