//! What an event costs once the tables have grown and much is watched.
//!
//! `cargo bench --bench growth` starts a PostgreSQL that flushes to disk, the service and a receiver, and drains a backlog three times in
//! each state of the same database: as installed; with ten million attempts in the log, half of them today's; with 1,000 subscriptions on
//! 200 models beside. It takes some ten minutes and as many gigabytes; `-- --quick` fills in a tenth.

#![allow(missing_docs, reason = "a benchmark has no callers")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot run should say where it stopped"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use odoo_eventd::demo::Cluster;
use odoo_eventd::pg::connect::Database;
use support::grown::{self, MODELS, SUBSCRIPTIONS};
use support::receiver::{Ledger, receiver};
use support::{DATABASE, Service, call, per_second, spread};
use tokio_postgres::Client;

/// Records to write to.
const RECORDS: u64 = 50_000;

/// Deliveries of one backlog.
const BACKLOG: u64 = 20_000;

/// Backlogs in each state.
const ROUNDS: u64 = 3;

struct Bench {
    cluster: Cluster,
    ledger: Arc<Ledger>,
    client: Client,
    /// The cluster's superuser: what is filled in belongs to nobody else.
    admin: Client,
    endpoint: String,
    calls: u64,
}

impl Bench {
    /// Drains some backlogs and prints what came of it.
    async fn measure(&mut self, state: &str) -> f64 {
        self.admin.batch_execute("vacuum analyze").await.unwrap();
        let (mut rates, mut processor) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            self.pile_up().await;
            self.ledger.begin(BACKLOG);
            let service = Service::start(&self.cluster);
            self.ledger.wait_for(1, Duration::from_secs(300)).await;
            let before = service.processor_time();
            self.ledger.wait_for(BACKLOG, Duration::from_secs(300)).await;
            let marks = self.ledger.marks.lock().unwrap().clone();
            rates.push(per_second(BACKLOG, marks[1] - marks[0]));
            let busy = service.processor_time().saturating_sub(before);
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            processor.push(busy.as_secs_f64() * 1e6 / BACKLOG as f64);
            service.stop();
        }
        let (rate, least, largest) = spread(rates);
        println!(
            "| {state} | {rate:.0} deliveries/s ({least:.0} - {largest:.0}) | {:.0} us |",
            spread(processor).0
        );
        rate
    }

    async fn pile_up(&mut self) {
        self.calls += 1;
        self.client
            .batch_execute(&format!(
                "do $$ begin for n in 1..{BACKLOG} loop
                   update sale_order set client_order_ref = 'b{}-' || n where id = 1 + n % {RECORDS};
                   commit;
                 end loop; end $$",
                self.calls
            ))
            .await
            .unwrap();
    }
}

#[tokio::main]
async fn main() {
    let attempts = if std::env::args().any(|a| a == "--quick") {
        1_000_000
    } else {
        10_000_000
    };
    let cluster = support::installed_cluster(support::durable());
    let ledger = Arc::new(Ledger::default());
    let endpoint = receiver(Arc::clone(&ledger)).await;
    cluster
        .execute_as("odoo", DATABASE, &support::more_orders(RECORDS))
        .unwrap();
    let domain = "[('client_order_ref', '!=', 'nothing')]";
    let subscription = [
        "subscribe",
        "--model",
        "sale.order",
        "--event",
        "write",
        "--fields",
        "client_order_ref",
    ];
    call(
        &cluster,
        &[&subscription[..], &["--domain", domain, "--url", &endpoint]].concat(),
    );
    let connect = async |role| {
        let database = Database::parse(&cluster.url(DATABASE, role)).unwrap();
        database.connect().await.unwrap()
    };
    let (client, admin) = (connect("odoo").await, connect("postgres").await);
    println!(
        "PostgreSQL {}, fsync on, everything on this machine; draining {BACKLOG} events, median of {ROUNDS} (least - largest)\n",
        cluster.version()
    );
    println!("| state | measured | processor time of the service an event |\n| --- | --- | --- |");
    let mut bench = Bench {
        cluster,
        ledger,
        client,
        admin,
        endpoint,
        calls: 0,
    };
    let fresh = bench.measure("as installed").await;
    grown::fill_log(&bench.client, &bench.admin, attempts).await;
    let grown = bench.measure(&format!("{attempts} attempts in the log")).await;
    grown::subscribe_to_much(&bench.cluster, &bench.client, &bench.endpoint).await;
    let busy = bench
        .measure(&format!(
            "and {} subscriptions on {MODELS} models",
            MODELS * SUBSCRIPTIONS
        ))
        .await;
    println!(
        "\nof the first rate are left: {:.0} %, {:.0} %",
        100.0 * grown / fresh,
        100.0 * busy / fresh
    );
}
