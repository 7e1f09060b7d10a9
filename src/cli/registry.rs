//! `registry pull`: asks Odoo what its tables do not tell about its fields, and keeps the answer.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::output;
use super::secret::read_secret_file;
use crate::http::odoo::Odoo;
use crate::pg::connect::Database;
use crate::pg::{operations, registry};
use crate::{Error, Result};

/// What to do with the registry.
#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    /// Asks Odoo for the domains and digits of its fields, for modules this program does not know
    Pull(Pull),
}

/// Whom to ask.
#[derive(Debug, Args)]
pub struct Pull {
    /// Where Odoo answers: `https://odoo.example.com`
    #[arg(long, value_name = "URL")]
    odoo_url: String,
    /// The login of an Odoo user who may see the models
    #[arg(long)]
    login: String,
    /// A file with the password or an API key; without it one line is read from stdin
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// Runs a registry command.
///
/// # Errors
/// Odoo cannot be asked or refuses the login; database errors; nothing is installed.
pub async fn registry(database: Database, command: RegistryCommand) -> Result<()> {
    match command {
        RegistryCommand::Pull(args) => pull(database, args).await,
    }
}

async fn pull(database: Database, args: Pull) -> Result<()> {
    let password = match &args.password_file {
        Some(file) => read_secret_file(file)?,
        None => read_password()?,
    };
    let client = super::connect_installed(&database).await?;
    let known = registry::load(&client).await?;
    let name = operations::database_name(&client).await?;
    let mut models: Vec<&str> = known
        .models()
        .filter(|model| model.table.name().is_some())
        .map(|model| model.name.as_str())
        .collect();
    models.sort_unstable();
    let odoo = Odoo::log_in(&args.odoo_url, &name, &args.login, &password).await?;
    let pulled = odoo.fields_of(&models).await?;
    registry::store_pulled(&client, &args.odoo_url, &pulled).await?;
    output::say(format_args!(
        "Odoo told about {} of {} models",
        pulled.len(),
        models.len()
    ));
    Ok(())
}

/// One line of stdin: what a prompt or a pipe gives.
fn read_password() -> Result<String> {
    output::say(format_args!("password or API key of the Odoo user:"));
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .map_err(|e| Error::usage("cannot read the password").with_source(e))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
