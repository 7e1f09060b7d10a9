//! The differential harness: a database with us beside one without, the same done to both, and what comes of it compared.
//!
//! From a seed come a catalogue, subscriptions, and the statements of a few sessions. Held: every statement ends alike, the tables
//! end equal, and the events are what a reading of the tables before and after each transaction says. Whatever fails is made smaller
//! and printed as a [script](script); kept ones are in `kept/` and are replayed by a test.
//!
//! `make differential SECONDS=3600 SEED=1` goes on for as long as one likes.

mod catalog;
mod compare;
mod ddl;
mod direct;
mod hooks;
mod oracle;
mod pair;
mod runner;
mod script;
mod session;
mod shrink;
mod subscriptions;
mod through_service;
mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use runner::{Counts, Difference, Mode, Runner};
use script::{Script, Step};
use session::Writers;

use crate::support::Server;

/// Statements of a round.
const STATEMENTS: u64 = 300;

/// Making a failing script smaller takes this long at most.
const SHRINKING: Duration = Duration::from_secs(60);

/// A round that failed.
struct Failure {
    difference: Difference,
    script: Script,
    counts: Counts,
}

/// One round from a seed.
async fn round(server: &Arc<Server>, seed: u64, mode: Mode, statements: u64) -> Result<Counts, Box<Failure>> {
    let mut random = StdRng::seed_from_u64(seed);
    let extensions = available_extensions(server).await;
    let catalog = catalog::random_catalog(&mut random, &extensions);
    let mut script = Script(catalog.steps.clone());
    script.0.extend(subscriptions::random_subscriptions(&mut random, &catalog));
    script.0.push(Step::Sync);
    let mut runner = Runner::new(server, mode).await;
    for step in &script.0 {
        match runner.step(step).await {
            Ok(outcome) => {
                if let Some(error) = outcome.error {
                    let difference = Difference::new("harness", format!("{error} of {step}"));
                    return Err(failed(difference, script, &runner));
                }
            }
            Err(difference) => return Err(failed(difference, script, &runner)),
        }
    }
    let version = server.cluster().version().major;
    let mut writers = Writers::new(random, catalog, version, mode == Mode::Direct);
    let mut ours = BTreeMap::new();
    while runner.counts.statements < statements || writers.is_open() {
        let turn = writers.turn();
        if writers.sees_more_than_others() {
            if let Some(seen) = runner.catalogue_of(turn).await {
                ours.insert(turn, seen);
            }
        } else {
            ours.insert(turn, runner.catalogue().clone());
        }
        let step = writers.next(&ours[&turn]);
        script.0.push(step.clone());
        match runner.step(&step).await {
            Ok(outcome) => writers.note(&step, outcome.error.is_some()),
            Err(difference) => return Err(failed(difference, script, &runner)),
        }
        writers.choose_turn();
        if runner.counts.statements > statements + 500 {
            break;
        }
    }
    match runner.finish().await {
        Ok(()) => Ok(runner.counts),
        Err(difference) => Err(failed(difference, script, &runner)),
    }
}

fn failed(difference: Difference, script: Script, runner: &Runner) -> Box<Failure> {
    Box::new(Failure {
        difference,
        script,
        counts: runner.counts,
    })
}

async fn available_extensions(server: &Arc<Server>) -> BTreeSet<String> {
    let client = tokio_postgres::connect(&server.cluster().url("postgres", "postgres"), tokio_postgres::NoTls).await;
    let (client, connection) = client.unwrap();
    tokio::spawn(connection);
    let rows = client.query("select name::text from pg_available_extensions", &[]).await;
    rows.unwrap().into_iter().map(|row| row.get(0)).collect()
}

/// A round that must not fail; if it does, what is left of it is printed.
async fn round_without_difference(seed: u64, mode: Mode, statements: u64) {
    let server = Server::shared();
    if let Err(failure) = round(&server, seed, mode, statements).await {
        let sort = failure.difference.sort();
        let script = shrink::shrink(&server, failure.script, &sort, mode, SHRINKING).await;
        panic!("seed {seed}: {}\n{script}", failure.difference);
    }
}

#[tokio::test]
#[ignore = "runs for as long as it is told to"]
async fn nothing_differs_for_long() {
    let told = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seconds = told("ODOO_EVENTD_TEST_SECONDS").unwrap_or(60);
    let first = told("ODOO_EVENTD_TEST_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000));
    let statements = told("ODOO_EVENTD_TEST_STATEMENTS").unwrap_or(STATEMENTS);
    let directory = std::env::var("ODOO_EVENTD_TEST_DIRECTORY").ok();
    let server = Server::shared();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut total = Counts::default();
    let (mut rounds, mut differences) = (0_u64, 0_u64);
    let mut sorts: BTreeMap<String, u64> = BTreeMap::new();
    let mut seed = first;
    while Instant::now() < end {
        let mode = Mode::Direct;
        let done = round(&server, seed, mode, statements).await;
        rounds += 1;
        let counts = match &done {
            Ok(counts) => *counts,
            Err(failure) => failure.counts,
        };
        total.statements += counts.statements;
        total.errors += counts.errors;
        total.transactions += counts.transactions;
        total.events += counts.events;
        if let Err(failure) = done {
            differences += 1;
            let sort = failure.difference.sort();
            let times = sorts.entry(sort.clone()).or_insert(0);
            *times += 1;
            if *times == 1 {
                let script = if failure.difference.kind == "harness" {
                    Script::default()
                } else {
                    shrink::shrink(&server, failure.script, &sort, mode, SHRINKING).await
                };
                eprintln!("-- seed {seed}: {}\n{script}", failure.difference);
                if let Some(directory) = &directory {
                    let text = format!("-- seed {seed}: {}\n{script}", failure.difference.to_string().replace('\n', "\n-- "));
                    std::fs::write(format!("{directory}/{seed}.sql"), text).unwrap();
                }
            }
        }
        seed += 1;
    }
    for (sort, times) in &sorts {
        eprintln!("{times} x {sort}");
    }
    eprintln!(
        "{rounds} rounds from seed {first}: {} statements ({} failed alike), {} transactions, {} events, {differences} differences",
        total.statements, total.errors, total.transactions, total.events
    );
    assert_eq!(differences, 0);
}
