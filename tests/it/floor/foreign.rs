//! What an operator does not see is not there for him, whatever he does; and what he may not do is refused before anything is looked for.

use std::time::Duration;

use odoo_eventd::ops::deliveries::read::AttemptFilter;
use odoo_eventd::ops::deliveries::redeliver::DeadFilter;
use odoo_eventd::ops::error::{Error, Missing, Result};
use odoo_eventd::ops::page::PageRequest;
use odoo_eventd::ops::subscriptions::bulk::{Outcome, Target};
use odoo_eventd::ops::subscriptions::read::{Filter, Order};
use odoo_eventd::ops::{Operator, Scope};
use odoo_eventd::subscription::Patch;
use serde_json::json;
use uuid::Uuid;

use super::{NOWHERE, draft, operator, orders, verbs};
use crate::support::Database;
use crate::support::delivery::{wait_logged, write_ref};
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::Service;

fn is_not_there<T: std::fmt::Debug>(answer: Result<T>, id: i32) {
    match answer {
        Err(Error::NotFound(missing)) => assert_eq!(missing, Missing::Subscription(id)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_subscription_is_not_there_for_any_verb() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let (anna, ben) = (operator("anna"), operator("ben"));
    let made = verbs.create_subscription(&anna, orders(NOWHERE)).await.unwrap();
    let id = made.row.subscription.id;
    assert_eq!(made.row.subscription.connection.as_deref(), Some("anna"));
    let patch = Patch::parse(json!({"name": "mine now"})).unwrap();
    let page = PageRequest::first(10);

    // One that never was, and one that is another's: word by word the same.
    for id in [id, 999] {
        is_not_there(verbs.subscription(&ben, id).await, id);
        is_not_there(verbs.update_subscription(&ben, id, &patch, None).await, id);
        is_not_there(verbs.set_active(&ben, id, false).await, id);
        is_not_there(verbs.set_active(&ben, id, true).await, id);
        is_not_there(verbs.set_paused(&ben, id, true).await, id);
        is_not_there(verbs.enable_subscription(&ben, id).await, id);
        is_not_there(verbs.rotate_secret(&ben, id, None, Duration::ZERO).await, id);
        is_not_there(verbs.test_subscription(&ben, id).await, id);
        is_not_there(verbs.history(&ben, Some(id), &page).await, id);
        is_not_there(verbs.delete_subscription(&ben, id, None).await, id);
        let results = verbs
            .update_subscriptions(&ben, &[Target::any(id)], &patch)
            .await
            .unwrap();
        assert_eq!(results[0].outcome, Outcome::NotFound);
        let results = verbs.delete_subscriptions(&ben, &[Target::any(id)]).await.unwrap();
        assert_eq!(results[0].outcome, Outcome::NotFound);
    }
    assert_eq!(verbs.count_subscriptions(&ben, &Filter::default()).await.unwrap(), 0);
    let seen = verbs
        .subscriptions(&ben, &Filter::default(), Order::default(), &page)
        .await
        .unwrap();
    assert!(seen.items.is_empty());
    assert!(verbs.targets(&ben, &Filter::default()).await.unwrap().is_empty());
    assert!(verbs.history(&ben, None, &page).await.unwrap().items.is_empty());
    assert_eq!(verbs.overview(&ben).await.unwrap().subscriptions.ready, 0);

    // Nothing of it was done, and hers it is.
    assert_eq!(verbs.subscription(&anna, id).await.unwrap(), made.row);
    assert_eq!(verbs.overview(&anna).await.unwrap().subscriptions.ready, 1);
    assert_eq!(
        verbs
            .count_subscriptions(&Operator::of_database(), &Filter::default())
            .await
            .unwrap(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_deliveries_are_not_there() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let (anna, ben) = (operator("anna"), operator("ben"));
    let receiver = Receiver::start().await;
    receiver.replies([Reply::status(500)]);
    verbs
        .create_subscription(&anna, orders(&receiver.url("/hook")))
        .await
        .unwrap();
    verbs
        .create_subscription(&ben, draft(json!({"model": "res.partner"})))
        .await
        .unwrap();
    let service = Service::leading(&database).await;
    write_ref(&database, 1, "a").await;
    wait_logged(&database, "status = 'failed'", 1).await;
    let (filter, page) = (AttemptFilter::default(), PageRequest::first(10));
    let hers = verbs.attempts(&anna, &filter, &page).await.unwrap().items;
    let id = hers[0].delivery_id;
    assert_eq!(verbs.delivery(&anna, id).await.unwrap().attempts, hers);

    assert!(verbs.attempts(&ben, &filter, &page).await.unwrap().items.is_empty());
    for id in [id, Uuid::nil()] {
        let missing = |answer: &Error| matches!(answer, Error::NotFound(Missing::Delivery(of)) if *of == id);
        assert!(missing(&verbs.delivery(&ben, id).await.unwrap_err()));
        assert!(missing(&verbs.redeliver_one(&ben, id, false).await.unwrap_err()));
        assert!(verbs.redeliver(&ben, &[id], false).await.unwrap().is_empty());
    }
    let dead = DeadFilter {
        subscription: None,
        model: None,
        record_id: None,
        since: jiff::Timestamp::UNIX_EPOCH,
        until: None,
    };
    assert!(verbs.dead_letters(&ben, &dead, None).await.unwrap().0.is_empty());
    assert_eq!(verbs.redeliver_dead(&ben, &dead, false).await.unwrap().count, 0);
    assert_eq!(verbs.redeliver_dead(&anna, &dead, true).await.unwrap().count, 1);
    assert_eq!(verbs.overview(&ben).await.unwrap().deliveries.dead, 0);
    assert_eq!(verbs.overview(&anna).await.unwrap().deliveries.dead, 1);
    service.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_an_odoo_users_is_his_through_whatever_connection() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let (by_page, by_chat) = (
        operator("page").for_user(2),
        operator("chat").for_user(2).as_assistant(),
    );
    let made = verbs
        .create_subscription(&by_chat, orders(NOWHERE))
        .await
        .unwrap()
        .row
        .subscription;
    assert_eq!((made.user_id, made.created_from.as_str()), (Some(2), "ai"));
    verbs.set_paused(&by_page, made.id, true).await.unwrap();
    is_not_there(
        verbs.subscription(&operator("page").for_user(5), made.id).await,
        made.id,
    );
    is_not_there(verbs.subscription(&operator("chat"), made.id).await, made.id);

    // The history tells who it was.
    let changes = verbs
        .history(&by_page, Some(made.id), &PageRequest::first(10))
        .await
        .unwrap()
        .items;
    let told: Vec<_> = changes
        .iter()
        .map(|c| (c.odoo_uid, c.application.as_deref().unwrap()))
        .collect();
    assert_eq!(told, [(Some(2), "odoo-eventd: page"), (Some(2), "odoo-eventd: chat")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_bound_to_models_has_no_others() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    let made = verbs
        .create_subscription(&admin, draft(json!({"model": "res.partner"})))
        .await
        .unwrap();
    let id = made.row.subscription.id;
    let bound = Operator::of_connection("orders", [Scope::Admin]).bound_to(["sale.order".to_owned()]);
    is_not_there(verbs.subscription(&bound, id).await, id);
    let refused = verbs
        .create_subscription(&bound, draft(json!({"model": "res.partner"})))
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, Error::Refused(why) if why[0].column == Some("model")),
        "{refused}"
    );
    let own = verbs.create_subscription(&bound, orders(NOWHERE)).await.unwrap().row;
    let away = Patch::parse(json!({"model": "res.partner", "fields": []})).unwrap();
    let refused = verbs
        .update_subscription(&bound, own.subscription.id, &away, None)
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, Error::Refused(why) if why[0].column == Some("model")),
        "{refused}"
    );
    let models = verbs.models(&bound).await.unwrap();
    assert_eq!(
        models.iter().map(|m| m.model.as_str()).collect::<Vec<_>>(),
        ["sale.order"]
    );
    assert!(matches!(
        verbs.fields(&bound, "res.partner").await,
        Err(Error::NotFound(Missing::Model(_)))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_makes_or_gives_away_in_anothers_name() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let anna = operator("anna").for_user(2);
    for (column, value) in [
        ("user_id", json!(5)),
        ("connection", json!("ben")),
        ("created_from", json!("ai")),
    ] {
        let mut object = json!({"model": "sale.order"});
        object[column] = value.clone();
        let refused = verbs.create_subscription(&anna, draft(object)).await.unwrap_err();
        assert!(
            matches!(&refused, Error::Refused(why) if why[0].column == Some(column)),
            "{refused}"
        );
        let own = verbs
            .create_subscription(&anna, orders(NOWHERE))
            .await
            .unwrap()
            .row
            .subscription;
        let patch = Patch::parse(json!({column: value})).unwrap();
        let refused = verbs
            .update_subscription(&anna, own.id, &patch, None)
            .await
            .unwrap_err();
        assert!(
            matches!(&refused, Error::Refused(why) if why[0].column == Some(column)),
            "{refused}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verb_without_its_scope_is_forbidden_and_does_nothing() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let id = verbs
        .create_subscription(&operator("anna"), orders(NOWHERE))
        .await
        .unwrap()
        .row
        .subscription
        .id;
    let reads = Operator::of_connection("anna", [Scope::SubscriptionsRead]);
    let forbidden = |answer: Option<Error>, scope: Scope| match answer {
        Some(Error::Forbidden(needed)) => assert_eq!(needed, scope),
        other => panic!("{other:?}"),
    };
    let patch = Patch::parse(json!({"name": "x"})).unwrap();
    let page = PageRequest::first(1);
    verbs.subscription(&reads, id).await.unwrap();
    let writes = Scope::SubscriptionsWrite;
    forbidden(verbs.create_subscription(&reads, orders(NOWHERE)).await.err(), writes);
    forbidden(verbs.update_subscription(&reads, id, &patch, None).await.err(), writes);
    forbidden(verbs.set_paused(&reads, id, true).await.err(), writes);
    forbidden(verbs.enable_subscription(&reads, id).await.err(), writes);
    forbidden(
        verbs.rotate_secret(&reads, id, None, Duration::ZERO).await.err(),
        writes,
    );
    forbidden(verbs.test_subscription(&reads, id).await.err(), writes);
    forbidden(verbs.delete_subscription(&reads, id, None).await.err(), writes);
    let filter = AttemptFilter::default();
    forbidden(
        verbs.attempts(&reads, &filter, &page).await.err(),
        Scope::DeliveriesRead,
    );
    forbidden(verbs.delivery(&reads, Uuid::nil()).await.err(), Scope::DeliveriesRead);
    forbidden(
        verbs.redeliver(&reads, &[], true).await.err(),
        Scope::DeliveriesRedeliver,
    );
    forbidden(verbs.status(&reads).await.err(), Scope::Admin);
    let nobody = Operator::of_connection("anna", []);
    forbidden(verbs.subscription(&nobody, id).await.err(), Scope::SubscriptionsRead);
    forbidden(verbs.models(&nobody).await.err(), Scope::SubscriptionsRead);
    assert_eq!(verbs.count_subscriptions(&reads, &Filter::default()).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_model_that_an_operator_may_not_use_is_not_there() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let (anna, bound) = (operator("anna"), operator("anna").bound_to(["sale.order".to_owned()]));
    let receiver = Receiver::start().await;
    receiver.replies([Reply::status(500)]);
    let partners = json!({"model": "res.partner", "event_type": "write", "fields": ["phone"], "webhook_url": receiver.url("/hook")});
    let made = verbs.create_subscription(&anna, draft(partners)).await.unwrap();
    let id = made.row.subscription.id;
    let service = Service::leading(&database).await;
    database.psql("update res_partner set phone = '1' where id = 1").await;
    wait_logged(&database, "status = 'failed'", 1).await;
    let patch = Patch::parse(json!({"model": "sale.order", "fields": ["client_order_ref"]})).unwrap();
    verbs.update_subscription(&anna, id, &patch, None).await.unwrap();

    let (filter, page) = (AttemptFilter::default(), PageRequest::first(10));
    let delivery = verbs.attempts(&anna, &filter, &page).await.unwrap().items[0].delivery_id;
    assert_eq!(verbs.history(&anna, Some(id), &page).await.unwrap().items.len(), 2);
    assert_eq!(verbs.overview(&anna).await.unwrap().deliveries.dead, 1);
    // The subscription is his now, and nothing of what it was.
    assert_eq!(
        verbs.subscription(&bound, id).await.unwrap().subscription.model,
        "sale.order"
    );
    assert!(verbs.attempts(&bound, &filter, &page).await.unwrap().items.is_empty());
    assert!(verbs.delivery(&bound, delivery).await.is_err());
    assert!(verbs.redeliver_one(&bound, delivery, false).await.is_err());
    assert!(verbs.redeliver(&bound, &[delivery], false).await.unwrap().is_empty());
    assert!(verbs.history(&bound, Some(id), &page).await.unwrap().items.is_empty());
    assert_eq!(verbs.overview(&bound).await.unwrap().deliveries.dead, 0);
    let rename = Patch::parse(json!({"name": "orders"})).unwrap();
    verbs.update_subscription(&bound, id, &rename, None).await.unwrap();
    assert_eq!(verbs.history(&bound, Some(id), &page).await.unwrap().items.len(), 1);
    let (status, _) = service.terminate().await;
    assert!(status.success());
}
