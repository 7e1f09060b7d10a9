//! Values of payloads against what `read` of a real Odoo 16, 17, 18 and 19 returned (`../shared/odoo`): right or refused, never wrong.

#![expect(clippy::print_stdout, reason = "the table by version is what this test is also for")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use odoo_eventd::domain::check::Context;
use odoo_eventd::event::EventType;
use odoo_eventd::matching::Assembled;
use odoo_eventd::odoo::registry::Registry;
use odoo_eventd::payload::path::Selection;
use odoo_eventd::payload::plan::Plan;
use odoo_eventd::pg;
use odoo_eventd::worker::dispatch::payload_loader;
use odoo_eventd::worker::upkeep::admission;
use odoo_eventd::worker::upkeep::quarantine::Quarantine;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio_postgres::Client;

use crate::support::Database;
use crate::support::db::oracle;
use crate::support::service::eventd_ok;

/// What `read` returned of one model: without names, as superuser, company 1, `en_US`.
#[derive(Debug, Deserialize)]
struct Read {
    fields: BTreeMap<String, Declared>,
    records: Vec<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
struct Declared {
    #[serde(rename = "type")]
    kind: String,
}

/// How the values of one version came out.
#[derive(Debug, Default)]
struct Outcome {
    values: usize,
    right: usize,
    refused: usize,
    /// Each with what was told and what was read.
    wrong: Vec<String>,
    /// Values by the reason why they are not sent.
    reasons: BTreeMap<String, usize>,
}

/// Why a field may not be sent alone; none if it may.
fn refusal(registry: &Registry, model: &str, field: &str, context: &Context) -> Option<String> {
    let selection = Selection::parse(&[field]).expect("a field's name is a path");
    let of = registry.model(model).expect("the oracle's models are there");
    Plan::new(&selection, of, registry, context)
        .err()
        .map(|error| error.chain())
}

/// Whether a payload tells what Odoo read. Odoo says `False` for every empty value that is no number and no list.
fn is_same(told: &Value, read: &Value, kind: &str) -> bool {
    match (told, read) {
        (Value::Null, Value::Bool(false)) => kind != "boolean",
        (Value::Number(told), Value::Number(read)) => told.as_f64() == read.as_f64(),
        _ => told == read,
    }
}

/// Whether two lists differ in nothing but the order of records that the model's own order takes for equal, such as groups of one name:
/// what Odoo gives there is what PostgreSQL happens to give, and differs from record to record.
async fn is_same_but_for_ties(
    client: &Client,
    registry: &Registry,
    relation: &str,
    told: &Value,
    read: &Value,
) -> bool {
    let ids = |list: &Value| -> Option<Vec<i64>> { list.as_array()?.iter().map(Value::as_i64).collect() };
    let (Some(mut told), Some(read)) = (ids(told), ids(read)) else {
        return false;
    };
    let mut known = read.clone();
    told.sort_unstable();
    known.sort_unstable();
    let Some(table) = registry
        .model(relation)
        .and_then(|model| model.table.name())
        .filter(|_| told == known)
    else {
        return false;
    };
    let order = client
        .query_one(
            "select joins, terms from odoo_eventd.order_of($1, 't', 'en_US')",
            &[&relation],
        )
        .await
        .expect("every model has an order");
    let (joins, terms): (Vec<String>, Vec<String>) = (order.get(0), order.get(1));
    let ranked = format!(
        "select r.place from (select t.id, dense_rank() over (order by {}) as place from public.\"{table}\" t {}) r
           join unnest($1::bigint[]) with ordinality w (id, ord) on w.id = r.id order by w.ord",
        terms.join(", "),
        joins.join(" ")
    );
    let places = client
        .query(&ranked, &[&read])
        .await
        .expect("the order can be asked for");
    places.is_sorted_by_key(|row| row.get::<_, i64>(0))
}

async fn compare(version: u16) -> Option<Outcome> {
    let text = std::fs::read_to_string(oracle(version, "values.json")?).expect("the oracle can be read");
    let all: BTreeMap<String, Read> = serde_json::from_str(&text).expect("the oracle is JSON");
    let database = Database::dump_of(version).await?;
    eventd_ok(&database.url(), &["install"]).await;
    let client = database.client().await;
    let registry = pg::registry::load(&client).await.expect("the dump is an Odoo database");
    let context = Context::at("2026-11-20T16:00:00Z".parse().expect("a timestamp"));
    let mut outcome = Outcome::default();
    for (model, read) in &all {
        let mut sent: Vec<&str> = Vec::new();
        for field in read.fields.keys() {
            outcome.values += read.records.len();
            match refusal(&registry, model, field, &context) {
                None => sent.push(field),
                Some(reason) => {
                    outcome.refused += read.records.len();
                    *outcome.reasons.entry(reason).or_default() += read.records.len();
                }
            }
        }
        let subscribe =
            "insert into mcp_event_subscription (model, event_type, webhook_url, payload_fields, max_body_bytes)
                         values ($1, 'write', 'https://example.com/', $2, 16000000)";
        client
            .execute(subscribe, &[model, &sent])
            .await
            .expect("a subscription");
    }
    let looked = admission::refresh(&client, None, &Quarantine::default())
        .await
        .expect("the subscriptions are looked at");
    let invalid = database
        .psql("select model, error from mcp_event_subscription where state <> 'ready'")
        .await;
    assert_eq!(invalid, "", "Odoo {version}");
    let pool = pg::connect::Database::parse(&database.url()).unwrap().pool(1).unwrap();
    for subscription in looked.rows.accepted {
        let model = subscription.row.model.clone();
        let read = &all[&model];
        let ids = read.records.iter().map(|record| record["id"].as_i64().expect("an id"));
        let event = (uuid::Uuid::from_u128(1), EventType::Write, 0);
        let (at, name) = (jiff::Timestamp::UNIX_EPOCH, database.name().into());
        let existing = Assembled::of_existing(Arc::new(subscription), event, ids.collect(), at, name);
        let made = payload_loader::make(&pool.get().await.unwrap(), vec![existing])
            .await
            .unwrap();
        assert_eq!(made[0].unreadable, None, "{model}");
        let body: Value = serde_json::from_str(made[0].body.as_ref().unwrap()).unwrap();
        for record in body["records"].as_array().expect("the values") {
            let wanted = read
                .records
                .iter()
                .find(|read| read["id"] == record["id"])
                .expect("that record");
            for (field, told) in record["values"].as_object().expect("values") {
                let relation = registry.model(&model).and_then(|of| of.field(field)?.relation.clone());
                if is_same(told, &wanted[field], &read.fields[field].kind)
                    || is_same_but_for_ties(&client, &registry, &relation.unwrap_or_default(), told, &wanted[field])
                        .await
                {
                    outcome.right += 1;
                } else {
                    let id = &record["id"];
                    outcome.wrong.push(format!(
                        "{version} {model} {id} {field}: {told} instead of {}",
                        wanted[field]
                    ));
                }
            }
        }
    }
    Some(outcome)
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_those_that_read_gives_on_16_to_19_or_refused() {
    let mut table = format!(
        "{:>7} {:>7} {:>7} {:>8} {:>6}\n",
        "version", "values", "right", "refused", "wrong"
    );
    let mut failures = Vec::new();
    for version in 16..=19 {
        let Some(outcome) = Box::pin(compare(version)).await else {
            return;
        };
        let Outcome {
            values,
            right,
            refused,
            wrong,
            reasons,
        } = outcome;
        writeln!(
            table,
            "{version:>7} {values:>7} {right:>7} {refused:>8} {:>6}",
            wrong.len()
        )
        .unwrap();
        for (reason, count) in reasons {
            println!("{version} refused {count}: {reason}");
        }
        if refused * 20 > values {
            failures.push(format!("{version}: {refused} of {values} values are refused"));
        }
        failures.extend(wrong);
    }
    println!("{table}");
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
}
