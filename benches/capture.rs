//! What capture costs the writer: the share of throughput that is left, beside no trigger and beside the usual design.
//!
//! `cargo bench --bench capture` starts a PostgreSQL that flushes to disk and prints one table; `-- --quick` takes
//! five minutes instead of twenty, but its runs of a second count the first compilation of the functions in each
//! session. Each load runs on each variant in turn, round after round, so that what else the machine does falls on all
//! of them alike; told are the median of the rounds' shares, and the least and the largest of them.
//!
//! Two triggers that keep nothing of what was written stand beside, as the least that any such trigger costs on the machine at hand.
//!
//! The table is `sale_order`, widened to 90 columns. Most loads are single statements without BEGIN and COMMIT. Odoo's own transactions
//! do more beside and feel a trigger less: two loads are the least that its `write` sends, and nothing of what it reads and computes
//! around that. It needs pgbench, which comes with the server programs.

#![allow(missing_docs, reason = "a benchmark has no callers")]
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot run should say where it stopped"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::spread;

use odoo_eventd::demo::{Cluster, Durability, ODOO_SHAPED, Options};

/// Records to choose from; enough that two clients seldom meet on one.
const RECORDS: u32 = 20_000;

/// What is installed in the database that a load runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// Nothing.
    Plain,
    /// One subscription on three fields.
    Ours,
    /// Fifty subscriptions, one of them on any field.
    Fifty,
    /// A row trigger that keeps OLD and NEW as JSON and sends NOTIFY: what most tools install.
    Usual,
    /// A statement trigger with transition tables that does nothing: less is not to be had this way.
    Nothing,
    /// The same, and it inserts one row of constants into a table like the outbox.
    Constant,
}

impl Variant {
    const ALL: [Self; 6] = [
        Self::Plain,
        Self::Ours,
        Self::Fifty,
        Self::Usual,
        Self::Nothing,
        Self::Constant,
    ];

    fn database(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Ours => "ours",
            Self::Fifty => "fifty",
            Self::Usual => "usual",
            Self::Nothing => "nothing",
            Self::Constant => "constant",
        }
    }
}

struct Load {
    title: &'static str,
    clients: u32,
    /// The service runs on `ours` and `fifty`, and has caught up before the next run begins.
    service: bool,
    script: &'static str,
    /// What is aimed at, in percent.
    wanted: Option<u32>,
}

/// What one `write` of one field sends, of Odoo 18: recorded from a real one. Every client has records of its own: under REPEATABLE READ
/// two that met on one would not both get through.
macro_rules! odoos_write {
    ($field:literal) => {
        odoos_write!($field, "")
    };
    ($field:literal, $then:literal) => {
        concat!(
            "\\set id random(:client_id * 1000 + 1, :client_id * 1000 + 1000)\n\\set text random(1, 1000000000)\n\
             BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE;\n\
             UPDATE \"sale_order\" SET \"",
            $field,
            "\" = \"__tmp\".\"",
            $field,
            "\"::VARCHAR, \"write_date\" = \"__tmp\".\"write_date\"::timestamp, \"write_uid\" = \"__tmp\".\"write_uid\"::int4 \
             FROM (VALUES (:id, (:text)::text, (now() at time zone 'utc')::text, 2)) AS \"__tmp\"(\"id\", \"",
            $field,
            "\", \"write_date\", \"write_uid\") WHERE \"sale_order\".\"id\" = \"__tmp\".\"id\";\nCOMMIT;",
            $then
        )
    };
}

const LOADS: [Load; 11] = [
    Load {
        title: "update of 1 row, unwatched field, 4 clients",
        clients: 4,
        service: false,
        script: "\\set id random(1, 10000)\nupdate sale_order set origin = 'o' || random() where id = :id;",
        wanted: Some(95),
    },
    Load {
        title: "update of 1 row, watched field, 8 clients",
        clients: 8,
        service: false,
        script: "\\set id random(1, 10000)\nupdate sale_order set client_order_ref = 'r' || random() where id = :id;",
        wanted: Some(85),
    },
    Load {
        title: "the same, service running and judging",
        clients: 8,
        service: true,
        script: "\\set id random(1, 10000)\nupdate sale_order set client_order_ref = 'r' || random() where id = :id;",
        wanted: Some(70),
    },
    Load {
        title: "unwatched field as Odoo writes it, 4 clients",
        clients: 4,
        service: false,
        script: odoos_write!("origin"),
        wanted: None,
    },
    Load {
        title: "watched field as Odoo writes it, 8 clients",
        clients: 8,
        service: false,
        script: odoos_write!("client_order_ref"),
        wanted: None,
    },
    // Odoo's pool has psycopg2 reset a connection whenever it is borrowed (odoo/sql_db.py, 16 to 19), which sends DISCARD ALL: every plan is
    // made anew for each transaction, the triggers' among them.
    Load {
        title: "unwatched field as Odoo writes it, session reset, 4 clients",
        clients: 4,
        service: false,
        script: odoos_write!("origin", "\nDISCARD ALL;"),
        wanted: None,
    },
    Load {
        title: "watched field as Odoo writes it, session reset, 8 clients",
        clients: 8,
        service: false,
        script: odoos_write!("client_order_ref", "\nDISCARD ALL;"),
        wanted: None,
    },
    Load {
        title: "update of 500 rows, watched field, 2 clients",
        clients: 2,
        service: false,
        script: "\\set id (:client_id * 5000 + random(0, 8) * 500)\n\
                 update sale_order set client_order_ref = 'r' || random() where id > :id and id <= :id + 500;",
        wanted: Some(45),
    },
    Load {
        title: "update of 20,000 rows, watched field, 1 client",
        clients: 1,
        service: false,
        script: "update sale_order set client_order_ref = 'r' || random();",
        wanted: None,
    },
    // A plan that is kept from the first must not serve the others badly.
    Load {
        title: "update of 1,500 rows, then 200 of 1 row, 2 clients",
        clients: 2,
        service: false,
        script: "\\set id (:client_id * 5000)\n\
                 update sale_order set client_order_ref = 'r' || random() where id > :id and id <= :id + 1500;\n\
                 do 'begin for i in 1..200 loop update sale_order set client_order_ref = random()::text where id = i + 10000 * (pg_backend_pid() % 2); end loop; end';",
        wanted: None,
    },
    Load {
        title: "insert of 500 rows, 2 clients",
        clients: 2,
        service: false,
        script: "insert into sale_order (name, state, partner_id, partner_invoice_id, partner_shipping_id, company_id, date_order, amount_total)\n\
                 select 'S' || n, 'draft', 8, 8, 8, 1, now(), n from generate_series(1, 500) n;",
        wanted: Some(60),
    },
];

/// Makes a real one's width: 90 columns, and rows like Odoo's.
const WIDEN: &str = "
    do $$ begin
      execute (select 'alter table sale_order ' || string_agg(format('add column x_c%s %s', n,
                 (array['varchar', 'integer', 'numeric', 'boolean', 'timestamp'])[1 + n % 5]), ', ')
                 from generate_series(1, 90 - (select count(*)::int from pg_attribute
                                                where attrelid = 'sale_order'::regclass and attnum > 0)) n);
    end $$;
    insert into ir_model_fields (model, model_id, name, ttype, state, field_description, store)
      select 'sale.order', m.id, a.attname, 'char', 'base', '{\"en_US\": \"x\"}', true
        from ir_model m, pg_attribute a
       where m.model = 'sale.order' and a.attrelid = 'sale_order'::regclass and a.attname like 'x\\_c%';
    insert into sale_order select (jsonb_populate_record(o, jsonb_build_object('id', 8 + n, 'x_c5', 'some text', 'x_c10', 'more text',
                 'x_c1', n, 'x_c2', 1.25))).* from sale_order o, generate_series(1, 19992) n where o.id = 2;
    select setval('sale_order_id_seq', 1000000);";

const USUAL: &str = "
    create table usual_outbox (id bigserial primary key, table_name text, op text, old jsonb, new jsonb, at timestamptz default now());
    create function usual_capture() returns trigger language plpgsql as $$
    declare
      was jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
      became jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
      made bigint;
    begin
      if was is distinct from became then
        insert into usual_outbox (table_name, op, old, new) values (tg_table_name, tg_op, was, became) returning id into made;
        perform pg_notify('usual', made::text);
      end if;
      return null;
    end $$;
    create trigger usual after insert or update or delete on sale_order for each row execute function usual_capture();";

const NOTHING: &str = "
    create function nothing_capture() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp
    as 'begin return null; end';
    create trigger nothing_update after update on sale_order referencing old table as old_rows new table as new_rows
      for each statement execute function nothing_capture();
    create trigger nothing_insert after insert on sale_order referencing new table as new_rows
      for each statement execute function nothing_capture();";

const CONSTANT: &str = "
    create table constant_outbox (id bigint, xid xid8, generation bigint, op \"char\", record_id bigint, at timestamptz, user_id integer,
                                  old text[], new text[], primary key (xid, id));
    create sequence constant_outbox_id_seq;
    create function constant_capture() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
    begin
      insert into public.constant_outbox
      values (nextval('public.constant_outbox_id_seq'), pg_current_xact_id(), 1, 'U', 1, now(), null, '{a,b,c}', '{d,e,f}');
      return null;
    end $$;
    create trigger constant_update after update on sale_order referencing old table as old_rows new table as new_rows
      for each statement execute function constant_capture();
    create trigger constant_insert after insert on sale_order referencing new table as new_rows
      for each statement execute function constant_capture();";

/// 49 subscriptions with fields and domains as people have them, beside the one on any field that is added last.
const FORTY_NINE: &str = "
    insert into mcp_event_subscription (model, event_type, domain, fields, webhook_url)
    select 'sale.order', (array['all', 'write', 'create'])[1 + n % 3], format('[(''amount_total'', ''<'', -%s)]', n),
           (array['{state}', '{client_order_ref,state}', '{amount_total,partner_id}', '{user_id}'])[1 + n % 4]::text[],
           'http://127.0.0.1:9/'
      from generate_series(1, 49) n";

struct Bench {
    cluster: Cluster,
    pgbench: PathBuf,
    seconds: u32,
}

impl Bench {
    fn url(&self, variant: Variant) -> String {
        self.cluster.url(variant.database(), "odoo")
    }

    fn sql(&self, variant: Variant, sql: &str) {
        self.cluster
            .execute_as("odoo", variant.database(), sql)
            .unwrap_or_else(|error| panic!("{}", error.chain()));
    }

    /// Runs the program under test.
    fn program(&self, variant: Variant, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_odoo-eventd"));
        command
            .args(arguments)
            .env("DATABASE_URL", self.url(variant))
            .env("ODOO_EVENTD_ALLOW_NETWORKS", "127.0.0.0/8");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn call(&self, variant: Variant, arguments: &[&str]) {
        assert!(
            self.program(variant, arguments).status().unwrap().success(),
            "odoo-eventd {arguments:?} failed"
        );
    }

    fn prepare(&self) {
        self.cluster.create_role("odoo", "CREATEDB").unwrap();
        self.cluster.create_database(Variant::Plain.database(), "odoo").unwrap();
        self.sql(Variant::Plain, ODOO_SHAPED);
        self.sql(Variant::Plain, WIDEN);
        for variant in &Variant::ALL[1..] {
            self.cluster
                .create_database_from(Variant::Plain.database(), variant.database(), "odoo")
                .unwrap();
        }
        self.sql(Variant::Usual, USUAL);
        self.sql(Variant::Nothing, NOTHING);
        self.sql(Variant::Constant, CONSTANT);
        let never = "[('amount_total', '<', -1)]";
        let subscribe = [
            "subscribe",
            "--model",
            "sale.order",
            "--url",
            "http://127.0.0.1:9/",
            "--domain",
            never,
        ];
        for variant in [Variant::Ours, Variant::Fifty] {
            self.call(variant, &["install"]);
            if variant == Variant::Fifty {
                self.sql(variant, FORTY_NINE);
                self.call(variant, &subscribe);
            } else {
                self.call(
                    variant,
                    &[&subscribe[..], &["--fields", "client_order_ref,state,amount_total"]].concat(),
                );
            }
        }
    }

    /// Brings a database back to where it began.
    fn reset(&self, variant: Variant) {
        self.sql(variant, &format!("delete from sale_order where id > {RECORDS}"));
        match variant {
            Variant::Plain | Variant::Nothing => {}
            Variant::Constant => self.sql(variant, "truncate constant_outbox"),
            Variant::Usual => self.sql(variant, "truncate usual_outbox"),
            Variant::Ours | Variant::Fifty => self.sql(
                variant,
                "truncate odoo_eventd.outbox_0, odoo_eventd.outbox_1, odoo_eventd.outbox_2, odoo_eventd.outbox_3",
            ),
        }
        self.sql(variant, "vacuum analyze sale_order");
        self.cluster.execute("postgres", "checkpoint").unwrap();
    }

    /// Transactions per second of one load on one database.
    fn run(&self, variant: Variant, load: &Load, script: &Path) -> f64 {
        self.reset(variant);
        let service =
            (load.service && matches!(variant, Variant::Ours | Variant::Fifty)).then(|| self.start_service(variant));
        let done = Command::new(&self.pgbench)
            .args(["--no-vacuum", "--jobs", "2", "--client", &load.clients.to_string()])
            .args(["--time", &self.seconds.to_string(), "--file"])
            .arg(script)
            .arg(self.url(variant))
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(
            done.status.success(),
            "pgbench: {}",
            String::from_utf8_lossy(&done.stderr)
        );
        if let Some(mut service) = service {
            let _ = Command::new("kill").args(["-TERM", &service.id().to_string()]).status();
            service.wait().unwrap();
        }
        said.lines()
            .find_map(|line| line.strip_prefix("tps = ")?.split_whitespace().next()?.parse().ok())
            .unwrap_or_else(|| panic!("pgbench told no tps:\n{said}"))
    }

    /// Starts the service and waits until it leads.
    #[expect(
        clippy::zombie_processes,
        reason = "the caller waits for it; a bench that fails ends"
    )]
    fn start_service(&self, variant: Variant) -> Child {
        let mut service = self.program(variant, &["run"]).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        loop {
            let status = self
                .program(variant, &["status", "--json"])
                .stdout(Stdio::piped())
                .output()
                .unwrap();
            let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
            if status["service"].is_object() {
                return service;
            }
            if started.elapsed() > Duration::from_secs(30) {
                let _ = service.kill();
                let _ = service.wait();
                panic!("the service did not start: {status}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let (rounds, seconds) = if quick { (7, 1) } else { (9, 5) };
    let cluster = Cluster::start(
        Options::new()
            .durability(Durability::On)
            .setting("shared_buffers", "512MB")
            .setting("max_wal_size", "4GB"),
    )
    .unwrap_or_else(|error| panic!("{}\nhint: {}", error.chain(), error.hint().unwrap_or("none")));
    let pgbench = cluster.programs().program("pgbench");
    if !pgbench.exists() {
        println!("skipped: {} is missing (Debian: postgresql-contrib)", pgbench.display());
        return;
    }
    let bench = Bench {
        cluster,
        pgbench,
        seconds,
    };
    bench.prepare();
    println!(
        "PostgreSQL {}, fsync on, sale_order with 90 columns, {rounds} interleaved runs of {seconds} s",
        bench.cluster.version()
    );
    println!("share of the throughput without any trigger: median (least - largest)\n");
    println!(
        "| load | no trigger, tx/s | wanted | ours | 50 subscriptions, any field | to_jsonb row trigger and NOTIFY | a trigger that does nothing | one that inserts a constant row |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    let script = std::env::temp_dir().join(format!("odoo-eventd-bench-{}.sql", std::process::id()));
    for load in &LOADS {
        std::fs::write(&script, load.script).unwrap();
        let mut throughput: [Vec<f64>; 6] = Default::default();
        for _ in 0..rounds {
            for (variant, runs) in Variant::ALL.iter().zip(&mut throughput) {
                runs.push(bench.run(*variant, load, &script));
            }
        }
        let [plain, others @ ..] = &throughput;
        let shares = others.each_ref().map(|runs| {
            let (median, least, largest) = spread(
                runs.iter()
                    .zip(plain)
                    .map(|(with, without)| 100.0 * with / without)
                    .collect(),
            );
            format!("{median:.0} % ({least:.0} - {largest:.0})")
        });
        println!(
            "| {} | {:.0} | {} | {} |",
            load.title,
            spread(plain.clone()).0,
            load.wanted.map_or("-".to_owned(), |wanted| format!("{wanted} %")),
            shares.join(" | ")
        );
    }
    let _ = std::fs::remove_file(&script);
}
