//! What a leaf becomes, by version, on a small registry; the whole language is proven against Odoo's own answers in
//! `tests/it/domains.rs`.

use super::*;
use crate::odoo::registry::{Column, Facts, Field, FieldType, Inherit, LinkTable, Registry, Table};
use crate::pg::domain::params::Params;
use crate::pg::domain::sql::{Row, compile};

fn stored(name: &str, kind: FieldType, type_name: &str) -> Field {
    let mut field = Field::new(name, kind);
    field.column = Some(Column {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
    });
    field
}

fn many2one(name: &str, relation: &str) -> Field {
    let mut field = stored(name, FieldType::Many2one, "integer");
    field.relation = Some(relation.to_owned());
    field
}

/// Partners, users that inherit them, and orders.
fn registry(version: u16) -> Registry {
    let mut registry = Registry::new(Facts {
        version,
        ..Facts::default()
    });
    let table = |name: &str| Table::Plain(name.replace('.', "_"));
    let mut partner = Model::new("res.partner", table("res.partner"));
    partner.insert(stored("id", FieldType::Integer, "integer"));
    partner.insert(stored("name", FieldType::Char, "character varying"));
    partner.insert(stored("color", FieldType::Integer, "integer"));
    partner.insert(stored("active", FieldType::Boolean, "boolean"));
    partner.insert(stored("date", FieldType::Date, "date"));
    partner.insert(many2one("parent_id", "res.partner"));
    let mut title = stored("title", FieldType::Char, "jsonb");
    title.translate = true;
    partner.insert(title);
    let mut secret = stored("signup_token", FieldType::Char, "character varying");
    secret.secret = true;
    partner.insert(secret);
    let mut children = Field::new("child_ids", FieldType::One2many);
    children.relation = Some("res.partner".to_owned());
    children.inverse = Some("parent_id".to_owned());
    partner.insert(children);
    let mut tags = Field::new("x_tag_ids", FieldType::Many2many);
    tags.relation = Some("res.partner".to_owned());
    let link = |own: &str, other: &str| LinkTable {
        table: "x_rel".into(),
        own: own.into(),
        other: other.into(),
    };
    tags.link_table = Some(link("a", "b"));
    partner.insert(tags);
    let mut total = Field::new("sale_order_count", FieldType::Integer);
    total.stored = false;
    partner.insert(total);
    registry.insert(partner);
    let mut users = Model::new("res.users", table("res.users"));
    users.inherits = vec![Inherit {
        parent: "res.partner".to_owned(),
        link: "partner_id".to_owned(),
    }];
    users.insert(stored("id", FieldType::Integer, "integer"));
    users.insert(stored("login", FieldType::Char, "character varying"));
    users.insert(many2one("partner_id", "res.partner"));
    let mut name = Field::new("name", FieldType::Char);
    name.stored = false;
    name.related = Some(vec!["partner_id".to_owned(), "name".to_owned()]);
    users.insert(name);
    let mut parent = Field::new("parent_id", FieldType::Many2one);
    parent.stored = false;
    parent.relation = Some("res.partner".to_owned());
    parent.related = Some(vec!["partner_id".to_owned(), "parent_id".to_owned()]);
    users.insert(parent);
    registry.insert(users);
    let mut stage = Model::new("crm.stage", table("crm.stage"));
    stage.insert(stored("id", FieldType::Integer, "integer"));
    stage.insert(stored("name", FieldType::Char, "character varying"));
    registry.insert(stage);
    registry
}

fn context() -> Context {
    Context::at("2026-11-20T12:00:00Z".parse().unwrap())
}

fn sql(version: u16, model: &str, domain: &str) -> String {
    let typed =
        check_text(domain, model, &registry(version), &context()).unwrap_or_else(|error| panic!("{domain}: {error}"));
    let mut params = Params::new();
    compile(&typed, "r", &mut params, Row::Table)
        .replace("\"r\".", "")
        .replace(['"'], "")
        .replace("pg_catalog.", "")
        .split(" operator(")
        .enumerate()
        .map(|(at, part)| match part.split_once(')') {
            Some((operator, rest)) if at > 0 => format!(" {operator}{rest}"),
            _ => part.to_owned(),
        })
        .collect()
}

fn refused(version: u16, model: &str, domain: &str) -> String {
    let error = check_text(domain, model, &registry(version), &context()).expect_err(domain);
    error.render(domain)
}

#[test]
fn zero_and_the_empty_text_are_null_from_18_on() {
    assert_eq!(sql(17, "res.partner", "[('color', '=', 0)]"), "(color = $1::int4)");
    assert_eq!(
        sql(18, "res.partner", "[('color', '=', 0)]"),
        "((color = $1::int4) or (color is null))"
    );
    assert_eq!(sql(17, "res.partner", "[('name', '=', False)]"), "(name is null)");
    assert_eq!(
        sql(18, "res.partner", "[('name', '=', False)]"),
        "((name = $1::text) or (name is null))"
    );
}

#[test]
fn inequalities_count_null_where_its_value_satisfies_them() {
    assert_eq!(
        sql(18, "res.partner", "[('color', '<', 3)]"),
        "((color < $1::int4) or (color is null))"
    );
    assert_eq!(sql(18, "res.partner", "[('color', '>=', 1)]"), "(color >= $1::int4)");
    assert_eq!(sql(18, "res.partner", "[('name', '<', 'x')]"), "(name < $1::text)");
    assert_eq!(
        sql(19, "res.partner", "[('name', '<', 'x')]"),
        "((name < $1::text) or (name is null))"
    );
}

#[test]
fn a_negated_inequality_includes_no_value_from_19_on() {
    let domain = "['!', ('date', '>', '2026-01-01')]";
    assert_eq!(sql(18, "res.partner", domain), "(date <= $1::text::date)");
    assert_eq!(
        sql(19, "res.partner", domain),
        "((date <= $1::text::date) or (date is null))"
    );
}

#[test]
fn a_negation_before_a_path_negates_the_path_not_the_operator_from_17_on() {
    let domain = "['!', ('parent_id.name', '=', 'x')]";
    assert!(sql(16, "res.partner", domain).starts_with("(parent_id = any (select"));
    assert!(sql(17, "res.partner", domain).starts_with("((not parent_id = any (select"));
    assert!(sql(18, "res.partner", domain).ends_with("or (parent_id is null))"));
}

#[test]
fn the_domain_of_a_field_narrows_paths_in_18_and_everything_in_19() {
    let named = "[('child_ids.name', '=', 'x')]";
    assert!(!sql(17, "res.partner", named).contains("active"));
    assert!(sql(18, "res.partner", named).contains("active"));
    let none = "[('child_ids', '=', False)]";
    assert!(!sql(18, "res.partner", none).contains("active"));
    assert!(sql(19, "res.partner", none).contains("active"));
}

#[test]
fn inherited_fields_are_read_from_the_parent_and_reported() {
    let typed = check_text("[('name', '=', 'x')]", "res.users", &registry(18), &context()).unwrap();
    assert!(!typed.reads_related());
    let inherited: Vec<_> = typed
        .inherited()
        .iter()
        .map(|column| (&*column.link, &*column.model, &*column.column))
        .collect();
    assert_eq!(inherited, [("partner_id", "res.partner", "name")]);
    assert_eq!(typed.own_columns().iter().collect::<Vec<_>>(), ["partner_id"]);
    let image = compile(&typed, "i", &mut Params::new(), Row::Image);
    assert_eq!(
        image,
        r#"("i"."partner_id.name" operator(pg_catalog.=) $1::pg_catalog.text)"#
    );
}

#[test]
fn it_is_told_whether_a_domain_needs_rows_that_go_with_the_record() {
    let needs = |domain: &str| {
        let typed = check_text(domain, "res.partner", &registry(18), &context()).unwrap();
        (typed.reads_related(), typed.reads_rows_of_record())
    };
    assert_eq!(needs("[('name', '=', 'x')]"), (false, false));
    assert_eq!(needs("[('parent_id.name', '=', 'x')]"), (true, false));
    assert_eq!(needs("[('child_ids', '=', False)]"), (true, true));
    assert_eq!(needs("[('x_tag_ids', 'in', [1])]"), (true, true));
}

#[test]
fn equal_values_share_a_parameter() {
    let domain = "['|', ('name', '=', 'x'), ('title', '=', 'x')]";
    assert_eq!(
        sql(18, "res.partner", domain),
        "((name = $1::text) or ((title ->> $2::text) = $1::text))"
    );
}

#[test]
fn no_text_of_a_domain_reaches_the_sql() {
    let nasty = r#"[('name', 'in', ["'; drop table x; --", '$1', '/*', '"'])]"#;
    assert_eq!(sql(18, "res.partner", nasty), "(name = any ($1::text[]))");
    assert!(refused(18, "res.partner", r#"[('name" or 1=1 --', '=', 1)]"#).contains("has no field"));
}

#[test]
fn refusals_say_what_and_what_to_do() {
    let cases = [
        (18, "[('nme', '=', 1)]", "did you mean name?"),
        (
            18,
            "[('sale_order_count', '>', 0)]",
            "computed by Odoo and stored nowhere",
        ),
        (18, "[('signup_token', '=', 'x')]", "holds a secret"),
        (18, "[('x_tag_ids.name', '=', 'x')]", "only Odoo's Python code knows"),
        (18, "[('name', 'in', 'x')]", "use '='"),
        (18, "[('color', '=', 'x')]", "cannot be compared with the integer field"),
        (18, "[('date', '=', '2026-02-30')]", "is not a date"),
        (16, "[('parent_id', 'any', [])]", "exists from Odoo 17 on"),
        (18, "[('name', 'not =like', 'x')]", "exists from Odoo 19 on"),
        (18, "[('name.x', '=', 1)]", "no path goes through it"),
        (18, "[('id', '=', uid)]", "needs a user"),
        (18, "[('name', 'child_of', 1)]", "not meant for the char field"),
    ];
    for (version, domain, reason) in cases {
        let shown = refused(version, "res.partner", domain);
        assert!(shown.contains(reason), "{domain}: {shown}");
        assert!(shown.contains('^'), "{shown}");
    }
    assert!(refused(18, "res.partners", "[]").contains("did you mean res.partner?"));
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("[('{}name', '=', 'x')]", "parent_id.".repeat(100));
    assert!(refused(18, "res.partner", &deep).contains("nested"));
    let fine = format!("[('{}name', '=', 'x')]", "parent_id.".repeat(20));
    sql(18, "res.partner", &fine);
}

#[test]
fn what_odoo_told_goes_before_what_is_shipped() {
    let mut registry = registry(18);
    let mut pulled = crate::odoo::pulled::Pulled::default();
    let domain = serde_json::json!([["color", ">", 3]]);
    pulled.add(
        "res.partner",
        &serde_json::json!({
            "x_tag_ids": {"type": "many2many", "store": true, "domain": domain},
            "sale_order_count": {"type": "integer", "store": false, "depends": ["sale_order_ids"]},
        }),
    );
    registry.set_pulled(pulled);
    let check = |domain: &str| check_text(domain, "res.partner", &registry, &context());
    let typed = check("[('x_tag_ids.name', '=', 'x')]").unwrap();
    assert!(compile(&typed, "r", &mut Params::new(), Row::Table).contains("color"));
    let refused = check("[('sale_order_count', '>', 0)]").unwrap_err();
    assert!(refused.hint_text().unwrap().contains("sale_order_ids"));
}

#[test]
fn attachments_of_fields_stay_hidden_unless_they_are_asked_for() {
    let mut registry = registry(18);
    let mut attachment = Model::new("ir.attachment", Table::Plain("ir_attachment".to_owned()));
    attachment.insert(stored("id", FieldType::Integer, "integer"));
    attachment.insert(stored("name", FieldType::Char, "character varying"));
    attachment.insert(stored("res_field", FieldType::Char, "character varying"));
    registry.insert(attachment);
    let mut partner = registry.model("res.partner").unwrap().clone();
    partner.insert(many2one("x_file_id", "ir.attachment"));
    registry.insert(partner);
    let check = |model: &str, domain: &str| check_text(domain, model, &registry, &context());
    let reads = |domain: &str| {
        check("ir.attachment", domain)
            .unwrap()
            .own_columns()
            .contains("res_field")
    };
    assert!(reads("[('name', '=', 'x')]"));
    assert!(!reads("[('id', '=', 1)]"));
    let through = |domain: &str| {
        let typed = check("res.partner", domain).unwrap();
        compile(&typed, "r", &mut Params::new(), Row::Table).contains("res_field")
    };
    assert!(through("[('x_file_id.name', '=', 'x')]"));
    assert!(!through("[('x_file_id.id', '=', 1)]"));
    assert!(check("res.partner", "[('x_file_id', '=', 1)]").is_ok());
}

/// Partners with company-dependent fields, as 18 keeps them: `default` is the trust everybody has.
fn per_company(default: Option<&str>) -> Registry {
    let mut registry = registry(18);
    let partner = registry.model_mut("res.partner").unwrap();
    for (name, kind) in [
        ("barcode", FieldType::Char),
        ("credit_limit", FieldType::Float),
        ("is_checked", FieldType::Boolean),
        ("trust", FieldType::Selection),
    ] {
        let mut field = stored(name, kind, "jsonb");
        field.company_dependent = true;
        partner.insert(field);
    }
    let term = Field {
        company_dependent: true,
        column: Some(Column {
            name: "property_parent".to_owned(),
            type_name: "jsonb".to_owned(),
        }),
        ..many2one("property_parent", "res.partner")
    };
    partner.insert(term);
    if let Some(default) = default {
        partner.field_mut("trust").unwrap().defaults = vec![(None, default.into())];
    }
    registry
}

/// Whether records without a value of their own are left out of the leaf's answer by `AND column IS NOT NULL`.
fn leaves_out_valueless(registry: &Registry, leaf: &str) -> bool {
    let domain = format!("[{leaf}]");
    let typed =
        check_text(&domain, "res.partner", registry, &context()).unwrap_or_else(|error| panic!("{leaf}: {error}"));
    match typed.plan() {
        Plan::All(items) => matches!(items.last(), Some(Plan::NotNull(Scalar::Column(_)))),
        _ => false,
    }
}

#[test]
fn in_18_python_decides_about_records_without_a_value_of_their_own() {
    let none = per_company(None);
    let normal = per_company(Some("normal"));
    for (registry, leaf, left_out) in [
        (&none, "('barcode', '=', False)", false),
        (&none, "('barcode', '=', '')", false),
        (&none, "('barcode', '=', None)", false),
        (&none, "('barcode', '=like', '')", false),
        (&none, "('barcode', 'not like', '%')", true),
        (&none, "('barcode', 'not ilike', 'x')", false),
        (&none, "('barcode', '!=', 'x')", false),
        (&none, "('barcode', '=', 'x')", true),
        (&none, "('credit_limit', '=', 0)", false),
        (&none, "('credit_limit', '=', False)", false),
        (&none, "('credit_limit', '=', None)", true),
        (&none, "('credit_limit', 'in', [False])", false),
        (&none, "('credit_limit', 'in', [None])", true),
        (&none, "('credit_limit', '<', 5)", false),
        (&none, "('credit_limit', '>=', 5)", true),
        (&none, "('is_checked', '!=', True)", false),
        (&none, "('is_checked', '=', None)", true),
        (&none, "('trust', '=', False)", false),
        (&none, "('trust', '=', '')", true),
        (&none, "('property_parent', '=', False)", false),
        (&none, "('property_parent', '=', None)", true),
        (&none, "('property_parent', 'in', [1, False])", false),
        (&none, "('property_parent', 'in', [1, None])", true),
        (&normal, "('trust', '=', 'normal')", false),
        (&normal, "('trust', '!=', 'normal')", true),
        (&normal, "('trust', 'ilike', 'NORM')", false),
        (&normal, "('trust', '=', False)", true),
    ] {
        assert_eq!(leaves_out_valueless(registry, leaf), left_out, "{leaf}");
    }
    let refused = check_text("[('credit_limit', '>', '5')]", "res.partner", &none, &context());
    assert!(refused.is_err(), "Python cannot order a number and a text");
}

#[test]
fn a_negation_before_the_other_spelling_of_unequal_loses_records_without_a_value_up_to_18() {
    assert_eq!(
        sql(18, "res.partner", "['!', ('color', '<>', 0)]"),
        "(not (color <> $1::int4))"
    );
    assert_eq!(
        sql(18, "res.partner", "['!', ('color', '!=', 0)]"),
        "((color = $1::int4) or (color is null))"
    );
    assert_eq!(
        sql(19, "res.partner", "['!', ('color', '<>', 0)]"),
        sql(19, "res.partner", "['!', ('color', '!=', 0)]")
    );
    assert_eq!(
        sql(18, "res.partner", "[('color', '<>', 3)]"),
        sql(18, "res.partner", "[('color', '!=', 3)]")
    );
}

#[test]
fn an_id_may_be_written_as_text() {
    assert_eq!(sql(18, "res.partner", "[('id', '>', '5')]"), "(id > $1::int4)");
    refused(18, "res.partner", "[('id', '>', 'abc')]");
}

#[test]
fn users_are_a_hierarchy_of_numbers_in_19_for_their_parent_link_leads_to_partners() {
    let below = sql(19, "res.users", "[('id', 'child_of', 2)]");
    assert!(
        below.contains("join public.res_partner") && below.contains("parent_id"),
        "{below}"
    );
    let above = sql(19, "res.users", "[('id', 'parent_of', 2)]");
    assert!(above.contains("partner_id") && above.contains(" or "), "{above}");
    let before = refused(18, "res.users", "[('id', 'child_of', 2)]");
    assert!(before.contains("no hierarchy"), "{before}");
}

#[test]
fn a_leaf_that_decides_all_hides_in_19_what_a_search_of_records_would_fail_at() {
    let decided = "['|', ('id', 'child_of', 1), ('name', 'not in', [])]";
    assert_eq!(sql(19, "crm.stage", decided), "true");
    assert_eq!(
        sql(19, "crm.stage", "['!', '&', ('id', 'child_of', 1), ('name', 'in', [])]"),
        "true"
    );
    assert!(refused(18, "crm.stage", decided).contains("no hierarchy"));
    let undecided = "['|', ('id', 'child_of', 1), ('name', 'in', [])]";
    assert!(refused(19, "crm.stage", undecided).contains("no hierarchy"));
    let secret = "['|', ('signup_token', '=', 'x'), ('name', 'not in', [])]";
    assert!(
        refused(19, "res.partner", secret).contains("secret"),
        "a secret is refused whatever stands beside it"
    );
}
