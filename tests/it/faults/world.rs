//! A database with writers that never stop, subscriptions of every kind, receivers that keep a ledger, and a service that is harmed.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::sync::Arc;
use std::time::{Duration, Instant};

use odoo_eventd::failpoint::Step;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::process::Command;
use tokio_postgres::Row;

use super::checker::{Attempt, Books, Committed, Item, Promise, Report, check, check_reading};
use super::ledger::{Ledger, Manners, items_of};
use super::reader::Reader;
use super::writers::{BOOK, Writers};
use crate::support::service::{SOON, Service, eventd_ok, program};
use crate::support::{Database, Server};

/// Every subscription is for every change of an order, and has a receiver of its own: what is endured by one endpoint must not be
/// measured at another. A refusal of an ordered one holds up all that comes behind it.
const KINDS: [Kind; 5] = [
    Kind::new("once", false, false, Manners { refusals: 10, harms: 0 }),
    Kind::new("retried", true, false, Manners { refusals: 10, harms: 0 }),
    Kind::new("ordered", true, true, Manners { refusals: 4, harms: 0 }),
    Kind::new("once, hostile", false, false, Manners { refusals: 5, harms: 15 }),
    Kind::new("retried, hostile", true, false, Manners { refusals: 5, harms: 15 }),
];

/// What was in the log and was then made so old that it is dropped.
const AGED: &str = "create table faults.aged_attempt as select * from mcp_webhook_delivery with no data";

/// Only a hang takes so long. A service waits before it tries again, stays away for a while when its sessions were ended, and on a busy
/// machine may lose some before it gets on.
const RECOVERED_WITHIN: Duration = Duration::from_secs(600);

struct Kind {
    name: &'static str,
    promise: Promise,
    manners: Manners,
}

impl Kind {
    const fn new(name: &'static str, retried: bool, ordered: bool, manners: Manners) -> Self {
        Self {
            name,
            promise: Promise { retried, ordered },
            manners,
        }
    }

    /// Subscribes; returns the subscription's id.
    async fn subscribe(&self, database: &Database, url: &str) -> i32 {
        let attempts = if self.promise.retried { 100 } else { 1 };
        // What hangs should not hang for long, and what is well may be slow on a busy machine.
        let timeout_ms = if self.manners.harms > 0 { 700 } else { 60_000 };
        let id = database
            .psql(&format!(
                "insert into mcp_event_subscription (name, model, fields, payload_fields, webhook_url, max_attempts, ordered, timeout_ms,
                                                     retry_first_ms, retry_max_ms)
                 values ('{}', 'sale.order', '{{client_order_ref}}', '{{client_order_ref}}', '{url}', {attempts}, {}, {timeout_ms},
                         1000, 1000) returning id",
                self.name, self.promise.ordered
            ))
            .await;
        id.trim().parse().unwrap()
    }
}

/// How hard the writers work.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many there are.
    pub writers: u64,
    /// Between two transactions of one, on average.
    pub pause: Duration,
}

impl Default for Load {
    /// What a debug build carries to five receivers on a busy machine, beside other worlds: some sixteen transactions a second.
    fn default() -> Self {
        Self {
            writers: 4,
            pause: Duration::from_millis(250),
        }
    }
}

/// See the module documentation.
pub struct World {
    /// The database; faults of PostgreSQL are its server's.
    pub database: Database,
    /// Decides what is left to chance.
    pub random: StdRng,
    /// What arrived.
    pub ledger: Ledger,
    /// Reads the feed.
    pub reader: Reader,
    /// How the next service is to reach the database: a fault of the network puts something in between.
    pub service_url: String,
    /// Arguments of `run` for the next service.
    pub arguments: Vec<String>,
    /// Its environment, beside what every program gets.
    pub environment: Vec<(String, OsString)>,
    services: Vec<Service>,
    writers: Option<Writers>,
    told: HashMap<String, Instant>,
    promises: BTreeMap<i32, Promise>,
}

impl World {
    /// Installs, subscribes, starts a service and the writers, and waits until deliveries arrive.
    pub async fn new(server: &Arc<Server>, load: Load, seed: u64) -> Self {
        let database = server.fixture().await;
        eventd_ok(&database.url(), &["install"]).await;
        database.psql(BOOK).await;
        database.psql(AGED).await;
        let mut ledger = Ledger::new();
        let mut promises = BTreeMap::new();
        for (kind, number) in KINDS.iter().zip(1..) {
            let url = ledger.open(kind.manners, seed ^ number).await;
            let id = kind.subscribe(&database, &url).await;
            promises.insert(id, kind.promise);
        }
        let reader = Reader::start(&database).await;
        let mut world = Self {
            reader,
            service_url: database.url(),
            arguments: Vec::new(),
            environment: Vec::new(),
            random: StdRng::seed_from_u64(seed),
            writers: None,
            services: Vec::new(),
            told: HashMap::new(),
            database,
            ledger,
            promises,
        };
        world.start_service();
        crate::support::service::wait_until_leading(&world.database).await;
        let url = world.database.url();
        world.writers = Some(Writers::start(&url, "w", load, &world.ledger.pace(), seed));
        world.recovered().await;
        world
    }

    /// Starts a service more; does not wait for it.
    pub fn start_service(&mut self) {
        self.spawn(self.command());
    }

    /// Starts a service that dies at a step, the nth time that it comes there.
    pub fn start_doomed_service(&mut self, step: Step, nth: u32) {
        let mut command = self.command();
        command.env("ODOO_EVENTD_FAILPOINT", format!("{}:{nth}", step.name()));
        self.spawn(command);
    }

    fn spawn(&mut self, command: Command) {
        let log = self.ledger.services_log();
        self.services.push(Service::logging_to(log, command));
    }

    fn command(&self) -> Command {
        let mut command = program();
        command
            .args(["--database-url", &self.service_url, "--log-format", "json", "run"])
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Kills all services.
    pub async fn kill_services(&mut self) {
        for service in self.services.drain(..) {
            service.kill().await;
        }
    }

    /// Ends all services as their manager does, and waits for it.
    pub async fn stop_services(&mut self) {
        for service in self.services.drain(..) {
            let (status, log) = service.terminate().await;
            assert!(status.success(), "{log}");
        }
    }

    /// Kills one of the services.
    pub async fn kill_service(&mut self, index: usize) {
        self.services.swap_remove(index).kill().await;
    }

    /// The services that were started and not collected yet.
    pub fn services(&mut self) -> &mut Vec<Service> {
        &mut self.services
    }

    /// Waits until the services have died at the step that they are doomed to die at.
    ///
    /// # Panics
    /// When one does not, or ends in another way.
    pub async fn services_die(&mut self) {
        for mut service in self.services.drain(..) {
            let ended = tokio::time::timeout(SOON, service.ended()).await;
            let ended = ended.expect("the service dies at its step");
            let signal = std::os::unix::process::ExitStatusExt::signal(&ended);
            assert_eq!(signal, Some(9), "{ended}");
        }
    }

    /// As a service manager does: what has ended by itself is started again. True when it had to.
    pub fn restart_ended(&mut self) -> bool {
        let before = self.services.len();
        self.services.retain_mut(Service::is_running);
        let ended = before - self.services.len();
        (0..ended).for_each(|_| self.start_service());
        ended > 0
    }

    /// Waits until a change that was committed after this call has arrived: the world goes on. Services that end are started again
    /// meanwhile.
    ///
    /// # Panics
    /// When none has for too long.
    pub async fn recovered(&mut self) {
        let began = Instant::now();
        loop {
            let seen = self.ledger.count();
            let writers = self.writers.as_ref().expect("writers are at work");
            let arrived = self.ledger.wait_for(seen, Duration::from_secs(1), |arrival| {
                let told = |item: &Item| writers.told(&item.token).is_some_and(|told| told > began);
                arrival.items.iter().any(told)
            });
            if arrived.await {
                return;
            }
            self.restart_ended();
            assert!(
                began.elapsed() < RECOVERED_WITHIN,
                "no delivery for {RECOVERED_WITHIN:?}"
            );
        }
    }

    /// Stops the writers and waits until nothing is left to do.
    ///
    /// # Panics
    /// When something is left, and nothing has arrived for that time.
    pub async fn settle(&mut self, within: Duration) {
        if let Some(writers) = self.writers.take() {
            self.told.extend(writers.stop().await);
        }
        let mut last = (Instant::now(), self.ledger.count());
        while let Some(left) = self.left_to_do().await {
            self.restart_ended();
            let count = self.ledger.count();
            if count > last.1 {
                last = (Instant::now(), count);
            }
            assert!(
                last.0.elapsed() < within,
                "after {within:?} without an arrival there is left: {left}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What is not finished, in words; `None` = nothing.
    async fn left_to_do(&self) -> Option<String> {
        let left = self
            .database
            .psql(
                "select 'rows of the outbox' as what, count(*)
                   from odoo_eventd.outbox o, odoo_eventd.position p
                  where not pg_visible_in_snapshot(o.xid, p.done) or p.target is not null having count(*) > 0
                 union all
                 select format('deliveries of subscription %s, %s, attempt %s, due in %s', subscription_id, state, attempts,
                               case when due_at < 'infinity' then (due_at - now())::text end), count(*)
                   from odoo_eventd.delivery where due_at is not null group by subscription_id, state, attempts, 
                               case when due_at < 'infinity' then (due_at - now())::text end",
            )
            .await;
        Some(left).filter(|left| !left.is_empty())
    }

    /// Everybody's books, as they are now.
    pub async fn books(&self) -> Books {
        let client = self.database.client().await;
        let committed = client
            .query(
                "select seq, transaction::text, event_type, record, token from faults.committed order by seq",
                &[],
            )
            .await
            .unwrap();
        let attempts = client
            .query(
                "select delivery_id, event_id, subscription_id, attempt, status, error, payload, id
                   from mcp_webhook_delivery
                 union all select delivery_id, event_id, subscription_id, attempt, status, error, payload, id
                   from faults.aged_attempt a where not exists (select from mcp_webhook_delivery d where d.id = a.id) order by id",
                &[],
            )
            .await
            .unwrap();
        Books {
            promises: self.promises.clone(),
            committed: committed.iter().map(|row| self.committed(row)).collect(),
            attempts: attempts.iter().map(attempt).collect(),
            arrivals: self.ledger.arrivals(),
        }
    }

    fn committed(&self, row: &Row) -> Committed {
        let token: String = row.get("token");
        let at = match &self.writers {
            Some(writers) => writers.told(&token),
            None => self.told.get(&token).copied(),
        };
        Committed {
            seq: row.get("seq"),
            transaction: row.get::<_, String>("transaction").parse().unwrap(),
            item: Item {
                event_type: row.get("event_type"),
                record: row.get("record"),
                token,
            },
            at,
        }
    }

    /// Lets the world come to rest and compares the books.
    pub async fn settle_and_check(&mut self) -> Report {
        self.settle(SOON * 10).await;
        let books = self.books().await;
        assert!(!books.committed.is_empty() && !books.arrivals.is_empty());
        self.reader.caught_up().await;
        let mut report = check(&books);
        check_reading(&books.committed, &self.reader.read(), &mut report);
        report
    }
}

fn attempt(row: &Row) -> Attempt {
    let payload: String = row.get("payload");
    Attempt {
        delivery: row.get("delivery_id"),
        event: row.get("event_id"),
        subscription: row.get("subscription_id"),
        number: row.get("attempt"),
        status: row.get("status"),
        error: row.get("error"),
        items: items_of(&serde_json::from_str(&payload).unwrap()),
    }
}
