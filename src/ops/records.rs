//! Records by what people call them.

use super::domains::{DomainQuestion, judged};
use super::error::{Error, Result};
use super::operator::{Operator, Scope};
use super::service::Service;
use super::subscriptions::read::Filter;
use crate::pg::domain::search;
use crate::pg::sqlstate::DENIED;
use crate::subscription::Refusal;

/// So many models are looked at where none is named.
const MODELS_AT_MOST: usize = 20;

impl Service {
    /// The newest record of this name: of a model, or of the models of subscriptions that the operator sees.
    ///
    /// # Errors
    /// [`Error::Refused`] for a model that has no names, or whose records the connection may not read; [`Error::Forbidden`] without
    /// `subscriptions:read`.
    pub async fn record_named(
        &self,
        operator: &Operator,
        model: Option<&str>,
        name: &str,
    ) -> Result<Option<(String, i64)>> {
        operator.require(Scope::SubscriptionsRead)?;
        let models = match model {
            Some(model) => vec![model.to_owned()],
            None => {
                let all = self.all_subscriptions(operator, &Filter::default()).await?;
                let mut models: Vec<String> = all.into_iter().map(|row| row.model).collect();
                models.sort_unstable();
                models.dedup();
                models.truncate(MODELS_AT_MOST);
                models
            }
        };
        let session = self.session().await?;
        let registry = self.registry(&session).await?;
        let mut refused = None;
        for model in models.into_iter().filter(|model| operator.may_use_model(model)) {
            let literal = name.replace('\\', "\\\\").replace('\'', "\\'");
            let question = DomainQuestion {
                domain: format!("[('name', '=', '{literal}')]"),
                model: model.clone(),
                user_id: operator.user_id(),
                lang: None,
            };
            let domain = match judged(&question, operator, &registry) {
                Ok(domain) => domain,
                Err(error) => {
                    refused.get_or_insert(error);
                    continue;
                }
            };
            match search::newest_matching(&session, &domain).await {
                Ok(Some(id)) => return Ok(Some((model, id))),
                Ok(None) => {}
                Err(error) if error.means(DENIED) => {
                    let refusal = Refusal::of("record", format!("the service may not read the records of {model}"));
                    refused.get_or_insert(Error::refused(refusal.with_hint("look for it by its id")));
                }
                Err(error) => return Err(error.into()),
            }
        }
        match refused {
            Some(error) => Err(error),
            None => Ok(None),
        }
    }
}
