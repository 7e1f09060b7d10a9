//! Waiting for a connection that cannot be had now.
//!
//! A server that others have filled up refuses more connections (53300) and serves those that are there as ever. Whoever delivers has
//! one, and must not lose it because something beside it needs another: that waits.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::sqlstate::OUT_OF_CONNECTIONS;
use crate::Result;

const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MOST: Duration = Duration::from_secs(2);

/// Tries to connect while connections are scarce; `None` when cancelled before.
///
/// # Errors
/// Whatever else keeps it from connecting.
pub async fn until<T, F>(cancel: &CancellationToken, connect: impl Fn() -> F) -> Result<Option<T>>
where
    F: Future<Output = Result<T>>,
{
    let mut pause = PAUSE_FIRST;
    let mut is_told = false;
    loop {
        let error = match cancel.run_until_cancelled(connect()).await {
            None => return Ok(None),
            Some(Ok(connection)) => return Ok(Some(connection)),
            Some(Err(error)) if error.means(OUT_OF_CONNECTIONS) => error,
            Some(Err(error)) => return Err(error),
        };
        if !std::mem::replace(&mut is_told, true) {
            tracing::warn!(error = %error.chain(), "no further connection can be had: what needs one waits");
        }
        if cancel.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return Ok(None);
        }
        pause = (pause * 2).min(PAUSE_MOST);
    }
}
