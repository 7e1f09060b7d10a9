//! Claims about fields that are kept in other tables.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::event::{Image, Layout, RowChange, fold_table, read_images};
use crate::odoo::registry::{Column, Facts, Field, FieldType, Inherit, LinkTable, Model, Registry, Table};

fn layout(model: &str, columns: &[&str]) -> Arc<Layout> {
    Arc::new(Layout {
        capture_id: 1,
        model: model.into(),
        columns: columns.iter().map(|c| (*c).to_owned()).collect(),
        types: columns.iter().map(|_| "integer".to_owned()).collect(),
        format: 2,
    })
}

fn row(id: i64, op: u8, record_id: i64, old: Option<Image>, new: Option<Image>, layout: &Arc<Layout>) -> RowChange {
    RowChange {
        id,
        op,
        record_id,
        user_id: None,
        old,
        new,
        layout: Arc::clone(layout),
    }
}

fn derivation(model: &str, field: &str, source: Source, rule: Rule) -> Derivation {
    Derivation {
        model: model.into(),
        watch: Watch {
            field: field.into(),
            source,
            rule,
            path: Vec::new(),
        },
    }
}

fn link(own: &str, other: &str) -> Rule {
    Rule::Link {
        own: own.to_owned(),
        other: other.to_owned(),
    }
}

/// `sale.order` and `crm.tag` watch both sides of one relation.
fn both_sides() -> Derivations {
    let relation = || Source::Relation("rel".to_owned());
    Derivations::new([
        derivation("sale.order", "tag_ids", relation(), link("order_id", "tag_id")),
        derivation("crm.tag", "order_ids", relation(), link("tag_id", "order_id")),
        // Watched twice, derived once.
        derivation("sale.order", "tag_ids", relation(), link("order_id", "tag_id")),
    ])
}

fn found(touched: Touched, derivations: &Derivations) -> Vec<(String, Vec<i64>)> {
    let records = touched.finish();
    records
        .into_iter()
        .map(|(place, ids)| {
            (
                derivations.all()[place].watch.field.to_string(),
                ids.into_iter().collect(),
            )
        })
        .collect()
}

fn pair((own, other): (i64, i64)) -> Image {
    vec![Some(own.to_string()), Some(other.to_string())].into()
}

fn sorted(found: Vec<(String, Vec<i64>)>) -> BTreeMap<String, Vec<i64>> {
    found.into_iter().collect()
}

proptest! {
    /// Links before the transaction, and links that it turns round one after the other: there or not there.
    #[test]
    fn a_transactions_links_touch_exactly_the_records_whose_set_of_links_differs(
        before in btree_set((0..4_i64, 0..4_i64), 0..8),
        turned in vec((0..4_i64, 0..4_i64), 0..12),
    ) {
        let derivations = both_sides();
        let layout = layout("rel", &["order_id", "tag_id"]);
        let mut links = before.clone();
        let mut rows = Vec::new();
        for (id, link) in (0..).zip(turned) {
            if links.remove(&link) {
                rows.push(row(id, b'D', 0, Some(pair(link)), None, &layout));
            } else {
                links.insert(link);
                rows.push(row(id, b'I', 0, None, Some(pair(link)), &layout));
            }
        }
        // In pieces, as a large transaction is read.
        let mut touched = Touched::default();
        for piece in rows.chunks(3) {
            touched.add_links(piece, &derivations);
        }
        let mut expected: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
        for (order, tag) in before.symmetric_difference(&links) {
            expected.entry("tag_ids".to_owned()).or_default().insert(*order);
            expected.entry("order_ids".to_owned()).or_default().insert(*tag);
        }
        let expected: BTreeMap<String, Vec<i64>> =
            expected.into_iter().map(|(field, ids)| (field, ids.into_iter().collect())).collect();
        prop_assert_eq!(sorted(found(touched, &derivations)), expected);
    }

    /// Lines before the transaction, each with its order (0 = none), and what is done to one line after the other: it is made, moved or
    /// removed.
    #[test]
    fn a_transactions_children_touch_exactly_the_parents_whose_set_of_children_differs(
        before in btree_map(0..4_i64, 0..4_i64, 0..4),
        done in vec((0..4_i64, 0..4_i64, any::<bool>()), 0..10),
    ) {
        let rule = Rule::Child { inverse: "order_id".to_owned(), of_model: None };
        let source = Source::Model("sale.order.line".to_owned());
        let derivations = Derivations::new([derivation("sale.order", "order_line", source, rule)]);
        let layout = layout("sale.order.line", &["order_id"]);
        let image = |order: i64| Some(vec![(order > 0).then(|| order.to_string())].into());
        let mut lines = before.clone();
        let mut rows = Vec::new();
        for (number, (id, order, is_removed)) in (0..).zip(done) {
            match lines.get(&id).copied() {
                None => {
                    rows.push(row(number, b'I', id, None, image(order), &layout));
                    lines.insert(id, order);
                }
                Some(old) if is_removed => {
                    rows.push(row(number, b'D', id, image(old), None, &layout));
                    lines.remove(&id);
                }
                Some(old) => {
                    rows.push(row(number, b'U', id, image(old), image(order), &layout));
                    lines.insert(id, order);
                }
            }
        }
        let mut touched = Touched::default();
        touched.add_changes(&fold_table(rows), &derivations);
        let lines_of = |lines: &BTreeMap<i64, i64>, order: i64| -> Vec<i64> {
            lines.iter().filter(|(_, of)| **of == order).map(|(id, _)| *id).collect()
        };
        let expected: Vec<i64> = (1..4).filter(|order| lines_of(&before, *order) != lines_of(&lines, *order)).collect();
        let found = sorted(found(touched, &derivations)).remove("order_line").unwrap_or_default();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_link_of_which_one_side_is_not_known_touches_the_other() {
    let derivations = both_sides();
    let layout = layout("rel", &["order_id", "tag_id"]);
    let stored = vec![Some("=7".to_owned()), Some("-".to_owned())];
    let half = read_images(b'i', &layout, None, Some(stored)).new;
    let half = half.unwrap();
    let mut touched = Touched::default();
    touched.add_links(
        &[
            row(1, b'i', 0, None, Some(half.clone()), &layout),
            row(2, b'd', 0, Some(half), None, &layout),
        ],
        &derivations,
    );
    assert_eq!(found(touched, &derivations), [("tag_ids".to_owned(), vec![7])]);
}

#[test]
fn an_inherited_field_is_touched_by_a_write_of_the_parents_column_alone() {
    let source = Source::Model("product.template".to_owned());
    let rule = Rule::Column("name".to_owned());
    let derivations = Derivations::new([derivation("product.product", "name", source, rule)]);
    let layout = layout("product.template", &["name", "type"]);
    let image = |name: &str, kind: &str| Some(vec![Some(name.to_owned()), Some(kind.to_owned())].into());
    let mut touched = Touched::default();
    let changes = fold_table(vec![
        row(1, b'U', 1, image("a", "x"), image("b", "x"), &layout),
        row(2, b'U', 2, image("a", "x"), image("a", "y"), &layout),
        row(3, b'I', 3, None, image("a", "x"), &layout),
        row(4, b'D', 4, image("a", "x"), None, &layout),
    ]);
    touched.add_changes(&changes, &derivations);
    assert_eq!(found(touched, &derivations), [("name".to_owned(), vec![1])]);
}

#[test]
fn what_changed_elsewhere_is_added_to_writes_and_what_has_no_change_of_its_own_is_left() {
    let layout = layout("sale.order", &["state"]);
    let image = |state: &str| Some(vec![Some(state.to_owned())].into());
    let mut changes = fold_table(vec![
        row(1, b'I', 1, None, image("1"), &layout),
        row(2, b'U', 2, image("1"), image("2"), &layout),
        row(3, b'D', 3, image("1"), None, &layout),
        row(4, b'U', 4, image("1"), image("2"), &layout),
        row(5, b'U', 4, image("2"), image("1"), &layout),
        row(6, b'U', 6, image("1"), image("2"), &layout),
        row(7, b'U', 6, image("2"), image("1"), &layout),
    ]);
    let field: Arc<str> = "tag_ids".into();
    let elsewhere: ChangedElsewhere = [1, 2, 3, 4, 5].map(|id| (id, vec![Arc::clone(&field)])).into();
    let left = attach(&mut changes, "sale.order", elsewhere);
    assert_eq!(left.into_keys().collect::<Vec<_>>(), [5]);
    let told: Vec<(i64, usize, bool)> = changes
        .iter()
        .map(|c| (c.record_id, c.derived.len(), c.is_void()))
        .collect();
    assert_eq!(
        told,
        [(1, 0, false), (2, 1, false), (3, 0, false), (4, 1, false), (6, 0, true)]
    );
}

#[test]
fn records_are_taken_lowest_first_with_all_their_fields() {
    let derivations = Derivations::new([
        derivation("m", "a", Source::Model("x".to_owned()), Rule::Column("a".to_owned())),
        derivation("m", "b", Source::Model("x".to_owned()), Rule::Column("b".to_owned())),
    ]);
    let records = [(0, [5, 1, 9].into()), (1, [5, 7].into())].into();
    let mut at_home = AtHome::new(&derivations, records);
    let taken = |at_home: &mut AtHome, upto, most| {
        let taken = at_home.take("m", upto, most).into_iter();
        taken
            .map(|(id, fields)| format!("{id}{}", fields.concat()))
            .collect::<Vec<_>>()
    };
    assert_eq!(taken(&mut at_home, 6, 10), ["1a", "5ab"]);
    assert_eq!(taken(&mut at_home, i64::MAX, 1), ["7b"]);
    assert_eq!(taken(&mut at_home, 8, 10), Vec::<String>::new());
    assert_eq!(taken(&mut at_home, i64::MAX, 10), ["9a"]);
}

fn registry() -> Registry {
    let mut registry = Registry::new(Facts::default());
    let column = |name: &str, kind| {
        let mut field = Field::new(name, kind);
        field.column = Some(Column {
            name: name.to_owned(),
            type_name: "integer".to_owned(),
        });
        field
    };
    let inherited = |name: &str, kind, link: &str| {
        let mut field = Field::new(name, kind);
        field.stored = false;
        field.related = Some(vec![link.to_owned(), name.to_owned()]);
        field
    };
    let to = |parent: &str, link: &str| Inherit {
        parent: parent.to_owned(),
        link: link.to_owned(),
    };
    let mut partner = Model::new("res.partner", Table::Plain("res_partner".to_owned()));
    partner.insert(column("email", FieldType::Char));
    let mut tags = Field::new("category_id", FieldType::Many2many);
    tags.link_table = Some(LinkTable {
        table: "rel".to_owned(),
        own: "partner_id".to_owned(),
        other: "category_id".to_owned(),
    });
    partner.insert(tags);
    registry.insert(partner);
    let mut user = Model::new("res.users", Table::Plain("res_users".to_owned()));
    user.inherits = vec![to("res.partner", "partner_id")];
    user.insert(column("partner_id", FieldType::Many2one));
    user.insert(inherited("email", FieldType::Char, "partner_id"));
    user.insert(inherited("category_id", FieldType::Many2many, "partner_id"));
    registry.insert(user);
    let mut member = Model::new("x.member", Table::Plain("x_member".to_owned()));
    member.inherits = vec![to("res.users", "user_id")];
    member.insert(column("user_id", FieldType::Many2one));
    member.insert(inherited("email", FieldType::Char, "user_id"));
    registry.insert(member);
    registry
}

#[test]
fn an_inherited_field_is_followed_to_where_it_is_kept_through_several_parents() {
    let registry = registry();
    let watch = |model: &str, field: &str| {
        let model = registry.model(model).unwrap();
        Watch::of(model, model.field(field).unwrap(), &registry).unwrap()
    };
    let email = watch("x.member", "email");
    assert_eq!(email.source, Source::Model("res.partner".to_owned()));
    assert_eq!(email.rule, Rule::Column("email".to_owned()));
    let path: Vec<(&str, &str)> = email.path.iter().map(|s| (s.model.as_str(), s.link.as_str())).collect();
    assert_eq!(path, [("res.users", "partner_id"), ("x.member", "user_id")]);
    assert_eq!(email.need().compared, ["email".to_owned()].into());

    let tags = watch("res.users", "category_id");
    assert_eq!(tags.source, Source::Relation("rel".to_owned()));
    assert_eq!(tags.path.len(), 1);
    assert!(tags.need().compared.is_empty(), "every link is worth capturing");
}
