//! What the benches of the running service share: a cluster with an Odoo-shaped database, the program, and its process.

#![allow(dead_code, reason = "each bench uses its part")]

pub(crate) mod grown;
pub(crate) mod peer;
pub(crate) mod profile;
pub(crate) mod receiver;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use odoo_eventd::demo::{Cluster, Durability, ODOO_SHAPED, Options};

/// The database all of them use.
pub(crate) const DATABASE: &str = "odoo";

/// A PostgreSQL that flushes to disk.
pub(crate) fn durable() -> Options {
    Options::new()
        .durability(Durability::On)
        .setting("shared_buffers", "512MB")
        .setting("max_wal_size", "4GB")
}

/// Starts a PostgreSQL with an installed database.
pub(crate) fn installed_cluster(options: Options) -> Cluster {
    let cluster = cluster_with(options);
    call(&cluster, &["install"]);
    cluster
}

/// Starts a PostgreSQL with a database that is shaped as Odoo's.
pub(crate) fn cluster_with(options: Options) -> Cluster {
    let cluster = Cluster::start(options)
        .unwrap_or_else(|error| panic!("{}\nhint: {}", error.chain(), error.hint().unwrap_or("none")));
    cluster.create_role("odoo", "CREATEDB").unwrap();
    cluster.create_database(DATABASE, "odoo").unwrap();
    cluster.execute_as("odoo", DATABASE, ODOO_SHAPED).unwrap();
    cluster
}

/// Statement that adds orders up to a number of them, to write to.
pub(crate) fn more_orders(records: u64) -> String {
    format!(
        "insert into sale_order select (jsonb_populate_record(o, jsonb_build_object('id', n))).*
           from sale_order o, generate_series(1, {records}) n
          where o.id = 2 and not exists (select from sale_order s where s.id = n)"
    )
}

static API_PORT: OnceLock<u16> = OnceLock::new();

/// Services that are started from now on serve the API at this port.
pub(crate) fn serve_api_at(port: u16) {
    API_PORT.set(port).unwrap();
}

/// The program under test; `ODOO_EVENTD_BENCH_PROGRAM` names another build of it, to compare.
pub(crate) fn program(cluster: &Cluster, arguments: &[&str]) -> Command {
    let other = std::env::var_os("ODOO_EVENTD_BENCH_PROGRAM");
    let mut command = Command::new(other.unwrap_or_else(|| env!("CARGO_BIN_EXE_odoo-eventd").into()));
    command
        .args(arguments)
        .env("DATABASE_URL", cluster.url(DATABASE, "odoo"))
        .env("ODOO_EVENTD_ALLOW_NETWORKS", "127.0.0.0/8")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if let Some(port) = API_PORT.get() {
        command.env("ODOO_EVENTD_API_LISTEN", port.to_string());
    }
    command
}

/// Runs a command that must succeed.
pub(crate) fn call(cluster: &Cluster, arguments: &[&str]) {
    assert!(
        program(cluster, arguments).status().unwrap().success(),
        "odoo-eventd {arguments:?} failed"
    );
}

/// A running service; killed with its owner.
pub(crate) struct Service(Child);

impl Service {
    /// Starts it; does not wait.
    pub(crate) fn start(cluster: &Cluster) -> Self {
        Self(program(cluster, &["run"]).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Starts it with a configuration file and no database beside those named there; does not wait.
    pub(crate) fn configured(cluster: &Cluster, file: &Path) -> Self {
        let mut command = program(cluster, &["run", "--config"]);
        command.arg(file).env_remove("DATABASE_URL").stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Starts it and waits until it leads.
    pub(crate) fn leading(cluster: &Cluster) -> Self {
        let service = Self::start(cluster);
        let started = Instant::now();
        loop {
            let status = program(cluster, &["status", "--json"])
                .stdout(Stdio::piped())
                .output()
                .unwrap();
            let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
            if status["service"].is_object() {
                return service;
            }
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "the service did not start: {status}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        self.0.wait().unwrap();
    }

    /// A line of `/proc/PID/status` that is in kB, in MiB: `VmRSS`, `VmHWM`.
    pub(crate) fn memory(&self, line: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        status
            .lines()
            .find_map(|l| {
                l.strip_prefix(line)?
                    .trim_start_matches(':')
                    .trim()
                    .strip_suffix(" kB")?
                    .parse()
                    .ok()
            })
            .map_or(f64::NAN, |kilobytes: f64| kilobytes / 1024.0)
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Processor time that it used so far.
    pub(crate) fn processor_time(&self) -> Duration {
        processor_time(&self.0.id().to_string())
    }
}

/// Processor time that a process used so far; none of one that is gone.
pub(crate) fn processor_time(process: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let ticks: u64 = stat
        .rsplit(')')
        .next()
        .map(|fields| {
            fields
                .split_whitespace()
                .skip(11)
                .take(2)
                .filter_map(|t| t.parse::<u64>().ok())
                .sum()
        })
        .unwrap_or(0);
    // USER_HZ is 100 on every Linux.
    Duration::from_millis(ticks * 10)
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What so many in such a time make a second.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
pub(crate) fn per_second(events: u64, took: Duration) -> f64 {
    events as f64 / took.as_secs_f64()
}

/// Median, least and largest.
pub(crate) fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}
