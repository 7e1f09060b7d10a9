//! The value of a leaf with its expressions evaluated, and Odoo's conversions of it.

use jiff::civil::{Date, DateTime};

use super::super::ast::{Value, python_float};
use super::super::error::DomainError;
use super::super::expr::{Clock, Outcome};

/// A value to compare with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    None,
    Bool(bool),
    Int(i64),
    /// Beyond 64 bits: digits with a sign.
    BigInt(String),
    Float(f64),
    Str(String),
    List(Vec<Literal>),
    Date(Date),
    DateTime(DateTime),
}

impl Literal {
    pub(super) fn resolve(value: &Value, clock: &Clock) -> Result<Self, DomainError> {
        Ok(match value {
            Value::None => Self::None,
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(number) => Self::Int(*number),
            Value::BigInt(digits) => Self::BigInt(digits.clone()),
            Value::Float(number) => Self::Float(*number),
            Value::Str(text) => Self::Str(text.clone()),
            Value::List(items) => Self::List(
                items
                    .iter()
                    .map(|item| Self::resolve(item, clock))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Domain(_) => return Err(DomainError::new("a domain cannot stand here")),
            Value::Expr(expr) => match expr.evaluate(clock)? {
                Outcome::Int(number) => Self::Int(number),
                Outcome::Float(number) => Self::Float(number),
                Outcome::Str(text) => Self::Str(text),
                Outcome::Ints(numbers) => Self::List(numbers.into_iter().map(Self::Int).collect()),
                Outcome::Date(day) => Self::Date(day),
                Outcome::DateTime { at, .. } => Self::DateTime(at),
                Outcome::Time(_) | Outcome::Duration(_) | Outcome::Relative(_) => {
                    return Err(DomainError::new("a length of time is no value to compare with")
                        .at(expr.span)
                        .hint("add it to a date: context_today() + relativedelta(days=1)"));
                }
            },
        })
    }

    /// Python's truth: `bool(value)`.
    pub(super) fn is_truthy(&self) -> bool {
        match self {
            Self::None => false,
            Self::Bool(value) => *value,
            Self::Int(number) => *number != 0,
            Self::Float(number) => *number != 0.0,
            Self::Str(text) => !text.is_empty(),
            Self::List(items) => !items.is_empty(),
            Self::BigInt(_) | Self::Date(_) | Self::DateTime(_) => true,
        }
    }

    /// Not [`Literal::is_truthy`].
    pub(super) fn is_falsy(&self) -> bool {
        !self.is_truthy()
    }

    /// `False` or `None`: no value.
    pub(super) fn is_unset(&self) -> bool {
        matches!(self, Self::None | Self::Bool(false))
    }

    /// Equal to Python's 0: 0, 0.0 or False.
    pub(super) fn is_zero(&self) -> bool {
        match self {
            Self::Int(number) => *number == 0,
            Self::Float(number) => *number == 0.0,
            Self::Bool(value) => !value,
            _ => false,
        }
    }

    /// Python's `==`: False is 0 and True is 1, None only itself.
    pub(super) fn equals_in_python(&self, other: &Self) -> bool {
        match (self.number(), other.number()) {
            (Some(left), Some(right)) => left.partial_cmp(&right).is_some_and(std::cmp::Ordering::is_eq),
            (None, None) => self == other,
            _ => false,
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "what loses digits here is no id, and compared with others alike"
    )]
    fn number(&self) -> Option<f64> {
        match self {
            Self::Bool(value) => Some(f64::from(u8::from(*value))),
            Self::Int(number) => Some(*number as f64),
            Self::BigInt(digits) => digits.parse().ok(),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// `str(value)` in Python.
    pub(super) fn python_str(&self) -> Option<String> {
        Some(match self {
            Self::None => "None".to_owned(),
            Self::Bool(true) => "True".to_owned(),
            Self::Bool(false) => "False".to_owned(),
            Self::Int(number) => number.to_string(),
            Self::BigInt(digits) => digits.clone(),
            Self::Float(number) => python_float(*number),
            Self::Str(text) => text.clone(),
            Self::Date(day) => day.strftime("%Y-%m-%d").to_string(),
            Self::DateTime(at) => python_datetime(*at),
            Self::List(_) => return None,
        })
    }

    /// What Odoo calls the type, for messages.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::BigInt(_) => "a whole number",
            Self::Float(_) => "a number",
            Self::Str(_) => "a text",
            Self::List(_) => "a list",
            Self::Date(_) => "a date",
            Self::DateTime(_) => "a datetime",
        }
    }
}

/// `str(datetime)`: microseconds only where there are any.
fn python_datetime(at: DateTime) -> String {
    let seconds = at.strftime("%Y-%m-%d %H:%M:%S");
    match at.subsec_nanosecond() / 1000 {
        0 => seconds.to_string(),
        micros => format!("{seconds}.{micros:06}"),
    }
}

/// Python's `int(text)`.
pub(super) fn parse_python_int(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// Python's `float(text)`, finite ones.
pub(super) fn parse_python_float(text: &str) -> Option<f64> {
    let text = text.trim();
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    (plain && text.bytes().any(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
        .filter(|n: &f64| n.is_finite())
}

/// Odoo's `float_round(value, precision_digits)` followed by `float_repr`: half away from zero, after a nudge that makes up
/// for what binary fractions lose. Gives decimal digits.
pub(super) fn round_to_digits(value: f64, digits: u32) -> String {
    let digits_usize = usize::try_from(digits).unwrap_or(0);
    let factor = 10f64.powi(i32::try_from(digits).unwrap_or(0));
    let normalized = value * factor;
    if normalized == 0.0 || !normalized.is_finite() || normalized.abs() >= 2f64.powi(52) {
        return format!("{value:.digits_usize$}");
    }
    let epsilon = 2f64.powf(normalized.abs().log2() - 52.0);
    let rounded = (normalized + epsilon.copysign(normalized)).round();
    let text = format!("{:.digits_usize$}", rounded / factor);
    // float_repr never shows a negative zero.
    if text.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.')) {
        text.replace('-', "")
    } else {
        text
    }
}

/// A date or datetime text that PostgreSQL reads one way only, whatever its settings: `2026-1-5`, `2026-01-28 10:00[:00[.5]]`,
/// with a blank or `T`, a trailing `Z` or offset (which a timestamp ignores, as Odoo's comparison does), or infinity.
pub(super) fn is_date_or_time(text: &str) -> bool {
    if matches!(text, "infinity" | "-infinity") {
        return true;
    }
    let (date, time) = match text.split_once([' ', 'T']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.splitn(3, '-');
    let mut part = |lengths: std::ops::RangeInclusive<usize>| -> Option<i16> {
        let digits = parts.next()?;
        (lengths.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| digits.parse().ok())
            .flatten()
    };
    let (Some(year), Some(month), Some(day)) = (part(4..=4), part(1..=2), part(1..=2)) else {
        return false;
    };
    let (month, day) = (i8::try_from(month).unwrap_or(-1), i8::try_from(day).unwrap_or(-1));
    if year == 0 || Date::new(year, month, day).is_err() {
        return false;
    }
    time.is_none_or(is_time)
}

fn is_time(text: &str) -> bool {
    let text = text
        .strip_suffix('Z')
        .or_else(|| {
            text.split_once(['+', '-']).map(|(time, offset)| {
                let digits = offset.bytes().filter(|byte| *byte != b':');
                // An offset that is none makes the whole unreadable: keep something that fails below.
                if digits.clone().all(|byte| byte.is_ascii_digit()) && (2..=4).contains(&digits.count()) {
                    time
                } else {
                    ""
                }
            })
        })
        .unwrap_or(text);
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (text, None),
    };
    let fields: Vec<&str> = clock.split(':').collect();
    let in_range = |at: usize, below: u8| {
        fields.get(at).is_none_or(|field| {
            field.len() == 2
                && field.bytes().all(|byte| byte.is_ascii_digit())
                && field.parse::<u8>().is_ok_and(|n| n < below)
        })
    };
    (2..=3).contains(&fields.len())
        && in_range(0, 24)
        && in_range(1, 60)
        && in_range(2, 60)
        && fraction.is_none_or(|digits| {
            fields.len() == 3 && (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_odoos() {
        for (value, digits, text) in [
            (1.5, 2, "1.50"),
            (2.675, 2, "2.68"),
            (-2.675, 2, "-2.68"),
            (0.0, 2, "0.00"),
            (-0.001, 2, "0.00"),
            (99.99, 2, "99.99"),
        ] {
            assert_eq!(round_to_digits(value, digits), text);
        }
    }

    #[test]
    fn only_unambiguous_dates_are_dates() {
        for text in [
            "2026-01-28",
            "2026-1-5",
            "2026-01-28 10:00",
            "2026-01-28T10:00:00Z",
            "2026-01-28 10:00:00.123",
            "infinity",
        ] {
            assert!(is_date_or_time(text), "{text}");
        }
        for text in [
            "2026",
            "x",
            "2026-13-45",
            "now",
            "2026-02-30",
            "01-02-2026",
            "2026-01-28 25:00",
            "2026-01-28 10",
            "",
        ] {
            assert!(!is_date_or_time(text), "{text}");
        }
    }
}
