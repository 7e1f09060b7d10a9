//! A change is made to the version that its author has seen, or to none.

use odoo_eventd::ops::Operator;
use odoo_eventd::ops::error::{Conflict, Error};
use odoo_eventd::subscription::Patch;
use serde_json::json;
use tokio::task::JoinSet;

use super::{NOWHERE, one, orders, verbs};
use crate::support::Database;

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_changes_at_once_to_one_version_exactly_one_wins() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 10).await;
    let admin = Operator::of_database();
    let made = verbs.create_subscription(&admin, orders(NOWHERE)).await.unwrap().row;
    let id = made.subscription.id;
    let mut writers = JoinSet::new();
    for n in 0..50 {
        let (verbs, admin, expected) = (verbs.clone(), admin.clone(), made.version.clone());
        writers.spawn(async move {
            let patch = Patch::parse(json!({"name": format!("writer {n}")})).unwrap();
            // Fifty that wait for ten sessions on a busy machine may be told to come back.
            loop {
                match verbs.update_subscription(&admin, id, &patch, Some(&expected)).await {
                    Err(Error::Busy(_)) => {}
                    answer => break answer,
                }
            }
        });
    }
    let (mut won, mut lost) = (Vec::new(), 0);
    while let Some(ended) = writers.join_next().await {
        match ended.unwrap() {
            Ok(row) => won.push(row),
            Err(Error::Conflict(Conflict::Changed { id: of, now })) => {
                assert_eq!(of, id);
                assert_ne!(now, made.version);
                lost += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((won.len(), lost), (1, 49));
    assert_eq!(verbs.subscription(&admin, id).await.unwrap().version, won[0].version);
    let updates = "select count(*) from odoo_eventd.subscription_history where op = 'update'";
    assert_eq!(database.psql(updates).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_version_is_a_conflict_in_every_verb_that_takes_one() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    let old = verbs.create_subscription(&admin, orders(NOWHERE)).await.unwrap().row;
    let id = old.subscription.id;
    let patch = Patch::parse(json!({"timeout_ms": 1234})).unwrap();
    let new = verbs
        .update_subscription(&admin, id, &patch, Some(&old.version))
        .await
        .unwrap();
    assert_ne!(new.version, old.version);
    assert_eq!(new.subscription.timeout_ms, 1234);
    let stale = |answer: Error| match answer {
        Error::Conflict(Conflict::Changed { now, .. }) => assert_eq!(now, new.version),
        other => panic!("{other:?}"),
    };
    stale(
        verbs
            .update_subscription(&admin, id, &patch, Some(&old.version))
            .await
            .unwrap_err(),
    );
    // Also what is not looked at before it is written.
    let pause = Patch::parse(json!({"paused": true})).unwrap();
    stale(
        verbs
            .update_subscription(&admin, id, &pause, Some(&old.version))
            .await
            .unwrap_err(),
    );
    stale(
        verbs
            .delete_subscription(&admin, id, Some(&old.version))
            .await
            .unwrap_err(),
    );
    assert_eq!(verbs.subscription(&admin, id).await.unwrap().version, new.version);
    verbs.delete_subscription(&admin, id, Some(&new.version)).await.unwrap();
    assert!(matches!(verbs.subscription(&admin, id).await, Err(Error::NotFound(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_service_keeps_does_not_move_the_version_and_what_its_user_writes_does() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    let id = one(&verbs, &admin).await;
    let version = async || verbs.subscription(&admin, id).await.unwrap().version;
    let first = version().await;
    database
        .psql(
            "begin; set local odoo_eventd.service_write = 'on';
             update mcp_event_subscription set last_delivery = now() at time zone 'utc', last_delivery_status = 'failed',
                failure_count = 7, failures_in_a_row = 7, failing_since = now() at time zone 'utc', state = 'disabled',
                error = 'gone', disabled_at = now() at time zone 'utc', disabled_reason = 'gone'; commit",
        )
        .await;
    assert_eq!(version().await, first);
    let mut seen = vec![first];
    for change in [
        "name = 'x'",
        "domain = '[(1, ''='', 1)]'",
        "headers = '{\"X-A\": \"b\"}'",
        "webhook_secret = 'a secret of some length'",
        "max_event_age = '2 hours'",
        "payload_fields = '{name}'",
        "active = false",
        "paused = true",
    ] {
        database
            .psql(&format!("update mcp_event_subscription set {change}"))
            .await;
        let now = version().await;
        assert!(!seen.contains(&now), "{change}");
        seen.push(now);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mask_written_back_keeps_the_secret_and_null_clears_a_column() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    let mut draft = orders(NOWHERE);
    draft.webhook_secret = Some("s3cret-s3cret-s3cret".to_owned());
    draft.lang = Some("fr_FR".to_owned());
    draft.timeout_ms = Some(77);
    let id = verbs
        .create_subscription(&admin, draft)
        .await
        .unwrap()
        .row
        .subscription
        .id;
    let patch = json!({"webhook_secret": "********", "lang": null, "timeout_ms": null, "name": "n"});
    let patch = Patch::parse(patch).unwrap();
    let row = verbs
        .update_subscription(&admin, id, &patch, None)
        .await
        .unwrap()
        .subscription;
    assert_eq!((row.lang, row.timeout_ms), (None, 5000));
    assert_eq!(row.webhook_secret.as_deref(), Some("********"));
    let kept = "select webhook_secret from odoo_eventd.subscription_secret";
    assert_eq!(database.psql(kept).await, "s3cret-s3cret-s3cret");
    let cleared = Patch::parse(json!({"webhook_secret": null})).unwrap();
    let row = verbs
        .update_subscription(&admin, id, &cleared, None)
        .await
        .unwrap()
        .subscription;
    assert_eq!(row.webhook_secret, None);
    assert_eq!(database.psql(kept).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_replaced_is_a_new_version_and_one_that_is_encrypted_is_not() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    let mut asked = orders(NOWHERE);
    asked.webhook_secret = Some("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
    let made = verbs.create_subscription(&admin, asked).await.unwrap().row;
    let id = made.subscription.id;
    let mut versions = vec![made.version];
    let version = async || verbs.subscription(&admin, id).await.unwrap().version;
    for overlap in [std::time::Duration::ZERO, std::time::Duration::from_secs(3600)] {
        verbs.rotate_secret(&admin, id, None, overlap).await.unwrap();
        versions.push(version().await);
    }
    let patch = Patch::parse(json!({"webhook_secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"})).unwrap();
    versions.push(
        verbs
            .update_subscription(&admin, id, &patch, None)
            .await
            .unwrap()
            .version,
    );
    // The mask in its place changes nothing.
    let patch = Patch::parse(json!({"webhook_secret": "********"})).unwrap();
    let now = verbs
        .update_subscription(&admin, id, &patch, None)
        .await
        .unwrap()
        .version;
    assert_eq!(Some(&now), versions.last());
    let distinct: std::collections::HashSet<_> = versions.iter().map(|version| &version.0).collect();
    assert_eq!(distinct.len(), versions.len());
    let sealed = "update odoo_eventd.subscription_secret set webhook_secret = null, sealed_secret = 'x'";
    database.psql(sealed).await;
    assert_eq!(version().await, now);
}
