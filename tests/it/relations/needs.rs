//! What is captured of other tables, and what is not or no longer.

use super::{ORDER_TAGS, Watch, Watching};
use crate::support::delivery::subscribe;
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd, eventd_ok};
use crate::support::{Database, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_while_the_service_was_away_arrives_and_nothing_from_before_the_subscription() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    database.psql("insert into sale_order_tag_rel values (1, 1)").await;
    let url = receiver.url("/orders");
    subscribe(&database, "sale.order", &url, &["--fields", "tag_ids,order_line"]).await;
    database.psql("insert into sale_order_tag_rel values (1, 2)").await;
    database.psql("delete from sale_order_line where order_id = 2").await;
    let service = Service::leading(&database).await;
    let mut watching = Watching {
        database,
        receiver,
        heard: 0,
        service: Some(service),
    };
    assert_eq!(
        watching.hears_now().await,
        ["orders write [1] tag_ids", "orders write [2] order_line"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn switching_a_model_off_switches_its_relation_tables_off() {
    let mut watching = Watching::start(&[ORDER_TAGS]).await;
    let url = watching.database.url();
    eventd_ok(&url, &["capture", "off", "--model", "sale.order"]).await;
    let heard = watching.hears("insert into sale_order_tag_rel values (1, 1)").await;
    assert!(heard.is_empty(), "{heard:?}");
    let status = eventd(&url, &["status", "--json"]).await;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let off: Vec<&str> = status["models"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|model| model["switched_off"] == true)
        .map(|model| model["model"].as_str().unwrap())
        .collect();
    assert_eq!(off, ["sale.order", "sale_order_tag_rel"]);
    eventd_ok(&url, &["capture", "on", "--model", "sale.order"]).await;
    let heard = watching.hears("insert into sale_order_tag_rel values (1, 2)").await;
    assert_eq!(heard, ["orders write [1] tag_ids"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_moves_while_its_parents_model_is_switched_off_is_not_guessed_about() {
    let mut watching = Watching::start(&[
        Watch("orders", "sale.order", &["--fields", "order_line"]),
        Watch("lines", "sale.order.line", &["--fields", "order_id"]),
    ])
    .await;
    eventd_ok(&watching.database.url(), &["capture", "off", "--model", "sale.order"]).await;
    let heard = watching
        .hears("update sale_order_line set order_id = 1 where order_id = 4")
        .await;
    assert_eq!(heard, ["lines write [8,9] order_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_subscription_needs_any_more_is_not_captured_and_its_triggers_go() {
    let mut watching = Watching::start(&[ORDER_TAGS]).await;
    watching
        .database
        .psql("update mcp_event_subscription set active = false")
        .await;
    eventually("capture to stop", SOON, async || {
        let active = watching
            .database
            .psql("select count(*) from odoo_eventd.capture where active")
            .await;
        (active.trim() == "0").then_some(())
    })
    .await;
    let heard = watching.hears("insert into sale_order_tag_rel values (1, 1)").await;
    assert!(heard.is_empty(), "{heard:?}");
    assert_eq!(
        watching.database.psql("select count(*) from odoo_eventd.outbox").await,
        "0"
    );
    // One table a call.
    while !watching
        .database
        .psql("select odoo_eventd.drop_idle_triggers()")
        .await
        .trim()
        .is_empty()
    {}
    let left = "select count(*) from pg_trigger where tgname like 'odoo\\_eventd%'";
    assert_eq!(watching.database.psql(left).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_field_means_many2many_too_and_the_others_only_by_name() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    eventd_ok(&database.url(), &["subscribe", "--model", "product.template"]).await;
    eventd_ok(
        &database.url(),
        &["subscribe", "--model", "project.task", "--event", "create"],
    )
    .await;
    let needs = "select string_agg(model, ' ' order by subscription_id, model) from odoo_eventd.subscription_need";
    assert_eq!(
        database.psql(needs).await,
        "product.template product_optional_rel product_tag_product_template_rel project.task"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_shows_nowhere_is_refused_with_the_reason() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("alter table product_optional_rel rename column dest_id to other_id; insert into odoo_eventd.secret_field values ('res.partner', 'email')")
        .await;
    for (model, field, reason) in [
        ("sale.order", "tasks_ids", "is not stored in the database"),
        (
            "product.template",
            "optional_product_ids",
            "has no relation table in the database",
        ),
        ("res.partner", "image_1920", "is kept as an attachment"),
        ("res.users", "email", "holds a secret"),
        ("res.users", "password", "holds a secret"),
        ("sale.order", "no_such_ids", "has no field"),
    ] {
        let refused = eventd(&database.url(), &["subscribe", "--model", model, "--fields", field]).await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && said.contains(reason),
            "{model} {field}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_stored_nowhere_is_refused_with_the_stored_fields_it_depends_on() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    for (model, field, names) in [
        ("sale.order", "display_name", "partner_id, name"),
        ("res.country", "display_name", "name"),
        ("res.partner", "country_code", "country_id.code"),
        // What it is computed from has no column either.
        ("res.users", "company_type", "partner_id.is_company"),
    ] {
        let refused = eventd(&database.url(), &["subscribe", "--model", model, "--fields", field]).await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(
            said.contains(&format!("hint: watch what it depends on: {names}\n")),
            "{model} {field}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_the_installer_did_not_allow_still_tell_of_fields_of_those_that_were() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("insert into odoo_eventd.allowed_model values ('sale.order')")
        .await;
    let mut watching = Watching::start_in(
        database,
        &[Watch("orders", "sale.order", &["--fields", "order_line,tag_ids"])],
    )
    .await;
    let heard = watching.hears("begin; delete from sale_order_line where order_id = 1; delete from sale_order_tag_rel where order_id = 2; commit").await;
    assert_eq!(heard, ["orders write [1,2] order_line,tag_ids"]);
    watching
        .database
        .psql("insert into mcp_event_subscription (model) values ('sale.order.line')")
        .await;
    eventually("a model that is not allowed to be refused", SOON, async || {
        let error = "select error from mcp_event_subscription where state = 'invalid'";
        let said = watching.database.psql(error).await;
        said.contains("not among those the installer allowed").then_some(())
    })
    .await;
}
