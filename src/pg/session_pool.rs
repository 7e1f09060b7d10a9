//! Sessions for doors: as many as a door may have at once, made when they are first needed, apart from those of the service, so that no
//! reader ever slows a delivery.

use std::ops::Deref;
use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Object, Pool, PoolError, Timeouts};
use tokio_postgres::Client;

use super::connect::Database;
use crate::{Error, Result};

/// How long a call waits for a session that others use.
const WAIT: Duration = Duration::from_secs(5);

/// A session with nothing under way answers within this; it is a round trip. One that does not is not given to anybody else.
const PROMPT: Duration = Duration::from_millis(100);

/// Sessions of one database. Clones share them.
#[derive(Clone)]
pub struct SessionPool {
    database: Database,
    pool: Pool,
    most: usize,
}

impl SessionPool {
    /// At most `most` sessions; the first is made here, so that a database that cannot be reached is told at once.
    ///
    /// # Errors
    /// As [`Database::connect`].
    pub async fn open(database: Database, most: usize) -> Result<Self> {
        let sessions = Self::of(database, most)?;
        let first = sessions.get().await?;
        sessions.database.require_version(&first).await?;
        Ok(sessions)
    }

    /// At most `most` sessions, each made when it is needed.
    ///
    /// # Errors
    /// As [`Database::pool`].
    pub fn of(database: Database, most: usize) -> Result<Self> {
        let pool = database.pool(most)?;
        Ok(Self { database, pool, most })
    }

    /// A session for one call; it goes back when it is dropped.
    ///
    /// # Errors
    /// [`Error::is_busy`] when all of them stay in use; else as [`Database::connect`].
    pub async fn get(&self) -> Result<Session> {
        let timeouts = Timeouts {
            wait: Some(WAIT),
            ..self.pool.timeouts()
        };
        match self.pool.timeout_get(&timeouts).await {
            Ok(session) => Ok(Session {
                session: Some(session),
                database: self.database.clone(),
            }),
            Err(PoolError::Timeout(deadpool_postgres::TimeoutType::Wait)) => Err(Error::busy(format!(
                "all {} sessions of {} are in use",
                self.most, self.database
            ))
            .with_hint("try again in a moment")),
            Err(PoolError::Backend(error)) => Err(self.database.refused(error)),
            Err(error) => Err(Error::database(format_args!("connect to {}", self.database), error)),
        }
    }

    /// Closes those that nobody has used for so long.
    pub fn close_idle(&self, unused: Duration) {
        self.pool.retain(|_, metrics| metrics.last_used() < unused);
    }

    /// The database.
    pub fn database(&self) -> &Database {
        &self.database
    }
}

impl std::fmt::Debug for SessionPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionPool({}, {})", self.database, self.most)
    }
}

/// A session that was taken out of a [`SessionPool`].
///
/// A call that is dropped half way leaves its statement under way. Whoever had the session next would wait for it, so it is cancelled and
/// the session closed.
pub struct Session {
    /// There until it is dropped.
    session: Option<Object>,
    database: Database,
}

impl Session {
    /// The session as one that keeps prepared statements.
    pub(super) fn caching(&self) -> &ClientWrapper {
        self.pooled()
    }

    /// The session as its pool has it.
    pub(super) fn pooled(&self) -> &Object {
        self.session.as_ref().expect("it goes when this is dropped")
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.pooled()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let (Some(session), Ok(runtime)) = (self.session.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        // It ends after a round trip or a cancelled statement.
        runtime.spawn(put_back(session, self.database.clone()));
    }
}

/// Gives a session back to its pool, or closes it where a statement is still under way.
async fn put_back(session: Object, database: Database) {
    if let Ok(Ok(_)) = tokio::time::timeout(PROMPT, session.simple_query("")).await {
        return;
    }
    let cancel = session.cancel_token();
    // Out of the pool first: a statement that is cancelled takes its time to end.
    drop(Object::take(session));
    let _ = tokio::time::timeout(WAIT, database.cancel(&cancel)).await;
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.database)
    }
}
