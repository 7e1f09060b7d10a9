//! The body that a subscription would send, made of a real record before anything is written or sent.

use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use super::bulk::Target;
use super::preview::{Preview, look_at};
use crate::event::{self, EventType};
use crate::matching::Assembled;
use crate::ops::error::{Error, Result};
use crate::ops::operator::{Operator, Scope};
use crate::ops::service::Service;
use crate::pg::domain::search;
use crate::pg::sqlstate::DENIED;
use crate::subscription::{Draft, Patch, Refusal, ResolvedSubscription};
use crate::worker::dispatch::payload_loader;

/// A body that was made and not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Of which record.
    pub record: i64,
    /// `create`, `write` or `unlink`.
    pub event_type: &'static str,
    /// The body; empty where there is none.
    pub body: String,
    /// Why there is none.
    pub failure: Option<String>,
}

impl Sample {
    /// What is to be shown of it: JSON with a line for each value, or why there is no body.
    pub fn text(&self) -> String {
        match &self.failure {
            Some(failure) => failure.clone(),
            None => match serde_json::from_str::<serde_json::Value>(&self.body) {
                Ok(json) => serde_json::to_string_pretty(&json).unwrap_or_else(|_| self.body.clone()),
                Err(_) => self.body.clone(),
            },
        }
    }
}

impl Service {
    /// What a new subscription would send of this record, or of the newest that matches its domain.
    ///
    /// # Errors
    /// [`Error::Refused`] when it cannot be served, or no record is at hand; [`Error::Forbidden`] without `subscriptions:write`.
    pub async fn sample_draft(&self, operator: &Operator, draft: Draft, record: Option<i64>) -> Result<Sample> {
        operator.require(Scope::SubscriptionsWrite)?;
        let options = operator.sign(draft)?.to_json();
        let session = self.session().await?;
        let registry = self.registry(&session).await?;
        let looked = Box::pin(look_at(&session, self.rules(), operator, (&options, None), &registry)).await?;
        let looked = looked.ok_or_else(|| Error::refused(Refusal::of("model", "a new subscription is nobody's")))?;
        drop(session);
        Box::pin(self.sample(operator, looked.into_accepted(), record)).await
    }

    /// What a subscription would send with these columns changed.
    ///
    /// # Errors
    /// As [`Service::sample_draft`]; [`Error::NotFound`].
    pub async fn sample_change(
        &self,
        operator: &Operator,
        id: i32,
        patch: &Patch,
        record: Option<i64>,
    ) -> Result<Sample> {
        let accepted = Box::pin(self.look_at_change(operator, id, patch))
            .await?
            .into_accepted();
        Box::pin(self.sample(operator, accepted, record)).await
    }

    /// What a subscription would be with these columns changed; writes nothing.
    ///
    /// # Errors
    /// As [`Service::update_subscription`].
    pub async fn preview_change(&self, operator: &Operator, id: i32, patch: &Patch) -> Result<Preview> {
        let looked = Box::pin(self.look_at_change(operator, id, patch)).await?;
        let session = self.session().await?;
        Box::pin(looked.describe(&session)).await
    }

    async fn look_at_change(&self, operator: &Operator, id: i32, patch: &Patch) -> Result<super::preview::Looked> {
        operator.require(Scope::SubscriptionsWrite)?;
        operator.refuse_giving_away(patch)?;
        let session = self.session().await?;
        let patch = Self::unmasked(&session, operator, id, patch).await?.to_json();
        let registry = self.registry(&session).await?;
        let target = Target::any(id);
        let asked = (&patch, Some(&target));
        let looked = Box::pin(look_at(&session, self.rules(), operator, asked, &registry)).await?;
        looked.ok_or_else(|| Error::no_subscription(id))
    }

    async fn sample(
        &self,
        operator: &Operator,
        subscription: ResolvedSubscription,
        record: Option<i64>,
    ) -> Result<Sample> {
        let record = match record {
            Some(record) => record,
            None => self.newest_matching(operator, &subscription).await?,
        };
        let event_type = [EventType::Write, EventType::Create, EventType::Unlink]
            .into_iter()
            .find(|event_type| subscription.wants(*event_type))
            .unwrap_or(EventType::Write);
        let at = Timestamp::now();
        let event_id = event::event_id(Uuid::new_v4(), 0, &subscription.row.model, event_type, at);
        let database: Arc<str> = self.database().name().into();
        let assembled = Assembled::of_existing(
            Arc::new(subscription),
            (event_id, event_type, 0),
            vec![record],
            at,
            database,
        );
        let session = self.session().await?;
        let made = Box::pin(payload_loader::make(session.pooled(), vec![assembled])).await?;
        drop(session);
        let made = made.into_iter().next();
        let (body, failure) = match made.map(|made| (made.body, made.unreadable)) {
            Some((_, Some(unreadable))) => (String::new(), Some(format!("it cannot be read: {unreadable}"))),
            Some((Ok(body), None)) => (body, None),
            Some((Err(nothing), None)) => (
                String::new(),
                Some(format!("{}: {}", nothing.failure.as_str(), nothing.detail)),
            ),
            None => (String::new(), Some("nothing would be sent".to_owned())),
        };
        Ok(Sample {
            record,
            event_type: event_type.as_str(),
            body,
            failure,
        })
    }

    async fn newest_matching(&self, operator: &Operator, subscription: &ResolvedSubscription) -> Result<i64> {
        let hint = "name a record by its id";
        let no_record = |why: &str| Error::refused(Refusal::of("domain", why).with_hint(hint));
        let question = crate::ops::domains::DomainQuestion {
            model: subscription.row.model.clone(),
            domain: subscription.row.domain.clone(),
            user_id: subscription.row.user_id,
            lang: subscription.row.lang.clone(),
        };
        let session = self.session().await?;
        let registry = self.registry(&session).await?;
        let domain = crate::ops::domains::judged(&question, operator, &registry)?;
        match search::newest_matching(&session, &domain).await {
            Ok(Some(record)) => Ok(record),
            Ok(None) => Err(no_record("no record matches the domain now")),
            Err(error) if error.means(DENIED) => Err(no_record("the service may not look for a record that matches")),
            Err(error) => Err(error.into()),
        }
    }
}
