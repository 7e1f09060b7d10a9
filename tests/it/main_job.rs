//! The main job: a change in Odoo's tables arrives once, signed and logged, whatever happens to the service.

use std::collections::HashSet;
use std::time::Duration;

use crate::support::receiver::{Receiver, Recorded, Reply};
use crate::support::service::{SOON, Service, eventd, eventd_ok, wait_until_leading};
use crate::support::{Database, eventually};

const SECRET: &str = "a-secret-of-thirty-two-bytes-or-more";

/// Installed, with one subscription to confirmed orders.
async fn subscribed(database: &Database, receiver: &Receiver) {
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(
        database,
        receiver,
        &[
            "--event",
            "write",
            "--fields",
            "state",
            "--domain",
            "[('state','=','sale')]",
        ],
    )
    .await;
}

async fn subscribe(database: &Database, receiver: &Receiver, options: &[&str]) {
    let url = receiver.url("/orders");
    let mut arguments = vec!["subscribe", "--model", "sale.order", "--url", &url, "--secret", SECRET];
    arguments.extend(options);
    eventd_ok(&database.url(), &arguments).await;
}

fn record_ids(request: &Recorded) -> Vec<i64> {
    request.json()["record_ids"]
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_i64().unwrap())
        .collect()
}

/// Every delivery that arrived, and whether one came twice.
fn delivery_ids(requests: &[Recorded]) -> HashSet<String> {
    let ids: Vec<String> = requests
        .iter()
        .map(|r| r.header("webhook-id").unwrap().to_owned())
        .collect();
    let distinct: HashSet<String> = ids.iter().cloned().collect();
    assert_eq!(ids.len(), distinct.len(), "a delivery was sent twice");
    distinct
}

async fn logged(database: &Database, condition: &str) -> i64 {
    database
        .psql(&format!("select count(*) from mcp_webhook_delivery where {condition}"))
        .await
        .trim()
        .parse()
        .unwrap()
}

async fn a_confirmation_arrives(database: Database) {
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::status(202).body("taken"));
    subscribed(&database, &receiver).await;
    let service = Service::leading(&database).await;
    let id: i64 = database
        .psql("update sale_order set state = 'sale' where id = (select min(id) from sale_order where state <> 'sale') returning id")
        .await
        .lines()
        .next()
        .unwrap()
        .parse()
        .unwrap();

    let requests = receiver.wait_for(1, SOON).await;
    let request = &requests[0];
    assert_eq!(record_ids(request), [id]);
    assert_eq!(request.header("x-mcp-event"), Some("sale.order.write"));
    assert_eq!(request.header("webhook-id"), request.header("x-mcp-delivery-id"));
    let body = request.json();
    assert_eq!(body["changed_fields"], serde_json::json!(["state"]));
    assert_eq!(body["database"], database.name());
    assert_eq!(request.header("x-mcp-event-id"), body["event_id"].as_str());
    let keys: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys.len(), 9, "{keys:?}");

    eventually("the outcome in the log", SOON, async || {
        (logged(&database, "status = 'success'").await == 1).then_some(())
    })
    .await;
    let row = database
        .psql(
            "select status, response_code, response_body, duration_ms is not null, payload, attempt, finished_at >= create_date
               from mcp_webhook_delivery",
        )
        .await;
    let sent = String::from_utf8(request.body.to_vec()).unwrap();
    assert_eq!(row.trim(), format!("success|202|taken|t|{sent}|1|t"));
    eventually("the result on the subscription", SOON, async || {
        let row = database
            .psql("select last_delivery_status, failure_count, last_delivery is not null from mcp_event_subscription")
            .await;
        (row.trim() == "success|0|t").then_some(())
    })
    .await;
    let (status, _) = service.terminate().await;
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_order_arrives_signed_and_is_logged() {
    a_confirmation_arrives(Database::fixture().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_order_of_a_real_odoo_arrives_signed_and_is_logged() {
    let Some(database) = Database::dump().await else { return };
    a_confirmation_arrives(database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_the_service_was_killed_arrives_once() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(
        &database,
        &receiver,
        &["--event", "write", "--fields", "client_order_ref"],
    )
    .await;
    let service = Service::leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'first' where id = 1")
        .await;
    receiver.wait_for(1, SOON).await;
    // Else its end may stay unrecorded, and it is interrupted.
    eventually("the first to be recorded", SOON, async || {
        (logged(&database, "status = 'success'").await == 1).then_some(())
    })
    .await;
    service.kill().await;

    let client = database.client().await;
    for number in 0..1_000 {
        client
            .execute(
                "update sale_order set client_order_ref = $1::text where id = 1",
                &[&number.to_string()],
            )
            .await
            .unwrap();
    }
    let _service = Service::leading(&database).await;
    let requests = receiver.wait_for(1_001, SOON * 2).await;
    assert_eq!(delivery_ids(&requests).len(), 1_001);
    eventually("all outcomes in the log", SOON, async || {
        (logged(&database, "status = 'success'").await == 1_001).then_some(())
    })
    .await;
    assert_eq!(logged(&database, "status <> 'success'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_rolled_back_delivers_nothing() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, &receiver, &[]).await;
    let _service = Service::leading(&database).await;
    database
        .psql(
            "begin; update sale_order set client_order_ref = 'never'; rollback;
             begin; savepoint a; update sale_order set client_order_ref = 'never'; rollback to a; commit;
             update sale_order set client_order_ref = 'once' where id = 2;",
        )
        .await;
    let requests = receiver.wait_for(1, SOON).await;
    assert_eq!(requests.len(), 1);
    assert_eq!(record_ids(&requests[0]), [2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_deliver_once_and_the_standby_takes_over_within_five_seconds() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(
        &database,
        &receiver,
        &["--event", "write", "--fields", "client_order_ref"],
    )
    .await;
    let active = Service::leading(&database).await;
    let _standby = Service::start(&database.url(), &[]);
    let client = database.client().await;
    for number in 0..100 {
        client
            .execute(
                "update sale_order set client_order_ref = $1::text where id = 1",
                &[&number.to_string()],
            )
            .await
            .unwrap();
    }
    receiver.wait_for(100, SOON).await;

    active.kill().await;
    client
        .execute("update sale_order set client_order_ref = 'after' where id = 1", &[])
        .await
        .unwrap();
    let requests = receiver.wait_for(101, Duration::from_secs(5)).await;
    assert_eq!(delivery_ids(&requests).len(), 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_written_with_plain_sql_take_effect_without_a_restart() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let _service = Service::leading(&database).await;
    database
        .psql(&format!(
            "insert into mcp_event_subscription (model, event_type, webhook_url) values ('res.partner', 'create', '{}')",
            receiver.url("/first")
        ))
        .await;
    let ready = async || {
        let state = database
            .psql("select coalesce(state, '') from mcp_event_subscription")
            .await;
        (state.trim() == "ready").then_some(())
    };
    eventually("the new subscription to be ready", Duration::from_secs(2), ready).await;
    database
        .psql("insert into res_partner (name, complete_name) values ('A', 'A')")
        .await;
    receiver.wait_for(1, SOON).await;

    database
        .psql(&format!(
            "update mcp_event_subscription set webhook_url = '{}'",
            receiver.url("/second")
        ))
        .await;
    eventually("the changed subscription to be ready", Duration::from_secs(2), ready).await;
    database
        .psql("insert into res_partner (name, complete_name) values ('B', 'B')")
        .await;
    assert_eq!(receiver.wait_for(2, SOON).await[1].path, "/second");

    database.psql("delete from mcp_event_subscription").await;
    eventually("capture to stop", SOON, async || {
        let active = database.psql("select bool_or(active) from odoo_eventd.capture").await;
        (active.trim() == "f").then_some(())
    })
    .await;
    database
        .psql("insert into res_partner (name, complete_name) values ('C', 'C')")
        .await;
    assert_eq!(
        database
            .psql("select count(*) from odoo_eventd.outbox where op = 'I'")
            .await
            .trim(),
        "2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_subscription_says_why_and_stops_no_other() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, &receiver, &[]).await;
    let _service = Service::leading(&database).await;
    for (model, domain, fields, url, reason) in [
        ("sale.ordr", "[]", "{}", "https://example.com/", "unknown model"),
        (
            "sale.order",
            "[('state','=','sale'",
            "{}",
            "https://example.com/",
            "domain",
        ),
        (
            "sale.order",
            "[('no_such_field','=',1)]",
            "{}",
            "https://example.com/",
            "no_such_field",
        ),
        (
            "sale.order",
            "[]",
            "{no_such_field}",
            "https://example.com/",
            "no_such_field",
        ),
        ("res.users", "[]", "{password}", "https://example.com/", "password"),
        ("sale.order", "[]", "{}", "http://10.0.0.1/", "10.0.0.1"),
        ("sale.order", "[]", "{}", "not a url", "URL"),
    ] {
        let client = database.client().await;
        let id: i32 = client
            .query_one(
                "insert into mcp_event_subscription (model, domain, fields, webhook_url) values ($1, $2, $3::text::text[], $4) returning id",
                &[&model, &domain, &fields, &url],
            )
            .await
            .unwrap()
            .get(0);
        let error = eventually(&format!("subscription {id} to be looked at"), SOON, async || {
            let row = client
                .query_one("select state, error from mcp_event_subscription where id = $1", &[&id])
                .await
                .unwrap();
            (row.get::<_, Option<&str>>(0) == Some("invalid")).then(|| row.get::<_, String>(1))
        })
        .await;
        assert!(error.contains(reason), "{error}");
    }
    database
        .psql("update sale_order set client_order_ref = 'still works' where id = 1")
        .await;
    receiver.wait_for(1, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriptions_headers_and_credentials_are_sent_and_not_shown() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let _service = Service::leading(&database).await;
    database
        .psql(&format!(
            "insert into mcp_event_subscription (model, webhook_url, auth, headers)
             values ('sale.order', '{}', 'bearer open-sesame', '{{\"X-Team\": \"sales\", \"X-Number\": 7}}')",
            receiver.url("/")
        ))
        .await;
    wait_until_leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'x' where id = 1")
        .await;
    let requests = receiver.wait_for(1, SOON).await;
    assert_eq!(requests[0].header("authorization"), Some("Bearer open-sesame"));
    assert_eq!(requests[0].header("x-team"), Some("sales"));
    assert_eq!(requests[0].header("x-number"), Some("7"));
    assert_eq!(
        database.psql("select auth from mcp_event_subscription").await.trim(),
        "********"
    );
    assert!(
        !eventd_ok(&database.url(), &["subscriptions", "--json"])
            .await
            .contains("open-sesame")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_one_shot_is_over_and_is_sent_again_only_on_demand() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::status(503)]);
    subscribed(&database, &receiver).await;
    let _service = Service::leading(&database).await;
    database
        .psql("update sale_order set state = 'sale' where id = (select min(id) from sale_order where state <> 'sale')")
        .await;
    receiver.wait_for(1, SOON).await;
    eventually("the failure in the log", SOON, async || {
        (logged(&database, "status = 'failed' and error = 'http_status'").await == 1).then_some(())
    })
    .await;
    assert_eq!(logged(&database, "next_attempt_at is not null").await, 0);
    eventually("the failure on the subscription", SOON, async || {
        let row = database
            .psql("select last_delivery_status, failure_count from mcp_event_subscription")
            .await;
        (row.trim() == "failed|1").then_some(())
    })
    .await;

    let id = database.psql("select delivery_id from mcp_webhook_delivery").await;
    eventd_ok(&database.url(), &["redeliver", id.trim()]).await;
    let requests = receiver.wait_for(2, SOON).await;
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    assert_eq!(requests[0].body, requests[1].body);
    eventually("the second attempt in the log", SOON, async || {
        (logged(&database, "attempt = 2 and status = 'success'").await == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deactivating_a_subscription_cancels_what_was_not_sent() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::status(503)]);
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, &receiver, &["--max-attempts", "3"]).await;
    let _service = Service::leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'x' where id = 1")
        .await;
    eventually("a retry to be due", SOON, async || {
        (logged(&database, "status = 'failed' and next_attempt_at is not null").await == 1).then_some(())
    })
    .await;
    eventd_ok(&database.url(), &["unsubscribe", "1"]).await;
    eventually("the retry to be cancelled", SOON, async || {
        (logged(&database, "error = 'cancelled' and attempt = 2").await == 1).then_some(())
    })
    .await;
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_requests_under_way_end_and_records_them() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::status(200).after(Duration::from_millis(500))]);
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, &receiver, &[]).await;
    let service = Service::leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'x' where id = 1")
        .await;
    receiver.wait_for(1, SOON).await;
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");
    assert_eq!(logged(&database, "status = 'success'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_a_crash_cut_off_is_interrupted_and_a_one_shot_is_not_sent_again() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::hang()]);
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, &receiver, &[]).await;
    let service = Service::leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'x' where id = 1")
        .await;
    receiver.wait_for(1, SOON).await;
    service.kill().await;
    let _service = Service::leading(&database).await;
    eventually("the attempt to be ended", SOON, async || {
        (logged(&database, "status = 'failed' and error = 'interrupted'").await == 1).then_some(())
    })
    .await;
    database
        .psql("update sale_order set client_order_ref = 'y' where id = 1")
        .await;
    let requests = receiver.wait_for(2, SOON).await;
    delivery_ids(&requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_comes_back_after_postgresql_was_away() {
    let server = crate::support::Server::private(odoo_eventd::demo::Options::new());
    let database = server.fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, &receiver, &[]).await;
    let _service = Service::leading(&database).await;
    server.cluster().crash().unwrap();
    server.cluster().start_again().unwrap();
    wait_until_leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'after the crash' where id = 1")
        .await;
    receiver.wait_for(1, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_of_ten_thousand_records_comes_in_parts_of_a_thousand() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("insert into res_partner (name, complete_name) select n, n from generate_series(1, 10000) n")
        .await;
    let url = receiver.url("/partners");
    eventd_ok(
        &database.url(),
        &[
            "subscribe",
            "--model",
            "res.partner",
            "--event",
            "write",
            "--fields",
            "comment",
            "--domain",
            "[('name','!=','7')]",
            "--url",
            &url,
        ],
    )
    .await;
    let _service = Service::leading(&database).await;
    let watched: i64 = database
        .psql(
            "with u as (update res_partner set comment = 'all' where name <> '7' returning id) select count(*) from u",
        )
        .await
        .trim()
        .parse()
        .unwrap();
    database
        .psql("update res_partner set comment = 'not matched' where name = '7'")
        .await;
    let parts = usize::try_from((watched + 999) / 1000).unwrap();
    let requests = receiver.wait_for(parts, SOON).await;
    delivery_ids(&requests);
    let events: HashSet<_> = requests
        .iter()
        .map(|r| r.header("x-mcp-event-id").unwrap().to_owned())
        .collect();
    assert_eq!(events.len(), 1, "one transaction, one event");
    let mut ids: Vec<i64> = requests.iter().flat_map(record_ids).collect();
    assert!(requests.iter().all(|r| record_ids(r).len() <= 1000));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(i64::try_from(ids.len()).unwrap(), watched);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_use_gives_one_sentence_and_no_secret() {
    let database = Database::fixture().await;
    let empty = Database::empty().await;
    eventd_ok(&database.url(), &["install"]).await;
    let url = database.url();
    let wrong_password = database
        .tcp_url()
        .replacen("postgresql://odoo:", "postgresql://odoo:wr0ng-", 1);
    let subscribe = |more: &[&'static str]| {
        let mut arguments = vec!["subscribe", "--secret", "hush-hush"];
        arguments.extend(more);
        arguments
    };
    for (code, url, arguments, says) in [
        (
            2,
            url.as_str(),
            subscribe(&["--model", "sale.order", "--url", "ftp://example.com"]),
            "ftp",
        ),
        (
            2,
            &url,
            subscribe(&["--model", "sale.ordr"]),
            "did you mean \"sale.order\"",
        ),
        (
            2,
            &url,
            subscribe(&["--model", "sale.order", "--fields", "stat"]),
            "no field \"stat\"",
        ),
        (
            2,
            &url,
            subscribe(&["--model", "sale.order", "--domain", "[('state','=']"]),
            "domain",
        ),
        (
            2,
            &url,
            subscribe(&["--model", "sale.order", "--event", "explode"]),
            "event type",
        ),
        (
            2,
            &url,
            subscribe(&["--model", "res.users", "--fields", "password"]),
            "password",
        ),
        (2, "", vec!["status"], "no database"),
        (2, "postgres://localhost", vec!["status"], "names no database"),
        (1, &wrong_password, vec!["status"], "password"),
        (1, &empty.url(), vec!["install"], "not an Odoo database"),
        (2, &url, vec!["unsubscribe", "4711"], "no subscription 4711"),
        (2, &url, vec!["frobnicate"], "frobnicate"),
    ] {
        let output = eventd(url, &arguments).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert!(
            !said.contains("hush-hush") && !said.contains("wr0ng") && !said.contains("panicked"),
            "{said}"
        );
    }
    assert_eq!(
        database
            .psql("select count(*) from mcp_event_subscription")
            .await
            .trim(),
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_over_other_records_sees_them_as_they_are_when_the_event_is_judged() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let by_country = [
        "--event",
        "write",
        "--fields",
        "client_order_ref",
        "--domain",
        "[('partner_id.name', '=', 'Watched')]",
    ];
    subscribe(&database, &receiver, &by_country).await;
    let refused = eventd(
        &database.url(),
        &[
            "subscribe",
            "--model",
            "sale.order",
            "--event",
            "unlink",
            "--domain",
            "[('order_line.name', '=', 'x')]",
        ],
    )
    .await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot be judged for an unlink"));
    let _service = Service::leading(&database).await;
    database
        .psql(
            "update sale_order set client_order_ref = 'before';
             update res_partner set name = 'Watched' where id = (select partner_id from sale_order where id = 1);
             update sale_order set client_order_ref = 'after';",
        )
        .await;
    let orders = database
        .psql("select array_to_json(array_agg(id order by id)) from sale_order where partner_id = (select partner_id from sale_order where id = 1)")
        .await;
    let requests = receiver.wait_for(1, SOON).await;
    let last = requests.last().unwrap().json();
    assert_eq!(last["record_ids"].to_string(), orders.trim());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_may_not_read_other_records_says_so_on_the_subscription() {
    let server = crate::support::Server::private(odoo_eventd::demo::Options::new());
    let database = server.fixture().await;
    eventd_ok(&database.admin_url(), &["install"]).await;
    database
        .admin_client()
        .await
        .batch_execute("alter role odoo_eventd_listener login")
        .await
        .unwrap();
    let _service = Service::start(&database.url_as("odoo_eventd_listener"), &[]);
    database
        .psql(
            "insert into mcp_event_subscription (model, event_type, domain, webhook_url)
             values ('sale.order', 'write', '[(''partner_id.name'', ''='', ''x'')]', 'http://127.0.0.1:9/')",
        )
        .await;
    let error = eventually("the subscription to be looked at", SOON, async || {
        let row = database
            .psql("select error from mcp_event_subscription where state = 'invalid'")
            .await;
        (!row.trim().is_empty()).then(|| row.clone())
    })
    .await;
    assert!(
        error.contains("res_partner") && error.contains("pg_read_all_data"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_fails_on_a_records_data_stops_no_other_subscription() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, &receiver, &["--domain", "[('amount_total', '>', 1)]"]).await;
    subscribe(&database, &receiver, &["--domain", "[('name', '!=', 'x')]"]).await;
    let _service = Service::leading(&database).await;
    // What no writer can bring about, somebody who repairs the outbox by hand can.
    database
        .psql(
            "insert into odoo_eventd.outbox_0 (id, xid, generation, op, record_id, at, new)
             select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), g.generation, 'I', 4711, now(),
                    array(select case c when 'amount_total' then 'not a number' else null end from unnest(g.columns) c)
               from odoo_eventd.capture c join odoo_eventd.capture_generation g on g.generation = c.generation",
        )
        .await;
    let requests = receiver.wait_for(1, SOON).await;
    assert_eq!(requests[0].json()["subscription_id"], 2);
    eventually("the failing subscription to be marked", SOON, async || {
        let row = database
            .psql("select id from mcp_event_subscription where state = 'invalid' and error like '%data%'")
            .await;
        (row.trim() == "1").then_some(())
    })
    .await;
    database
        .psql("update mcp_event_subscription set domain = '[]' where id = 1")
        .await;
    wait_until_leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'y' where id = 1")
        .await;
    assert_eq!(receiver.wait_for(3, SOON).await.len(), 3);
}
