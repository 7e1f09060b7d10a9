//! A comparison of one stored value: what Odoo's `_condition_to_sql` makes of it.
//!
//! From 18 on an empty text and no text are the same, and so are zero and no number; before, null is null. That difference and
//! the question when `OR .. IS NULL` is added are all in this file.

use super::super::ast::{Operator, Spans};
use super::super::error::DomainError;
use super::super::plan::{Bound, Comparison, Plan, Scalar};
use super::Checker;
use super::literal::{Literal, is_date_or_time, parse_python_float, parse_python_int, round_to_digits};
use crate::odoo::known::{self, Digits};
use crate::odoo::registry::{Field, FieldType, Model};

/// What kind of value the database compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Bool,
    Int,
    Float,
    Numeric,
    Text,
    Date,
    Timestamp,
    /// Only asked whether it is there.
    Opaque,
}

/// One comparison under way.
struct Comparing<'c> {
    model: &'c Model,
    field: &'c Field,
    scalar: &'c Scalar,
    /// What `IS NULL` is asked of.
    nullable: Scalar,
    class: Class,
    /// Zero and null are the same.
    zero_is_null: bool,
    /// The empty text and null are the same.
    empty_is_null: bool,
}

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
            zero_is_null: modern && field.kind.is_number() && field.name != "id",
            empty_is_null: modern && field.kind.is_text(),
        };
        let (operator, value) = &self.with_time(field, operator, value)?;
        let operator = *operator;
        let plan = match operator {
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

    /// A day compared with a datetime: `<=` and `>` mean the day's end, the others its beginning. Up to 18 the end is its last
    /// second, later the next day's beginning.
    fn with_time(
        &self,
        field: &Field,
        operator: Operator,
        value: &Literal,
    ) -> Result<(Operator, Literal), DomainError> {
        if field.kind != FieldType::Datetime || matches!(operator, Operator::In | Operator::NotIn) {
            return Ok((operator, value.clone()));
        }
        let at_end = matches!(operator, Operator::Gt | Operator::Le);
        if self.version >= 19 && at_end {
            let day = match value {
                Literal::Date(day) => Some(*day),
                Literal::Str(text) if text.chars().count() == 10 => text.parse().ok(),
                _ => None,
            };
            if let Some(day) = day {
                let next: jiff::civil::Date = day
                    .tomorrow()
                    .map_err(|_| DomainError::new("the date is out of range"))?;
                let operator = if operator == Operator::Gt {
                    Operator::Ge
                } else {
                    Operator::Lt
                };
                return Ok((
                    operator,
                    Literal::Str(format!("{} 00:00:00", next.strftime("%Y-%m-%d"))),
                ));
            }
        }
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
        if self.version >= 19 && operator.is_inequality() && value.is_unset() && is_dated(c.field) {
            return Ok(Plan::FALSE);
        }
        let is_reference = c.field.kind.is_relational() || c.field.name == "id";
        let mut value = value;
        if is_equality && ((is_reference && value.is_falsy()) || value.is_unset()) {
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
                in_range(c, &right)?;
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
        let unaccent = self.registry.facts().unaccent && (ignore_case || self.version == 16);
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
            let has_zero = kept.iter().any(Literal::is_zero);
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

    /// The values of a list as one array; none if the list is empty.
    fn convert_all(&self, c: &Comparing<'_>, items: &[Literal]) -> Result<Option<Bound>, DomainError> {
        if items.is_empty() {
            return Ok(None);
        }
        let bounds = items
            .iter()
            .map(|item| self.convert(c, item))
            .collect::<Result<Vec<_>, _>>()?;
        if bounds.iter().flatten().any(|bound| matches!(bound, Bound::Numeric(_))) && c.class == Class::Int {
            return Err(DomainError::new("a number of the list is too large"));
        }
        let text = |bound: Option<Bound>| match bound {
            Some(Bound::Numeric(text) | Bound::Text(text) | Bound::Date(text) | Bound::Timestamp(text)) => text,
            _ => String::new(),
        };
        let all = bounds.into_iter();
        Ok(Some(match c.class {
            Class::Bool => Bound::Bools(all.map(|bound| bound == Some(Bound::Bool(true))).collect()),
            Class::Int => Bound::Ints(
                all.map(|bound| match bound {
                    Some(Bound::Int4(number)) => Some(number.into()),
                    Some(Bound::Int8(number)) => Some(number),
                    _ => None,
                })
                .collect(),
            ),
            Class::Float => Bound::Floats(
                all.map(|bound| match bound {
                    Some(Bound::Float8(number)) => number,
                    _ => 0.0,
                })
                .collect(),
            ),
            Class::Numeric => Bound::Numerics(all.map(text).collect()),
            Class::Text => Bound::Texts(all.map(text).collect()),
            Class::Date => Bound::Dates(all.map(text).collect()),
            Class::Timestamp => Bound::Timestamps(all.map(text).collect()),
            Class::Opaque => return Err(self.wrong_type(c, &Literal::List(items.to_vec()))),
        }))
    }

    /// A value as Odoo's `convert_to_column` of the field makes it; none is null.
    fn convert(&self, c: &Comparing<'_>, value: &Literal) -> Result<Option<Bound>, DomainError> {
        let wrong = || self.wrong_type(c, value);
        if let Literal::List(_) = value {
            return Err(wrong());
        }
        Ok(Some(match c.field.kind {
            FieldType::Boolean => Bound::Bool(value.is_truthy()),
            FieldType::Integer | FieldType::Many2oneReference if c.field.name != "id" => match value {
                value if value.is_falsy() => Bound::Int4(0),
                Literal::Float(number) if number.abs() < 9e18 => int_bound(to_i64(number.trunc())),
                Literal::Str(text) => int_bound(parse_python_int(text).ok_or_else(wrong)?),
                value => integer(value).ok_or_else(wrong)?,
            },
            FieldType::Integer | FieldType::Many2one => match value {
                value if value.is_unset() => return Ok(None),
                // A many2one's 0 is no record.
                Literal::Int(0) if c.field.kind == FieldType::Many2one => return Ok(None),
                Literal::Int(number) => int_bound(*number),
                Literal::BigInt(digits) if c.field.kind == FieldType::Many2one => Bound::Numeric(digits.clone()),
                _ => return Err(wrong()),
            },
            FieldType::Float => {
                let number = match value {
                    value if value.is_falsy() => 0.0,
                    value => float(value).ok_or_else(wrong)?,
                };
                match c.class {
                    Class::Float => Bound::Float8(number),
                    _ => Bound::Numeric(self.float_digits(c, number)?),
                }
            }
            FieldType::Monetary => match value {
                value if value.is_unset() => return Ok(None),
                Literal::Str(text) if text.is_empty() => return Err(wrong()),
                Literal::Str(text) => {
                    let number = parse_python_float(text).ok_or_else(wrong)?;
                    monetary(c.class, number, text.trim().to_owned())
                }
                Literal::Int(_) | Literal::BigInt(_) | Literal::Float(_) => {
                    let number = float(value).ok_or_else(wrong)?;
                    monetary(c.class, number, value.python_str().ok_or_else(wrong)?)
                }
                _ => return Err(wrong()),
            },
            FieldType::Char | FieldType::Text | FieldType::Html | FieldType::Selection | FieldType::Reference => {
                if value.is_unset() {
                    return Ok(None);
                }
                Bound::Text(self.column_text(c, &value.python_str().ok_or_else(wrong)?)?)
            }
            FieldType::Date | FieldType::Datetime => {
                let text = match value {
                    value if value.is_unset() => return Ok(None),
                    Literal::Str(text) if is_date_or_time(text) && (self.version < 19 || is_iso(text)) => text.clone(),
                    Literal::Date(_) | Literal::DateTime(_) => value.python_str().ok_or_else(wrong)?,
                    Literal::Str(_) => {
                        let shown = value.python_str().unwrap_or_default();
                        let shown: String = shown.chars().take(40).collect();
                        return Err(DomainError::new(format!("{shown:?} is not a date or datetime"))
                            .hint("write '2026-01-31' or '2026-01-31 23:59:59', in UTC"));
                    }
                    _ => return Err(wrong()),
                };
                if c.class == Class::Date {
                    Bound::Date(text)
                } else {
                    Bound::Timestamp(text)
                }
            }
            _ => {
                return Err(DomainError::new(format!(
                    "the {} field {}.{} can only be asked whether it is set",
                    c.field.kind.name(),
                    c.model.name,
                    c.field.name
                ))
                .hint("use '=' or '!=' with False"));
            }
        }))
    }

    /// A float as a numeric column's field rounds it.
    fn float_digits(&self, c: &Comparing<'_>, number: f64) -> Result<String, DomainError> {
        let exact = || Literal::Float(number).python_str().unwrap_or_default();
        if c.field.company_dependent {
            // Stored by company they are json, and compared unrounded.
            return Ok(exact());
        }
        let scale = match known::digits(&c.model.name, &c.field.name) {
            Some(Digits::Unrounded) => return Ok(exact()),
            Some(Digits::Scale(scale)) => Some(scale),
            Some(Digits::Precision(name)) => {
                let name = name.replace('_', " ");
                // 2 is Odoo's own default for a precision nobody configured.
                Some(self.registry.facts().precisions.get(&name).copied().unwrap_or(2))
            }
            None if number.fract() == 0.0 => return Ok(exact()),
            None => None,
        };
        match scale {
            Some(scale) => Ok(round_to_digits(number, scale)),
            None => Err(DomainError::new(format!(
                "Odoo rounds what {}.{} is compared with, and to how many decimals is not known here",
                c.model.name, c.field.name
            ))
            .hint("compare with a whole number")),
        }
    }

    /// A text as the column would hold it.
    fn column_text(&self, c: &Comparing<'_>, text: &str) -> Result<String, DomainError> {
        Ok(match (c.field.kind, c.field.size) {
            (FieldType::Html, _) if c.field.sanitized => sanitized_html(text)?,
            (FieldType::Char, Some(size)) => text.chars().take(size.try_into().unwrap_or(usize::MAX)).collect(),
            _ => text.to_owned(),
        })
    }

    fn wrong_type(&self, c: &Comparing<'_>, value: &Literal) -> DomainError {
        DomainError::new(format!(
            "{} cannot be compared with the {} field {}.{}",
            value.describe(),
            c.field.kind.name(),
            c.model.name,
            c.field.name
        ))
    }
}

/// What Python's `fromisoformat` reads without a time zone; from 19 on Odoo reads dates with it.
fn is_iso(text: &str) -> bool {
    let date_is_padded = text.as_bytes().get(4) == Some(&b'-') && text.as_bytes().get(7) == Some(&b'-');
    let time = text.get(11..).unwrap_or_default();
    date_is_padded && text.len() >= 10 && !time.contains(['Z', '+', '-'])
}

/// What Odoo's sanitizer makes of a text before it is compared with an html field, for the simple cases: one paragraph with
/// plain text, whole or with its tags missing.
fn sanitized_html(text: &str) -> Result<String, DomainError> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let opened = text.strip_prefix("<p>");
    let inner = opened.unwrap_or(text);
    let inner = inner.strip_suffix("</p>").unwrap_or(inner);
    let is_plain = !inner.is_empty()
        && inner.trim() == inner.trim_matches(' ')
        && !inner.contains(['<', '&', '\u{a0}'])
        && !inner.contains(char::is_control);
    if !is_plain || (opened.is_none() && inner.starts_with(' ')) {
        return Err(
            DomainError::new("Odoo rewrites HTML before it compares it with this field")
                .hint("use 'ilike' with a piece of the text"),
        );
    }
    Ok(format!("<p>{}</p>", inner.replace('>', "&gt;")))
}

fn is_dated(field: &Field) -> bool {
    matches!(field.kind, FieldType::Date | FieldType::Datetime)
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

/// What the database compares: told by the column's type, since a view's may differ from the field's usual one.
fn class_of(field: &Field, scalar: &Scalar) -> Class {
    if let Scalar::PerCompany { sql_type, .. } = scalar {
        return class_of_type(field, sql_type);
    }
    if matches!(scalar, Scalar::Translated { .. }) {
        return Class::Text;
    }
    class_of_type(
        field,
        field.column.as_ref().map_or("", |column| column.type_name.as_str()),
    )
}

fn class_of_type(field: &Field, type_name: &str) -> Class {
    match (field.kind, type_name) {
        (FieldType::Boolean, _) => Class::Bool,
        (FieldType::Integer | FieldType::Many2one | FieldType::Many2oneReference, _) => Class::Int,
        (FieldType::Float | FieldType::Monetary, "double precision" | "real" | "float8") => Class::Float,
        (FieldType::Float | FieldType::Monetary, _) => Class::Numeric,
        (FieldType::Char | FieldType::Text | FieldType::Html | FieldType::Selection | FieldType::Reference, _) => {
            Class::Text
        }
        (FieldType::Date | FieldType::Datetime, "date") => Class::Date,
        (FieldType::Date | FieldType::Datetime, _) => Class::Timestamp,
        _ => Class::Opaque,
    }
}

fn int_bound(number: i64) -> Bound {
    i32::try_from(number).map_or(Bound::Int8(number), Bound::Int4)
}

fn integer(value: &Literal) -> Option<Bound> {
    Some(match value {
        Literal::Bool(value) => Bound::Int4((*value).into()),
        Literal::Int(number) => int_bound(*number),
        Literal::BigInt(digits) => Bound::Numeric(digits.clone()),
        _ => return None,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "the caller has checked the range")]
fn to_i64(number: f64) -> i64 {
    number as i64
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Python's float() rounds a whole number the same way"
)]
fn float(value: &Literal) -> Option<f64> {
    match value {
        Literal::Bool(value) => Some(f64::from(u8::from(*value))),
        Literal::Int(number) => Some(*number as f64),
        Literal::BigInt(digits) => digits.parse().ok().filter(|number: &f64| number.is_finite()),
        Literal::Float(number) => Some(*number),
        Literal::Str(text) => parse_python_float(text),
        _ => None,
    }
}

fn monetary(class: Class, number: f64, digits: String) -> Bound {
    if class == Class::Float {
        Bound::Float8(number)
    } else {
        Bound::Numeric(digits)
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

/// Odoo compares `id` with the text of a number, which must fit the column.
fn in_range(c: &Comparing<'_>, bound: &Bound) -> Result<(), DomainError> {
    if c.field.name == "id" && !matches!(bound, Bound::Int4(_)) {
        return Err(DomainError::new("the number is out of range for an id"));
    }
    Ok(())
}
