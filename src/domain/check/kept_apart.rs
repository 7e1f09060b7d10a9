//! Company-dependent fields of Odoo 16 and 17, which keep their values in `ir_property`: a row for each record and company that has
//! one, and a row without a record for everybody else.
//!
//! Follows `ir.property.search_multi`, quirks included: rows of the company and rows of none are found alike, and whether the
//! default satisfies a leaf decides if records without a row do.

use super::super::ast::Operator;
use super::super::error::DomainError;
use super::super::plan::{Bound, Comparison, Plan, Query, Scalar, Source};
use super::literal::{Literal, parse_python_float, parse_python_int};
use super::{Checker, Operand, Step};
use crate::odoo::registry::{Field, FieldType, Model};

impl Checker<'_> {
    /// A leaf about a field whose values are rows of `ir_property`; `property` is the field's id there.
    pub(super) fn kept_apart(
        &self,
        model: &Model,
        field: &Field,
        property: i32,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        let refused = || {
            DomainError::new(format!(
                "{}.{} depends on the company, and what Odoo {} makes of this comparison is not repeated here",
                model.name, field.name, self.version
            ))
            .at(step.spans.value)
            .hint("compare a relation with ids, a number with a number, a text with a text")
        };
        let rows = self.model("ir.property").map_err(|_| refused())?;
        let (matches, negated) = match step.value {
            Operand::Literal(Literal::Str(name)) if field.kind == FieldType::Many2one && step.operator.is_pattern() => {
                let comodel = self.comodel(model, field, step.spans)?;
                // What is negative finds the others, where a name is given.
                let negated = step
                    .operator
                    .negated()
                    .filter(|_| step.operator.is_negative() && !name.is_empty());
                let operator = negated.unwrap_or(step.operator);
                let found = self.display_name(comodel, operator, &Literal::Str(name.clone()), step)?;
                (self.refers_to(comodel, found)?, negated.is_some())
            }
            Operand::Literal(value) => {
                let (operator, value, negated) = asked_of_rows(field, step.operator, value).ok_or_else(refused)?;
                let column = match field.kind {
                    FieldType::Boolean | FieldType::Integer => "value_integer",
                    FieldType::Float => "value_float",
                    FieldType::Many2one => "value_reference",
                    _ => "value_text",
                };
                let value = Operand::Literal(&value);
                let asked = Step {
                    path: column,
                    operator,
                    value: &value,
                    depth: step.depth + 1,
                    ..step
                };
                (self.leaf(rows, asked)?, negated)
            }
            Operand::Lowered(found) if field.kind == FieldType::Many2one => {
                let comodel = self.comodel(model, field, step.spans)?;
                let negated = matches!(step.operator, Operator::NotIn | Operator::NotAny);
                (self.refers_to(comodel, (*found).clone())?, negated)
            }
            _ => return Err(refused()),
        };
        let table = self.table(rows)?;
        let id = || Scalar::Column("id".to_owned());
        let has_row = |filter: Plan| Plan::InQuery {
            left: id(),
            query: Box::new(Query {
                source: Source::Table(table.to_owned()),
                output: Scalar::ReferencedId("res_id".to_owned()),
                filter: Plan::all(vec![self.rows_of(property), of_a_record(), filter]),
                output_not_null: false,
            }),
            negated: false,
        };
        let default_matches = Plan::Exists(Box::new(Query {
            source: Source::Table(table.to_owned()),
            output: id(),
            filter: Plan::all(vec![
                self.rows_of(property),
                Plan::any(vec![
                    of_a_record().negate(),
                    Plan::IsNull(Scalar::Column("res_id".to_owned())),
                ]),
                matches.clone(),
            ]),
            output_not_null: false,
        }));
        let good = has_row(matches);
        let bad = Plan::all(vec![has_row(Plan::TRUE), good.clone().negate()]);
        let not = |plan: Plan, negated: bool| if negated { plan.negate() } else { plan };
        Ok(Plan::any(vec![
            Plan::all(vec![default_matches.clone(), not(bad, !negated)]),
            Plan::all(vec![default_matches.negate(), not(good, negated)]),
        ]))
    }

    /// The row's value is one of these records.
    fn refers_to(&self, comodel: &Model, found: Plan) -> Result<Plan, DomainError> {
        let left = Scalar::ReferencedId("value_reference".to_owned());
        self.in_records(left, comodel, found, false)
    }

    /// The rows of one field, of the company or of none.
    fn rows_of(&self, property: i32) -> Plan {
        let column = |name: &str| Scalar::Column(name.to_owned());
        let is = |name: &str, number: i32| Plan::Compare {
            left: column(name),
            operator: Comparison::Eq,
            right: Bound::Int4(number),
        };
        Plan::all(vec![
            is("fields_id", property),
            is("company_id", self.context.company).or_null(&column("company_id")),
        ])
    }
}

/// The row is of one record, not of all others.
fn of_a_record() -> Plan {
    Plan::Compare {
        left: Scalar::Column("res_id".to_owned()),
        operator: Comparison::Ne,
        right: Bound::Text(String::new()),
    }
}

/// What is asked of the rows, and whether the records found are those that do not satisfy the leaf.
fn asked_of_rows(field: &Field, operator: Operator, value: &Literal) -> Option<(Operator, Literal, bool)> {
    let has_false = |value: &Literal| matches!(value, Literal::List(items) if items.iter().any(Literal::is_zero));
    let (mut operator, mut negated) = match operator {
        Operator::In if has_false(value) => (Operator::NotIn, true),
        Operator::NotIn if !has_false(value) => (Operator::In, true),
        Operator::Ne | Operator::NotLike | Operator::NotIlike if value.is_truthy() => (operator.negated()?, true),
        Operator::Eq if value.is_falsy() => (Operator::Ne, true),
        operator => (operator, false),
    };
    if matches!(operator, Operator::ChildOf | Operator::ParentOf) {
        return None;
    }
    if operator == Operator::Unset && field.kind == FieldType::Many2one {
        // The value is not made a reference, and so is none.
        return Some((operator, value.clone(), negated));
    }
    let value = match field.kind {
        FieldType::Many2one => {
            let relation = field.relation.as_deref()?;
            let reference = |value: &Literal| match value {
                Literal::Int(id) if *id != 0 => Some(Literal::Str(format!("{relation},{id}"))),
                // What is no record stands for itself.
                Literal::Int(_) | Literal::None | Literal::Bool(false) => Some(Literal::Bool(false)),
                _ => None,
            };
            match value {
                one if operator.is_inequality() && one.is_unset() => one.clone(),
                Literal::List(items) if matches!(operator, Operator::In | Operator::NotIn) => {
                    Literal::List(items.iter().map(reference).collect::<Option<_>>()?)
                }
                one if matches!(operator, Operator::Eq | Operator::Ne) => reference(one)?,
                _ => return None,
            }
        }
        FieldType::Integer | FieldType::Float if !operator.is_pattern() => {
            let number = match (field.kind, value) {
                (_, Literal::Bool(value)) => Literal::Int((*value).into()),
                (_, Literal::Int(number)) => Literal::Int(*number),
                (FieldType::Float, Literal::Float(number)) => Literal::Float(*number),
                (FieldType::Float, Literal::Str(text)) => Literal::Float(parse_python_float(text)?),
                (FieldType::Integer, Literal::Str(text)) => Literal::Int(parse_python_int(text)?),
                _ => return None,
            };
            let (is_negative, is_zero) = match number {
                Literal::Int(number) => (number < 0, number == 0),
                Literal::Float(number) => (number < 0.0, number == 0.0),
                _ => return None,
            };
            // Records with zero have no row: an inequality that zero satisfies is asked the other way round.
            let turned = match operator {
                Operator::Ge if is_negative || is_zero => Some(Operator::Lt),
                Operator::Gt if is_negative => Some(Operator::Le),
                Operator::Le if !is_negative => Some(Operator::Gt),
                Operator::Lt if !is_negative && !is_zero => Some(Operator::Ge),
                _ => None,
            };
            if let Some(turned) = turned {
                (operator, negated) = (turned, true);
            }
            number
        }
        FieldType::Boolean => match (operator, value) {
            (Operator::Eq | Operator::Ne, Literal::Bool(value)) => Literal::Int((*value).into()),
            (Operator::Eq | Operator::Ne, Literal::Int(number)) => Literal::Int(*number),
            _ => return None,
        },
        FieldType::Char | FieldType::Text | FieldType::Selection | FieldType::Html => value.clone(),
        _ => return None,
    };
    Some((operator, value, negated))
}
