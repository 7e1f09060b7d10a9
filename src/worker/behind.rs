//! What can be matched with a roster that is older than the last edit of a subscription.
//!
//! An edit concerns the changes of its own model, and of the tables in which that model's fields show that have no column: relation
//! tables, the children of one2many fields, the parents of `_inherits`. All other events are matched as they were while the keeper looks at
//! it, however long that takes: thousands of subscriptions made at once, or an upgrade of Odoo that holds its tables.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::GenericClient;

use super::roster::Roster;
use crate::Result;
use crate::odoo::registry::{FieldType, Registry};
use crate::pg::subscriptions;

/// Whether changes captured under these names are a matter of a subscription that is not as the roster has it. In doubt, they are.
///
/// # Errors
/// Database errors.
pub(super) async fn concerns(client: &impl GenericClient, roster: &Roster, captured: &HashSet<&str>) -> Result<bool> {
    let Some(registry) = &roster.registry else {
        return Ok(true);
    };
    let edited = subscriptions::edited(client, &roster.stamps).await?;
    // What it was before the edit is served on otherwise.
    let before = edited.iter().filter_map(|(id, _)| roster.model_of(*id));
    let models: HashSet<&str> = edited
        .iter()
        .filter_map(|(_, model)| model.as_deref())
        .chain(before)
        .collect();
    let mut reach = Reach::of(registry);
    let is_known = models.iter().all(|model| reach.add(model));
    Ok(!models.is_empty()
        && (!is_known
            || captured
                .iter()
                .any(|name| reach.names.contains(*name) || !reach.tables.contains(*name))))
}

/// The names under which changes are captured that can be changes of some models' records.
struct Reach<'r> {
    registry: &'r Registry,
    /// Models by their tables: pairs may be kept by a model of their own.
    by_table: HashMap<&'r str, &'r str>,
    /// All names under which something is captured that the registry knows.
    tables: HashSet<&'r str>,
    seen: HashSet<&'r str>,
    names: HashSet<&'r str>,
}

impl<'r> Reach<'r> {
    fn of(registry: &'r Registry) -> Self {
        let mut by_table = HashMap::new();
        let mut tables = HashSet::new();
        for model in registry.models() {
            tables.insert(&*model.name);
            by_table.extend(model.table.name().map(|table| (table, &*model.name)));
            let links = model.fields().filter_map(|field| field.link_table.as_ref());
            tables.extend(links.map(|link| &*link.table));
        }
        Self {
            registry,
            by_table,
            tables,
            seen: HashSet::new(),
            names: HashSet::new(),
        }
    }

    /// Adds those of a model; false for one that is unknown.
    fn add(&mut self, model: &str) -> bool {
        let Some(model) = self.registry.model(model) else {
            return false;
        };
        self.names.insert(&model.name);
        // A partner's children are partners: that they are reached says nothing of what their own fields reach.
        if !self.seen.insert(&model.name) {
            return true;
        }
        for field in model.fields() {
            match field.kind {
                FieldType::One2many => self.names.extend(field.relation.as_deref()),
                FieldType::Many2many => {
                    if let Some(link) = &field.link_table {
                        self.names.insert(&link.table);
                        self.names.extend(self.by_table.get(&*link.table));
                    }
                }
                _ => {}
            }
        }
        model.inherits.iter().all(|inherit| self.add(&inherit.parent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::odoo::registry::{Facts, Field, Inherit, LinkTable, Model, Table};

    #[test]
    fn an_edit_reaches_where_the_fields_of_its_model_and_of_its_parents_show() {
        let mut registry = Registry::new(Facts::default());
        let mut users = Model::new("res.users", Table::Plain("res_users".into()));
        users.inherits.push(Inherit {
            parent: "res.partner".into(),
            link: "partner_id".into(),
        });
        let mut groups = Field::new("groups_id", FieldType::Many2many);
        groups.link_table = Some(LinkTable {
            table: "res_groups_users_rel".into(),
            own: "uid".into(),
            other: "gid".into(),
        });
        users.insert(groups);
        let mut partner = Model::new("res.partner", Table::Plain("res_partner".into()));
        let mut banks = Field::new("bank_ids", FieldType::One2many);
        banks.relation = Some("res.partner.bank".into());
        partner.insert(banks);
        let mut children = Field::new("child_ids", FieldType::One2many);
        children.relation = Some("res.partner".into());
        partner.insert(children.clone());
        users.insert(children);
        let mut categories = Field::new("category_id", FieldType::Many2many);
        categories.link_table = Some(LinkTable {
            table: "res_partner_category_rel".into(),
            own: "partner_id".into(),
            other: "category_id".into(),
        });
        partner.insert(categories);
        registry.insert(users);
        registry.insert(partner);
        registry.insert(Model::new("x.membership", Table::Plain("res_groups_users_rel".into())));
        let mut reach = Reach::of(&registry);
        assert!(reach.add("res.users"));
        let mut names: Vec<_> = reach.names.iter().copied().collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "res.partner",
                "res.partner.bank",
                "res.users",
                "res_groups_users_rel",
                "res_partner_category_rel",
                "x.membership"
            ]
        );
        assert!(!reach.add("x_unknown"));
        assert!(
            !reach.tables.contains("x_new_rel"),
            "what is not known may concern anybody"
        );
    }
}
