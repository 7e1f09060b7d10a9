//! What can be matched with a roster that is older than the last edit of a subscription.
//!
//! An edit concerns the changes of its own model, and of the tables in which that model's fields show that have no column: relation
//! tables, the children of one2many fields, the parents of `_inherits`. All other events are matched as they were while the keeper looks at
//! it, however long that takes: thousands of subscriptions made at once, or an upgrade of Odoo that holds its tables.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::pg::Client;

use crate::Result;
use crate::odoo::registry::{FieldType, Registry};
use crate::pg::subscriptions;
use crate::worker::upkeep::subscription_set::SubscriptionSet;

/// The subscriptions that are not as a roster has them.
#[derive(Debug)]
pub struct Edited {
    subscription_set: Arc<SubscriptionSet>,
    version: i64,
    /// Of each model that somebody's edit concerns, whose.
    ids: Vec<Vec<i32>>,
    /// Places in `ids`, by the names under which changes are captured that can be those models'.
    by_name: HashMap<String, Vec<usize>>,
    /// Places of models that the registry does not know: any change may be theirs.
    unknown: Vec<usize>,
    /// All names under which something is captured that the registry knows.
    tables: HashSet<String>,
}

impl Edited {
    /// What was edited, up to a version of the subscriptions, since a roster was made; `None` where that is not known.
    ///
    /// # Errors
    /// Database errors.
    pub(in crate::worker) async fn since(
        client: &Client,
        subscription_set: &Arc<SubscriptionSet>,
        version: i64,
    ) -> Result<Option<Self>> {
        let Some(registry) = &subscription_set.registry else {
            return Ok(None);
        };
        let rows = subscriptions::edited(client, &subscription_set.stamps).await?;
        let mut of_model: HashMap<&str, Vec<i32>> = HashMap::new();
        for (id, model) in &rows {
            // What it was before the edit is served on otherwise.
            let before = subscription_set.model_of(*id);
            for model in model.as_deref().into_iter().chain(before) {
                let ids = of_model.entry(model).or_default();
                if ids.last() != Some(id) {
                    ids.push(*id);
                }
            }
        }
        let reach = Reach::of(registry);
        let mut edited = Self {
            subscription_set: Arc::clone(subscription_set),
            version,
            ids: Vec::with_capacity(of_model.len()),
            by_name: HashMap::new(),
            unknown: Vec::new(),
            tables: reach.tables.iter().map(|name| (*name).to_owned()).collect(),
        };
        for (model, ids) in of_model {
            let place = edited.ids.len();
            match reach.names(model) {
                Some(names) => {
                    for name in names {
                        edited.by_name.entry(name.to_owned()).or_default().push(place);
                    }
                }
                None => edited.unknown.push(place),
            }
            edited.ids.push(ids);
        }
        Ok(Some(edited))
    }

    /// Whether this is what [`Edited::since`] would tell of these.
    pub(in crate::worker) fn is_of(&self, subscription_set: &Arc<SubscriptionSet>, version: i64) -> bool {
        Arc::ptr_eq(&self.subscription_set, subscription_set) && self.version == version
    }

    /// Those that a change captured under this name can be a matter of. In doubt, it is.
    pub(in crate::worker) fn concerning(&self, captured: &str) -> impl Iterator<Item = i32> {
        let places: Vec<usize> = match self.tables.contains(captured) {
            true => {
                let known = self.by_name.get(captured).into_iter().flatten();
                known.chain(&self.unknown).copied().collect()
            }
            false => (0..self.ids.len()).collect(),
        };
        places.into_iter().flat_map(|place| self.ids[place].iter().copied())
    }
}

/// The subscriptions that events wait for: to be looked at before others. Clones are the same ones.
#[derive(Debug, Clone, Default)]
pub struct Awaited(Arc<Mutex<HashSet<i32>>>);

impl Awaited {
    /// Those of now, in place of those of before.
    pub fn tell(&self, ids: HashSet<i32>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ids;
    }

    /// Those of now.
    pub fn now(&self) -> HashSet<i32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The names under which changes are captured that can be changes of a model's records.
struct Reach<'r> {
    registry: &'r Registry,
    /// Models by their tables: pairs may be kept by a model of their own.
    by_table: HashMap<&'r str, &'r str>,
    /// All names under which something is captured that the registry knows.
    tables: HashSet<&'r str>,
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
        }
    }

    /// Those of a model; none of one that is unknown.
    fn names(&self, model: &str) -> Option<HashSet<&'r str>> {
        let (mut names, mut seen) = (HashSet::new(), HashSet::new());
        self.add(model, &mut names, &mut seen).then_some(names)
    }

    fn add(&self, model: &str, names: &mut HashSet<&'r str>, seen: &mut HashSet<&'r str>) -> bool {
        let Some(model) = self.registry.model(model) else {
            return false;
        };
        names.insert(&model.name);
        // A partner's children are partners: that they are reached says nothing of what their own fields reach.
        if !seen.insert(&model.name) {
            return true;
        }
        for field in model.fields() {
            match field.kind {
                FieldType::One2many => names.extend(field.relation.as_deref()),
                FieldType::Many2many => {
                    if let Some(link) = &field.link_table {
                        names.insert(&link.table);
                        names.extend(self.by_table.get(&*link.table));
                    }
                }
                _ => {}
            }
        }
        model
            .inherits
            .iter()
            .all(|inherit| self.add(&inherit.parent, names, seen))
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
        let reach = Reach::of(&registry);
        let mut names: Vec<_> = reach.names("res.users").unwrap().into_iter().collect();
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
        assert!(reach.names("x_unknown").is_none());
        assert!(
            !reach.tables.contains("x_new_rel"),
            "what is not known may concern anybody"
        );
    }
}
