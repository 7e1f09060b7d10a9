//! The listening session, which also holds the lead: forwards notifications, and makes sure that they still come.
//!
//! A connection can die without a word: a firewall forgets it, a virtual machine is moved, a pooler hands its server session to somebody
//! else. TCP's keepalive notices the first two after half a minute, but never a proxy that keeps its side open. So every ten
//! seconds the service sends a NOTIFY to itself, through this session, and the term ends when it does not come back. It is a
//! transaction of the service's own, so nobody's commit waits for it, and it takes the lock that NOTIFY takes in commit for as long
//! as an empty commit takes. With `notify = off` nothing is listened for and the session is only asked for an answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::pg::connect::Notifications;
use crate::pg::connections::Connections;
use crate::pg::notify;
use crate::worker::vitals::Vitals;
use crate::{Error, Result};

/// How often the session is tried.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);

/// How long an answer, or the notification, may take. A server that is busier than that is not there for us.
const HEARTBEAT_WITHIN: Duration = Duration::from_secs(10);

/// What a heartbeat's payload begins with; a number follows.
const HEARTBEAT: &str = "heartbeat ";

/// How long the server may take to end the rest of the sessions after it has ended one.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(300);

/// What a listener needs.
#[derive(Debug)]
pub struct Listener {
    /// Their lead session holds the lead and has said LISTEN.
    pub connections: Connections,
    /// What arrives there.
    pub notifications: Notifications,
    /// Whether writers notify.
    pub notify: bool,
    /// Told when somebody rang.
    pub rang: Arc<Notify>,
    /// Told when somebody changed a subscription.
    pub changed: Arc<Notify>,
    /// How the heartbeat does.
    pub vitals: Arc<Vitals>,
}

impl Listener {
    /// Runs until cancelled; `stop` tells whether that was asked for or is another task's failure.
    ///
    /// # Errors
    /// When the session, and with it the lead, is lost, or does not hear itself any more.
    pub async fn run(mut self, cancel: CancellationToken, stop: CancellationToken) -> Result<()> {
        let mut heartbeat = tokio::time::interval(HEARTBEAT_EVERY);
        heartbeat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut number = 0_u64;
        let mut awaited: Option<Instant> = None;
        loop {
            let overdue = async {
                match awaited {
                    Some(sent_at) => tokio::time::sleep_until((sent_at + HEARTBEAT_WITHIN).into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = cancel.cancelled() => break,
                notification = self.notifications.recv() => match notification {
                    Some(Ok(payload)) => match payload.strip_prefix(HEARTBEAT) {
                        Some(text) => {
                            if let Some(sent_at) = awaited.take_if(|_| text == number.to_string()) {
                                self.vitals.metrics.looped_back(sent_at.elapsed().as_secs_f64());
                            }
                        }
                        None if payload == "subscriptions" => self.changed.notify_one(),
                        None => self.rang.notify_one(),
                    },
                    Some(Err(error)) => return Err(error),
                    None => return Err(Error::database("listen for notifications", "the connection ended")),
                },
                () = overdue => {
                    return Err(Error::database(
                        "hear the service's own notification",
                        "it did not come back: the connection is half open, or a pooler in transaction mode is in between",
                    ));
                }
                _ = heartbeat.tick(), if awaited.is_none() => {
                    number += 1;
                    let sent_at = Instant::now();
                    tokio::time::timeout(HEARTBEAT_WITHIN, self.beat(number))
                        .await
                        .unwrap_or_else(|_| Err(Error::database("reach the listening session", "it did not answer in time")))?;
                    awaited = self.notify.then_some(sent_at);
                }
            }
        }
        // Another task failed first: if the server ended this session as well, it said why, and that is what counts.
        if !stop.is_cancelled()
            && let Some(error) = server_said(&mut self.notifications).await
        {
            return Err(error);
        }
        Ok(())
    }

    async fn beat(&self, number: u64) -> Result<()> {
        let payload = self.notify.then(|| format!("{HEARTBEAT}{number}"));
        notify::beat(self.connections.lead(), payload.as_deref()).await
    }
}

/// What the server said when it ended a listening session, if it did. A query that was cut off, or is sent afterwards, only finds a
/// closed connection; the reason comes unasked and is told to the listener.
pub async fn server_said(notifications: &mut Notifications) -> Option<Error> {
    let last_words = async {
        while let Some(item) = notifications.recv().await {
            if let Err(error) = item {
                return Some(error);
            }
        }
        None
    };
    tokio::time::timeout(LAST_WORDS_WITHIN, last_words).await.ok().flatten()
}
