//! The database goes back to an earlier time: files put back, a replica promoted without the last commits, a dump restored. That is noticed:
//! nothing that was sent is sent again, nothing new goes out under doubtful ids, and `adopt` gets everything going again. A replica that
//! lacks nothing goes on by itself.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use odoo_eventd::demo::scratch::Scratch;
use odoo_eventd::demo::{Cluster, Options};
use tokio::task::block_in_place;

use super::checker::{Books, Item, check};
use super::world::{Load, World};
use super::{Fault, nothing_is_lost_in_the_end};
use crate::support::service::{SOON, eventd_ok, wait_until_leading};
use crate::support::{Server, eventually};

/// All faults of this kind that leave everything as it was promised.
pub fn faults() -> Vec<Box<dyn Fault>> {
    vec![Box::new(Switchover)]
}

/// How long nothing may arrive from a database that was restored: the service tries every ten seconds at most, and retries are due
/// after one.
const SILENT_FOR: Duration = Duration::from_secs(12);

async fn calm_world(server: &std::sync::Arc<Server>, seed: u64) -> World {
    let load = Load {
        writers: 4,
        pause: Duration::from_millis(200),
    };
    World::new(server, load, seed).await
}

fn cluster(world: &World) -> &Cluster {
    world.database.server().cluster()
}

/// Copies a stopped server's files.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(copied.success());
}

/// Puts other files in the place of a stopped server's.
fn replace(data: &Path, with: &Path) {
    std::fs::remove_dir_all(data).unwrap();
    copy(with, data);
    let _ = std::fs::remove_file(data.join("postmaster.pid"));
}

/// Waits until the service says that it must not deliver; returns why.
async fn fenced(world: &World) -> String {
    eventually("the restore to be noticed", SOON, async || {
        let fence = world
            .database
            .try_psql("select odoo_eventd.status() ->> 'fence'")
            .await
            .ok()?;
        (!fence.is_empty()).then_some(fence)
    })
    .await
}

/// From the restore on: silence, until it is adopted; then everything new, and nothing that was sent before.
async fn assert_silent_until_adopted(world: &mut World, sent_before: usize) {
    tokio::time::sleep(SILENT_FOR).await;
    let sent: HashSet<_> = world.ledger.arrivals()[..sent_before]
        .iter()
        .map(|a| (a.delivery, a.event))
        .collect();
    assert_eq!(
        world.ledger.count(),
        sent_before,
        "something was sent from a restored database"
    );

    eventd_ok(&world.database.url(), &["adopt", "--pending", "drop"]).await;
    world.recovered().await;
    let adopted = Instant::now();
    world.recovered().await;
    world.settle(SOON).await;
    let again = world.ledger.arrivals()[sent_before..].to_vec();
    let again = again.iter().filter(|a| sent.contains(&(a.delivery, a.event))).count();
    assert_eq!(again, 0, "something came again under its old ids");
    let books = since(world.books().await, adopted);
    assert!(!books.committed.is_empty());
    check(&books).assert_clean();
}

/// What concerns changes that were committed later.
fn since(mut books: Books, time: Instant) -> Books {
    books.committed.retain(|change| change.at.is_some_and(|at| at > time));
    let known: HashSet<Item> = books.committed.iter().map(|change| change.item.clone()).collect();
    books
        .attempts
        .retain(|attempt| attempt.items.iter().any(|item| known.contains(item)));
    books
        .arrivals
        .retain(|arrival| arrival.items.iter().any(|item| known.contains(item)));
    books
}

#[tokio::test(flavor = "multi_thread")]
async fn files_put_back_are_noticed_and_adopted() {
    let server = Server::private(Options::new());
    let mut world = calm_world(&server, 41).await;
    let backup = Scratch::new(None).unwrap();
    let (data, backup) = (cluster(&world).data_directory(), backup.path().join("backup"));
    block_in_place(|| {
        cluster(&world).stop().unwrap();
        copy(&data, &backup);
        cluster(&world).start_again().unwrap();
    });
    world.recovered().await;
    block_in_place(|| {
        cluster(&world).crash().unwrap();
        replace(&data, &backup);
    });
    let sent_before = world.ledger.count();
    block_in_place(|| cluster(&world).start_again().unwrap());
    let reason = fenced(&world).await;
    assert!(
        reason.contains("has forgotten what the service had committed"),
        "{reason}"
    );
    // Nobody who comes later may take it for granted, however far the transaction ids have got.
    world.stop_services().await;
    world.start_service();
    assert_silent_until_adopted(&mut world, sent_before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_put_back_while_no_service_ran_are_noticed_by_the_next_one_that_has_the_state_directory() {
    let server = Server::private(Options::new());
    let mut world = calm_world(&server, 44).await;
    let scratch = Scratch::new(None).unwrap();
    let state = scratch.path().join("state");
    std::fs::create_dir(&state).unwrap();
    world
        .environment
        .push(("STATE_DIRECTORY".into(), state.clone().into_os_string()));
    world.stop_services().await;
    world.start_service();
    world.recovered().await;
    let (data, backup) = (cluster(&world).data_directory(), scratch.path().join("backup"));
    block_in_place(|| {
        cluster(&world).stop().unwrap();
        copy(&data, &backup);
        cluster(&world).start_again().unwrap();
    });
    world.recovered().await;
    // As a careful operator does it. The last word is written down.
    world.stop_services().await;
    let known = std::fs::read_dir(&state).unwrap().next().unwrap().unwrap().path();
    let known: serde_json::Value = serde_json::from_slice(&std::fs::read(known).unwrap()).unwrap();
    let position = "select pg_snapshot_xmax(coalesce(target, done)) from odoo_eventd.position";
    assert_eq!(known["place"][0].to_string(), world.database.psql(position).await);
    block_in_place(|| {
        cluster(&world).stop().unwrap();
        replace(&data, &backup);
    });
    let sent_before = world.ledger.count();
    block_in_place(|| cluster(&world).start_again().unwrap());
    world.start_service();
    let reason = fenced(&world).await;
    assert!(
        reason.contains("has forgotten what the service had committed"),
        "{reason}"
    );
    assert_silent_until_adopted(&mut world, sent_before).await;
    // What it remembers now is of the installation as it was adopted.
    world.stop_services().await;
    world.start_service();
    wait_until_leading(&world.database).await;
    let fence = world.database.psql("select odoo_eventd.status() ->> 'fence'").await;
    assert_eq!(fence, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_replica_that_lacks_the_last_commits_is_noticed_and_adopted() {
    let server = Server::private(Options::new());
    let mut world = calm_world(&server, 42).await;
    let Some(mut replica) = Replica::of(cluster(&world)) else {
        return;
    };
    world.recovered().await;
    block_in_place(|| replica.stop());
    world.recovered().await;
    block_in_place(|| {
        cluster(&world).crash().unwrap();
        replica.start();
        replica.take_over(cluster(&world));
    });
    let sent_before = world.ledger.count();
    block_in_place(|| cluster(&world).start_again().unwrap());
    let reason = fenced(&world).await;
    assert!(reason.contains("a failover has lost its last commits"), "{reason}");
    assert_silent_until_adopted(&mut world, sent_before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_restored_under_the_same_name_is_noticed_and_adopted() {
    let server = Server::private(Options::new());
    let mut world = calm_world(&server, 43).await;
    let programs = cluster(&world).programs();
    let [dump, restore] = ["pg_dump", "pg_restore"].map(|name| programs.program(name));
    if !dump.exists() {
        eprintln!("skipped: this installation has no pg_dump");
        return;
    }
    let scratch = Scratch::new(None).unwrap();
    let file = scratch.path().join("dump");
    let run = |program: &PathBuf, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    let (url, file) = (world.database.url(), file.to_str().unwrap().to_owned());
    block_in_place(|| run(&dump, &["--format", "custom", "--file", &file, "-d", &url]));
    world.recovered().await;
    // Nobody remembers anything.
    world.stop_services().await;
    let sent_before = world.ledger.count();
    block_in_place(|| {
        let name = world.database.name();
        // Beside it, and renamed: the writers come back as soon as there is a database of the name, and would write into tables that
        // have neither their rows nor their keys yet.
        let beside = format!("{name}_restored");
        cluster(&world).create_database(&beside, "odoo").unwrap();
        run(
            &restore,
            &["--no-owner", "-d", &cluster(&world).url(&beside, "odoo"), &file],
        );
        cluster(&world).drop_database(name).unwrap();
        cluster(&world)
            .execute("postgres", &format!("alter database \"{beside}\" rename to \"{name}\""))
            .unwrap();
    });
    world.start_service();
    let reason = fenced(&world).await;
    assert!(reason.contains("restored from a dump"), "{reason}");
    assert_silent_until_adopted(&mut world, sent_before).await;
}

/// A planned one: the replica has everything and takes the primary's place.
struct Switchover;

impl Fault for Switchover {
    fn name(&self) -> &'static str {
        "a replica promoted that lacks nothing"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            let Some(replica) = block_in_place(|| Replica::of(cluster(world))) else {
                return;
            };
            // On a server that takes no writes it can only wait.
            let primary = std::mem::replace(&mut world.service_url, replica.url(world.database.name()));
            world.start_service();
            world.service_url = primary;
            world.recovered().await;
            block_in_place(|| {
                // What a fast stop waits for: the replica has received all.
                cluster(world).stop().unwrap();
                replica.take_over(cluster(world));
                cluster(world).start_again().unwrap();
            });
            // The one on the replica; the other lives through it.
            world.kill_service(1).await;
        }
        .boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_replica_that_lacks_nothing_goes_on_by_itself() {
    nothing_is_lost_in_the_end(&[&Switchover], 1, 44).await;
}

/// A hot standby of a cluster.
struct Replica {
    scratch: Scratch,
    programs: PathBuf,
    port: u16,
    process: Option<Child>,
}

impl Replica {
    /// `None`, with a word, where the installation has no `pg_basebackup`.
    fn of(cluster: &Cluster) -> Option<Self> {
        let programs = cluster.programs().bindir().to_owned();
        if !programs.join("pg_basebackup").exists() {
            eprintln!("skipped: this installation has no pg_basebackup");
            return None;
        }
        let scratch = Scratch::new(None).unwrap();
        let data = scratch.path().join("replica");
        // The socket's directory is the server's own.
        let directory = cluster.socket_directory().display();
        let primary = format!("host={directory} port={} user=postgres", cluster.port());
        let made = scratch
            .command(programs.join("pg_basebackup"))
            .args([
                "--write-recovery-conf",
                "--checkpoint",
                "fast",
                "--no-sync",
                "--dbname",
                &primary,
                "--pgdata",
            ])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut replica = Self {
            scratch,
            programs,
            port,
            process: None,
        };
        replica.start();
        Some(replica)
    }

    fn data(&self) -> PathBuf {
        self.scratch.path().join("replica")
    }

    fn start(&mut self) {
        let server = self
            .scratch
            .command(self.programs.join("postgres"))
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string(), "-k"])
            .arg(self.scratch.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(server.unwrap());
        self.wait_for("ready");
    }

    /// The eighth line of its lock file is its status.
    fn wait_for(&self, status: &str) {
        let deadline = Instant::now() + SOON;
        loop {
            let lock = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
            if lock.lines().nth(7).is_some_and(|line| line.trim() == status) {
                return;
            }
            assert!(Instant::now() < deadline, "the replica is not {status}: {lock}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn url(&self, database: &str) -> String {
        let directory = self.scratch.path().display();
        format!("postgresql:///{database}?host={directory}&port={}&user=odoo", self.port)
    }

    fn stop(&mut self) {
        self.control(&["stop", "-m", "fast"]);
        self.process.take().unwrap().wait().unwrap();
    }

    fn control(&self, arguments: &[&str]) {
        let done = self
            .scratch
            .command(self.programs.join("pg_ctl"))
            .arg("-D")
            .arg(self.data())
            .args(["-w", "-s"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }

    /// Is promoted and takes the place of a primary that is stopped: its files, as an address would be moved elsewhere.
    fn take_over(mut self, primary: &Cluster) {
        self.control(&["promote"]);
        self.stop();
        replace(&primary.data_directory(), &self.data());
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
