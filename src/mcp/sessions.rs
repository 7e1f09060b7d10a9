//! Sessions of clients of the old era: whose they are, how many there may be, and when they end.
//!
//! A session is used while a request or a stream of it is open, and idle otherwise. Whoever begins one more than he may have loses the one
//! that has been idle for longest; where none is idle he is refused. An idle one ends by itself after a while. To anybody but
//! the one who began it a session is not there.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt};
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::WorkerTransport;
use rmcp::transport::streamable_http_server::session::local::{
    LocalSessionManager, LocalSessionManagerError, LocalSessionWorker, SessionConfig,
};
use rmcp::transport::streamable_http_server::session::{ServerSseMessage, SessionId, SessionManager};
use tokio_util::sync::CancellationToken;

use super::visitor::Principal;

/// Sessions at once.
pub const MOST: usize = 200;

/// Sessions of one operator at once.
pub const MOST_OF_ONE: usize = 20;

/// See the [module documentation](self).
pub struct Sessions {
    inner: LocalSessionManager,
    known: Mutex<HashMap<SessionId, Known>>,
    idle: Duration,
    stop: CancellationToken,
}

#[derive(Debug)]
struct Known {
    principal: Principal,
    used_at: Instant,
    open: Arc<AtomicUsize>,
}

impl Known {
    fn is_idle(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }
}

/// Why there is no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// He has as many as he may have, and uses them all.
    OfOne,
    /// There are as many as there may be, and all are used.
    OfAll,
}

/// What a session did not do.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// There are too many.
    #[error("too many sessions")]
    Full,
    /// It is not there, or not for whoever asks.
    #[error("there is no such session")]
    Unknown,
    /// It has ended meanwhile.
    #[error(transparent)]
    Inner(#[from] LocalSessionManagerError),
}

impl Sessions {
    /// None yet. Streams end with `stop`.
    pub fn new(idle: Duration, stop: CancellationToken) -> Self {
        let mut config = SessionConfig::default();
        // It counts messages alone: a stream that was quiet for so long would end. Ours counts streams.
        config.keep_alive = None;
        let mut inner = LocalSessionManager::default();
        inner.session_config = config;
        Self {
            inner,
            known: Mutex::default(),
            idle,
            stop,
        }
    }

    /// The same as this one has them.
    pub fn of(self: &Arc<Self>, principal: Principal) -> Arc<Own> {
        Arc::new(Own {
            sessions: Arc::clone(self),
            principal,
            full: Mutex::default(),
        })
    }

    /// Ends those that nobody uses.
    pub async fn end_idle(&self) {
        let is_over = |known: &Known| known.is_idle() && known.used_at.elapsed() >= self.idle;
        let over: Vec<SessionId> = self.with_known(|known| {
            let over = known.iter().filter(|(_, known)| is_over(known));
            over.map(|(id, _)| SessionId::clone(id)).collect()
        });
        for id in over {
            self.end(&id).await;
        }
    }

    fn with_known<T>(&self, work: impl FnOnce(&mut HashMap<SessionId, Known>) -> T) -> T {
        work(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn end(&self, id: &SessionId) {
        self.with_known(|known| known.remove(id));
        if let Err(error) = self.inner.close_session(id).await {
            tracing::debug!(error = %error, "a session of MCP did not end");
        }
    }

    /// Which sessions have to end for one more; each is nobody's from then on.
    fn make_room(&self, principal: &Principal) -> Result<Vec<SessionId>, Full> {
        self.with_known(|known| {
            let mut ended = Vec::new();
            for (whose, most, full) in [(Some(principal), MOST_OF_ONE, Full::OfOne), (None, MOST, Full::OfAll)] {
                let is_meant = |of: &Known| whose.is_none_or(|whose| of.principal == *whose);
                while known.values().filter(|of| is_meant(of)).count() >= most {
                    let idle = known.iter().filter(|(_, of)| is_meant(of) && of.is_idle());
                    let oldest = idle
                        .min_by_key(|(_, of)| of.used_at)
                        .map(|(id, _)| SessionId::clone(id));
                    let oldest = oldest.ok_or(full)?;
                    known.remove(&oldest);
                    ended.push(oldest);
                }
            }
            Ok(ended)
        })
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

/// The sessions of one operator, for one request.
#[derive(Debug)]
pub struct Own {
    sessions: Arc<Sessions>,
    principal: Principal,
    full: Mutex<Option<Full>>,
}

/// Open until it is dropped.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Own {
    /// Why the request got no session, if it wanted one.
    pub fn full(&self) -> Option<Full> {
        *self.full.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a session of his is used now, and until what is given back is dropped.
    fn used(&self, id: &SessionId) -> Result<Open, SessionError> {
        self.sessions.with_known(|known| {
            let known = known.get_mut(id).filter(|known| known.principal == self.principal);
            let known = known.ok_or(SessionError::Unknown)?;
            known.used_at = Instant::now();
            known.open.fetch_add(1, Ordering::Relaxed);
            Ok(Open(Arc::clone(&known.open)))
        })
    }
}

/// The stream, which is open as long as it is there.
fn open_while<S>(stream: S, open: Open) -> impl Stream<Item = ServerSseMessage> + Send + Sync + 'static
where
    S: Stream<Item = ServerSseMessage> + Send + Sync + 'static,
{
    // The closure is the stream's, and so is what it holds.
    stream.inspect(move |_| {
        let _ = &open;
    })
}

impl SessionManager for Own {
    type Error = SessionError;
    type Transport = WorkerTransport<LocalSessionWorker>;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), SessionError> {
        let ended = self.sessions.make_room(&self.principal).map_err(|full| {
            *self.full.lock().unwrap_or_else(PoisonError::into_inner) = Some(full);
            SessionError::Full
        })?;
        for id in ended {
            self.sessions.end(&id).await;
        }
        let (id, transport) = self.sessions.inner.create_session().await?;
        let known = Known {
            principal: self.principal.clone(),
            used_at: Instant::now(),
            open: Arc::default(),
        };
        self.sessions.with_known(|all| all.insert(SessionId::clone(&id), known));
        Ok((id, transport))
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, SessionError> {
        let _open = self.used(id)?;
        Ok(self.sessions.inner.initialize_session(id, message).await?)
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, SessionError> {
        Ok(self.used(id).is_ok() && self.sessions.inner.has_session(id).await?)
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), SessionError> {
        if self.used(id).is_ok() {
            self.sessions.end(id).await;
        }
        Ok(())
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, SessionError> {
        let open = self.used(id)?;
        let stream = self.sessions.inner.create_stream(id, message).await?;
        Ok(open_while(stream, open))
    }

    async fn accept_message(&self, id: &SessionId, message: ClientJsonRpcMessage) -> Result<(), SessionError> {
        let _open = self.used(id)?;
        Ok(self.sessions.inner.accept_message(id, message).await?)
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, SessionError> {
        let open = self.used(id)?;
        let stream = self.sessions.inner.create_standalone_stream(id).await?;
        // Nothing else ends it when the server is asked to stop.
        let stopped = self.sessions.stop.clone().cancelled_owned();
        Ok(open_while(stream.take_until(stopped), open))
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, SessionError> {
        let open = self.used(id)?;
        let stream = self.sessions.inner.resume(id, last_event_id).await?;
        let stopped = self.sessions.stop.clone().cancelled_owned();
        Ok(open_while(stream.take_until(stopped), open))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(id: i32) -> Principal {
        Principal::Token {
            database: "odoo".to_owned(),
            id,
        }
    }

    fn sessions(idle: Duration) -> Arc<Sessions> {
        Arc::new(Sessions::new(idle, CancellationToken::new()))
    }

    #[tokio::test]
    async fn whoever_begins_one_too_many_loses_the_one_that_was_idle_for_longest() {
        let sessions = sessions(Duration::from_secs(600));
        let own = sessions.of(principal(1));
        let mut ids = Vec::new();
        for _ in 0..MOST_OF_ONE {
            ids.push(own.create_session().await.unwrap().0);
        }
        let held = own.used(&ids[0]).unwrap();
        own.create_session().await.unwrap();
        assert!(own.has_session(&ids[0]).await.unwrap(), "it was in use");
        assert!(!own.has_session(&ids[1]).await.unwrap(), "it was the oldest");
        let others = sessions.of(principal(2));
        others.create_session().await.unwrap();
        assert!(own.has_session(&ids[2]).await.unwrap(), "another's is another's");
        drop(held);
    }

    #[tokio::test]
    async fn where_none_is_idle_there_is_no_room() {
        let sessions = sessions(Duration::from_secs(600));
        let own = sessions.of(principal(1));
        let mut held = Vec::new();
        for _ in 0..MOST_OF_ONE {
            let id = own.create_session().await.unwrap().0;
            held.push(own.used(&id).unwrap());
        }
        assert!(own.create_session().await.is_err());
        assert_eq!(own.full(), Some(Full::OfOne));
        held.pop();
        own.create_session().await.unwrap();
    }

    #[tokio::test]
    async fn all_together_are_bounded_too() {
        let sessions = sessions(Duration::from_secs(600));
        for nth in 0..1_000 {
            sessions.of(principal(nth)).create_session().await.unwrap();
        }
        assert_eq!(sessions.with_known(|known| known.len()), MOST);
        assert_eq!(sessions.inner.sessions.read().await.len(), MOST);
    }

    #[tokio::test]
    async fn a_session_is_there_for_its_own_principal_alone() {
        let sessions = sessions(Duration::from_secs(600));
        let id = sessions.of(principal(1)).create_session().await.unwrap().0;
        let stranger = sessions.of(principal(2));
        assert!(!stranger.has_session(&id).await.unwrap());
        stranger.close_session(&id).await.unwrap();
        assert!(sessions.of(principal(1)).has_session(&id).await.unwrap());
    }

    #[tokio::test]
    async fn an_idle_one_ends_and_one_with_a_stream_does_not() {
        let sessions = sessions(Duration::ZERO);
        let own = sessions.of(principal(1));
        let (idle, used) = (
            own.create_session().await.unwrap().0,
            own.create_session().await.unwrap().0,
        );
        let held = own.used(&used).unwrap();
        sessions.end_idle().await;
        assert!(!own.has_session(&idle).await.unwrap());
        assert!(own.has_session(&used).await.unwrap());
        drop(held);
        sessions.end_idle().await;
        assert!(!own.has_session(&used).await.unwrap());
    }
}
