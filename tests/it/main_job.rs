//! The main job: a change in Odoo's tables arrives once, signed and logged, whatever happens to the service.

mod domains;
mod faults;
mod subscriptions;

use std::collections::HashSet;

use crate::support::receiver::{Receiver, Recorded, Reply};
use crate::support::service::{SOON, Service, eventd_ok};
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
