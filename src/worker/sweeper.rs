//! Cleans up behind the others: rotates and empties the outbox, makes the log's next days, ends attempts whose lease ran out.

use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use crate::pg::connections::Connections;
use crate::pg::{deliveries, outbox};
use crate::{Error, Result};

/// How often it looks. Nothing here is urgent.
const SWEEP_EVERY: Duration = Duration::from_secs(15);

/// An outbox table larger than this is left for the next one; small enough to be emptied often, large enough that the functions of
/// all captured tables are not rewritten every minute.
const ROTATE_OVER_BYTES: i64 = 32 * 1024 * 1024;

/// How many days of the log exist ahead of time.
const LOG_DAYS_AHEAD: i32 = 2;

/// Runs until cancelled.
///
/// # Errors
/// Database errors.
pub async fn run(connections: Connections, term: i64, cancel: CancellationToken) -> Result<()> {
    loop {
        {
            let client = connections.at_once().await;
            deliveries::ensure_log_days(&client, LOG_DAYS_AHEAD).await?;
            let interrupted = deliveries::recover_interrupted(&client, term).await?;
            if interrupted > 0 {
                tracing::warn!(
                    attempts = interrupted,
                    "ended attempts that nobody recorded: interrupted"
                );
            }
            if outbox::rotate(&client, ROTATE_OVER_BYTES).await? {
                tracing::info!("the outbox goes on in its next table");
            }
            match outbox::clear(&client).await {
                Ok(0) => {}
                Ok(tables) => tracing::info!(tables, "emptied what was read of the outbox"),
                // Somebody still writes there or dumps it; next time.
                Err(error) if is_busy(&error) => tracing::debug!("a table of the outbox is still in use"),
                Err(error) => return Err(error),
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
    }
}

fn is_busy(error: &Error) -> bool {
    error.sql_state() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}
