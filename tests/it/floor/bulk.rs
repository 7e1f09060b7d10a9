//! Several at once: each has an answer of its own, and what can be done is done in one transaction.

use odoo_eventd::ops::Operator;
use odoo_eventd::ops::error::Error;
use odoo_eventd::ops::subscriptions::bulk::{AT_MOST, Outcome, Target};
use odoo_eventd::ops::subscriptions::read::Filter;
use odoo_eventd::subscription::Patch;
use serde_json::json;

use super::{NOWHERE, draft, operator, orders, verbs};
use crate::support::Database;

#[tokio::test(flavor = "multi_thread")]
async fn each_of_several_has_an_answer_and_what_can_be_done_is_done_at_once() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let (admin, anna) = (Operator::of_database(), operator("anna"));
    let mut made = Vec::new();
    for model in ["sale.order", "sale.order", "res.partner"] {
        let row = verbs
            .create_subscription(&anna, draft(json!({"model": model})))
            .await
            .unwrap()
            .row;
        made.push(row);
    }
    let foreign = verbs
        .create_subscription(&admin, orders(NOWHERE))
        .await
        .unwrap()
        .row
        .subscription
        .id;
    let [one, stale, partner] = [&made[0], &made[1], &made[2]];
    let renamed = Patch::parse(json!({"name": "renamed"})).unwrap();
    let seen = verbs
        .update_subscription(&anna, stale.subscription.id, &renamed, None)
        .await
        .unwrap();
    // Only an order has this field.
    let patch = Patch::parse(json!({"fields": ["client_order_ref"], "event_type": "write"})).unwrap();
    let targets = [
        Target::any(one.subscription.id),
        Target {
            id: stale.subscription.id,
            expected: Some(stale.version.clone()),
        },
        Target::any(partner.subscription.id),
        Target::any(foreign),
        Target::any(12345),
    ];
    let results = verbs.update_subscriptions(&anna, &targets, &patch).await.unwrap();
    let outcome = |id: i32| &results.iter().find(|result| result.id == id).unwrap().outcome;
    let Outcome::Done { version } = outcome(one.subscription.id) else {
        panic!("{results:?}")
    };
    assert_eq!(
        verbs.subscription(&anna, one.subscription.id).await.unwrap().version,
        *version
    );
    assert_eq!(
        *outcome(stale.subscription.id),
        Outcome::Conflict { version: seen.version }
    );
    let Outcome::Refused { refusals } = outcome(partner.subscription.id) else {
        panic!("{results:?}")
    };
    assert_eq!(refusals[0].column, Some("fields"));
    assert_eq!(
        (outcome(foreign), outcome(12345)),
        (&Outcome::NotFound, &Outcome::NotFound)
    );
    let touched = "select string_agg(id::text, ',') from mcp_event_subscription where event_type = 'write' and connection = 'anna'";
    assert_eq!(database.psql(touched).await, one.subscription.id.to_string());

    let results = verbs.delete_subscriptions(&anna, &targets).await.unwrap();
    let outcome = |id: i32| &results.iter().find(|result| result.id == id).unwrap().outcome;
    assert!(matches!(outcome(one.subscription.id), Outcome::Done { .. }));
    assert!(matches!(outcome(partner.subscription.id), Outcome::Done { .. }));
    assert!(matches!(outcome(stale.subscription.id), Outcome::Conflict { .. }));
    assert_eq!(*outcome(foreign), Outcome::NotFound);
    assert_eq!(verbs.count_subscriptions(&admin, &Filter::default()).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_five_hundred_at_once_are_refused_and_five_hundred_are_one_transaction() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    database
        .psql("insert into mcp_event_subscription (model) select 'sale.order' from generate_series(1, 501)")
        .await;
    let patch = Patch::parse(json!({"active": false})).unwrap();
    let refused = verbs.targets(&admin, &Filter::default()).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)));
    let all: Vec<Target> = (1..=501).map(Target::any).collect();
    let refused = verbs.update_subscriptions(&admin, &all, &patch).await.unwrap_err();
    assert!(matches!(refused, Error::Refused(_)));
    assert_eq!(
        database
            .psql("select count(*) from mcp_event_subscription where active")
            .await,
        "501"
    );
    let results = verbs
        .update_subscriptions(&admin, &all[..AT_MOST], &patch)
        .await
        .unwrap();
    assert!(
        results
            .iter()
            .all(|result| matches!(result.outcome, Outcome::Done { .. }))
    );
    assert_eq!(
        database
            .psql("select count(*) from mcp_event_subscription where active")
            .await,
        "1"
    );
    let transactions = "select count(distinct at) from odoo_eventd.subscription_history where op = 'update'";
    assert_eq!(database.psql(transactions).await, "1");
}
