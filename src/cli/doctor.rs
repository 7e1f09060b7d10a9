//! `doctor`: looks at everything that is known to go wrong.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;

use super::connect_installed;
use super::output::{self, data};
use crate::Result;
use crate::health::{Facts, Finding, Level, judge, limits};
use crate::pg::connect::Database;
use crate::pg::connections::MOST;
use crate::pg::tls::Mode;
use crate::pg::{health, pooler};

/// What to look at.
#[derive(Debug, Args)]
pub struct Doctor {
    /// After how many seconds a waiting event is an alarm
    #[arg(long, default_value_t = limits::ALARM_AFTER.as_secs(), value_name = "SECONDS")]
    alarm_after_s: u64,
    /// Tell also what is good
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: output::Json,
}

/// Prints what is wrong or may become so, with what to do. Exits with 1 when something is wrong.
///
/// # Errors
/// When the database cannot be reached or has no installation.
pub async fn doctor(database: Database, args: Doctor) -> Result<ExitCode> {
    // First: with a pooler in between, anything below may fail for no other reason.
    let pooler = pooler::find(&database).await?;
    let client = connect_installed(&database).await?;
    let told = health::examine(&client).await?;
    let clock = clock_skew(&client).await?;
    drop(client);
    let findings = judge(&Facts {
        database: &told,
        clock,
        sslmode: database.tls_mode().to_string(),
        server_is_verified: database.tls_mode() == Mode::VerifyFull,
        connections_needed: MOST,
        pooler,
        alarm_after: Duration::from_secs(args.alarm_after_s),
    });
    let is_wrong = findings.iter().any(|finding| finding.level == Level::Wrong);
    if args.output.json {
        output::json(&findings)?;
    } else {
        print(&findings, args.all)?;
    }
    Ok(if is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// This host's clock minus the server's, and how exact that is, in seconds: half of what asking took.
async fn clock_skew(client: &crate::pg::Client) -> Result<(f64, f64)> {
    let asked = Instant::now();
    let theirs = health::measure(client).await?.server_time;
    let took = asked.elapsed().as_secs_f64();
    let ours = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64());
    Ok((ours - took / 2.0 - theirs, took / 2.0))
}

fn print(findings: &[Finding], all: bool) -> Result<()> {
    let mut worst_first: Vec<&Finding> = findings.iter().filter(|f| all || f.level > Level::Ok).collect();
    worst_first.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    for finding in worst_first {
        let word = match finding.level {
            Level::Ok => "ok",
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Wrong => "WRONG",
        };
        data(format_args!("{word:<8} {:<16} {}", finding.code, finding.found))?;
        if !finding.advice.is_empty() {
            data(format_args!("{:<25} -> {}", "", finding.advice))?;
        }
    }
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    data(format_args!(
        "{} wrong, {} warnings, {} notes, {} good",
        count(Level::Wrong),
        count(Level::Warning),
        count(Level::Note),
        count(Level::Ok)
    ))
}
