//! `capture off|on` and `adopt`.

use clap::{Args, ValueEnum};

use super::connect_installed;
use super::output::say;
use crate::pg::connect::Database;
use crate::{Result, ops};

/// Switches capture.
#[derive(Debug, Args)]
pub struct Capture {
    /// on or off
    #[arg(value_enum)]
    to: Switch,
    /// Only this model
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

/// Says what happens to what is pending.
#[derive(Debug, Args)]
pub struct Adopt {
    /// Deliver what is pending in this copy, or drop it
    #[arg(long, value_enum)]
    pending: Pending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pending {
    Keep,
    Drop,
}

/// Switches capture on or off.
///
/// # Errors
/// Database errors; a model that is not captured.
pub async fn capture(database: Database, args: Capture) -> Result<()> {
    let client = connect_installed(&database).await?;
    let models = ops::switch_capture(&client, args.to == Switch::On, args.model.as_deref()).await?;
    let word = if args.to == Switch::On { "on" } else { "off" };
    match args.model {
        None => say(format_args!(
            "capture is {word} in {database} ({} models)",
            models.len()
        )),
        Some(model) => say(format_args!("capture of {model} is {word} in {database}")),
    }
    Ok(())
}

/// Adopts a copy.
///
/// # Errors
/// Database errors.
pub async fn adopt(database: Database, args: Adopt) -> Result<()> {
    let client = connect_installed(&database).await?;
    say(ops::adopt(&client, args.pending == Pending::Keep).await?);
    Ok(())
}
