//! The HTTP API beside the service (`run`), or alone (`serve`).

use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::output;
use super::run::{Asked, Run, Signals, shown, stopped_at_once};
use crate::api::door::DoorOptions;
use crate::api::{self, Api};
use crate::config::{DatabaseUrl, RunConfig};
use crate::telemetry::Log;
use crate::{Error, Result, systemd};

/// The API's server, once it listens.
#[derive(Debug)]
pub struct ApiServer {
    api: Api,
    task: JoinSet<()>,
}

impl ApiServer {
    /// Begins to listen and to serve, if the settings name an address.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn start(config: &RunConfig, stop: &CancellationToken) -> Result<Option<Self>> {
        let settings = config.settings.api.clone();
        let Some(address) = settings.listen else {
            return Ok(None);
        };
        let listener = api::listen(address).await?;
        tracing::info!(%address, "the API is served");
        let api = Api::new(settings, DoorOptions::all(config)?, stop.clone());
        let mut task = JoinSet::new();
        task.spawn(until_stopped(
            api.clone(),
            listener,
            stop.clone(),
            config.shutdown_grace(),
        ));
        Ok(Some(Self { api, task }))
    }

    /// Serves what this configuration names from now on.
    ///
    /// # Errors
    /// As [`DoorOptions::all`].
    pub fn reload(&self, config: &RunConfig) -> Result<()> {
        self.api.serve_these(DoorOptions::all(config)?);
        Ok(())
    }

    /// Waits until it has stopped although nobody asked it to; for ever where there is none.
    pub async fn ended_early(server: Option<&mut Self>) {
        match server {
            Some(server) => server.ended().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until it has stopped.
    pub async fn ended(&mut self) {
        while self.task.join_next().await.is_some() {}
    }
}

/// What is asked when it is stopped may take so long to be answered.
async fn until_stopped(api: Api, listener: tokio::net::TcpListener, stop: CancellationToken, grace: Duration) {
    let over = async {
        stop.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        () = api.run(listener) => {}
        () = over => tracing::warn!("what was asked of the API and not answered in time was cut off"),
    }
}

/// Serves the API until SIGTERM or SIGINT; a second signal ends it at once. SIGHUP reads the configuration again.
///
/// # Errors
/// [`Error::is_usage`] where no address is named; an address that cannot be had.
pub async fn serve(database_url: DatabaseUrl, args: Run, log: &Log) -> Result<()> {
    let resolve = || RunConfig::resolve(args.settings.clone(), database_url.read()?, args.config.as_deref());
    let config = resolve()?;
    if args.print_config {
        return output::json(&shown(&config));
    }
    log.set(config.settings.log.as_deref())?;
    let stop = CancellationToken::new();
    let mut signals = Signals::new()?;
    let Some(mut server) = ApiServer::start(&config, &stop).await? else {
        return Err(
            Error::usage("it was not said where to serve the API").with_hint("for example --api-listen 127.0.0.1:8075")
        );
    };
    let informed = systemd::keep_informed_of_serving();
    tokio::pin!(informed);
    loop {
        let asked = tokio::select! {
            () = &mut informed => continue,
            () = server.ended() => {
                return Err(Error::other("the API has ended by a mistake in this program; its log says which"));
            }
            asked = signals.next() => asked,
        };
        if asked == Asked::Stop {
            break;
        }
        systemd::reloading();
        match resolve().and_then(|new| log.set(new.settings.log.as_deref()).and_then(|()| server.reload(&new))) {
            Ok(()) => tracing::info!("the configuration was read again"),
            Err(error) => tracing::error!(
                error = %error.chain(), hint = error.hint(),
                "the new configuration is wrong: the old one goes on"
            ),
        }
        systemd::reloaded();
    }
    systemd::stopping();
    stop.cancel();
    tokio::select! {
        () = server.ended() => Ok(()),
        () = signals.stop() => Err(stopped_at_once()),
    }
}
