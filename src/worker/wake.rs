//! The doorbell: how the dispatcher sleeps without missing a commit.
//!
//! While it sleeps it holds an advisory lock exclusively; a writer that captures something tries to share it and, when that fails,
//! sends NOTIFY. While it is awake the lock is free and writers ring nothing: NOTIFY takes a cluster-wide lock until the commit is
//! done. A writer that got the shared lock keeps it until its commit is visible, so the exclusive lock cannot be had before that,
//! and the look into the outbox that follows sees it. No wake-up can be lost; the poll is a second net.
//!
//! The lock is requested by a *blocking* statement on a connection of its own. Behind a long transaction that shares it the request
//! queues, and from then on every other writer's try fails and it rings: armed means held *or queued*. A try-lock would be deaf for
//! as long as that one transaction runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::pg::connect::Database;
use crate::{Error, Result};

/// `classid` of every advisory lock of ours: "odoo" in ASCII.
pub const LOCK_CLASS: i32 = 1_868_853_103;
/// `objid` of the lead.
pub const LEAD_LOCK: i32 = 1;
/// `objid` of the doorbell.
pub const BELL_LOCK: i32 = 2;

/// How long a fresh request may be in flight before the server is asked whether it queues. Most are granted within a millisecond.
const GRANT_EXPECTED_WITHIN: Duration = Duration::from_millis(3);

/// The bell's own connection and what it is doing.
#[derive(Debug)]
pub struct Doorbell {
    database: Database,
    client: Arc<Client>,
    pid: i32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nobody will ring.
    Off,
    /// Asked for, not granted yet.
    Queued(JoinSet<Result<()>>),
    /// Writers ring.
    Held,
}

impl Doorbell {
    /// Connects.
    ///
    /// # Errors
    /// As [`Database::connect`].
    pub async fn connect(database: &Database) -> Result<Self> {
        let client = database.connect().await?;
        let pid = client
            .query_one("select pg_backend_pid()", &[])
            .await
            .map_err(|e| Error::database("set up the doorbell", e))?
            .get(0);
        Ok(Self {
            database: database.clone(),
            client: Arc::new(client),
            pid,
            state: State::Off,
        })
    }

    /// Makes writers ring: when this returns, the lock is held or queued for. What was committed before must be looked for after it.
    ///
    /// # Errors
    /// Database errors, also those of `other`, the connection that is asked whether the request queues.
    pub async fn arm(&mut self, other: &Client) -> Result<()> {
        if matches!(self.state, State::Off) {
            let client = Arc::clone(&self.client);
            let mut request = JoinSet::new();
            request.spawn(async move {
                client
                    .execute("select pg_advisory_lock($1, $2)", &[&LOCK_CLASS, &BELL_LOCK])
                    .await
                    .map(drop)
                    .map_err(|e| Error::database("arm the doorbell", e))
            });
            self.state = State::Queued(request);
        }
        while let State::Queued(request) = &mut self.state {
            match tokio::time::timeout(GRANT_EXPECTED_WITHIN, request.join_next()).await {
                Ok(granted) => {
                    settle(granted)?;
                    self.state = State::Held;
                }
                Err(_) if is_queued(other, self.pid).await? => return Ok(()),
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Lets writers go on without ringing. A request that still queues stays: it costs a few needless rings, and taking it back
    /// would cost a connection.
    ///
    /// # Errors
    /// Database errors.
    pub async fn disarm(&mut self) -> Result<()> {
        if let State::Queued(request) = &mut self.state
            && let Some(granted) = request.try_join_next()
        {
            settle(Some(granted))?;
            self.state = State::Held;
        }
        if matches!(self.state, State::Held) {
            self.client
                .execute("select pg_advisory_unlock($1, $2)", &[&LOCK_CLASS, &BELL_LOCK])
                .await
                .map_err(|e| Error::database("disarm the doorbell", e))?;
            self.state = State::Off;
        }
        Ok(())
    }

    /// Takes back a request that still queues; for a dispatcher that has been busy for a while.
    ///
    /// # Errors
    /// Database errors.
    pub async fn withdraw(&mut self) -> Result<()> {
        if let State::Queued(request) = &mut self.state {
            self.database.cancel(&self.client.cancel_token()).await;
            match request.join_next().await {
                Some(Ok(Err(error))) if error.sql_state() == Some(&tokio_postgres::error::SqlState::QUERY_CANCELED) => {
                    self.state = State::Off;
                }
                // Granted just before the cancel arrived.
                granted => {
                    settle(granted)?;
                    self.state = State::Held;
                }
            }
        }
        self.disarm().await
    }
}

fn settle(granted: Option<std::result::Result<Result<()>, tokio::task::JoinError>>) -> Result<()> {
    match granted {
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(Error::other("the doorbell's request ended oddly").with_source(error)),
        None => Err(Error::other("the doorbell's request is gone")),
    }
}

async fn is_queued(client: &Client, pid: i32) -> Result<bool> {
    let row = client
        .query_one(
            "select exists (select from pg_locks l where l.pid = $1 and l.locktype = 'advisory' and l.objid = $2::int4::oid)",
            &[&pid, &BELL_LOCK],
        )
        .await
        .map_err(|e| Error::database("ask whether the doorbell is armed", e))?;
    Ok(row.get(0))
}
