//! The session that hears of new events, one for all readers of a process. Without it they are looked for: a pooler in transaction mode
//! lets nobody listen, and with `notify = off` nothing is said.

use std::fmt;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::pg::connect::{Database, Notifications};
use crate::pg::{Pooled, feed};
use crate::{Error, Result};

/// From one try to listen to the next.
const REST_FIRST: Duration = Duration::from_millis(500);
const REST_MOST: Duration = Duration::from_secs(30);

/// What is heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// From now on nothing is missed; what was before must be looked for.
    Listening,
    /// These subscriptions have events up to these places.
    New(Vec<(i32, i64)>),
    /// Any may have.
    Something,
    /// The session is gone.
    Lost,
}

type Session = (Pooled, Notifications);

/// See the [module documentation](self).
pub(super) struct Ear {
    database: Database,
    state: State,
    rest: Duration,
}

enum State {
    Off,
    Connecting(BoxFuture<'static, Result<Session>>),
    On(Box<Session>),
    Resting(Instant),
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ear")
    }
}

impl Ear {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database,
            state: State::Off,
            rest: REST_FIRST,
        }
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(self.state, State::On(_))
    }

    pub(super) fn is_off(&self) -> bool {
        matches!(self.state, State::Off)
    }

    /// Begins to listen, if it does not.
    pub(super) fn listen(&mut self) {
        if self.is_off() {
            self.state = State::Connecting(connect(self.database.clone()));
        }
    }

    pub(super) fn stop(&mut self) {
        self.state = State::Off;
    }

    /// The next thing that is heard; never ends while it is off. May be dropped and called again.
    pub(super) async fn hear(&mut self) -> Heard {
        loop {
            match &mut self.state {
                State::Off => std::future::pending().await,
                State::Resting(until) => {
                    tokio::time::sleep_until((*until).into()).await;
                    self.state = State::Connecting(connect(self.database.clone()));
                }
                State::Connecting(connecting) => match connecting.await {
                    Ok(session) => {
                        self.state = State::On(Box::new(session));
                        self.rest = REST_FIRST;
                        return Heard::Listening;
                    }
                    Err(error) => self.give_up(&error),
                },
                State::On(session) => match session.1.recv().await {
                    Some(Ok(payload)) => return told(&payload),
                    Some(Err(error)) => {
                        self.give_up(&error);
                        return Heard::Lost;
                    }
                    None => {
                        self.give_up(&Error::other("the connection ended"));
                        return Heard::Lost;
                    }
                },
            }
        }
    }

    fn give_up(&mut self, error: &Error) {
        tracing::debug!(error = %error.chain(), "readers of the feed are not told of new events, which are looked for instead");
        self.state = State::Resting(Instant::now() + self.rest);
        self.rest = (self.rest * 2).min(REST_MOST);
    }
}

fn connect(database: Database) -> BoxFuture<'static, Result<Session>> {
    async move {
        let session = database.connect_lead().await?;
        feed::listen(&session.0).await?;
        Ok(session)
    }
    .boxed()
}

/// What a notification says; see [`feed::listen`]. One that says something else may be of another version.
fn told(payload: &str) -> Heard {
    let pairs = payload.split(',').map(|pair| {
        let (subscription, seq) = pair.split_once(':')?;
        Some((subscription.parse().ok()?, seq.parse().ok()?))
    });
    pairs.collect::<Option<_>>().map_or(Heard::Something, Heard::New)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_names_subscriptions_or_stands_for_all() {
        assert_eq!(told("12:3456,13:3460"), Heard::New(vec![(12, 3_456), (13, 3_460)]));
        for all in ["*", "", "12", "12:x", "12:1,"] {
            assert_eq!(told(all), Heard::Something, "{all}");
        }
    }
}
