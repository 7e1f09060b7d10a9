//! What stands in a record's own columns: company-dependent values, parts of dates, files.

use super::super::ast::{Operator, Spans};
use super::super::error::DomainError;
use super::super::plan::{Bound, Comparison, Plan, Scalar};
use super::literal::Literal;
use super::{Checker, Step};
use crate::odoo::registry::{Field, FieldType, Model};

impl Checker<'_> {
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
            FieldType::Float if self.registry.digits(&model.name, &field.name).is_none() => "float8",
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
        let left = Scalar::DatePart {
            part: sql_part,
            of: Box::new(scalar),
            zone: (field.kind == FieldType::Datetime).then(|| self.context.tz.clone()),
            first_day,
        };
        self.compare_part(part, left, step)
    }

    /// A part of a date compared: with a number, and from 19 on with a list of numbers and False.
    fn compare_part(&self, part: &str, left: Scalar, step: Step<'_>) -> Result<Plan, DomainError> {
        let refused = || {
            let how = match self.version {
                ..19 => "a whole number, by = != < <= > or >=",
                _ => "whole numbers, by = != < <= > >= in or not in",
            };
            DomainError::new(format!("'{part}' is compared with {how}")).at(step.spans.value)
        };
        match (step.operator, self.literal(step)?) {
            (operator, Literal::Int(number)) if self.version < 19 || operator.is_inequality() => Ok(Plan::Compare {
                left,
                operator: Comparison::of(operator).ok_or_else(refused)?,
                right: i32::try_from(*number).map_or(Bound::Int8(*number), Bound::Int4),
            }),
            (Operator::In | Operator::NotIn, Literal::List(items)) if self.version >= 19 => {
                let negated = step.operator == Operator::NotIn;
                let has_null = items.iter().any(Literal::is_unset);
                let numbers = items
                    .iter()
                    .filter(|item| !item.is_unset())
                    .map(|item| match item {
                        Literal::Int(number) => Ok(Some(*number)),
                        _ => Err(refused()),
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                let null = Plan::IsNull(left.clone());
                if numbers.is_empty() {
                    return Ok(if negated { Plan::NotNull(left) } else { null });
                }
                let values = Bound::Ints(numbers);
                let plan = Plan::OneOf { left, values, negated };
                Ok(if negated == has_null {
                    plan
                } else {
                    Plan::any(vec![plan, null])
                })
            }
            _ => Err(refused()),
        }
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
