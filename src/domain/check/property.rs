//! Properties: values that a parent record defines, kept as json.

use super::super::ast::Operator;
use super::super::error::DomainError;
use super::super::plan::{Bound, Comparison, Plan, Scalar};
use super::literal::Literal;
use super::{Checker, Step};
use crate::odoo::registry::{Field, Model};

impl Checker<'_> {
    /// `task_properties.key operator value`, as 18 compares it.
    pub(super) fn property(
        &self,
        model: &Model,
        field: &Field,
        rest: Option<&str>,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        let whole = format!("{}.{}", model.name, field.name);
        let Some(key) = rest.filter(|key| is_key(key)) else {
            return Err(DomainError::new(format!(
                "{whole} needs the name of one of its properties: {}.name",
                field.name
            ))
            .at(step.spans.path));
        };
        if self.version != 18 {
            return Err(DomainError::new(format!(
                "properties are supported for Odoo 18; this is {}",
                self.version
            ))
            .at(step.spans.path));
        }
        let Some(column) = field
            .column
            .as_ref()
            .filter(|column| field.stored && column.type_name == "jsonb")
        else {
            return Err(DomainError::new(format!("{whole} has no column in the database")).at(step.spans.path));
        };
        let column = column.name.clone();
        let value = self.literal(step)?;
        if matches!(step.operator, Operator::Eq | Operator::Ne) && matches!(value, Literal::Bool(_) | Literal::None) {
            return property_is_set(column, key, value, step);
        }
        self.compared_property(column, key, value, step)
    }

    fn compared_property(
        &self,
        column: String,
        key: &str,
        value: &Literal,
        step: Step<'_>,
    ) -> Result<Plan, DomainError> {
        let key = key.to_owned();
        let json = || {
            to_json(value)
                .ok_or_else(|| DomainError::new("this cannot be compared with a property").at(step.spans.value))
        };
        match (step.operator, value) {
            (Operator::In | Operator::NotIn, value) => {
                let left_contains = !matches!(value, Literal::List(_));
                let contains = Plan::Contains {
                    left: Scalar::JsonItem { column, key },
                    right: Bound::Json(json()?),
                    left_contains,
                };
                Ok(if step.operator == Operator::NotIn {
                    contains.negate()
                } else {
                    contains
                })
            }
            (operator, Literal::Str(text)) => {
                let left = Scalar::JsonText { column, key };
                match Comparison::of(operator) {
                    Some(operator) => Ok(Plan::Compare {
                        left,
                        operator,
                        right: Bound::Text(text.clone()),
                    }),
                    None => self.property_like(left, text, step),
                }
            }
            (operator, _) => match Comparison::of(operator) {
                Some(operator) => Ok(Plan::Compare {
                    left: Scalar::JsonItem { column, key },
                    operator,
                    right: Bound::Json(json()?),
                }),
                None => Err(self.no_such_comparison(step)),
            },
        }
    }

    fn property_like(&self, left: Scalar, text: &str, step: Step<'_>) -> Result<Plan, DomainError> {
        let operator = step.operator;
        let ignore_case = matches!(operator, Operator::Ilike | Operator::NotIlike);
        if !operator.has_wildcards() {
            return Err(self.no_such_comparison(step));
        }
        // Only the forms that ignore case put wildcards around the text.
        let pattern = if ignore_case {
            format!("%{text}%")
        } else {
            text.to_owned()
        };
        if !ignore_case && (pattern.len() - pattern.trim_end_matches('\\').len()) % 2 == 1 {
            return Err(DomainError::new("the pattern ends in a lone backslash").at(step.spans.value));
        }
        let unaccent = ignore_case && self.unaccents().map_err(|error| error.at(step.spans.value))?;
        Ok(Plan::Like {
            left,
            pattern,
            ignore_case,
            unaccent,
            negated: operator.is_negative(),
        })
    }

    fn no_such_comparison(&self, step: Step<'_>) -> DomainError {
        DomainError::new(format!(
            "operator '{}' cannot compare a property with this",
            step.operator
        ))
        .at(step.spans.operator)
    }
}

/// The keys Odoo gives to properties, and accepts.
fn is_key(key: &str) -> bool {
    key.len() < 512
        && key.starts_with(|c: char| c.is_ascii_lowercase())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn to_json(value: &Literal) -> Option<serde_json::Value> {
    Some(match value {
        Literal::None => serde_json::Value::Null,
        Literal::Bool(value) => (*value).into(),
        Literal::Int(number) => (*number).into(),
        Literal::Float(number) => serde_json::Number::from_f64(*number)?.into(),
        Literal::Str(text) => text.clone().into(),
        Literal::List(items) => items.iter().map(to_json).collect::<Option<Vec<_>>>()?.into(),
        Literal::BigInt(_) | Literal::Date(_) | Literal::DateTime(_) => return None,
    })
}

/// `property = True`: asked as "not false", and a property that is not there counts as false.
fn property_is_set(column: String, key: &str, value: &Literal, step: Step<'_>) -> Result<Plan, DomainError> {
    if matches!(value, Literal::None) {
        // Odoo writes the Python name into the SQL, which is no json.
        return Err(DomainError::new("Odoo cannot compare a property with None")
            .at(step.spans.value)
            .hint("use False"));
    }
    let equals = (step.operator == Operator::Eq) != value.is_truthy();
    let compared = Plan::Compare {
        left: Scalar::JsonItem {
            column: column.clone(),
            key: key.to_owned(),
        },
        operator: if equals { Comparison::Eq } else { Comparison::Ne },
        right: Bound::Json(false.into()),
    };
    if !equals {
        return Ok(compared);
    }
    let whole = Scalar::Column(column);
    let absent = Plan::HasKey {
        left: whole.clone(),
        key: key.to_owned(),
    }
    .negate();
    Ok(Plan::any(vec![compared, Plan::IsNull(whole), absent]))
}
