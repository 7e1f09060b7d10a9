//! How long the database may take to answer. Without a limit a dead connection that nobody has closed would be waited for.

use std::future::Future;
use std::time::Duration;

use crate::{Error, Result};

/// How long a session may take to answer a question that needs little work.
pub(in crate::worker) const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Does something that may take so long at most.
pub(in crate::worker) async fn within<T>(
    limit: Duration,
    tried: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::time::timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(Error::database(tried, "the server did not answer in time")))
}
