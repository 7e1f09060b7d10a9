//! `run`: the service.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::output;
use crate::config::{DatabaseUrl, RawConfig, RunConfig};
use crate::telemetry::Log;
use crate::worker::supervisor::{self, Options};
use crate::worker::vitals::Vitals;
use crate::{Error, Result, systemd, web};

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

/// Runs until SIGTERM or SIGINT; a second signal ends it at once. SIGHUP reads the configuration again.
///
/// # Errors
/// What cannot heal by itself; see [`supervisor::run`].
pub async fn run(database_url: DatabaseUrl, args: Run, log: &Log) -> Result<()> {
    let resolve = || RunConfig::resolve(args.settings.clone(), database_url.read()?, args.config.as_deref());
    let config = resolve()?;
    if args.print_config {
        return output::json(
            &serde_json::json!({ "database": config.database.to_string(), "settings": config.settings }),
        );
    }
    log.set(config.settings.log.as_deref())?;
    let stop = CancellationToken::new();
    let mut signals = Signals::new()?;
    let vitals = Arc::new(Vitals::new(Duration::from_secs(config.settings.alarm_after_s)));
    let pages = match config.settings.listen_http {
        Some(address) => Some(web::listen(address).await?),
        None => None,
    };
    let beside = async {
        let pages = async {
            match pages {
                Some(listener) => web::serve(listener, Arc::clone(&vitals)).await,
                None => std::future::pending().await,
            }
        };
        tokio::join!(pages, systemd::keep_informed(Arc::clone(&vitals)));
    };
    tokio::pin!(beside);
    let (options_sender, options) = watch::channel(options_of(&config));
    let service = supervisor::run(options, Arc::clone(&vitals), stop.clone());
    tokio::pin!(service);
    loop {
        tokio::select! {
            ended = &mut service => return ended,
            () = &mut beside => {}
            asked = signals.next() => {
                if asked == Asked::Stop {
                    break;
                }
                systemd::reloading();
                match resolve().and_then(|new| log.set(new.settings.log.as_deref()).map(|()| new)) {
                    Ok(new) => {
                        if new.settings.listen_http != config.settings.listen_http
                            || new.settings.alarm_after_s != config.settings.alarm_after_s
                        {
                            tracing::warn!("listen_http and alarm_after_s change with a restart only");
                        }
                        options_sender.send_replace(options_of(&new));
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
            ended = &mut service => return ended,
            () = &mut beside => {}
            asked = signals.next() => if asked == Asked::Stop {
                return Err(Error::other("stopped at once by a second signal"));
            }
        }
    }
}

fn options_of(config: &RunConfig) -> Options {
    Options {
        database: config.database.clone(),
        client: config.client.clone(),
        keyring: config.keyring.clone(),
        poll_interval: config.poll_interval(),
        limits: config.limits(),
        give_up: config.give_up(),
        grace: config.shutdown_grace(),
        log_retention_days: config.settings.log_retention_days,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

/// The signals that the service hears.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self> {
        let on = |kind| signal(kind).map_err(|e| Error::other("cannot listen for signals").with_source(e));
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }
}
