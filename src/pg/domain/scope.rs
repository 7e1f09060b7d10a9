//! Names in the printed SQL: of columns, tables, operators and types, and of the row that is spoken of.

use crate::domain::image::inherited_name;

/// An identifier between double quotes.
pub(super) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// An operator, the catalogue's. It binds more tightly than its name alone would, and all these alike.
pub(super) fn op(symbol: &str) -> String {
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
pub(super) fn table(name: &str) -> String {
    format!("public.{}", quote(name))
}

/// What the current row is.
#[derive(Clone)]
pub(super) struct Scope {
    /// Its alias, quoted.
    pub(super) alias: String,
    /// In an image: the link whose parent's columns are meant.
    pub(super) prefix: Option<String>,
    /// True for an image, whose inherited columns stand beside its own.
    pub(super) image: bool,
    /// True where null and false come to the same: no negation stands above.
    pub(super) positive: bool,
}

impl Scope {
    pub(super) fn column(&self, name: &str) -> String {
        match &self.prefix {
            None => format!("{}.{}", self.alias, quote(name)),
            Some(link) => format!("{}.{}", self.alias, quote(&inherited_name(link, name))),
        }
    }

    pub(super) fn table(alias: String) -> Self {
        Self {
            alias,
            prefix: None,
            image: false,
            positive: true,
        }
    }
}
