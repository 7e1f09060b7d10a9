//! `plan`, `install`, `uninstall`.

use std::time::{Duration, Instant};

use clap::Args;

use super::output::{data, say};
use crate::Result;
use crate::pg::connect::Database;
use crate::pg::schema;

/// Which roles there are to be.
#[derive(Debug, Args)]
pub struct Roles {
    /// Role that the service logs in as; made if missing and allowed
    #[arg(long, default_value = "odoo_eventd_listener", value_name = "ROLE")]
    listener_role: String,
    /// Role whose members may install; made if missing and allowed
    #[arg(long, default_value = "odoo_eventd_installer", value_name = "ROLE")]
    installer_role: String,
}

impl From<Roles> for schema::Roles {
    fn from(args: Roles) -> Self {
        Self {
            listener: args.listener_role,
            installer: args.installer_role,
        }
    }
}

/// What to remove.
#[derive(Debug, Args)]
pub struct Uninstall {
    /// Remove the tables as well: subscriptions, outbox and log are lost
    #[arg(long)]
    purge: bool,
    /// How long to go on trying while tables are busy, in seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    wait: u64,
}

/// Prints what `install` would run, as a script for psql.
///
/// # Errors
/// Database errors; not an Odoo database.
pub async fn plan(database: Database, args: Roles) -> Result<()> {
    let client = database.connect().await?;
    let found = schema::installed(&client).await?;
    data(format_args!(
        "-- odoo-eventd {}: what `install` runs on {database}",
        env!("CARGO_PKG_VERSION")
    ))?;
    data("begin;")?;
    for step in schema::install_plan(&found, &args.into()) {
        data(format_args!("\n-- {}", step.title))?;
        data(step.sql.trim_end())?;
    }
    data("\ncommit;")
}

/// Installs or upgrades.
///
/// # Errors
/// Database errors; not an Odoo database; no rights.
pub async fn install(database: Database, args: Roles) -> Result<()> {
    let mut client = database.connect().await?;
    let roles = args.into();
    let until = Instant::now() + INSTALL_WAIT;
    let schema::Change { before, worked, after } = loop {
        match schema::install(&mut client, &roles).await {
            Err(error) if error.is_lock_timeout() && Instant::now() < until => {
                say("a table of odoo-eventd is in use, trying again; nothing was changed yet");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            installed => break installed?,
        }
    };
    match before {
        0 => say(format_args!("installed in {database} (schema version {after})")),
        _ if before < after => say(format_args!(
            "upgraded {database} from schema version {before} to {after}"
        )),
        _ if !worked => say(format_args!(
            "installed in {database} again (schema version {after}): it goes on with the subscriptions and the log that were kept"
        )),
        _ => say(format_args!("{database} is up to date (schema version {after})")),
    }
    Ok(())
}

/// How long an installation goes on trying: as long as a dump or a report may take.
const INSTALL_WAIT: Duration = Duration::from_secs(1_800);

/// How long one try waits for its locks, and writers behind it.
const LOCK_WAIT_MS: u32 = 300;

/// Removes what was installed, trying again while tables are busy.
///
/// # Errors
/// Database errors; a table that stays busy.
pub async fn uninstall(database: Database, args: Uninstall) -> Result<()> {
    let mut client = database.connect().await?;
    let until = Instant::now() + Duration::from_secs(args.wait);
    loop {
        match schema::uninstall(&mut client, args.purge, LOCK_WAIT_MS).await {
            Ok(()) => break,
            Err(error) if error.is_lock_timeout() && Instant::now() < until => {
                say("a table is busy, trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Err(error) => return Err(error),
        }
    }
    say(format_args!(
        "{} removed from {database}",
        if args.purge {
            "triggers, functions and tables were"
        } else {
            "triggers and functions were"
        }
    ));
    if !args.purge {
        say("subscriptions and the delivery log are still there; `uninstall --purge` removes them");
    }
    Ok(())
}
