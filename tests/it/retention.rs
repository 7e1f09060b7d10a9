//! What becomes of old attempts and deliveries, of a person's data, and of the subscriptions' history.

use std::time::Duration;

use odoo_eventd::pg::connect::Database as Connection;
use odoo_eventd::pg::outbox;
use odoo_eventd::pg::retention::{DeliveryKey, clear_deliveries, drop_log_day};
use odoo_eventd::worker::upkeep::retention::Retention;
use serde_json::Value;

use crate::support::delivery::subscribe;
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{SOON, Service, eventd, eventd_ok};
use crate::support::{Database, eventually};

/// An installation without a service, and a session that holds its term.
async fn installed() -> (Database, tokio_postgres::Client, i64) {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let client = Connection::parse(&database.url()).unwrap().connect().await.unwrap();
    let term = outbox::take_lead(&client).await.unwrap().term;
    (database, client, term)
}

/// Makes the log's partition of a day so many days ago.
async fn make_log_day(database: &Database, days_ago: i32) {
    database
        .psql(&format!(
            "do $$ declare day date := (now() at time zone 'utc')::date - {days_ago}; begin
               execute format('create table odoo_eventd.mcp_webhook_delivery_%s partition of public.mcp_webhook_delivery
                               for values from (%L) to (%L)', to_char(day, 'YYYYMMDD'), day, day + 1); end $$"
        ))
        .await;
}

/// Ages, in days, of the log's partitions that are over.
async fn old_days(database: &Database) -> String {
    database
        .psql(
            "select coalesce(string_agg(((now() at time zone 'utc')::date - day)::text, ' ' order by day), '')
               from odoo_eventd.log_days() where day < (now() at time zone 'utc')::date",
        )
        .await
}

/// A delivery of an event so many days ago, with an attempt in the log of that day if asked for.
async fn make_delivery(database: &Database, number: i32, days_ago: i32, state: &str, logged: bool) {
    let due = if state == "waiting" {
        "now() + interval '1 hour'"
    } else {
        "null"
    };
    database
        .psql(&format!(
            "insert into odoo_eventd.delivery (event_id, subscription_id, part, delivery_id, model, event_type, record_ids, state, attempts, due_at)
             select rpad(lpad(to_hex((extract(epoch from now() - interval '{days_ago} days') * 1000)::bigint), 12, '0') || '8000800', 32, '0')::uuid,
                    1, {number}, md5('{number}')::uuid, 'sale.order', 'write', '{{{number}}}', '{state}', 1, {due}"
        ))
        .await;
    if logged {
        database
            .psql(&format!(
                "insert into public.mcp_webhook_delivery (delivery_id, subscription_id, event_id, model, record_ids, attempt, status, payload, create_date)
                 select d.delivery_id, 1, d.event_id, d.model, d.record_ids, 1, 'failed', 'body {number}', (now() at time zone 'utc')::date - {days_ago}
                   from odoo_eventd.delivery d where d.part = {number}"
            ))
            .await;
    }
}

async fn parts(database: &Database) -> String {
    database
        .psql("select coalesce(string_agg(part::text, ' ' order by part), '') from odoo_eventd.delivery")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_drops_days_older_than_the_setting_and_clears_what_ended_then() {
    let (database, client, _) = installed().await;
    drop(client);
    for days_ago in [1, 7, 8, 30] {
        make_log_day(&database, days_ago).await;
    }
    make_delivery(&database, 1, 30, "success", true).await;
    make_delivery(&database, 2, 30, "failed", false).await;
    make_delivery(&database, 3, 7, "success", true).await;
    let service = Service::start(&database.url(), &["--log-retention-days", "7"]);
    eventually("old deliveries to go with their days", SOON, async || {
        (parts(&database).await == "3").then_some(())
    })
    .await;
    assert_eq!(old_days(&database).await, "7 1");
    let (status, log) = service.terminate().await;
    assert!(status.success());
    assert_eq!(log.matches("dropped a day of the log").count(), 2, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_dropped_when_the_log_is_kept_for_ever() {
    let (database, client, term) = installed().await;
    make_log_day(&database, 4_000).await;
    make_delivery(&database, 1, 4_000, "success", false).await;
    Retention::new(0).let_go(&client, term).await.unwrap();
    assert_eq!(
        (old_days(&database).await, parts(&database).await),
        ("4000".into(), "1".into())
    );
    Retention::new(3_999).let_go(&client, term).await.unwrap();
    assert_eq!(
        (old_days(&database).await, parts(&database).await),
        (String::new(), String::new())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_the_log_puts_the_drop_off_and_holds_up_no_delivery() {
    let (database, client, _) = installed().await;
    drop(client);
    make_log_day(&database, 40).await;
    let mut reader = database.client().await;
    let reading = reader.transaction().await.unwrap();
    reading.query("select * from mcp_webhook_delivery", &[]).await.unwrap();

    let receiver = Receiver::start().await;
    subscribe(&database, "sale.order", &receiver.url("/"), &[]).await;
    let service = Service::leading(&database).await;
    for n in 0..20 {
        database
            .psql(&format!(
                "update sale_order set client_order_ref = 'while it is read {n}' where id = 1"
            ))
            .await;
    }
    receiver.wait_for(20, SOON).await;
    assert_eq!(old_days(&database).await, "40");

    // Not after the minute's pause that the service makes: this is the function it calls then.
    let session = Connection::parse(&database.url()).unwrap().connect().await.unwrap();
    let term: i64 = session
        .query_one("select term from odoo_eventd.position", &[])
        .await
        .unwrap()
        .get(0);
    let refused = drop_log_day(&session, term, 30).await.unwrap_err();
    assert_eq!(
        refused.sql_state(),
        Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE)
    );
    reading.commit().await.unwrap();
    assert!(drop_log_day(&session, term, 30).await.unwrap().is_some());
    assert_eq!(drop_log_day(&session, term, 30).await.unwrap(), None);
    assert_eq!(old_days(&database).await, "");
    let (status, _) = service.terminate().await;
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_still_to_be_sent_keeps_its_body_when_its_day_is_dropped() {
    let (database, client, term) = installed().await;
    make_log_day(&database, 40).await;
    make_delivery(&database, 1, 40, "waiting", true).await;
    make_delivery(&database, 2, 40, "failed", true).await;
    drop_log_day(&client, term, 30).await.unwrap().unwrap();
    assert_eq!(
        database
            .psql("select part || ' ' || coalesce(body, 'none') from odoo_eventd.delivery order by part")
            .await,
        "1 body 1\n2 none"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_cleared_once_it_has_ended_and_its_attempts_are_gone_and_not_before() {
    let (database, client, term) = installed().await;
    make_log_day(&database, 20).await;
    for (number, days_ago, state, logged) in [
        (1, 50, "success", false),
        (2, 50, "failed", false),
        (3, 50, "waiting", false),
        (4, 20, "success", true),
        (5, 20, "failed", false),
        (6, 1, "success", false),
    ] {
        make_delivery(&database, number, days_ago, state, logged).await;
    }
    // A small batch at a time: the place where it goes on is part of what it returns.
    let (mut after, mut cleared) = (DeliveryKey::FIRST, 0);
    loop {
        let batch = clear_deliveries(&client, term, 10, after, 2).await.unwrap();
        cleared += batch.cleared;
        match batch.last {
            Some(last) => after = last,
            None => break,
        }
    }
    assert_eq!(cleared, 3);
    assert_eq!(parts(&database).await, "3 4 6");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_no_longer_leads_drops_and_clears_nothing() {
    let (database, client, term) = installed().await;
    make_log_day(&database, 40).await;
    outbox::take_lead(&client).await.unwrap();
    for error in [
        drop_log_day(&client, term, 30).await.unwrap_err(),
        clear_deliveries(&client, term, 30, DeliveryKey::FIRST, 10)
            .await
            .unwrap_err(),
    ] {
        assert_eq!(error.sql_state().unwrap().code(), "OE001");
    }
    assert_eq!(old_days(&database).await, "40");
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_a_record_blanks_its_bodies_and_ends_what_was_not_sent() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::status(200).body("thank you, alice@example.com")]);
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, "res.partner", &receiver.url("/"), &["--max-attempts", "5"]).await;
    let service = Service::leading(&database).await;
    database
        .psql("update res_partner set name = 'Alice' where id = 1")
        .await;
    receiver.wait_for(1, SOON).await;
    // The second fails and waits for its next attempt.
    receiver.replies([Reply::status(503)]);
    database
        .psql("update res_partner set name = 'Alice B.' where id = 1")
        .await;
    receiver.wait_for(2, SOON).await;
    eventually("both attempts to be recorded", SOON, async || {
        let ended = database
            .psql("select string_agg(status, ' ' order by id) from mcp_webhook_delivery")
            .await;
        (ended == "success failed").then_some(())
    })
    .await;
    let ids = database
        .psql("select delivery_id from mcp_webhook_delivery order by id")
        .await;
    service.terminate().await;

    let erase = ["erase", "--model", "res.partner", "--ids", "1", "--json"];
    let dry: Value =
        serde_json::from_str(&eventd_ok(&database.url(), &[&erase[..], &["--dry-run"]].concat()).await).unwrap();
    assert_eq!(
        (&dry["deliveries"], &dry["attempts"], &dry["unsent"]),
        (&2.into(), &2.into(), &1.into())
    );
    assert!(
        dry["outbox_rows"].as_i64().unwrap() + dry["outbox_rows_unread"].as_i64().unwrap() >= 2,
        "the outbox was not emptied yet: {dry}"
    );
    assert!(
        !database
            .psql("select payload from mcp_webhook_delivery")
            .await
            .contains("erased")
    );

    eventd_ok(&database.url(), &erase).await;
    assert_eq!(
        database
            .psql("select status, error, payload, response_body from mcp_webhook_delivery order by id")
            .await,
        "success||{\"erased\":true}|{\"erased\":true}\n\
         failed|http_status|{\"erased\":true}|{\"erased\":true}\n\
         failed|erased|{\"erased\":true}|"
    );
    assert_eq!(
        database
            .psql("select count(*) from odoo_eventd.outbox o where record_id = 1 and pg_visible_in_snapshot(o.xid, (select done from odoo_eventd.position))")
            .await,
        "0"
    );
    // Nothing is left that could be sent again.
    for id in ids.lines() {
        eventd(&database.url(), &["redeliver", id]).await;
    }
    let service = Service::leading(&database).await;
    database.psql("update res_partner set name = 'Bob' where id = 2").await;
    let requests = receiver.wait_for(3, SOON).await;
    assert_eq!(requests[2].json()["record_ids"], serde_json::json!([2]));
    service.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_a_text_finds_it_in_other_models_bodies_and_in_answers() {
    let (database, _client, _) = installed().await;
    for (number, days_ago) in [(1, 0), (2, 0), (3, 0)] {
        make_delivery(&database, number, days_ago, "success", true).await;
    }
    database
        .psql(
            "update mcp_webhook_delivery set payload = '{\"partner_id.email\":\"alice@example.com\"}' where record_ids = '{1}';
             update mcp_webhook_delivery set response_body = 'welcome alice@example.com' where record_ids = '{2}'",
        )
        .await;
    eventd_ok(&database.url(), &["erase", "--containing", "alice@example.com"]).await;
    assert_eq!(
        database
            .psql("select record_ids[1] from mcp_webhook_delivery where payload like '%erased%' order by 1")
            .await,
        "1\n2"
    );
    assert_eq!(
        database
            .psql("select count(*) from mcp_webhook_delivery where payload like '%alice%'")
            .await,
        "0"
    );
    assert_eq!(parts(&database).await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_needs_the_owner_and_something_to_erase() {
    let database = Database::fixture().await;
    eventd_ok(&database.admin_url(), &["install"]).await;
    database
        .admin_client()
        .await
        .batch_execute("alter role odoo_eventd_listener login")
        .await
        .unwrap();
    let refused = eventd(
        &database.url_as("odoo_eventd_listener"),
        &["erase", "--model", "res.partner", "--ids", "1"],
    )
    .await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("only the owner"));
    for wrong in [
        &["erase"][..],
        &["erase", "--containing", " "],
        &["erase", "--ids", "1"],
    ] {
        assert_eq!(eventd(&database.url(), wrong).await.status.code(), Some(2), "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriptions_history_tells_who_changed_what_and_no_secret() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql(
            "insert into mcp_event_subscription (model, webhook_url, webhook_secret, headers, webhook_payload_template)
             values ('sale.order', 'https://user:pw-1@hooks.example/T0/token-2?key=token-3', 'secret-4', '{\"X-Key\": \"token-5\"}', 'token-6')",
        )
        .await;
    database
        .psql("begin; set local mcp.uid = 7; update mcp_event_subscription set webhook_secret = 'secret-8', domain = '[(\"id\", \"=\", 1)]'; commit")
        .await;
    database
        .psql("update mcp_event_subscription set webhook_url = 'https://hooks.example/T0/token-9'")
        .await;
    // Changes nothing, so is no change.
    database.psql("update mcp_event_subscription set name = name").await;
    database.psql("delete from mcp_event_subscription").await;

    let text = eventd_ok(&database.url(), &["history", "1", "--json"]).await;
    for secret in ["pw-1", "token-", "secret-"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let history: Vec<Value> = serde_json::from_str(&text).unwrap();
    let ops: Vec<&str> = history.iter().map(|h| h["op"].as_str().unwrap()).collect();
    assert_eq!(ops, ["delete", "update", "update", "insert"]);
    let rotation = &history[2];
    assert_eq!(rotation["odoo_uid"], 7);
    assert_eq!(rotation["login"], "odoo");
    assert_eq!(rotation["changed"], serde_json::json!(["domain", "credentials"]));
    assert_eq!(rotation["before"]["domain"], "[]");
    assert_eq!(history[1]["changed"], serde_json::json!(["webhook_url"]));
    assert!(
        history[1]["after"]["webhook_url"]
            .as_str()
            .unwrap()
            .starts_with("https://hooks.example (sha256 ")
    );
    assert!(eventd_ok(&database.url(), &["history"]).await.contains("credentials"));

    let tampering = database.try_psql("delete from odoo_eventd.subscription_history").await;
    assert!(tampering.unwrap_err().contains("only appended to"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_writes_of_a_subscription_is_no_history() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, "sale.order", &receiver.url("/"), &[]).await;
    let service = Service::leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'x' where id = 1")
        .await;
    receiver.wait_for(1, SOON).await;
    eventually("the delivery to be noted", SOON, async || {
        let noted = database
            .psql("select last_delivery_status from mcp_event_subscription")
            .await;
        (noted == "success").then_some(())
    })
    .await;
    assert_eq!(
        database
            .psql("select string_agg(op, ' ') from odoo_eventd.subscription_history")
            .await,
        "insert"
    );
    service.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn values_do_not_stay_in_the_outbox_for_longer_than_a_day_after_they_were_read() {
    let (database, client, _) = installed().await;
    drop(client);
    let receiver = Receiver::start().await;
    subscribe(&database, "res.partner", &receiver.url("/"), &[]).await;
    database
        .psql("update res_partner set name = 'Alice' where id = 1")
        .await;
    database
        .psql("update odoo_eventd.ring set rotated_at = now() - interval '25 hours'")
        .await;
    let service = Service::leading(&database).await;
    receiver.wait_for(1, SOON).await;
    // The sweeper comes every 15 seconds.
    eventually("the read rows to be gone", SOON + Duration::from_secs(30), async || {
        let rows = database.psql("select count(*) from odoo_eventd.outbox").await;
        (rows == "0").then_some(())
    })
    .await;
    service.kill().await;
}
