//! Looking at a domain before it is used.

use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use super::operator::{Operator, Scope};
use super::service::Service;
use super::subscriptions::preview::count_matching;
use crate::domain::check::{Context, TypedDomain, check_text};
use crate::odoo::registry::Registry;
use crate::subscription::{known_model, refused_domain};

/// A domain that somebody asks about.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainQuestion {
    /// The model.
    pub model: String,
    /// The domain as text.
    pub domain: String,
    /// `uid` in it; none = the operator's own user.
    #[serde(default)]
    pub user_id: Option<i32>,
    /// The language of translated values; none = en_US.
    #[serde(default)]
    pub lang: Option<String>,
}

/// A domain that can be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct DomainAnswer {
    /// How many records match now; none where the connection may not read them.
    pub matching_records: Option<i64>,
    /// Why they could not be counted.
    pub not_counted: Option<String>,
    /// Whether it looks at other records, which are judged as they are when an event is processed.
    pub reads_other_records: bool,
}

impl Service {
    /// Checks a domain and counts the records that match now.
    ///
    /// # Errors
    /// [`Error::Refused`] with the message and the place in the text; [`Error::Forbidden`] without `subscriptions:read`.
    pub async fn check_domain(&self, operator: &Operator, question: &DomainQuestion) -> Result<DomainAnswer> {
        operator.require(Scope::SubscriptionsRead)?;
        let session = self.session().await?;
        let registry = self.registry(&session).await?;
        if !operator.may_use_model(&question.model) {
            return Err(Error::refused(crate::subscription::Refusal::of(
                "model",
                format!("unknown model \"{}\"", question.model),
            )));
        }
        let question = &DomainQuestion {
            user_id: question.user_id.or(operator.user_id()),
            ..question.clone()
        };
        let domain = judged(question, operator, &registry)?;
        let (matching_records, not_counted) = count_matching(&session, &domain).await?;
        Ok(DomainAnswer {
            matching_records,
            not_counted,
            reads_other_records: domain.reads_related(),
        })
    }
}

/// The domain of a question, as it would be judged.
///
/// # Errors
/// [`Error::Refused`] with the message and the place in the text.
pub(super) fn judged(question: &DomainQuestion, operator: &Operator, registry: &Registry) -> Result<TypedDomain> {
    let model = known_model(&question.model, registry).map_err(|error| error.of("model"))?;
    let mut context = Context::at(jiff::Timestamp::now());
    context.uid = question.user_id;
    if let Some(lang) = &question.lang {
        context.lang.clone_from(lang);
    }
    context.models = operator.readable_models(registry);
    let checked = check_text(&question.domain, &model.name, registry, &context);
    Ok(checked.map_err(|error| refused_domain(&error, &question.domain))?)
}
