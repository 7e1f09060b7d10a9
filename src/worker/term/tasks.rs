//! The tasks of a term, which begin and end together.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::eviction::more_telling;
use crate::{Error, Result};

/// How long tasks may take to end beyond the grace time, before they are given up: one that waits for a dead connection's answer
/// never ends.
pub(super) const END_WITHIN: Duration = Duration::from_secs(5);

/// The tasks of a term: when one ends, all end.
pub(super) struct Tasks {
    pub(super) cancel: CancellationToken,
    set: JoinSet<(&'static str, Result<()>)>,
}

impl Tasks {
    /// The task that lets requests end. Whatever goes on without it only waits for answers that may never come.
    pub(super) const HAS_GRACE: &str = "deliverer";

    pub(super) fn new(cancel: CancellationToken) -> Self {
        Self {
            cancel,
            set: JoinSet::new(),
        }
    }

    pub(super) fn spawn(&mut self, name: &'static str, task: impl Future<Output = Result<()>> + Send + 'static) {
        self.set.spawn(async move { (name, task.await) }.in_current_span());
    }

    /// Waits for all; once the first has ended, `limit` for the others. Returns the first failure: what came after it is mostly its
    /// consequence.
    pub(super) async fn join(mut self, limit: Duration) -> Result<()> {
        let mut first = None;
        let mut deadline = None;
        loop {
            let next = self.set.join_next();
            let ended = match deadline {
                None => next.await,
                Some(at) => match tokio::time::timeout_at(at, next).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        tracing::warn!(tasks = self.set.len(), "gave tasks up that did not end in time");
                        self.set.shutdown().await;
                        break;
                    }
                },
            };
            let Some(ended) = ended else { break };
            let now = tokio::time::Instant::now();
            let end_by = deadline.get_or_insert(now + limit);
            if let Ok((Self::HAS_GRACE, _)) = &ended {
                *end_by = (*end_by).min(now + END_WITHIN);
            }
            let failure = match ended {
                Ok((name, Ok(()))) => {
                    tracing::debug!(task = name, "ended");
                    None
                }
                Ok((name, Err(error))) => {
                    tracing::debug!(task = name, error = %error.chain(), "failed");
                    Some(error)
                }
                Err(error) => {
                    tracing::error!(error = %error, "a task died");
                    Some(Error::database("go on after a task died", error))
                }
            };
            first = match (first, failure) {
                (Some(first), failure) => Some(more_telling(first, failure)),
                (None, failure) => failure,
            };
            self.cancel.cancel();
        }
        first.map_or(Ok(()), Err)
    }
}
