//! Whoever can log in can take any advisory lock. Deliveries go on, and whoever it is is named.

use tokio_postgres::Client;

use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd, eventd_ok, wait_until_assisted, wait_until_leading};
use crate::support::{Database, eventually};

/// A login without any right, that holds all locks whose names can be guessed.
async fn stranger(database: &Database, locks: &str) -> Client {
    let admin = database.admin_client().await;
    let role = format!("stranger_{}", database.name());
    admin.batch_execute(&format!("create role {role} login")).await.unwrap();
    let client = database.client_as(&role).await;
    client
        .batch_execute(&format!("set application_name = 'report'; {locks}"))
        .await
        .unwrap();
    client
}

async fn gone(database: &Database, stranger: Client) {
    drop(stranger);
    let admin = database.admin_client().await;
    let role = format!("stranger_{}", database.name());
    eventually("the stranger to be gone", SOON, async || {
        admin.batch_execute(&format!("drop role {role}")).await.ok()
    })
    .await;
}

async fn subscribe(database: &Database, receiver: &Receiver, model: &str) {
    let insert = format!(
        "insert into mcp_event_subscription (model, webhook_url) values ('{model}', '{}')",
        receiver.url("/")
    );
    database.psql(&insert).await;
}

const EACH: &str = "select pg_advisory_lock(1868853103, n) from unnest(array[1, 2, 3, 4]) n;
    select pg_advisory_lock(1868853103, n) from generate_series(1000000, 1000020) n;";

#[tokio::test(flavor = "multi_thread")]
async fn nobody_stops_deliveries_by_holding_every_lock_before_the_service_starts() {
    for mode in ["pg_advisory_lock", "pg_advisory_lock_shared"] {
        let database = Database::fixture().await;
        let receiver = Receiver::start().await;
        eventd_ok(&database.url(), &["install"]).await;
        let stranger = stranger(&database, &EACH.replace("pg_advisory_lock", mode)).await;
        subscribe(&database, &receiver, "project.tags").await;
        let _service = Service::start(&database.url(), &[]);
        wait_until_leading(&database).await;
        database.psql("update project_tags set color = 77 where id = 1").await;
        receiver.wait_for(1, SOON).await;
        // Another instance finds the one that leads, and waits for it.
        let _second = Service::start(&database.url(), &[]);
        wait_until_assisted(&database).await;
        assert_eq!(database.psql("select term from odoo_eventd.lead").await, "1");
        gone(&database, stranger).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_stops_a_service_that_runs_and_whoever_tries_is_named() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, &receiver, "project.tags").await;
    let _service = Service::leading(&database).await;
    let stranger = stranger(
        &database,
        "select pg_advisory_lock(1868853103, 3); select pg_advisory_lock(1868853103, 4)",
    )
    .await;
    let ringer = database.client_as(&format!("stranger_{}", database.name())).await;
    let asked = tokio::spawn(async move {
        ringer
            .batch_execute(
                "set application_name = 'report'; select pg_advisory_lock(1868853103, 2); select pg_sleep(1000)",
            )
            .await
    });
    subscribe(&database, &receiver, "sale.order").await;
    eventually("the other table to be captured", SOON, async || {
        (database
            .psql("select count(*) from mcp_event_subscription where state = 'ready'")
            .await
            == "2")
            .then_some(())
    })
    .await;
    for n in 1..=5 {
        database
            .psql(&format!("update sale_order set client_order_ref = '{n}' where id = 1"))
            .await;
        receiver.wait_for(n, SOON).await;
    }
    for command in ["status", "doctor"] {
        let told = eventd(&database.url(), &[command]).await;
        let text = String::from_utf8(told.stdout).unwrap();
        assert!(
            text.contains("installation") && text.contains("application report"),
            "{command}: {text}"
        );
        assert!(
            text.contains(&format!("role stranger_{}", database.name())),
            "{command}: {text}"
        );
    }
    asked.abort();
    database
        .admin_client()
        .await
        .batch_execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'report'")
        .await
        .unwrap();
    gone(&database, stranger).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lead_is_handed_on_although_strangers_hold_every_lock_that_they_can_see() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, &receiver, "project.tags").await;
    let first = stranger(&database, EACH).await;
    let service = Service::leading(&database).await;
    let _second = Service::start(&database.url(), &[]);
    wait_until_assisted(&database).await;
    // Whoever looks sees where the lead went, and queues for it.
    let role = format!("stranger_{}", database.name());
    let queues = database.client_as(&role).await;
    let key = database.psql("select lock_key from odoo_eventd.lead").await;
    assert_ne!(key, "1");
    let queued = tokio::spawn(async move {
        queues
            .batch_execute(&format!("select pg_advisory_lock(1868853103, {key})"))
            .await
            .map(|()| queues)
    });
    service.kill().await;
    let client = database.client().await;
    eventually("the second to lead", SOON, async || {
        let row = client
            .query_one("select term::text from odoo_eventd.lead where term > 1", &[])
            .await;
        row.ok()
    })
    .await;
    database.psql("update project_tags set color = 77 where id = 1").await;
    receiver.wait_for(1, SOON).await;
    database
        .admin_client()
        .await
        .batch_execute(&format!("select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}' and pid <> pg_backend_pid()"))
        .await
        .unwrap();
    drop(queued.await);
    gone(&database, first).await;
}
