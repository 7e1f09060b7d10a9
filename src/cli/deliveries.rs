//! `deliveries` and `redeliver`.

use clap::Args;
use jiff::{Span, Timestamp};
use serde_json::Value;
use uuid::Uuid;

use super::connect_installed;
use super::output::{self, cell, say};
use crate::ops::{self, DeliveryFilter};
use crate::pg::connect::Database;
use crate::{Error, Result};

/// Which attempts to list.
#[derive(Debug, Args)]
pub struct Deliveries {
    /// Of this subscription
    #[arg(long, value_name = "ID")]
    subscription: Option<i32>,
    /// pending, success or failed
    #[arg(long, value_parser = ["pending", "success", "failed"])]
    status: Option<String>,
    /// Of this model
    #[arg(long)]
    model: Option<String>,
    /// With this record
    #[arg(long, value_name = "RECORD_ID")]
    id: Option<i64>,
    /// Begun since then: 2026-11-20T12:00:00Z, or ago: 2h, 30m, 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: i32,
    #[command(flatten)]
    output: output::Json,
}

/// What to send once more.
#[derive(Debug, Args)]
pub struct Redeliver {
    /// Delivery ids, as in the log
    #[arg(value_name = "DELIVERY_ID")]
    ids: Vec<Uuid>,
    /// All failed deliveries
    #[arg(long, requires = "since", conflicts_with = "ids")]
    failed: bool,
    /// Tried since then
    #[arg(long, value_name = "TIME", requires = "failed")]
    since: Option<String>,
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
    let filter = DeliveryFilter {
        subscription: args.subscription,
        status: args.status,
        model: args.model,
        record: args.id,
        since: args.since.as_deref().map(parse_since).transpose()?,
        limit: args.limit,
    };
    let client = connect_installed(&database).await?;
    let rows = ops::deliveries(&client, &filter).await?;
    if args.output.json {
        return output::json(&rows);
    }
    print(&rows)
}

/// Prints attempts as a table.
///
/// # Errors
/// When stdout cannot be written to.
pub fn print(rows: &[Value]) -> Result<()> {
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
        "error",
    ];
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| COLUMNS.iter().map(|column| shortened(cell(row.get(*column)))).collect())
        .collect();
    output::table(&COLUMNS, &cells)
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
    let client = connect_installed(&database).await?;
    let ids = match &args.since {
        Some(since) => {
            ops::failed_since(&client, args.subscription, args.model.as_deref(), parse_since(since)?).await?
        }
        None => args.ids.clone(),
    };
    let found = ops::redeliver(&client, &ids, args.dry_run).await?;
    let has_ended = |d: &ops::Redelivered| d.state == "failed" || d.state == "success";
    let (again, others): (Vec<_>, Vec<_>) = found.iter().partition(|d| has_ended(d) && d.payload.is_some());
    if args.output.json {
        output::json(&found)?;
    } else {
        for delivery in &again {
            output::data(format_args!(
                "{} {} to subscription {} (attempts so far: {}){}",
                delivery.delivery_id,
                delivery.model,
                delivery.subscription_id,
                delivery.attempts,
                match (&delivery.payload, args.dry_run) {
                    (Some(payload), true) => format!("\n  {payload}"),
                    _ => String::new(),
                }
            ))?;
        }
    }
    for delivery in &others {
        if has_ended(delivery) {
            say(format_args!(
                "{} never had a body that could be sent: left alone (`odoo-eventd emit` sends its records as they are now)",
                delivery.delivery_id
            ));
        } else {
            say(format_args!(
                "{} is still {}: left alone",
                delivery.delivery_id, delivery.state
            ));
        }
    }
    let unknown = ids
        .iter()
        .filter(|id| !found.iter().any(|d| d.delivery_id == **id))
        .count();
    if unknown > 0 {
        return Err(
            Error::usage(format!("{unknown} of {} deliveries are not in the log", ids.len()))
                .with_hint("`odoo-eventd deliveries` lists delivery ids"),
        );
    }
    say(match args.dry_run {
        true => format!("{} deliveries would be sent once more", again.len()),
        false => format!("{} deliveries are sent once more by the running service", again.len()),
    });
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

    #[test]
    fn since_takes_a_time_or_how_long_ago() {
        assert_eq!(parse_since("2026-11-20T12:00:00Z").unwrap().as_second(), 1_795_176_000);
        assert_eq!(parse_since("2026-11-20").unwrap().as_second(), 1_795_132_800);
        let ago = Timestamp::now().as_second() - parse_since("2h").unwrap().as_second();
        assert!((7_199..=7_201).contains(&ago), "{ago}");
        assert!(parse_since("yesterday-ish").unwrap_err().is_usage());
    }
}
