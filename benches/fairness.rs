//! What endpoints that hang, fail or reset cost the others.
//!
//! `cargo bench --bench fairness`: 10,000 events, one transaction each, for 100 endpoints of which 10 never answer within their two
//! seconds, 10 answer 503 and 10 reset. They are captured while the service is stopped; then it starts, and what counts is the time from the first to the last
//! delivery at the 70 that answer. Beside it the same events with subscriptions of these 70 alone. Rounds alternate, so that what else
//! the machine does falls on both alike; told is the ratio of each pair. At the end of a round with all 100 the log is checked: each
//! delivery has one attempt, 7,000 have a success, none has two.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot run should say where it stopped"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the receivers end with the benchmark; no supervisor watches them"
)]

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use odoo_eventd::demo::{Cluster, Durability, ODOO_SHAPED, Options};
use odoo_eventd::pg::connect::Database;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ENDPOINTS: usize = 100;
const EVENTS: u64 = 10_000;
const ROUNDS: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Hangs,
    Fails,
    Resets,
    Answers,
}

fn kind(endpoint: usize) -> Kind {
    match endpoint {
        0..10 => Kind::Hangs,
        10..20 => Kind::Fails,
        20..30 => Kind::Resets,
        _ => Kind::Answers,
    }
}

/// When the endpoints that answer got their first and their last.
struct Arrivals {
    began: Instant,
    count: AtomicU64,
    first_us: AtomicU64,
    last_us: AtomicU64,
}

impl Arrivals {
    fn note(&self) {
        let at = u64::try_from(self.began.elapsed().as_micros()).unwrap();
        self.first_us.fetch_min(at, Ordering::Relaxed);
        self.last_us.fetch_max(at, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    fn reset(&self) {
        self.count.store(0, Ordering::Relaxed);
        self.first_us.store(u64::MAX, Ordering::Relaxed);
        self.last_us.store(0, Ordering::Relaxed);
    }

    fn per_second(&self) -> f64 {
        let span = self.last_us.load(Ordering::Relaxed) - self.first_us.load(Ordering::Relaxed);
        #[expect(clippy::cast_precision_loss, reason = "seconds and thousands, for display")]
        let rate = self.count.load(Ordering::Relaxed) as f64 * 1e6 / span as f64;
        rate
    }
}

/// Serves one endpoint for ever.
async fn serve(listener: TcpListener, kind: Kind, arrivals: Arc<Arrivals>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve_connection(stream, kind, Arc::clone(&arrivals)));
    }
}

async fn serve_connection(mut stream: TcpStream, kind: Kind, arrivals: Arc<Arrivals>) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if matches!(stream.read_buf(&mut buffer).await, Ok(0) | Err(_)) {
                return;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap_or("0\r");
        let length: usize = length.split('\r').next().unwrap().parse().unwrap();
        while buffer.len() < end + length {
            if matches!(stream.read_buf(&mut buffer).await, Ok(0) | Err(_)) {
                return;
            }
        }
        buffer.drain(..end + length);
        let status = match kind {
            Kind::Hangs => {
                // Until the sender gives up.
                let _ = stream.read_buf(&mut buffer).await;
                return;
            }
            Kind::Resets => {
                let _ = stream.set_zero_linger();
                return;
            }
            Kind::Fails => 503,
            Kind::Answers => {
                arrivals.note();
                200
            }
        };
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

fn program(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_odoo-eventd"));
    command
        .args(arguments)
        .env("DATABASE_URL", url)
        .env("ODOO_EVENTD_ALLOW_NETWORKS", "127.0.0.0/8")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One round: a fresh database, the subscriptions, the events, then the service. Returns deliveries a second at those that answer.
async fn round(cluster: &Cluster, urls: &[String], subscribed: &[usize], arrivals: &Arrivals, name: &str) -> f64 {
    cluster.create_database(name, "odoo").unwrap();
    let url = cluster.url(name, "odoo");
    let client = Database::parse(&url).unwrap().connect().await.unwrap();
    client.batch_execute(ODOO_SHAPED).await.unwrap();
    assert!(program(&url, &["install"]).status().unwrap().success());
    for endpoint in subscribed {
        client
            .execute(
                "insert into mcp_event_subscription (model, event_type, domain, webhook_url, webhook_secret, timeout_ms)
                 values ('res.partner', 'create', $1, $2, 'a-secret-of-thirty-two-bytes-or-more', 2000)",
                &[&format!("[('name', '=', 'e{endpoint}')]"), &urls[*endpoint]],
            )
            .await
            .unwrap();
    }
    // Sets up capture, and is gone again.
    let service = Service(program(&url, &["run"]).spawn().unwrap());
    until(
        &client,
        "not exists (select from mcp_event_subscription where state is distinct from 'ready')",
    )
    .await;
    drop(service);
    client
        .batch_execute(&format!(
            "do $$ begin
               for n in 0..{} loop
                 insert into res_partner (name, complete_name) values ('e' || n % {ENDPOINTS}, n);
                 commit;
               end loop;
             end $$",
            EVENTS - 1
        ))
        .await
        .unwrap();
    arrivals.reset();
    let service = Service(program(&url, &["run"]).spawn().unwrap());
    let answering = subscribed.iter().filter(|e| kind(**e) == Kind::Answers).count();
    let each = EVENTS / u64::try_from(ENDPOINTS).unwrap();
    let expected = each * u64::try_from(answering).unwrap();
    while arrivals.count.load(Ordering::Relaxed) < expected {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let rate = arrivals.per_second();
    until(
        &client,
        "not exists (select from odoo_eventd.delivery where due_at is not null)",
    )
    .await;
    drop(service);
    let row = client
        .query_one(
            "select count(*), count(distinct delivery_id), count(*) filter (where status = 'success') from mcp_webhook_delivery",
            &[],
        )
        .await
        .unwrap();
    let found: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
    let all = i64::try_from(each).unwrap() * i64::try_from(subscribed.len()).unwrap();
    assert_eq!(
        found,
        [all, all, i64::try_from(expected).unwrap()],
        "attempts, deliveries, successes"
    );
    drop(client);
    cluster.drop_database(name).unwrap();
    rate
}

async fn until(client: &tokio_postgres::Client, condition: &str) {
    while !client
        .query_one(&format!("select {condition}"), &[])
        .await
        .unwrap()
        .get::<_, bool>(0)
    {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::main]
async fn main() {
    let cluster = Cluster::start(Options::new().durability(Durability::On)).unwrap();
    cluster.create_role("odoo", "CREATEDB").unwrap();
    let arrivals = Arc::new(Arrivals {
        began: Instant::now(),
        count: AtomicU64::new(0),
        first_us: AtomicU64::new(u64::MAX),
        last_us: AtomicU64::new(0),
    });
    let mut urls = Vec::new();
    for endpoint in 0..ENDPOINTS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        urls.push(format!("http://{}/hook", listener.local_addr().unwrap()));
        tokio::spawn(serve(listener, kind(endpoint), Arc::clone(&arrivals)));
    }
    let everybody: Vec<usize> = (0..ENDPOINTS).collect();
    let well: Vec<usize> = (0..ENDPOINTS).filter(|e| kind(*e) == Kind::Answers).collect();
    println!(
        "{:>6} {:>16} {:>16} {:>8}",
        "round", "70 alone, 1/s", "70 of 100, 1/s", "ratio"
    );
    for number in 1..=ROUNDS {
        let alone = round(&cluster, &urls, &well, &arrivals, &format!("alone_{number}")).await;
        let beside = round(&cluster, &urls, &everybody, &arrivals, &format!("beside_{number}")).await;
        println!(
            "{number:>6} {alone:>16.0} {beside:>16.0} {:>7.0}%",
            100.0 * beside / alone
        );
    }
}
