//! What can be matched with a roster that is older than the last edit of a subscription.
//!
//! An edit concerns the changes of its own model, and of the tables in which that model's fields show that have no column: relation
//! tables, the children of one2many fields, the parents of `_inherits`. All other events are matched as they were while the keeper looks at
//! it, however long that takes: thousands of subscriptions made at once, or an upgrade of Odoo that holds its tables.

use std::collections::HashSet;

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
    Ok(models.into_iter().any(|model| {
        let mut reached = HashSet::new();
        !reach(registry, model, &mut reached) || captured.iter().any(|name| reached.contains(*name))
    }))
}

/// Notes the names under which changes are captured that can be changes of the model's records. False for an unknown model.
fn reach<'r>(registry: &'r Registry, model: &str, reached: &mut HashSet<&'r str>) -> bool {
    let Some(model) = registry.model(model) else {
        return false;
    };
    if !reached.insert(&model.name) {
        return true;
    }
    for field in model.fields() {
        match field.kind {
            FieldType::One2many => reached.extend(field.relation.as_deref()),
            FieldType::Many2many => reached.extend(field.link_table.as_ref().map(|link| link.table.as_str())),
            _ => {}
        }
    }
    model
        .inherits
        .iter()
        .all(|inherit| reach(registry, &inherit.parent, reached))
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
        registry.insert(users);
        registry.insert(partner);
        let mut reached = HashSet::new();
        assert!(reach(&registry, "res.users", &mut reached));
        let mut names: Vec<_> = reached.into_iter().collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["res.partner", "res.partner.bank", "res.users", "res_groups_users_rel"]
        );
        assert!(!reach(&registry, "x_unknown", &mut HashSet::new()));
    }
}
