//! `emit`.

use clap::Args;
use uuid::Uuid;

use super::connect_installed;
use super::output::{self, Json, say};
use crate::ops::emit::{self, Request};
use crate::pg::connect::Database;
use crate::{Error, Result};

/// Which existing records to send.
#[derive(Debug, Args)]
pub struct Emit {
    /// Through this subscription; records that its own domain leaves out are left out
    #[arg(long, value_name = "ID")]
    subscription: i32,
    /// These records
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "RECORD_ID,..",
        required_unless_present = "domain"
    )]
    ids: Vec<i64>,
    /// The records that match this Odoo domain now; [] = all
    #[arg(long, conflicts_with = "ids")]
    domain: Option<String>,
    /// A name for this run: repeated, it goes on where it stopped and sends nothing twice [default: a new one]
    #[arg(long, value_name = "NAME")]
    run: Option<String>,
    /// Say how many records there are, and send nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Json,
}

/// Makes deliveries of existing records, which the running service sends.
///
/// # Errors
/// Wrong use; database errors.
pub async fn emit(database: Database, args: Emit) -> Result<()> {
    let selection = args.domain.unwrap_or_else(|| {
        let mut ids = args.ids;
        ids.sort_unstable();
        ids.dedup();
        format!("[('id', 'in', {ids:?})]")
    });
    let run = args.run.unwrap_or_else(|| Uuid::new_v4().to_string());
    drop(connect_installed(&database).await?);
    let client = database
        .pool(1)?
        .get()
        .await
        .map_err(|e| Error::database("get a database connection", e))?;
    if !args.dry_run {
        say(format_args!("run {run}: if it is cut off, go on with --run {run}"));
    }
    let request = Request {
        subscription: args.subscription,
        selection,
        run,
        dry_run: args.dry_run,
    };
    let emitted = emit::emit(&client, &request, || {
        say("many deliveries are unsent: waiting until the running service has sent some");
    })
    .await?;
    if args.output.json {
        output::json(&emitted)?;
    }
    let what = format!("{} records as {} events", emitted.records, emitted.event_type);
    say(match (args.dry_run, emitted.was_finished) {
        (true, _) => format!("{what} would be sent"),
        (false, true) => format!(
            "the run was finished before: {what} in {} deliveries",
            emitted.deliveries
        ),
        (false, false) => format!(
            "{what} in {} deliveries are sent by the running service",
            emitted.deliveries
        ),
    });
    Ok(())
}
