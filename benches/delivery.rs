//! How fast events go from the writer's commit to the endpoint, and what the service takes for it.
//!
//! `cargo bench --bench delivery` starts a PostgreSQL that flushes to disk, the service, a receiver and the writers on this machine, and
//! prints one table; `-- --quick` takes a tenth of the events. `-- latency drain` runs parts: `writers`, `peer`, `drain`, `latency`,
//! `held`, `memory`; `-- --profile writers drain` also tells where the time went. Every delivery is matched by a domain, signed, sent over
//! HTTP and logged. `peer` does the work of `writers` by graphile-worker, where npm and a network are there.

#![allow(missing_docs, reason = "a benchmark has no callers")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(clippy::disallowed_methods, reason = "tasks end with the benchmark")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot run should say where it stopped"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use odoo_eventd::demo::Cluster;
use odoo_eventd::pg::connect::Database;
use tokio_postgres::Client;

use support::peer::{self, Peer};
use support::profile::{self, Profile};
use support::receiver::{Ledger, receiver};
use support::{Service, call, per_second};

/// Records to write to: two writers seldom meet on one, and behind a transaction that stays open none collects so many versions that finding
/// it is what takes the time.
const RECORDS: u64 = 50_000;

/// What bodies are signed with.
const SECRET: &str = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What `Bench::end_to_end` measures: deliveries and commits a second, microseconds of the service's processor time an event.
struct EndToEnd {
    delivered: f64,
    wrote: f64,
    processor: f64,
}

struct Bench {
    cluster: Cluster,
    ledger: Arc<Ledger>,
    database: Database,
    endpoint: String,
    scale: u64,
    calls: AtomicU64,
    is_profiled: bool,
}

impl Bench {
    /// Begins to count where the time goes, if that is asked for.
    async fn profile(&self, service: &Service) -> Option<Profile> {
        if !self.is_profiled {
            return None;
        }
        let superuser = Database::parse(&self.cluster.url(support::DATABASE, "postgres")).unwrap();
        Some(Profile::begin(superuser.connect().await.unwrap(), service.id()).await)
    }

    async fn client(&self) -> Client {
        self.database.connect().await.unwrap()
    }

    /// So many single-row updates by some writers, each its own transaction, as fast as they can. Returns how long they took.
    async fn write(&self, database: &Database, writers: u64, events: u64) -> Duration {
        // A value that was there before would be no change.
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let mut tasks = Vec::new();
        for writer in 0..writers {
            let client = database.connect().await.unwrap();
            let mine = events / writers;
            tasks.push(tokio::spawn(async move {
                let update = client
                    .prepare("update sale_order set client_order_ref = $2 where id = $1")
                    .await
                    .unwrap();
                for n in 0..mine {
                    let id = i32::try_from(1 + (n * writers + writer) % RECORDS).unwrap();
                    client.execute(&update, &[&id, &format!("r{call}-{n}")]).await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        started.elapsed()
    }

    /// A backlog of so many events, each a transaction of its own, made in the server itself.
    async fn pile_up(&self, events: u64) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let client = self.client().await;
        client.batch_execute("set synchronous_commit = off").await.unwrap();
        client
            .batch_execute(&format!(
                "do $$ begin for n in 1..{events} loop
                   update sale_order set client_order_ref = 'b{call}-' || n where id = 1 + n % {RECORDS};
                   commit;
                 end loop; end $$"
            ))
            .await
            .unwrap();
    }

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    async fn warm_up(&self, database: &Database) {
        self.ledger.begin(0);
        self.write(database, 4, 400).await;
        self.ledger.wait_for(400, Self::minutes(1)).await;
    }

    /// Updates by 4 writers as fast as they can, until all have arrived.
    async fn end_to_end(&self, database: &Database, service: &Service, events: u64) -> EndToEnd {
        self.ledger.begin(0);
        let before = service.processor_time();
        let started = Instant::now();
        let wrote = self.write(database, 4, events).await;
        self.ledger.wait_for(events, Self::minutes(10)).await;
        EndToEnd {
            delivered: per_second(events, started.elapsed()),
            wrote: per_second(events, wrote),
            processor: micros(service.processor_time().saturating_sub(before), events),
        }
    }

    /// Returns the deliveries a second.
    async fn writers(&self) -> f64 {
        let events = 100_000 / self.scale;
        let service = Service::leading(&self.cluster);
        self.warm_up(&self.database).await;
        let profile = self.profile(&service).await;
        let ours = self.end_to_end(&self.database, &service, events).await;
        println!(
            "| end to end, 4 writers as fast as they can, {events} events | {:.0} deliveries/s (writers {:.0}/s; service {:.0} us of processor time an event) | 4,000 |",
            ours.delivered, ours.wrote, ours.processor,
        );
        if let Some(profile) = profile {
            profile.print(events).await;
        }
        service.stop();
        ours.delivered
    }

    /// What `writers` did, by graphile-worker. `ours` are our deliveries a second in this run, if they were measured.
    async fn peer(&self, ours: Option<f64>) {
        // It is slow, and a tenth of this is over before it runs evenly.
        let events = 10_000;
        let peer = match Peer::start(&self.cluster, &self.endpoint, SECRET, RECORDS) {
            Ok(peer) => peer,
            Err(reason) => {
                println!("| the same by {} | skipped: {reason} | 4 times |", peer::NAME);
                return;
            }
        };
        self.warm_up(&peer.database).await;
        let theirs = self.end_to_end(&peer.database, &peer.worker, events).await;
        println!(
            "| the same by {} on Node.js {}, {events} events | {:.0} deliveries/s (writers {:.0}/s; worker {:.0} us of processor time an event){} | 4 times |",
            peer::NAME,
            peer.node,
            theirs.delivered,
            theirs.wrote,
            theirs.processor,
            ours.map_or_else(String::new, |ours| format!(
                "; ours is {:.1} times as fast",
                ours / theirs.delivered
            )),
        );
        peer.stop(&self.cluster);
    }

    async fn drain(&self) {
        let events = 100_000 / self.scale;
        self.pile_up(events).await;
        self.ledger.begin(events);
        let service = Service::start(&self.cluster);
        let profile = self.profile(&service).await;
        self.ledger.wait_for(events, Self::minutes(10)).await;
        let marks = self.ledger.marks.lock().unwrap().clone();
        println!(
            "| draining a backlog of {events} events | {:.0} deliveries/s | 6,000 |",
            per_second(events, marks[1] - marks[0])
        );
        if let Some(profile) = profile {
            profile.print(events).await;
        }
        service.stop();
    }

    async fn latency(&self) {
        let events = 3_000 / self.scale;
        let service = Service::leading(&self.cluster);
        let client = self.client().await;
        let update = client
            .prepare("update sale_order set client_order_ref = $2 where id = $1")
            .await
            .unwrap();
        for id in 1..=50_i32 {
            client.execute(&update, &[&id, &"warm"]).await.unwrap();
        }
        self.ledger.wait_for(50, Self::minutes(1)).await;
        self.ledger.begin(0);
        self.ledger.wants_times.store(true, Ordering::Relaxed);
        let mut committed = Vec::new();
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        for n in 0..events {
            ticks.tick().await;
            let id = i32::try_from(1 + n).unwrap();
            client.execute(&update, &[&id, &format!("l{n}")]).await.unwrap();
            committed.push(Instant::now());
        }
        self.ledger.wait_for(events, Self::minutes(1)).await;
        self.ledger.wants_times.store(false, Ordering::Relaxed);
        let mut times: Vec<f64> = self
            .ledger
            .times
            .lock()
            .unwrap()
            .iter()
            .map(|(id, at)| {
                let committed = committed[usize::try_from(id - 1).unwrap()];
                at.saturating_duration_since(committed).as_secs_f64() * 1000.0
            })
            .collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!(
            "| commit to arrival at 100 events/s, {events} events | p50 {:.2} ms, p99 {:.2} ms | 1.5 ms, 5 ms |",
            at(0.5),
            at(0.99)
        );
        println!(
            "| resident memory, idle after that | {:.1} MiB | 30 MB |",
            service.memory("VmRSS")
        );
        service.stop();
    }

    async fn held(&self) {
        let events = 500_000 / self.scale;
        let holder = self.client().await;
        holder
            .batch_execute("begin isolation level repeatable read; select count(*) from sale_order")
            .await
            .unwrap();
        let service = Service::leading(&self.cluster);
        self.ledger.begin(events / 10);
        let _ = self.write(&self.database, 4, events).await;
        self.ledger.wait_for(events, Self::minutes(20)).await;
        let marks = self.ledger.marks.lock().unwrap().clone();
        let (first, last) = (marks[1] - marks[0], marks[10] - marks[9]);
        println!(
            "| last tenth of {events} events against the first, a transaction held open all along | {:.0} % ({:.0}/s, {:.0}/s) | 80 % |",
            100.0 * first.as_secs_f64() / last.as_secs_f64(),
            per_second(events / 10, first),
            per_second(events / 10, last),
        );
        holder.batch_execute("rollback").await.unwrap();
        service.stop();
    }

    async fn memory(&self) {
        let events = 1_000_000 / self.scale;
        self.pile_up(events).await;
        self.ledger.begin(0);
        let service = Service::start(&self.cluster);
        self.ledger.wait_for(events / 10, Self::minutes(20)).await;
        println!(
            "| resident memory at most, {events} events behind | {:.1} MiB | 100 MB |",
            service.memory("VmHWM")
        );
        self.ledger.wait_for(events, Self::minutes(20)).await;
        service.stop();
    }
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn micros(time: Duration, events: u64) -> f64 {
    time.as_secs_f64() * 1e6 / events as f64
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let scale = if arguments.iter().any(|a| a == "--quick") {
        10
    } else {
        1
    };
    let parts: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    let is_profiled = arguments.iter().any(|a| a == "--profile");
    let options = support::durable();
    let cluster = support::installed_cluster(if is_profiled {
        profile::counted(options)
    } else {
        options
    });
    let ledger = Arc::new(Ledger::default());
    let endpoint = receiver(Arc::clone(&ledger)).await;
    cluster
        .execute_as("odoo", support::DATABASE, &support::more_orders(RECORDS))
        .unwrap();
    call(
        &cluster,
        &[
            "subscribe",
            "--model",
            "sale.order",
            "--event",
            "write",
            "--fields",
            "client_order_ref",
            "--domain",
            "[('client_order_ref', '!=', 'nothing')]",
            "--url",
            &endpoint,
            "--secret",
            &format!("whsec_{SECRET}"),
        ],
    );
    let url = cluster.url(support::DATABASE, "odoo");
    let database = Database::parse(&format!("{url}&application_name=writer")).unwrap();
    println!(
        "PostgreSQL {}, fsync on, everything on this machine\n",
        cluster.version()
    );
    println!("| figure | measured | wanted |\n| --- | --- | --- |");
    let bench = Bench {
        cluster,
        ledger,
        database,
        endpoint,
        scale,
        calls: AtomicU64::new(0),
        is_profiled,
    };
    if wanted("latency") {
        bench.latency().await;
    }
    let mut ours = None;
    if wanted("writers") {
        ours = Some(bench.writers().await);
    }
    if wanted("peer") {
        bench.peer(ours).await;
    }
    if wanted("drain") {
        bench.drain().await;
    }
    if wanted("held") {
        bench.held().await;
    }
    if wanted("memory") {
        bench.memory().await;
    }
}
