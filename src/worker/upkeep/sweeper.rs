//! Cleans up behind the others: rotates and empties the outbox, makes the log's next days and drops old ones, ends attempts whose
//! lease ran out.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::failpoint::{self, Step};
use crate::pg::connect::Database;
use crate::pg::connections::Connections;
use crate::pg::sqlstate::OUT_OF_CONNECTIONS;
use crate::pg::troubles::Troubles;
use crate::pg::{deliveries, outbox};
use crate::worker::deliver::in_flight::InFlight;
use crate::worker::term::budget::Budget;
use crate::worker::upkeep::retention::Retention;

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
pub async fn run(
    connections: Connections,
    (budget, database): (Budget, Database),
    (term, in_flight): (i64, InFlight),
    mut retention: Retention,
    cancel: CancellationToken,
) -> Result<()> {
    let mut troubles = Troubles::default();
    loop {
        {
            let client = connections.at_once().await;
            let made = deliveries::ensure_log_days(&client, LOG_DAYS_AHEAD).await;
            troubles.settle(&client, "make the log's next days", made).await?;
            in_flight.give_back_before(&client, term).await?;
            let interrupted = deliveries::recover_interrupted(&client, term).await?;
            if interrupted > 0 {
                tracing::warn!(
                    attempts = interrupted,
                    "ended attempts that nobody recorded: interrupted"
                );
            }
            deliveries::wake_all_lanes(&client).await?;
            let rotated = outbox::rotate(&client, ROTATE_OVER_BYTES).await;
            let rotated = troubles
                .settle(&client, "let the outbox go on in its next table", rotated)
                .await?;
            if rotated == Some(true) {
                tracing::info!("the outbox goes on in its next table");
            }
            let old = retention.rotate(&client).await;
            let old = troubles
                .settle(&client, "let an old outbox go on in its next table", old)
                .await?;
            // Where capture cannot be sent to another table, the one it is in is emptied, whenever nobody is writing to it.
            let current_too = rotated.is_none() || old.is_none();
            let emptied = failpoint::during(Step::WhileEmptying, outbox::clear(&client, current_too)).await;
            let emptied = troubles
                .settle(&client, "empty the outbox", emptied)
                .await?
                .unwrap_or(0);
            if emptied > 0 {
                tracing::info!(tables = emptied, "emptied what was read of the outbox");
            }
        }
        if retention.is_due() {
            match budget.aside_now(&database).await {
                Ok(client) => {
                    let gone = retention.let_go(&client, term).await;
                    troubles.settle(&client, "let go of old days of the log", gone).await?;
                }
                // It stays due. Everything else here needs no connection more, and must not wait for one.
                Err(error) if error.means(OUT_OF_CONNECTIONS) => {
                    tracing::debug!(error = %error.chain(), "old days of the log are looked at later");
                }
                Err(error) => return Err(error),
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
    }
}
