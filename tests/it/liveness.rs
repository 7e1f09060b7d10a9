//! That the service says it lives when it works, and not when it only runs: pages, metrics, systemd, reloads, dead connections.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use odoo_eventd::demo::Options;
use odoo_eventd::demo::scratch::Scratch;
use odoo_eventd::pg::connect::Database as Connection;
use odoo_eventd::pg::connections::Connections;
use odoo_eventd::worker::term::listener::Listener;
use odoo_eventd::worker::vitals::Vitals;
use serde_json::Value;
use tokio::net::UnixDatagram;
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

use crate::support::delivery::subscribe;
use crate::support::pages::{free_port, page};
use crate::support::process::signal;
use crate::support::proxy::Proxy;
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{SOON, Service, eventd_ok, program, wait_until_leading};
use crate::support::{Database, Server, eventually};

/// The value of a metric's first sample whose name and labels are these.
async fn metric(port: u16, sample: &str) -> Option<f64> {
    let (_, text) = page(port, "/metrics").await?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))?;
    line.parse().ok()
}

async fn ready(port: u16) -> Option<Value> {
    let (status, body) = page(port, "/readyz").await?;
    let readiness: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status == StatusCode::OK, readiness["ready"] == true, "{status} {body}");
    Some(readiness)
}

async fn wait_until_ready(port: u16) {
    eventually("the service to be ready", SOON, async || {
        (ready(port).await?["ready"] == true).then_some(())
    })
    .await;
}

async fn subscribed(database: &Database, receiver: &Receiver) {
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(
        database,
        "sale.order",
        &receiver.url("/secret-path?key=secret-key"),
        &[],
    )
    .await;
}

/// A service that serves one subscription and is ready, with the port of its pages.
async fn serving(database: &Database, receiver: &Receiver) -> (Service, u16) {
    subscribed(database, receiver).await;
    let port = free_port().await;
    let service = Service::start(&database.url(), &["--listen-http", &port.to_string()]);
    wait_until_ready(port).await;
    (service, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_of_a_large_transaction_are_counted_too() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    let (service, port) = serving(&database, &receiver).await;
    database
        .psql(
            "insert into sale_order select (jsonb_populate_record(o, jsonb_build_object('id', 100000 + n))).*
               from sale_order o, generate_series(1, 2500) n where o.id = 1",
        )
        .await;
    receiver.wait_for(3, SOON).await;
    // In parts of a thousand records.
    assert_eq!(metric(port, "odoo_eventd_deliveries_made_total").await, Some(3.0));
    let (status, _) = service.terminate().await;
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_tell_what_the_service_did_and_no_url() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    let (service, port) = serving(&database, &receiver).await;
    database
        .psql("update sale_order set client_order_ref = 'x' where id = 1")
        .await;
    receiver.wait_for(1, SOON).await;
    eventually("the attempt to be counted", SOON, async || {
        (metric(port, "odoo_eventd_attempts_total{result=\"success\",error=\"\"}").await? == 1.0).then_some(())
    })
    .await;
    assert_eq!(metric(port, "odoo_eventd_phase{state=\"leading\"}").await, Some(1.0));
    assert_eq!(metric(port, "odoo_eventd_deliveries_made_total").await, Some(1.0));
    assert_eq!(
        metric(port, "odoo_eventd_attempt_duration_seconds_count").await,
        Some(1.0)
    );
    assert_eq!(
        metric(port, "odoo_eventd_subscriptions{state=\"ready\"}").await,
        Some(1.0)
    );
    assert_eq!(metric(port, "odoo_eventd_log_days_missing").await, Some(0.0));
    assert!(metric(port, "odoo_eventd_outbox_max_bytes").await.unwrap() > 8e9);
    eventually("a notification to come back", SOON, async || {
        (metric(port, "odoo_eventd_loopback_seconds").await? > 0.0).then_some(())
    })
    .await;
    let (_, metrics) = page(port, "/metrics").await.unwrap();
    assert!(metrics.ends_with("# EOF\n"));
    assert!(!metrics.contains("secret"), "{metrics}");
    assert_eq!(page(port, "/healthz").await.unwrap().0, StatusCode::OK);
    assert_eq!(page(port, "/").await.unwrap().0, StatusCode::NOT_FOUND);
    service.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_database_went_away_is_alive_and_not_ready_until_it_is_back() {
    let server = Server::private(Options::new());
    let database = server.fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let port = free_port().await;
    let service = Service::start(&database.url(), &["--listen-http", &port.to_string()]);
    wait_until_ready(port).await;
    server.cluster().crash().unwrap();
    let unready = eventually("it to say so", SOON, async || {
        let readiness = ready(port).await?;
        (readiness["ready"] == false).then_some(readiness)
    })
    .await;
    assert_eq!(unready["phase"], "connecting");
    assert_eq!(page(port, "/healthz").await.unwrap().0, StatusCode::OK);
    assert_eq!(metric(port, "odoo_eventd_phase{state=\"leading\"}").await, Some(0.0));
    server.cluster().start_again().unwrap();
    wait_until_ready(port).await;
    assert!(metric(port, "odoo_eventd_terms_failed_total").await.unwrap() >= 1.0);
    service.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_ready_and_a_copy_is_not() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let leader = Service::leading(&database).await;
    let port = free_port().await;
    let standby = Service::start(&database.url(), &["--listen-http", &port.to_string()]);
    wait_until_ready(port).await;
    assert_eq!(ready(port).await.unwrap()["phase"], "standby");
    database
        .psql("update ir_config_parameter set value = 'another' where key = 'database.uuid'")
        .await;
    leader.kill().await;
    eventually("it to notice the copy", SOON, async || {
        let readiness = ready(port).await?;
        (readiness["phase"] == "fenced" && readiness["ready"] == false).then_some(())
    })
    .await;
    standby.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_waits_for_too_long_makes_the_service_unready() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::hang()]);
    subscribed(&database, &receiver).await;
    database
        .psql("update mcp_event_subscription set timeout_ms = 600000")
        .await;
    let port = free_port().await;
    let service = Service::start(
        &database.url(),
        &[
            "--listen-http",
            &port.to_string(),
            "--alarm-after-s",
            "1",
            "--max-in-flight",
            "1",
        ],
    );
    wait_until_ready(port).await;
    for id in [1, 2] {
        database
            .psql(&format!("update sale_order set client_order_ref = 'x' where id = {id}"))
            .await;
    }
    // The first request holds the only slot.
    let unready = eventually("it to say so", SOON, async || {
        let readiness = ready(port).await?;
        (readiness["ready"] == false).then_some(readiness)
    })
    .await;
    assert_eq!(unready["phase"], "leading");
    assert!(
        unready["reasons"][0].as_str().unwrap().contains("could have been sent"),
        "{unready}"
    );
    assert!(metric(port, "odoo_eventd_oldest_due_age_seconds").await.unwrap() > 1.0);
    assert_eq!(page(port, "/healthz").await.unwrap().0, StatusCode::OK);
    service.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_went_silent_is_noticed_and_made_anew() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    subscribed(&database, &receiver).await;
    let direct = database.tcp_url();
    let server_port = database.server().cluster().port();
    let proxy = Proxy::to(server_port).await;
    let through = direct.replace(&format!(":{server_port}/"), &format!(":{}/", proxy.port()));
    assert_ne!(through, direct);
    let port = free_port().await;
    let service = Service::start(
        &through,
        &["--listen-http", &port.to_string(), "--shutdown-grace-ms", "1000"],
    );
    wait_until_ready(port).await;
    proxy.silence();
    // The server does not know that the leader has lost it, and would keep the lead for its dead session.
    database
        .psql("update sale_order set client_order_ref = 'in the silence' where id = 1")
        .await;
    eventually("the service to notice", SOON * 2, async || {
        (ready(port).await?["phase"] == "connecting").then_some(())
    })
    .await;
    // What a server's own keepalive does after a while.
    let ended = database
        .psql("select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and application_name = 'odoo-eventd'")
        .await;
    assert_ne!(ended, "0");
    receiver.wait_for(1, SOON * 2).await;
    wait_until_ready(port).await;
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");
    // Which task asks first is a matter of luck.
    assert!(
        ["did not come back", "did not answer in time", "Timeout occurred"]
            .iter()
            .any(|reason| log.contains(reason)),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_answers_but_hears_nothing_any_more_ends_the_term() {
    let database = Database::fixture().await;
    let connection = Connection::parse(&database.url()).unwrap();
    let vitals = Arc::new(Vitals::new(Duration::from_secs(300)));
    let listener = |connections, notifications| Listener {
        connections,
        notifications,
        notify: true,
        rang: Arc::default(),
        changed: Arc::default(),
        vitals: Arc::clone(&vitals),
    };
    let stop = CancellationToken::new();

    let (session, notifications) = Connections::open(&connection, 1).await.unwrap();
    session.lead().batch_execute("listen odoo_eventd").await.unwrap();
    let hearing = tokio::spawn(listener(session, notifications).run(stop.clone(), stop.clone()));
    // What a pooler leaves of a session: it answers, and is another one.
    let (session, notifications) = Connections::open(&connection, 1).await.unwrap();
    let deaf = listener(session, notifications).run(stop.clone(), stop.clone());

    let error = tokio::time::timeout(SOON, deaf).await.unwrap().unwrap_err();
    assert!(error.chain().contains("did not come back"), "{}", error.chain());
    assert!(!hearing.is_finished());
    assert!(vitals.metrics.encode().lines().any(|line| {
        line.strip_prefix("odoo_eventd_loopback_seconds ")
            .is_some_and(|seconds| seconds.parse::<f64>().unwrap() > 0.0)
    }));
    stop.cancel();
    hearing.await.unwrap().unwrap();
}

/// A configuration file and a service that reads it.
struct Configured {
    scratch: Scratch,
    path: PathBuf,
}

impl Configured {
    fn new(text: &str) -> Self {
        let scratch = Scratch::new(None).unwrap();
        let path = scratch.write("config.toml", text).unwrap();
        Self { scratch, path }
    }

    fn write(&self, text: &str) {
        self.scratch.write("config.toml", text).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_new_settings_and_survives_wrong_ones() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    subscribed(&database, &receiver).await;
    let config = Configured::new("allow_networks = [\"10.0.0.0/8\"]\n");
    let port = free_port().await;
    let mut child = program()
        .env_remove("ODOO_EVENTD_ALLOW_NETWORKS")
        .arg("--database-url")
        .arg(database.url())
        .args([
            "--log-format",
            "json",
            "run",
            "--listen-http",
            &port.to_string(),
            "--config",
        ])
        .arg(&config.path)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until_leading(&database).await;
    let state = async || database.psql("select state from mcp_event_subscription").await;
    eventually("the receiver to be refused", SOON, async || {
        (state().await == "invalid").then_some(())
    })
    .await;

    config.write("allow_networks = 7\n");
    signal(child.id().unwrap(), "HUP");
    config.write("allow_networks = [\"127.0.0.0/8\"]\n");
    signal(child.id().unwrap(), "HUP");
    // Writing it asks for a new look; what the service refused it does not look at again by itself.
    eventually("the subscription to be served", SOON, async || {
        database
            .psql("update mcp_event_subscription set name = 'again' where state = 'invalid'")
            .await;
        (state().await == "ready").then_some(())
    })
    .await;
    database
        .psql("update sale_order set client_order_ref = 'after the reload' where id = 1")
        .await;
    receiver.wait_for(1, SOON).await;
    wait_until_ready(port).await;
    assert_eq!(metric(port, "odoo_eventd_terms_failed_total").await, Some(0.0));
    child.kill().await.unwrap();
}

/// What systemd would hear of a service.
struct Systemd {
    socket: UnixDatagram,
    _scratch: Scratch,
    heard: String,
}

impl Systemd {
    fn start(database: &Database, watchdog: Option<Duration>) -> (Self, Child) {
        let scratch = Scratch::new(None).unwrap();
        let path = scratch.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut command = program();
        command
            .env("NOTIFY_SOCKET", &path)
            .arg("--database-url")
            .arg(database.url())
            .arg("run")
            .stderr(Stdio::null());
        if let Some(limit) = watchdog {
            command.env("WATCHDOG_USEC", limit.as_micros().to_string());
        }
        let child = command.spawn().unwrap();
        (
            Self {
                socket,
                _scratch: scratch,
                heard: String::new(),
            },
            child,
        )
    }

    /// Waits for a line.
    async fn hears(&mut self, line: &str) {
        while !self.heard.lines().any(|heard| heard == line) {
            let mut buffer = [0; 4096];
            let read = tokio::time::timeout(SOON, self.socket.recv(&mut buffer))
                .await
                .unwrap_or_else(|_| panic!("systemd never heard {line}, but: {}", self.heard))
                .unwrap();
            self.heard.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        self.heard.clear();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hears_when_the_service_is_ready_alive_reloading_and_stopping() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let (mut systemd, mut child) = Systemd::start(&database, Some(Duration::from_secs(8)));
    systemd.hears("READY=1").await;
    systemd.hears("WATCHDOG=1").await;
    systemd.hears("WATCHDOG=1").await;
    signal(child.id().unwrap(), "HUP");
    systemd.hears("RELOADING=1").await;
    systemd.hears("READY=1").await;
    signal(child.id().unwrap(), "TERM");
    systemd.hears("STOPPING=1").await;
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_is_not_fed_while_the_dispatcher_hangs() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    subscribed(&database, &receiver).await;
    let (mut systemd, mut child) = Systemd::start(&database, Some(Duration::from_secs(4)));
    systemd.hears("WATCHDOG=1").await;
    wait_until_leading(&database).await;
    // The position cannot be moved: the process runs, its timers run, and no event gets on.
    let mut holder = database.client().await;
    let holding = holder.transaction().await.unwrap();
    holding
        .execute("select from odoo_eventd.lead for update", &[])
        .await
        .unwrap();
    database
        .psql("update sale_order set client_order_ref = 'stuck' where id = 1")
        .await;
    // A message may be under way; then the limit has to pass in silence.
    let starved = eventually("the watchdog to be starved", SOON, async || {
        let mut buffer = [0; 4096];
        let quiet = tokio::time::timeout(Duration::from_secs(5), systemd.socket.recv(&mut buffer)).await;
        quiet.is_err().then_some(true)
    })
    .await;
    assert!(starved);
    drop(holding);
    holder.batch_execute("rollback").await.unwrap();
    systemd.hears("WATCHDOG=1").await;
    receiver.wait_for(1, SOON).await;
    child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_url_can_come_from_a_file() {
    let database = Database::fixture().await;
    let file = Configured::new(&format!("{}\n", database.url()));
    let installed = program()
        .arg("--database-url-file")
        .arg(&file.path)
        .arg("install")
        .output()
        .await
        .unwrap();
    assert!(
        installed.status.success(),
        "{}",
        String::from_utf8_lossy(&installed.stderr)
    );
    file.write("\n");
    let refused = program()
        .env("DATABASE_URL_FILE", &file.path)
        .arg("status")
        .output()
        .await
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("holds no database URL"));
}
