//! What odoo-eventd does to tables that are in use: it waits for a moment, gives up, says so, and comes back; nobody queues behind it.

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::capture::Captured;
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd, eventd_ok, wait_until_leading};
use crate::support::{Database, eventually};

/// Writes one record until it is told to stop. Whoever waits for so long waited behind DDL that waits for what others hold open; the
/// DDL's own lock_timeout is 300 ms.
async fn write_all_the_time(session: Client, id: i32, cancel: CancellationToken) -> u32 {
    session.batch_execute("set lock_timeout = '10s'").await.unwrap();
    let mut written = 0;
    while !cancel.is_cancelled() {
        let statement = format!("update project_tags set color = coalesce(color, 0) + 1 where id = {id}");
        session
            .batch_execute(&statement)
            .await
            .unwrap_or_else(|error| panic!("a writer had to wait: {error:?}"));
        written += 1;
    }
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn capture_is_set_up_behind_a_report_at_once_and_behind_a_long_writer_as_soon_as_it_ends() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    let cancel = CancellationToken::new();
    let mut writers = tokio::task::JoinSet::new();
    for id in 2..=4 {
        writers.spawn(write_all_the_time(database.client().await, id, cancel.clone()));
    }
    let report = database.client().await;
    report
        .batch_execute(
            "begin isolation level repeatable read; select count(*) from project_tags; select count(*) from sale_order",
        )
        .await
        .unwrap();
    eventd_ok(&database.url(), &["install"]).await;
    let service = Service::start(&database.url(), &[]);
    wait_until_leading(&database).await;

    let ready = async |id: i32| {
        let state = database
            .psql(&format!(
                "select coalesce(state, '') from mcp_event_subscription where id = {id}"
            ))
            .await;
        (state == "ready").then_some(())
    };
    let subscribe = async |model: &str| {
        let insert = format!(
            "insert into mcp_event_subscription (model, webhook_url) values ('{model}', '{}') returning id",
            receiver.url("/")
        );
        database.psql(&insert).await.parse::<i32>().unwrap()
    };
    // Readers do not hinder it, and writers only while their transaction lasts.
    let tags = subscribe("project.tags").await;
    eventually("capture behind a report", SOON, async || ready(tags).await).await;

    let long_writer = database.client().await;
    long_writer
        .batch_execute("begin; update sale_order set client_order_ref = 'long' where id = 1")
        .await
        .unwrap();
    let orders = subscribe("sale.order").await;
    // The others are served meanwhile, and the busy table is tried again and again.
    database.psql("update project_tags set color = 77 where id = 1").await;
    receiver.wait_for(1, SOON).await;
    eventually("three tries on the busy table", SOON, async || {
        let waiting = database
            .psql("select count(*) from pg_locks where relation = 'sale_order'::regclass and mode = 'ShareRowExclusiveLock' and not granted")
            .await;
        (waiting != "0").then_some(())
    })
    .await;
    let other = database.client().await;
    other.batch_execute("set lock_timeout = '10s'").await.unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        other
            .batch_execute("update sale_order set client_order_ref = 'other' where id = 2")
            .await
            .unwrap_or_else(|error| panic!("a writer queued behind the DDL: {error:?}"));
    }
    assert!(ready(orders).await.is_none());
    long_writer.batch_execute("commit").await.unwrap();
    eventually("capture after the long writer", SOON, async || ready(orders).await).await;
    report.batch_execute("commit").await.unwrap();
    cancel.cancel();
    assert!(writers.join_all().await.into_iter().all(|written| written > 100));
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");
    assert!(
        log.contains("the table is busy: its triggers will be set up when a lock can be had"),
        "{log}"
    );
}

#[tokio::test]
async fn triggers_that_nobody_needs_are_dropped_table_by_table_and_not_behind_a_reader() {
    let captured = Captured::watching("sale.order", &["state"]).await;
    captured.watch("project.tags", &["color"]).await;
    captured.write("update mcp_event_subscription set active = false").await;
    for model in ["sale.order", "project.tags"] {
        assert_eq!(captured.sync(model).await.unwrap(), "stopped");
    }
    let drop_idle = async || -> Vec<String> {
        let dropped = captured
            .owner
            .query("select odoo_eventd.drop_idle_triggers()", &[])
            .await
            .unwrap();
        dropped.iter().map(|row| row.get(0)).collect()
    };
    let reader = captured.writer().await;
    reader
        .batch_execute("begin; select count(*) from sale_order")
        .await
        .unwrap();
    // The busy one does not keep the other from going.
    let dropped = tokio::time::timeout(SOON, drop_idle())
        .await
        .expect("not behind a reader");
    assert!(
        dropped.len() == 4 && dropped.iter().all(|d| d.ends_with("project_tags")),
        "{dropped:?}"
    );
    let again = tokio::time::timeout(SOON, drop_idle())
        .await
        .expect("not behind a reader");
    assert!(again.is_empty(), "{again:?}");
    reader.batch_execute("commit").await.unwrap();
    assert_eq!(drop_idle().await.len(), 4);
    let left = "select count(*) from pg_trigger where tgname like 'odoo\\_eventd\\_%'";
    assert_eq!(captured.database.psql(left).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn installing_again_waits_for_no_dump_and_one_that_must_wait_gives_up_says_so_and_tries_again() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    // What pg_dump holds for as long as it runs.
    let dump = database.client().await;
    dump.batch_execute(
        "begin; do $$ declare t regclass; begin
           for t in select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
                     where c.relkind in ('r', 'p') and n.nspname in ('public', 'odoo_eventd') loop
             execute format('lock table %s in access share mode', t);
           end loop; end $$",
    )
    .await
    .unwrap();
    let output = tokio::time::timeout(SOON, eventd(&database.url(), &["install"]))
        .await
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    dump.batch_execute("commit").await.unwrap();

    // Something that does need a lock of a table that is written to.
    database
        .psql("drop trigger forget_subscription on mcp_event_subscription")
        .await;
    let writer = database.client().await;
    writer
        .batch_execute("begin; lock table mcp_event_subscription in row exclusive mode")
        .await
        .unwrap();
    let url = database.url();
    let install = tokio::spawn(async move { eventd(&url, &["install"]).await });
    let waiting = "select count(*) from pg_locks where relation = 'mcp_event_subscription'::regclass and not granted";
    for wanted in ["1", "0", "1"] {
        eventually("the installation to try, give up and try again", SOON, async || {
            (database.psql(waiting).await == wanted).then_some(())
        })
        .await;
    }
    writer.batch_execute("commit").await.unwrap();
    let output = install.await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("in use, trying again"),
        "{said}"
    );
}
