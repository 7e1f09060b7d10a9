//! The connections of a service to its database: one that is always there, and more while there is work.
//!
//! An Odoo host has hundreds of databases, most of them idle most of the time, and PostgreSQL pays megabytes for each connection. So
//! an idle database has the *lead session* and the doorbell's ([`crate::worker::dispatch::wake`]), nothing else. The lead session holds the
//! advisory lock of the lead, listens, and answers everything that is asked while it is quiet: the driver sends statements of several
//! tasks one behind the other without waiting in between, so tasks share it without a queue. The first event after a quiet hour
//! waits for no connection to be made.
//!
//! Two things are never done on it. No transaction is begun there: it would hold everybody's statements (and nothing here can: a
//! transaction needs a connection of one's own, [`Connections::own`]). And nothing that takes long or waits for locks: notifications
//! arrive between statements only.
//!
//! When tasks keep meeting on it there is work enough for more: [`Connections::keep`] opens them beside the tasks' path. Once it is quiet
//! again they are left alone, and what nobody has used for [`IDLE`] is closed.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use deadpool_postgres::{Object, Pool, Timeouts};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::connect::{Database, Notifications};
use super::scarce;
use crate::{Error, Result};

/// Connections at most beside the lead session's and the doorbell's: the dispatcher's two, the deliverer's, the keeper's.
pub const MORE: usize = 4;

/// All connections of a service to one database at most: the lead session, the doorbell's, [`MORE`], and one that looks at subscriptions.
pub const MOST: usize = 2 + MORE + 1;

/// A connection that nobody used for so long is closed.
const IDLE: Duration = Duration::from_secs(5);

/// How often that is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// So many meetings on the lead session within [`LOOK_EVERY`] are work enough for a connection more. One event makes two or three.
const CROWDED: u32 = 16;

/// Whoever asks for fewer connections than that within [`LOOK_EVERY`] needs the lead session only. The regular looks ask for less than
/// ten.
const QUIET: u32 = 30;

/// A connection that is there, or none: nothing is waited for.
const AT_ONCE: Timeouts = Timeouts {
    wait: Some(Duration::ZERO),
    create: Some(Duration::ZERO),
    recycle: Some(Duration::ZERO),
};

/// All connections of one term but the doorbell's. Clones are the same ones; they end with the last clone.
#[derive(Clone)]
pub struct Connections(Arc<Inner>);

struct Inner {
    lead: Arc<Object>,
    more: Pool,
    /// How often a connection was asked for since the last look, and how often the lead session was in use then.
    asked: AtomicU32,
    met: AtomicU32,
    is_busy: AtomicBool,
    crowded: Notify,
}

/// A connection for single statements.
pub enum Connection {
    /// The lead session, shared with others.
    Lead(Arc<Object>),
    /// One of one's own until it is dropped.
    Own(Box<Object>),
}

impl Deref for Connection {
    type Target = Object;

    fn deref(&self) -> &Object {
        match self {
            Self::Lead(client) => client,
            Self::Own(client) => client,
        }
    }
}

impl Connections {
    /// Connects the lead session; at most `most` others may be opened later.
    ///
    /// # Errors
    /// As [`Database::connect`].
    pub async fn open(database: &Database, most: usize) -> Result<(Self, Notifications)> {
        let (lead, notifications) = database.connect_lead().await?;
        let inner = Inner {
            lead: Arc::new(lead),
            more: database.pool(most)?,
            asked: AtomicU32::new(0),
            met: AtomicU32::new(0),
            is_busy: AtomicBool::new(false),
            crowded: Notify::new(),
        };
        Ok((Self(Arc::new(inner)), notifications))
    }

    /// The lead session, for what belongs to the session: its lock, LISTEN.
    pub fn lead(&self) -> &Object {
        &self.0.lead
    }

    /// A connection for statements that are short and stand alone, at once: where there is much to do one that is open and unused, else
    /// the lead session.
    pub async fn at_once(&self) -> Connection {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        if self.0.is_busy.load(Ordering::Relaxed)
            && self.0.more.status().available > 0
            && let Ok(client) = self.0.more.timeout_get(&AT_ONCE).await
        {
            return Connection::Own(Box::new(client));
        }
        // One of the references is ours.
        if Arc::strong_count(&self.0.lead) > 1 && self.0.met.fetch_add(1, Ordering::Relaxed) + 1 >= CROWDED {
            self.0.crowded.notify_one();
        }
        Connection::Lead(Arc::clone(&self.0.lead))
    }

    /// A connection of one's own, for transactions and for what takes long. It may have to be made.
    ///
    /// # Errors
    /// When none can be had.
    pub async fn own(&self) -> Result<Object> {
        self.0
            .more
            .get()
            .await
            .map_err(|e| Error::database("get a database connection", e))
    }

    /// The same for what can wait while there are none left; `None` when cancelled before.
    ///
    /// # Errors
    /// When none can be had for another reason.
    pub async fn own_until(&self, cancel: &CancellationToken) -> Result<Option<Object>> {
        scarce::until(cancel, || self.own()).await
    }

    /// Opens connections while there is work for them and closes them afterwards, until cancelled.
    ///
    /// # Errors
    /// Never: what cannot be opened is not needed, the lead session is there.
    pub async fn keep(self, cancel: CancellationToken) -> Result<()> {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = self.0.crowded.notified() => {
                    self.0.met.store(0, Ordering::Relaxed);
                    self.0.is_busy.store(true, Ordering::Relaxed);
                    let status = self.0.more.status();
                    // Taken and given back: it is there for the next who asks.
                    if status.size < status.max_size
                        && let Err(error) = self.own().await
                    {
                        tracing::debug!(error = %error.chain(), "no further connection can be had");
                    }
                }
                _ = look.tick() => {
                    self.0.met.store(0, Ordering::Relaxed);
                    if self.0.asked.swap(0, Ordering::Relaxed) < QUIET {
                        self.0.is_busy.store(false, Ordering::Relaxed);
                    }
                    self.0.more.retain(|_, metrics| metrics.last_used() < IDLE);
                }
            }
        }
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections")
            .field("more", &self.0.more.status())
            .finish_non_exhaustive()
    }
}
