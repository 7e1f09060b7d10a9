//! Lets go of what is old: days of the log, deliveries whose attempts went with them, counts of attempts, and values in the outbox that
//! were read long ago.
//!
//! Nothing here is urgent and nothing may be in anybody's way: a day that is being read is tried again in a minute, deliveries go in
//! small batches. The reasons are in `sql/functions/retention.sql`.

use std::time::{Duration, Instant};

use crate::pg::Client;

use crate::Result;
use crate::failpoint::{self, Step};
use crate::pg::retention::{self, DeliveryKey};
use crate::pg::{outbox, traffic};

/// How often it looks for something old once there is nothing more.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);

/// How long a day of the log that somebody reads is left alone.
const BUSY_PAUSE: Duration = Duration::from_secs(60);

/// Deliveries looked at in one statement: some tens of milliseconds.
const BATCH: i32 = 2_000;

/// How long counts of attempts are kept: a year and the month to compare it with.
const KEEP_TRAFFIC_DAYS: i32 = 400;

/// How long clearing may go on before the sweeper's other work has its turn.
const CLEAR_FOR: Duration = Duration::from_secs(2);

/// What is kept for how long, and what was done about it.
#[derive(Debug)]
pub struct Retention {
    keep_days: u16,
    next_drop: Instant,
    next_clearing: Instant,
    cleared_to: DeliveryKey,
    next_counting: Instant,
}

impl Retention {
    /// Keeps the log for so many whole days (UTC) before today; 0 = for ever.
    pub fn new(keep_days: u16) -> Self {
        let now = Instant::now();
        Self {
            keep_days,
            next_drop: now,
            next_clearing: now,
            cleared_to: DeliveryKey::FIRST,
            next_counting: now,
        }
    }

    /// Lets capture go on in the outbox's next table when the oldest values of the current one were read long ago.
    ///
    /// # Errors
    /// Database errors.
    pub async fn rotate(&self, client: &Client) -> Result<()> {
        if retention::outbox_is_old(client).await?
            && failpoint::during(Step::WhileRotating, outbox::rotate(client, 0)).await?
        {
            tracing::info!("the outbox goes on in its next table, so that the old one can be emptied");
        }
        Ok(())
    }

    /// Whether [`Retention::let_go`] has something to do.
    pub fn is_due(&self) -> bool {
        let now = Instant::now();
        self.next_counting <= now || self.keep_days > 0 && (self.next_drop <= now || self.next_clearing <= now)
    }

    /// Lets go of what is older than it is kept, for a few seconds at most.
    ///
    /// # Errors
    /// Database errors; a log that is being read is none.
    pub async fn let_go(&mut self, client: &Client, term: i64) -> Result<()> {
        // What is about to be dropped is counted first.
        if self.next_counting <= Instant::now() {
            self.count(client, term).await?;
        }
        if self.keep_days == 0 {
            return Ok(());
        }
        if self.next_drop <= Instant::now() {
            self.drop_days(client, term).await?;
        }
        if self.next_clearing <= Instant::now() {
            self.clear(client, term).await?;
        }
        Ok(())
    }

    /// Counts what ended before attempts were counted, and lets go of old counts.
    async fn count(&mut self, client: &Client, term: i64) -> Result<()> {
        let began = Instant::now();
        while traffic::backfill(client, term, BATCH).await? {
            if began.elapsed() > CLEAR_FOR {
                return Ok(());
            }
        }
        while traffic::forget(client, term, KEEP_TRAFFIC_DAYS, BATCH).await? > 0 {
            if began.elapsed() > CLEAR_FOR {
                return Ok(());
            }
        }
        self.next_counting = Instant::now() + LOOK_EVERY;
        Ok(())
    }

    async fn drop_days(&mut self, client: &Client, term: i64) -> Result<()> {
        loop {
            let dropped = retention::drop_log_day(client, term, self.keep_days);
            match failpoint::during(Step::WhileDroppingADay, dropped).await {
                Ok(Some(day)) => tracing::info!(%day, "dropped a day of the log"),
                Ok(None) => {
                    self.next_drop = Instant::now() + LOOK_EVERY;
                    return Ok(());
                }
                Err(error) if error.is_lock_timeout() => {
                    tracing::info!("an old day of the log is still being read: dropping it later");
                    self.next_drop = Instant::now() + BUSY_PAUSE;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn clear(&mut self, client: &Client, term: i64) -> Result<()> {
        let began = Instant::now();
        let mut cleared = 0;
        let is_through = loop {
            let batch = retention::clear_deliveries(client, term, self.keep_days, self.cleared_to, BATCH).await?;
            cleared += batch.cleared;
            match batch.last {
                Some(last) if batch.examined == i64::from(BATCH) => self.cleared_to = last,
                _ => break true,
            }
            if began.elapsed() > CLEAR_FOR {
                break false;
            }
        };
        if is_through {
            // From the beginning again next time: what had an attempt in the log then may have none now.
            self.cleared_to = DeliveryKey::FIRST;
            self.next_clearing = Instant::now() + LOOK_EVERY;
        }
        if cleared > 0 {
            tracing::info!(deliveries = cleared, "cleared deliveries that ended long ago");
        }
        Ok(())
    }
}
