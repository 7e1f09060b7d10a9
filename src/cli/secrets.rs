//! `secret rotate` and `secret rewrap`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::output::{self, data, say};
use super::secret::read_secret_file;
use super::{connect_installed, verbs};
use crate::config::{read_keyring, secret_key_file};
use crate::ops::Operator;
use crate::ops::subscriptions::secret::OVERLAP_AT_MOST;
use crate::pg::connect::Database;
use crate::sealing::Keyring;
use crate::signature::Secret;
use crate::{Error, Result, ops};

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Gives a subscription a new secret; for a while the old one signs as well
    Rotate(Rotate),
    /// Encrypts all secrets in the database with a new key
    Rewrap(Rewrap),
}

/// Whose secret to change.
#[derive(Debug, Args)]
pub struct Rotate {
    /// The subscription's id
    id: i32,
    /// How long both secrets sign: 24h, 7d, 0s
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = parse_overlap)]
    overlap: Duration,
    /// File with the new secret; without it one is made and printed
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    #[command(flatten)]
    output: output::Json,
}

/// With which keys.
#[derive(Debug, Args)]
pub struct Rewrap {
    /// File with the new key
    #[arg(long, value_name = "FILE")]
    new_key_file: PathBuf,
    /// File with the key that is in use, if secrets are encrypted already
    #[arg(long, env = "ODOO_EVENTD_SECRET_KEY_FILE", value_name = "FILE")]
    secret_key_file: Option<PathBuf>,
    #[command(flatten)]
    output: output::Json,
}

/// Runs one of them.
///
/// # Errors
/// Wrong use; database errors.
pub async fn secret(database: Database, command: SecretCommand) -> Result<()> {
    match command {
        SecretCommand::Rotate(args) => rotate(database, args).await,
        SecretCommand::Rewrap(args) => rewrap(database, args).await,
    }
}

async fn rotate(database: Database, args: Rotate) -> Result<()> {
    let secret = args.secret_file.as_deref().map(read_secret_file).transpose()?;
    let secret = secret.map(Secret::parse).transpose()?;
    let service = verbs(database).await?;
    let operator = Operator::of_database();
    let rotated = service
        .rotate_secret(&operator, args.id, secret.as_ref(), args.overlap)
        .await?;
    if args.output.json {
        output::json(&rotated)?;
    } else if let Some(made) = &rotated.secret {
        data(made)?;
    }
    match rotated.old_signs_until {
        Some(until) => say(format_args!(
            "subscription {} has a new secret; both sign until {until:.0}, X-MCP-Signature with the old one until then",
            args.id
        )),
        None => say(format_args!(
            "subscription {} has a new secret, which signs alone from now on",
            args.id
        )),
    }
    Ok(())
}

async fn rewrap(database: Database, args: Rewrap) -> Result<()> {
    let old = read_keyring(secret_key_file(args.secret_key_file).as_deref())?;
    let new = Keyring::read(&args.new_key_file)?;
    let client = connect_installed(&database).await?;
    let rewrapped = ops::rewrap_secrets(&client, old.as_ref(), &new).await?;
    if args.output.json {
        output::json(&rewrapped)?;
    }
    say(format_args!(
        "{} secrets are encrypted with key {} now, {} were already: start the service with {}",
        rewrapped.rewrapped,
        new.id(),
        rewrapped.left,
        args.new_key_file.display()
    ));
    Ok(())
}

fn parse_overlap(text: &str) -> Result<Duration, Error> {
    duration(text)
        .filter(|overlap| *overlap <= OVERLAP_AT_MOST)
        .ok_or_else(|| Error::usage("it is not a duration of at most a year").with_hint("write 24h, 7d or 30m"))
}

/// A duration as people write one: `24h`, `7d`; a day has 24 hours.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let span: jiff::Span = text.parse().ok()?;
    let seconds = span.total((jiff::Unit::Second, jiff::SpanRelativeTo::days_are_24_hours()));
    Duration::try_from_secs_f64(seconds.ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlap_is_a_duration_of_at_most_a_year() {
        assert_eq!(parse_overlap("24h").unwrap(), Duration::from_secs(86_400));
        assert_eq!(parse_overlap("7d").unwrap(), Duration::from_secs(7 * 86_400));
        assert_eq!(parse_overlap("0s").unwrap(), Duration::ZERO);
        for wrong in ["", "soon", "-1h", "400d", "24"] {
            assert!(parse_overlap(wrong).is_err(), "{wrong}");
        }
    }
}
