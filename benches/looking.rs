//! How long new subscriptions take, and what they cost those that are there, on a real Odoo 18 database.
//!
//! `cargo bench --bench looking` restores `../shared/odoo/odoo_demo.dump.sql.gz` into a PostgreSQL that flushes to disk, and measures:
//! the commands that look at a subscription or a domain; one new subscription, from its INSERT until it is ready; and, while 1,000 and 3,943
//! are inserted in one statement, how long each of the deliveries takes of a model that they do not concern and of one that they do.
//! `-- --quick` leaves out the largest.

#![allow(missing_docs, reason = "a benchmark has no callers")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot run should say where it stopped"
)]

mod support;

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use odoo_eventd::demo::Cluster;
use odoo_eventd::pg::connect::Database;
use support::receiver::{Ledger, receiver};
use support::{DATABASE, Service, call};
use tokio_postgres::Client;

/// Of Odoo S.A. (LGPL), so not in the repository.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/odoo");

const LISTENER: &str = "odoo_eventd_listener";

/// Tries of each command, and of one new subscription.
const TRIES: usize = 20;

/// From one commit of the writer to the next.
const PACE: Duration = Duration::from_millis(20);

/// Records of each model to write to, each once.
const RECORDS: u64 = 20_000;

/// Ids of those records begin behind these.
const TAGS: u64 = 1_000_000;
const ORDERS: u64 = 2_000_000;

struct Bench {
    cluster: Cluster,
    ledger: Arc<Ledger>,
    client: Client,
    endpoint: String,
    /// Where what the many match goes.
    elsewhere: String,
    /// Domains of which Odoo's answers are known, with their models.
    cases: Vec<(String, String)>,
    /// Records written so far.
    written: u64,
}

/// The dump, as Odoo's role restores it, and a listener.
fn restored() -> Cluster {
    let cluster = Cluster::start(support::durable())
        .unwrap_or_else(|error| panic!("{}\nhint: {}", error.chain(), error.hint().unwrap_or("none")));
    cluster.create_role("odoo", "CREATEDB CREATEROLE").unwrap();
    cluster.create_database(DATABASE, "odoo").unwrap();
    let mut unzip = Command::new("gzip")
        .args(["-dc", &format!("{DATA}/odoo_demo.dump.sql.gz")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let psql = cluster.programs().program("psql");
    let restore = Command::new(if psql.exists() { psql } else { "psql".into() })
        .args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname"])
        .arg(cluster.url(DATABASE, "odoo"))
        .stdin(unzip.stdout.take().unwrap())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(restore.success() && unzip.wait().unwrap().success(), "restore the dump");
    call(&cluster, &["install"]);
    let rights = format!("alter role {LISTENER} login; grant pg_read_all_data to {LISTENER}");
    cluster.execute(DATABASE, &rights).unwrap();
    cluster
}

fn cases() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(Path::new(DATA).join("domain_cases.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let text = |case: &serde_json::Value, key: &str| case[key].as_str().unwrap().to_owned();
    cases
        .iter()
        .map(|case| (text(case, "model"), text(case, "domain")))
        .collect()
}

/// Median, the 99th of a hundred, and the largest.
fn told(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    format!("{:.0?} | {:.0?} | {:.0?}", at(50), at(99), times[times.len() - 1])
}

impl Bench {
    /// How long a command of the program takes.
    fn command(&self, role: &str, what: &str, arguments: &[&str]) {
        let times = (0..TRIES).map(|_| {
            let mut command = support::program(&self.cluster, arguments);
            command.env("DATABASE_URL", self.cluster.url(DATABASE, role));
            let started = Instant::now();
            assert!(command.status().unwrap().success(), "{arguments:?}");
            started.elapsed()
        });
        println!("| {what}, as {role} | {} |", told(times.collect()));
    }

    /// How long one new subscription takes until it is ready.
    async fn one(&self, what: &str, models: &[&str]) {
        let mut times = Vec::new();
        for number in 0..TRIES {
            let model = models[number % models.len()];
            let started = Instant::now();
            let id: i32 = self
                .client
                .query_one(
                    "insert into public.mcp_event_subscription (model, domain, webhook_url) values ($1, '[(''id'', ''<'', 0)]', $2) returning id",
                    &[&model, &self.endpoint],
                )
                .await
                .unwrap()
                .get(0);
            let state = "select state from public.mcp_event_subscription where id = $1";
            while self
                .client
                .query_one(state, &[&id])
                .await
                .unwrap()
                .get::<_, Option<&str>>(0)
                != Some("ready")
            {
                assert!(started.elapsed() < Duration::from_secs(60), "{model} is not ready");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            times.push(started.elapsed());
            // Not in step with what the service does every so often.
            tokio::time::sleep(Duration::from_millis(300 + 137 * u64::try_from(number % 7).unwrap())).await;
        }
        println!("| {what} | {} |", told(times));
    }

    /// How long each delivery takes while so many subscriptions are made at once.
    async fn many(&mut self, count: usize, with_concerned: bool) {
        let kinds: &[(u64, &str)] = match with_concerned {
            false => &[(TAGS, "crm_tag set color = color + 1")],
            true => &[
                (TAGS, "crm_tag set color = color + 1"),
                (ORDERS, "sale_order set client_order_ref = 'x'"),
            ],
        };
        self.ledger.begin(0);
        let inserted = self.insert(count);
        let mut ready_after = None;
        let mut commits: HashMap<u64, Instant> = HashMap::new();
        let started = Instant::now();
        let mut making = tokio::task::JoinSet::new();
        making.spawn(inserted);
        let mut inserted_at = None;
        let mut next = tokio::time::interval(PACE);
        next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut calm = 0;
        while calm < 100 {
            next.tick().await;
            for (first, set) in kinds {
                let id = first + self.written % RECORDS;
                self.client
                    .batch_execute(&format!("update public.{set} where id = {id}"))
                    .await
                    .unwrap();
                commits.insert(id, Instant::now());
            }
            self.written += 1;
            if let Some(made) = making.try_join_next() {
                made.unwrap();
                inserted_at = Some(Instant::now());
            }
            if let Some(at) = inserted_at
                && ready_after.is_none()
                && self.written.is_multiple_of(10)
            {
                let waiting = "select count(*) from public.mcp_event_subscription where state is null";
                if self.client.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
                    ready_after = Some(at.elapsed());
                }
            }
            calm += usize::from(ready_after.is_some());
            assert!(started.elapsed() < Duration::from_secs(300), "they are never ready");
        }
        self.ledger
            .wait_for(u64::try_from(commits.len()).unwrap(), Duration::from_secs(60))
            .await;
        let arrived: HashMap<u64, Instant> = self.ledger.times.lock().unwrap().iter().copied().collect();
        for (first, table) in kinds {
            let times = commits
                .iter()
                .filter(|(id, _)| (*first..first + RECORDS).contains(*id))
                .map(|(id, at)| arrived[id].saturating_duration_since(*at))
                .collect();
            let beside = if with_concerned { ", both written" } else { "" };
            let table = table.split(' ').next().unwrap();
            println!(
                "| a delivery of {table} while {count} are made{beside} | {} |",
                told(times)
            );
        }
        println!(
            "| {count} ready after their commit | {:.1?} | | |",
            ready_after.unwrap()
        );
        self.client
            .batch_execute("delete from public.mcp_event_subscription where name = 'many'")
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
    }

    /// Makes so many subscriptions in one statement: Odoo's own domains, over and over.
    fn insert(&self, count: usize) -> impl Future<Output = ()> + use<> {
        let (models, domains): (Vec<String>, Vec<String>) = self.cases.iter().cycle().take(count).cloned().unzip();
        let url = self.cluster.url(DATABASE, "odoo");
        let endpoint = self.elsewhere.clone();
        async move {
            let client = Database::parse(&url).unwrap().connect().await.unwrap();
            client
                .execute(
                    "insert into public.mcp_event_subscription (name, model, event_type, domain, webhook_url)
                     select 'many', model, 'write', domain, $3 from unnest($1::text[], $2::text[]) n (model, domain)",
                    &[&models, &domains, &endpoint],
                )
                .await
                .unwrap();
        }
    }
}

#[tokio::main]
async fn main() {
    let is_quick = std::env::args().any(|a| a == "--quick");
    let only = std::env::args().skip_while(|a| a != "--only").nth(1);
    let wants = |part: &str| only.as_ref().is_none_or(|only| only == part);
    let cluster = restored();
    let ledger = Arc::new(Ledger::default());
    ledger.wants_times.store(true, Ordering::SeqCst);
    let endpoint = receiver(Arc::clone(&ledger)).await;
    let client = Database::parse(&cluster.url(DATABASE, "odoo")).unwrap();
    let client = client.connect().await.unwrap();
    client
        .batch_execute(&format!(
            "insert into public.crm_tag select (jsonb_populate_record(t, jsonb_build_object('id', {TAGS} + n, 'name', jsonb_build_object('en_US', 'tag ' || n)))).*
               from public.crm_tag t, generate_series(0, {RECORDS} - 1) n where t.id = (select min(id) from public.crm_tag);
             insert into public.sale_order select (jsonb_populate_record(o, jsonb_build_object('id', {ORDERS} + n, 'access_token', null))).*
               from public.sale_order o, generate_series(0, {RECORDS} - 1) n where o.id = (select min(id) from public.sale_order);
             analyze"
        ))
        .await
        .unwrap();
    for (model, field) in [("crm.tag", "color"), ("sale.order", "client_order_ref")] {
        call(
            &cluster,
            &[
                "subscribe",
                "--model",
                model,
                "--event",
                "write",
                "--fields",
                field,
                "--url",
                &endpoint,
            ],
        );
    }
    println!(
        "PostgreSQL {}, fsync on, everything on this machine\n",
        cluster.version()
    );
    println!("| what | median | 99th | largest |\n| --- | --- | --- | --- |");
    let mut bench = Bench {
        cluster,
        ledger,
        client,
        endpoint,
        elsewhere: receiver(Arc::new(Ledger::default())).await,
        cases: cases(),
        written: 0,
    };
    if wants("commands") {
        let domain = "[('partner_id.country_id.code', '=', 'US')]";
        for role in ["odoo", LISTENER] {
            let eval = ["domain", "eval", "--model", "sale.order", domain];
            bench.command(role, "domain eval", &eval);
            let subscribe = ["subscribe", "--dry-run", "--model", "sale.order", "--domain", domain];
            bench.command(role, "subscribe --dry-run", &subscribe);
        }
    }
    let service = Service::leading(&bench.cluster);
    if wants("one") {
        bench
            .one("one new subscription, its model captured", &["sale.order"])
            .await;
        let others = [
            "res.partner",
            "crm.lead",
            "project.task",
            "account.move",
            "product.template",
            "res.country",
            "res.users",
            "stock.picking",
            "project.project",
            "account.journal",
            "product.product",
            "sale.order.line",
            "uom.uom",
            "stock.move",
            "mail.message",
            "res.company",
            "account.move.line",
            "stock.location",
            "crm.team",
            "product.category",
        ];
        bench.one("one new subscription, its model not captured", &others).await;
    }
    if wants("many") {
        let counts: &[usize] = if is_quick { &[1_000] } else { &[1_000, 3_943] };
        for count in counts {
            bench.many(*count, false).await;
            bench.many(*count, true).await;
        }
    }
    service.stop();
}
