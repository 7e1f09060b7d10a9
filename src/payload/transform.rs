//! Simple changes of a value on its way into the body: `amount_total|round(2)`, `note|default("none")`.
//!
//! | transformation | of | gives |
//! | --- | --- | --- |
//! | `upper`, `lower`, `trim`, `truncate(n)` | text | text; cut to n characters, the last one then being `…` |
//! | `date("%d.%m.%Y")` | a date or a time, UTC | text, in the format of strftime |
//! | `round(n)`, `times(x)` | a number | a number, n decimals |
//! | `int` | a number | a whole number, the decimals cut off |
//! | `string` | anything but lists | its text; an empty value gives an empty text |
//! | `default(x)` | anything | x where it is empty: null, an empty text or an empty list |
//! | `first`, `last`, `length`, `join(", ")` | a list | one of its values, their number, one text |
//!
//! Of a list, the first five lines change each value. What does not fit a field's type is refused when the subscription is looked at.

use std::fmt;

use serde_json::{Number, Value};

use super::decimal::Decimal;
use super::sandbox;

/// One change of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Transform {
    /// Capital letters.
    Upper,
    /// Small letters.
    Lower,
    /// Without white space at both ends.
    Trim,
    /// To so many characters.
    Truncate(usize),
    /// A date or time in this strftime format.
    Date(String),
    /// To so many decimals.
    Round(u32),
    /// Multiplied.
    Times(f64),
    /// Without decimals.
    Int,
    /// As text.
    Text,
    /// In place of nothing.
    Default(Value),
    /// The first of a list.
    First,
    /// The last of a list.
    Last,
    /// How many a list has.
    Length,
    /// A list as one text.
    Join(String),
}

/// What is known of a value before it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Of the value, or of each value of a list.
    pub kind: Kind,
    /// A list of such values.
    pub list: bool,
}

/// The kinds of values that transformations tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Texts, selections, references.
    Text,
    /// Numbers.
    Number,
    /// True or false.
    Boolean,
    /// A date or a time.
    Moment,
    /// Objects, and what is not known.
    Other,
}

impl Transform {
    /// The transformation of this name.
    ///
    /// # Errors
    /// A sentence: there is none, or its arguments are not what it takes.
    pub fn new(name: &str, arguments: &[Value]) -> Result<Self, String> {
        /// Digits a double has; more decimals change nothing.
        const MOST_DECIMALS: u64 = 15;
        let takes = |what: &str| Err(format!("{name} takes {what}"));
        Ok(match (name, arguments) {
            ("upper", []) => Self::Upper,
            ("lower", []) => Self::Lower,
            ("trim", []) => Self::Trim,
            ("int", []) => Self::Int,
            ("string", []) => Self::Text,
            ("first", []) => Self::First,
            ("last", []) => Self::Last,
            ("length", []) => Self::Length,
            ("default", [value]) => Self::Default(value.clone()),
            ("join", [Value::String(separator)]) => Self::Join(separator.clone()),
            ("times", [Value::Number(factor)]) => Self::Times(factor.as_f64().unwrap_or(1.0)),
            ("truncate", [length]) => match length.as_u64().and_then(|n| usize::try_from(n).ok()) {
                Some(length) if length > 0 => Self::Truncate(length),
                _ => return takes("a number of characters"),
            },
            ("round", []) => Self::Round(0),
            ("round", [decimals]) => match decimals.as_u64().filter(|n| *n <= MOST_DECIMALS) {
                Some(decimals) => Self::Round(u32::try_from(decimals).unwrap_or(0)),
                None => return takes("a number of decimals, 0 to 15"),
            },
            ("date", [Value::String(format)]) => {
                if sandbox::format_date("2026-11-20 12:00:00", format).is_err() {
                    return takes("a format as of strftime: \"%d.%m.%Y\"");
                }
                Self::Date(format.clone())
            }
            ("upper" | "lower" | "trim" | "int" | "string" | "first" | "last" | "length", _) => {
                return takes("no argument");
            }
            ("default", _) => return takes("one value"),
            ("join", _) => return takes("one text, to be put between the values"),
            ("times", _) => return takes("one number"),
            ("truncate", _) => return takes("a number of characters"),
            ("round", _) => return takes("a number of decimals, 0 to 15"),
            ("date", _) => return takes("a format as of strftime: \"%d.%m.%Y\""),
            _ => return Err(format!("there is no transformation \"{name}\"")),
        })
    }

    /// What it makes of a value of that shape.
    ///
    /// # Errors
    /// A sentence: it does not fit.
    pub fn shape(&self, before: Shape) -> Result<Shape, String> {
        let of = |kind: Kind| Shape { kind, ..before };
        let fits = |fits: bool, what: &str, after: Shape| {
            if fits {
                Ok(after)
            } else {
                Err(format!("{self} is for {what}"))
            }
        };
        match self {
            Self::Upper | Self::Lower | Self::Trim | Self::Truncate(_) => {
                fits(before.kind == Kind::Text, "texts", of(Kind::Text))
            }
            Self::Date(_) => fits(before.kind == Kind::Moment, "dates and times", of(Kind::Text)),
            Self::Round(_) | Self::Times(_) | Self::Int => {
                fits(before.kind == Kind::Number, "numbers", of(Kind::Number))
            }
            Self::Text => fits(before.kind != Kind::Other, "single values", of(Kind::Text)),
            Self::Default(value) => Ok(if kind_of(value) == Some(before.kind) || value.is_null() {
                before
            } else {
                of(Kind::Other)
            }),
            Self::First | Self::Last => fits(before.list, "lists", Shape { list: false, ..before }),
            Self::Length => fits(
                before.list,
                "lists",
                Shape {
                    kind: Kind::Number,
                    list: false,
                },
            ),
            Self::Join(_) => fits(
                before.list && before.kind != Kind::Other,
                "lists of single values",
                Shape {
                    kind: Kind::Text,
                    list: false,
                },
            ),
        }
    }

    /// Changes a value; one that is empty stays so, but for `default`, `string` and `length`.
    #[must_use]
    pub fn apply(&self, value: Value) -> Value {
        match (self, value) {
            (Self::Default(other), value) => {
                let is_empty = match &value {
                    Value::Null => true,
                    Value::String(text) => text.is_empty(),
                    Value::Array(items) => items.is_empty(),
                    _ => false,
                };
                if is_empty { other.clone() } else { value }
            }
            (Self::First, Value::Array(items)) => items.into_iter().next().unwrap_or(Value::Null),
            (Self::Last, Value::Array(items)) => items.into_iter().next_back().unwrap_or(Value::Null),
            (Self::Length, Value::Array(items)) => items.len().into(),
            (Self::Join(separator), Value::Array(items)) => {
                items.iter().map(text_of).collect::<Vec<_>>().join(separator).into()
            }
            (_, Value::Array(items)) => items.into_iter().map(|item| self.apply(item)).collect(),
            (Self::Text, value) => text_of(&value).into(),
            (Self::Upper, Value::String(text)) => text.to_uppercase().into(),
            (Self::Lower, Value::String(text)) => text.to_lowercase().into(),
            (Self::Trim, Value::String(text)) => text.trim().into(),
            (Self::Truncate(most), Value::String(text)) => truncate(text, *most).into(),
            (Self::Date(format), Value::String(text)) => {
                sandbox::format_date(&text, format).map_or(Value::Null, Value::String)
            }
            (Self::Round(decimals), Value::Number(number)) => changed(number, |n| Some(n.rounded(*decimals))),
            (Self::Times(factor), Value::Number(number)) => {
                changed(number, |n| Some(n.times(&Decimal::of_double(*factor)?)))
            }
            (Self::Int, Value::Number(number)) => whole(number),
            (_, value) => value,
        }
    }
}

/// A number is changed by its digits, however many: as a double a large one would come out as another.
fn changed(number: Number, change: impl Fn(&Decimal) -> Option<Decimal>) -> Value {
    let Some(before) = Decimal::parse(&number.to_string()) else {
        return Value::Number(number);
    };
    match change(&before) {
        Some(after) if after == before => Value::Number(number),
        after => after
            .and_then(|after| after.number())
            .map_or(Value::Null, Value::Number),
    }
}

fn whole(number: Number) -> Value {
    if number.is_i64() || number.is_u64() {
        return Value::Number(number);
    }
    let cut = Decimal::parse(&number.to_string()).map(|n| n.truncated());
    cut.and_then(|cut| cut.to_string().parse().ok())
        .map_or(Value::Null, Value::Number)
}

fn truncate(text: String, most: usize) -> String {
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn kind_of(value: &Value) -> Option<Kind> {
    match value {
        Value::String(_) => Some(Kind::Text),
        Value::Number(_) => Some(Kind::Number),
        Value::Bool(_) => Some(Kind::Boolean),
        _ => None,
    }
}

/// As it is written: `round(2)`.
impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str| Value::from(text).to_string();
        match self {
            Self::Upper => f.write_str("upper"),
            Self::Lower => f.write_str("lower"),
            Self::Trim => f.write_str("trim"),
            Self::Truncate(most) => write!(f, "truncate({most})"),
            Self::Date(format) => write!(f, "date({})", text(format)),
            Self::Round(decimals) => write!(f, "round({decimals})"),
            Self::Times(factor) => write!(f, "times({factor})"),
            Self::Int => f.write_str("int"),
            Self::Text => f.write_str("string"),
            Self::Default(value) => write!(f, "default({value})"),
            Self::First => f.write_str("first"),
            Self::Last => f.write_str("last"),
            Self::Length => f.write_str("length"),
            Self::Join(separator) => write!(f, "join({})", text(separator)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn apply(name: &str, arguments: &[Value], value: Value) -> Value {
        Transform::new(name, arguments).unwrap().apply(value)
    }

    #[test]
    fn each_changes_what_it_is_for() {
        for (name, arguments, before, after) in [
            ("upper", vec![], json!("größe"), json!("GRÖSSE")),
            ("trim", vec![], json!(" a\n"), json!("a")),
            ("truncate", vec![json!(3)], json!("größer"), json!("gr…")),
            ("truncate", vec![json!(3)], json!("gro"), json!("gro")),
            (
                "date",
                vec![json!("%d.%m.%Y")],
                json!("2026-11-20 12:00:00"),
                json!("20.11.2026"),
            ),
            ("date", vec![json!("%Y")], json!("2026-11-20"), json!("2026")),
            ("round", vec![json!(1)], json!(2.25), json!(2.3)),
            ("round", vec![json!(2)], json!(1e22), json!(1e22)),
            ("round", vec![json!(2)], json!(1.7e308), json!(1.7e308)),
            (
                "round",
                vec![json!(2)],
                json!(9_007_199_254_740_993_i64),
                json!(9_007_199_254_740_993_i64),
            ),
            ("times", vec![json!(3)], json!(0.1), json!(0.3)),
            ("int", vec![], json!(1e22), json!(10_000_000_000_000_000_000_000_i128)),
            ("times", vec![json!(100)], json!(12.5), json!(1250.0)),
            ("int", vec![], json!(-12.9), json!(-12)),
            (
                "int",
                vec![],
                json!(9_007_199_254_740_993_i64),
                json!(9_007_199_254_740_993_i64),
            ),
            ("string", vec![], json!(12.5), json!("12.5")),
            ("string", vec![], json!(null), json!("")),
            ("default", vec![json!("none")], json!(""), json!("none")),
            ("default", vec![json!([])], json!(null), json!([])),
            ("default", vec![json!(1)], json!(0), json!(0)),
            ("upper", vec![], json!(["a", null]), json!(["A", null])),
            ("first", vec![], json!([1, 2]), json!(1)),
            ("last", vec![], json!([]), json!(null)),
            ("length", vec![], json!([1, 2]), json!(2)),
            ("join", vec![json!("/")], json!(["a", null, 3]), json!("a//3")),
            ("upper", vec![], json!(null), json!(null)),
        ] {
            assert_eq!(apply(name, &arguments, before.clone()), after, "{name} of {before}");
        }
    }

    #[test]
    fn what_does_not_fit_is_said() {
        for (name, arguments, said) in [
            ("uper", vec![], "there is no transformation \"uper\""),
            ("upper", vec![json!(1)], "upper takes no argument"),
            ("round", vec![json!(99)], "round takes a number of decimals, 0 to 15"),
            ("truncate", vec![json!(0)], "truncate takes a number of characters"),
            (
                "date",
                vec![json!("%!")],
                "date takes a format as of strftime: \"%d.%m.%Y\"",
            ),
        ] {
            assert_eq!(Transform::new(name, &arguments).unwrap_err(), said);
        }
        let number = Shape {
            kind: Kind::Number,
            list: false,
        };
        assert_eq!(Transform::Upper.shape(number).unwrap_err(), "upper is for texts");
        assert_eq!(Transform::First.shape(number).unwrap_err(), "first is for lists");
        let list = Shape { list: true, ..number };
        assert_eq!(Transform::Round(1).shape(list), Ok(list));
        assert_eq!(Transform::Text.shape(list).map(|s| s.kind), Ok(Kind::Text));
    }
}
