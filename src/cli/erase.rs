//! `erase` and `history`.

use clap::Args;
use serde_json::Value;

use super::output::{self, cell, data, say};
use super::{connect_installed, pages, verbs};
use crate::ops::Operator;
use crate::pg::connect::Database;
use crate::pg::retention;
use crate::{Error, Result};

/// Whose data must go.
#[derive(Debug, Args)]
pub struct Erase {
    /// The model of the records: res.partner
    #[arg(long, requires = "ids")]
    model: Option<String>,
    /// Their ids: 1,2
    #[arg(long, value_delimiter = ',', value_name = "IDS", requires = "model")]
    ids: Vec<i64>,
    /// Also whatever contains this text, as it stands in a body: an e-mail address
    #[arg(long, value_name = "TEXT")]
    containing: Option<String>,
    /// Count what would be erased, and erase nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: output::Json,
}

/// Which changes to list.
#[derive(Debug, Args)]
pub struct History {
    /// Of this subscription, which may be gone
    #[arg(value_name = "SUBSCRIPTION_ID")]
    subscription: Option<i32>,
    /// At most so many
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: u32,
    #[command(flatten)]
    output: output::Json,
}

/// Blanks the bodies and answers kept of some records.
///
/// # Errors
/// [`Error::is_usage`] when it is not said what to erase; database errors; only the owner may.
pub async fn erase(database: Database, args: Erase) -> Result<()> {
    let containing = args.containing.as_deref().filter(|text| !text.trim().is_empty());
    if args.ids.is_empty() && containing.is_none() {
        return Err(Error::usage("it was not said what to erase")
            .with_hint("for example: odoo-eventd erase --model res.partner --ids 7,8"));
    }
    let client = connect_installed(&database).await?;
    let erased = retention::erase(&client, args.model.as_deref(), &args.ids, containing, args.dry_run).await?;
    if args.output.json {
        return output::json(&erased);
    }
    data(format_args!(
        "{}: {} deliveries with {} attempts, {} of them not sent; {} events of the feed; {} rows of the outbox",
        if args.dry_run { "would erase" } else { "erased" },
        cell(erased.get("deliveries")),
        cell(erased.get("attempts")),
        cell(erased.get("unsent")),
        cell(erased.get("feed_events")),
        cell(erased.get("outbox_rows")),
    ))?;
    if erased["outbox_rows_unread"].as_i64().unwrap_or(0) > 0 {
        say(format_args!(
            "{} changes were not read by the service yet: erase again once it has",
            cell(erased.get("outbox_rows_unread"))
        ));
    }
    Ok(())
}

/// Lists changes of subscriptions.
///
/// # Errors
/// Database errors.
pub async fn history(database: Database, args: History) -> Result<()> {
    let service = verbs(database).await?;
    let operator = Operator::of_database();
    let changes = pages(args.limit, async |page| {
        service.history(&operator, args.subscription, &page).await
    })
    .await?;
    if args.output.json {
        return output::json(&changes);
    }
    let rows: Vec<Vec<String>> = changes
        .iter()
        .map(|change| {
            let change = &serde_json::json!(change);
            let mut row: Vec<String> = ["at", "subscription_id", "op", "login", "odoo_uid"]
                .iter()
                .map(|column| cell(change.get(column)))
                .collect();
            row.push(summary(change));
            row
        })
        .collect();
    output::table(&["at", "subscription", "op", "login", "odoo user", "change"], &rows)
}

fn summary(change: &Value) -> String {
    let columns = change["changed"].as_array().map(Vec::as_slice).unwrap_or_default();
    let side = |side: &str, column: &str| cell(change[side].get(column));
    if columns.is_empty() {
        return cell(change["after"].get("model").or_else(|| change["before"].get("model")));
    }
    let told: Vec<String> = columns
        .iter()
        .filter_map(Value::as_str)
        .map(|column| match (side("before", column), side("after", column)) {
            (before, after) if before.is_empty() && after.is_empty() => column.to_owned(),
            (before, after) => format!("{column}: {before} -> {after}"),
        })
        .collect();
    told.join("; ")
}
