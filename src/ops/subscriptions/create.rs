//! Adding a subscription: looked at first, then written, so that nobody ever sees a row that is about to be refused.

use serde::Serialize;

use super::preview::{Looked, Preview, look_at};
use super::read::Versioned;
use crate::ops::error::{Error, Result};
use crate::ops::operator::{Operator, Scope};
use crate::ops::service::Service;
use crate::pg::answered_requests::Claimed;
use crate::pg::subscription_rows;
use crate::subscription::choices::State;
use crate::subscription::{Draft, Refusal};

/// A new subscription.
#[derive(Debug, Serialize)]
pub struct Created {
    /// The row as it is now.
    pub row: Versioned,
    /// Whether everything it needs is captured already; else its table is busy and the service goes on trying.
    pub captured: bool,
}

impl Service {
    /// Adds a subscription and sets up capture for it, so that no change after this call is missed, whether the service runs or not.
    ///
    /// # Errors
    /// [`Error::Refused`] when it cannot be served: then nothing was written. [`Error::Forbidden`] without `subscriptions:write`.
    pub async fn create_subscription(&self, operator: &Operator, draft: Draft) -> Result<Created> {
        Box::pin(self.create_for(operator, draft, None)).await
    }

    /// The same, noted under the key of the request that asks for it, in the transaction that adds it.
    pub(super) async fn create_for(
        &self,
        operator: &Operator,
        draft: Draft,
        request: Option<Claimed<'_>>,
    ) -> Result<Created> {
        operator.require(Scope::SubscriptionsWrite)?;
        let options = operator.sign(draft)?.to_json();
        let session = self.session().await?;
        let registry = self.registry(&session).await?;
        Box::pin(look_at(&session, self.rules(), operator, (&options, None), &registry)).await?;
        let id = subscription_rows::insert(&session, &operator.to_json(), &options, request).await?;
        let followed = self.let_capture_follow(&session, &[id]).await;
        let row = Self::versioned(&session, operator, id).await?;
        match (row.subscription.state, followed) {
            (Some(State::Ready | State::Disabled), _) => Ok(Created { row, captured: true }),
            // What only making the triggers shows.
            (Some(State::Invalid), _) => {
                let reason = row
                    .subscription
                    .error
                    .unwrap_or_else(|| "it cannot be served".to_owned());
                subscription_rows::remove(&session, id).await?;
                Err(Error::refused(Refusal::of("model", reason)))
            }
            (_, Ok(())) => Ok(Created { row, captured: false }),
            (_, Err(error)) => {
                subscription_rows::remove(&session, id).await?;
                Err(error)
            }
        }
    }

    /// What [`Service::create_subscription`] would make of this, and what it would capture; writes nothing, not even a sequence.
    ///
    /// # Errors
    /// As [`Service::create_subscription`].
    pub async fn preview_subscription(&self, operator: &Operator, draft: Draft) -> Result<Preview> {
        operator.require(Scope::SubscriptionsWrite)?;
        let options = operator.sign(draft)?.to_json();
        let session = self.session().await?;
        let registry = self.registry(&session).await?;
        let asked = (&options, None);
        let looked: Looked = match Box::pin(look_at(&session, self.rules(), operator, asked, &registry)).await? {
            Some(looked) => looked,
            None => return Err(Error::refused(Refusal::of("model", "a new subscription is nobody's"))),
        };
        Box::pin(looked.describe(&session)).await
    }
}
