//! Keeps the feed within its limits while an instance leads: changes blocks, empties old ones, ends leases that nobody renews.
//!
//! Nothing here waits for anybody: a block that is being read, and a subscription that somebody is writing, are tried again later.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::failpoint::{self, Step};
use crate::pg::connections::Connections;
use crate::pg::feed::{self, Dropped, Keeping};
use crate::pg::troubles::Troubles;
use crate::worker::dispatch::feeding::Growth;

/// How often it looks; sooner when much was written.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// How long a block that somebody reads is left alone.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// How often leases are looked at, at most; short ones more often.
const LEASES_EVERY: Duration = Duration::from_secs(60);

/// Readers come back within that time after an outage, and their leases wait for them.
const READERS_RETURN_WITHIN: Duration = Duration::from_secs(300);

/// The task that tends the feed.
#[derive(Debug)]
pub struct Tender {
    /// Connections.
    pub connections: Connections,
    /// The fencing token.
    pub term: i64,
    /// What is kept.
    pub keeping: Keeping,
    /// What the dispatcher has written.
    pub fed: Growth,
}

impl Tender {
    /// Runs until cancelled.
    ///
    /// # Errors
    /// [`crate::Error::is_lease_lost`]; database errors.
    pub async fn run(self, cancel: CancellationToken) -> Result<()> {
        feed::set(&*self.connections.at_once().await, self.term, self.keeping).await?;
        let mut troubles = Troubles::default();
        let mut look_at_leases = Instant::now() + self.keeping.lease.min(READERS_RETURN_WITHIN);
        loop {
            let kept = self.keep(&cancel).await;
            let client = self.connections.at_once().await;
            let is_busy = troubles
                .settle(&client, "keep the feed within its limits", kept)
                .await?;
            if look_at_leases <= Instant::now() {
                look_at_leases = Instant::now() + (self.keeping.lease / 4).min(LEASES_EVERY);
                let ended = feed::end_leases(&client, self.term).await;
                let ended = troubles.settle(&client, "end leases that nobody renews", ended).await?;
                for subscription in ended.into_iter().flatten() {
                    tracing::info!(
                        subscription.id = subscription,
                        "nobody reads this subscription any more: it is deactivated"
                    );
                }
            }
            drop(client);
            let pause = if is_busy == Some(true) { BUSY_PAUSE } else { LOOK_EVERY };
            let lease = look_at_leases.saturating_duration_since(Instant::now());
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = self.fed.is_enough() => {}
                () = tokio::time::sleep(pause.min(lease)) => {}
            }
        }
    }

    /// Whether a block that should have been emptied is being read.
    async fn keep(&self, cancel: &CancellationToken) -> Result<bool> {
        let was_fed = self.fed.take();
        let client = self.connections.at_once().await;
        if feed::rotate(&client, self.term).await? {
            tracing::info!("the feed goes on in its next block");
        }
        let has_doomed = feed::has_doomed_block(&client, self.term).await?;
        drop(client);
        if !was_fed && !has_doomed {
            return Ok(false);
        }
        // Both take longer than others should wait for the session that they share.
        let Some(own) = self.connections.own_until(cancel).await? else {
            return Ok(false);
        };
        if was_fed {
            feed::limit(&own, self.term).await?;
        }
        if !has_doomed {
            return Ok(false);
        }
        loop {
            match failpoint::during(Step::WhileDroppingABlock, feed::drop_block(&own, self.term)).await? {
                Some(Dropped::Busy) => {
                    tracing::info!("an old block of the feed is being read: emptying it later");
                    return Ok(true);
                }
                Some(Dropped::Old) => tracing::info!("emptied an old block of the feed"),
                Some(Dropped::Shortened) => {
                    tracing::warn!("the feed was too large: its oldest block was emptied before its time");
                }
                None => break,
            }
        }
        // There may be an empty one to go on in now.
        feed::rotate(&own, self.term).await?;
        Ok(false)
    }
}
