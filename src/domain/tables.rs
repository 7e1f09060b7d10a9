//! Which tables a checked domain reads, beside the record's own.

use std::collections::BTreeSet;

use super::plan::{Members, Plan, Query, Source};

impl Plan {
    /// The tables that are asked for more than whether a record is there: related records, children, and tables of pairs.
    pub fn tables(&self) -> BTreeSet<&str> {
        let mut tables = BTreeSet::new();
        self.add_tables(&mut tables);
        tables
    }

    fn add_tables<'a>(&'a self, tables: &mut BTreeSet<&'a str>) {
        match self {
            // Scalars are of the row itself; of a reference it is looked up whether its record exists.
            Self::Const(_)
            | Self::Compare { .. }
            | Self::Like { .. }
            | Self::IsNull(_)
            | Self::NotNull(_)
            | Self::OneOf { .. }
            | Self::Contains { .. }
            | Self::HasKey { .. } => {}
            Self::Not(inner) | Self::Untrue(inner) | Self::Settled { plan: inner, .. } => inner.add_tables(tables),
            Self::All(items) | Self::Any(items) => items.iter().for_each(|item| item.add_tables(tables)),
            Self::InQuery { query, .. } | Self::Exists(query) => query.add_tables(tables),
            Self::Linked { table, to, .. } => {
                tables.insert(table);
                if let Some(members) = to {
                    members.add_tables(tables);
                }
            }
            Self::Joined { table, plan, .. } => {
                tables.insert(table);
                plan.add_tables(tables);
            }
            Self::UnderPaths { table, roots } => {
                tables.insert(table);
                roots.add_tables(tables);
            }
        }
    }
}

impl Members {
    fn add_tables<'a>(&'a self, tables: &mut BTreeSet<&'a str>) {
        if let Self::Query(query) = self {
            query.add_tables(tables);
        }
    }
}

impl Query {
    fn add_tables<'a>(&'a self, tables: &mut BTreeSet<&'a str>) {
        match &self.source {
            Source::Table(table) => {
                tables.insert(table);
            }
            Source::Reachable {
                table, through, roots, ..
            } => {
                tables.insert(table);
                through.add_tables(tables);
                roots.add_tables(tables);
            }
            Source::ReachableByParent {
                table,
                parent_table,
                roots,
                ..
            } => {
                tables.extend([table.as_str(), parent_table.as_str()]);
                roots.add_tables(tables);
            }
            Source::Ancestors { table, roots } => {
                tables.insert(table);
                roots.add_tables(tables);
            }
        }
        self.filter.add_tables(tables);
    }
}
