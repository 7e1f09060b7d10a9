//! A statement's parameters: values of a domain, bound as what they are.

use std::collections::HashMap;

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use crate::domain::plan::Bound;

/// A statement's parameters, numbered as they come; equal ones are one.
#[derive(Debug, Default)]
pub struct Params {
    values: Vec<Param>,
    numbers: HashMap<String, usize>,
    aliases: usize,
    before: usize,
}

impl Params {
    /// None yet: the first will be `$1`.
    pub fn new() -> Self {
        Self::default()
    }

    /// None yet, in a statement whose first `before` parameters are others: the first will be `$before+1`.
    pub fn starting_after(before: usize) -> Self {
        Self {
            before,
            ..Self::default()
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True before the first.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The values in order.
    pub fn values(&self) -> &[Param] {
        &self.values
    }

    /// The values in order, as `tokio_postgres` takes them.
    pub fn as_sql(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
    }

    /// Their types in order.
    pub fn types(&self) -> Vec<Type> {
        self.values.iter().map(Param::pg_type).collect()
    }

    /// Adds a value unless an equal one is there, and gives its placeholder without a cast.
    pub fn push(&mut self, value: Param) -> String {
        // Debug of an f64 is exact, and the variant's name keeps types apart.
        let key = format!("{value:?}");
        let next = self.before + self.values.len() + 1;
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.values.push(value);
        }
        format!("${number}")
    }

    pub(super) fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("d{}", self.aliases)
    }

    /// The typed expression of a bound value.
    pub(super) fn bind(&mut self, bound: &Bound) -> String {
        let (value, cast) = match bound {
            Bound::Bool(value) => (Param::Bool(*value), "pg_catalog.bool"),
            Bound::Int4(number) => (Param::Int4(*number), "pg_catalog.int4"),
            Bound::Int8(number) => (Param::Int8(*number), "pg_catalog.int8"),
            Bound::Float8(number) => (Param::Float8(*number), "pg_catalog.float8"),
            Bound::Numeric(digits) => (Param::Text(digits.clone()), "pg_catalog.text::pg_catalog.numeric"),
            Bound::Text(text) => (Param::Text(text.clone()), "pg_catalog.text"),
            Bound::Date(text) => (Param::Text(text.clone()), "pg_catalog.text::pg_catalog.date"),
            Bound::Timestamp(text) => (Param::Text(text.clone()), "pg_catalog.text::pg_catalog.timestamp"),
            Bound::Json(value) => (Param::Text(value.to_string()), "pg_catalog.text::pg_catalog.jsonb"),
            Bound::Bools(values) => (Param::Bools(values.clone()), "pg_catalog.bool[]"),
            Bound::Ints(numbers) => match narrow(numbers) {
                Some(numbers) => (Param::Int4s(numbers), "pg_catalog.int4[]"),
                None => (Param::Int8s(numbers.clone()), "pg_catalog.int8[]"),
            },
            Bound::Floats(numbers) => (Param::Floats(numbers.clone()), "pg_catalog.float8[]"),
            Bound::Numerics(digits) => (Param::Texts(digits.clone()), "pg_catalog.text[]::pg_catalog.numeric[]"),
            Bound::Texts(texts) => (Param::Texts(texts.clone()), "pg_catalog.text[]"),
            Bound::Dates(texts) => (Param::Texts(texts.clone()), "pg_catalog.text[]::pg_catalog.date[]"),
            Bound::Timestamps(texts) => (Param::Texts(texts.clone()), "pg_catalog.text[]::pg_catalog.timestamp[]"),
        };
        format!("{}::{cast}", self.push(value))
    }

    pub(super) fn text(&mut self, text: &str) -> String {
        format!("{}::pg_catalog.text", self.push(Param::Text(text.to_owned())))
    }
}

/// The numbers as int4 if all of them fit: that is the type of ids, and keeps indexes usable.
fn narrow(numbers: &[Option<i64>]) -> Option<Vec<Option<i32>>> {
    numbers
        .iter()
        .map(|number| number.map(i32::try_from).transpose().ok())
        .collect()
}

/// One parameter.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variants are PostgreSQL's types")]
pub enum Param {
    Bool(bool),
    Int4(i32),
    Int8(i64),
    Float8(f64),
    Text(String),
    Bools(Vec<bool>),
    Int4s(Vec<Option<i32>>),
    Int8s(Vec<Option<i64>>),
    Floats(Vec<f64>),
    Texts(Vec<String>),
    NullableTexts(Vec<Option<String>>),
}

impl Param {
    fn pg_type(&self) -> Type {
        match self {
            Self::Bool(_) => Type::BOOL,
            Self::Int4(_) => Type::INT4,
            Self::Int8(_) => Type::INT8,
            Self::Float8(_) => Type::FLOAT8,
            Self::Text(_) => Type::TEXT,
            Self::Bools(_) => Type::BOOL_ARRAY,
            Self::Int4s(_) => Type::INT4_ARRAY,
            Self::Int8s(_) => Type::INT8_ARRAY,
            Self::Floats(_) => Type::FLOAT8_ARRAY,
            Self::Texts(_) | Self::NullableTexts(_) => Type::TEXT_ARRAY,
        }
    }
}

impl ToSql for Param {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Bool(value) => value.to_sql(ty, out),
            Self::Int4(value) => value.to_sql(ty, out),
            Self::Int8(value) => value.to_sql(ty, out),
            Self::Float8(value) => value.to_sql(ty, out),
            Self::Text(value) => value.to_sql(ty, out),
            Self::Bools(value) => value.to_sql(ty, out),
            Self::Int4s(value) => value.to_sql(ty, out),
            Self::Int8s(value) => value.to_sql(ty, out),
            Self::Floats(value) => value.to_sql(ty, out),
            Self::Texts(value) => value.to_sql(ty, out),
            Self::NullableTexts(value) => value.to_sql(ty, out),
        }
    }

    // Every placeholder carries a cast to exactly this type, so the server cannot have inferred another.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
