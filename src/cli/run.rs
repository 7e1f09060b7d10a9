//! `run`: the service.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::output;
use super::serve::ApiServer;
use crate::config::{DatabaseUrl, RawConfig, RunConfig};
use crate::telemetry::Log;
use crate::worker::deliver::slots::Limits;
use crate::worker::term::budget::Budget;
use crate::worker::term::fleet::Fleet;
use crate::worker::term::supervisor::Options;
use crate::worker::vitals::board::Board;
use crate::{Error, Result, systemd, web};

/// Settings of the service.
#[derive(Debug, Args)]
pub struct Run {
    /// TOML file with settings; flags and environment go before it
    #[arg(long, env = "ODOO_EVENTD_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print the settings that result, and exit
    #[arg(long)]
    pub(super) print_config: bool,
    #[command(flatten)]
    pub(super) settings: RawConfig,
}

/// Runs until SIGTERM or SIGINT; a second signal ends it at once. SIGHUP reads the configuration again.
///
/// # Errors
/// What cannot heal by itself; see [`crate::worker::term::supervisor::run`].
pub async fn run(database_url: DatabaseUrl, args: Run, log: &Log) -> Result<()> {
    let resolve = || RunConfig::resolve(args.settings.clone(), database_url.read()?, args.config.as_deref());
    let config = resolve()?;
    if args.print_config {
        return output::json(&shown(&config));
    }
    log.set(config.settings.log.as_deref())?;
    let stop = CancellationToken::new();
    let mut signals = Signals::new()?;
    let board = Arc::new(Board::new(
        Duration::from_secs(config.settings.alarm_after_s),
        config.serves_many,
    ));
    let pages = match config.settings.listen_http {
        Some(address) => Some(web::listen(address).await?),
        None => None,
    };
    let mut api = ApiServer::start(&config, &stop).await?;
    let beside = async {
        let pages = async {
            match pages {
                Some(listener) => web::serve(listener, Arc::clone(&board)).await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(pages, systemd::keep_informed(Arc::clone(&board)));
    };
    tokio::pin!(beside);
    let budget = Budget::new(config.settings.max_in_flight);
    let mut fleet = Fleet::new(budget, Arc::clone(&board), config.serves_many, stop.clone());
    fleet.serve(options_of(&config)?);
    loop {
        tokio::select! {
            ended = fleet.ended() => return ended,
            () = &mut beside => {}
            // Deliveries do not end for it.
            () = ApiServer::ended_early(api.as_mut()) => {
                tracing::error!("the API has ended by a mistake in this program and is not served any more: restart the service");
                api = None;
            }
            asked = signals.next() => {
                if asked == Asked::Stop {
                    break;
                }
                systemd::reloading();
                let read = resolve().and_then(|new| {
                    let options = options_of(&new)?;
                    // Both or none: what one door cannot read must not end what the other does.
                    api.as_ref().map_or(Ok(()), |api| api.reload(&new))?;
                    log.set(new.settings.log.as_deref())?;
                    Ok((new, options))
                });
                match read {
                    Ok((new, options)) => {
                        warn_of_what_needs_a_restart(&config, &new);
                        fleet.serve(options);
                        tracing::info!("the configuration was read again");
                    }
                    Err(error) => tracing::error!(
                        error = %error.chain(), hint = error.hint(),
                        "the new configuration is wrong: the old one goes on"
                    ),
                }
                systemd::reloaded();
            }
        }
    }
    tracing::info!("stopping: nothing new is begun, what is under way may end");
    systemd::stopping();
    stop.cancel();
    loop {
        tokio::select! {
            ended = fleet.ended() => {
                ended?;
                break;
            }
            () = &mut beside => {}
            asked = signals.next() => if asked == Asked::Stop {
                return Err(stopped_at_once());
            }
        }
    }
    if let Some(api) = &mut api {
        tokio::select! {
            () = api.ended() => {}
            () = &mut beside => {}
            () = signals.stop() => return Err(stopped_at_once()),
        }
    }
    Ok(())
}

fn warn_of_what_needs_a_restart(old: &RunConfig, new: &RunConfig) {
    if new.settings.listen_http != old.settings.listen_http
        || new.settings.alarm_after_s != old.settings.alarm_after_s
        || new.settings.max_in_flight != old.settings.max_in_flight
        || new.settings.state_directory != old.settings.state_directory
        || new.serves_many != old.serves_many
    {
        tracing::warn!(
            "listen_http, alarm_after_s, state_directory, max_in_flight of the process, and whether it serves many databases change with a restart only"
        );
    }
    if new.settings.api != old.settings.api {
        tracing::warn!("the settings of [api] change with a restart only");
    }
}

pub(super) fn stopped_at_once() -> Error {
    Error::other("stopped at once by a second signal")
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
            log_retention_days: config.settings.log_retention_days,
            feed: config.feed(),
            state_directory: config.settings.state_directory.clone(),
        })
        .collect())
}

/// The settings that result, without secrets.
pub(super) fn shown(config: &RunConfig) -> serde_json::Value {
    match config.databases.as_slice() {
        [only] if !config.serves_many => {
            serde_json::json!({ "database": only.database.to_string(), "settings": config.settings })
        }
        many => serde_json::json!({ "databases": many, "settings": config.settings }),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Stop,
    Reload,
}

/// The signals that the service hears.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self> {
        let on = |kind| signal(kind).map_err(|e| Error::other("cannot listen for signals").with_source(e));
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// Waits until somebody asks to stop; a reload is not what he asks.
    pub(super) async fn stop(&mut self) {
        while self.next().await != Asked::Stop {}
    }

    pub(super) async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}
