//! Values as a field's column would hold them: Odoo's `convert_to_column`, by field type.

use super::super::error::DomainError;
use super::super::plan::{Bound, Scalar};
use super::Checker;
use super::literal::{Literal, is_date_or_time, parse_python_float, parse_python_int, round_to_digits};
use crate::odoo::known::Digits;
use crate::odoo::registry::{Field, FieldType, Model};

/// Digits of a whole number in a text, at most.
const MOST_DIGITS: usize = 1_000;

/// What kind of value the database compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
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
pub(super) struct Comparing<'c> {
    pub(super) model: &'c Model,
    pub(super) field: &'c Field,
    pub(super) scalar: &'c Scalar,
    /// What `IS NULL` is asked of.
    pub(super) nullable: Scalar,
    pub(super) class: Class,
    /// Zero and null are the same.
    pub(super) zero_is_null: bool,
    /// The empty text and null are the same.
    pub(super) empty_is_null: bool,
}

impl Checker<'_> {
    /// The values of a list as one array; none if the list is empty.
    pub(super) fn convert_all(&self, c: &Comparing<'_>, items: &[Literal]) -> Result<Option<Bound>, DomainError> {
        if items.is_empty() {
            return Ok(None);
        }
        let bounds = items
            .iter()
            .map(|item| self.convert(c, item))
            .collect::<Result<Vec<_>, _>>()?;
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
                    // Beyond 64 bits: equal to nothing that a column holds, as is the largest number that can be bound.
                    Some(Bound::Numeric(_)) => Some(i64::MAX),
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
    pub(super) fn convert(&self, c: &Comparing<'_>, value: &Literal) -> Result<Option<Bound>, DomainError> {
        let wrong = || self.wrong_type(c, value);
        if let Literal::List(_) = value {
            return Err(wrong());
        }
        Ok(Some(match c.field.kind {
            FieldType::Boolean => Bound::Bool(value.is_truthy()),
            FieldType::Integer | FieldType::Many2oneReference if c.field.name != "id" => match value {
                value if value.is_falsy() => Bound::Int4(0),
                Literal::Float(number) if number.abs() < 9e18 => int_bound(to_i64(number.trunc())),
                // A double of that size has no decimals.
                Literal::Float(number) if number.is_finite() => Bound::Numeric(format!("{number:.0}")),
                Literal::Str(text) => whole_number(text).ok_or_else(wrong)?,
                value => integer(value).ok_or_else(wrong)?,
            },
            FieldType::Integer | FieldType::Many2one => match value {
                value if value.is_unset() => return Ok(None),
                // A many2one's 0 is no record.
                Literal::Int(0) if c.field.kind == FieldType::Many2one => return Ok(None),
                Literal::Int(number) => int_bound(*number),
                // PostgreSQL is given the text itself, and reads it as a number.
                Literal::Str(text) if c.field.kind == FieldType::Integer => {
                    int_bound(parse_python_int(text).ok_or_else(wrong)?)
                }
                Literal::BigInt(digits) => Bound::Numeric(digits.clone()),
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
                // 18 alone compares with null, which the caller takes for zero.
                value if value.is_unset() && self.version != 18 => monetary(c.class, 0.0, "0".to_owned()),
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
        let exact = |number: f64| Literal::Float(number).python_str().unwrap_or_default();
        let scale = match self.registry.digits(&c.model.name, &c.field.name) {
            Some(Digits::Unrounded) => return Ok(exact(number)),
            Some(Digits::Scale(scale)) => Some(scale),
            Some(Digits::Precision(name)) => {
                let name = name.replace('_', " ");
                // 2 is Odoo's own default for a precision nobody configured.
                Some(self.registry.facts().precisions.get(&name).copied().unwrap_or(2))
            }
            None if number.fract() == 0.0 || c.field.company_dependent => return Ok(exact(number)),
            None => None,
        };
        match scale {
            // Stored by company they are json: rounded as well, but compared as the number's own digits.
            Some(scale) if c.field.company_dependent => {
                Ok(exact(round_to_digits(number, scale).parse().unwrap_or(number)))
            }
            Some(scale) => Ok(round_to_digits(number, scale)),
            None => Err(DomainError::new(format!(
                "Odoo rounds what {}.{} is compared with, and to how many decimals is not known here",
                c.model.name, c.field.name
            ))
            .hint("compare with a whole number")),
        }
    }

    /// A text as the column would hold it.
    pub(super) fn column_text(&self, c: &Comparing<'_>, text: &str) -> Result<String, DomainError> {
        Ok(match (c.field.kind, c.field.size) {
            (FieldType::Html, _) if c.field.sanitized => sanitized_html(text)?,
            (FieldType::Char, Some(size)) => text.chars().take(size.try_into().unwrap_or(usize::MAX)).collect(),
            _ => text.to_owned(),
        })
    }

    pub(super) fn wrong_type(&self, c: &Comparing<'_>, value: &Literal) -> DomainError {
        // A short text is shown: it may be the one mistake in a long list.
        let shown = match value {
            Literal::Str(text) if text.chars().count() <= 40 => format!("{text:?}"),
            other => other.describe().to_owned(),
        };
        DomainError::new(format!(
            "{shown} cannot be compared with the {} field {}.{}",
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
    if text.eq_ignore_ascii_case("<p>") || text.eq_ignore_ascii_case("<p></p>") {
        return Ok("<p></p>".to_owned());
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

/// What the database compares: told by the column's type, since a view's may differ from the field's usual one.
pub(super) fn class_of(field: &Field, scalar: &Scalar) -> Class {
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

/// Python's `int(text)`, of any size.
fn whole_number(text: &str) -> Option<Bound> {
    if let Some(number) = parse_python_int(text) {
        return Some(int_bound(number));
    }
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    (is_whole && digits.len() <= MOST_DIGITS).then(|| Bound::Numeric(text.trim_start_matches('+').to_owned()))
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
