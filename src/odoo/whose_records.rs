//! Whose a record is to read: the models that a table is of, and those that inherit from one.

use std::collections::BTreeSet;

use super::registry::{Model, Registry};

impl Registry {
    /// The models whose records are rows of this table, as far as they are anybody's: none for the pairs of a many2many field, nor for where
    /// Odoo 16 and 17 keep the values of company-dependent fields, which are fields of the record's own model.
    pub fn models_kept_in(&self, table: &str) -> impl Iterator<Item = &Model> {
        let is_kept_apart = table == "ir_property";
        self.models()
            .filter(move |model| !is_kept_apart && model.table.name() == Some(table))
    }

    /// A model and all that inherit from it, directly or through others: whoever may use one of them may read its records.
    pub fn inheriting<'a>(&'a self, model: &'a str) -> BTreeSet<&'a str> {
        let mut found = BTreeSet::from([model]);
        let mut left = vec![model];
        while let Some(parent) = left.pop() {
            let inherits = |child: &&Model| child.inherits.iter().any(|inherit| inherit.parent == parent);
            let children = self.models().filter(inherits).map(|child| child.name.as_str());
            left.extend(children.filter(|child| found.insert(child)));
        }
        found
    }
}
