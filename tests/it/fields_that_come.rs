//! Fields that come, go and change while the service runs: Studio, module upgrades. Whoever watches any field hears of a new one within
//! seconds, nobody loses a change over it, and what a subscription names decides whether it is served.

use crate::support::delivery::{subscribe, wait_true};
use crate::support::receiver::{Receiver, Recorded};
use crate::support::service::{SOON, Service, eventd_ok};
use crate::support::{Database, eventually};

async fn declare(database: &Database, model: &str, name: &str, ttype: &str, more: &str) {
    database
        .psql(&format!(
            "insert into ir_model_fields (model, model_id, name, ttype, state, store, field_description{})
               select '{model}', id, '{name}', '{ttype}', 'manual', true, '{{\"en_US\": \"X\"}}'{} from ir_model where model = '{model}'",
            more.split('=').next().map_or(String::new(), |names| if names.is_empty() { String::new() } else { format!(", {names}") }),
            more.split('=').nth(1).map_or(String::new(), |values| format!(", {values}")),
        ))
        .await;
}

/// Writes again and again until an event tells that this field changed: some of it is written before the field is known.
async fn heard_of(database: &Database, receiver: &Receiver, field: &str, write: impl Fn(u32) -> String) -> Recorded {
    let mut round = 0;
    eventually(&format!("an event of {field}"), SOON, async || {
        round += 1;
        database.psql(&write(round)).await;
        receiver.requests().into_iter().find(|request| {
            let body = request.json();
            body["changed_fields"].as_array().unwrap().contains(&field.into())
        })
    })
    .await
}

async fn state(database: &Database, id: i32, state: &str) -> String {
    wait_true(
        database,
        &format!("(select state = '{state}' from mcp_event_subscription where id = {id})"),
    )
    .await;
    database
        .psql(&format!(
            "select coalesce(error, '') from mcp_event_subscription where id = {id}"
        ))
        .await
}

async fn installed() -> (Database, Receiver) {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("alter table crm_tag alter column name drop not null")
        .await;
    (database, Receiver::start().await)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_watches_any_field_hears_of_new_ones_of_renamed_and_of_retyped_ones() {
    let (database, receiver) = installed().await;
    subscribe(&database, "crm.tag", &receiver.url("/"), &["--event", "write"]).await;
    let _service = Service::leading(&database).await;
    // The column first, in a transaction of its own; then the other way round.
    database.psql("alter table crm_tag add column x_first integer").await;
    declare(&database, "crm.tag", "x_first", "integer", "").await;
    heard_of(&database, &receiver, "x_first", |n| {
        format!("update crm_tag set x_first = {n} where id = 1")
    })
    .await;
    declare(&database, "crm.tag", "x_second", "char", "").await;
    database.psql("alter table crm_tag add column x_second varchar").await;
    heard_of(&database, &receiver, "x_second", |n| {
        format!("update crm_tag set x_second = '{n}' where id = 1")
    })
    .await;
    database
        .psql(
            "begin; alter table crm_tag rename column x_second to x_third;
             update ir_model_fields set name = 'x_third' where name = 'x_second'; commit",
        )
        .await;
    heard_of(&database, &receiver, "x_third", |n| {
        format!("update crm_tag set x_third = '{n}' where id = 1")
    })
    .await;
    database
        .psql(
            "begin; alter table crm_tag alter column x_third type jsonb using jsonb_build_object('en_US', x_third);
             update ir_model_fields set translate = true where name = 'x_third'; commit",
        )
        .await;
    let seen = receiver.requests().len();
    eventually("an event of the retyped field", SOON, async || {
        let write = format!(
            "update crm_tag set x_third = '{{\"en_US\": \"{}\"}}' where id = 2",
            receiver.requests().len()
        );
        let _ = database.try_psql(&write).await;
        (receiver.requests().len() > seen).then_some(())
    })
    .await;
    // As an upgrade does it: the relation table, and the field.
    database
        .psql(
            "create table x_crm_tag_country_rel (tag_id integer not null, country_id integer not null, primary key (tag_id, country_id))",
        )
        .await;
    declare(
        &database,
        "crm.tag",
        "x_country_ids",
        "many2many",
        "relation, relation_table, column1, column2='res.country', 'x_crm_tag_country_rel', 'tag_id', 'country_id'",
    )
    .await;
    heard_of(&database, &receiver, "x_country_ids", |n| {
        format!("insert into x_crm_tag_country_rel values (1, {n})")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_open_while_a_field_comes_is_told_as_if_none_had_come() {
    let (database, receiver) = installed().await;
    subscribe(&database, "crm.tag", &receiver.url("/"), &["--event", "write"]).await;
    let _service = Service::leading(&database).await;
    let across = database.client().await;
    across
        .batch_execute("begin; update crm_tag set color = 77 where id = 1")
        .await
        .unwrap();
    // Not through the table: that is in use.
    let generation = "select generation from odoo_eventd.capture where model = 'crm.tag'";
    let before = database.psql(generation).await;
    database
        .psql("delete from ir_model_fields where model = 'crm.tag' and name = 'name'")
        .await;
    wait_true(&database, &format!("({generation}) <> {}", before.trim())).await;
    let without = database.psql(generation).await;
    database
        .psql(
            "insert into ir_model_fields (model, model_id, name, ttype, state, store, translate, field_description)
               select 'crm.tag', id, 'name', 'char', 'base', true, true, '{}' from ir_model where model = 'crm.tag'",
        )
        .await;
    wait_true(&database, &format!("({generation}) <> {}", without.trim())).await;
    wait_true(
        &database,
        "(select count(*) = 0 from odoo_eventd.captured_column where captured_from is null)",
    )
    .await;
    across.batch_execute("commit").await.unwrap();
    let told = receiver.wait_for(1, SOON).await.remove(0).json();
    assert_eq!(told["record_ids"], serde_json::json!([1]));
    assert_eq!(told["changed_fields"], serde_json::json!(["color"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_and_goes_makes_a_subscription_invalid_and_ready_again_when_it_comes() {
    let (database, receiver) = installed().await;
    database.psql("alter table crm_tag add column x_named integer").await;
    declare(&database, "crm.tag", "x_named", "integer", "").await;
    let options = ["--event", "write", "--fields", "x_named"];
    let named = subscribe(&database, "crm.tag", &receiver.url("/"), &options).await;
    let insert = "insert into mcp_event_subscription (model, event_type, fields, lang, webhook_url) values";
    let url = receiver.url("/");
    let id = async |values: &str| -> i32 {
        let inserted = database
            .psql(&format!("{insert} ({values}, '{url}') returning id"))
            .await;
        inserted.lines().next().unwrap().trim().parse().unwrap()
    };
    let field = id("'crm.tag', 'write', '{x_later}', null").await;
    let model = id("'x_later', 'all', '{}', null").await;
    let language = id("'crm.tag', 'write', '{color}', 'de_DE'").await;
    let _service = Service::leading(&database).await;
    assert!(state(&database, field, "invalid").await.contains("x_later"));
    assert!(state(&database, model, "invalid").await.contains("unknown model"));
    assert!(state(&database, language, "invalid").await.contains("de_DE"));

    declare(&database, "crm.tag", "x_later", "boolean", "").await;
    database.psql("alter table crm_tag add column x_later boolean").await;
    state(&database, field, "ready").await;
    database
        .psql("update res_lang set active = true where code = 'de_DE'")
        .await;
    state(&database, language, "ready").await;
    database
        .psql(
            "begin; insert into ir_model (model, name, \"order\", state, transient) values ('x_later', '{\"en_US\": \"X\"}', 'id', 'manual', false);
             create table x_later (id serial primary key, x_name varchar); commit",
        )
        .await;
    declare(&database, "x_later", "x_name", "char", "").await;
    state(&database, model, "ready").await;
    heard_of(&database, &receiver, "x_name", |n| {
        format!(
            "insert into x_later (id, x_name) values (1, '{n}') on conflict (id) do update set x_name = excluded.x_name"
        )
    })
    .await;

    database
        .psql("begin; delete from ir_model_fields where name = 'x_named'; alter table crm_tag drop column x_named; commit")
        .await;
    assert!(state(&database, named, "invalid").await.contains("x_named"));
    database.psql("alter table crm_tag add column x_named integer").await;
    declare(&database, "crm.tag", "x_named", "integer", "").await;
    state(&database, named, "ready").await;
    heard_of(&database, &receiver, "x_named", |n| {
        format!("update crm_tag set x_named = {n} where id = 3")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_where_nothing_comes_is_looked_at_and_not_read_again() {
    let (database, receiver) = installed().await;
    subscribe(&database, "crm.tag", &receiver.url("/"), &[]).await;
    let admin = database.admin_client().await;
    let stamp = async || -> String {
        let row = admin
            .query_one("select odoo_eventd.registry_stamp()", &[])
            .await
            .unwrap();
        row.get(0)
    };
    let _service = Service::leading(&database).await;
    let before = stamp().await;
    database
        .psql(
            "update crm_tag set color = 5; insert into res_partner (name) values ('new'); analyze res_partner;
             create temporary table ours (id integer)",
        )
        .await;
    database.psql("vacuum ir_model_fields").await;
    assert_eq!(stamp().await, before, "what is written every day");
    // What one new subscription sets up would otherwise have thousands looked at again.
    let new = subscribe(&database, "sale.order", &receiver.url("/"), &["--fields", "note"]).await;
    state(&database, new, "ready").await;
    let has_triggers =
        "select count(*) from pg_trigger where tgrelid = 'sale_order'::regclass and tgname like 'odoo_eventd%'";
    assert_ne!(database.psql(has_triggers).await.trim(), "0");
    assert_eq!(stamp().await, before, "a subscription to another model");
    for sql in [
        "update ir_model_fields set required = not required where id = (select max(id) from ir_model_fields)",
        "update ir_module_module set state = 'installed' where id = (select max(id) from ir_module_module)",
        "update res_lang set active = not active where code = 'fr_FR'",
        "insert into res_company (name, partner_id, currency_id) select 'B', partner_id, currency_id from res_company limit 1",
        "alter table crm_tag add column x_more integer",
        "alter table crm_tag rename column x_more to x_other",
        "alter table crm_tag alter column x_other type bigint",
        "alter table crm_tag drop column x_other",
        "alter table res_partner rename column ref to x_ref",
        "alter table res_partner rename column x_ref to ref",
        "alter table res_partner force row level security, enable row level security",
        "create table x_new (id integer)",
        "drop table x_new",
    ] {
        let before = stamp().await;
        database.psql(sql).await;
        assert_ne!(stamp().await, before, "{sql}");
    }
}
