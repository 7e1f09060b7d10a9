//! A checked domain as what will be asked of PostgreSQL: the shapes Odoo's own SQL has, without its text.
//!
//! A [`Plan`] is a condition on *the current row*, with SQL's three values: Odoo's results depend on where null arises (`NOT
//! (name LIKE 'x')` drops rows without a name), so each node stands for exactly the expression Odoo would write. Sub-queries
//! and joins change what the current row is for the nodes below them.

use std::collections::BTreeSet;

use super::ast::Operator;

/// A condition on the current row.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// True, false, or null.
    Const(Option<bool>),
    /// Not; null stays null.
    Not(Box<Plan>),
    /// The condition, but false instead of null where the column is null (see `Checker::settled`).
    Settled {
        /// The condition.
        plan: Box<Plan>,
        /// The column.
        column: String,
    },
    /// Not true: null counts as false, as it does from Odoo 19 on.
    Untrue(Box<Plan>),
    /// All of them.
    All(Vec<Plan>),
    /// Any of them.
    Any(Vec<Plan>),
    /// `left operator right`.
    Compare {
        /// The left side.
        left: Scalar,
        /// `=`, `!=`, `<`, `<=`, `>` or `>=`.
        operator: Comparison,
        /// The right side.
        right: Bound,
    },
    /// `left LIKE pattern`.
    Like {
        /// The left side, of any type.
        left: Scalar,
        /// The pattern with its wildcards.
        pattern: String,
        /// Upper and lower case alike (`ILIKE`).
        ignore_case: bool,
        /// Without accents on both sides.
        unaccent: bool,
        /// `NOT LIKE`.
        negated: bool,
    },
    /// `left IS NULL`.
    IsNull(Scalar),
    /// `left IS NOT NULL`.
    NotNull(Scalar),
    /// `left IN (values)`; `NOT IN` when negated. Never empty.
    OneOf {
        /// The left side.
        left: Scalar,
        /// An array.
        values: Bound,
        /// `NOT IN`.
        negated: bool,
    },
    /// `left IN (sub-query)`; `NOT IN` when negated.
    InQuery {
        /// The left side.
        left: Scalar,
        /// The sub-query.
        query: Box<Query>,
        /// `NOT IN`.
        negated: bool,
    },
    /// A sub-query finds anything at all, whatever the current row is.
    Exists(Box<Query>),
    /// A pair in a many2many table exists for the current row's id.
    Linked {
        /// The table of pairs.
        table: String,
        /// Its column with the current row's id.
        own: String,
        /// Its column with the other record's id.
        other: String,
        /// Which other records count; none: any.
        to: Option<Members>,
        /// `NOT EXISTS`.
        negated: bool,
    },
    /// The condition on the record that a many2one leads to, as a LEFT JOIN sees it: nulls where there is none.
    Joined {
        /// The column of the current row that leads there.
        link: Scalar,
        /// The table of that record.
        table: String,
        /// For fields inherited through `_inherits`: the name of the link and the parent model.
        inherits: Option<(String, String)>,
        /// What must hold there.
        plan: Box<Plan>,
    },
    /// The current row's `parent_path` starts with that of one of these records.
    UnderPaths {
        /// The table of the tree.
        table: String,
        /// The roots.
        roots: Members,
    },
    /// A json value is contained in another (`<@`), or contains it (`@>`).
    Contains {
        /// The json value of the row.
        left: Scalar,
        /// The json value of the domain.
        right: Bound,
        /// `@>` instead of `<@`.
        left_contains: bool,
    },
    /// A jsonb column has a key.
    HasKey {
        /// The column.
        left: Scalar,
        /// The key.
        key: String,
    },
}

/// A set of record ids.
#[derive(Debug, Clone, PartialEq)]
pub enum Members {
    /// These; an empty list matches nothing.
    Ids(Vec<i64>),
    /// What a sub-query gives.
    Query(Box<Query>),
}

/// `SELECT output FROM .. WHERE filter`.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Where the rows come from.
    pub source: Source,
    /// What is selected of each.
    pub output: Scalar,
    /// Which rows.
    pub filter: Plan,
    /// `output IS NOT NULL` as well: one null in a `NOT IN` list would make it never true.
    pub output_not_null: bool,
}

/// The rows of a sub-query.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A table.
    Table(String),
    /// The ids (column `id`) reached from `roots` along a link, the roots included.
    Reachable {
        /// The table of the tree.
        table: String,
        /// The column that leads to the parent.
        parent: String,
        /// Down to the children, or up to the parents.
        down: bool,
        /// Which records may be stepped to; the roots need not satisfy it.
        through: Box<Plan>,
        /// Where to start.
        roots: Members,
    },
    /// The ids (column `id`) reached from `roots` down a link that is inherited through `_inherits`: the rows whose parent's record has
    /// one of the ids reached in its column. The roots are included.
    ReachableByParent {
        /// The table of the records.
        table: String,
        /// The column that leads to the record inherited from.
        link: String,
        /// The table of that record.
        parent_table: String,
        /// The column there.
        parent: String,
        /// Where to start.
        roots: Members,
    },
    /// The ids (column `id`) that the `parent_path` of `roots` names: the records and their ancestors.
    Ancestors {
        /// The table of the tree.
        table: String,
        /// Where to start.
        roots: Members,
    },
}

/// A value of the current row.
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// A column.
    Column(String),
    /// A translated column: the first of these languages that is there.
    Translated {
        /// The jsonb column.
        column: String,
        /// Language codes in the order they are tried.
        languages: Vec<String>,
    },
    /// A company-dependent column.
    PerCompany {
        /// The jsonb column.
        column: String,
        /// The company.
        company: i32,
        /// What counts where nothing is stored.
        fallback: Option<Bound>,
        /// The SQL type of the value.
        sql_type: &'static str,
    },
    /// An id, or null where the record is gone.
    Existing {
        /// The table of the record.
        table: String,
        /// The id.
        id: Box<Scalar>,
    },
    /// `date_part(part, of)`, in a time zone where one is given.
    DatePart {
        /// What `date_part` calls it.
        part: &'static str,
        /// A date or timestamp.
        of: Box<Scalar>,
        /// The time zone.
        zone: Option<String>,
        /// Day of week counted from this first day (1 = Monday).
        first_day: Option<i32>,
    },
    /// `column -> key`.
    JsonItem {
        /// The jsonb column.
        column: String,
        /// The key.
        key: String,
    },
    /// `column ->> key`.
    JsonText {
        /// The jsonb column.
        column: String,
        /// The key.
        key: String,
    },
    /// The value's text.
    AsText(Box<Scalar>),
    /// The id in a reference of the form `res.partner,5`, of a text column.
    ReferencedId(String),
    /// Those that are there, with blanks between.
    Words(Vec<Scalar>),
}

/// SQL's comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are SQL's own operators, see Comparison::sql")]
pub enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// A value of the domain, bound as a parameter of its type.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variants are PostgreSQL's types")]
pub enum Bound {
    Bool(bool),
    Int4(i32),
    Int8(i64),
    Float8(f64),
    /// Decimal digits.
    Numeric(String),
    Text(String),
    Date(String),
    Timestamp(String),
    Json(serde_json::Value),
    Bools(Vec<bool>),
    Ints(Vec<Option<i64>>),
    Floats(Vec<f64>),
    Numerics(Vec<String>),
    Texts(Vec<String>),
    Dates(Vec<String>),
    Timestamps(Vec<String>),
}

impl Comparison {
    /// The operator's SQL.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "<>",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }

    /// The comparison an Odoo operator is, if it is one.
    pub fn of(operator: Operator) -> Option<Self> {
        Some(match operator {
            Operator::Eq => Self::Eq,
            Operator::Ne | Operator::Differs => Self::Ne,
            Operator::Lt => Self::Lt,
            Operator::Le => Self::Le,
            Operator::Gt => Self::Gt,
            Operator::Ge => Self::Ge,
            _ => return None,
        })
    }
}

impl Plan {
    /// True for all rows.
    pub const TRUE: Self = Self::Const(Some(true));
    /// True for none.
    pub const FALSE: Self = Self::Const(Some(false));

    /// All of them, simplified.
    pub fn all(items: Vec<Self>) -> Self {
        Self::combined(items, true)
    }

    /// Any of them, simplified.
    pub fn any(items: Vec<Self>) -> Self {
        Self::combined(items, false)
    }

    fn combined(items: Vec<Self>, all: bool) -> Self {
        let mut kept: Vec<Self> = Vec::with_capacity(items.len());
        for item in items {
            match item {
                // The neutral element adds nothing; the absorbing one decides, as in three-valued logic.
                Self::Const(Some(value)) if value == all => {}
                Self::Const(Some(_)) => return Self::Const(Some(!all)),
                other => kept.push(other),
            }
        }
        match kept.len() {
            0 => Self::Const(Some(all)),
            1 => kept.remove(0),
            _ if all => Self::All(kept),
            _ => Self::Any(kept),
        }
    }

    /// Its negation, in three-valued logic.
    #[must_use]
    pub fn negate(self) -> Self {
        match self {
            Self::Const(value) => Self::Const(value.map(|value| !value)),
            other => Self::Not(Box::new(other)),
        }
    }

    /// `self OR scalar IS NULL`.
    #[must_use]
    pub fn or_null(self, scalar: &Scalar) -> Self {
        Self::any(vec![self, Self::IsNull(scalar.clone())])
    }
}

/// What a plan reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// Columns of the row itself.
    pub own: BTreeSet<String>,
    /// Columns inherited through `_inherits`.
    pub inherited: BTreeSet<Inherited>,
    /// It reads a column that the parent inherits itself: the link to that parent, and its model.
    pub inherited_twice: Option<(String, String)>,
    /// Any table but the row's own and those of its `_inherits` parents.
    pub related: bool,
    /// Rows of other tables that lead to this record by its id (one2many, many2many, hierarchies): they go when it goes.
    pub by_id: bool,
}

/// A column of an `_inherits` parent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Inherited {
    /// The many2one column of the row that leads to the parent's record.
    pub link: String,
    /// The parent model.
    pub model: String,
    /// The parent's column.
    pub column: String,
}

impl Plan {
    /// What it reads.
    pub fn reads(&self) -> Reads {
        let mut reads = Reads::default();
        self.collect(&mut reads);
        reads
    }

    fn collect(&self, reads: &mut Reads) {
        match self {
            Self::Const(_) => {}
            Self::Not(inner) | Self::Untrue(inner) => inner.collect(reads),
            Self::Settled { plan, column } => {
                plan.collect(reads);
                reads.own.insert(column.clone());
            }
            Self::All(items) | Self::Any(items) => items.iter().for_each(|item| item.collect(reads)),
            Self::Compare { left, .. }
            | Self::Like { left, .. }
            | Self::IsNull(left)
            | Self::NotNull(left)
            | Self::OneOf { left, .. }
            | Self::Contains { left, .. }
            | Self::HasKey { left, .. } => left.collect(reads),
            Self::InQuery { left, .. } => {
                left.collect(reads);
                reads.related = true;
                reads.by_id |= *left == Scalar::Column("id".to_owned());
            }
            Self::Exists(_) => reads.related = true,
            Self::Linked { .. } => {
                reads.own.insert("id".to_owned());
                reads.related = true;
                reads.by_id = true;
            }
            Self::UnderPaths { .. } => {
                reads.own.insert("parent_path".to_owned());
                reads.related = true;
            }
            Self::Joined {
                link, inherits, plan, ..
            } => {
                link.collect(reads);
                let Some((link, model)) = inherits else {
                    reads.related = true;
                    return;
                };
                let parent = plan.reads();
                reads.related |= parent.related || !parent.inherited.is_empty();
                if !parent.inherited.is_empty() {
                    reads.inherited_twice = Some((link.clone(), model.clone()));
                }
                reads.by_id |= parent.by_id;
                reads.inherited.extend(parent.own.into_iter().map(|column| Inherited {
                    link: link.clone(),
                    model: model.clone(),
                    column,
                }));
            }
        }
    }
}

impl Scalar {
    fn collect(&self, reads: &mut Reads) {
        match self {
            Self::Column(column)
            | Self::ReferencedId(column)
            | Self::Translated { column, .. }
            | Self::PerCompany { column, .. }
            | Self::JsonItem { column, .. }
            | Self::JsonText { column, .. } => {
                reads.own.insert(column.clone());
            }
            Self::Existing { id, .. } => {
                id.collect(reads);
                reads.related = true;
            }
            Self::DatePart { of, .. } | Self::AsText(of) => of.collect(reads),
            Self::Words(words) => words.iter().for_each(|word| word.collect(reads)),
        }
    }
}
