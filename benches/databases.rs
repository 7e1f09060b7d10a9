//! What an idle database costs an instance that serves many.
//!
//! `cargo bench --bench databases` makes 100 installed databases with one subscription each (`-- 30` makes 30), has one process serve
//! the first of them, then all, and prints memory, connections and processor time for each further one, once nothing happens in
//! them.

#![allow(missing_docs, reason = "a benchmark has no callers")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot run should say where it stopped"
)]

mod support;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use odoo_eventd::demo::{Cluster, Options};
use odoo_eventd::pg::connect::Database;
use support::Service;

/// Long enough that what was opened for the beginning is closed again, and that freed memory has gone back.
const SETTLE: Duration = Duration::from_secs(20);

/// For how long processor time is counted.
const COUNT_FOR: Duration = Duration::from_secs(20);

fn name(number: usize) -> String {
    format!("odoo_{number}")
}

/// A database of its own as an Odoo host makes them: copied from a template, then installed and subscribed.
fn make(cluster: &Cluster, number: usize) {
    let name = name(number);
    cluster.create_database_from(support::DATABASE, &name, "odoo").unwrap();
    for arguments in [
        &["install"][..],
        &[
            "subscribe",
            "--model",
            "sale.order",
            "--event",
            "write",
            "--domain",
            "[('state', '=', 'sale')]",
            "--url",
            "http://127.0.0.1:9/hook",
            "--secret",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ],
    ] {
        let done = support::program(cluster, arguments)
            .env("DATABASE_URL", cluster.url(&name, "odoo"))
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&done.stderr)
        );
    }
}

struct Measured {
    memory_mib: f64,
    connections: i64,
    most_connections: i64,
    busy: Duration,
}

async fn measure(cluster: &Cluster, databases: usize) -> Measured {
    let mut configuration = String::new();
    for number in 1..=databases {
        writeln!(
            configuration,
            "[[database]]\nurl = \"{}\"",
            cluster.url(&name(number), "odoo")
        )
        .unwrap();
    }
    let file = cluster.socket_directory().join(format!("{databases}.toml"));
    std::fs::write(&file, configuration).unwrap();
    let service = Service::configured(cluster, &file);
    let client = Database::parse(&cluster.url("postgres", "odoo"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    let by_database = "select count(distinct datname), count(*), coalesce(max(many), 0)::bigint
                         from (select datname, count(*) over (partition by datname) as many
                                 from pg_stat_activity where application_name = 'odoo-eventd' and datname like 'odoo\\_%') a";
    let started = Instant::now();
    loop {
        let row = client.query_one(by_database, &[]).await.unwrap();
        // Each has begun, and what the beginning took is given back.
        let all: i64 = row.get(0);
        if usize::try_from(all).unwrap() == databases && row.get::<_, i64>(1) == 2 * all {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(180),
            "{all} of {databases} are served"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(SETTLE).await;
    let before = service.processor_time();
    let (mut connections, mut most_connections) = (0, 0);
    let began = Instant::now();
    while began.elapsed() < COUNT_FOR {
        let row = client.query_one(by_database, &[]).await.unwrap();
        (connections, most_connections) = (row.get(1), most_connections.max(row.get(2)));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let measured = Measured {
        memory_mib: service.memory("VmRSS"),
        connections,
        most_connections,
        busy: service.processor_time().saturating_sub(before),
    };
    service.stop();
    measured
}

#[tokio::main]
async fn main() {
    let databases = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(100);
    let cluster = support::cluster_with(Options::new().setting("max_connections", 3 * databases + 50));
    for number in 1..=databases {
        make(&cluster, number);
    }
    let one = measure(&cluster, 1).await;
    let all = measure(&cluster, databases).await;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let further = (databases - 1) as f64;
    println!(
        "PostgreSQL {}, {databases} idle databases, one process\n",
        cluster.version()
    );
    println!("| figure | measured | wanted |\n| --- | --- | --- |");
    println!(
        "| resident memory for each further database ({:.1} MiB with one, {:.1} MiB with {databases}) | {:.2} MiB | below 1 MB |",
        one.memory_mib,
        all.memory_mib,
        (all.memory_mib - one.memory_mib) / further
    );
    println!(
        "| connections ({} in all) | {} at most to one database | 2 at most |",
        all.connections, all.most_connections
    );
    println!(
        "| processor time of the service | {:.2} % of a core for each further database | |",
        (all.busy.as_secs_f64() - one.busy.as_secs_f64()) / COUNT_FOR.as_secs_f64() / further * 100.0
    );
}
