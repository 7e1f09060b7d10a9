//! Adding a subscription once, however often the request for it comes.

use serde_json::json;

use super::read::Versioned;
use crate::Error as Failure;
use crate::ops::error::Result;
use crate::ops::operator::{Operator, Scope};
use crate::ops::service::Service;
use crate::pg::answered_requests::{self, Claim, Claimed, RequestKey};
use crate::subscription::Draft;

/// What became of a request with a key.
#[derive(Debug)]
pub enum Once {
    /// It was done now.
    Made(Versioned),
    /// It was done before: this was answered, or would have been.
    Repeated(Versioned),
    /// Somebody does it at this moment.
    UnderWay,
    /// The key belongs to another request.
    OtherRequest,
}

impl Service {
    /// As [`Service::create_subscription`], once in 24 hours for each key of a token. A request that failed has done nothing, and may come
    /// again with its key.
    ///
    /// # Errors
    /// As [`Service::create_subscription`].
    pub async fn create_subscription_once(
        &self,
        operator: &Operator,
        request: RequestKey<'_>,
        draft: Draft,
    ) -> Result<Once> {
        operator.require(Scope::SubscriptionsWrite)?;
        let claim = answered_requests::claim(&*self.session().await?, request).await?;
        let at = match claim {
            Claim::UnderWay => return Ok(Once::UnderWay),
            Claim::Other => return Ok(Once::OtherRequest),
            Claim::Answered { subscription, answer } => {
                if let Some(answer) = answer {
                    let read = serde_json::from_value(answer);
                    let row = read.map_err(|e| Failure::unfit("the kept answer cannot be read").with_source(e))?;
                    return Ok(Once::Repeated(row));
                }
                let id = subscription.unwrap_or_default();
                let row = Self::versioned(&self.session().await?, operator, id).await?;
                return Ok(Once::Repeated(row));
            }
            Claim::Claimed(at) => at,
        };
        let claimed = Claimed { request, at };
        let created = Box::pin(self.create_for(operator, draft, Some(claimed))).await;
        let answer = created.as_ref().ok().map(|created| json!(created.row));
        // The row knows its request already: without an answer a repetition is told of the row.
        let settled = async {
            answered_requests::settle(&*self.session().await?, claimed, answer.as_ref()).await?;
            Ok::<_, crate::ops::Error>(())
        };
        if let Err(error) = settled.await {
            tracing::warn!(error = %error, "the answer to a request with an Idempotency-Key was not kept");
        }
        Ok(Once::Made(created?.row))
    }
}
