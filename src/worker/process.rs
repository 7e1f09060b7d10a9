//! What all databases of one process share: the HTTP clients, and the right to do what is costly.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Result;
use crate::http::client::{Client, ClientConfig};
use crate::pg::connect::Database;

/// So many databases look at their subscriptions at once. Each takes a connection more for that, and some megabytes for what Odoo's
/// tables say of its models; a hundred databases that start together must not take a hundred times that.
const ASIDE_AT_ONCE: usize = 4;

/// Who has waited so long for the others goes on: theirs may be waiting for locks, as long as an upgrade of Odoo lasts.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the [module documentation](self). Clones are the same one.
#[derive(Clone)]
pub struct Process(Arc<Inner>);

struct Inner {
    aside: Arc<Semaphore>,
    /// By the rules they keep.
    clients: Mutex<HashMap<String, Client>>,
}

/// A connection for what takes long or waits for locks; closed when dropped.
pub struct Aside {
    client: tokio_postgres::Client,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Deref for Aside {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl Default for Process {
    fn default() -> Self {
        Self(Arc::new(Inner {
            aside: Arc::new(Semaphore::new(ASIDE_AT_ONCE)),
            clients: Mutex::default(),
        }))
    }
}

impl Process {
    /// Connects aside from the connections that deliver, when it is this database's turn.
    ///
    /// # Errors
    /// As [`Database::connect`].
    pub async fn aside(&self, database: &Database) -> Result<Aside> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.0.aside).acquire_owned()).await;
        Ok(Aside {
            client: database.connect().await?,
            // The semaphore is never closed.
            _turn: turn.ok().and_then(std::result::Result::ok),
        })
    }

    /// The client that keeps these rules; one for all databases with the same ones. Trusted authorities and the own certificate are the
    /// process's, so they are the same for all.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn client(&self, config: &ClientConfig) -> Result<Client> {
        let rules = format!("{:?} {}", config.guard, config.response_cap_bytes);
        let mut clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&rules) {
            return Ok(client.clone());
        }
        let client = Client::new(config.clone())?;
        clients.insert(rules, client.clone());
        Ok(client)
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Process")
    }
}
