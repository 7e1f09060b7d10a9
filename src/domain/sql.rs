//! Prints a [`Plan`] as SQL over a row, with every value bound.
//!
//! Identifiers come from the registry, never from the domain's text, and are quoted; the text's values become parameters
//! `$n` of an explicit type. Equal values share one parameter, so that a thousand subscriptions stay one statement.

use std::collections::HashMap;
use std::fmt::Write as _;

use bytes::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::check::TypedDomain;
use super::plan::{Bound, Inherited, Members, Plan, Query, Scalar, Source};

/// What the row source offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Row {
    /// The model's own table: inherited columns are read from the parent's table.
    #[default]
    Table,
    /// A captured row: own columns, and inherited ones beside them under the names of [`inherited_column`].
    Image,
}

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

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("d{}", self.aliases)
    }

    /// The typed expression of a bound value.
    fn bind(&mut self, bound: &Bound) -> String {
        let (value, cast) = match bound {
            Bound::Bool(value) => (Param::Bool(*value), "bool"),
            Bound::Int4(number) => (Param::Int4(*number), "int4"),
            Bound::Int8(number) => (Param::Int8(*number), "int8"),
            Bound::Float8(number) => (Param::Float8(*number), "float8"),
            Bound::Numeric(digits) => (Param::Text(digits.clone()), "text::numeric"),
            Bound::Text(text) => (Param::Text(text.clone()), "text"),
            Bound::Date(text) => (Param::Text(text.clone()), "text::date"),
            Bound::Timestamp(text) => (Param::Text(text.clone()), "text::timestamp"),
            Bound::Json(value) => (Param::Text(value.to_string()), "text::jsonb"),
            Bound::Bools(values) => (Param::Bools(values.clone()), "bool[]"),
            Bound::Ints(numbers) => match narrow(numbers) {
                Some(numbers) => (Param::Int4s(numbers), "int4[]"),
                None => (Param::Int8s(numbers.clone()), "int8[]"),
            },
            Bound::Floats(numbers) => (Param::Floats(numbers.clone()), "float8[]"),
            Bound::Numerics(digits) => (Param::Texts(digits.clone()), "text[]::numeric[]"),
            Bound::Texts(texts) => (Param::Texts(texts.clone()), "text[]"),
            Bound::Dates(texts) => (Param::Texts(texts.clone()), "text[]::date[]"),
            Bound::Timestamps(texts) => (Param::Texts(texts.clone()), "text[]::timestamp[]"),
        };
        format!("{}::{cast}", self.push(value))
    }

    fn text(&mut self, text: &str) -> String {
        format!("{}::text", self.push(Param::Text(text.to_owned())))
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

/// Compiles a domain into a boolean expression over the row source named `row_alias`.
///
/// The row source has the record's own stored columns under their names and types. Placeholders go on from `params`.
pub fn compile(domain: &TypedDomain, row_alias: &str, params: &mut Params, row: Row) -> String {
    let mut printer = Printer {
        params,
        out: String::new(),
    };
    let scope = Scope {
        alias: quote(row_alias),
        prefix: None,
        image: row == Row::Image,
        positive: true,
    };
    printer.plan(domain.plan(), &scope);
    printer.out
}

/// The name under which a captured row ([`Row::Image`]) carries an inherited column.
///
/// A point keeps it apart from every own column; the link comes first because two parents may share a column's name.
pub fn inherited_column(inherited: &Inherited) -> String {
    inherited_name(&inherited.link, &inherited.column)
}

fn inherited_name(link: &str, column: &str) -> String {
    format!("{link}.{column}")
}

/// An identifier between double quotes.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// A table of Odoo's schema.
fn table(name: &str) -> String {
    format!("public.{}", quote(name))
}

/// What the current row is.
#[derive(Clone)]
struct Scope {
    /// Its alias, quoted.
    alias: String,
    /// In an image: the link whose parent's columns are meant.
    prefix: Option<String>,
    /// True for an image, whose inherited columns stand beside its own.
    image: bool,
    /// True where null and false come to the same: no negation stands above.
    positive: bool,
}

impl Scope {
    fn column(&self, name: &str) -> String {
        match &self.prefix {
            None => format!("{}.{}", self.alias, quote(name)),
            Some(link) => format!("{}.{}", self.alias, quote(&inherited_name(link, name))),
        }
    }

    fn table(alias: String) -> Self {
        Self {
            alias,
            prefix: None,
            image: false,
            positive: true,
        }
    }
}

struct Printer<'a> {
    params: &'a mut Params,
    out: String,
}

impl Printer<'_> {
    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn plan(&mut self, plan: &Plan, scope: &Scope) {
        match plan {
            Plan::Const(Some(true)) => self.push("true"),
            Plan::Const(Some(false)) => self.push("false"),
            Plan::Const(None) => self.push("null::bool"),
            Plan::Not(inner) => {
                self.push("(not ");
                self.plan(
                    inner,
                    &Scope {
                        positive: false,
                        ..scope.clone()
                    },
                );
                self.push(")");
            }
            Plan::Untrue(inner) => {
                self.push("(");
                self.plan(
                    inner,
                    &Scope {
                        positive: false,
                        ..scope.clone()
                    },
                );
                self.push(" is not true)");
            }
            // Without a negation above, null and false come to the same.
            Plan::Settled { plan, .. } if scope.positive => self.plan(plan, scope),
            Plan::Settled { plan, column } => {
                let condition = self.condition(plan, scope);
                let column = scope.column(column);
                let _ = write!(
                    self.out,
                    "({condition} and ({column} is not null or {condition} is true))"
                );
            }
            Plan::All(items) => self.joined(items, " and ", scope),
            Plan::Any(items) => self.joined(items, " or ", scope),
            Plan::Compare { left, operator, right } => {
                let (left, right) = (self.scalar(left, scope), self.params.bind(right));
                let _ = write!(self.out, "({left} {} {right})", operator.sql());
            }
            Plan::Like {
                left,
                pattern,
                ignore_case,
                unaccent,
                negated,
            } => {
                let (mut left, mut right) = (self.scalar(left, scope), self.params.text(pattern));
                if *unaccent {
                    left = format!("public.unaccent({left})");
                    right = format!("public.unaccent({right})");
                }
                let not = if *negated { "not " } else { "" };
                let like = if *ignore_case { "ilike" } else { "like" };
                let _ = write!(self.out, "({left} {not}{like} {right})");
            }
            Plan::IsNull(scalar) => {
                let scalar = self.scalar(scalar, scope);
                let _ = write!(self.out, "({scalar} is null)");
            }
            Plan::NotNull(scalar) => {
                let scalar = self.scalar(scalar, scope);
                let _ = write!(self.out, "({scalar} is not null)");
            }
            Plan::OneOf { left, values, negated } => {
                let (left, values) = (self.scalar(left, scope), self.params.bind(values));
                let _ = match negated {
                    false => write!(self.out, "({left} = any ({values}))"),
                    true => write!(self.out, "({left} <> all ({values}))"),
                };
            }
            Plan::InQuery { left, query, negated } => {
                let left = self.scalar(left, scope);
                let query = self.query(query);
                let not = if *negated { "not " } else { "" };
                let _ = write!(self.out, "({left} {not}in ({query}))");
            }
            Plan::Exists(query) => {
                let query = self.query(query);
                let _ = write!(self.out, "(exists ({query}))");
            }
            Plan::Linked {
                table,
                own,
                other,
                to,
                negated,
            } => self.linked(table, own, other, to.as_ref(), *negated, scope),
            Plan::Joined {
                link,
                table,
                inherits,
                plan,
            } => self.join(link, table, inherits.as_ref(), plan, scope),
            Plan::UnderPaths { table: tree, roots } => {
                let alias = self.params.alias();
                let roots = self.members(roots);
                let _ = write!(
                    self.out,
                    "({} like any (array(select {alias}.parent_path || '%' from {} {alias} where {alias}.id {roots})))",
                    scope.column("parent_path"),
                    table(tree),
                );
            }
            Plan::Contains {
                left,
                right,
                left_contains,
            } => {
                let (left, right) = (self.scalar(left, scope), self.params.bind(right));
                let operator = if *left_contains { "@>" } else { "<@" };
                let _ = write!(self.out, "({left} {operator} {right})");
            }
            Plan::HasKey { left, key } => {
                let (left, key) = (self.scalar(left, scope), self.params.text(key));
                let _ = write!(self.out, "({left} ? {key})");
            }
        }
    }

    fn joined(&mut self, items: &[Plan], operator: &str, scope: &Scope) {
        self.push("(");
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.push(operator);
            }
            self.plan(item, scope);
        }
        self.push(")");
    }

    /// A condition printed apart, to be placed inside a larger text.
    fn condition(&mut self, plan: &Plan, scope: &Scope) -> String {
        let before = std::mem::take(&mut self.out);
        self.plan(plan, scope);
        std::mem::replace(&mut self.out, before)
    }

    fn linked(&mut self, name: &str, own: &str, other: &str, to: Option<&Members>, negated: bool, scope: &Scope) {
        let alias = self.params.alias();
        let members = to.map(|members| self.members(members));
        let _ = write!(
            self.out,
            "({}exists (select from {} {alias} where {alias}.{} = {}",
            if negated { "not " } else { "" },
            table(name),
            quote(own),
            scope.column("id"),
        );
        if let Some(members) = members {
            let _ = write!(self.out, " and {alias}.{} {members}", quote(other));
        }
        self.push("))");
    }

    fn join(&mut self, link: &Scalar, name: &str, inherits: Option<&(String, String)>, plan: &Plan, scope: &Scope) {
        if let (Some((link, _)), true) = (inherits, scope.image) {
            // The image carries the parent's columns itself.
            return self.plan(
                plan,
                &Scope {
                    prefix: Some(link.clone()),
                    image: false,
                    ..scope.clone()
                },
            );
        }
        let link = self.scalar(link, scope);
        let alias = self.params.alias();
        let inner = Scope {
            positive: scope.positive,
            ..Scope::table(alias.clone())
        };
        let condition = self.condition(plan, &inner);
        let name = table(name);
        if inherits.is_some() && scope.positive {
            // The parent's record always exists, and null counts as false here: a semi-join gives the same rows, faster.
            let _ = write!(
                self.out,
                "({link} in (select {alias}.id from {name} {alias} where {condition}))"
            );
        } else {
            let _ = write!(
                self.out,
                "(select {condition} from (select) one left join {name} {alias} on {alias}.id = {link})"
            );
        }
    }

    fn members(&mut self, members: &Members) -> String {
        match members {
            Members::Ids(ids) => {
                let ids = self.params.bind(&Bound::Ints(ids.iter().copied().map(Some).collect()));
                format!("= any ({ids})")
            }
            Members::Query(query) => format!("in ({})", self.query(query)),
        }
    }

    fn query(&mut self, query: &Query) -> String {
        let alias = self.params.alias();
        let source = self.source(&query.source);
        let scope = Scope::table(alias.clone());
        let output = self.scalar(&query.output, &scope);
        let mut text = format!("select {output} from {source} {alias}");
        if query.filter != Plan::TRUE {
            let filter = self.condition(&query.filter, &scope);
            let _ = write!(text, " where {filter}");
        }
        if query.output_not_null {
            text.push_str(if query.filter == Plan::TRUE { " where " } else { " and " });
            let _ = write!(text, "{output} is not null");
        }
        text
    }

    fn source(&mut self, source: &Source) -> String {
        match source {
            Source::Table(name) => table(name),
            Source::Reachable {
                table: tree,
                parent,
                down,
                roots,
            } => {
                let (walk, row) = (self.params.alias(), self.params.alias());
                let (tree, parent) = (table(tree), quote(parent));
                let roots = match roots {
                    Members::Ids(ids) => {
                        let ids = self.params.bind(&Bound::Ints(ids.iter().copied().map(Some).collect()));
                        format!("select unnest({ids})::int8")
                    }
                    Members::Query(query) => format!("select id::int8 from ({}) roots (id)", self.query(query)),
                };
                let step = match down {
                    true => {
                        format!("select {row}.id::int8 from {tree} {row} join {walk} on {row}.{parent} = {walk}.id")
                    }
                    false => format!(
                        "select {row}.{parent}::int8 from {tree} {row} join {walk} on {row}.id = {walk}.id \
                         where {row}.{parent} is not null"
                    ),
                };
                // UNION, not UNION ALL: a loop in the data ends.
                format!("(with recursive {walk} (id) as ({roots} union {step}) select id from {walk})")
            }
            Source::Ancestors { table: tree, roots } => {
                let row = self.params.alias();
                let roots = self.members(roots);
                format!(
                    "(select unnest(string_to_array(rtrim({row}.parent_path, '/'), '/'))::int8 as id from {} {row} \
                     where {row}.id {roots})",
                    table(tree)
                )
            }
        }
    }

    fn scalar(&mut self, scalar: &Scalar, scope: &Scope) -> String {
        match scalar {
            Scalar::Column(name) => scope.column(name),
            Scalar::Translated { column, languages } => {
                let column = scope.column(column);
                let texts: Vec<String> = languages
                    .iter()
                    .map(|language| format!("{column} ->> {}", self.params.text(language)))
                    .collect();
                match texts.as_slice() {
                    [only] => format!("({only})"),
                    several => format!("coalesce({})", several.join(", ")),
                }
            }
            Scalar::PerCompany {
                column,
                company,
                fallback,
                sql_type,
            } => {
                let stored = format!("{} -> {}", scope.column(column), self.params.text(&company.to_string()));
                let value = match fallback {
                    None => format!("({stored})"),
                    Some(fallback) => format!("coalesce({stored}, to_jsonb({}))", self.params.bind(fallback)),
                };
                format!("({value} ->> 0)::{sql_type}")
            }
            Scalar::Existing { table: name, id } => {
                let (alias, id) = (self.params.alias(), self.scalar(id, scope));
                format!(
                    "(select {alias}.id from {} {alias} where {alias}.id = {id})",
                    table(name)
                )
            }
            Scalar::DatePart {
                part,
                of,
                zone,
                first_day,
            } => {
                let mut of = self.scalar(of, scope);
                if let Some(zone) = zone {
                    of = format!("timezone({}, timezone('UTC', {of}))", self.params.text(zone));
                }
                match first_day {
                    None => format!("date_part('{part}', {of})"),
                    Some(day) => format!("mod(7 - {day} + date_part('{part}', {of})::int4, 7)"),
                }
            }
            Scalar::JsonItem { column, key } => format!("({} -> {})", scope.column(column), self.params.text(key)),
            Scalar::JsonText { column, key } => format!("({} ->> {})", scope.column(column), self.params.text(key)),
            Scalar::AsText(inner) => format!("({})::text", self.scalar(inner, scope)),
        }
    }
}
