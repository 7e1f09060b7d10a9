//! `token create`, `token list` and `token revoke`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::output::{self, Json, cell, data, say, table};
use super::secrets::duration;
use super::verbs;
use crate::ops::tokens::NewToken;
use crate::ops::{Operator, Scope};
use crate::pg::connect::Database;
use crate::{Error, Result};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Makes a token for the HTTP API, and prints it this once
    Create(Create),
    /// Lists tokens, revoked ones too
    List(Json),
    /// Revokes a token, for good
    Revoke(Revoke),
}

/// Which token to make.
#[derive(Debug, Args)]
pub struct Create {
    /// Its name: what is made with it is made through the connection of this name
    #[arg(long)]
    name: String,
    /// What it may be used for: subscriptions:read, subscriptions:write, deliveries:read, deliveries:redeliver, events:read, inbound, admin
    #[arg(long, required = true, value_delimiter = ',', value_name = "SCOPE")]
    scope: Vec<Scope>,
    /// The Odoo user for whom it acts: what is that user's is its to see
    #[arg(long, value_name = "LOGIN|ID")]
    user: Option<String>,
    /// The only models that it may be used for: sale.order,res.partner
    #[arg(long, value_delimiter = ',', value_name = "MODELS")]
    models: Option<Vec<String>>,
    /// How long it may be used: 90d, 12h [default: until it is revoked]
    #[arg(long, value_name = "DURATION", value_parser = parse_life)]
    expires: Option<Duration>,
    #[command(flatten)]
    output: Json,
}

/// Which token to revoke.
#[derive(Debug, Args)]
pub struct Revoke {
    /// Its id
    id: i32,
}

/// Runs one of them.
///
/// # Errors
/// Wrong use; database errors.
pub async fn token(database: Database, command: TokenCommand) -> Result<()> {
    match command {
        TokenCommand::Create(args) => create(database, args).await,
        TokenCommand::List(args) => list(database, args).await,
        TokenCommand::Revoke(args) => revoke(database, args).await,
    }
}

async fn create(database: Database, args: Create) -> Result<()> {
    let new = NewToken {
        name: args.name,
        scopes: args.scope.into_iter().collect(),
        user: args.user,
        models: args.models,
        lives: args.expires,
    };
    let is_admin = new.scopes.contains(&Scope::Admin);
    let made = verbs(database)
        .await?
        .create_token(&Operator::of_database(), new)
        .await?;
    if args.output.json {
        output::json(&made)?;
    } else {
        data(&made.token)?;
    }
    let of = match (&made.info.models, is_admin) {
        (Some(models), _) => format!("every record of {}", models.join(", ")),
        (None, true) => {
            "every record of every model that the installer allowed, and everybody's subscriptions".to_owned()
        }
        (None, false) => "every record of every model that the installer allowed".to_owned(),
    };
    say(format_args!(
        "token {} is not shown again. Odoo's record rules do not apply to what a database trigger tells: with this token {of} can be read.",
        made.info.id
    ));
    Ok(())
}

async fn list(database: Database, args: Json) -> Result<()> {
    let tokens = verbs(database).await?.tokens(&Operator::of_database()).await?;
    if args.json {
        return output::json(&tokens);
    }
    const COLUMNS: [&str; 9] = [
        "id",
        "name",
        "scopes",
        "models",
        "user_id",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    ];
    let rows: Vec<Vec<String>> = tokens
        .iter()
        .map(|token| {
            let token = serde_json::json!(token);
            COLUMNS.iter().map(|column| cell(token.get(column))).collect()
        })
        .collect();
    table(&COLUMNS, &rows)
}

async fn revoke(database: Database, args: Revoke) -> Result<()> {
    let id = args.id;
    let since = verbs(database)
        .await?
        .revoke_token(&Operator::of_database(), id)
        .await?;
    say(format_args!(
        "token {id} is revoked since {since:.0}; every instance refuses it within a second"
    ));
    Ok(())
}

/// The longest life of a token that ends at all.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

fn parse_life(text: &str) -> Result<Duration> {
    duration(text)
        .filter(|life| !life.is_zero() && *life <= LONGEST)
        .ok_or_else(|| Error::usage("it is no time that a token could live").with_hint("write 90d or 12h"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_has_a_unit_and_an_end_that_can_be_written() {
        assert_eq!(parse_life("90d").unwrap(), Duration::from_secs(90 * 86_400));
        assert_eq!(parse_life("12h").unwrap(), Duration::from_secs(43_200));
        for wrong in ["", "90", "d", "0d", "-1d", "4000d", "99999999999999999w"] {
            assert!(parse_life(wrong).unwrap_err().is_usage(), "{wrong}");
        }
    }
}
