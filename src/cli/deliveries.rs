//! `deliveries` and `redeliver`.

use std::collections::BTreeSet;

use clap::{Args, ValueEnum};
use jiff::{Span, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use super::output::{self, cell, say};
use super::{pages, verbs};
use crate::delivery::meaning::{Meaning, meaning_of};
use crate::ops::Operator;
use crate::ops::deliveries::read::{Attempt, AttemptFilter, Status};
use crate::ops::deliveries::redeliver::{AT_ONCE, DeadFilter};
use crate::pg::connect::Database;
use crate::{Error, Result};

/// Which attempts to list.
#[derive(Debug, Args)]
pub struct Deliveries {
    /// Of this subscription
    #[arg(long, value_name = "ID")]
    subscription: Option<i32>,
    /// pending, success or failed
    #[arg(long)]
    status: Option<StatusName>,
    /// Of this model
    #[arg(long)]
    model: Option<String>,
    /// With this record
    #[arg(long, value_name = "RECORD_ID")]
    id: Option<i64>,
    /// Only dead letters, those that ended without success: the last attempt of each
    #[arg(long, conflicts_with = "status")]
    dead: bool,
    /// Begun since then: 2026-11-20T12:00:00Z, or ago: 2h, 30m, 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Dead letters of which the last attempt was begun before then
    #[arg(long, value_name = "TIME", requires = "dead")]
    until: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u32,
    #[command(flatten)]
    output: output::Json,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum StatusName {
    Pending,
    Success,
    Failed,
}

impl From<StatusName> for Status {
    fn from(name: StatusName) -> Self {
        match name {
            StatusName::Pending => Self::Pending,
            StatusName::Success => Self::Success,
            StatusName::Failed => Self::Failed,
        }
    }
}

/// What to send once more.
#[derive(Debug, Args)]
pub struct Redeliver {
    /// Delivery ids, as in the log
    #[arg(value_name = "DELIVERY_ID")]
    ids: Vec<Uuid>,
    /// All dead letters: deliveries that ended without success
    #[arg(long, requires = "since", conflicts_with = "ids")]
    failed: bool,
    /// Last tried since then: 2026-11-20T12:00:00Z, or ago: 2h, 30m, 7d
    #[arg(long, value_name = "TIME", requires = "failed")]
    since: Option<String>,
    /// Last tried before then
    #[arg(long, value_name = "TIME", requires = "failed")]
    until: Option<String>,
    /// Only with this record
    #[arg(long, value_name = "RECORD_ID", requires = "failed")]
    id: Option<i64>,
    /// Only of this subscription
    #[arg(long, value_name = "ID", requires = "failed")]
    subscription: Option<i32>,
    /// Only of this model
    #[arg(long, requires = "failed")]
    model: Option<String>,
    /// Show what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: output::Json,
}

/// Lists attempts.
///
/// # Errors
/// Wrong use; database errors.
pub async fn list(database: Database, args: Deliveries) -> Result<()> {
    let filter = AttemptFilter {
        subscription: args.subscription,
        statuses: args.status.map(|status| vec![status.into()]),
        model: args.model,
        record_id: args.id,
        since: args.since.as_deref().map(parse_since).transpose()?,
        until: args.until.as_deref().map(parse_since).transpose()?,
        dead: args.dead,
        ..AttemptFilter::default()
    };
    let service = verbs(database).await?;
    let operator = Operator::of_database();
    let rows = pages(args.limit, async |page| {
        service.attempts(&operator, &filter, &page).await
    })
    .await?;
    if args.output.json {
        return output::json(&rows);
    }
    print(&rows)?;
    explain(&rows);
    Ok(())
}

/// What each failure among the attempts means and what to do, once.
fn explain(rows: &[Attempt]) {
    let failures: BTreeSet<(&str, Option<i32>)> = rows
        .iter()
        .filter_map(|row| row.error.as_deref().map(|error| (error, row.response_code)))
        .collect();
    for (error, status) in failures {
        if let Some(Meaning { what, next }) = meaning_of(error, status) {
            let status = status.map(|status| format!(" {status}")).unwrap_or_default();
            say(format_args!("{error}{status}: {what} {next}"));
        }
    }
}

/// Prints attempts as a table.
///
/// # Errors
/// When stdout cannot be written to.
pub fn print(rows: &[Attempt]) -> Result<()> {
    const COLUMNS: [&str; 10] = [
        "create_date",
        "delivery_id",
        "subscription_id",
        "model",
        "record_ids",
        "attempt",
        "status",
        "response_code",
        "duration_ms",
        "next_attempt_at",
    ];
    let headings: Vec<&str> = COLUMNS.into_iter().chain(["error"]).collect();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let row = serde_json::json!(row);
            let facts = COLUMNS.iter().map(|column| shortened(cell(row.get(*column))));
            facts.chain([failure(&row)]).collect()
        })
        .collect();
    output::table(&headings, &cells)
}

/// What went wrong: the word, and the sentence that explains it where the log has one. It comes last in a line, so that nothing has
/// to be cut off and no other column is moved by it.
fn failure(row: &Value) -> String {
    let (word, detail) = (cell(row.get("error")), cell(row.get("error_detail")));
    if detail.is_empty() {
        word
    } else {
        format!("{word}: {detail}")
    }
}

/// A cell that fits on a line; a delivery of a thousand records would not.
fn shortened(text: String) -> String {
    const MOST: usize = 40;
    if text.chars().count() <= MOST {
        text
    } else {
        text.chars().take(MOST - 1).chain(['…']).collect()
    }
}

/// Sends ended deliveries once more.
///
/// # Errors
/// Wrong use; database errors.
pub async fn redeliver(database: Database, args: Redeliver) -> Result<()> {
    if args.ids.is_empty() && !args.failed {
        return Err(
            Error::usage("nothing to redeliver was named").with_hint("give delivery ids, or --failed --since TIME")
        );
    }
    let since = args.since.as_deref().map(parse_since).transpose()?;
    let until = args.until.as_deref().map(parse_since).transpose()?;
    let service = verbs(database).await?;
    let operator = Operator::of_database();
    let dead = since.filter(|_| args.failed).map(|since| {
        let filter = DeadFilter {
            subscription: args.subscription,
            model: args.model,
            record_id: args.id,
            since,
            until,
        };
        filter.until_now()
    });
    let mut named = args.ids.chunks(AT_ONCE);
    let (mut asked, mut again, mut refused, mut unknown) = (0, 0, 0, 0);
    let mut shown = Vec::new();
    let mut after = None;
    // What is shown of a block is gone from memory before the next is asked for, unless one JSON document is wanted.
    loop {
        let block = match &dead {
            Some(filter) => {
                let (block, last) = service.dead_letters(&operator, filter, after).await?;
                after = last;
                block
            }
            None => named.next().unwrap_or_default().to_vec(),
        };
        if block.is_empty() {
            break;
        }
        asked += block.len();
        let found = service.redeliver(&operator, &block, args.dry_run).await?;
        unknown += block.len() - found.len();
        for delivery in found {
            if let Some(reason) = &delivery.refused {
                refused += 1;
                say(format_args!("{} is left alone: {reason}", delivery.delivery_id));
            } else {
                again += 1;
                if !args.output.json {
                    output::data(format_args!(
                        "{} {}.{} to subscription {} (attempts so far: {}){}",
                        delivery.delivery_id,
                        delivery.model,
                        delivery.event_type,
                        delivery.subscription_id,
                        delivery.attempts,
                        delivery.payload.as_ref().map_or(String::new(), |p| format!("\n  {p}"))
                    ))?;
                }
            }
            if args.output.json {
                shown.push(delivery);
            }
        }
    }
    if args.output.json {
        output::json(&shown)?;
    }
    say(match args.dry_run {
        true => format!("{again} deliveries would be sent once more"),
        false => format!("{again} deliveries are sent once more by the running service"),
    });
    if unknown > 0 {
        return Err(
            Error::usage(format!("{unknown} of {asked} deliveries are not in the log"))
                .with_hint("`odoo-eventd deliveries` lists delivery ids"),
        );
    }
    if refused > 0 && again == 0 {
        return Err(Error::usage("nothing is sent once more"));
    }
    Ok(())
}

/// A point in time, or how long ago.
fn parse_since(text: &str) -> Result<Timestamp> {
    let bad = || {
        Error::usage(format!("cannot read \"{text}\" as a time"))
            .with_hint("write 2026-11-20T12:00:00Z, 2026-11-20, or 2h, 30m, 7d ago")
    };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(at) = text.parse::<jiff::civil::DateTime>() {
        return at
            .to_zoned(jiff::tz::TimeZone::UTC)
            .map(|z| z.timestamp())
            .map_err(|e| bad().with_source(e));
    }
    let span: Span = text.parse().map_err(|e: jiff::Error| bad().with_source(e))?;
    let seconds = span
        .total((jiff::Unit::Second, jiff::SpanRelativeTo::days_are_24_hours()))
        .map_err(|e| bad().with_source(e))?;
    let ago = jiff::SignedDuration::try_from_secs_f64(seconds).map_err(|e| bad().with_source(e))?;
    Timestamp::now().checked_sub(ago).map_err(|e| bad().with_source(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_error_is_told_with_its_whole_detail_on_one_line_and_no_error_with_nothing() {
        let sentence = "the template failed in line 2: a name or a field does not exist here";
        let failed = json!({"error": "template", "error_detail": sentence.replacen(": ", ":\n", 1)});
        assert_eq!(failure(&failed), format!("template: {sentence}"));
        assert_eq!(failure(&json!({"error": "timeout", "error_detail": null})), "timeout");
        assert_eq!(failure(&json!({"error": null, "error_detail": null})), "");
    }

    #[test]
    fn since_takes_a_time_or_how_long_ago() {
        assert_eq!(parse_since("2026-11-20T12:00:00Z").unwrap().as_second(), 1_795_176_000);
        assert_eq!(parse_since("2026-11-20").unwrap().as_second(), 1_795_132_800);
        let ago = Timestamp::now().as_second() - parse_since("2h").unwrap().as_second();
        assert!((7_199..=7_201).contains(&ago), "{ago}");
        assert!(parse_since("yesterday-ish").unwrap_err().is_usage());
    }
}
