//! One delivery, with everything that was tried for it.

use std::time::Duration;

use odoo_eventd::ops::Operator;
use odoo_eventd::ops::deliveries::read::{AttemptFilter, DeliveryState, PayloadIs, Status};
use odoo_eventd::ops::error::{Conflict, Error};
use odoo_eventd::ops::page::PageRequest;
use serde_json::json;

use super::{draft, verbs};
use crate::support::Database;
use crate::support::delivery::{wait_logged, write_ref};
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::Service;

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_shows_all_of_its_attempts_with_body_and_answer() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    let receiver = Receiver::start().await;
    receiver.replies([
        Reply::status(503).body("later"),
        Reply::status(500).body("broken"),
        Reply::status(200).body("taken"),
    ]);
    let orders = json!({
        "model": "sale.order", "event_type": "write", "fields": ["client_order_ref"], "webhook_url": receiver.url("/hook"),
        "max_attempts": 2, "retry_first_ms": 1000, "retry_jitter": false,
    });
    verbs.create_subscription(&admin, draft(orders)).await.unwrap();
    let service = Service::leading(&database).await;
    write_ref(&database, 1, "a").await;
    wait_logged(&database, "status = 'failed'", 2).await;
    let first = verbs
        .attempts(&admin, &AttemptFilter::default(), &PageRequest::first(10))
        .await
        .unwrap()
        .items;
    let id = first[0].delivery_id;
    let dead = verbs.delivery(&admin, id).await.unwrap();
    assert_eq!(
        (dead.state, dead.event_type.as_deref()),
        (Some(DeliveryState::Failed), Some("write"))
    );

    // A dry run sends nothing, and a real one under the same id.
    let would = verbs.redeliver_one(&admin, id, true).await.unwrap();
    assert_eq!(would.payload, dead.payload);
    assert_eq!(verbs.delivery(&admin, id).await.unwrap(), dead);
    verbs.redeliver_one(&admin, id, false).await.unwrap();
    wait_logged(&database, "status = 'success'", 1).await;
    let delivery = verbs.delivery(&admin, id).await.unwrap();
    let told: Vec<_> = delivery
        .attempts
        .iter()
        .map(|a| (a.attempt, a.status, a.response_code, a.response_body.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            (1, Status::Failed, Some(503), Some("later")),
            (2, Status::Failed, Some(500), Some("broken")),
            (3, Status::Success, Some(200), Some("taken")),
        ]
    );
    let received = receiver.requests();
    assert_eq!(received.len(), 3);
    let sent: Vec<Option<String>> = received
        .iter()
        .map(|r| Some(String::from_utf8(r.body.to_vec()).unwrap()))
        .collect();
    assert_eq!(
        delivery
            .attempts
            .iter()
            .map(|a| match a.payload_is {
                Some(PayloadIs::Shared) => delivery.payload.clone(),
                _ => a.payload.clone(),
            })
            .collect::<Vec<_>>(),
        sent
    );
    assert_eq!(delivery.state, Some(DeliveryState::Success));
    assert_eq!(delivery.record_ids, [1]);

    let dead = AttemptFilter {
        dead: true,
        ..AttemptFilter::default()
    };
    assert!(
        verbs
            .attempts(&admin, &dead, &PageRequest::first(10))
            .await
            .unwrap()
            .items
            .is_empty()
    );
    let text = AttemptFilter {
        text: Some("BROKEN".to_owned()),
        ..AttemptFilter::default()
    };
    assert_eq!(
        verbs
            .attempts(&admin, &text, &PageRequest::first(10))
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    service.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_sends_nothing_and_says_so() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    let id = verbs
        .create_subscription(&admin, super::orders(super::NOWHERE))
        .await
        .unwrap()
        .row
        .subscription
        .id;
    database
        .admin_client()
        .await
        .batch_execute("update odoo_eventd.installation set database_uuid = 'other'")
        .await
        .unwrap();
    let is_copy = |answer: Error| assert!(matches!(answer, Error::Conflict(Conflict::Copy { .. })), "{answer:?}");
    is_copy(verbs.test_subscription(&admin, id).await.unwrap_err());
    is_copy(verbs.redeliver(&admin, &[uuid::Uuid::nil()], false).await.unwrap_err());
    assert!(
        verbs
            .redeliver(&admin, &[uuid::Uuid::nil()], true)
            .await
            .unwrap()
            .is_empty()
    );
    let overlap = Duration::from_secs(3600);
    let rotated = verbs.rotate_secret(&admin, id, None, overlap).await.unwrap();
    assert!(rotated.secret.as_deref().unwrap().starts_with("whsec_"));
    assert!(!format!("{rotated:?}").contains("whsec_"));
}
