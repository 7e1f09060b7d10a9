//! `ordered = true`: the deliveries of one record one after the other, whatever happens to them.

use serde_json::Value;

use crate::support::Database;
use crate::support::delivery::{number, order_refs, subscribe, wait_logged, wait_true, write_ref};
use crate::support::receiver::{Receiver, Recorded, Reply};
use crate::support::service::{SOON, Service, eventd_ok};

const ORDERED: [&str; 6] = [
    "--ordered",
    "--max-attempts",
    "4",
    "--retry-first-ms",
    "1000",
    "--no-retry-jitter",
];

/// Nothing of a lane was under way at the same time, and each began after all before it had ended for good.
async fn assert_in_order(database: &Database) {
    let out_of_order = number(
        database,
        "select count(*)
           from (select d.subscription_id, d.part, d.lane_position, min(l.create_date) as began, max(l.finished_at) as ended
                   from odoo_eventd.delivery d join mcp_webhook_delivery l using (delivery_id)
                  group by d.subscription_id, d.part, d.lane_position) one
           join (select d.subscription_id, d.part, d.lane_position, min(l.create_date) as began
                   from odoo_eventd.delivery d join mcp_webhook_delivery l using (delivery_id)
                  group by d.subscription_id, d.part, d.lane_position) later
             on later.subscription_id = one.subscription_id and later.part = one.part and later.lane_position > one.lane_position
          where later.began < one.ended",
    )
    .await;
    assert_eq!(out_of_order, 0);
}

fn of_record(requests: &[Recorded], id: i64) -> Vec<Value> {
    let bodies = requests.iter().map(Recorded::json);
    bodies
        .filter(|body| body["record_ids"] == serde_json::json!([id]))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_holds_back_its_own_record_and_no_other() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::status(503), Reply::reset()]);
    order_refs(&database, &receiver, &ORDERED).await;
    let _service = Service::leading(&database).await;
    write_ref(&database, 1, "first").await;
    receiver.wait_for(1, SOON).await;
    for text in ["second", "third", "fourth"] {
        write_ref(&database, 1, text).await;
    }
    // Two tries of it fail; the other record's changes do not wait for them.
    write_ref(&database, 2, "other").await;
    wait_logged(&database, "status = 'success'", 5).await;
    let requests = receiver.requests();
    let firsts = of_record(&requests, 1);
    assert_eq!(firsts.len() + of_record(&requests, 2).len(), 7);
    let mut sorted: Vec<&str> = firsts.iter().map(|body| body["timestamp"].as_str().unwrap()).collect();
    let arrived = sorted.clone();
    sorted.sort_unstable();
    assert_eq!(arrived, sorted);
    assert_in_order(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_goes_on_after_a_dead_letter_and_after_the_service_was_killed() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::status(400), Reply::hang()]);
    order_refs(&database, &receiver, &ORDERED).await;
    let service = Service::leading(&database).await;
    for text in ["refused for good", "cut off", "third"] {
        write_ref(&database, 1, text).await;
    }
    receiver.wait_for(2, SOON).await;
    service.kill().await;
    write_ref(&database, 1, "while nobody was there").await;
    let _service = Service::leading(&database).await;
    wait_logged(&database, "status = 'success'", 3).await;
    let ends = database
        .psql(
            "select string_agg(coalesce(l.error, l.status), ' ' order by d.lane_position, l.attempt)
                 from odoo_eventd.delivery d join mcp_webhook_delivery l using (delivery_id)",
        )
        .await;
    assert_eq!(ends.trim(), "http_status interrupted success success success");
    assert_in_order(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_shot_lane_goes_on_after_an_interrupted_attempt() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::hang()]);
    order_refs(&database, &receiver, &["--ordered"]).await;
    let service = Service::leading(&database).await;
    write_ref(&database, 1, "cut off").await;
    receiver.wait_for(1, SOON).await;
    write_ref(&database, 1, "behind it").await;
    wait_true(
        &database,
        "count(*) = 1 from odoo_eventd.delivery where due_at = 'infinity'",
    )
    .await;
    service.kill().await;
    let _service = Service::leading(&database).await;
    receiver.wait_for(2, SOON).await;
    assert_in_order(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_record_is_sent_in_order_without_waiting_for_a_look() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    order_refs(&database, &receiver, &ORDERED).await;
    let _service = Service::leading(&database).await;
    let client = database.client().await;
    for number in 0..300 {
        client
            .execute(
                "update sale_order set client_order_ref = $1::text where id = 1 + $2::int4 % 2",
                &[&number.to_string(), &number],
            )
            .await
            .unwrap();
    }
    wait_logged(&database, "status = 'success'", 300).await;
    assert_in_order(&database).await;
    assert_eq!(receiver.requests().len(), 300);
}

#[tokio::test(flavor = "multi_thread")]
async fn order_is_that_of_the_record_and_not_of_transaction_ids() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    order_refs(&database, &receiver, &ORDERED).await;
    // Captured, and nobody there to send.
    let service = Service::leading(&database).await;
    service.terminate().await;
    let early = database.client().await;
    early.batch_execute("begin; select pg_current_xact_id()").await.unwrap();
    write_ref(&database, 1, "first, in a later transaction").await;
    early
        .batch_execute("update sale_order set client_order_ref = 'second, in an earlier one' where id = 1; commit")
        .await
        .unwrap();
    let _service = Service::leading(&database).await;
    let requests = receiver.wait_for(2, SOON).await;
    let at: Vec<String> = requests.iter().map(|r| r.json()["timestamp"].to_string()).collect();
    assert!(at[0] > at[1], "{at:?}: the one that began later wrote first");
    wait_logged(&database, "status = 'success'", 2).await;
    assert_in_order(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_holds_across_the_pages_of_a_backlog() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("insert into res_partner (name, complete_name) select 'bulk', n from generate_series(1, 900) n")
        .await;
    let mut options = vec![
        "--event",
        "write",
        "--fields",
        "comment",
        "--domain",
        "[('name', '!=', 'bulk')]",
    ];
    options.extend(ORDERED);
    subscribe(&database, "res.partner", &receiver.url("/"), &options).await;
    let service = Service::leading(&database).await;
    service.terminate().await;
    // The first page ends before the last transaction begins, and that one wrote the record first.
    let early = database.client().await;
    early.batch_execute("begin; select pg_current_xact_id()").await.unwrap();
    for number in 0..3 {
        database
            .psql(&format!(
                "update res_partner set comment = '{number}' where name = 'bulk'"
            ))
            .await;
    }
    database
        .psql("update res_partner set comment = 'lane first' where id = 1")
        .await;
    early
        .batch_execute("update res_partner set comment = 'lane second' where id = 1; commit")
        .await
        .unwrap();
    let _service = Service::leading(&database).await;
    let requests = receiver.wait_for(2, SOON).await;
    let at: Vec<String> = requests.iter().map(|r| r.json()["timestamp"].to_string()).collect();
    assert!(at[0] > at[1], "{at:?}: the one that began later wrote first");
    wait_logged(&database, "status = 'success'", 2).await;
    assert_in_order(&database).await;
}
