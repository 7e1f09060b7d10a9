//! A comparison of one stored value: what Odoo's `_condition_to_sql` makes of it.
//!
//! From 18 on an empty text and no text are the same, and so are zero and no number; before, null is null. That difference and
//! the question when `OR .. IS NULL` is added are all in this file.

use super::super::ast::{Operator, Spans};
use super::super::error::DomainError;
use super::super::plan::{Bound, Comparison, Plan, Scalar};
use super::Checker;
use super::convert::{Class, Comparing, class_of};
use super::literal::Literal;
use crate::odoo::registry::{Field, FieldType, Model};

impl Checker<'_> {
    /// `scalar operator value`, as Odoo compares a field of that type.
    pub(super) fn condition(
        &self,
        model: &Model,
        field: &Field,
        scalar: &Scalar,
        operator: Operator,
        value: &Literal,
        spans: Spans,
    ) -> Result<Plan, DomainError> {
        let modern = self.version >= 18;
        let comparing = Comparing {
            model,
            field,
            scalar,
            // Up to 17 the raw column is asked, which for a translated one is the whole of its languages.
            nullable: match scalar {
                Scalar::Translated { column, .. } if !modern => Scalar::Column(column.clone()),
                other => other.clone(),
            },
            class: class_of(field, scalar),
            zero_is_null: field.name != "id"
                && ((modern && field.kind.is_number())
                    || (self.version >= 19 && field.kind == FieldType::Many2oneReference)),
            empty_is_null: modern && field.kind.is_text(),
        };
        let (operator, value) = &self.with_time(field, operator, value)?;
        let operator = *operator;
        let plan = match operator {
            Operator::Unset if self.version < 18 && field.translate && matches!(value, Literal::Str(_)) => {
                Err(DomainError::new(format!(
                    "Odoo {} fails on '=?' with a text and the translated field {}.{}",
                    self.version, model.name, field.name
                ))
                .hint("use '='"))
            }
            Operator::Unset if value.is_unset() || (self.version >= 19 && value.is_falsy()) => Ok(Plan::TRUE),
            Operator::Unset => return self.condition(model, field, scalar, Operator::Eq, value, spans),
            Operator::In | Operator::NotIn => self.membership(&comparing, operator == Operator::NotIn, value),
            _ if operator.is_pattern() => self.pattern(&comparing, operator, value),
            _ => match Comparison::of(operator) {
                Some(comparison) => self.compare(&comparing, operator, comparison, value),
                None => Err(DomainError::new(format!(
                    "operator '{operator}' is not meant for the {} field {}.{}",
                    field.kind.name(),
                    model.name,
                    field.name
                ))
                .at(spans.operator)),
            },
        };
        plan.map_err(|error| error.at(spans.value))
    }

    /// A day compared with a datetime, up to 18: `<=` and `>` mean the day's last second, the others its beginning.
    fn with_time(
        &self,
        field: &Field,
        operator: Operator,
        value: &Literal,
    ) -> Result<(Operator, Literal), DomainError> {
        let is_list = matches!(operator, Operator::In | Operator::NotIn);
        if field.kind != FieldType::Datetime || is_list || self.version >= 19 {
            return Ok((operator, value.clone()));
        }
        let at_end = matches!(operator, Operator::Gt | Operator::Le);
        Ok((operator, day_as_datetime(value, at_end)))
    }
}

/// A day as its first or last moment; anything else as it is.
fn day_as_datetime(value: &Literal, at_end: bool) -> Literal {
    match value {
        Literal::Str(text) if text.chars().count() == 10 => {
            Literal::Str(format!("{text} {}", if at_end { "23:59:59" } else { "00:00:00" }))
        }
        Literal::Date(day) => {
            let day = day.strftime("%Y-%m-%d");
            Literal::Str(format!("{day} {}", if at_end { "23:59:59.999999" } else { "00:00:00" }))
        }
        other => other.clone(),
    }
}

impl Checker<'_> {
    fn compare(
        &self,
        c: &Comparing<'_>,
        operator: Operator,
        comparison: Comparison,
        value: &Literal,
    ) -> Result<Plan, DomainError> {
        let is_equality = matches!(operator, Operator::Eq | Operator::Ne);
        if let Literal::List(_) = value {
            let error = DomainError::new(format!("operator '{operator}' takes one value, not a list"));
            return Err(match operator {
                Operator::Eq => error.hint("use 'in'"),
                Operator::Ne => error.hint("use 'not in'"),
                _ => error,
            });
        }
        if c.field.kind == FieldType::Boolean && is_equality {
            // From 19 on any value is taken for true or false, before only the two themselves.
            match value {
                Literal::Bool(wanted) => return Ok(c.boolean(*wanted != operator.is_negative())),
                Literal::Str(_) if self.version >= 19 => return Err(self.wrong_type(c, value)),
                value if self.version >= 19 => return Ok(c.boolean(value.is_truthy() != operator.is_negative())),
                _ => {}
            }
        }
        if self.version >= 19 && operator.is_inequality() && value.is_unset() && c.field.name == "id" {
            return Err(self.wrong_type(c, value));
        }
        let is_reference = c.field.kind.is_relational() || c.field.name == "id";
        let mut value = value;
        // Up to 17 a many2one's 0 is compared as null, which nothing equals.
        let is_nothing = value.is_unset() || (self.version >= 18 && is_reference && value.is_falsy());
        if is_equality && is_nothing {
            // Where "nothing" has a value of its own, that value is compared and null counts with it.
            value = match () {
                () if is_reference => &FALSE,
                () if c.zero_is_null => &ZERO,
                () if c.empty_is_null => &EMPTY,
                () => value,
            };
            if value.is_unset() {
                return Ok(match operator {
                    Operator::Eq => Plan::IsNull(c.nullable.clone()),
                    _ => Plan::NotNull(c.nullable.clone()),
                });
            }
        }
        let bound = self.convert(c, value)?;
        // No value at all is zero here, too.
        let number = bound.as_ref().map_or(Some(0), sign_of);
        let plan = match bound {
            Some(right) => {
                if is_equality {
                    in_range(c, &right)?;
                }
                Plan::Compare {
                    left: c.scalar.clone(),
                    operator: comparison,
                    right,
                }
            }
            None => Plan::Const(None),
        };
        let plan = if self.null_counts(operator, value) {
            plan.or_null(&c.nullable)
        } else {
            plan
        };
        if self.version >= 19 && c.empty_is_null {
            // The empty text stands before every other.
            let empty_matches = match operator {
                Operator::Lt => value.is_truthy(),
                Operator::Le => true,
                Operator::Ge => value.is_falsy(),
                _ => false,
            };
            return Ok(if empty_matches { plan.or_null(&c.nullable) } else { plan });
        }
        if !c.zero_is_null {
            return Ok(plan);
        }
        // Null is zero: it satisfies an inequality that zero satisfies.
        let zero_matches = match (operator, number) {
            (Operator::Ge, Some(sign)) => sign <= 0,
            (Operator::Le, Some(sign)) => sign >= 0,
            (Operator::Lt, Some(sign)) => sign > 0,
            (Operator::Gt, Some(sign)) => sign < 0,
            _ => false,
        };
        Ok(if zero_matches { plan.or_null(&c.nullable) } else { plan })
    }

    /// Whether Odoo adds `OR .. IS NULL` to a comparison with this value.
    fn null_counts(&self, operator: Operator, value: &Literal) -> bool {
        if self.version >= 18 {
            return value.is_truthy() == operator.is_negative() && !operator.is_inequality();
        }
        (operator.has_wildcards() && value.is_falsy()) || (value.is_truthy() && operator.is_negative())
    }

    /// Whether Odoo takes accents away where it matches patterns.
    pub(super) fn unaccents(&self) -> Result<bool, DomainError> {
        let facts = self.registry.facts();
        if facts.foreign_unaccent {
            return Err(DomainError::new(
                "Odoo would call a function public.unaccent here, and whoever made that could act for odoo-eventd by it",
            )
            .hint("install the extension unaccent in schema public, or let a superuser own the only function public.unaccent(text)"));
        }
        Ok(facts.unaccent)
    }

    fn pattern(&self, c: &Comparing<'_>, operator: Operator, value: &Literal) -> Result<Plan, DomainError> {
        let negated = operator.is_negative();
        if c.class == Class::Opaque {
            return Err(DomainError::new(format!(
                "a {} field has no text to match",
                c.field.kind.name()
            )));
        }
        let pattern = if operator.has_wildcards() {
            if value.is_falsy() && self.version >= 18 {
                return Ok(Plan::Const(Some(!negated)));
            }
            let text = value.python_str().ok_or_else(|| self.wrong_type(c, value))?;
            Some(format!("%{text}%"))
        } else {
            self.whole_pattern(c, operator, value)?
        };
        let left = if c.field.kind.is_text() {
            c.scalar.clone()
        } else {
            Scalar::AsText(Box::new(c.scalar.clone()))
        };
        let ignore_case = matches!(
            operator,
            Operator::Ilike | Operator::NotIlike | Operator::EqIlike | Operator::NotEqIlike
        );
        // 16 takes accents away in every pattern, later versions in those that ignore case.
        let unaccent = (ignore_case || self.version == 16) && self.unaccents()?;
        let plan = match pattern {
            Some(pattern) => Plan::Like {
                left,
                pattern,
                ignore_case,
                unaccent,
                negated,
            },
            None => Plan::Const(None),
        };
        Ok(if self.null_counts(operator, value) {
            plan.or_null(&c.nullable)
        } else {
            plan
        })
    }

    /// The pattern of `=like`: the value itself, converted as the field's values are.
    fn whole_pattern(
        &self,
        c: &Comparing<'_>,
        operator: Operator,
        value: &Literal,
    ) -> Result<Option<String>, DomainError> {
        let has_text = c.class == Class::Text
            || matches!(
                c.field.kind,
                FieldType::Monetary | FieldType::Date | FieldType::Datetime
            )
            || c.field.name == "id";
        if !has_text {
            return Err(DomainError::new(format!(
                "operator '{operator}' is not meant for the {} field {}.{}",
                c.field.kind.name(),
                c.model.name,
                c.field.name
            )));
        }
        if value.is_unset() {
            return Ok(None);
        }
        let mut pattern = value.python_str().ok_or_else(|| self.wrong_type(c, value))?;
        if c.class == Class::Text && self.version < 19 {
            pattern = self.column_text(c, &pattern)?;
        }
        let escapes = pattern.len() - pattern.trim_end_matches('\\').len();
        if escapes % 2 == 1 {
            return Err(
                DomainError::new("the pattern ends in a lone backslash, which PostgreSQL may refuse")
                    .hint("write two backslashes for one"),
            );
        }
        Ok(Some(pattern))
    }

    /// `in` and `not in`.
    fn membership(&self, c: &Comparing<'_>, negated: bool, value: &Literal) -> Result<Plan, DomainError> {
        let Literal::List(items) = value else {
            let operator = if negated { "not in" } else { "in" };
            let error = DomainError::new(format!("operator '{operator}' takes a list, not {}", value.describe()));
            return Err(error.hint(if negated { "use '!='" } else { "use '='" }));
        };
        let mut has_null = items.iter().any(Literal::is_unset);
        let mut kept: Vec<Literal> = items.iter().filter(|item| !item.is_unset()).cloned().collect();
        if c.field.kind == FieldType::Boolean {
            if self.version < 18 {
                has_null = items.iter().any(Literal::is_zero);
            }
            let has_true = kept.iter().any(Literal::is_truthy);
            kept = [(has_true, true), (has_null, false)]
                .into_iter()
                .filter_map(|(present, value)| present.then_some(Literal::Bool(value)))
                .collect();
        } else if c.zero_is_null {
            // 19 compares what it writes: 0.0 is a monetary field's null, and 0 is not.
            let has_zero = match self.version >= 19 && c.field.kind == FieldType::Monetary {
                true => kept
                    .iter()
                    .any(|item| matches!(item, Literal::Float(number) if number.to_bits() == 0)),
                false => kept.iter().any(Literal::is_zero),
            };
            if has_null && !has_zero {
                kept.push(Literal::Int(0));
            }
            has_null |= has_zero;
        } else if c.empty_is_null {
            let has_empty = kept.contains(&EMPTY);
            if has_null && !has_empty {
                kept.push(EMPTY.clone());
            }
            has_null |= has_empty;
        }
        let plan = match self.convert_all(c, &kept)? {
            Some(values) => Plan::OneOf {
                left: c.scalar.clone(),
                values,
                negated,
            },
            None => Plan::Const(Some(negated)),
        };
        Ok(match (negated, has_null) {
            (false, true) | (true, false) => plan.or_null(&c.nullable),
            (true, true) => Plan::all(vec![plan, Plan::NotNull(c.nullable.clone())]),
            (false, false) => plan,
        })
    }
}

static EMPTY: Literal = Literal::Str(String::new());
static ZERO: Literal = Literal::Int(0);
static FALSE: Literal = Literal::Bool(false);

impl Comparing<'_> {
    /// True, or not true: no value counts as false.
    fn boolean(&self, wanted: bool) -> Plan {
        let is = |value| Plan::Compare {
            left: self.scalar.clone(),
            operator: Comparison::Eq,
            right: Bound::Bool(value),
        };
        if wanted {
            is(true)
        } else {
            is(false).or_null(&self.nullable)
        }
    }
}

/// Below, at or above zero; none for what is no number.
fn sign_of(bound: &Bound) -> Option<i8> {
    let of = |number: f64| match number {
        number if number > 0.0 => 1,
        number if number < 0.0 => -1,
        _ => 0,
    };
    Some(match bound {
        Bound::Int4(number) => of((*number).into()),
        Bound::Int8(number) => i8::try_from(number.signum()).unwrap_or(0),
        Bound::Float8(number) => of(*number),
        Bound::Numeric(digits) => of(digits.parse().unwrap_or(0.0)),
        _ => return None,
    })
}

/// Odoo gives PostgreSQL the text of what it compares `id` with, and asking for a record of an id that no record can have fails there.
/// Which ids lie below or above such a number has an answer all the same.
fn in_range(c: &Comparing<'_>, bound: &Bound) -> Result<(), DomainError> {
    if c.field.name == "id" && !matches!(bound, Bound::Int4(_)) {
        return Err(DomainError::new("the number is out of range for an id"));
    }
    Ok(())
}
