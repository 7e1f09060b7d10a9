//! `mcp`: the door for assistants on standard input and output.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::receive::stopped;
use crate::api::gate::{Gate, Refused};
use crate::config::{DatabaseUrl, RawConfig, RunConfig};
use crate::mcp::stdio;
use crate::mcp::visitor::Visitor;
use crate::ops::{Operator, Service};
use crate::worker::upkeep::admission::ServiceRules;
use crate::{Error, Result};

/// One client asks for one thing after the other, and waits.
const SESSIONS: usize = 4;

/// A client's calls are not held back.
const CALLS_PER_SECOND: u32 = 1_000;

/// For whom to speak MCP.
#[derive(Debug, Args)]
pub struct Mcp {
    /// A file with a token of `token create`, which says what may be done and for whom
    #[arg(long, env = "ODOO_EVENTD_TOKEN_FILE", value_name = "FILE", conflicts_with = "user")]
    token_file: Option<PathBuf>,
    /// The Odoo user for whom the database's own login acts: everything there is may be seen and done then
    #[arg(long, value_name = "LOGIN|ID", required_unless_present = "token_file")]
    user: Option<String>,
    /// TOML file with the service's settings, of which those count that say whom it calls
    #[arg(long, env = "ODOO_EVENTD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Networks that may be called although they are private, as the service's own setting
    #[arg(long, env = "ODOO_EVENTD_ALLOW_NETWORKS", value_delimiter = ',', value_name = "CIDR")]
    allow_networks: Vec<String>,
    /// Ports that may be called at public addresses, as the service's own setting
    #[arg(long, env = "ODOO_EVENTD_ALLOW_PORTS", value_delimiter = ',', value_name = "PORT")]
    allow_ports: Vec<u16>,
}

/// Serves one client until it goes, Ctrl-C or SIGTERM.
///
/// # Errors
/// Wrong use; a token that lets nobody in; database errors.
pub async fn mcp(url: DatabaseUrl, args: Mcp) -> Result<()> {
    let said = RawConfig {
        allow_networks: args.allow_networks,
        allow_ports: args.allow_ports,
        ..RawConfig::default()
    };
    let settings = RunConfig::of_one(said, url.read()?, args.config.as_deref())?;
    let rules = ServiceRules {
        guard: settings.guards.of_subscriptions,
        keyring: settings.keyring,
    };
    let service = Service::open(settings.database, rules, SESSIONS).await?;
    let service = service.sending_by(settings.client);
    let visitor = match (&args.token_file, &args.user) {
        (Some(file), _) => with_token(service, file).await?,
        (None, user) => {
            let user = user.as_deref().unwrap_or_default();
            let operator = Operator::of_database();
            let id = service.user_named(&operator, user).await?;
            Visitor::of_database(service, operator.for_user(id))
        }
    };
    let stop = CancellationToken::new();
    tokio::select! {
        served = stdio::serve(visitor, stop.clone()) => served,
        () = stopped() => {
            stop.cancel();
            Ok(())
        }
    }
}

async fn with_token(service: Service, file: &Path) -> Result<Visitor> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Error::usage(format!("cannot read the token from {}", file.display())).with_source(e))?;
    let gate = Arc::new(Gate::new(CALLS_PER_SECOND));
    let database = "";
    Visitor::with_token(service, &gate, database, text.trim())
        .await
        .map(|(visitor, _place)| visitor)
        .map_err(|refused| match refused {
            Refused::Unknown(error) => (*error).into(),
            Refused::Wrong | Refused::TooFast(_) | Refused::TooMany => Error::usage(format!(
                "the token in {} is none, or it was revoked, or its time is over",
                file.display()
            ))
            .with_hint("make another: odoo-eventd token create"),
        })
}
