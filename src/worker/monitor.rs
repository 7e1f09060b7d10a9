//! Looks at the database every few seconds, for `/readyz` and the metrics.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::vitals::Vitals;
use crate::Result;
use crate::pg::connections::Connections;
use crate::pg::health;

/// How often. The look takes a few milliseconds; alarms are about minutes.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Runs until cancelled.
///
/// # Errors
/// Database errors.
pub async fn run(connections: Connections, vitals: Arc<Vitals>, cancel: CancellationToken) -> Result<()> {
    loop {
        {
            let client = connections.at_once().await;
            vitals.measured(health::measure(&client).await?);
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
