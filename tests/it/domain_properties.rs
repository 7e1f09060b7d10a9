//! Company-dependent fields as Odoo 16 and 17 keep them: rows of `ir_property`, searched as `ir.property.search_multi` does.

use crate::support::Database;
use crate::support::service::{eventd, eventd_ok};

/// The Odoo-shaped database as one of 17: three company-dependent fields of partners, with rows of two companies and defaults.
///
/// Partners 1 and 2 have values of their own; term 1 is everybody's default, and 7 is the limit of partner 2 alone.
const AS_17: &str = "
    update ir_module_module set latest_version = '17.0.1.3' where name = 'base';
    create table ir_property (id serial primary key, name varchar, res_id varchar, company_id int, fields_id int not null,
        value_float float8, value_integer int, value_text text, value_reference varchar, value_datetime timestamp);
    insert into ir_model (model, name, \"order\", state, transient) values ('ir.property', '{}', 'id', 'base', false);
    insert into ir_model_fields (model, model_id, name, ttype, field_description, relation, state, store, translate, company_dependent,
                                 selectable)
    select f.model, m.id, f.name, f.ttype, '{}', f.relation, 'base', f.store, false, false, true
      from (values ('ir.property', 'id', 'integer', null, true), ('ir.property', 'fields_id', 'many2one', 'ir.model.fields', true),
                   ('ir.property', 'company_id', 'many2one', 'res.company', true), ('ir.property', 'res_id', 'char', null, true),
                   ('ir.property', 'value_float', 'float', null, true), ('ir.property', 'value_integer', 'integer', null, true),
                   ('ir.property', 'value_text', 'text', null, true), ('ir.property', 'value_reference', 'char', null, true),
                   ('res.partner', 'property_term', 'many2one', 'account.payment.term', false),
                   ('res.partner', 'limit', 'float', null, false), ('res.partner', 'code', 'char', null, false),
                   ('res.partner', 'is_good', 'boolean', null, false), ('res.partner', 'nowhere', 'char', null, false),
                   ('res.partner', 'property_product_pricelist', 'many2one', 'account.payment.term', false))
           f (model, name, ttype, relation, store) join ir_model m on m.model = f.model;
    insert into ir_property (fields_id, company_id, res_id, value_reference, value_float, value_text, value_integer)
    select f.id, p.company, p.res_id, p.reference, p.float, p.text, p.integer
      from (values ('property_term', null::int, null, 'account.payment.term,1', null::float8, null, null::int),
                   ('property_term', 1, 'res.partner,1', 'account.payment.term,2', null, null, null),
                   ('property_term', 1, 'res.partner,3', null, null, null, null),
                   ('property_term', 2, 'res.partner,2', 'account.payment.term,2', null, null, null),
                   ('limit', 1, 'res.partner,2', null, 7, null, null), ('limit', 1, 'res.partner,3', null, -7, null, null),
                   ('code', null, 'res.partner,1', null, null, 'A1', null), ('code', 1, 'res.partner,2', null, null, 'B2', null),
                   ('is_good', 1, 'res.partner,3', null, null, null, 1),
                   ('property_product_pricelist', 1, 'res.partner,3', 'account.payment.term,1', null, null, null))
           p (name, company, res_id, reference, float, text, integer)
      join ir_model_fields f on f.model = 'res.partner' and f.name = p.name";

#[tokio::test]
async fn rows_and_defaults_decide_as_in_search_multi() {
    let database = Database::fixture().await;
    database.client().await.batch_execute(AS_17).await.unwrap();
    let all: Vec<i64> =
        serde_json::from_str(&eventd_ok(&database.url(), &["domain", "eval", "--model", "res.partner", "[]"]).await)
            .unwrap();
    assert!(all.len() > 4 && all.starts_with(&[1, 2, 3]), "{all:?}");
    let but = |without: &[i64]| -> Vec<i64> { all.iter().copied().filter(|id| !without.contains(id)).collect() };
    let cases: &[(&str, Vec<i64>)] = &[
        // The default is term 1: whoever has no row of the company has it.
        ("('property_term', '=', 1)", but(&[1, 3])),
        ("('property_term', '=', 2)", vec![1]),
        ("('property_term', '!=', 2)", but(&[1])),
        ("('property_term', '!=', 1)", vec![1, 3]),
        ("('property_term', '=', False)", vec![3]),
        ("('property_term', '!=', False)", but(&[3])),
        ("('property_term', 'in', [1, 2])", but(&[3])),
        ("('property_term', 'in', [2, False])", vec![1, 3]),
        ("('property_term', 'not in', [2])", but(&[1])),
        ("('property_term', 'not in', [2, False])", but(&[1, 3])),
        // No default: without a row it is 0.
        ("('limit', '>', 5)", vec![2]),
        ("('limit', '>', -1)", but(&[3])),
        ("('limit', '>=', 0)", but(&[3])),
        ("('limit', '<', 0)", vec![3]),
        ("('limit', '<=', 0)", but(&[2])),
        ("('limit', '<', 5)", but(&[2])),
        ("('limit', '=', 0)", but(&[2, 3])),
        ("('limit', '!=', 0)", vec![2, 3]),
        ("('limit', '=', 7)", vec![2]),
        ("('code', '=', 'A1')", vec![1]),
        ("('code', 'ilike', 'b')", vec![2]),
        ("('code', 'not ilike', 'b')", but(&[2])),
        ("('code', '=', False)", but(&[1, 2])),
        ("('code', 'in', ['A1', 'B2'])", vec![1, 2]),
        ("('code', 'not in', ['A1'])", but(&[1])),
        ("('is_good', '=', True)", vec![3]),
        ("('is_good', '=', False)", but(&[3])),
        ("('is_good', '!=', True)", but(&[3])),
        ("'!', ('property_term', '=', 1)", vec![1, 3]),
        // A path and a name are searched first, then the rows for what was found.
        ("('property_term.id', 'in', [1])", but(&[1, 3])),
        ("('property_term.id', '=', 2)", vec![1]),
        ("('property_term.name', '=', 'no such term')", vec![]),
        ("('property_term', 'ilike', 'no such term')", vec![]),
        ("('property_term', 'not ilike', 'no such term')", all.clone()),
        ("('code', '=?', 'A1')", vec![1]),
    ];
    for (leaf, ids) in cases {
        let answer = eventd_ok(
            &database.url(),
            &["domain", "eval", "--model", "res.partner", &format!("[{leaf}]")],
        )
        .await;
        let answer: Vec<i64> = serde_json::from_str(&answer).unwrap();
        assert_eq!(&answer, ids, "{leaf}");
    }
    // Of the other company.
    let other = [
        "domain",
        "eval",
        "--company",
        "2",
        "--model",
        "res.partner",
        "[('property_term', '=', 2)]",
    ];
    assert_eq!(eventd_ok(&database.url(), &other).await.trim(), "[2]");
    for leaf in [
        "'!', ('property_term.id', '=', 2)",
        "('property_term', 'child_of', 1)",
        "('limit', 'in', [1])",
        "('limit', '=', None)",
        "('limit', 'like', '7')",
        "('is_good', 'in', [True])",
        "('nowhere', '=', 'x')",
        // Odoo computes it and only looks at its rows on the way.
        "('property_product_pricelist', '=', 1)",
    ] {
        let output = eventd(
            &database.url(),
            &["domain", "eval", "--model", "res.partner", &format!("[{leaf}]")],
        )
        .await;
        assert_eq!(output.status.code(), Some(2), "{leaf}");
    }
}

#[tokio::test]
async fn the_listener_learns_of_them_from_the_installed_functions() {
    let database = Database::fixture().await;
    database.client().await.batch_execute(AS_17).await.unwrap();
    eventd_ok(&database.url(), &["install"]).await;
    let answer = eventd_ok(
        &database.url(),
        &["domain", "eval", "--model", "res.partner", "[('limit', '=', 7)]"],
    )
    .await;
    assert_eq!(answer.trim(), "[2]");
}

#[tokio::test]
async fn whoever_watches_one_is_told_where_it_is_kept() {
    let database = Database::fixture().await;
    database.client().await.batch_execute(AS_17).await.unwrap();
    eventd_ok(&database.url(), &["install"]).await;
    // One that has rows; one of a standard module that has none.
    database
        .psql(
            "insert into ir_model_fields (model, model_id, name, ttype, field_description, relation, state, store, translate, selectable)
             select 'res.partner', m.id, 'property_account_position_id', 'many2one', '{}', 'account.payment.term', 'base', false, false, true
               from ir_model m where m.model = 'res.partner'",
        )
        .await;
    for field in ["limit", "property_account_position_id"] {
        let watching = ["subscribe", "--dry-run", "--model", "res.partner", "--fields", field];
        let output = eventd(&database.url(), &watching).await;
        assert_eq!(output.status.code(), Some(2), "{field}");
        let said = String::from_utf8(output.stderr).unwrap();
        let reason = format!(
            "field \"{field}\" of \"res.partner\" is kept in ir_property for each company; it cannot be watched"
        );
        assert!(said.contains(&reason), "{said}");
    }
}
