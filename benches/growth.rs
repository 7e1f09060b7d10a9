//! What an event costs once the tables have grown and much is watched.
//!
//! `cargo bench --bench growth` starts a PostgreSQL that flushes to disk, the service and a receiver, and drains a backlog three times in
//! each state of the same database: as installed; with ten million attempts in the log, half of them today's; with 1,000 subscriptions on
//! 200 models beside. It takes some ten minutes and as many gigabytes; `-- --quick` fills in a tenth.

#![allow(missing_docs, reason = "a benchmark has no callers")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot run should say where it stopped"
)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use odoo_eventd::demo::Cluster;
use odoo_eventd::pg::connect::Database;
use support::receiver::{Ledger, receiver};
use support::{DATABASE, Service, call, per_second, spread};
use tokio_postgres::Client;

/// Records to write to.
const RECORDS: u64 = 50_000;

/// Deliveries of one backlog.
const BACKLOG: u64 = 20_000;

/// Backlogs in each state.
const ROUNDS: u64 = 3;

/// Models that are watched in the end, `sale.order` among them.
const MODELS: u64 = 200;

/// Subscriptions to each of them.
const SUBSCRIPTIONS: u64 = 5;

struct Bench {
    cluster: Cluster,
    ledger: Arc<Ledger>,
    client: Client,
    /// The cluster's superuser: what is filled in belongs to nobody else.
    admin: Client,
    endpoint: String,
    calls: u64,
}

impl Bench {
    /// Drains some backlogs and prints what came of it.
    async fn measure(&mut self, state: &str) -> f64 {
        self.admin.batch_execute("vacuum analyze").await.unwrap();
        let (mut rates, mut processor) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            self.pile_up().await;
            self.ledger.begin(BACKLOG);
            let service = Service::start(&self.cluster);
            self.ledger.wait_for(1, Duration::from_secs(300)).await;
            let before = service.processor_time();
            self.ledger.wait_for(BACKLOG, Duration::from_secs(300)).await;
            let marks = self.ledger.marks.lock().unwrap().clone();
            rates.push(per_second(BACKLOG, marks[1] - marks[0]));
            let busy = service.processor_time().saturating_sub(before);
            #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
            processor.push(busy.as_secs_f64() * 1e6 / BACKLOG as f64);
            service.stop();
        }
        let (rate, least, largest) = spread(rates);
        println!(
            "| {state} | {rate:.0} deliveries/s ({least:.0} - {largest:.0}) | {:.0} us |",
            spread(processor).0
        );
        rate
    }

    async fn pile_up(&mut self) {
        self.calls += 1;
        self.client
            .batch_execute(&format!(
                "do $$ begin for n in 1..{BACKLOG} loop
                   update sale_order set client_order_ref = 'b{}-' || n where id = 1 + n % {RECORDS};
                   commit;
                 end loop; end $$",
                self.calls
            ))
            .await
            .unwrap();
    }

    /// Deliveries and their attempts as a busy database has them after ten days; half of all are today's.
    async fn fill_log(&self, rows: u64) {
        let started = Instant::now();
        let day = |back: u64| format!("((now() at time zone 'utc')::date - {back})");
        for back in 1..=10 {
            self.client
                .batch_execute(&format!(
                    "do $$ begin
                       execute format('create table if not exists odoo_eventd.%I partition of public.mcp_webhook_delivery for values from (%L) to (%L)',
                                      'mcp_webhook_delivery_' || to_char({0}, 'YYYYMMDD'), {0}, {0} + 1);
                     end $$",
                    day(back)
                ))
                .await
                .unwrap();
        }
        let piece = rows / 20;
        for number in 0..20_u64 {
            let back = if number < 10 { 0 } else { number - 9 };
            self.admin
                .batch_execute(&format!(
                    "with made as materialized (
                       select gen_random_uuid() as delivery_id, gen_random_uuid() as event_id, n from generate_series(1, {piece}) n),
                     kept as (
                       insert into odoo_eventd.delivery (event_id, subscription_id, part, delivery_id, model, event_type, record_ids, state, attempts)
                       select event_id, 1, 0, delivery_id, 'sale.order', 'write', array[n], 'success', 1 from made)
                     insert into public.mcp_webhook_delivery
                       (delivery_id, subscription_id, event_id, model, record_ids, attempt, status, response_code, payload, duration_ms,
                        create_date, finished_at)
                     select delivery_id, 1, event_id, 'sale.order', array[n], 1, 'success', 200,
                            '{{\"model\": \"sale.order\", \"event_type\": \"write\", \"record_ids\": [' || n || '], \"changes\": {{\"client_order_ref\": [\"before\", \"after\"]}}}}',
                            3, {0} + n * interval '1 ms', {0} + n * interval '1 ms'
                       from made",
                    day(back)
                ))
                .await
                .unwrap();
        }
        println!("<!-- {rows} attempts were filled in in {:.0?} -->", started.elapsed());
    }

    /// Models as Odoo's users make them, and subscriptions to them; those of `sale.order` beside the first match nothing.
    async fn subscribe_to_much(&self) {
        self.client
            .batch_execute(&format!(
                "do $$ begin for n in 1..{MODELS} - 1 loop
                   execute format('create table x_model_%s (id serial primary key, x_name varchar, x_state varchar, x_amount numeric,
                                   create_uid integer, create_date timestamp, write_uid integer, write_date timestamp)', n);
                 end loop; end $$;
                 with model as (
                   insert into ir_model (model, name, \"order\", state, transient)
                   select 'x_model_' || n, jsonb_build_object('en_US', 'Model ' || n), 'id', 'manual', false
                     from generate_series(1, {MODELS} - 1) n returning id, model)
                 insert into ir_model_fields (model, model_id, name, ttype, field_description, state, store)
                 select m.model, m.id, f.name, f.ttype, jsonb_build_object('en_US', f.name), case when f.name like 'x\\_%' then 'manual' else 'base' end, true
                   from model m, (values ('id', 'integer'), ('x_name', 'char'), ('x_state', 'char'), ('x_amount', 'float'), ('create_uid', 'integer'),
                                         ('create_date', 'datetime'), ('write_uid', 'integer'), ('write_date', 'datetime')) f (name, ttype);
                 insert into mcp_event_subscription (name, model, fields, domain, webhook_url)
                 select format('%s, %s', m.model, n), m.model, '{{x_state}}', format('[(''x_name'', ''='', ''%s'')]', n), '{0}'
                   from ir_model m, generate_series(1, {SUBSCRIPTIONS}) n where m.model like 'x\\_model\\_%';
                 insert into mcp_event_subscription (name, model, fields, domain, webhook_url)
                 select format('nothing %s', n), 'sale.order', '{{client_order_ref}}', format('[(''client_order_ref'', ''='', ''nothing %s'')]', n), '{0}'
                   from generate_series(2, {SUBSCRIPTIONS}) n",
                self.endpoint
            ))
            .await
            .unwrap();
        let service = Service::leading(&self.cluster);
        let started = Instant::now();
        let ready = "select count(*) from mcp_event_subscription where state = 'ready'";
        loop {
            let count: i64 = self.client.query_one(ready, &[]).await.unwrap().get(0);
            if count.unsigned_abs() == MODELS * SUBSCRIPTIONS {
                break;
            }
            assert!(started.elapsed() < Duration::from_secs(300), "{count} are ready");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        println!(
            "<!-- {} subscriptions were ready after {:.1?} -->",
            MODELS * SUBSCRIPTIONS,
            started.elapsed()
        );
        service.stop();
    }
}

#[tokio::main]
async fn main() {
    let attempts = if std::env::args().any(|a| a == "--quick") {
        1_000_000
    } else {
        10_000_000
    };
    let cluster = support::installed_cluster(support::durable());
    let ledger = Arc::new(Ledger::default());
    let endpoint = receiver(Arc::clone(&ledger)).await;
    cluster
        .execute_as("odoo", DATABASE, &support::more_orders(RECORDS))
        .unwrap();
    let domain = "[('client_order_ref', '!=', 'nothing')]";
    let subscription = [
        "subscribe",
        "--model",
        "sale.order",
        "--event",
        "write",
        "--fields",
        "client_order_ref",
    ];
    call(
        &cluster,
        &[&subscription[..], &["--domain", domain, "--url", &endpoint]].concat(),
    );
    let connect = async |role| {
        let database = Database::parse(&cluster.url(DATABASE, role)).unwrap();
        database.connect().await.unwrap()
    };
    let (client, admin) = (connect("odoo").await, connect("postgres").await);
    println!(
        "PostgreSQL {}, fsync on, everything on this machine; draining {BACKLOG} events, median of {ROUNDS} (least - largest)\n",
        cluster.version()
    );
    println!("| state | measured | processor time of the service an event |\n| --- | --- | --- |");
    let mut bench = Bench {
        cluster,
        ledger,
        client,
        admin,
        endpoint,
        calls: 0,
    };
    let fresh = bench.measure("as installed").await;
    bench.fill_log(attempts).await;
    let grown = bench.measure(&format!("{attempts} attempts in the log")).await;
    bench.subscribe_to_much().await;
    let busy = bench
        .measure(&format!(
            "and {} subscriptions on {MODELS} models",
            MODELS * SUBSCRIPTIONS
        ))
        .await;
    println!(
        "\nof the first rate are left: {:.0} %, {:.0} %",
        100.0 * grown / fresh,
        100.0 * busy / fresh
    );
}
