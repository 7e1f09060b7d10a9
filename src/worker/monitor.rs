//! Looks at the database every few seconds, for `/readyz` and the metrics.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use tokio_util::sync::CancellationToken;

use super::deliverer::no_connection;
use super::vitals::Vitals;
use crate::Result;
use crate::pg::health;

/// How often. The look takes a few milliseconds; alarms are about minutes.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Runs until cancelled.
///
/// # Errors
/// Database errors.
pub async fn run(pool: Pool, vitals: Arc<Vitals>, cancel: CancellationToken) -> Result<()> {
    loop {
        {
            let client = pool.get().await.map_err(no_connection)?;
            vitals.measured(health::measure(&client).await?);
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
