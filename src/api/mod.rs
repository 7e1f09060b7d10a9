//! The door for programs: REST over HTTP, `/api/v1`. Off unless `[api] listen` names an address.
//!
//! ```text
//!  request ─ layers: id, log, Host ─▶ which database ─▶ route ─ Caller: token, pace, scope ─▶ a verb of ops ─▶ answer | Problem
//! ```
//!
//! A route reads what a request brings, calls one verb and writes the answer; it has neither SQL nor judgement of its own. Connections
//! and database sessions are apart from those of the service, so nobody who asks here slows a delivery. The document of all routes is made
//! from the code ([`openapi`]).

pub mod ask;
pub mod caller;
pub mod condition;
pub mod door;
pub mod gate;
pub mod layers;
pub mod openapi;
pub mod pace;
pub mod page;
pub mod problem;
pub mod restapi;
pub mod v1;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::door::{Door, DoorOptions};
use self::layers::Mount;
use self::pace::Strangers;
use crate::Result;
use crate::config::ApiSettings;
use crate::http::server::{self, Limits};

/// How often sessions that nobody uses are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(10);

/// Requests that are under way at once: each may hold a body of 1 MiB.
const UNDER_WAY: usize = 1_024;

/// What all requests share.
#[derive(Debug)]
pub struct Shared {
    /// The settings.
    pub settings: ApiSettings,
    /// Whoever brings wrong tokens.
    pub strangers: Strangers,
    /// Cancelled when the server is asked to stop: streams end then.
    pub stop: CancellationToken,
    /// For requests under way; streams that have begun are none.
    pub places: Semaphore,
    /// What changes something, and is done to its end also when whoever asked has gone.
    pub changes: TaskTracker,
    doors: Mutex<Arc<BTreeMap<String, Arc<Door>>>>,
}

impl Shared {
    /// The databases that are served, by name.
    pub fn doors(&self) -> Arc<BTreeMap<String, Arc<Door>>> {
        Arc::clone(&self.doors.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What clients reach as the root of the database that is mounted here: a URL where `public_url` says which, else a path.
    pub fn root(&self, mount: &Mount) -> String {
        match &self.settings.public_url {
            // What a proxy takes away is before the path that we see.
            Some(public) => {
                let own = mount.0.strip_prefix(self.settings.base_path.as_str());
                format!("{public}{}", own.unwrap_or(&mount.0))
            }
            None => mount.0.clone(),
        }
    }
}

/// The HTTP server of the API. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Api(Arc<Shared>);

impl Api {
    /// Serves these databases, once it is run.
    pub fn new(settings: ApiSettings, databases: Vec<DoorOptions>, stop: CancellationToken) -> Self {
        let api = Self(Arc::new(Shared {
            settings,
            strangers: Strangers::new(Instant::now()),
            stop,
            places: Semaphore::new(UNDER_WAY),
            changes: TaskTracker::new(),
            doors: Mutex::default(),
        }));
        api.serve_these(databases);
        api
    }

    /// Serves these from now on. What is being asked of others is answered.
    pub fn serve_these(&self, databases: Vec<DoorOptions>) {
        let doors = databases
            .into_iter()
            .map(|options| (options.name.clone(), Arc::new(Door::new(options))));
        *self.0.doors.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(doors.collect());
    }

    /// Everything that it answers.
    pub fn router(&self) -> Router {
        layers::around(Arc::clone(&self.0), openapi::routes(&self.0))
    }

    /// Serves until it is stopped, and then until what was asked is answered. Dropped, it cuts off what is left.
    pub async fn run(self, listener: TcpListener) {
        let settings = &self.0.settings;
        let limits = Limits {
            connections: settings.max_connections,
            request_within: Duration::from_secs(15),
            reads_within: Duration::from_secs(30),
            connection_within: None,
            head_bytes: 32 * 1024,
        };
        let served = server::serve(listener, self.router(), limits, self.0.stop.clone());
        tokio::pin!(served);
        let mut tidy = tokio::time::interval(TIDY_EVERY);
        loop {
            tokio::select! {
                () = &mut served => break,
                _ = tidy.tick() => for door in self.0.doors().values() {
                    door.close_idle().await;
                },
            }
        }
        self.0.changes.close();
        self.0.changes.wait().await;
    }
}

/// Begins to listen.
///
/// # Errors
/// When the address cannot be had.
pub async fn listen(address: std::net::SocketAddr) -> Result<TcpListener> {
    let listener = server::listen("api.listen", address).await?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "tokens and answers go in plain text over the network: have a proxy with TLS in front of the API");
    }
    Ok(listener)
}
