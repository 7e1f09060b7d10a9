//! The doorbell loses no wake-up: whatever writers do while the reader falls asleep and wakes, what they commit is read at once, and
//! never only because the poll came round. The poll is set to ten minutes here, so that it cannot help.
//!
//! `ODOO_EVENTD_TEST_INTERLEAVINGS=50000` runs as many in each test instead of the few thousand of every day, and
//! `ODOO_EVENTD_TEST_SEED` repeats a run: a failure says its seed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use odoo_eventd::pg::connect;
use odoo_eventd::pg::connections::Connections;
use odoo_eventd::pg::locks::{BELL, CLASS};
use odoo_eventd::pg::outbox::{self, Layouts, Position};
use odoo_eventd::worker::dispatch::wake::{Doorbell, Wake};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::{Notify, mpsc};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::capture::Captured;
use crate::support::delivery::subscribe;
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd_ok, wait_until_leading};
use crate::support::{Database, eventually};

/// No test lasts as long, and all that is waited for comes much sooner.
const TOO_LONG_TO_HELP: Duration = Duration::from_secs(600);

/// Far below the poll.
const AT_ONCE: Duration = SOON;

const WRITERS: i64 = 6;
/// The record of the transaction that stays open for some rounds, and of the one that stays open throughout.
const LINGERER: i64 = 1_007;
const HOLDER: i64 = 1_008;

fn number_from(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// Reads as the dispatcher does, with its own sleeping and waking, and tells what it has read.
async fn read_and_sleep(
    database: connect::Database,
    withdrawing_after: Duration,
    read: mpsc::UnboundedSender<(i64, i64)>,
    cancel: CancellationToken,
) {
    let (connections, mut notifications) = Connections::open(&database, 4).await.unwrap();
    connections.lead().batch_execute("listen odoo_eventd").await.unwrap();
    let rang = Arc::new(Notify::new());
    let ringing = Arc::clone(&rang);
    tokio::spawn(async move {
        while let Some(Ok(_)) = notifications.recv().await {
            ringing.notify_one();
        }
    });
    let bell = Doorbell::connect(&database).await.unwrap();
    let mut wake =
        Wake::new(Some(bell), connections.clone(), rang, TOO_LONG_TO_HELP).withdrawing_after(withdrawing_after);
    let mut layouts = Layouts::default();
    let mut position = outbox::take_lead(connections.lead()).await.unwrap().position;
    while !cancel.is_cancelled() {
        let client = connections.at_once().await;
        let page = outbox::read(&*client, &position, 2_000, i64::MAX, &mut layouts)
            .await
            .unwrap();
        drop(client);
        assert!(page.rows.len() < 2_000, "a round is much smaller than a page");
        if page.rows.is_empty() {
            wake.nothing_found(&cancel).await.unwrap();
        } else {
            wake.found().await.unwrap();
        }
        for row in page.rows {
            let color = row.change.new.unwrap()[0].clone().unwrap();
            read.send((row.change.record_id, color.parse().unwrap())).unwrap();
        }
        position = Position {
            done: page.snapshot,
            target: None,
        };
    }
    drop(connections);
}

/// One transaction of a writer on its own record, as SQL; which values are committed with it, and which are not.
struct Script {
    sql: String,
    committed: Vec<i64>,
    undone: Vec<i64>,
}

fn script(random: &mut StdRng, record: i64, next_value: &mut i64) -> Script {
    let mut made = Script {
        sql: String::new(),
        committed: Vec::new(),
        undone: Vec::new(),
    };
    let mut write = || {
        *next_value += 1;
        (
            *next_value,
            format!("update project_tags set color = {next_value} where id = {record};"),
        )
    };
    // Up to two milliseconds, and often none at all: about as long as it takes to fall asleep.
    let mut pause = || match random.random_range(0..4) {
        0 => String::new(),
        1 => format!("select pg_sleep({});", random.random_range(0.0..0.002)),
        _ => format!("select pg_sleep({});", random.random_range(0.0..0.000_5)),
    };
    let (first, second) = (write(), write());
    let (before, between, after) = (pause(), pause(), pause());
    let (sql, committed, undone) = match random.random_range(0..8) {
        0..=2 => (first.1, vec![first.0], vec![]),
        3 => (
            format!("begin; {} {between} {} {after} commit;", first.1, second.1),
            vec![first.0, second.0],
            vec![],
        ),
        // The shared lock goes with the savepoint.
        4 => (
            format!(
                "begin; savepoint a; {} {between} rollback to a; {after} {} commit;",
                first.1, second.1
            ),
            vec![second.0],
            vec![first.0],
        ),
        5 => (
            format!(
                "begin; {} savepoint a; {between} {} rollback to a; {after} commit;",
                first.1, second.1
            ),
            vec![first.0],
            vec![second.0],
        ),
        6 => (
            format!(
                "begin; savepoint a; {} release a; {between} select 1; {after} commit;",
                first.1
            ),
            vec![first.0],
            vec![],
        ),
        _ => (format!("begin; {} {between} rollback;", first.1), vec![], vec![first.0]),
    };
    made.sql = format!("{before} {sql}");
    made.committed = committed;
    made.undone = undone;
    made
}

/// Runs so many transactions, in rounds: after each round nobody writes, and everything committed has to be read although nothing
/// comes behind it.
async fn interleave(name: &str, is_one_held_open: bool, withdrawing_after: Duration) {
    let count = number_from("ODOO_EVENTD_TEST_INTERLEAVINGS", 2_500);
    let seed = number_from("ODOO_EVENTD_TEST_SEED", rand::random_range(0..u64::from(u32::MAX)));
    eprintln!("{name}: seed {seed}, {count} interleavings");
    let mut random = StdRng::seed_from_u64(seed);

    let captured = Captured::watching("project.tags", &["color"]).await;
    captured
        .write("insert into project_tags (id, name, color) select n, '{}', 0 from generate_series(1001, 1008) n")
        .await;
    let holder = captured.writer().await;
    if is_one_held_open {
        // Before anybody sleeps, so that it shares the lock from then on to its end.
        holder
            .batch_execute(&format!(
                "begin; update project_tags set color = -1 where id = {HOLDER}"
            ))
            .await
            .unwrap();
    }
    let database = connect::Database::parse(&captured.database.url()).unwrap();
    let (sender, mut read) = mpsc::unbounded_channel();
    let cancel = CancellationToken::new();
    let reader = tokio::spawn(read_and_sleep(database, withdrawing_after, sender, cancel.clone()));

    let mut writers: Vec<Arc<Client>> = Vec::new();
    for _ in 0..WRITERS {
        writers.push(Arc::new(captured.writer().await));
    }
    let lingerer = captured.writer().await;
    let mut lingering: Option<i64> = None;
    let (mut done, mut rounds, mut value) = (0, 0_u32, 0);
    // The fixture's own insert is read first.
    let mut expected: HashSet<(i64, i64)> = (1_001..=1_008).map(|id| (id, 0)).collect();
    let mut undone: HashSet<(i64, i64)> = HashSet::new();
    loop {
        while !expected.is_empty() {
            let (record, color) = tokio::time::timeout(AT_ONCE, read.recv())
                .await
                .unwrap_or_else(|_| {
                    panic!("{name}: seed {seed}, round {rounds}: not read although committed: {expected:?}")
                })
                .expect("the reader goes on");
            assert!(
                expected.remove(&(record, color)) && !undone.contains(&(record, color)),
                "{name}: seed {seed}, round {rounds}: {color} of record {record} was read twice, or never committed"
            );
        }
        undone.clear();
        if done >= count {
            break;
        }
        rounds += 1;
        let mut round = tokio::task::JoinSet::new();
        let busy = random.random_range(1..=WRITERS);
        for (writer, record) in writers.iter().zip(1_001..1_001 + busy) {
            let script = script(&mut random, record, &mut value);
            expected.extend(script.committed.iter().map(|v| (record, *v)));
            undone.extend(script.undone.iter().map(|v| (record, *v)));
            let writer = Arc::clone(writer);
            round.spawn(async move { writer.batch_execute(&script.sql).await.unwrap() });
            done += 1;
        }
        // One stays open for some rounds, and then ends while the others are quiet.
        match lingering {
            None if random.random_bool(0.3) => {
                value += 1;
                lingering = Some(value);
                let update = format!("begin; update project_tags set color = {value} where id = {LINGERER}");
                lingerer.batch_execute(&update).await.unwrap();
            }
            Some(written) if random.random_bool(0.4) => {
                round.join_all().await;
                round = tokio::task::JoinSet::new();
                lingerer.batch_execute("commit").await.unwrap();
                expected.insert((LINGERER, written));
                lingering = None;
                done += 1;
            }
            _ => {}
        }
        round.join_all().await;
    }
    if let Some(written) = lingering {
        lingerer.batch_execute("commit").await.unwrap();
        let last = tokio::time::timeout(AT_ONCE, read.recv()).await.unwrap();
        assert_eq!(last, Some((LINGERER, written)), "{name}: seed {seed}");
    }
    if is_one_held_open {
        holder.batch_execute("commit").await.unwrap();
        let last = tokio::time::timeout(AT_ONCE, read.recv()).await.unwrap();
        assert_eq!(last, Some((HOLDER, -1)), "{name}: seed {seed}");
    }
    eprintln!("{name}: {done} transactions in {rounds} rounds, all read");
    cancel.cancel();
    reader.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_commit_waits_for_the_poll() {
    interleave("nobody held open", false, Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_commit_waits_for_the_poll_while_a_writer_is_held_open_throughout() {
    interleave("one held open", true, Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_commit_waits_for_the_poll_when_each_sleep_queues_anew_behind_a_writer_held_open() {
    interleave("one held open, queued anew", true, Duration::ZERO).await;
}

/// Installed, with a subscription to every tag, and a service whose poll comes too late to help.
async fn tags_delivered_to(receiver: &Receiver, database: &Database, poll_interval_ms: &str) -> Service {
    subscribe(database, "project.tags", &receiver.url("/tags"), &["--fields", "color"]).await;
    let service = Service::start(&database.url(), &["--poll-interval-ms", poll_interval_ms]);
    wait_until_leading(database).await;
    service
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_delivers_every_commit_at_once_although_it_would_poll_in_ten_minutes() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("insert into project_tags (id, name, color) select n, '{}', 0 from generate_series(1001, 1008) n")
        .await;
    let _service = tags_delivered_to(&receiver, &database, "600000").await;
    let seed = number_from("ODOO_EVENTD_TEST_SEED", rand::random_range(0..u64::from(u32::MAX)));
    let mut random = StdRng::seed_from_u64(seed);
    let held = database.client().await;
    held.batch_execute(&format!(
        "begin; update project_tags set color = -1 where id = {HOLDER}"
    ))
    .await
    .unwrap();
    let mut value = 0;
    let mut expected = 0;
    for round in 0..150 {
        let writer = database.client().await;
        let script = script(&mut random, 1_001 + round % WRITERS, &mut value);
        writer.batch_execute(&script.sql).await.unwrap();
        // Several statements of one transaction are one event.
        expected += usize::from(!script.committed.is_empty());
        receiver.wait_for(expected, AT_ONCE).await;
    }
    held.batch_execute("commit").await.unwrap();
    let requests = receiver.wait_for(expected + 1, AT_ONCE).await;
    assert_eq!(requests.len(), expected + 1, "seed {seed}");
    assert_eq!(requests[expected].json()["record_ids"], serde_json::json!([HOLDER]));
}

/// Since when the service holds the bell's lock, by the statement that got it; empty when it does not.
async fn held_since(database: &Database) -> String {
    database
        .psql(&format!(
            "select a.query_start from pg_locks l join pg_stat_activity a using (pid)
              where l.locktype = 'advisory' and l.classid = {CLASS}::oid and l.objid = {BELL}::oid and l.mode = 'ExclusiveLock'
                and l.granted and l.database = (select d.oid from pg_database d where d.datname = current_database())"
        ))
        .await
}

async fn wait_until_held(database: &Database) -> String {
    eventually("the bell to be armed", SOON, async || {
        Some(held_since(database).await).filter(|since| !since.is_empty())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_come_alone_leave_the_bell_armed_and_a_stream_of_them_puts_it_away() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("insert into project_tags (id, name, color) values (1001, '{}', 0)")
        .await;
    let _service = tags_delivered_to(&receiver, &database, "600000").await;
    database.psql("update project_tags set color = 1 where id = 1001").await;
    receiver.wait_for(1, AT_ONCE).await;
    let armed = wait_until_held(&database).await;
    for number in 2..10 {
        database
            .psql(&format!("update project_tags set color = {number} where id = 1001"))
            .await;
        receiver.wait_for(number, AT_ONCE).await;
        assert_eq!(held_since(&database).await, armed, "event {number}");
    }

    let writer = database.client().await;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let writing = tokio::spawn(async move {
        let mut color = 10;
        while !stopped.is_cancelled() {
            color += 1;
            let update = format!("update project_tags set color = {color} where id = 1001");
            writer.batch_execute(&update).await.unwrap();
        }
    });
    eventually("writers to be spared the bell", SOON, async || {
        held_since(&database).await.is_empty().then_some(())
    })
    .await;
    stop.cancel();
    writing.await.unwrap();
    assert_ne!(wait_until_held(&database).await, armed);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_notify_off_nothing_is_ever_notified_and_events_arrive_by_polling() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("update odoo_eventd.installation set notify = false; select odoo_eventd.register_installation(null)")
        .await;
    let (ear, mut heard) = connect::Database::parse(&database.url())
        .unwrap()
        .connect_lead()
        .await
        .unwrap();
    ear.batch_execute("listen odoo_eventd").await.unwrap();
    let service = tags_delivered_to(&receiver, &database, "200").await;
    let name = database.name();
    for (number, write) in [
        "insert into project_tags (id, name, color) values (1001, '{}', 0)".to_owned(),
        "update project_tags set color = 1 where id = 1001".to_owned(),
        "update project_tags set color = 2".to_owned(),
        format!("begin; update project_tags set color = 3 where id = 1001; prepare transaction '{name}'"),
        "delete from project_tags where id = 1001".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        database.psql(&write).await;
        if write.contains("prepare") {
            database.psql(&format!("commit prepared '{name}'")).await;
        }
        receiver.wait_for(number + 1, SOON).await;
    }
    // A subscription that changes rings neither.
    database
        .psql("update mcp_event_subscription set name = 'renamed'")
        .await;
    eventually("the changed subscription to be ready", SOON, async || {
        (database.psql("select state from mcp_event_subscription").await == "ready").then_some(())
    })
    .await;
    // What was notified before this is heard before it.
    ear.batch_execute("notify odoo_eventd, 'the end'").await.unwrap();
    assert_eq!(heard.recv().await.unwrap().unwrap(), "the end");
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");
}
