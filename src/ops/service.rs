//! What every door calls: the verbs, over sessions of its own, under the service's rules.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::error::{Conflict, Error, Result};
use super::feed::Readers;
use crate::http::client::{Client, ClientConfig};
use crate::odoo::registry::Registry;
use crate::pg::connect::Database;
use crate::pg::session_pool::{Session, SessionPool};
use crate::pg::{registry, schema};
use crate::worker::upkeep::admission::{self, ServiceRules};

/// A test event waits for an endpoint, which may take its time.
const TESTS_AT_ONCE: usize = 8;

/// The operators' verbs on one database. Cheap to clone; clones share their sessions.
///
/// A verb takes who calls and what he asks, and answers a value that a door can print; it prints nothing itself. Verbs lie by what they are
/// about in [`super::subscriptions`], [`super::deliveries`], [`super::feed`], [`super::catalog`], [`super::domains`] and [`super::overview`].
#[derive(Debug, Clone)]
pub struct Service {
    sessions: SessionPool,
    /// Whoever reads the tokens waits for no verb.
    session_of_doors: SessionPool,
    rules: ServiceRules,
    client: Client,
    readers: Readers,
    /// Test events that may be under way at once.
    tests: Arc<Semaphore>,
    known: Arc<Mutex<Option<Known>>>,
}

/// Odoo's metadata as they were read last.
#[derive(Debug)]
struct Known {
    stamp: String,
    registry: Arc<Registry>,
}

impl Service {
    /// Connects to a database that has this program's installation. `rules` say which addresses may be called and what opens secrets,
    /// as the running service's do; `sessions` is how many calls are served at once.
    ///
    /// # Errors
    /// The database cannot be reached, or has no installation that this program knows.
    pub async fn open(database: Database, rules: ServiceRules, sessions: usize) -> crate::Result<Self> {
        let session_of_doors = SessionPool::of(database.clone(), 1)?;
        let sessions = SessionPool::open(database, sessions).await?;
        schema::require_installed(&*sessions.get().await?).await?;
        let client = Client::new(ClientConfig::new(rules.guard.clone()))?;
        Ok(Self {
            readers: Readers::new(sessions.clone()),
            sessions,
            session_of_doors,
            rules,
            client,
            tests: Arc::new(Semaphore::new(TESTS_AT_ONCE)),
            known: Arc::default(),
        })
    }

    /// Sends by this client, which trusts whom the running service trusts and shows the certificates that it shows. Without one, the
    /// system's authorities are trusted, and no certificate is shown.
    #[must_use]
    pub fn sending_by(mut self, client: Client) -> Self {
        self.client = client;
        self
    }

    /// Closes the sessions that nobody has used for so long.
    pub fn close_idle(&self, unused: Duration) {
        self.sessions.close_idle(unused);
        self.session_of_doors.close_idle(unused);
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Those who read the feed.
    pub(super) fn readers(&self) -> &Readers {
        &self.readers
    }

    /// A session for one verb.
    pub(super) async fn session(&self) -> Result<Session> {
        Ok(self.sessions.get().await?)
    }

    /// The session for who may come in.
    pub(super) async fn session_of_doors(&self) -> Result<Session> {
        Ok(self.session_of_doors.get().await?)
    }

    /// Leave to send a test event; given back when it is dropped.
    pub(super) fn leave_to_test(&self) -> Result<OwnedSemaphorePermit> {
        let busy = || {
            crate::Error::busy(format!("{TESTS_AT_ONCE} test events are under way")).with_hint("try again in a moment")
        };
        Ok(Arc::clone(&self.tests).try_acquire_owned().map_err(|_| busy())?)
    }

    pub(super) fn database(&self) -> &Database {
        self.sessions.database()
    }

    pub(super) fn rules(&self) -> &ServiceRules {
        &self.rules
    }

    /// Odoo's metadata as they are now. They are read anew only where they have changed: that takes as long as hundreds of other calls.
    pub(super) async fn registry(&self, session: &Session) -> Result<Arc<Registry>> {
        // The stamp first: what changes in between is read anew at the next call.
        let stamp = registry::stamp(session, admission::LOCK_WAIT).await?;
        // Held while they are read: whoever comes meanwhile needs the same.
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| known.stamp == stamp) {
            return Ok(Arc::clone(&known.registry));
        }
        let registry = Arc::new(registry::load(session).await?);
        *known = Some(Known {
            stamp,
            registry: Arc::clone(&registry),
        });
        Ok(registry)
    }

    /// Lets capture follow what was written of these subscriptions, so that it holds whether or not the service runs. The running one
    /// would see to it within a second.
    pub(super) async fn let_capture_follow(&self, session: &Session, ids: &[i32]) -> Result<()> {
        let registry = self.registry(session).await?;
        Box::pin(admission::follow(session, ids, &registry)).await?;
        Ok(())
    }

    /// The same, after something was written that stands whatever becomes of this: an error would tell of a failure where there was none.
    pub(super) async fn let_capture_follow_later(&self, session: &Session, ids: &[i32]) {
        if let Err(error) = self.let_capture_follow(session, ids).await {
            tell(&error);
        }
    }

    /// Captures no more what nobody needs since subscriptions went.
    pub(super) async fn let_capture_narrow_later(&self, session: &Session) {
        if let Err(error) = Box::pin(admission::narrow(session)).await {
            tell(&error.into());
        }
    }

    /// Refuses in a database that must not deliver. Nobody may call production's endpoints from a copy, by hand neither.
    pub(super) async fn require_adopted(&self, session: &Session) -> Result<()> {
        match crate::pg::outbox::fence(session).await? {
            None => Ok(()),
            Some(reason) => Err(Error::Conflict(Conflict::Copy { reason })),
        }
    }
}

fn tell(error: &Error) {
    tracing::warn!(error = %error, "capture does not follow a change of subscriptions yet; a service that runs sees to it");
}
