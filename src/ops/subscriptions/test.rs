//! Trying a subscription's endpoint.

use crate::ops::error::Result;
use crate::ops::operator::{Operator, Scope};
use crate::ops::service::Service;
use crate::ops::test_event::{self, Tested};

impl Service {
    /// Sends a marked event to its endpoint, also where it is inactive, paused or disabled. An endpoint that fails is no error: see
    /// [`Tested::success`].
    ///
    /// # Errors
    /// [`crate::ops::Error::NotFound`]; [`crate::ops::Error::Refused`] when it has no URL or cannot be served;
    /// [`crate::ops::Error::Conflict`] in a copy; [`crate::ops::Error::Forbidden`] without `subscriptions:write`.
    pub async fn test_subscription(&self, operator: &Operator, id: i32) -> Result<Tested> {
        operator.require(Scope::SubscriptionsWrite)?;
        {
            let session = self.session().await?;
            Self::versioned(&session, operator, id).await?;
            self.require_adopted(&session).await?;
        }
        Box::pin(test_event::send(self, id)).await
    }
}
