//! One database as the API has it: its verbs, made when they are first asked for, and its gate.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gate::Gate;
use super::problem::Problem;
use crate::config::RunConfig;
use crate::http::client::Client;
use crate::ops::Service;
use crate::pg::connect::Database;
use crate::worker::upkeep::admission::ServiceRules;
use crate::{Error, Result};

/// A statement of a door that lasts longer is cut off: whoever asked has gone by then.
const STATEMENT_WITHIN: Duration = Duration::from_secs(25);

/// How often a database that cannot be reached is tried.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// A session that nobody used for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// A database that is to be served.
#[derive(Debug, Clone)]
pub struct DoorOptions {
    /// What its path and the logs call it.
    pub name: String,
    /// Where it is.
    pub database: Database,
    /// Who may be called, and what opens secrets.
    pub rules: ServiceRules,
    /// Calls them, for tests of endpoints.
    pub client: Client,
    /// Sessions at most.
    pub sessions: usize,
    /// Requests a second with one token.
    pub requests_per_second: u32,
}

/// See the [module documentation](self).
pub struct Door {
    options: DoorOptions,
    /// Who comes in.
    pub gate: Arc<Gate>,
    opened: tokio::sync::Mutex<Opened>,
}

#[derive(Default)]
struct Opened {
    service: Option<Service>,
    failed_at: Option<Instant>,
}

impl DoorOptions {
    /// Those of every database that the configuration names.
    ///
    /// # Errors
    /// As [`RunConfig::clients`].
    pub fn all(config: &RunConfig) -> Result<Vec<Self>> {
        let served = config.databases.iter().zip(config.clients()?);
        Ok(served
            .map(|(served, (guards, client))| Self {
                name: served.name.clone(),
                database: served.database.clone(),
                rules: ServiceRules {
                    guard: guards.of_subscriptions,
                    keyring: config.keyring.clone(),
                },
                client,
                sessions: config.settings.api.max_sessions,
                requests_per_second: config.settings.api.requests_per_second,
            })
            .collect())
    }
}

impl Door {
    /// Closed until somebody asks.
    pub fn new(options: DoorOptions) -> Self {
        Self {
            gate: Arc::new(Gate::new(options.requests_per_second)),
            options,
            opened: tokio::sync::Mutex::default(),
        }
    }

    /// What its path and the logs call it.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Its verbs.
    ///
    /// # Errors
    /// 503 where the database cannot be reached, or has no installation that this program knows: it is tried once a second at most.
    pub async fn service(&self) -> Result<Service, Problem> {
        let mut opened = self.opened.lock().await;
        if let Some(service) = &opened.service {
            return Ok(service.clone());
        }
        let closed = || Problem::unavailable("the database is not served now; the log of the service says why");
        if opened.failed_at.is_some_and(|at| at.elapsed() < TRY_EVERY) {
            return Err(closed());
        }
        let database = self.options.database.clone().cutting_off_after(STATEMENT_WITHIN);
        match Service::open(database, self.options.rules.clone(), self.options.sessions).await {
            Ok(service) => {
                let service = service.sending_by(self.options.client.clone());
                opened.service = Some(service.clone());
                Ok(service)
            }
            Err(error) => {
                self.tell(&error);
                opened.failed_at = Some(Instant::now());
                Err(closed())
            }
        }
    }

    fn tell(&self, error: &Error) {
        tracing::error!(
            database = self.options.name, error = %error.chain(), hint = error.hint(),
            "the API cannot serve this database"
        );
    }

    /// Closes sessions that nobody uses.
    pub async fn close_idle(&self) {
        if let Some(service) = &self.opened.lock().await.service {
            service.close_idle(IDLE);
        }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door")
            .field("name", &self.options.name)
            .finish_non_exhaustive()
    }
}
