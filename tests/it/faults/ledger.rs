//! Receivers that write down every request before they answer it, well or badly.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use super::checker::{Arrival, Item};
use crate::support::receiver::{Receiver, Recorded, Reply};

/// The receivers of a world, and what they were sent.
pub struct Ledger {
    inner: Arc<Inner>,
    receivers: Vec<Receiver>,
}

struct Inner {
    arrivals: Mutex<Vec<Arrival>>,
    /// Of all receivers together.
    tokens: Mutex<HashSet<String>>,
    count: watch::Sender<usize>,
    /// A line each, flushed before the answer: what is left to look at when a test fails.
    file: Mutex<File>,
    directory: PathBuf,
}

/// How a receiver answers.
#[derive(Clone, Copy, Debug)]
pub struct Manners {
    /// Of a hundred requests so many get a 503.
    pub refusals: u32,
    /// And so many get what a hostile receiver does.
    pub harms: u32,
}

impl Ledger {
    /// An empty one, in a directory of its own below Cargo's for tests. It is left there when a test fails, or with
    /// `ODOO_EVENTD_TEST_KEEP`.
    pub fn new() -> Self {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{}", Uuid::new_v4()));
        std::fs::create_dir(&directory).unwrap();
        let inner = Inner {
            arrivals: Mutex::default(),
            tokens: Mutex::default(),
            count: watch::Sender::new(0),
            file: Mutex::new(File::create(directory.join("arrivals.jsonl")).unwrap()),
            directory,
        };
        Self {
            inner: Arc::new(inner),
            receivers: Vec::new(),
        }
    }

    /// Opens a receiver; returns its URL.
    pub async fn open(&mut self, manners: Manners, seed: u64) -> String {
        let inner = Arc::clone(&self.inner);
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        let receiver = Receiver::answering(move |request| {
            let (reply, answered) = choose(manners, &mut random.lock().unwrap());
            inner.enter(request, answered, &reply);
            reply
        })
        .await;
        let url = receiver.url("/");
        self.receivers.push(receiver);
        url
    }

    /// Where the services write their logs, one behind the other.
    pub fn services_log(&self) -> File {
        let path = self.inner.directory.join("services.log");
        File::options().create(true).append(true).open(path).unwrap()
    }

    /// What has arrived so far, in its order.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.inner.arrivals.lock().unwrap().clone()
    }

    /// Waits for an arrival that satisfies `wanted`, beyond the first `seen`; false when there was none in time.
    pub async fn wait_for(&self, seen: usize, timeout: Duration, wanted: impl Fn(&Arrival) -> bool) -> bool {
        let mut count = self.inner.count.subscribe();
        let mut seen = seen;
        let found = async {
            loop {
                let now = *count.borrow_and_update();
                if self.inner.arrivals.lock().unwrap()[seen..now].iter().any(&wanted) {
                    return;
                }
                seen = now;
                count.changed().await.unwrap();
            }
        };
        tokio::time::timeout(timeout, found).await.is_ok()
    }

    /// How many requests have arrived so far.
    pub fn count(&self) -> usize {
        *self.inner.count.borrow()
    }

    /// What holds writers back.
    pub fn pace(&self) -> Pace {
        Pace {
            inner: Arc::clone(&self.inner),
            committed: Arc::default(),
        }
    }
}

/// Holds writers back while what they wrote has not arrived: on a busy machine they would otherwise be further ahead of deliveries the
/// longer they write, and every recovery would take longer than the one before.
#[derive(Clone)]
pub struct Pace {
    inner: Arc<Inner>,
    committed: Arc<AtomicUsize>,
}

/// So many changes may be on their way.
const AHEAD: usize = 16;

/// And so long a writer waits for them: it never stops, whatever became of them.
const HELD_FOR: Duration = Duration::from_secs(1);

impl Pace {
    /// A token was committed.
    pub fn committed(&self) {
        self.committed.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until not too much is on its way.
    pub async fn keep(&self) {
        let mut count = self.inner.count.subscribe();
        let caught_up = count.wait_for(|_| {
            let arrived = self.inner.tokens.lock().unwrap().len();
            self.committed.load(Ordering::Relaxed) <= arrived + AHEAD
        });
        let _ = tokio::time::timeout(HELD_FOR, caught_up).await;
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os("ODOO_EVENTD_TEST_KEEP").is_some() {
            eprintln!(
                "what arrived, and what the services said, is in {}",
                self.inner.directory.display()
            );
        } else {
            let _ = std::fs::remove_dir_all(&self.inner.directory);
        }
    }
}

impl Inner {
    fn enter(&self, request: &Recorded, answered: Option<u16>, reply: &Reply) {
        let body = request.json();
        let arrival = Arrival {
            at: request.at,
            delivery: request.header("webhook-id").unwrap().parse().unwrap(),
            event: body["event_id"].as_str().unwrap().parse().unwrap(),
            subscription: body["subscription_id"].as_i64().unwrap().try_into().unwrap(),
            items: items_of(&body),
            answered,
        };
        let line = serde_json::json!({
            "webhook_id": arrival.delivery, "event_id": arrival.event, "subscription_id": arrival.subscription,
            "record_ids": body["record_ids"], "at": jiff::Timestamp::now().to_string(), "answered": answered, "reply": format!("{reply:.60?}"),
        });
        writeln!(self.file.lock().unwrap(), "{line}").unwrap();
        let tokens = arrival.items.iter().map(|item| item.token.clone());
        self.tokens
            .lock()
            .unwrap()
            .extend(tokens.filter(|token| !token.is_empty()));
        let mut arrivals = self.arrivals.lock().unwrap();
        arrivals.push(arrival);
        self.count.send_replace(arrivals.len());
    }
}

/// The changes that a body tells of.
pub fn items_of(body: &Value) -> Vec<Item> {
    let event_type = body["event_type"].as_str().unwrap();
    let records = body["records"].as_array().unwrap();
    records
        .iter()
        .map(|record| Item {
            event_type: event_type.to_owned(),
            record: record["id"].as_i64().unwrap(),
            token: match event_type {
                // It has the token of the write before it.
                "unlink" => String::new(),
                _ => record["values"]["client_order_ref"].as_str().unwrap().to_owned(),
            },
        })
        .collect()
}

fn choose(manners: Manners, random: &mut StdRng) -> (Reply, Option<u16>) {
    let drawn = random.random_range(0..100);
    if drawn < manners.refusals {
        (Reply::status(503), Some(503))
    } else if drawn < manners.refusals + manners.harms {
        harm(random)
    } else {
        (Reply::status(200), Some(200))
    }
}

/// What `hostile.rs` has one test each for. Some of it counts as an answer.
fn harm(random: &mut StdRng) -> (Reply, Option<u16>) {
    let reply = match random.random_range(0..13) {
        0 => Reply::hang(),
        1 => Reply::reset(),
        2 => Reply::close(),
        3 => Reply::drip_head(),
        4 => Reply::drip_body(),
        // Not without end: parsing them takes a debug build's whole time, and that is no fault but a load.
        5 => Reply::many_hints(),
        6 => Reply::endless_head(),
        7 => Reply::invalid_chunk(),
        8 => Reply::short_body(200),
        9 => Reply::raw("this is no HTTP\r\n\r\n"),
        // Too late, unless the machine is so busy that the sender is late too.
        10 => return (Reply::status(200).after(Duration::from_secs(2)), Some(200)),
        11 => return (Reply::endless_body(), Some(200)),
        _ => return (Reply::huge(500, 8), Some(500)),
    };
    (reply, None)
}
