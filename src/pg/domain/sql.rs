//! Prints a [`Plan`] as SQL over a row, with every value bound.
//!
//! Identifiers come from the registry, never from the domain's text, and are quoted; the text's values become parameters
//! `$n` of an explicit type. Equal values share one parameter, so that a thousand subscriptions stay one statement.
//!
//! Functions, operators and types are the catalogue's, and say so: in a session whose path is somebody else's (behind a pooler) others
//! could have made ones that suit better. Hence `operator(pg_catalog.=)` and none of the forms that stand for an operator without naming
//! it: `LIKE`, `IN`, `NULLIF`, `IS DISTINCT FROM`.

use std::fmt::Write as _;

pub use super::params::{Param, Params};
use crate::domain::check::TypedDomain;
use crate::domain::image::inherited_name;
use crate::domain::plan::{Bound, Members, Plan, Query, Scalar, Source};

/// What the row source offers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Row {
    /// The model's own table: inherited columns are read from the parent's table.
    #[default]
    Table,
    /// A captured row: own columns, and inherited ones beside them under the names of [`inherited_column`](crate::domain::image::inherited_column).
    Image,
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

/// An identifier between double quotes.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// An operator, the catalogue's. It binds more tightly than its name alone would, and all these alike.
fn op(symbol: &str) -> String {
    format!("operator(pg_catalog.{symbol})")
}

/// A type of a column that domains look at, as `format_type` names it. Those that the grammar itself knows are the catalogue's anyway,
/// and some of them by that name only.
pub(super) fn catalogue_type(name: &str) -> String {
    match name {
        "text" | "date" | "jsonb" | "bytea" | "bool" | "int4" | "float8" => format!("pg_catalog.{name}"),
        _ => name.to_owned(),
    }
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
                let _ = write!(self.out, "({left} {} {right})", op(operator.sql()));
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
                    // Exactly the function that the registry has looked at, not another of that name for another type.
                    left = format!("public.unaccent({left}::pg_catalog.text)");
                    right = format!("public.unaccent({right})");
                }
                let like = op(match (negated, ignore_case) {
                    (false, false) => "~~",
                    (false, true) => "~~*",
                    (true, false) => "!~~",
                    (true, true) => "!~~*",
                });
                let _ = write!(self.out, "({left} {like} {right})");
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
                    false => write!(self.out, "({left} {} any ({values}))", op("=")),
                    true => write!(self.out, "({left} {} all ({values}))", op("<>")),
                };
            }
            Plan::InQuery { left, query, negated } => {
                let left = self.scalar(left, scope);
                let query = self.query(query);
                let not = if *negated { "not " } else { "" };
                let _ = write!(self.out, "({not}{left} {} any ({query}))", op("="));
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
                    "({} {} any (array(select {alias}.parent_path {} '%' from {} {alias} where {alias}.id {roots})))",
                    scope.column("parent_path"),
                    op("~~"),
                    op("||"),
                    table(tree),
                );
            }
            Plan::Contains {
                left,
                right,
                left_contains,
            } => {
                let (left, right) = (self.scalar(left, scope), self.params.bind(right));
                let operator = op(if *left_contains { "@>" } else { "<@" });
                let _ = write!(self.out, "({left} {operator} {right})");
            }
            Plan::HasKey { left, key } => {
                let (left, key) = (self.scalar(left, scope), self.params.text(key));
                let _ = write!(self.out, "({left} {} {key})", op("?"));
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
            "({}exists (select from {} {alias} where {alias}.{} {} {}",
            if negated { "not " } else { "" },
            table(name),
            quote(own),
            op("="),
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
                "({link} {} any (select {alias}.id from {name} {alias} where {condition}))",
                op("=")
            );
        } else {
            let _ = write!(
                self.out,
                "(select {condition} from (select) one left join {name} {alias} on {alias}.id {} {link})",
                op("=")
            );
        }
    }

    fn members(&mut self, members: &Members) -> String {
        match members {
            Members::Ids(ids) => {
                let ids = self.params.bind(&Bound::Ints(ids.iter().copied().map(Some).collect()));
                format!("{} any ({ids})", op("="))
            }
            Members::Query(query) => format!("{} any ({})", op("="), self.query(query)),
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

    /// Where a walk starts, as a select of ids.
    fn roots(&mut self, roots: &Members) -> String {
        match roots {
            Members::Ids(ids) => {
                let ids = self.params.bind(&Bound::Ints(ids.iter().copied().map(Some).collect()));
                format!("select pg_catalog.unnest({ids})::pg_catalog.int8")
            }
            Members::Query(query) => format!("select id::pg_catalog.int8 from ({}) roots (id)", self.query(query)),
        }
    }

    fn source(&mut self, source: &Source) -> String {
        match source {
            Source::Table(name) => table(name),
            Source::Reachable {
                table: tree,
                parent,
                down,
                through,
                roots,
            } => {
                let (walk, row) = (self.params.alias(), self.params.alias());
                let (tree, parent) = (table(tree), quote(parent));
                let roots = self.roots(roots);
                let through = match **through {
                    Plan::Const(Some(true)) => "true".to_owned(),
                    ref through => self.condition(through, &Scope::table(row.clone())),
                };
                let step = match down {
                    true => format!(
                        "select {row}.id::pg_catalog.int8 from {tree} {row} join {walk} on {row}.{parent} {} {walk}.id where {through}",
                        op("=")
                    ),
                    false => format!(
                        "select {row}.{parent}::pg_catalog.int8 from {tree} {row} join {walk} on {row}.id {} {walk}.id \
                         where {row}.{parent} is not null and {through}",
                        op("=")
                    ),
                };
                // UNION, not UNION ALL: a loop in the data ends.
                format!("(with recursive {walk} (id) as ({roots} union {step}) select id from {walk})")
            }
            Source::ReachableByParent {
                table: tree,
                link,
                parent_table,
                parent,
                roots,
            } => {
                let (walk, row, inherited) = (self.params.alias(), self.params.alias(), self.params.alias());
                let roots = self.roots(roots);
                format!(
                    "(with recursive {walk} (id) as ({roots} union select {row}.id::pg_catalog.int8 from {} {row} \
                     join {} {inherited} on {inherited}.id {eq} {row}.{} join {walk} on {inherited}.{} {eq} {walk}.id) select id from {walk})",
                    table(tree),
                    table(parent_table),
                    quote(link),
                    quote(parent),
                    eq = op("="),
                )
            }
            Source::Ancestors { table: tree, roots } => {
                let row = self.params.alias();
                let roots = self.members(roots);
                format!(
                    "(select pg_catalog.unnest(pg_catalog.string_to_array(pg_catalog.rtrim({row}.parent_path, '/'), '/'))::pg_catalog.int8 as id \
                     from {} {row} \
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
                    .map(|language| format!("{column} {} {}", op("->>"), self.params.text(language)))
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
                let stored = format!(
                    "{} {} {}",
                    scope.column(column),
                    op("->"),
                    self.params.text(&company.to_string())
                );
                let value = match fallback {
                    None => format!("({stored})"),
                    Some(fallback) => format!(
                        "coalesce({stored}, pg_catalog.to_jsonb({}))",
                        self.params.bind(fallback)
                    ),
                };
                format!("({value} {} 0)::{}", op("->>"), catalogue_type(sql_type))
            }
            Scalar::Existing { table: name, id } => {
                let (alias, id) = (self.params.alias(), self.scalar(id, scope));
                format!(
                    "(select {alias}.id from {} {alias} where {alias}.id {} {id})",
                    table(name),
                    op("=")
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
                    of = format!(
                        "pg_catalog.timezone({}, pg_catalog.timezone('UTC', {of}))",
                        self.params.text(zone)
                    );
                }
                match first_day {
                    None => format!("pg_catalog.date_part('{part}', {of})"),
                    Some(day) => format!(
                        "pg_catalog.mod({} {} pg_catalog.date_part('{part}', {of})::pg_catalog.int4, 7)",
                        7 - day,
                        op("+")
                    ),
                }
            }
            Scalar::JsonItem { column, key } => {
                format!("({} {} {})", scope.column(column), op("->"), self.params.text(key))
            }
            Scalar::JsonText { column, key } => {
                format!("({} {} {})", scope.column(column), op("->>"), self.params.text(key))
            }
            Scalar::AsText(inner) => format!("({})::pg_catalog.text", self.scalar(inner, scope)),
            Scalar::ReferencedId(column) => format!(
                "pg_catalog.split_part({}, ',', 2)::pg_catalog.int4",
                scope.column(column)
            ),
            Scalar::Words(words) => {
                let words: Vec<String> = words.iter().map(|word| self.scalar(word, scope)).collect();
                format!("pg_catalog.concat_ws(' ', {})", words.join(", "))
            }
        }
    }
}
