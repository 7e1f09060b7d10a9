//! `dashboard`.

use clap::Args;
use serde_json::json;

use super::output::{self, data};
use super::verbs;
use crate::Result;
use crate::ops::Operator;
use crate::ops::dashboard::{DAYS_AT_MOST, Dashboard};
use crate::pg::connect::Database;

/// How wide a bar is at most, in characters.
const WIDEST_BAR: i64 = 40;

/// Options of `dashboard`.
#[derive(Debug, Args)]
pub struct DashboardArgs {
    /// How many days, today included
    #[arg(long, value_name = "N", default_value_t = 14, value_parser = clap::value_parser!(u32).range(1..=i64::from(DAYS_AT_MOST)))]
    days: u32,
    /// Whose days: a time zone like Europe/Paris
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    tz: String,
    #[command(flatten)]
    json: output::Json,
}

/// Shows what was sent in the last days.
///
/// # Errors
/// An unknown time zone; database errors.
pub async fn dashboard(database: Database, args: DashboardArgs) -> Result<()> {
    let service = verbs(database).await?;
    let figures = service.dashboard(&Operator::of_database(), args.days, &args.tz).await?;
    if args.json.json {
        return output::json(&figures);
    }
    print(&figures)
}

fn print(figures: &Dashboard) -> Result<()> {
    let all = &figures.summary;
    let number = |number: Option<f64>| number.map_or_else(|| "-".to_owned(), |number| json!(number).to_string());
    data(format_args!(
        "sent {}  arrived {}  failed {}  success {} %  p50 {} ms  p95 {} ms  pending {}  dead {}",
        all.total_sent,
        all.success_count,
        all.failed_count,
        number(all.success_rate),
        number(all.p50_ms),
        number(all.p95_ms),
        all.pending_count,
        all.dead_count
    ))?;
    if !figures.is_complete {
        output::say("what is older than the counting is still being counted: the figures grow");
    }
    let days = figures.daily_traffic.iter().map(|day| {
        let (arrived, failed) = (day.success, day.failed);
        (
            vec![day.date.clone(), arrived.to_string(), failed.to_string()],
            arrived,
            failed,
        )
    });
    bars(&["DAY", "ARRIVED", "FAILED"], days.collect())?;
    let models = figures.events_per_model.iter().map(|of| {
        (
            vec![of.model.clone(), of.success.to_string(), of.failed.to_string()],
            of.success,
            of.failed,
        )
    });
    bars(&["MODEL", "ARRIVED", "FAILED"], models.collect())?;
    let hosts = figures.top_endpoints.iter().map(|of| {
        let cells = vec![
            of.host.clone(),
            of.success.to_string(),
            of.failed.to_string(),
            number(of.avg_ms),
        ];
        (cells, of.success, of.failed)
    });
    bars(&["ENDPOINT", "ARRIVED", "FAILED", "AVG MS"], hosts.collect())?;
    let types = figures.event_type_distribution.iter();
    let types = types.map(|(name, total)| (vec![name.clone(), total.to_string()], *total, 0));
    bars(&["EVENT TYPE", "SENT"], types.collect())?;
    let errors = figures.errors.iter();
    let errors = errors.map(|of| (vec![of.error.clone(), of.count.to_string()], 0, of.count));
    bars(&["ERROR", "FAILED"], errors.collect())
}

/// A table with a bar behind each row: `#` arrived, `x` failed, the longest row of the table the longest bar.
fn bars(headings: &[&str], rows: Vec<(Vec<String>, i64, i64)>) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let most = rows
        .iter()
        .map(|(_, arrived, failed)| arrived + failed)
        .max()
        .unwrap_or(0)
        .max(1);
    // One that is there is seen, however small it is.
    let width = |count: i64| usize::try_from((count * WIDEST_BAR).div_euclid(most).max(count.min(1))).unwrap_or(0);
    let rows = rows.into_iter().map(|(mut cells, arrived, failed)| {
        cells.push("#".repeat(width(arrived)) + &"x".repeat(width(failed)));
        cells
    });
    data("")?;
    let headings: Vec<&str> = headings.iter().copied().chain([""]).collect();
    output::table(&headings, &rows.collect::<Vec<_>>())
}
