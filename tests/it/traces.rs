//! Statements that a real Odoo sent, replayed with every table captured: the events are exactly what comparing the tables before
//! and after each transaction says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use tokio_postgres::Client;

use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd_ok, wait_until_leading};
use crate::support::{Database, eventually};

/// Records and changed fields, by transaction time, model and event type.
type Events = BTreeMap<(String, String, String), (BTreeSet<i64>, BTreeSet<String>)>;

/// A captured table beside a copy of it as it was before the transaction.
struct Shadow {
    model: String,
    table: String,
    columns: Vec<String>,
}

impl Shadow {
    /// What differs between the copy and the table, and brings the copy up to date.
    async fn diff(&self, client: &Client, at: &str, events: &mut Events) {
        let (table, shadow) = (
            format!("public.\"{}\"", self.table),
            format!("shadow.\"{}\"", self.table),
        );
        let changed: Vec<String> = self
            .columns
            .iter()
            .map(|c| format!("case when o.\"{c}\" is distinct from n.\"{c}\" then '{c}' end"))
            .collect();
        let rows = client
            .query(
                &format!(
                    "select id, was, remains, changed from (
                       select coalesce(n.id, o.id)::int8 as id, o.id is not null as was, n.id is not null as remains,
                              array_remove(array[{}]::text[], null) as changed
                         from {shadow} o full join {table} n on n.id = o.id) x
                      where not (was and remains) or changed <> '{{}}'",
                    changed.join(", ")
                ),
                &[],
            )
            .await
            .unwrap();
        if rows.is_empty() {
            return;
        }
        for row in rows {
            let (was, is) = (row.get::<_, bool>(1), row.get::<_, bool>(2));
            let event_type = match (was, is) {
                (false, _) => "create",
                (true, true) => "write",
                (true, false) => "unlink",
            };
            let entry = events
                .entry((at.to_owned(), self.model.clone(), event_type.to_owned()))
                .or_default();
            entry.0.insert(row.get(0));
            if event_type == "write" {
                entry.1.extend(row.get::<_, Vec<String>>(3));
            }
        }
        client
            .batch_execute(&format!("truncate {shadow}; insert into {shadow} table {table}"))
            .await
            .unwrap();
    }
}

/// A many2many field and the table of its pairs; beside it is a copy as it was before the transaction.
struct Links {
    model: String,
    table: String,
    field: String,
    relation: String,
    own: String,
    other: String,
}

impl Links {
    /// The records that were there and remain, and whose links differ.
    async fn diff(&self, client: &Client, at: &str, events: &mut Events) {
        let Self {
            table,
            relation,
            own,
            other,
            ..
        } = self;
        let pairs = |schema: &str| format!("select \"{own}\", \"{other}\" from {schema}.\"{relation}\"");
        let (before, after) = (pairs("shadow"), pairs("public"));
        let rows = client
            .query(
                &format!(
                    "select distinct x.own::int8
                       from (({before} except {after}) union all ({after} except {before})) x (own, other)
                       join shadow.\"{table}\" o on o.id = x.own join public.\"{table}\" n on n.id = x.own
                      where x.other is not null"
                ),
                &[],
            )
            .await
            .unwrap();
        for row in rows {
            let entry = events
                .entry((at.to_owned(), self.model.clone(), "write".to_owned()))
                .or_default();
            entry.0.insert(row.get(0));
            entry.1.insert(self.field.clone());
        }
    }
}

/// All stored many2many fields of those models, and copies of the tables of their pairs.
async fn links_of_everything(client: &Client, shadows: &[Shadow]) -> (Vec<Links>, BTreeSet<String>) {
    let rows = client
        .query(
            "select f.model, f.name, f.relation_table, f.column1, f.column2 from odoo_eventd.registry_fields() f
               join pg_class c on c.relname = f.relation_table and c.relkind = 'r' and c.relnamespace = 'public'::regnamespace
              where f.ttype = 'many2many' and f.stored",
            &[],
        )
        .await
        .unwrap();
    let mut links = Vec::new();
    let mut relations = BTreeSet::new();
    for row in rows {
        let Some(of_model) = shadows.iter().find(|s| s.model == row.get::<_, &str>(0)) else {
            continue;
        };
        let relation: String = row.get(2);
        if !shadows.iter().any(|s| s.table == relation) {
            relations.insert(relation.clone());
        }
        links.push(Links {
            model: of_model.model.clone(),
            table: of_model.table.clone(),
            field: row.get(1),
            relation,
            own: row.get(3),
            other: row.get(4),
        });
    }
    for relation in &relations {
        client
            .batch_execute(&format!(
                "create table shadow.\"{relation}\" as table public.\"{relation}\""
            ))
            .await
            .unwrap();
    }
    (links, relations)
}

fn trace_files() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/odoo/traces");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .map(|entries| {
            entries
                .map(|e| e.unwrap().path())
                .filter(|p| p.extension().is_some_and(|e| e == "sql"))
                .collect()
        })
        .unwrap_or_default();
    files.sort();
    files
}

/// Subscribes to everything that may be subscribed to, and copies those tables.
async fn watch_everything(client: &Client, url: &str) -> Vec<Shadow> {
    client
        .execute(
            "insert into mcp_event_subscription (model, webhook_url)
             select m.model, $1 from odoo_eventd.registry_models() m
              where m.relkind = 'r' and m.has_id and not m.is_partial",
            &[&url],
        )
        .await
        .unwrap();
    let rows = client
        .query(
            "select m.model, m.table_name, coalesce((select array_agg(c.column_name::text) from odoo_eventd.capturable_columns(m.model) c
                where c.column_name not in ('id', 'create_uid', 'create_date', 'write_uid', 'write_date')), '{}')
               from odoo_eventd.registry_models() m where m.relkind = 'r' and m.has_id and not m.is_partial",
            &[],
        )
        .await
        .unwrap();
    let shadows: Vec<Shadow> = rows
        .iter()
        .map(|row| Shadow {
            model: row.get(0),
            table: row.get(1),
            columns: row.get(2),
        })
        .collect();
    client
        .batch_execute("create schema shadow; create table shadow.transactions (at timestamptz)")
        .await
        .unwrap();
    for shadow in &shadows {
        let table = &shadow.table;
        client
            .batch_execute(&format!("create table shadow.\"{table}\" as table public.\"{table}\""))
            .await
            .unwrap();
    }
    shadows
}

#[tokio::test(flavor = "multi_thread")]
async fn replaying_what_odoo_wrote_gives_the_events_that_comparing_the_tables_gives() {
    let Some(database) = Database::dump().await else { return };
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let client = database.client().await;
    let shadows = watch_everything(&client, &receiver.url("/")).await;
    let (links, relations) = links_of_everything(&client, &shadows).await;
    assert!(links.len() > 150, "{}", links.len());
    let _service = Service::start(&database.url(), &[]);
    wait_until_leading(&database).await;

    let mut expected = Events::new();
    let mut transactions = 0;
    for file in trace_files() {
        let text = std::fs::read_to_string(&file).unwrap();
        for transaction in text.split("-- transaction\n").skip(1) {
            let marked = transaction
                .trim_end()
                .strip_suffix("COMMIT;")
                .expect("every recorded transaction was committed");
            client
                .batch_execute(&format!(
                    "{marked}\ninsert into shadow.transactions values (now());\nCOMMIT;"
                ))
                .await
                .unwrap_or_else(|error| panic!("{}: {error:?}", file.display()));
            let at: String = client
                .query_one(
                    "select to_char(max(at) at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from shadow.transactions",
                    &[],
                )
                .await
                .unwrap()
                .get(0);
            // Before the copies are brought up to date.
            for links in &links {
                links.diff(&client, &at, &mut expected).await;
            }
            for relation in &relations {
                client
                    .batch_execute(&format!(
                        "truncate shadow.\"{relation}\"; insert into shadow.\"{relation}\" table public.\"{relation}\""
                    ))
                    .await
                    .unwrap();
            }
            for shadow in &shadows {
                shadow.diff(&client, &at, &mut expected).await;
            }
            transactions += 1;
        }
    }
    assert!(transactions >= 29, "{transactions}");

    eventually("everything to be delivered", SOON * 2, async || {
        let row = client
            .query_one(
                "select (s -> 'outbox' ->> 'unread')::int8 = 0 and (s -> 'deliveries' ->> 'unfinished')::int8 = 0
                   from odoo_eventd.status() s",
                &[],
            )
            .await
            .unwrap();
        row.get::<_, bool>(0).then_some(())
    })
    .await;
    let failed: String = client
        .query_one(
            "select coalesce(string_agg(concat_ws(' ', model, record_ids::text, status, error, error_detail), '; '), '')
               from mcp_webhook_delivery where status <> 'success'",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(failed, "", "attempts that failed");
    let mut arrived = Events::new();
    for request in receiver.requests() {
        let body = request.json();
        let text = |key: &str| body[key].as_str().unwrap().to_owned();
        let entry = arrived
            .entry((text("timestamp"), text("model"), text("event_type")))
            .or_default();
        for id in body["record_ids"].as_array().unwrap() {
            assert!(entry.0.insert(id.as_i64().unwrap()), "a record came twice in one event");
        }
        entry.1.extend(
            body["changed_fields"]
                .as_array()
                .unwrap()
                .iter()
                .map(|f| f.as_str().unwrap().to_owned()),
        );
    }
    for (event, content) in &expected {
        assert_eq!(arrived.get(event), Some(content), "{event:?}");
    }
    for event in arrived.keys() {
        assert!(expected.contains_key(event), "nothing changed for {event:?}");
    }
    assert!(expected.len() > 100, "{}", expected.len());
}
