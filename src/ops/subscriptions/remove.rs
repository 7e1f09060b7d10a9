//! Deleting one subscription.

use super::bulk::{Outcome, Target};
use crate::ops::error::{Conflict, Error, Result, Version};
use crate::ops::operator::Operator;
use crate::ops::service::Service;

impl Service {
    /// Deletes it; the log of its deliveries stays. With `expected` only while it is still that version.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] where it is another version; [`Error::Forbidden`] without `subscriptions:write`.
    pub async fn delete_subscription(&self, operator: &Operator, id: i32, expected: Option<&Version>) -> Result<()> {
        let target = Target {
            id,
            expected: expected.cloned(),
        };
        let results = Box::pin(self.delete_subscriptions(operator, &[target])).await?;
        match results.into_iter().next().map(|result| result.outcome) {
            Some(Outcome::Done { .. }) => Ok(()),
            Some(Outcome::Conflict { version }) => Err(Error::Conflict(Conflict::Changed { id, now: version })),
            Some(Outcome::Refused { refusals }) => Err(Error::Refused(refusals)),
            Some(Outcome::NotFound) | None => Err(Error::no_subscription(id)),
        }
    }
}
