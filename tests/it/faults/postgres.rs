//! PostgreSQL stops, crashes, recovers, has no connection left, takes no writes. What writers were promised to be committed arrives; what
//! was claimed and not sent, a service that lives through it does not take for interrupted.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use odoo_eventd::demo::scratch::Scratch;
use odoo_eventd::demo::{Cluster, Options};
use rand::RngExt;
use tokio::task::block_in_place;
use tokio_postgres::{Client, NoTls};

use super::world::World;
use super::{Fault, nothing_is_lost_in_the_end};
use crate::support::delivery::{logged, number, order_refs, write_ref};
use crate::support::process::signal;
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, program, wait_until_leading};
use crate::support::{Database, Server, eventually};

/// How long PostgreSQL is away, or refuses: long enough that the service asks again more than once.
const AWAY: Duration = Duration::from_secs(2);

/// All faults of this kind.
pub fn faults() -> Vec<Box<dyn Fault>> {
    vec![
        Box::new(Stopped),
        Box::new(Restarted),
        Box::new(Killed),
        Box::new(BackendKilled),
        Box::new(InRecovery),
        Box::new(OutOfConnections),
        Box::new(ReadOnly),
    ]
}

/// `pg_ctl stop -m fast`, and a start some time later.
struct Stopped;

impl Fault for Stopped {
    fn name(&self) -> &'static str {
        "PostgreSQL stopped for 2 s"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            block_in_place(|| cluster(world).stop().unwrap());
            tokio::time::sleep(AWAY).await;
            block_in_place(|| cluster(world).start_again().unwrap());
        }
        .boxed()
    }
}

/// `pg_ctl restart`.
struct Restarted;

impl Fault for Restarted {
    fn name(&self) -> &'static str {
        "PostgreSQL restarted"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move { block_in_place(|| cluster(world).restart().unwrap()) }.boxed()
    }
}

/// SIGKILL to the postmaster and all its processes.
struct Killed;

impl Fault for Killed {
    fn name(&self) -> &'static str {
        "PostgreSQL killed with SIGKILL"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            block_in_place(|| {
                cluster(world).crash().unwrap();
                cluster(world).start_again().unwrap();
            });
        }
        .boxed()
    }
}

/// SIGKILL to one session's process, as by the kernel when memory runs out: the postmaster ends all others and recovers.
struct BackendKilled;

impl Fault for BackendKilled {
    fn name(&self) -> &'static str {
        "a PostgreSQL backend killed with SIGKILL"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            let sessions = world
                .database
                .psql("select string_agg(pid::text, ' ') from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
                .await;
            let sessions: Vec<u32> = sessions.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
            let which = world.random.random_range(0..sessions.len());
            signal(sessions[which], "KILL");
        }
        .boxed()
    }
}

/// A crash with much to recover from.
struct InRecovery;

impl Fault for InRecovery {
    fn name(&self) -> &'static str {
        "PostgreSQL killed, in recovery for 5 s"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            // Some forty megabytes of WAL, so that recovery lasts long enough to be held there.
            world
                .database
                .psql("create table faults.bulk as select repeat(md5(n::text), 8) from generate_series(1, 120000) n; drop table faults.bulk")
                .await;
            block_in_place(|| {
                let cluster = cluster(world);
                cluster.crash().unwrap();
                std::thread::scope(|scope| {
                    let started = scope.spawn(|| cluster.start_again().unwrap());
                    let startup = recovering(&cluster.data_directory());
                    signal(startup, "STOP");
                    std::thread::sleep(Duration::from_secs(5));
                    signal(startup, "CONT");
                    started.join().unwrap();
                });
            });
        }
        .boxed()
    }
}

/// The process that recovers the server of a data directory.
fn recovering(data: &Path) -> u32 {
    let deadline = Instant::now() + SOON;
    while Instant::now() < deadline {
        let is_it = |process: &std::fs::DirEntry| {
            let title = std::fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
            let place = std::fs::read_link(process.path().join("cwd"));
            title.contains(": startup") && place.is_ok_and(|place| place == data)
        };
        let mut processes = std::fs::read_dir("/proc").unwrap().flatten();
        if let Some(found) = processes.find(is_it) {
            return found.file_name().to_str().unwrap().parse().unwrap();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("nobody recovers {}", data.display())
}

/// Others have taken all connections: a service that has some goes on with them, one that starts waits for some.
struct OutOfConnections;

impl Fault for OutOfConnections {
    fn name(&self) -> &'static str {
        "no connection left"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            let mut taken = take_all(&world.database).await;
            world.recovered().await;
            world.stop_services().await;
            taken.extend(take_all(&world.database).await);
            world.start_service();
            let until = Instant::now() + AWAY;
            while Instant::now() < until {
                // The writers' too, when they lose theirs.
                taken.extend(take_all(&world.database).await);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            drop(taken);
        }
        .boxed()
    }
}

async fn take_all(database: &Database) -> Vec<Client> {
    let mut taken = Vec::new();
    loop {
        match tokio_postgres::connect(&database.url(), NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                taken.push(client);
            }
            Err(error) => {
                let state = error.code().map(tokio_postgres::error::SqlState::code);
                assert_eq!(state, Some("53300"), "{error:?}");
                return taken;
            }
        }
    }
}

/// `default_transaction_read_only = on` for the whole cluster.
struct ReadOnly;

impl Fault for ReadOnly {
    fn name(&self) -> &'static str {
        "read-only for 2 s"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            let admin = world.database.admin_client().await;
            for setting in [
                "set default_transaction_read_only = on",
                "reset default_transaction_read_only",
            ] {
                admin
                    .batch_execute("set default_transaction_read_only = off")
                    .await
                    .unwrap();
                admin.batch_execute(&format!("alter system {setting}")).await.unwrap();
                admin.batch_execute("select pg_reload_conf()").await.unwrap();
                tokio::time::sleep(AWAY).await;
            }
        }
        .boxed()
    }
}

fn cluster(world: &World) -> &Cluster {
    world.database.server().cluster()
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_stopped_and_restarted_nothing_is_lost_in_the_end() {
    nothing_is_lost_in_the_end(&[&Stopped, &Restarted], 1, 11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_killed_nothing_is_lost_in_the_end() {
    nothing_is_lost_in_the_end(&[&Killed, &BackendKilled], 2, 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_recovery_is_waited_for_and_nothing_is_lost_in_the_end() {
    nothing_is_lost_in_the_end(&[&InRecovery], 1, 13).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_free_connection_the_service_goes_on_with_those_it_has() {
    nothing_is_lost_in_the_end(&[&OutOfConnections], 1, 14).await;
}

#[tokio::test]
async fn what_needs_a_further_connection_waits_while_there_is_none_and_the_term_goes_on() {
    let server = Server::private(Options::new());
    let database = server.fixture().await;
    let receiver = Receiver::start().await;
    order_refs(&database, &receiver, &[]).await;
    let scratch = Scratch::new(None).unwrap();
    let log = scratch.path().join("log");
    let mut command = program();
    command.args(["--database-url", &database.url(), "run"]);
    let service = Service::logging_to(std::fs::File::create(&log).unwrap(), command);
    wait_until_leading(&database).await;
    let term = number(&database, "select term from odoo_eventd.lead").await;
    let ours =
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'odoo-eventd'";
    // With no more than the idle service has, what a delivery came to cannot be noted at its subscription.
    eventually("an idle service", SOON, async || {
        (number(&database, ours).await == 2).then_some(())
    })
    .await;
    let writer = database.client().await;
    let taken = take_all(&database).await;

    writer
        .batch_execute("update sale_order set client_order_ref = 'without' where id = 1")
        .await
        .unwrap();
    receiver.wait_for(1, SOON).await;
    eventually("word of what waits", SOON, async || {
        let log = std::fs::read_to_string(&log).unwrap();
        log.contains("no further connection can be had").then_some(())
    })
    .await;
    writer
        .batch_execute("update sale_order set client_order_ref = 'still without' where id = 1")
        .await
        .unwrap();
    receiver.wait_for(2, SOON).await;

    drop(taken);
    let noted = "select count(*) from mcp_event_subscription where last_delivery_status = 'success'";
    eventually("the note", SOON, async || {
        let noted: i64 = writer.query_one(noted, &[]).await.unwrap().get(0);
        (noted == 1).then_some(())
    })
    .await;
    let term_now: i64 = writer
        .query_one("select term from odoo_eventd.lead", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(term_now, term);
    let (status, _) = service.terminate().await;
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_takes_nothing_back_that_was_sent_although_the_server_does_not_wait_for_its_disk() {
    // As often advised for Odoo; and nothing that is left to the background gets to the disk while the test runs.
    let settings = Options::new()
        .setting("synchronous_commit", "off")
        .setting("wal_writer_delay", "10s");
    let server = Server::private(settings);
    let database = server.fixture().await;
    let receiver = Receiver::start().await;
    order_refs(&database, &receiver, &[]).await;
    let service = Service::leading(&database).await;
    for n in 1..=20 {
        write_ref(&database, 1, &format!("before {n}")).await;
        receiver.wait_for(n, SOON).await;
    }
    block_in_place(|| {
        database.server().cluster().crash().unwrap();
        database.server().cluster().start_again().unwrap();
    });
    wait_until_leading(&database).await;
    assert_eq!(logged(&database, "record_ids = '{1}'").await, 20);
    write_ref(&database, 2, "after").await;
    let requests = receiver.wait_for(21, SOON).await;
    assert_eq!(requests[20].json()["record_ids"].to_string(), "[2]");
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");
    assert_eq!(receiver.requests().len(), 21);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_takes_no_writes_for_a_while_loses_nothing() {
    nothing_is_lost_in_the_end(&[&ReadOnly], 2, 15).await;
}
