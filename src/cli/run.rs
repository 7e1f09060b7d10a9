//! `run`: the service.

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::output;
use crate::config::{RawConfig, RunConfig};
use crate::worker::process::Process;
use crate::worker::supervisor::{self, Options};
use crate::{Error, Result};

/// Settings of the service.
#[derive(Debug, Args)]
pub struct Run {
    /// TOML file with settings; flags and environment go before it
    #[arg(long, env = "ODOO_EVENTD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the settings that result, and exit
    #[arg(long)]
    print_config: bool,
    #[command(flatten)]
    settings: RawConfig,
}

/// Runs until SIGTERM or SIGINT; a second signal ends it at once.
///
/// # Errors
/// What cannot heal by itself; see [`supervisor::run`].
pub async fn run(database_url: Option<String>, args: Run) -> Result<()> {
    let config = RunConfig::resolve(args.settings, database_url, args.config.as_deref())?;
    if args.print_config {
        return output::json(
            &serde_json::json!({ "database": config.database.to_string(), "settings": config.settings }),
        );
    }
    let options = Options {
        database: config.database.clone(),
        client: config.client.clone(),
        keyring: config.keyring.clone(),
        poll_interval: config.poll_interval(),
        max_in_flight: config.settings.max_in_flight,
        max_in_flight_per_subscription: config.settings.max_in_flight_per_subscription,
        grace: config.shutdown_grace(),
    };
    let stop = CancellationToken::new();
    let mut term = on_signal(SignalKind::terminate())?;
    let mut interrupt = on_signal(SignalKind::interrupt())?;
    let service = supervisor::run(options, Process::default(), stop.clone());
    tokio::pin!(service);
    tokio::select! {
        ended = &mut service => return ended,
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: nothing new is begun, what is under way may end");
    stop.cancel();
    tokio::select! {
        ended = service => ended,
        _ = term.recv() => Err(Error::other("stopped at once by a second signal")),
        _ = interrupt.recv() => Err(Error::other("stopped at once by a second signal")),
    }
}

fn on_signal(kind: SignalKind) -> Result<tokio::signal::unix::Signal> {
    signal(kind).map_err(|e| Error::other("cannot listen for signals").with_source(e))
}
