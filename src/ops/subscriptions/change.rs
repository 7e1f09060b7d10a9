//! Changing one subscription: looked at as it would be, then written while it still is what was looked at.

use super::bulk::{Outcome, Target};
use super::read::Versioned;
use crate::ops::error::{Conflict, Error, Result, Version};
use crate::ops::operator::{Operator, Scope};
use crate::ops::service::Service;
use crate::pg::subscription_rows;
use crate::subscription::{Draft, Patch};

/// How often a change that names no version is tried again because somebody else was quicker.
const TRIES: usize = 5;

impl Service {
    /// Writes these columns. With `expected` only while the row is still that version; without, over whatever it is.
    ///
    /// What is written is what was looked at: a row that somebody changes in between is looked at again, or is a conflict.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where it is another version; [`Error::Refused`] when it could not be served: then nothing
    /// was written; [`Error::Busy`] when others keep changing it; [`Error::Forbidden`] without `subscriptions:write`.
    pub async fn update_subscription(
        &self,
        operator: &Operator,
        id: i32,
        patch: &Patch,
        expected: Option<&Version>,
    ) -> Result<Versioned> {
        operator.require(Scope::SubscriptionsWrite)?;
        for _ in 0..TRIES {
            let target = Target {
                id,
                expected: expected.cloned(),
            };
            let results = Box::pin(self.update_subscriptions(operator, &[target], patch)).await?;
            match results.into_iter().next().map(|result| result.outcome) {
                Some(Outcome::Done { .. }) => {
                    let session = self.session().await?;
                    return Self::versioned(&session, operator, id).await;
                }
                Some(Outcome::Conflict { version }) => {
                    if expected.is_some() {
                        return Err(Error::Conflict(Conflict::Changed { id, now: version }));
                    }
                }
                Some(Outcome::Refused { refusals }) => return Err(Error::Refused(refusals)),
                Some(Outcome::NotFound) | None => return Err(Error::no_subscription(id)),
            }
        }
        Err(Error::Busy(crate::Error::busy(format!(
            "subscription {id} is being changed by others all the time"
        ))))
    }

    /// Activates it, or deactivates it and keeps it for audit: its unsent deliveries are cancelled then.
    ///
    /// # Errors
    /// As [`Service::update_subscription`]; one that cannot be served can be deactivated.
    pub async fn set_active(&self, operator: &Operator, id: i32, active: bool) -> Result<Versioned> {
        let set = Draft {
            active: Some(active),
            ..Draft::default()
        };
        self.set(operator, id, set).await
    }

    /// Lets its deliveries wait, or go on.
    ///
    /// # Errors
    /// As [`Service::update_subscription`]; one that cannot be served can be paused.
    pub async fn set_paused(&self, operator: &Operator, id: i32, paused: bool) -> Result<Versioned> {
        let set = Draft {
            paused: Some(paused),
            ..Draft::default()
        };
        self.set(operator, id, set).await
    }

    async fn set(&self, operator: &Operator, id: i32, set: Draft) -> Result<Versioned> {
        let patch = Patch {
            set,
            ..Patch::default()
        };
        Box::pin(self.update_subscription(operator, id, &patch, None)).await
    }

    /// Sends to an endpoint again that the service had given up. Answers since when it was; `None` = it was not.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] without `subscriptions:write`.
    pub async fn enable_subscription(&self, operator: &Operator, id: i32) -> Result<Option<jiff::civil::DateTime>> {
        operator.require(Scope::SubscriptionsWrite)?;
        let session = self.session().await?;
        subscription_rows::enable(&session, &operator.to_json(), id)
            .await
            .map_err(|error| Error::about_subscription(id, error))
    }
}
