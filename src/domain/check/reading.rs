//! How 19 reads a leaf before anything is looked up: fewer operators, lists without doubles, days as moments.
//!
//! `=` and `!=` become `in` and `not in`, `=?` goes, a pattern of nothing asks for no value, and each type of field has its own
//! reading of the list. Python's equality decides what is a double: 0 is False, and 1 is True.
//!
//! Source: `Domain.optimize` of 19.0.

use super::super::ast::Operator;
use super::super::error::DomainError;
use super::super::plan::Plan;
use super::literal::Literal;
use super::{Checker, Operand, Step};
use crate::odoo::registry::{Field, FieldType, Model};

/// What a leaf comes to.
enum Reading {
    /// Decided already.
    Is(bool),
    /// Still to be asked.
    Asks(Operator, Literal),
}

impl Checker<'_> {
    /// A leaf of 19 about a field of the model itself.
    pub(super) fn leaf_as_read(
        &self,
        model: &Model,
        field: &Field,
        rest: Option<&str>,
        step: Step<'_>,
        value: &Literal,
    ) -> Result<Plan, DomainError> {
        if field.kind == FieldType::Properties {
            return self.dispatch(model, field, rest, step);
        }
        let (operator, value) = match read(field, step.operator, value).map_err(|error| error.at(step.spans.value))? {
            Reading::Is(truth) => {
                return Ok(Plan::Const(Some(truth)));
            }
            Reading::Asks(operator, value) => (operator, value),
        };
        if rest.is_none() && matches!(field.kind, FieldType::Date | FieldType::Datetime) {
            return self.dated(model, field, Step { operator, ..step }, &value);
        }
        let value = Operand::Literal(&value);
        self.dispatch(
            model,
            field,
            rest,
            Step {
                operator,
                value: &value,
                ..step
            },
        )
    }
}

/// The operator and value that 19 goes on with.
fn read(field: &Field, operator: Operator, value: &Literal) -> Result<Reading, DomainError> {
    let value = match value {
        Literal::None => Literal::Bool(false),
        value => value.clone(),
    };
    let (operator, value) = match operator {
        Operator::Unset if value.is_falsy() => return Ok(Reading::Is(true)),
        Operator::Unset => (Operator::Eq, value),
        operator => (operator, value),
    };
    match operator {
        Operator::Eq | Operator::Ne => {
            let operator = if operator == Operator::Eq {
                Operator::In
            } else {
                Operator::NotIn
            };
            let items = match value {
                Literal::List(items) if items.is_empty() => vec![Literal::Bool(false)],
                Literal::List(items) => items,
                one => vec![one],
            };
            read_list(field, operator, items)
        }
        Operator::In | Operator::NotIn if value.is_falsy() => Ok(Reading::Is(operator == Operator::NotIn)),
        Operator::In | Operator::NotIn => {
            let items = match value {
                Literal::List(items) => items,
                one => vec![one],
            };
            read_list(field, operator, items)
        }
        operator if operator.is_pattern() && value.is_falsy() => {
            // A pattern of nothing: `like` matches all that has a value, `=like` what has none.
            let has_value = operator.is_negative() != operator.has_wildcards();
            if field.kind.is_relational() || !operator.has_wildcards() {
                let operator = if has_value { Operator::NotIn } else { Operator::In };
                return read_list(field, operator, vec![Literal::Bool(false)]);
            }
            Ok(Reading::Is(has_value))
        }
        operator if operator.is_pattern() => match value {
            Literal::Str(_) => Ok(Reading::Asks(operator, value)),
            _ if !operator.has_wildcards() => Err(DomainError::new(format!(
                "operator '{operator}' takes a text, not {}",
                value.describe()
            ))),
            other => match other.python_str() {
                Some(text) => Ok(Reading::Asks(operator, Literal::Str(text))),
                None => Err(DomainError::new(format!(
                    "operator '{operator}' takes a text, not a list"
                ))),
            },
        },
        Operator::ChildOf | Operator::ParentOf if value == Literal::Bool(false) => Ok(Reading::Is(false)),
        operator => Ok(Reading::Asks(operator, value)),
    }
}

/// A list as the type of field takes it.
fn read_list(field: &Field, operator: Operator, items: Vec<Literal>) -> Result<Reading, DomainError> {
    let mut kept: Vec<Literal> = Vec::with_capacity(items.len());
    for item in items {
        if !kept.iter().any(|seen| seen.equals_in_python(&item)) {
            kept.push(item);
        }
    }
    if field.kind != FieldType::Boolean {
        return Ok(Reading::Asks(operator, Literal::List(kept)));
    }
    let truths = kept.iter().map(truth).collect::<Result<Vec<bool>, _>>()?;
    let is_in = operator == Operator::In;
    Ok(match (truths.contains(&true), truths.contains(&false)) {
        (true, true) if field.stored => Reading::Is(is_in),
        // The field's own search goes first.
        (true, true) => Reading::Asks(operator, Literal::List(vec![Literal::Bool(true), Literal::Bool(false)])),
        // False is asked for as not True.
        (false, _) => Reading::Asks(
            if is_in { Operator::NotIn } else { Operator::In },
            Literal::List(vec![Literal::Bool(true)]),
        ),
        (true, false) => Reading::Asks(operator, Literal::List(vec![Literal::Bool(true)])),
    })
}

/// What a value means to a boolean field; a text that says neither is False.
fn truth(value: &Literal) -> Result<bool, DomainError> {
    match value {
        Literal::Str(text) => Ok(matches!(
            text.to_lowercase().as_str(),
            "y" | "yes" | "1" | "true" | "t" | "on"
        )),
        Literal::List(_) => Err(DomainError::new(
            "a list of lists cannot be compared with a boolean field",
        )),
        value => Ok(value.is_truthy()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(kind: FieldType, operator: Operator, value: Literal) -> Option<(Operator, Literal)> {
        match read(&Field::new("f", kind), operator, &value).expect("a readable leaf") {
            Reading::Asks(operator, value) => Some((operator, value)),
            Reading::Is(_) => None,
        }
    }

    #[test]
    fn a_boolean_is_asked_for_true_alone() {
        let list = |items: &[Literal]| Literal::List(items.to_vec());
        let only_true = list(&[Literal::Bool(true)]);
        for (operator, value, wanted) in [
            (Operator::Eq, Literal::Bool(false), Some(Operator::NotIn)),
            (Operator::In, list(&[Literal::Int(0)]), Some(Operator::NotIn)),
            (Operator::NotIn, list(&[Literal::None]), Some(Operator::In)),
            (Operator::Eq, Literal::Str("TRUE".to_owned()), Some(Operator::In)),
            (Operator::In, list(&[Literal::Int(1), Literal::Int(0)]), None),
        ] {
            assert_eq!(
                asks(FieldType::Boolean, operator, value),
                wanted.map(|operator| (operator, only_true.clone()))
            );
        }
    }

    #[test]
    fn the_first_of_what_python_takes_for_equal_is_kept() {
        let items = vec![
            Literal::Int(0),
            Literal::Bool(false),
            Literal::Int(1),
            Literal::Float(1.0),
        ];
        assert_eq!(
            asks(FieldType::Integer, Operator::In, Literal::List(items)),
            Some((Operator::In, Literal::List(vec![Literal::Int(0), Literal::Int(1)])))
        );
    }

    #[test]
    fn a_pattern_of_nothing_asks_for_a_value_or_for_none() {
        let nothing = Literal::List(vec![Literal::Bool(false)]);
        let empty = || Literal::Str(String::new());
        assert_eq!(asks(FieldType::Char, Operator::Ilike, empty()), None);
        assert_eq!(
            asks(FieldType::Char, Operator::EqLike, empty()),
            Some((Operator::In, nothing.clone()))
        );
        assert_eq!(
            asks(FieldType::Many2one, Operator::Ilike, empty()),
            Some((Operator::NotIn, nothing.clone()))
        );
        assert_eq!(
            asks(FieldType::Many2one, Operator::NotIlike, empty()),
            Some((Operator::In, nothing))
        );
    }
}
