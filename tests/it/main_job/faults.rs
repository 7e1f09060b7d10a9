//! The service killed, stopped, doubled, and PostgreSQL away: all arrives, once.

use std::time::Duration;

use super::{delivery_ids, logged, subscribe};
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{SOON, Service, eventd_ok, wait_until_assisted, wait_until_leading};
use crate::support::{Database, Server, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_the_service_was_killed_arrives_once() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(
        &database,
        &receiver,
        &["--event", "write", "--fields", "client_order_ref"],
    )
    .await;
    let service = Service::leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'first' where id = 1")
        .await;
    receiver.wait_for(1, SOON).await;
    // Else its end may stay unrecorded, and it is interrupted.
    eventually("the first to be recorded", SOON, async || {
        (logged(&database, "status = 'success'").await == 1).then_some(())
    })
    .await;
    service.kill().await;

    let client = database.client().await;
    for number in 0..1_000 {
        client
            .execute(
                "update sale_order set client_order_ref = $1::text where id = 1",
                &[&number.to_string()],
            )
            .await
            .unwrap();
    }
    let _service = Service::leading(&database).await;
    let requests = receiver.wait_for(1_001, SOON * 2).await;
    assert_eq!(delivery_ids(&requests).len(), 1_001);
    eventually("all outcomes in the log", SOON, async || {
        (logged(&database, "status = 'success'").await == 1_001).then_some(())
    })
    .await;
    assert_eq!(logged(&database, "status <> 'success'").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_deliver_once_and_the_standby_takes_over_from_one_that_was_killed() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(
        &database,
        &receiver,
        &["--event", "write", "--fields", "client_order_ref"],
    )
    .await;
    let active = Service::leading(&database).await;
    let _standby = Service::start(&database.url(), &[]);
    wait_until_assisted(&database).await;
    let client = database.client().await;
    for number in 0..100 {
        client
            .execute(
                "update sale_order set client_order_ref = $1::text where id = 1",
                &[&number.to_string()],
            )
            .await
            .unwrap();
    }
    receiver.wait_for(100, SOON).await;

    active.kill().await;
    client
        .execute("update sale_order set client_order_ref = 'after' where id = 1", &[])
        .await
        .unwrap();
    let requests = receiver.wait_for(101, SOON).await;
    assert_eq!(delivery_ids(&requests).len(), 101);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_requests_under_way_end_and_records_them() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::status(200).after(Duration::from_millis(500))]);
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, &receiver, &[]).await;
    let service = Service::leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'x' where id = 1")
        .await;
    receiver.wait_for(1, SOON).await;
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");
    assert_eq!(logged(&database, "status = 'success'").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_a_crash_cut_off_is_interrupted_and_a_one_shot_is_not_sent_again() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::hang()]);
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, &receiver, &[]).await;
    let service = Service::leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'x' where id = 1")
        .await;
    receiver.wait_for(1, SOON).await;
    service.kill().await;
    let _service = Service::leading(&database).await;
    eventually("the attempt to be ended", SOON, async || {
        (logged(&database, "status = 'failed' and error = 'interrupted'").await == 1).then_some(())
    })
    .await;
    database
        .psql("update sale_order set client_order_ref = 'y' where id = 1")
        .await;
    let requests = receiver.wait_for(2, SOON).await;
    delivery_ids(&requests);
}

/// Installed and subscribed, on a server of its own.
async fn subscribed_alone(receiver: &Receiver) -> Database {
    let server = Server::private(odoo_eventd::demo::Options::new());
    let database = server.fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, receiver, &[]).await;
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_comes_back_after_postgresql_was_away() {
    let receiver = Receiver::start().await;
    let database = subscribed_alone(&receiver).await;
    let _service = Service::leading(&database).await;
    database.server().cluster().crash().unwrap();
    database.server().cluster().start_again().unwrap();
    wait_until_leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'after the crash' where id = 1")
        .await;
    receiver.wait_for(1, SOON).await;
}

#[tokio::test]
async fn a_restart_of_the_server_is_not_taken_for_somebody_who_wants_the_database() {
    let receiver = Receiver::start().await;
    let database = subscribed_alone(&receiver).await;
    let service = Service::leading(&database).await;
    database.server().cluster().restart().unwrap();
    wait_until_leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'after the restart' where id = 1")
        .await;
    receiver.wait_for(1, SOON).await;
    let (status, log) = service.terminate().await;
    assert!(status.success());
    assert!(
        log.contains("the term ended") && !log.contains("\"stays_away\":true"),
        "{log}"
    );
}
