//! What all databases of one process share: requests under way, and the right to do what is costly.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::pg::connect::Database;
use crate::pg::scarce;
use crate::worker::deliver::slots::Ceiling;

/// So many databases look at their subscriptions at once. Each takes a connection more for that, and some megabytes for what Odoo's
/// tables say of its models; a hundred databases that start together must not take a hundred times that.
const ASIDE_AT_ONCE: usize = 4;

/// Who has waited so long for the others goes on: theirs may be waiting for locks, as long as an upgrade of Odoo lasts.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the [module documentation](self). Clones are the same one.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    in_flight: Ceiling,
    aside: Arc<Semaphore>,
}

/// A connection for what takes long or waits for locks; closed when dropped.
pub struct Aside {
    client: crate::pg::Client,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Deref for Aside {
    type Target = crate::pg::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl Budget {
    /// One whose databases have so many requests under way at most, together.
    pub fn new(max_in_flight: usize) -> Self {
        Self(Arc::new(Inner {
            in_flight: Ceiling::new(max_in_flight),
            aside: Arc::new(Semaphore::new(ASIDE_AT_ONCE)),
        }))
    }

    /// What all databases share of requests under way.
    pub fn in_flight(&self) -> Ceiling {
        self.0.in_flight.clone()
    }

    /// Connects aside from the connections that deliver, when it is this database's turn and while connections are scarce waits for
    /// one, without keeping others from theirs; `None` when cancelled before.
    ///
    /// # Errors
    /// As [`Database::connect`].
    pub async fn aside(&self, database: &Database, cancel: &CancellationToken) -> Result<Option<Aside>> {
        scarce::until(cancel, || self.aside_now(database)).await
    }

    /// The same, once.
    ///
    /// # Errors
    /// As [`Database::connect`].
    pub async fn aside_now(&self, database: &Database) -> Result<Aside> {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.0.aside).acquire_owned()).await;
        Ok(Aside {
            client: database.connect().await?,
            // The semaphore is never closed.
            _turn: turn.ok().and_then(std::result::Result::ok),
        })
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Budget")
    }
}
