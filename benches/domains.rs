//! How many captured events are judged per second, by the number of subscriptions on their model.
//!
//! `cargo bench --bench domains`: batches of 500 images of `sale.order` on a throw-away PostgreSQL, against 10, 100 and 1,000
//! subscriptions with different domains, most on own columns, one in ten reading related records.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot run should say where it stopped"
)]

use std::time::Instant;

use odoo_eventd::demo::{Cluster, Durability, ODOO_SHAPED, Options};
use odoo_eventd::domain::check::{Context, TypedDomain, check_text};
use odoo_eventd::pg::connect::Database;
use odoo_eventd::pg::domain::judge::Judge;
use odoo_eventd::pg::{self, registry};

const BATCH: usize = 500;
const ROUNDS: u32 = 10;

/// A different domain for every number.
fn domain(number: usize) -> String {
    match number % 10 {
        0 => format!("[('amount_total', '>', {number})]"),
        1 => format!("[('state', 'in', ['sale', 'done']), ('amount_untaxed', '<=', {number}.5)]"),
        2 => format!("[('name', 'ilike', 'S{number:05}')]"),
        3 => format!("['|', ('partner_id', '=', {number}), ('user_id', '=', False)]"),
        4 => format!("['!', '&', ('state', '=', 'draft'), ('client_order_ref', '=like', 'PO{number}%')]"),
        5 => format!("[('date_order', '>=', '2026-01-01'), ('id', '!=', {number})]"),
        6 => format!("[('partner_id.country_id.code', '=', 'US'), ('amount_total', '>=', {number})]"),
        7 => format!("[('company_id', '=', 1), ('invoice_status', '!=', 'no'), ('amount_tax', '>', {number})]"),
        8 => format!("[('require_signature', '=', True), ('payment_term_id', 'in', [1, 2, {number}])]"),
        _ => format!("[('note', 'ilike', 'hello {number}')]"),
    }
}

#[tokio::main]
async fn main() {
    let cluster = Cluster::start(Options::new().durability(Durability::On)).unwrap();
    cluster.create_role("odoo", "").unwrap();
    cluster.create_database("odoo", "odoo").unwrap();
    let database = Database::parse(&cluster.url("odoo", "odoo")).unwrap();
    let client = database.connect().await.unwrap();
    client.batch_execute(ODOO_SHAPED).await.unwrap();
    let pooled = database.pool(1).unwrap().get().await.unwrap();
    let registry = registry::load(&client).await.unwrap();
    let context = Context::at("2026-11-20T16:00:00Z".parse().unwrap());
    println!(
        "{:>13} {:>11} {:>11} {:>12} {:>14}",
        "subscriptions", "prepare", "batch", "events/s", "judgements/s"
    );
    for count in [10, 100, 1000] {
        let started = Instant::now();
        let domains: Vec<TypedDomain> = (0..count)
            .map(|n| check_text(&domain(n), "sale.order", &registry, &context).unwrap())
            .collect();
        let subscriptions: Vec<(i64, &TypedDomain)> = (0..).zip(&domains).collect();
        let judge = Judge::new(&subscriptions, &registry).unwrap();
        let columns: Vec<String> = judge
            .columns()
            .iter()
            .map(|column| format!("\"{}\"::text", column.column))
            .collect();
        let rows = format!(
            "select {} from sale_order, generate_series(1, {BATCH}) limit {BATCH}",
            columns.join(", ")
        );
        let rows = client.query(&rows, &[]).await.unwrap();
        let images: Vec<Vec<Option<String>>> = (0..columns.len())
            .map(|at| rows.iter().map(|row| row.get(at)).collect())
            .collect();
        pg::domain::ask::judge(&pooled, &judge, BATCH, &images).await.unwrap();
        let ready = started.elapsed();
        let started = Instant::now();
        for _ in 0..ROUNDS {
            pg::domain::ask::judge(&pooled, &judge, BATCH, &images).await.unwrap();
        }
        let batch = started.elapsed() / ROUNDS;
        #[expect(clippy::cast_precision_loss, reason = "a few hundred, for display")]
        let per_second = BATCH as f64 / batch.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a thousand, for display")]
        let judgements = per_second * count as f64;
        println!("{count:>13} {ready:>11.1?} {batch:>11.1?} {per_second:>12.0} {judgements:>14.0}");
    }
}
