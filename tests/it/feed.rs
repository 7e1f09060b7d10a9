//! The event feed: what readers get, what is kept for them, and what wakes them.

mod keeping;
mod listen;
mod quiet;
mod reading;
mod waking;

use std::time::Duration;

use odoo_eventd::endpoint::guard::Guard;
use odoo_eventd::ops::feed::FeedPage;
use odoo_eventd::ops::{Operator, Scope, Service};
use odoo_eventd::pg::connect;
use odoo_eventd::subscription::Draft;
use odoo_eventd::worker::upkeep::admission::ServiceRules;
use serde_json::{Value, json};

use crate::support::Database;
use crate::support::delivery::wait_true;
use crate::support::service::SOON;

/// The verbs on a database that is installed.
async fn verbs(database: &Database) -> Service {
    let rules = ServiceRules {
        guard: Guard::new(&["127.0.0.0/8"], &[]).unwrap(),
        keyring: None,
    };
    let database = connect::Database::parse(&database.url()).unwrap();
    Service::open(database, rules, 2).await.unwrap()
}

/// Who may do everything with what is his.
fn operator(name: &str) -> Operator {
    Operator::of_connection(name, Scope::ALL.into_iter().filter(|scope| *scope != Scope::Admin))
}

fn admin() -> Operator {
    Operator::of_database()
}

/// Writes of orders' references, with these columns more.
fn orders(more: Value) -> Draft {
    let mut draft = json!({"model": "sale.order", "event_type": "write", "fields": ["client_order_ref"], "payload_fields": ["client_order_ref"]});
    draft.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Draft::parse(draft).unwrap()
}

/// A subscription of [`orders`] that is there; its id.
async fn subscribed(verbs: &Service, operator: &Operator, more: Value) -> i32 {
    let made = verbs.create_subscription(operator, orders(more)).await.unwrap();
    made.row.subscription.id
}

/// The references that a page tells of, in its order.
fn refs(page: &FeedPage) -> Vec<String> {
    page.events
        .iter()
        .flat_map(|event| {
            let body: Value = serde_json::from_str(&event.body).unwrap();
            let records = body["records"].as_array().unwrap().clone();
            records
                .into_iter()
                .map(|record| record["values"]["client_order_ref"].as_str().unwrap().to_owned())
        })
        .collect()
}

/// Reads until so many references have come; returns them and the cursor behind them.
async fn read_until(verbs: &Service, subscription: i32, cursor: Option<String>, count: usize) -> (Vec<String>, String) {
    let mut cursor = cursor;
    let mut found = Vec::new();
    let all = async {
        loop {
            let page = verbs
                .wait_feed(&admin(), subscription, cursor.as_deref(), 100, Duration::from_secs(5))
                .await
                .unwrap();
            assert!(!page.truncated);
            found.extend(refs(&page));
            cursor = Some(page.cursor);
            if found.len() >= count {
                return;
            }
        }
    };
    tokio::time::timeout(SOON, all).await.expect("events come");
    (found, cursor.unwrap())
}

/// Waits until everything that was written is in the feed.
async fn wait_fed(database: &Database, count: i64) {
    wait_true(database, &format!("(select count(*) from odoo_eventd.feed) >= {count}")).await;
}

/// Makes so many orders, with ids above 100,000.
fn more_orders(count: u32) -> String {
    format!(
        "insert into sale_order select (jsonb_populate_record(o, jsonb_build_object('id', 100000 + n))).*
           from sale_order o, generate_series(1, {count}) n where o.id = 1"
    )
}
