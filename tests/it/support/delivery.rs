//! What the tests of delivery have in common: subscribing, looking into the log, waiting for it.

use super::db::Database;
use super::receiver::Receiver;
use super::service::{SOON, eventd, eventd_ok};
use super::wait::eventually;

/// Subscribes to a model with the command line; returns the subscription's id.
pub async fn subscribe(database: &Database, model: &str, url: &str, options: &[&str]) -> i32 {
    let mut arguments = vec!["subscribe", "--model", model, "--url", url];
    arguments.extend(options);
    eventd_ok(&database.url(), &arguments).await.trim().parse().unwrap()
}

/// Installed, with one subscription to writes of `client_order_ref`.
pub async fn order_refs(database: &Database, receiver: &Receiver, options: &[&str]) -> i32 {
    eventd_ok(&database.url(), &["install"]).await;
    let mut arguments = vec!["--event", "write", "--fields", "client_order_ref"];
    arguments.extend(options);
    subscribe(database, "sale.order", &receiver.url("/orders"), &arguments).await
}

/// One number that SQL gives.
pub async fn number(database: &Database, sql: &str) -> i64 {
    database.psql(sql).await.trim().parse().unwrap()
}

/// How many rows of the log satisfy a condition.
pub async fn logged(database: &Database, condition: &str) -> i64 {
    number(
        database,
        &format!("select count(*) from mcp_webhook_delivery where {condition}"),
    )
    .await
}

/// Waits until so many rows of the log satisfy a condition.
pub async fn wait_logged(database: &Database, condition: &str, count: i64) {
    eventually(&format!("{count} log rows with {condition}"), SOON, async || {
        (logged(database, condition).await == count).then_some(())
    })
    .await;
}

/// Waits until SQL says `t`.
pub async fn wait_true(database: &Database, sql: &str) {
    eventually(sql, SOON, async || {
        (database.psql(&format!("select {sql}")).await.trim() == "t").then_some(())
    })
    .await;
}

/// Writes an order's reference, in a transaction of its own.
pub async fn write_ref(database: &Database, order: i64, text: &str) {
    database
        .psql(&format!(
            "update sale_order set client_order_ref = '{text}' where id = {order}"
        ))
        .await;
}

/// Runs a command that must fail; returns what it said.
pub async fn eventd_fails(database: &Database, arguments: &[&str]) -> String {
    let output = eventd(&database.url(), arguments).await;
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}
