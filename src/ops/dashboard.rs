//! What was sent in the last days, in figures: from counts by the hour, never from the log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::{Error, Result};
use super::operator::{Operator, Scope};
use super::service::Service;
use crate::Error as Failure;
use crate::pg::sqlstate::NO_SUCH_SETTING;
use crate::pg::{subscription_rows, traffic};
use crate::subscription::Refusal;

/// The longest time that can be looked at, in days.
pub const DAYS_AT_MOST: u32 = 90;

/// Figures of the last days. They count attempts, tests and repeats included, in the hour in which each began, until they are 400 days
/// old: longer than the log is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Dashboard {
    /// All together.
    pub summary: Summary,
    /// The ten hosts that most was sent to.
    pub top_endpoints: Vec<OfEndpoint>,
    /// By model.
    pub events_per_model: Vec<OfModel>,
    /// By day of the time zone, the oldest first; a day without any is there with zeros.
    pub daily_traffic: Vec<OfDay>,
    /// How many were of each type of event.
    pub event_type_distribution: BTreeMap<String, i64>,
    /// How many failed of each reason.
    pub errors: Vec<OfError>,
    /// False while what is older than the counting is still being counted.
    pub is_complete: bool,
}

/// All attempts together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Summary {
    /// Those that ended.
    pub total_sent: i64,
    /// Those that the receiver took.
    pub success_count: i64,
    /// The others.
    pub failed_count: i64,
    /// Deliveries that wait or are under way now; 100,000 stands for that many or more.
    #[serde(default)]
    pub pending_count: i64,
    /// Deliveries that ended without success and were not sent again; 100,000 stands for that many or more.
    #[serde(default)]
    pub dead_count: i64,
    /// Per cent, two decimals; none where nothing was sent.
    pub success_rate: Option<f64>,
    /// Milliseconds that half of the requests did not exceed; from classes, so roughly.
    pub p50_ms: Option<f64>,
    /// Milliseconds that 95 of 100 requests did not exceed; from classes, so roughly.
    pub p95_ms: Option<f64>,
}

/// Of one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OfEndpoint {
    /// Its name or address; `record callbacks` for all of those together.
    pub host: String,
    /// Attempts that ended.
    pub total: i64,
    /// Those that it took.
    pub success: i64,
    /// The others.
    pub failed: i64,
    /// Per cent, two decimals.
    pub success_rate: f64,
    /// Milliseconds that a request took on average.
    pub avg_ms: Option<f64>,
}

/// Of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OfModel {
    /// Odoo model.
    pub model: String,
    /// Attempts that ended.
    pub total: i64,
    /// Those that the receiver took.
    pub success: i64,
    /// The others.
    pub failed: i64,
}

/// Of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OfDay {
    /// The day, `YYYY-MM-DD`.
    pub date: String,
    /// Attempts that the receiver took.
    pub success: i64,
    /// The others.
    pub failed: i64,
}

/// Of one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct OfError {
    /// As in the log.
    pub error: String,
    /// Attempts that failed of it.
    pub count: i64,
}

impl Service {
    /// The figures of the last `days` days of a time zone (`Europe/Paris`), today included, of what the operator sees.
    ///
    /// # Errors
    /// [`Error::Refused`] for more than [`DAYS_AT_MOST`] days or an unknown time zone; [`Error::Forbidden`] without `deliveries:read`.
    pub async fn dashboard(&self, operator: &Operator, days: u32, tz: &str) -> Result<Dashboard> {
        operator.require(Scope::DeliveriesRead)?;
        let asked = i32::try_from(days).ok().filter(|_| (1..=DAYS_AT_MOST).contains(&days));
        let Some(asked) = asked else {
            return Err(Error::refused(Refusal::of(
                "days",
                format!("days is a number from 1 to {DAYS_AT_MOST}"),
            )));
        };
        // PostgreSQL also takes offsets and abbreviations, each with a meaning of its own.
        let unknown = || {
            let refusal = Refusal::of("tz", format!("unknown time zone \"{}\"", tz.escape_debug()));
            Error::refused(refusal.with_hint("zones have names like Europe/Paris and UTC"))
        };
        if jiff::tz::TimeZone::get(tz).is_err() {
            return Err(unknown());
        }
        let session = self.session().await?;
        let told = match traffic::dashboard(&session, &operator.to_json(), asked, tz).await {
            // Each of both has zones of its own.
            Err(error) if error.means(NO_SUCH_SETTING) => return Err(unknown()),
            told => told?,
        };
        let mut dashboard: Dashboard = read(told)?;
        let now: super::overview::Overview = read(subscription_rows::overview(&session, &operator.to_json()).await?)?;
        dashboard.summary.pending_count = now.deliveries.unfinished;
        dashboard.summary.dead_count = now.deliveries.dead;
        Ok(dashboard)
    }
}

fn read<T: serde::de::DeserializeOwned>(told: Value) -> Result<T> {
    let read = serde_json::from_value(told);
    Ok(read.map_err(|e| Failure::unfit("the figures cannot be read").with_source(e))?)
}
