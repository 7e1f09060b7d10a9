//! `run`: the service.

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::output;
use crate::config::{RawConfig, RunConfig};
use crate::worker::fleet;
use crate::worker::process::Process;
use crate::worker::slots::Limits;
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
        return output::json(&shown(&config));
    }
    let mut options = options_of(&config)?;
    let process = Process::new(config.settings.max_in_flight);
    let stop = CancellationToken::new();
    let mut term = on_signal(SignalKind::terminate())?;
    let mut interrupt = on_signal(SignalKind::interrupt())?;
    let service = async {
        match options.pop() {
            // What cannot heal by itself is told to whoever started it: it serves nothing else.
            Some(only) if !config.serves_many => {
                let span = tracing::info_span!("database", name = only.name);
                supervisor::run(only, process, stop.clone()).instrument(span).await
            }
            last => {
                options.extend(last);
                fleet::run(options, process, stop.clone()).await
            }
        }
    };
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

fn options_of(config: &RunConfig) -> Result<Vec<Options>> {
    let served = config.databases.iter().zip(config.clients()?);
    Ok(served
        .map(|(served, (guards, client))| Options {
            name: served.name.clone(),
            database: served.database.clone(),
            guard: guards.of_subscriptions,
            client,
            keyring: config.keyring.clone(),
            poll_interval: config.poll_interval(),
            limits: Limits {
                total: served.max_in_flight,
                ..config.limits()
            },
            give_up: config.give_up(),
            grace: config.shutdown_grace(),
        })
        .collect())
}

/// The settings that result, without secrets.
fn shown(config: &RunConfig) -> serde_json::Value {
    match config.databases.as_slice() {
        [only] if !config.serves_many => {
            serde_json::json!({ "database": only.database.to_string(), "settings": config.settings })
        }
        many => serde_json::json!({ "databases": many, "settings": config.settings }),
    }
}

fn on_signal(kind: SignalKind) -> Result<tokio::signal::unix::Signal> {
    signal(kind).map_err(|e| Error::other("cannot listen for signals").with_source(e))
}
