//! What wakes readers, in whatever process they are.

use std::time::Duration;

use serde_json::json;

use super::{admin, operator, read_until, refs, subscribed, verbs};
use crate::support::Database;
use crate::support::delivery::{number, wait_true, write_ref};
use crate::support::service::{SOON, Service, eventd_ok};

/// Longer than any test may take: whoever waits so long was not woken.
const LONG: Duration = Duration::from_secs(600);

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_readers_wait_on_one_session_and_are_woken_by_what_concerns_them() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let verbs = verbs(&database).await;
    let id = subscribed(&verbs, &admin(), json!({})).await;
    let other = subscribed(&verbs, &admin(), json!({"domain": "[('id', '=', 2)]"})).await;
    let _service = Service::leading(&database).await;
    let before = number(
        &database,
        "select count(*) from pg_stat_activity where datname = current_database()",
    )
    .await;
    let waiting: Vec<_> = (0..200)
        .map(|_| {
            let verbs = verbs.clone();
            tokio::spawn(async move { verbs.wait_feed(&admin(), id, None, 10, LONG).await.unwrap() })
        })
        .collect();
    let unconcerned = verbs.clone();
    let unconcerned = tokio::spawn(async move { unconcerned.wait_feed(&admin(), other, None, 10, LONG).await });
    wait_true(
        &database,
        "exists (select from pg_stat_activity where query = 'listen odoo_eventd_feed')",
    )
    .await;
    let now = number(
        &database,
        "select count(*) from pg_stat_activity where datname = current_database()",
    )
    .await;
    assert!(now <= before + 3, "{before} sessions before, {now} with 200 readers");
    write_ref(&database, 1, "for all").await;
    for reader in waiting {
        let page = tokio::time::timeout(SOON, reader).await.expect("it is woken").unwrap();
        assert_eq!(refs(&page), ["for all"]);
    }
    assert!(!unconcerned.is_finished());
    write_ref(&database, 2, "for the other").await;
    let page = tokio::time::timeout(SOON, unconcerned)
        .await
        .expect("it is woken")
        .unwrap()
        .unwrap();
    assert_eq!(refs(&page), ["for the other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_ends_with_an_empty_page_and_with_an_error_once_there_is_nothing_to_wait_for() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let verbs = verbs(&database).await;
    let id = subscribed(&verbs, &operator("mine"), json!({})).await;
    let short = Duration::from_millis(50);
    let page = verbs.wait_feed(&operator("mine"), id, None, 10, short).await.unwrap();
    assert_eq!((page.events.len(), page.has_more, page.truncated), (0, false, false));
    verbs.delete_subscription(&operator("mine"), id, None).await.unwrap();
    assert!(
        verbs
            .wait_feed(&operator("mine"), id, Some(&page.cursor), 10, short)
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_is_lost_costs_seconds_and_no_event() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let verbs = verbs(&database).await;
    let id = subscribed(&verbs, &admin(), json!({})).await;
    let _service = Service::leading(&database).await;
    let reader = {
        let verbs = verbs.clone();
        tokio::spawn(async move { verbs.wait_feed(&admin(), id, None, 10, LONG).await.unwrap() })
    };
    wait_true(
        &database,
        "exists (select from pg_stat_activity where query = 'listen odoo_eventd_feed')",
    )
    .await;
    database
        .psql("update odoo_eventd.installation set notify = false")
        .await;
    write_ref(&database, 1, "not told").await;
    let page = tokio::time::timeout(SOON, reader).await.expect("it looks").unwrap();
    assert_eq!(refs(&page), ["not told"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_go_on_when_the_session_that_listens_is_cut() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let verbs = verbs(&database).await;
    let id = subscribed(&verbs, &admin(), json!({})).await;
    let _service = Service::leading(&database).await;
    let mut cursor = None;
    for n in 0..3 {
        let reader = {
            let (verbs, cursor) = (verbs.clone(), cursor.take());
            tokio::spawn(async move { read_until(&verbs, id, cursor, 1).await })
        };
        wait_true(
            &database,
            "exists (select from pg_stat_activity where query = 'listen odoo_eventd_feed')",
        )
        .await;
        database
            .psql("select pg_terminate_backend(pid) from pg_stat_activity where query = 'listen odoo_eventd_feed' and datname = current_database()")
            .await;
        write_ref(&database, 1, &format!("cut {n}")).await;
        let (found, next) = tokio::time::timeout(SOON, reader).await.expect("it goes on").unwrap();
        assert_eq!(found, [format!("cut {n}")]);
        cursor = Some(next);
    }
}
