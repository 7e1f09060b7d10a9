//! `subscriptions`: lists them; `subscriptions pause|resume|enable ID`.

use clap::{Args, Subcommand};

use super::output::{self, Json, cell, say};
use super::verbs;
use crate::Result;
use crate::ops::Operator;
use crate::ops::subscriptions::read::Filter;
use crate::pg::connect::Database;
use crate::subscription::View;

/// What to do with subscriptions; nothing said = list them.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Subscriptions {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    output: Json,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Lets its deliveries wait
    Pause(Which),
    /// Sends what has waited, and goes on
    Resume(Which),
    /// Sends again to an endpoint that the service gave up
    Enable(Which),
}

#[derive(Debug, Args)]
struct Which {
    /// The subscription's id
    id: i32,
}

/// Lists subscriptions, or pauses, resumes or enables one.
///
/// # Errors
/// No such subscription; database errors.
pub async fn subscriptions(database: Database, args: Subscriptions) -> Result<()> {
    let service = verbs(database).await?;
    let operator = Operator::of_database();
    match args.action {
        None => list(
            &service.all_subscriptions(&operator, &Filter::default()).await?,
            args.output.json,
        ),
        Some(Action::Pause(Which { id })) => {
            Box::pin(service.set_paused(&operator, id, true)).await?;
            say(format_args!(
                "subscription {id} is paused: its deliveries wait until `odoo-eventd subscriptions resume {id}`"
            ));
            Ok(())
        }
        Some(Action::Resume(Which { id })) => {
            Box::pin(service.set_paused(&operator, id, false)).await?;
            say(format_args!("subscription {id} goes on within a second or two"));
            Ok(())
        }
        Some(Action::Enable(Which { id })) => {
            match service.enable_subscription(&operator, id).await? {
                None => say(format_args!("subscription {id} was not disabled")),
                Some(since) => say(format_args!(
                    "subscription {id} is enabled; what was not sent meanwhile is sent by \
                     `odoo-eventd redeliver --failed --subscription {id} --since {since:.0}Z`"
                )),
            }
            Ok(())
        }
    }
}

fn list(rows: &[View], json: bool) -> Result<()> {
    if json {
        return output::json(&rows);
    }
    const COLUMNS: [&str; 13] = [
        "id",
        "name",
        "model",
        "event_type",
        "domain",
        "fields",
        "active",
        "paused",
        "state",
        "last_delivery_status",
        "failure_count",
        "failing_since",
        "error",
    ];
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let row = serde_json::json!(row);
            COLUMNS.iter().map(|c| cell(row.get(c))).collect()
        })
        .collect();
    output::table(&COLUMNS, &cells)
}
