//! What the HTTP API costs: its answers beside a log of ten million attempts, two hundred readers of one feed, and connections that
//! say nothing.
//!
//! `cargo bench --bench api` starts a PostgreSQL that flushes to disk and a service with the API; `-- --quick` fills in a tenth and writes
//! for a tenth of the time. `-- pages readers` runs parts: `pages`, `readers`, `idle`.

#![allow(missing_docs, reason = "a benchmark has no callers")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(clippy::disallowed_methods, reason = "tasks end with the benchmark")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot run should say where it stopped"
)]

mod support;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use odoo_eventd::demo::Cluster;
use odoo_eventd::pg::connect::Database;
use support::receiver::{Ledger, receiver};
use support::{DATABASE, Service, call, grown, per_second, spread};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::Client;

/// Records to write to.
const RECORDS: u64 = 50_000;

/// Readers of one subscription.
const READERS: usize = 200;

/// Events a second that they read.
const EVENTS_PER_S: u64 = 2_000;

/// Connections that say nothing.
const IDLE: usize = 10_000;

/// How often a page is asked for.
const ASKED: usize = 20;

struct Bench {
    cluster: Cluster,
    client: Client,
    admin: Client,
    ledger: Arc<Ledger>,
    endpoint: String,
    token: String,
    port: u16,
    seconds: u64,
    attempts: u64,
}

impl Bench {
    async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// A service with the API, which answers.
    async fn served(&self) -> Service {
        let service = Service::leading(&self.cluster);
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(started.elapsed() < Duration::from_secs(30), "the API is not served");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        service
    }

    /// Answers that people wait for, each asked for one after the other.
    async fn pages(&self) {
        grown::fill_log(&self.client, &self.admin, self.attempts).await;
        grown::subscribe_to_much(&self.cluster, &self.client, &self.endpoint).await;
        self.admin.batch_execute("vacuum analyze").await.unwrap();
        let service = self.served().await;
        self.wait_for_traffic().await;
        println!(
            "\n| GET, beside {} attempts and 1,000 subscriptions | median | slowest of {ASKED} |\n| --- | --- | --- |",
            self.attempts
        );
        let event: String = self
            .client
            .query_one("select event_id::text from public.mcp_webhook_delivery limit 1", &[])
            .await
            .unwrap()
            .get(0);
        let http = reqwest::Client::new();
        for path in [
            "dashboard",
            "dashboard?days=90",
            "subscriptions",
            "subscriptions?limit=200",
            "subscriptions?q=nothing",
            "subscriptions/count",
            "subscriptions?domain=[('model','=','sale.order')]",
            "deliveries",
            "deliveries?limit=200",
            "deliveries?subscription=1",
            "deliveries?subscription=7",
            "deliveries?status=success",
            "deliveries?status=failed",
            "deliveries?code=200",
            "deliveries?code=404,5xx",
            "deliveries?error=timeout",
            "deliveries?model=sale.order",
            "deliveries?model=x_model_7",
            "deliveries?record_id=4711&model=sale.order",
            "deliveries?record_id=4711",
            &format!("deliveries?event_id={event}"),
            "deliveries?since=2020-01-01T00:00:00Z&until=2020-02-01T00:00:00Z",
            "deliveries?q=4711",
            "deliveries?q=nowhere",
            "models",
            "models/sale.order/fields",
        ] {
            let url = format!("http://127.0.0.1:{}/api/v1/{path}", self.port);
            let mut took = Vec::new();
            for _ in 0..ASKED {
                let started = Instant::now();
                let answer = http.get(&url).bearer_auth(&self.token).send().await.unwrap();
                let status = answer.status();
                let text = answer.text().await.unwrap();
                took.push(started.elapsed().as_secs_f64() * 1e3);
                assert!(status.is_success(), "{path}: {status} {text}");
                // The token's rate is not what is measured.
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            let (median, _, slowest) = spread(took);
            println!(
                "| `{}` | {median:.0} ms | {slowest:.0} ms |",
                path.replace(&event, "..").replace('|', "\\|")
            );
        }
        service.stop();
    }

    /// What is in the log is counted in slices beside the service's work.
    async fn wait_for_traffic(&self) {
        let started = Instant::now();
        let left = "select count(*) from odoo_eventd.traffic_backfill";
        while self.admin.query_one(left, &[]).await.unwrap().get::<_, i64>(0) > 0 {
            assert!(started.elapsed() < Duration::from_secs(1_800), "the log is not counted");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        println!("<!-- the log was counted after {:.0?} -->", started.elapsed());
    }

    /// Deliveries alone, then beside readers of the same events.
    async fn readers(&self) {
        call(
            &self.cluster,
            &[
                "subscribe",
                "--model",
                "sale.order",
                "--event",
                "write",
                "--fields",
                "client_order_ref",
                "--url",
                &self.endpoint,
                "--in-session",
            ],
        );
        let id: i32 = self
            .client
            .query_one("select max(id) from mcp_event_subscription", &[])
            .await
            .unwrap()
            .get(0);
        let service = self.served().await;
        self.write(EVENTS_PER_S * 3).await;
        let alone = self.delivered().await;
        let before = (service.memory("VmRSS"), service.processor_time());
        let counts: Vec<Arc<AtomicU64>> = (0..READERS).map(|_| Arc::default()).collect();
        let mut tasks = Vec::new();
        for count in &counts {
            let mut stream = self.connect().await;
            let request = format!(
                "GET /api/v1/events?subscription={id}&cursor={} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\naccept: text/event-stream\r\n\r\n",
                self.cursor(id).await,
                self.token
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let count = Arc::clone(count);
            tasks.push(tokio::spawn(async move { read_events(stream, &count).await }));
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let beside = self.delivered().await;
        let events = EVENTS_PER_S * self.seconds;
        let ended = Instant::now();
        while counts.iter().any(|count| count.load(Ordering::Relaxed) < events) {
            assert!(
                ended.elapsed() < Duration::from_secs(60),
                "{counts:?} of {events} events were read"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let behind = ended.elapsed();
        assert!(
            counts.iter().all(|count| count.load(Ordering::Relaxed) == events),
            "{counts:?}"
        );
        println!(
            "\n| {READERS} readers, {EVENTS_PER_S} events/s for {} s | measured |\n| --- | --- |",
            self.seconds
        );
        println!(
            "| deliveries/s alone, beside the readers | {alone:.0}, {beside:.0}: {:.0} % |",
            100.0 * beside / alone
        );
        println!(
            "| events lost or doubled; the last was read so long after the last delivery | 0; {:.0} ms |",
            behind.as_secs_f64() * 1e3
        );
        println!(
            "| memory of the service before and at most | {:.0}, {:.0} MiB |",
            before.0,
            service.memory("VmHWM")
        );
        println!(
            "| processor time of the service a second | {:.0} ms |",
            service.processor_time().saturating_sub(before.1).as_secs_f64() * 1e3 / self.seconds as f64
        );
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        service.stop();
    }

    /// The place behind the newest event.
    async fn cursor(&self, id: i32) -> String {
        let http = reqwest::Client::new();
        let mut cursor = String::new();
        loop {
            let url = format!(
                "http://127.0.0.1:{}/api/v1/events?subscription={id}&limit=200&cursor={cursor}",
                self.port
            );
            let answer = http.get(url).bearer_auth(&self.token).send().await.unwrap();
            let page: serde_json::Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
            cursor = page["cursor"].as_str().unwrap_or_else(|| panic!("{page}")).to_owned();
            if page["has_more"] == false {
                return cursor;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Writes at the rate for the time, and returns how many were delivered a second.
    async fn delivered(&self) -> f64 {
        let events = EVENTS_PER_S * self.seconds;
        self.ledger.begin(0);
        let started = Instant::now();
        self.write(events).await;
        self.ledger.wait_for(events, Duration::from_secs(300)).await;
        per_second(events, started.elapsed())
    }

    /// So many single-row updates by four writers at the rate.
    async fn write(&self, events: u64) {
        const WRITERS: u64 = 4;
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let mut tasks = Vec::new();
        for writer in 0..WRITERS {
            let database = Database::parse(&self.cluster.url(DATABASE, "odoo")).unwrap();
            let client = database.connect().await.unwrap();
            tasks.push(tokio::spawn(async move {
                let update = client
                    .prepare("update sale_order set client_order_ref = $2 where id = $1")
                    .await
                    .unwrap();
                let started = Instant::now();
                for n in 0..events / WRITERS {
                    let due = started + Duration::from_micros(n * WRITERS * 1_000_000 / EVENTS_PER_S);
                    tokio::time::sleep_until(due.into()).await;
                    let id = i32::try_from(1 + (n * WRITERS + writer) % RECORDS).unwrap();
                    client.execute(&update, &[&id, &format!("{call} {n}")]).await.unwrap();
                }
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    }

    /// Connections that say nothing, more than are served: whoever asks meanwhile is answered, and memory stays.
    async fn idle(&self) {
        let service = self.served().await;
        let before = service.memory("VmRSS");
        let mut held = Vec::new();
        for _ in 0..IDLE {
            if let Ok(Ok(stream)) =
                tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(("127.0.0.1", self.port))).await
            {
                held.push(stream);
            }
        }
        println!(
            "\n| {} connections that say nothing | measured |\n| --- | --- |",
            held.len()
        );
        println!(
            "| memory of the service before and beside | {before:.0}, {:.0} MiB |",
            service.memory("VmRSS")
        );
        let events = EVENTS_PER_S * self.seconds;
        let delivered = self.delivered().await;
        println!("| of {events} events at {EVENTS_PER_S}/s delivered | {delivered:.0}/s |");
        let started = Instant::now();
        let answer = reqwest::Client::new()
            .get(format!("http://127.0.0.1:{}/api/v1/subscriptions", self.port))
            .bearer_auth(&self.token)
            .timeout(Duration::from_secs(60))
            .send()
            .await;
        let told = answer.map_or_else(|error| error.to_string(), |answer| answer.status().to_string());
        println!(
            "| a request beside them | {told} after {:.0} ms |",
            started.elapsed().as_secs_f64() * 1e3
        );
        drop(held);
        service.stop();
    }
}

/// Counts the events of a stream.
async fn read_events(mut stream: TcpStream, count: &AtomicU64) {
    let mut buffer = vec![0; 256 * 1024];
    let mut kept = 0;
    loop {
        let read = stream.read(&mut buffer[kept..]).await.unwrap();
        assert!(read > 0, "the stream ended");
        let end = kept + read;
        let whole = buffer[..end]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let found = buffer[..whole]
            .split(|byte| *byte == b'\n')
            .filter(|line| *line == b"event: event")
            .count();
        count.fetch_add(found as u64, Ordering::Relaxed);
        buffer.copy_within(whole..end, 0);
        kept = end - whole;
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let is_quick = arguments.iter().any(|a| a == "--quick");
    let parts: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let wants = |part: &str| parts.is_empty() || parts.contains(&part);
    let cluster = support::installed_cluster(support::durable());
    let ledger = Arc::new(Ledger::default());
    let endpoint = receiver(Arc::clone(&ledger)).await;
    cluster
        .execute_as("odoo", DATABASE, &support::more_orders(RECORDS))
        .unwrap();
    let token = support::program(
        &cluster,
        &[
            "token",
            "create",
            "--name",
            "bench",
            "--scope",
            "admin,subscriptions:read,subscriptions:write,deliveries:read,events:read",
        ],
    )
    .stdout(Stdio::piped())
    .output()
    .unwrap();
    let token = String::from_utf8(token.stdout).unwrap().trim().to_owned();
    let connect = async |role| {
        let database = Database::parse(&cluster.url(DATABASE, role)).unwrap();
        database.connect().await.unwrap()
    };
    let (client, admin) = (connect("odoo").await, connect("postgres").await);
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    support::serve_api_at(port);
    println!("PostgreSQL {}, fsync on, everything on this machine", cluster.version());
    let bench = Bench {
        cluster,
        client,
        admin,
        ledger,
        endpoint,
        token,
        port,
        seconds: if is_quick { 6 } else { 60 },
        attempts: if is_quick { 1_000_000 } else { 10_000_000 },
    };
    if wants("readers") {
        bench.readers().await;
    }
    if wants("idle") {
        bench.idle().await;
    }
    if wants("pages") {
        bench.pages().await;
    }
}
