//! Everything that is known to go wrong, looked at: what `doctor` and the web page show.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::error::Result;
use super::operator::{Operator, Scope};
use super::service::Service;
use crate::health::{Facts, Finding, judge};
use crate::pg::connect::Database;
use crate::pg::connections::MOST;
use crate::pg::tls::Mode;
use crate::pg::{Client, health, pooler, schema};

impl Service {
    /// Judges the installation; `alarm_after` is for how long an event may wait.
    ///
    /// # Errors
    /// [`super::Error::Forbidden`] but for those who see everything.
    pub async fn examine(&self, operator: &Operator, alarm_after: Duration) -> Result<Vec<Finding>> {
        operator.require(Scope::Admin)?;
        Ok(examine(self.database(), alarm_after).await?)
    }
}

/// Judges the installation in a database.
///
/// # Errors
/// When the database cannot be reached or has no installation.
pub async fn examine(database: &Database, alarm_after: Duration) -> crate::Result<Vec<Finding>> {
    // First: with a pooler in between, anything below may fail for no other reason.
    let pooler = pooler::find(database).await?;
    let client = database.connect().await?;
    schema::require_installed(&client).await?;
    let told = health::examine(&client).await?;
    let clock = clock_skew(&client).await?;
    drop(client);
    Ok(judge(&Facts {
        database: &told,
        clock,
        sslmode: database.tls_mode().to_string(),
        server_is_verified: database.tls_mode() == Mode::VerifyFull,
        connections_needed: MOST,
        pooler,
        alarm_after,
    }))
}

/// This host's clock minus the server's, and how exact that is, in seconds: half of what asking took.
async fn clock_skew(client: &Client) -> crate::Result<(f64, f64)> {
    let asked = Instant::now();
    let theirs = health::measure(client).await?.server_time;
    let took = asked.elapsed().as_secs_f64();
    let ours = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64());
    Ok((ours - took / 2.0 - theirs, took / 2.0))
}
