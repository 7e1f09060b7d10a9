//! `doctor`: looks at everything that is known to go wrong.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::output::{self, data};
use crate::Result;
use crate::health::{Finding, Level, limits};
use crate::ops::health::examine;
use crate::pg::connect::Database;

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
    let findings = examine(&database, Duration::from_secs(args.alarm_after_s)).await?;
    let is_wrong = findings.iter().any(|finding| finding.level == Level::Wrong);
    if args.output.json {
        output::json(&findings)?;
    } else {
        print(&findings, args.all)?;
    }
    Ok(if is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
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
