//! What an operator's subscriptions and their deliveries have come to, in numbers.

use serde::{Deserialize, Serialize};

use super::error::Result;
use super::operator::{Operator, Scope};
use super::service::Service;
use crate::Error as Failure;
use crate::pg::subscription_rows;

/// It at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overview {
    /// Subscriptions by what they were found to be.
    pub subscriptions: SubscriptionCounts,
    /// Deliveries.
    pub deliveries: DeliveryCounts,
    /// Since when a service leads; none = none runs.
    pub leading_since: Option<String>,
}

/// Subscriptions; each active one is in one of the first five.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionCounts {
    /// Served.
    pub ready: i64,
    /// Served as soon as what they need can be captured.
    pub waiting: i64,
    /// Not looked at yet.
    pub unseen: i64,
    /// Cannot be served.
    pub invalid: i64,
    /// Their endpoint was given up.
    pub disabled: i64,
    /// Kept for audit.
    pub inactive: i64,
    /// Active ones whose deliveries wait.
    pub paused: i64,
}

/// Deliveries; 100,000 stands for that many or more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryCounts {
    /// Waiting, or under way.
    pub unfinished: i64,
    /// Ended without success.
    pub dead: i64,
}

/// How many subscriptions there are, altogether and by each quick filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsApart {
    /// All of them.
    pub all: i64,
    /// Made by an assistant.
    pub ai: i64,
    /// Made by a person.
    pub manual: i64,
    /// Active.
    pub active: i64,
    /// Kept for audit.
    pub inactive: i64,
    /// Active, and cannot be served.
    pub invalid: i64,
    /// Active, and the endpoint was given up.
    pub disabled: i64,
    /// Active, and their deliveries wait.
    pub paused: i64,
}

impl Service {
    /// How many subscriptions the operator sees, by each quick filter.
    ///
    /// # Errors
    /// [`super::Error::Forbidden`] without `subscriptions:read`.
    pub async fn count_subscriptions_apart(&self, operator: &Operator) -> Result<CountsApart> {
        operator.require(Scope::SubscriptionsRead)?;
        let session = self.session().await?;
        let told = subscription_rows::count_apart(&session, &operator.to_json()).await?;
        let read = serde_json::from_value(told);
        Ok(read.map_err(|e| Failure::unfit("the counts cannot be read").with_source(e))?)
    }

    /// It at a glance, of what the operator sees.
    ///
    /// # Errors
    /// [`super::Error::Forbidden`] without `subscriptions:read`.
    pub async fn overview(&self, operator: &Operator) -> Result<Overview> {
        operator.require(Scope::SubscriptionsRead)?;
        let session = self.session().await?;
        let told = subscription_rows::overview(&session, &operator.to_json()).await?;
        let read = serde_json::from_value(told);
        Ok(read.map_err(|e| Failure::unfit("the overview cannot be read").with_source(e))?)
    }
}
