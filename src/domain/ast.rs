//! A parsed domain: what was written, with nothing looked up yet.
//!
//! [`std::fmt::Display`] prints it as a Python literal in Odoo's prefix notation; parsing that gives an equal tree back.

use std::fmt;

use super::error::Span;
use super::expr::Expr;

/// A condition on records.
#[derive(Debug, Clone, PartialEq)]
pub enum Domain {
    /// True for all (`[]`, `(1, '=', 1)`) or for none (`(0, '=', 1)`).
    Const(bool),
    /// `(field, operator, value)`.
    Leaf(Leaf),
    /// `'!'`.
    Not(Box<Domain>),
    /// `'&'` or juxtaposition; two or more, none of them an `And`.
    And(Vec<Domain>),
    /// `'|'`; two or more, none of them an `Or`.
    Or(Vec<Domain>),
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// The field or dotted path, as written.
    pub path: String,
    /// How they are compared.
    pub operator: Operator,
    /// What it is compared with.
    pub value: Value,
    /// Where its parts stand in the text.
    pub spans: Spans,
}

/// Where the parts of a leaf stand. Equal to any other: a place is no part of the meaning.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spans {
    /// The path.
    pub path: Span,
    /// The operator.
    pub operator: Span,
    /// The value.
    pub value: Span,
}

impl PartialEq for Spans {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Odoo's operators, of all versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the variants are Odoo's own operators, see Operator::symbol")]
pub enum Operator {
    Eq,
    Ne,
    /// `<>`, which is `!=` but for how a negation in front of it is meant.
    Differs,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
    Like,
    NotLike,
    Ilike,
    NotIlike,
    EqLike,
    NotEqLike,
    EqIlike,
    NotEqIlike,
    Unset,
    ChildOf,
    ParentOf,
    Any,
    NotAny,
}

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None` or `null`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number beyond 64 bits: its digits, with the sign.
    BigInt(String),
    /// A finite number with a fraction or an exponent.
    Float(f64),
    /// Text.
    Str(String),
    /// A list or tuple.
    List(Vec<Value>),
    /// The domain of `any` and `not any`.
    Domain(Box<Domain>),
    /// Something to be computed when the domain is used: `uid`, `context_today()`.
    Expr(Expr),
}

impl Value {
    fn depends_on_time(&self) -> bool {
        match self {
            Self::Expr(expr) => expr.depends_on_time(),
            Self::List(items) => items.iter().any(Self::depends_on_time),
            Self::Domain(domain) => domain.depends_on_time(),
            _ => false,
        }
    }
}

impl Operator {
    /// All operators with their spelling.
    pub const ALL: [(Self, &'static str); 22] = [
        (Self::Eq, "="),
        (Self::Ne, "!="),
        (Self::Differs, "<>"),
        (Self::Lt, "<"),
        (Self::Le, "<="),
        (Self::Gt, ">"),
        (Self::Ge, ">="),
        (Self::In, "in"),
        (Self::NotIn, "not in"),
        (Self::Like, "like"),
        (Self::NotLike, "not like"),
        (Self::Ilike, "ilike"),
        (Self::NotIlike, "not ilike"),
        (Self::EqLike, "=like"),
        (Self::NotEqLike, "not =like"),
        (Self::EqIlike, "=ilike"),
        (Self::NotEqIlike, "not =ilike"),
        (Self::Unset, "=?"),
        (Self::ChildOf, "child_of"),
        (Self::ParentOf, "parent_of"),
        (Self::Any, "any"),
        (Self::NotAny, "not any"),
    ];

    /// The operator spelt `text`.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, symbol)| *symbol == text)
            .map(|(operator, _)| *operator)
    }

    /// Its spelling.
    pub fn symbol(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(operator, _)| *operator == self)
            .map_or("=", |(_, symbol)| symbol)
    }

    /// The operator that matches exactly what this one does not, where there is one.
    pub fn negated(self) -> Option<Self> {
        Some(match self {
            Self::Eq => Self::Ne,
            Self::Ne | Self::Differs => Self::Eq,
            Self::Lt => Self::Ge,
            Self::Ge => Self::Lt,
            Self::Gt => Self::Le,
            Self::Le => Self::Gt,
            Self::In => Self::NotIn,
            Self::NotIn => Self::In,
            Self::Like => Self::NotLike,
            Self::NotLike => Self::Like,
            Self::Ilike => Self::NotIlike,
            Self::NotIlike => Self::Ilike,
            Self::NotEqLike => Self::EqLike,
            Self::NotEqIlike => Self::EqIlike,
            Self::Any => Self::NotAny,
            Self::NotAny => Self::Any,
            Self::EqLike | Self::EqIlike | Self::Unset | Self::ChildOf | Self::ParentOf => return None,
        })
    }

    /// True for `!=` and the `not ..` ones.
    pub fn is_negative(self) -> bool {
        matches!(
            self,
            Self::Ne
                | Self::Differs
                | Self::NotIn
                | Self::NotLike
                | Self::NotIlike
                | Self::NotEqLike
                | Self::NotEqIlike
        )
    }

    /// True where Odoo puts `%` around the value.
    pub fn has_wildcards(self) -> bool {
        matches!(self, Self::Like | Self::NotLike | Self::Ilike | Self::NotIlike)
    }

    /// True for every operator that matches patterns.
    pub fn is_pattern(self) -> bool {
        self.has_wildcards() || matches!(self, Self::EqLike | Self::NotEqLike | Self::EqIlike | Self::NotEqIlike)
    }

    /// True for `<`, `<=`, `>` and `>=`.
    pub fn is_inequality(self) -> bool {
        matches!(self, Self::Lt | Self::Le | Self::Gt | Self::Ge)
    }
}

impl Domain {
    /// All of them; flattened, so that `And` never holds an `And`.
    pub fn and(items: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for item in items {
            match item {
                Self::And(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.len() {
            0 => Self::Const(true),
            1 => flat.remove(0),
            _ => Self::And(flat),
        }
    }

    /// Any of them; flattened, so that `Or` never holds an `Or`.
    pub fn or(items: impl IntoIterator<Item = Self>) -> Self {
        let mut flat = Vec::new();
        for item in items {
            match item {
                Self::Or(inner) => flat.extend(inner),
                other => flat.push(other),
            }
        }
        match flat.len() {
            0 => Self::Const(false),
            1 => flat.remove(0),
            _ => Self::Or(flat),
        }
    }

    /// Whether it means something else at another time: it speaks of `context_today()` or the like.
    pub fn depends_on_time(&self) -> bool {
        match self {
            Self::Const(_) => false,
            Self::Leaf(leaf) => leaf.value.depends_on_time(),
            Self::Not(inner) => inner.depends_on_time(),
            Self::And(items) | Self::Or(items) => items.iter().any(Self::depends_on_time),
        }
    }

    /// A leaf that no text was read for.
    pub fn leaf(path: impl Into<String>, operator: Operator, value: Value) -> Self {
        Self::Leaf(Leaf {
            path: path.into(),
            operator,
            value,
            spans: Spans::default(),
        })
    }

    fn write_terms(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Const(value) => write!(f, "({}, '=', 1)", i32::from(*value)),
            Self::Leaf(leaf) => write!(f, "{leaf}"),
            Self::Not(inner) => {
                f.write_str("'!', ")?;
                inner.write_terms(f)
            }
            Self::And(items) => write_joined(f, "'&', ", items),
            Self::Or(items) => write_joined(f, "'|', ", items),
        }
    }
}

fn write_joined(f: &mut fmt::Formatter<'_>, operator: &str, items: &[Domain]) -> fmt::Result {
    for _ in 1..items.len() {
        f.write_str(operator)?;
    }
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        item.write_terms(f)?;
    }
    Ok(())
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        self.write_terms(f)?;
        f.write_str("]")
    }
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "({}, '{}', {})",
            Quoted(&self.path),
            self.operator.symbol(),
            self.value
        )
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Int(number) => number.fmt(f),
            Self::BigInt(digits) => digits.fmt(f),
            Self::Float(number) => f.write_str(&python_float(*number)),
            Self::Str(text) => Quoted(text).fmt(f),
            Self::List(items) => {
                f.write_str("[")?;
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        f.write_str(", ")?;
                    }
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
            Self::Domain(domain) => domain.fmt(f),
            Self::Expr(expr) => expr.fmt(f),
        }
    }
}

/// A string as a Python literal.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("'")?;
        for c in self.0.chars() {
            match c {
                '\'' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() && (c as u32) < 0x100 => write!(f, "\\x{:02x}", c as u32)?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("'")
    }
}

/// A number as Python's `repr` writes it: the shortest digits that read back, with a point or an exponent.
pub(crate) fn python_float(number: f64) -> String {
    let plain = format!("{number:?}");
    let magnitude = number.abs();
    if number == 0.0 || (1e-4..1e16).contains(&magnitude) {
        // Rust's Debug switches to an exponent earlier than Python does.
        let text = format!("{number}");
        return if text.contains('.') { text } else { format!("{text}.0") };
    }
    // Rust: 1e16, 1.5e-7; Python: 1e+16, 1.5e-07.
    let Some((mantissa, exponent)) = plain.split_once('e') else {
        let scientific = format!("{number:e}");
        return python_exponent(&scientific).unwrap_or(plain);
    };
    python_exponent(&format!("{mantissa}e{exponent}")).unwrap_or(plain)
}

fn python_exponent(text: &str) -> Option<String> {
    let (mantissa, exponent) = text.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let sign = if exponent < 0 { '-' } else { '+' };
    Some(format!(
        "{}e{sign}{:02}",
        mantissa.trim_end_matches(".0"),
        exponent.abs()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_reads_back_from_its_spelling() {
        for (operator, symbol) in Operator::ALL {
            assert_eq!(Operator::parse(symbol), Some(operator));
        }
        assert_eq!(Operator::parse("IN"), None);
    }

    #[test]
    fn numbers_are_written_as_python_writes_them() {
        let cases = [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (1.5e-7, "1.5e-07"),
            (123456.789, "123456.789"),
            (1e22, "1e+22"),
        ];
        for (number, text) in cases {
            assert_eq!(python_float(number), text);
        }
    }

    #[test]
    fn nested_ands_are_one_and() {
        let leaf = |name: &str| Domain::leaf(name, Operator::Eq, Value::Int(1));
        let nested = Domain::and([Domain::and([leaf("a"), leaf("b")]), leaf("c")]);
        assert_eq!(
            nested.to_string(),
            "['&', '&', ('a', '=', 1), ('b', '=', 1), ('c', '=', 1)]"
        );
    }
}
