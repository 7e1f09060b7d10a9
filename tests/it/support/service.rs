//! The program itself, as a user runs it: one process, its arguments, its exit code.

use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::db::Database;
use super::{eventually, process};

/// Only a hang takes so long: nothing here takes more than a second on an idle machine, and a busy one is granted a hundred times that.
pub const SOON: Duration = Duration::from_secs(120);

/// The program, with receivers on loopback allowed and nothing of the tester's own environment.
pub fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_odoo-eventd"));
    for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("ODOO_EVENTD_") || n == "DATABASE_URL") {
        command.env_remove(name);
    }
    command
        .env("ODOO_EVENTD_ALLOW_NETWORKS", "127.0.0.0/8")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub async fn eventd(url: &str, arguments: &[&str]) -> Output {
    program()
        .arg("--database-url")
        .arg(url)
        .args(arguments)
        .output()
        .await
        .unwrap()
}

/// Runs a command that must succeed; returns what it printed.
pub async fn eventd_ok(url: &str, arguments: &[&str]) -> String {
    let output = eventd(url, arguments).await;
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A running service.
pub struct Service {
    child: Child,
    /// What it has logged so far.
    log: Arc<Mutex<String>>,
    /// Reads the log as it comes: a full pipe would stop the service.
    reader: JoinHandle<()>,
}

impl Service {
    /// Starts the service; does not wait for it.
    pub fn start(url: &str, arguments: &[&str]) -> Self {
        let mut command = program();
        command
            .arg("--database-url")
            .arg(url)
            .args(["--log-format", "json", "run"])
            .args(arguments);
        Self::spawn(command)
    }

    /// Starts the service with a configuration file and nothing else; does not wait for it.
    pub fn configured(file: &str) -> Self {
        let mut command = program();
        command.args(["--log-format", "json", "run", "--config", file]);
        Self::spawn(command)
    }

    /// Starts the service as this command would, whose standard error is read here; does not wait for it.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let read = Arc::clone(&log);
        let reader = tokio::spawn(async move {
            while let Some(line) = lines.next_line().await.unwrap() {
                let mut read = read.lock().unwrap();
                read.push_str(&line);
                read.push('\n');
            }
        });
        Self { child, log, reader }
    }

    /// The same; its log goes to a file, and [`Service::terminate`] has none.
    pub fn logging_to(file: std::fs::File, mut command: Command) -> Self {
        Self {
            child: command.stderr(file).spawn().unwrap(),
            log: Arc::default(),
            reader: tokio::spawn(async {}),
        }
    }

    /// Starts the service and waits until it leads and knows its subscriptions.
    pub async fn leading(database: &Database) -> Self {
        let service = Self::start(&database.url(), &[]);
        wait_until_leading(database).await;
        service
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("nobody has waited for it")
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for it to end by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        self.child.wait().await.unwrap()
    }

    /// SIGKILL.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM, and how it ended; with its log.
    pub async fn terminate(mut self) -> (ExitStatus, String) {
        process::signal(self.child.id().unwrap(), "TERM");
        let status = tokio::time::timeout(SOON, self.child.wait()).await.unwrap().unwrap();
        (&mut self.reader).await.unwrap();
        (status, std::mem::take(&mut self.log.lock().unwrap()))
    }
}

/// How much of its log a failed test shows: what it did last is what explains.
const SHOWN_LINES: usize = 150;

impl Drop for Service {
    /// A test that fails while a service runs says what that service had to say.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let log = self.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let first = log.lines().count().saturating_sub(SHOWN_LINES);
        for line in log.lines().skip(first) {
            eprintln!("service: {line}");
        }
    }
}

/// Waits until some instance leads the database and every active subscription was looked at.
pub async fn wait_until_leading(database: &Database) {
    let client = database.client().await;
    // Setting up hundreds of captures takes a while on a busy machine.
    eventually("a leading service that knows its subscriptions", SOON * 4, async || {
        let row = client
            .query_one(
                "select (odoo_eventd.status() -> 'service') <> 'null'::jsonb
                        and not exists (select from mcp_event_subscription where active and state is null)",
                &[],
            )
            .await
            .unwrap();
        row.get::<_, bool>(0).then_some(())
    })
    .await;
}

/// Waits until an instance stands by: one that is still on its way to the database neither takes over in time nor stays away.
pub async fn wait_until_assisted(database: &Database) {
    let client = database.admin_client().await;
    let is_there = "select exists (select from odoo_eventd.assistant where ended_at is null)";
    eventually("an instance that stands by", SOON * 4, async || {
        let row = client.query_one(is_there, &[]).await.unwrap();
        row.get::<_, bool>(0).then_some(())
    })
    .await;
}
