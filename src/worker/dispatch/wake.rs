//! The doorbell: how the dispatcher sleeps without missing a commit.
//!
//! While it sleeps it holds an advisory lock exclusively; a writer that captures something tries to share it and, when that fails,
//! sends NOTIFY. While it finds something at one look after the other the lock is free and writers ring nothing: NOTIFY takes a
//! cluster-wide lock until the commit is done. For what comes alone the lock is kept: giving it back and taking it again would cost
//! three round trips an event, and spare hardly a writer the ring. A writer that got the shared lock keeps it until its commit is
//! visible, so the exclusive lock cannot be had before that, and the look into the outbox that follows sees it.
//!
//! The lock is requested by a *blocking* statement on a connection of its own. Behind a transaction that shares it the request
//! queues, and from then on every other writer's try fails and it rings: armed means held *or queued*. A try-lock would be deaf for
//! as long as that one transaction runs.
//!
//! That leaves the writers which shared the lock before the request queued: they have tried already and ring no more, and as long as
//! one of them runs the others' ends grant nothing. There are only so many, and no new one comes; so the sleeper knows them by their
//! locks, and looks again when one of them ends ([`Doorbell::quiet_end`]). With that no commit is left to the poll, which is a second
//! net.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::pg::Client;
use crate::pg::connect::Database;
use crate::pg::connections::Connections;
use crate::pg::locks;
use crate::pg::sessions::Session;
use crate::pg::sqlstate::CANCELLED;
use crate::worker::term::timeout::{ANSWER_WITHIN, within};
use crate::{Error, Result};

/// How long a fresh request may be in flight before the server is asked whether it queues. Most are granted within a millisecond.
const GRANT_EXPECTED_WITHIN: Duration = Duration::from_millis(3);

/// Pauses between looks at the writers that will not ring: most of them end within milliseconds, and one that has run for an hour
/// need not be asked after every five.
const QUIET_PAUSE_FIRST: Duration = Duration::from_millis(5);
const QUIET_PAUSE_MOST: Duration = Duration::from_millis(100);

/// Who has been busy for so long takes a queued request for the bell back, so that writers need not ring.
const BUSY_FOR_LONG: Duration = Duration::from_secs(1);

/// The bell's own connection and what it is doing.
#[derive(Debug)]
pub struct Doorbell {
    database: Database,
    client: Arc<Client>,
    session: Session,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nobody will ring.
    Off,
    /// Asked for, not granted yet, and perhaps not even in the queue.
    Asked(JoinSet<Result<()>>),
    /// In the queue: writers ring, but for those that shared the lock before.
    Queued {
        request: JoinSet<Result<()>>,
        /// Their virtual transactions, as far as they have not ended.
        quiet: HashSet<String>,
        since: Instant,
    },
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
        let session = Session::of(&client).await?;
        Ok(Self {
            database: database.clone(),
            client: Arc::new(client),
            session,
            state: State::Off,
        })
    }

    /// The session that holds the bell's lock.
    pub fn session(&self) -> Session {
        self.session
    }

    /// Makes writers ring: when this returns, the lock is held or queued for. What was committed before must be looked for after it.
    ///
    /// # Errors
    /// Database errors, also those of `other`, the connection that is asked whether the request queues; a session that does not even
    /// queue in time is dead.
    pub async fn arm(&mut self, other: &Client) -> Result<()> {
        within(ANSWER_WITHIN, "arm the doorbell", self.ask_until_armed(other)).await
    }

    async fn ask_until_armed(&mut self, other: &Client) -> Result<()> {
        loop {
            let request = match &mut self.state {
                State::Queued { .. } | State::Held => return Ok(()),
                State::Asked(request) => request,
                State::Off => {
                    self.state = State::Asked(self.ask());
                    continue;
                }
            };
            match tokio::time::timeout(GRANT_EXPECTED_WITHIN, request.join_next()).await {
                Ok(ended) => self.state = settle(ended)?,
                Err(_) if locks::is_bell_asked_for(other, self.session.pid()).await? => {
                    // After it was in the queue: from then on nobody shares the lock any more, so this is all of them.
                    let quiet = locks::bell_sharers(other).await?;
                    if let State::Asked(request) = std::mem::replace(&mut self.state, State::Off) {
                        self.state = State::Queued {
                            request,
                            quiet,
                            since: Instant::now(),
                        };
                    }
                }
                Err(_) => {}
            }
        }
    }

    fn ask(&self) -> JoinSet<Result<()>> {
        let client = Arc::clone(&self.client);
        let mut request = JoinSet::new();
        request.spawn(async move { locks::lock_bell(&client).await });
        request
    }

    /// Ends when something may have been committed although nobody rings: a writer ended that had shared the lock before the request
    /// for it queued, or all of them did and it was granted. Never ends while the bell is not armed, or is held.
    ///
    /// # Errors
    /// Database errors.
    pub async fn quiet_end(&mut self, connections: &Connections) -> Result<()> {
        loop {
            let State::Queued { request, quiet, since } = &mut self.state else {
                return std::future::pending().await;
            };
            let pause = (since.elapsed() / 4).clamp(QUIET_PAUSE_FIRST, QUIET_PAUSE_MOST);
            tokio::select! {
                ended = request.join_next() => {
                    self.state = settle(ended)?;
                    return Ok(());
                }
                () = tokio::time::sleep(pause) => {}
            }
            let client = connections.at_once().await;
            let still = locks::bell_sharers(&client).await?;
            let before = quiet.len();
            quiet.retain(|transaction| still.contains(transaction));
            if quiet.len() < before {
                return Ok(());
            }
        }
    }

    /// Lets writers go on without ringing. A request that still queues stays: it costs a few needless rings, and taking it back
    /// would cost a connection.
    ///
    /// # Errors
    /// Database errors.
    pub async fn disarm(&mut self) -> Result<()> {
        if let State::Asked(request) | State::Queued { request, .. } = &mut self.state
            && let Some(ended) = request.try_join_next()
        {
            self.state = settle(Some(ended))?;
        }
        if matches!(self.state, State::Held) {
            within(ANSWER_WITHIN, "disarm the doorbell", locks::unlock_bell(&self.client)).await?;
            self.state = State::Off;
        }
        Ok(())
    }

    /// Takes back a request that still queues; for a dispatcher that has been busy for a while.
    ///
    /// # Errors
    /// Database errors.
    pub async fn withdraw(&mut self) -> Result<()> {
        if let State::Asked(request) | State::Queued { request, .. } = &mut self.state {
            let taken_back = async {
                self.database.cancel(&self.client.cancel_token()).await;
                settle(request.join_next().await)
            };
            self.state = within(ANSWER_WITHIN, "take the doorbell back", taken_back).await?;
        }
        self.disarm().await
    }
}

/// Sleeps and wakes: what the dispatcher does between two looks into the outbox.
#[derive(Debug)]
pub struct Wake {
    bell: Option<Doorbell>,
    connections: Connections,
    rang: Arc<Notify>,
    poll_interval: Duration,
    busy_for_long: Duration,
    /// Since when something was found at every look.
    busy_since: Option<Instant>,
    is_armed: bool,
}

impl Wake {
    /// Without a `bell` it polls. `rang` is told of every NOTIFY.
    pub fn new(bell: Option<Doorbell>, connections: Connections, rang: Arc<Notify>, poll_interval: Duration) -> Self {
        Self {
            bell,
            connections,
            rang,
            poll_interval,
            busy_for_long: BUSY_FOR_LONG,
            busy_since: None,
            is_armed: false,
        }
    }

    /// Another time after which a queued request for the bell is taken back; a second is what serves.
    #[must_use]
    pub fn withdrawing_after(mut self, busy_for_long: Duration) -> Self {
        self.busy_for_long = busy_for_long;
        self
    }

    /// There was something in the outbox: writers need not ring while somebody reads anyway. Whoever finds something for the first time
    /// since it slept leaves the bell as it is: an event that comes alone would otherwise wait for the bell to be put away, only for it
    /// to be taken out again.
    ///
    /// # Errors
    /// Database errors.
    pub async fn found(&mut self) -> Result<()> {
        let is_first = self.busy_since.is_none();
        let since = *self.busy_since.get_or_insert_with(Instant::now);
        let Some(bell) = &mut self.bell else { return Ok(()) };
        if since.elapsed() > self.busy_for_long {
            self.is_armed = false;
            bell.withdraw().await?;
        } else if !is_first && std::mem::take(&mut self.is_armed) {
            bell.disarm().await?;
        }
        Ok(())
    }

    /// There was nothing in the outbox: sleeps until there may be, or until it is cancelled. Where the bell is not armed it only arms it
    /// and returns: what was committed before rang nowhere, and has to be looked for once more. Armed it stays, so whatever is
    /// committed from then on rings, is seen to end ([`Doorbell::quiet_end`]), or was seen. Tells what woke it, if it slept: the
    /// bell, or (false) the poll.
    ///
    /// # Errors
    /// Database errors.
    pub async fn nothing_found(&mut self, cancel: &CancellationToken) -> Result<Option<bool>> {
        self.busy_since = None;
        if let Some(bell) = &mut self.bell
            && !self.is_armed
        {
            let client = self.connections.at_once().await;
            bell.arm(&client).await?;
            self.is_armed = true;
            return Ok(None);
        }
        let quiet_end = async {
            match &mut self.bell {
                Some(bell) => bell.quiet_end(&self.connections).await,
                None => std::future::pending().await,
            }
        };
        let woken_by_the_bell = tokio::select! {
            () = cancel.cancelled() => None,
            () = self.rang.notified() => Some(true),
            ended = quiet_end => ended.map(|()| Some(true))?,
            () = tokio::time::sleep(self.poll_interval) => Some(false),
        };
        let Some(bell) = &mut self.bell else {
            return Ok(woken_by_the_bell);
        };
        if matches!(bell.state, State::Off) {
            // The request was cut off.
            self.is_armed = false;
        }
        if woken_by_the_bell != Some(true) {
            // A bell that nobody rang may have lost its session, and its lock with it: to be armed anew is what tells.
            bell.disarm().await?;
            self.is_armed = false;
        }
        Ok(woken_by_the_bell)
    }
}

/// What became of a request. A cancel may hit it that was meant for an earlier one: PostgreSQL's cancels name a session, not a
/// statement, and arrive whenever they do. Then the bell is simply not armed.
fn settle(ended: Option<std::result::Result<Result<()>, tokio::task::JoinError>>) -> Result<State> {
    match ended {
        Some(Ok(Ok(()))) => Ok(State::Held),
        Some(Ok(Err(error))) if error.means(CANCELLED) => Ok(State::Off),
        Some(Ok(Err(error))) => Err(error),
        Some(Err(error)) => Err(Error::other("the doorbell's request ended oddly").with_source(error)),
        None => Err(Error::other("the doorbell's request is gone")),
    }
}
