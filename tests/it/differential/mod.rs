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
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use runner::{Counts, Difference, Mode, Runner, Slow};
use script::{Script, Step};
use session::{ServerFacts, Writers};

use crate::support::Server;

/// How long a round is.
#[derive(Clone, Copy)]
struct Extent {
    /// So many statements,
    statements: u64,
    /// or as many as there is time for: a loaded machine does less of the same.
    most: Duration,
    /// Whether it is measured what a statement takes; no test does that among others.
    measures: bool,
}

/// Those of `make test`.
const SHORT: Extent = Extent {
    statements: 200,
    most: Duration::from_secs(6),
    measures: false,
};

/// Those of `make differential`.
const LONG: Extent = Extent {
    statements: 300,
    most: Duration::from_secs(600),
    measures: true,
};

/// Making a failing script smaller takes this long at most.
const SHRINKING: Duration = Duration::from_secs(60);

/// A round.
struct Round {
    script: Script,
    counts: Counts,
    slow: Vec<Slow>,
    difference: Option<Difference>,
}

/// One round from a seed.
async fn round(server: &Arc<Server>, seed: u64, mode: Mode, extent: Extent) -> Round {
    let mut runner = Runner::new(server, mode).await;
    let mut script = Script::default();
    let done = run(server, &mut runner, &mut script, seed, extent).await;
    Round {
        script,
        counts: runner.counts,
        slow: runner.slow,
        difference: done.err(),
    }
}

async fn run(
    server: &Arc<Server>,
    runner: &mut Runner,
    script: &mut Script,
    seed: u64,
    extent: Extent,
) -> Result<(), Difference> {
    let mut random = StdRng::seed_from_u64(seed);
    let facts = ServerFacts {
        major: server.cluster().version().major,
        settings: settings(server).await,
    };
    let extensions = available_extensions(server).await;
    let catalog = catalog::random_catalog(&mut random, &extensions);
    script.0.clone_from(&catalog.steps);
    if random.random_ratio(1, 3) {
        script.0.extend(session::random_defaults(&mut random, &facts.settings));
    }
    script
        .0
        .extend(subscriptions::random_subscriptions(&mut random, &catalog));
    script.0.push(Step::Sync);
    for step in &script.0 {
        if let Some(error) = runner.step(step).await?.error {
            return Err(Difference::new("harness", format!("{error} of {step}")));
        }
    }
    let mut writers = Writers::new(random, catalog, facts, runner.mode());
    let (statements, end) = (extent.statements, Instant::now() + extent.most);
    // Beyond this many the last transactions are left as they are.
    let last = statements + statements / 2;
    while runner.counts.statements < statements || (writers.is_open() && runner.counts.statements < last) {
        if Instant::now() > end {
            break;
        }
        let seen = if writers.sees_more_than_others() {
            runner.catalogue_of(writers.turn()).await
        } else {
            None
        };
        let step = writers.next(seen.as_ref().unwrap_or_else(|| runner.catalogue()));
        script.0.push(step.clone());
        let outcome = runner.step(&step).await?;
        writers.note(&step, &outcome);
        writers.choose_turn();
    }
    runner.end_transactions().await?;
    // Of tables as the last look found them: what has drifted since is captured from the catalogue, which takes longer.
    let measures = match runner.mode() {
        Mode::Direct if extent.measures => std::iter::once(Step::Sync)
            .chain(writers.measures(runner.catalogue()))
            .collect(),
        _ => Vec::new(),
    };
    for step in measures {
        script.0.push(step.clone());
        runner.step(&step).await?;
    }
    runner.finish().await
}

async fn available_extensions(server: &Arc<Server>) -> BTreeSet<String> {
    ask(server, "select name::text from pg_available_extensions")
        .await
        .into_iter()
        .collect()
}

/// What sets whatever a session may set and that leaves a statement's outcome to the statement: timeouts and what is written to the
/// client or the log do not, nor does a stack that is too small for anybody's trigger.
async fn settings(server: &Arc<Server>) -> Vec<String> {
    let sql = "
        select format('set %s = %L', name, value)
          from pg_settings, unnest(case vartype when 'bool' then array['on', 'off'] when 'enum' then enumvals
                                     else array[min_val, boot_val, least(boot_val::numeric * 2 + 1, max_val::numeric)::text] end) value
         where context = 'user' and vartype <> 'string' and name !~ '^(log_|debug_|trace_|client_|transaction_|idle_|max_stack|tcp_)'
           and name !~ '(_timeout|_read_only|^seed|^exit_on_error)$'
         order by 1";
    ask(server, sql).await
}

async fn ask(server: &Arc<Server>, sql: &str) -> Vec<String> {
    let client = tokio_postgres::connect(&server.cluster().url("postgres", "postgres"), tokio_postgres::NoTls).await;
    let (client, connection) = client.unwrap();
    tokio::spawn(connection);
    let rows = client.query(sql, &[]).await;
    rows.unwrap().into_iter().map(|row| row.get(0)).collect()
}

/// A round that must not fail; if it does, what is left of it is printed.
async fn assert_nothing_differs(seed: u64, mode: Mode) {
    let server = Server::shared();
    let round = Box::pin(round(&server, seed, mode, SHORT)).await;
    if let Some(difference) = round.difference {
        let script = shrink::shrink(&server, round.script, &difference.sort(), mode, SHRINKING).await;
        panic!("seed {seed}: {difference}\n{script}");
    }
}

#[tokio::test]
async fn nothing_differs_from_a_database_without_us_from_a_seed_that_is_known() {
    Box::pin(assert_nothing_differs(1, Mode::Direct)).await;
}

#[tokio::test]
async fn nothing_differs_from_a_database_without_us_from_any_seed() {
    let seed = rand::random_range(0..1_000_000);
    eprintln!("seed {seed}");
    Box::pin(assert_nothing_differs(seed, Mode::Direct)).await;
}

#[tokio::test]
async fn receivers_hear_what_a_reading_of_the_tables_says() {
    Box::pin(assert_nothing_differs(2, Mode::Service)).await;
}

/// Scripts that failed once.
#[tokio::test]
async fn what_failed_once_does_not_differ_any_more() {
    let server = Server::shared();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/differential/kept");
    let mut kept: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .collect();
    kept.sort();
    let mut failed = Vec::new();
    for path in kept {
        let script = Script::parse(&std::fs::read_to_string(&path).unwrap());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mode = if name.starts_with("service_") {
            Mode::Service
        } else {
            Mode::Direct
        };
        if let Some(difference) = shrink::replay(&server, &script, mode).await {
            failed.push(format!("{name}: {difference}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// `make differential SCRIPT=that.sql` tells what comes of each step; with `SHRINK=400` it is made smaller for so many seconds.
#[tokio::test]
#[ignore = "runs a script that it is given"]
async fn a_script_differs_nowhere() {
    let Ok(path) = std::env::var("ODOO_EVENTD_TEST_SCRIPT") else {
        eprintln!("skipped: no script is given");
        return;
    };
    let script = Script::parse(&std::fs::read_to_string(path).unwrap());
    let seconds = std::env::var("ODOO_EVENTD_TEST_SHRINK").unwrap_or_default();
    for mode in [Mode::Direct, Mode::Service] {
        if let Ok(seconds) = seconds.parse() {
            let server = Server::shared();
            if let Some(difference) = shrink::replay(&server, &script, mode).await {
                let most = Duration::from_secs(seconds);
                let script = shrink::shrink(&server, script, &difference.sort(), mode, most).await;
                panic!("{difference}\n{script}");
            }
            continue;
        }
        let mut runner = Runner::new(&Server::shared(), mode).await;
        for step in &script.0 {
            let began = Instant::now();
            match runner.step(step).await {
                Ok(outcome) => eprintln!("{step}--   {:.1?} {outcome:?}", began.elapsed()),
                Err(difference) => panic!("{step}{difference}"),
            }
        }
        if let Err(difference) = runner.finish().await {
            panic!("{difference}");
        }
    }
}

/// `make differential SECONDS=3600 SEED=1`.
#[tokio::test]
#[ignore = "runs for as long as it is told to"]
async fn nothing_differs_for_long() {
    let told = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seconds = told("ODOO_EVENTD_TEST_SECONDS").unwrap_or(60);
    let first = told("ODOO_EVENTD_TEST_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000));
    // Where failing scripts are put, beside being printed.
    let directory = std::env::var("ODOO_EVENTD_TEST_DIRECTORY").ok();
    let server = Server::shared();
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut total = Counts::default();
    let mut rounds = 0_u64;
    let mut sorts: BTreeMap<String, u64> = BTreeMap::new();
    let mut seed = first;
    eprintln!("{seconds} s from seed {first}");
    while Instant::now() < end {
        // The service itself is slower: a share of the rounds is enough to hold what is its own.
        let mode = if seed % 5 >= 3 { Mode::Service } else { Mode::Direct };
        let mut round = Box::pin(round(&server, seed, mode, LONG)).await;
        rounds += 1;
        total.add(&round.counts);
        eprintln!("seed {seed}, {mode:?}: {}", round.counts);
        if round.difference.is_none() && !round.slow.is_empty() {
            round.difference = confirm_slow(&server, &round, mode).await;
        }
        if let Some(difference) = round.difference {
            let sort = difference.sort();
            let times = sorts.entry(sort.clone()).or_insert(0);
            *times += 1;
            if *times == 1 {
                let is_ours = !matches!(difference.kind, "harness" | "time");
                let script = if is_ours {
                    shrink::shrink(&server, round.script, &sort, mode, SHRINKING).await
                } else {
                    round.script
                };
                let text = format!("-- seed {seed}: {difference}").replace('\n', "\n-- ");
                eprintln!("{text}\n{script}");
                if let Some(directory) = &directory {
                    std::fs::write(format!("{directory}/{seed}.sql"), format!("{text}\n{script}")).unwrap();
                }
            }
        }
        seed += 1;
    }
    for (sort, times) in &sorts {
        eprintln!("{times} x {sort}");
    }
    let differences: u64 = sorts.values().sum();
    eprintln!("{rounds} rounds from seed {first}: {total}, {differences} differences");
    assert_eq!(differences, 0);
}

/// A statement that was slow once may have waited for the machine; one that is slow each time has not.
async fn confirm_slow(server: &Arc<Server>, round: &Round, mode: Mode) -> Option<Difference> {
    let mut suspects = round.slow.clone();
    for _ in 0..2 {
        let again = shrink::replay_timed(server, &round.script, mode).await.ok()?;
        suspects.retain(|slow| again.iter().any(|other| other.step == slow.step));
    }
    let slow = suspects.first()?;
    let step = round.script.0.get(slow.step - 1)?;
    Some(Difference::new(
        "time",
        format!("{:?} and with us {:?} of {step}", slow.bare, slow.eventd),
    ))
}
