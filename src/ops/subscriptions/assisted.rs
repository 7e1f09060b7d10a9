//! What an assistant subscribes to: the same thing once, not too much of it, and signed with a secret that is made here.

use std::collections::BTreeSet;

use serde_json::json;

use super::read::{Filter, Versioned};
use super::secret;
use crate::ops::domains::DomainQuestion;
use crate::ops::error::{Error, Result};
use crate::ops::operator::{Operator, Scope};
use crate::ops::service::Service;
use crate::subscription::choices::{CreatedFrom, WantedEvents};
use crate::subscription::{Draft, Refusal, View};

/// So many active subscriptions that assistants made one operator may have.
pub const MOST_OF_AN_OPERATOR: usize = 100;

/// A subscription that an assistant wanted.
#[derive(Debug)]
pub struct Assisted {
    /// The row as it is now.
    pub row: Versioned,
    /// Whether it was there before.
    pub existing: bool,
    /// What signs its requests, where it was made now and has an endpoint: it is told this once.
    pub secret: Option<String>,
    /// How many records match now; none where the connection may not read them.
    pub matching_now: Option<i64>,
}

impl Service {
    /// Adds what an assistant wants to hear of; an equal one of the same operator that is active is answered instead. One with an endpoint
    /// gets a secret, and can be read from the feed as well.
    ///
    /// # Errors
    /// As [`Service::create_subscription`]; [`Error::Refused`] where the operator has [`MOST_OF_AN_OPERATOR`] already.
    pub async fn subscribe_for_assistant(&self, operator: &Operator, mut draft: Draft) -> Result<Assisted> {
        operator.require(Scope::SubscriptionsWrite)?;
        // Who may make a subscription is told how it would be.
        let reader = operator.clone().also(Scope::SubscriptionsRead);
        let matching_now = Box::pin(self.matching_now(&reader, &draft)).await?;
        // One after the other: of two who ask for the same at once the second finds what the first has made.
        let _turn = self.turn_of_assistants().await;
        if let Some(row) = Box::pin(self.equal_one(&reader, &draft)).await? {
            return Ok(Assisted {
                row,
                existing: true,
                secret: None,
                matching_now,
            });
        }
        let own = Filter {
            active: Some(true),
            created_from: Some(CreatedFrom::Ai),
            user_id: operator.user_id(),
            ..Filter::default()
        };
        let all = self.all_subscriptions(&reader, &own).await?;
        if all.iter().filter(|view| operator.has_made(view)).count() >= MOST_OF_AN_OPERATOR {
            let said = format!(
                "there are {MOST_OF_AN_OPERATOR} active subscriptions of yours already, and no more are allowed"
            );
            let refusal = Refusal::of("model", said);
            return Err(Error::refused(
                refusal.with_hint("end some of them first: unsubscribe_events"),
            ));
        }
        let made = draft.webhook_url.as_ref().map(|_| secret::new_secret());
        if made.is_some() {
            draft.webhook_secret.clone_from(&made);
            draft.in_session = Some(true);
        }
        let created = Box::pin(self.create_subscription(operator, draft)).await?;
        Ok(Assisted {
            row: created.row,
            existing: false,
            secret: made,
            matching_now,
        })
    }

    /// How many records match; what is wrong with the domain is told when the row is looked at, with everything else that is wrong.
    async fn matching_now(&self, reader: &Operator, draft: &Draft) -> Result<Option<i64>> {
        let question = DomainQuestion {
            model: draft.model.clone().unwrap_or_default(),
            domain: draft.domain.clone().unwrap_or_else(|| "[]".to_owned()),
            user_id: draft.user_id,
            lang: draft.lang.clone(),
        };
        match self.check_domain(reader, &question).await {
            Ok(answer) => Ok(answer.matching_records),
            Err(Error::Refused(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn equal_one(&self, reader: &Operator, draft: &Draft) -> Result<Option<Versioned>> {
        let url = draft.webhook_url.as_deref();
        let filter = Filter {
            models: Some(draft.model.iter().cloned().collect()),
            active: Some(true),
            created_from: Some(CreatedFrom::Ai),
            domain: url.map(|url| json!([["webhook_url", "=", url]]).to_string()),
            ..Filter::default()
        };
        let found = self.all_subscriptions(reader, &filter).await?;
        let equal = found
            .into_iter()
            .find(|view| reader.has_made(view) && is_equal(draft, view));
        match equal {
            Some(view) => Ok(Some(self.subscription(reader, view.id).await?)),
            None => Ok(None),
        }
    }
}

/// Whether a row is what is wanted, its URL aside, which it has or has not.
fn is_equal(draft: &Draft, view: &View) -> bool {
    let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<String>>();
    let wanted = |names: &Option<Vec<String>>| set(names.as_deref().unwrap_or_default());
    let has_url = view.webhook_url.as_deref().is_some_and(|url| !url.is_empty());
    draft.event_type.unwrap_or(WantedEvents::All) == view.event_type
        && draft.domain.as_deref().map_or("[]", str::trim) == view.domain.trim()
        && wanted(&draft.fields) == set(&view.fields)
        && wanted(&draft.enrich_fields) == set(&view.enrich_fields)
        && draft.webhook_payload_template == view.webhook_payload_template
        && draft.format.unwrap_or(view.format) == view.format
        && draft.webhook_url.is_some() == has_url
}
