//! `odoo-eventd doctor`: each pain made real is found, and a healthy installation has none.

use odoo_eventd::health::CODES;
use odoo_eventd::pg::connect::Database as Connection;
use odoo_eventd::pg::pooler;
use serde_json::Value;

use crate::support::bouncer::PgBouncer;
use crate::support::delivery::subscribe;
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd, eventd_ok};
use crate::support::{Database, Server, eventually};

/// Levels by code, and the exit code.
async fn examined(url: &str) -> (Value, i32) {
    let output = eventd(url, &["doctor", "--json"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let findings: Vec<Value> = serde_json::from_str(&text)
        .unwrap_or_else(|e| panic!("{e}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    let levels = findings
        .iter()
        .map(|f| (f["code"].as_str().unwrap().to_owned(), f["level"].clone()))
        .collect::<serde_json::Map<_, _>>();
    assert_eq!(levels.len(), CODES.len());
    (Value::Object(levels), output.status.code().unwrap())
}

async fn subscribed() -> (Database, Receiver) {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.admin_url(), &["install"]).await;
    subscribe(&database, "sale.order", &receiver.url("/"), &[]).await;
    (database, receiver)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_installation_has_nothing_wrong() {
    let (database, _receiver) = subscribed().await;
    let service = Service::leading(&database).await;
    eventually("tomorrow's log", SOON, async || {
        let (levels, code) = examined(&database.url()).await;
        (code == 0 && levels["log"] == "ok").then_some(levels)
    })
    .await;
    let (levels, code) = examined(&database.url()).await;
    assert_eq!(code, 0, "{levels}");
    // PostgreSQL 13 is served, but not by its own makers any more, and that is said.
    let is_old = database.server().cluster().version().major == 13;
    for (name, level) in levels.as_object().unwrap() {
        let expected: &[&str] = match name.as_str() {
            "server-version" if is_old => &["warning"],
            _ => &["ok", "note"],
        };
        assert!(expected.contains(&level.as_str().unwrap()), "{name}: {level}");
    }
    let text = eventd_ok(&database.url(), &["doctor"]).await;
    assert!(text.contains("0 wrong") && text.contains("physical-clone"), "{text}");
    service.kill().await;
}

/// Roles are the cluster's, so it has one of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_right_of_the_listener_that_odoos_role_inherits_is_told() {
    let server = Server::private(odoo_eventd::demo::Options::new());
    if server.cluster().version().major < 14 {
        eprintln!("skipped: pg_read_all_data came with PostgreSQL 14");
        return;
    }
    let database = server.fixture().await;
    eventd_ok(&database.admin_url(), &["install"]).await;
    assert_eq!(examined(&database.url()).await.0["rights"], "ok");
    let admin = database.admin_client().await;
    let grant = "grant pg_read_all_data to odoo_eventd_listener";
    admin.batch_execute(grant).await.unwrap();
    assert_eq!(examined(&database.url()).await.0["rights"], "note");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_pain_is_found_and_mending_it_is_noticed() {
    let (database, _receiver) = subscribed().await;
    let (levels, code) = examined(&database.url()).await;
    assert_eq!(
        (levels["service"].as_str(), code),
        (Some("wrong"), 1),
        "nobody delivers"
    );

    for (hurt, mend, name, level) in [
        (
            "alter table sale_order disable trigger user",
            "alter table sale_order enable trigger user",
            "drift",
            "wrong",
        ),
        (
            "alter table sale_order enable replica trigger odoo_eventd_insert",
            "alter table sale_order enable trigger odoo_eventd_insert",
            "drift",
            "wrong",
        ),
        (
            "select odoo_eventd.switch_capture(false)",
            "select odoo_eventd.switch_capture(true)",
            "capture-off",
            "wrong",
        ),
        (
            "update ir_config_parameter set value = 'x' || value where key = 'database.uuid'",
            "update ir_config_parameter set value = substr(value, 2) where key = 'database.uuid'",
            "copy",
            "wrong",
        ),
        (
            "insert into odoo_eventd.delivery (event_id, subscription_id, part, delivery_id, model, event_type, record_ids, body, state, due_at)
               values (gen_random_uuid(), 1, 0, gen_random_uuid(), 'sale.order', 'write', '{1}', '{}', 'waiting', now() - interval '1 hour')",
            "delete from odoo_eventd.delivery",
            "deliveries",
            "wrong",
        ),
        (
            "insert into mcp_event_subscription (model, state) values ('no.such', null);
             select set_config('odoo_eventd.service_write', 'on', false);
             update mcp_event_subscription set state = 'invalid', error = 'there is no such model' where model = 'no.such'",
            "delete from mcp_event_subscription where model = 'no.such'",
            "subscriptions",
            "wrong",
        ),
        (
            "select set_config('odoo_eventd.service_write', 'on', false);
             update mcp_event_subscription set state = 'disabled', disabled_at = now(), error = 'the endpoint answered 410 Gone' where id = 1",
            "select set_config('odoo_eventd.service_write', 'on', false);
             update mcp_event_subscription set state = 'ready', disabled_at = null, error = null where id = 1",
            "subscriptions",
            "warning",
        ),
        (
            "update odoo_eventd.installation set outbox_max_bytes = 1; update sale_order set client_order_ref = 'x' where id = 1",
            "update odoo_eventd.installation set outbox_max_bytes = 8589934592",
            "outbox",
            "wrong",
        ),
        (
            "do $$ begin execute format('drop table odoo_eventd.mcp_webhook_delivery_%s', to_char((now() at time zone 'utc')::date, 'YYYYMMDD')); end $$",
            "select odoo_eventd.ensure_log_days(2)",
            "log",
            "wrong",
        ),
    ] {
        let before = examined(&database.url()).await.0;
        assert_eq!(before[name], "ok", "before: {hurt}");
        database.psql(hurt).await;
        let (levels, code) = examined(&database.url()).await;
        assert_eq!((levels[name].as_str(), code), (Some(level), i32::from(level == "wrong")), "{hurt}: {levels}");
        database.psql(mend).await;
        assert_eq!(examined(&database.url()).await.0[name], "ok", "{mend}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_that_are_in_the_way_are_named() {
    let (database, _receiver) = subscribed().await;
    let listening = database.client().await;
    listening
        .batch_execute("set application_name = 'imbus'; listen imbus")
        .await
        .unwrap();
    let text = String::from_utf8(eventd(&database.url(), &["doctor"]).await.stdout).unwrap();
    assert!(text.contains("others listen in this database: imbus"), "{text}");
    // Both need minutes to become a warning; what they are judged by is measured at once.
    database
        .psql("begin; select 1; prepare transaction 'left behind'")
        .await;
    let told: Value = serde_json::from_str(&database.psql("select odoo_eventd.examine()").await).unwrap();
    assert!(told["oldest_prepared_age_s"].as_f64().unwrap() > 0.0, "{told}");
    database.psql("rollback prepared 'left behind'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_without_an_installation_says_what_to_do() {
    let database = Database::fixture().await;
    let output = eventd(&database.url(), &["doctor"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("odoo-eventd install"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_is_found_and_one_in_session_mode_is_none() {
    let database = Database::fixture().await;
    let direct = database.tcp_url();
    assert_eq!(pooler::find(&Connection::parse(&direct).unwrap()).await.unwrap(), None);
    for (mode, is_found) in [("session", false), ("transaction", true)] {
        let Some(bouncer) = PgBouncer::start(&database, mode).await else {
            return;
        };
        let through = bouncer.url(&database);
        for _ in 0..3 {
            let found = pooler::find(&Connection::parse(&through).unwrap()).await.unwrap();
            assert_eq!(found.is_some(), is_found, "{mode}: {found:?}");
        }
    }
}
