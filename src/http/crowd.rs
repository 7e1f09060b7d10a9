//! Connections that a server of ours serves at once: a bounded number, and a new one is always let in.
//!
//! Whoever connects and says nothing holds a place until it runs out of time. Were a new connection to wait for a place, a few dozen of them
//! would keep everybody out; so the one that has been silent for longest has to go instead.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::task::{AbortHandle, Id, JoinSet};

/// The connections. They end with it.
#[derive(Debug)]
pub struct Crowd {
    most: usize,
    tasks: JoinSet<()>,
    members: HashMap<Id, (Arc<Member>, AbortHandle)>,
}

/// One connection, as its server tells of it.
#[derive(Debug)]
pub struct Member(Mutex<State>);

#[derive(Debug)]
struct State {
    requests: usize,
    /// Whether it was let in: a stranger goes before it.
    is_known: bool,
    heard_at: Instant,
}

/// A request that is being answered; until it is dropped.
#[derive(Debug)]
pub struct Answering(Arc<Member>);

impl Crowd {
    /// At most so many at once.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            tasks: JoinSet::new(),
            members: HashMap::new(),
        }
    }

    /// Serves a connection; when there are too many, one is closed for it: the longest silent of those that are not
    /// being answered, else of those that no token has let in.
    pub fn admit<F>(&mut self, serve: impl FnOnce(Arc<Member>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.members.len() >= self.most {
            let silent = self.members.iter().min_by_key(|(_, (member, _))| member.standing());
            if let Some(id) = silent.map(|(id, _)| *id)
                && let Some((_, connection)) = self.members.remove(&id)
            {
                connection.abort();
            }
        }
        let member = Arc::new(Member(Mutex::new(State {
            requests: 0,
            is_known: false,
            heard_at: Instant::now(),
        })));
        let connection = self.tasks.spawn(serve(Arc::clone(&member)));
        self.members.insert(connection.id(), (member, connection));
    }

    /// Waits until a connection has ended. Never returns while there is none.
    pub async fn left(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => return std::future::pending().await,
        };
        self.members.remove(&id);
    }

    /// Waits until all of them have ended.
    pub async fn drained(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Member {
    /// A request has come.
    #[must_use]
    pub fn answering(self: &Arc<Self>) -> Answering {
        self.change(|state| state.requests += 1);
        Answering(Arc::clone(self))
    }

    /// Whoever sends on it was let in by a token.
    pub fn is_known(&self) {
        self.change(|state| state.is_known = true);
    }

    /// Who comes first here has to go first.
    fn standing(&self) -> (bool, bool, Instant) {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_asking = state.requests > 0;
        (is_asking && state.is_known, is_asking, state.heard_at)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        state.heard_at = Instant::now();
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.change(|state| state.requests = state.requests.saturating_sub(1));
    }
}
