//! The floor under every door: the operators' verbs, called as a door calls them.

mod bulk;
mod choices;
mod deliveries;
mod foreign;
mod looking;
mod pages;
mod refused;
mod trust;
mod versions;
mod wall;

use odoo_eventd::endpoint::guard::Guard;
use odoo_eventd::ops::{Operator, Scope, Service};
use odoo_eventd::pg::connect;
use odoo_eventd::subscription::Draft;
use odoo_eventd::worker::upkeep::admission::ServiceRules;
use serde_json::{Value, json};

use crate::support::Database;
use crate::support::service::eventd_ok;

/// The verbs on a database that was just installed.
pub async fn verbs(database: &Database, sessions: usize) -> Service {
    eventd_ok(&database.url(), &["install"]).await;
    verbs_of(database, sessions).await
}

/// The verbs on one that is installed.
pub async fn verbs_of(database: &Database, sessions: usize) -> Service {
    let rules = ServiceRules {
        guard: Guard::new(&["127.0.0.0/8"], &[]).unwrap(),
        keyring: None,
    };
    let database = connect::Database::parse(&database.url()).unwrap();
    Service::open(database, rules, sessions).await.unwrap()
}

/// Who may do everything with what is his.
pub fn operator(name: &str) -> Operator {
    let scopes = Scope::ALL.into_iter().filter(|scope| *scope != Scope::Admin);
    Operator::of_connection(name, scopes)
}

pub fn draft(object: Value) -> Draft {
    Draft::parse(object).unwrap()
}

/// A subscription to writes of `client_order_ref`.
pub fn orders(url: &str) -> Draft {
    draft(json!({"model": "sale.order", "event_type": "write", "fields": ["client_order_ref"], "webhook_url": url}))
}

/// An address that nobody listens at.
const NOWHERE: &str = "http://127.0.0.1:9/hook";

/// A subscription of [`orders`] that is there; its id.
async fn one(verbs: &Service, operator: &Operator) -> i32 {
    let made = verbs.create_subscription(operator, orders(NOWHERE)).await.unwrap();
    made.row.subscription.id
}
