//! The same work by graphile-worker, to compare with: a job for each changed row, a worker that signs and POSTs it.
//!
//! Its files are in `benches/peers/graphile`; npm installs it below `target/`. It matches no domain and keeps no log of attempts,
//! both of which the service does.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use odoo_eventd::demo::{Cluster, ODOO_SHAPED};
use odoo_eventd::pg::connect::Database;

use super::Service;

/// What the table calls it.
pub(crate) const NAME: &str = "graphile-worker 0.18";

const DATABASE: &str = "graphile";
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/graphile");
const LOCK: &str = "package-lock.json";

/// A running worker and its database.
pub(crate) struct Peer {
    /// Where its writers write.
    pub(crate) database: Database,
    /// The worker.
    pub(crate) worker: Service,
    /// The version of Node.js that runs it.
    pub(crate) node: String,
}

impl Peer {
    /// Installs the worker and starts it on a database of its own, in which `records` orders are as in ours.
    ///
    /// The error is why it cannot run on this machine: no npm, no network, a Node.js that is too old.
    pub(crate) fn start(cluster: &Cluster, endpoint: &str, secret: &str, records: u64) -> Result<Self, String> {
        let directory = install()?;
        let node = told(Command::new("node").arg("--version"))?;
        cluster.create_database(DATABASE, "odoo").unwrap();
        for sql in [
            ODOO_SHAPED,
            &super::more_orders(records),
            include_str!("../peers/graphile/trigger.sql"),
        ] {
            cluster.execute_as("odoo", DATABASE, sql).unwrap();
        }
        let url = cluster.url(DATABASE, "odoo");
        let worker = run(&directory, &url, endpoint, secret).inspect_err(|_| drop_database(cluster))?;
        let database = Database::parse(&format!("{url}&application_name=writer")).unwrap();
        Ok(Self { database, worker, node })
    }

    /// Stops the worker and leaves nothing in the cluster that would cost what is measured next.
    pub(crate) fn stop(self, cluster: &Cluster) {
        self.worker.stop();
        drop_database(cluster);
    }
}

fn drop_database(cluster: &Cluster) {
    cluster.drop_database(DATABASE).unwrap();
}

/// Brings the packages of the lock file below `target/`, unless they are there.
fn install() -> Result<PathBuf, String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("graphile");
    let source = Path::new(SOURCE);
    let is_locked_so = fs::read(directory.join(LOCK)).ok() == fs::read(source.join(LOCK)).ok();
    fs::create_dir_all(&directory).unwrap();
    for file in ["package.json", LOCK, "worker.mjs"] {
        fs::copy(source.join(file), directory.join(file)).unwrap();
    }
    // npm writes this file last.
    if !is_locked_so || !directory.join("node_modules/.package-lock.json").exists() {
        told(
            Command::new("npm")
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"])
                // Where there is no network, it should say so soon.
                .args(["--fetch-retries=1", "--fetch-retry-mintimeout=1000"])
                .current_dir(&directory),
        )?;
    }
    Ok(directory)
}

/// Starts the worker and waits until it looks for jobs.
fn run(directory: &Path, url: &str, endpoint: &str, secret: &str) -> Result<Service, String> {
    let mut child = Command::new("node")
        .arg("worker.mjs")
        .current_dir(directory)
        .env("DATABASE_URL", url)
        .env("ENDPOINT", endpoint)
        .env("SECRET", secret)
        .env("NODE_ENV", "production")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("node: {error}"))?;
    let stdout = child.stdout.take().unwrap();
    let worker = Service(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    if line.trim() == "ready" {
        Ok(worker)
    } else {
        Err("the worker ended before it was ready".to_owned())
    }
}

/// What a program prints, or why it failed, in one line.
fn told(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = stderr.lines().filter(|line| line.contains("error")).take(3).collect();
    Err(format!("{name}: {}: {}", output.status, lines.join(", ")))
}
