//! What a subscription says about when, whether and how often its deliveries are sent; and what changing it does to those that wait.

use std::time::Duration;

use odoo_eventd::signature::{Secret, verify_body};

use crate::support::Database;
use crate::support::delivery::{logged, order_refs, subscribe, wait_logged, wait_true, write_ref};
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{SOON, Service, eventd, eventd_ok, wait_until_leading};

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_subscription_waits_and_goes_on_where_it_was() {
    let database = Database::fixture().await;
    let (paused, other) = (Receiver::start().await, Receiver::start().await);
    let id = order_refs(&database, &paused, &[]).await.to_string();
    let options = ["--event", "write", "--fields", "client_order_ref"];
    subscribe(&database, "sale.order", &other.url("/"), &options).await;
    let _service = Service::leading(&database).await;
    eventd_ok(&database.url(), &["subscriptions", "pause", &id]).await;
    wait_until_leading(&database).await;
    for text in ["one", "two"] {
        write_ref(&database, 1, text).await;
    }
    other.wait_for(2, SOON).await;
    wait_true(
        &database,
        "count(*) = 2 from odoo_eventd.delivery where subscription_id = 1 and state = 'waiting'",
    )
    .await;
    // A look at all that is due, which this retry needs, does not take them up either.
    other.replies([Reply::status(503)]);
    database
        .psql("update mcp_event_subscription set max_attempts = 2, retry_first_ms = 1000, retry_jitter = false where id = 2")
        .await;
    wait_until_leading(&database).await;
    write_ref(&database, 1, "three").await;
    other.wait_for(4, SOON).await;
    assert!(paused.requests().is_empty());

    eventd_ok(&database.url(), &["subscriptions", "resume", &id]).await;
    paused.wait_for(3, SOON).await;
    wait_logged(&database, "subscription_id = 1 and status = 'success'", 3).await;
    let unknown = eventd(&database.url(), &["subscriptions", "pause", "4711"]).await;
    assert_eq!(unknown.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_follows_its_subscription_when_that_is_changed_or_goes() {
    let database = Database::fixture().await;
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    eventd_ok(&database.url(), &["install"]).await;
    let first = "first-secret-of-thirty-two-bytes";
    let options = ["--event", "write", "--fields", "client_order_ref", "--secret", first];
    for path in ["/deactivated", "/deleted", "/repointed", "/rekeyed", "/headers"] {
        subscribe(&database, "sale.order", &old.url(path), &options).await;
    }
    database.psql("update mcp_event_subscription set paused = true").await;
    let _service = Service::leading(&database).await;
    write_ref(&database, 1, "waits").await;
    wait_true(
        &database,
        "count(*) = 5 from odoo_eventd.delivery where state = 'waiting'",
    )
    .await;

    let second = "second-secret-of-thirty-two-byte";
    database
        .psql(&format!(
            "update mcp_event_subscription set active = false where id = 1;
             delete from mcp_event_subscription where id = 2;
             update mcp_event_subscription set webhook_url = '{}' where id = 3;
             update mcp_event_subscription set webhook_secret = '{second}' where id = 4;
             update mcp_event_subscription set headers = '{{\"X-New\": \"yes\"}}', timeout_ms = 7000 where id = 5;
             update mcp_event_subscription set paused = false",
            new.url("/here")
        ))
        .await;
    wait_logged(
        &database,
        "subscription_id in (1, 2) and status = 'failed' and error = 'cancelled' and payload is not null",
        2,
    )
    .await;
    wait_logged(&database, "subscription_id in (3, 4, 5) and status = 'success'", 3).await;
    assert_eq!(new.wait_for(1, SOON).await[0].path, "/here");
    let requests = old.wait_for(2, SOON).await;
    let at = |path: &str| {
        requests
            .iter()
            .find(|r| r.path == path)
            .unwrap_or_else(|| panic!("{path}"))
    };
    assert_eq!(
        requests.len(),
        2,
        "only those that were not deactivated, deleted or re-pointed"
    );
    let signature = at("/rekeyed").header("x-mcp-signature").unwrap();
    let verify = |secret: &str| verify_body(&[Secret::parse(secret).unwrap()], signature, &at("/rekeyed").body);
    assert!(verify(second).is_ok() && verify(first).is_err());
    assert_eq!(at("/headers").header("x-new"), Some("yes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_goes_to_the_address_of_its_time_under_the_same_ids() {
    let database = Database::fixture().await;
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    old.otherwise(Reply::status(503));
    let options = ["--max-attempts", "3", "--retry-first-ms", "2000", "--no-retry-jitter"];
    order_refs(&database, &old, &options).await;
    let _service = Service::leading(&database).await;
    write_ref(&database, 1, "x").await;
    wait_logged(&database, "next_attempt_at is not null", 1).await;
    database
        .psql(&format!(
            "update mcp_event_subscription set webhook_url = '{}'",
            new.url("/moved")
        ))
        .await;
    let moved = new.wait_for(1, SOON).await;
    let first = &old.requests()[0];
    assert_eq!(moved[0].header("webhook-id"), first.header("webhook-id"));
    assert_eq!(moved[0].body, first.body);
    assert_eq!(old.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_is_kept_for_new_events_and_for_a_backlog() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    order_refs(&database, &receiver, &["--grouping", "record", "--rate-limit", "2"]).await;
    let service = Service::leading(&database).await;
    service.terminate().await;
    // A backlog of one transaction, then one change after the other.
    database
        .psql("update sale_order set client_order_ref = 'backlog' where id in (select id from sale_order order by id limit 4)")
        .await;
    let _service = Service::leading(&database).await;
    for number in 0..4 {
        write_ref(&database, 1, &format!("x{number}")).await;
    }
    let requests = receiver.wait_for(8, SOON).await;
    for three in requests.windows(3) {
        // Three are sent within a second and not sooner. Seen on arrival: most of it is left to a machine that is slow with the first.
        let within = three[2].at - three[0].at;
        assert!(within > Duration::from_millis(200), "{within:?}");
    }
    wait_logged(&database, "status = 'success'", 8).await;
    // The oldest first.
    assert!(
        requests[..4]
            .iter()
            .all(|r| r.json()["timestamp"] == requests[0].json()["timestamp"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_past_its_age_is_never_sent_unless_somebody_asks_for_it() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    order_refs(
        &database,
        &receiver,
        &["--max-event-age", "2 seconds", "--max-attempts", "3"],
    )
    .await;
    let service = Service::leading(&database).await;
    service.terminate().await;
    write_ref(&database, 1, "stale").await;
    wait_true(
        &database,
        "max(o.at) < clock_timestamp() - interval '2.1 seconds' from odoo_eventd.outbox o",
    )
    .await;
    let _service = Service::leading(&database).await;
    wait_logged(
        &database,
        "status = 'failed' and error = 'expired' and next_attempt_at is null",
        1,
    )
    .await;
    database
        .psql("update mcp_event_subscription set max_event_age = '1 hour'")
        .await;
    wait_until_leading(&database).await;
    write_ref(&database, 1, "fresh").await;
    let requests = receiver.wait_for(1, SOON).await;
    let expired = database
        .psql("select delivery_id from mcp_webhook_delivery where error = 'expired'")
        .await;
    assert_ne!(requests[0].header("webhook-id"), Some(expired.trim()));

    database
        .psql("update mcp_event_subscription set max_event_age = '1 second'")
        .await;
    wait_until_leading(&database).await;
    eventd_ok(&database.url(), &["redeliver", expired.trim()]).await;
    assert_eq!(
        receiver.wait_for(2, SOON).await[1].header("webhook-id"),
        Some(expired.trim())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_by_an_integrations_own_user_do_not_come_back_to_it() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    order_refs(&database, &receiver, &["--ignore-user-ids", "5"]).await;
    let _service = Service::leading(&database).await;
    for (user, order) in [(5, 1), (6, 2)] {
        database
            .psql(&format!(
                "update sale_order set client_order_ref = 'loop', write_uid = (select id from res_users order by id = {user} desc limit 1),
                        write_date = now() at time zone 'utc' where id = {order}"
            ))
            .await;
    }
    let requests = receiver.wait_for(1, SOON).await;
    assert_eq!(requests[0].json()["record_ids"], serde_json::json!([2]));
    // One of both orders makes one delivery, whoever is asked when.
    assert_eq!(logged(&database, "true").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_cannot_be_are_refused_with_a_sentence() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    for (option, value, says) in [
        ("--retry-first-ms", "10", "retry first ms"),
        ("--retry-max-ms", "10", "retry max ms"),
        ("--rate-limit", "0", "rate limit"),
        ("--max-event-age", "soon", "was not added"),
        ("--max-event-age", "-1 hour", "max event age"),
        ("--max-attempts", "0", "max attempts"),
    ] {
        let option = format!("{option}={value}");
        let output = eventd(&database.url(), &["subscribe", "--model", "sale.order", &option]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{option}: {said}");
        assert!(said.contains(says), "{option}: {said}");
    }
}
