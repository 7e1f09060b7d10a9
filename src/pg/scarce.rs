//! Waiting for a connection that cannot be had now.
//!
//! A server that others have filled up refuses more connections (53300) and serves those that are there as ever. Whoever delivers has
//! one, and must not lose it because something beside it needs another: that waits.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::Result;

const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MOST: Duration = Duration::from_secs(2);

/// Tries to connect until it succeeds; `None` when cancelled before.
pub async fn until<T, F>(cancel: &CancellationToken, connect: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T>>,
{
    let mut pause = PAUSE_FIRST;
    let mut is_told = false;
    loop {
        let error = tokio::select! {
            biased;
            () = cancel.cancelled() => return None,
            connected = connect() => match connected {
                Ok(connection) => return Some(connection),
                Err(error) => error,
            },
        };
        if !is_told {
            tracing::warn!(error = %error.chain(), "no further connection can be had: what needs one waits");
            is_told = true;
        }
        tokio::select! {
            () = cancel.cancelled() => return None,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(PAUSE_MOST);
    }
}
