//! Tells a client that a resource has changed, once a second at most, for as long as he listens and his token lets him in.
//!
//! Whoever begins to listen while there are events is told at once: after a break he cannot know what he has missed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rmcp::model::ResourceUpdatedNotificationParam;
use rmcp::service::SubscriptionSink;
use rmcp::{Peer, RoleServer};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::resources::uri_of;
use super::visitor::Visitor;
use crate::ops::error::{Error, Result};
use crate::ops::{Operator, Service};

/// Between two updates of one resource.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// How long one wait for events lasts; the next one begins at once.
const WAIT: Duration = Duration::from_secs(30);

/// The pause while the database is away.
const AWAY: Duration = Duration::from_secs(2);

/// Whoever is told.
pub trait Listener: Send + Sync {
    /// Tells that a resource has changed. False = nobody listens any more.
    fn tell(&self, uri: String) -> impl Future<Output = bool> + Send;
}

/// A session of the old era.
impl Listener for Peer<RoleServer> {
    async fn tell(&self, uri: String) -> bool {
        let told = ResourceUpdatedNotificationParam::new(uri);
        self.notify_resource_updated(told).await.is_ok()
    }
}

/// A stream of the new one.
impl Listener for SubscriptionSink {
    async fn tell(&self, uri: String) -> bool {
        self.notify_resource_updated(uri).await.is_ok()
    }
}

/// Tells of each change until nobody listens, the visitor is dismissed, or he sees no such subscription.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`].
pub async fn follow(visitor: &Visitor, operator: &Operator, subscription: i32, listener: &impl Listener) -> Result<()> {
    let mut cursor = None;
    loop {
        let next = next(&visitor.service, operator, subscription, cursor.as_deref());
        let found = tokio::select! {
            found = Box::pin(next) => found,
            () = visitor.dismissed() => return Ok(()),
        };
        match found {
            Ok((is_news, end)) => {
                cursor = Some(end);
                if is_news {
                    if !listener.tell(uri_of(subscription)).await {
                        return Ok(());
                    }
                    tokio::time::sleep(AT_MOST_EVERY).await;
                }
            }
            Err(error @ (Error::NotFound(_) | Error::Forbidden(_) | Error::Refused(_))) => return Err(error),
            Err(error) => {
                tracing::debug!(error = %error, "cannot look for updates of a resource");
                tokio::time::sleep(AWAY).await;
            }
        }
    }
}

/// Whether there is something behind the cursor, now or within [`WAIT`], and the end of what there is then.
async fn next(
    service: &Service,
    operator: &Operator,
    subscription: i32,
    cursor: Option<&str>,
) -> Result<(bool, String)> {
    let page = service.wait_feed(operator, subscription, cursor, 1, WAIT).await?;
    if page.events.is_empty() && !(page.truncated && cursor.is_some()) {
        return Ok((false, page.cursor));
    }
    // What comes after this look is another change.
    Ok((true, service.feed_end(operator, subscription).await?))
}

/// Resources that a session watches. They are watched no more when it is dropped, which it is with the session.
#[derive(Debug, Default)]
pub struct Watches(Mutex<HashMap<i32, DropGuard>>);

/// More than one operator can have subscribed to.
pub const MOST: usize = 200;

impl Watches {
    /// Watches one; again, anew. None where there are too many.
    pub fn begin(&self, subscription: i32) -> Option<CancellationToken> {
        let mut watched = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.len() >= MOST && !watched.contains_key(&subscription) {
            return None;
        }
        let token = CancellationToken::new();
        watched.insert(subscription, token.clone().drop_guard());
        Some(token)
    }

    /// Watches it no more.
    pub fn end(&self, subscription: i32) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&subscription);
    }
}
