//! Looks at the database every few seconds, for `/readyz` and the metrics.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::pg::connections::Connections;
use crate::pg::health;
use crate::worker::vitals::Vitals;
use crate::{Error, Result};

/// How often. The look takes a few milliseconds; alarms are about minutes.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Runs until cancelled.
///
/// # Errors
/// [`Error::is_fenced`] when nothing may be delivered from the database any more; database errors.
pub async fn run(connections: Connections, vitals: Arc<Vitals>, cancel: CancellationToken) -> Result<()> {
    loop {
        {
            let client = connections.at_once().await;
            let health = health::measure(&client).await?;
            let fence = health.fence.clone();
            vitals.measured(health);
            // Claiming asks too, but where nothing is due nobody claims, and `/readyz` would call this service well.
            if let Some(reason) = fence {
                return Err(Error::fenced(reason));
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}
