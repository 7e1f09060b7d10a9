//! Odoo's models and fields, and why one of them cannot be used.

use serde::Serialize;

use super::error::{Error, Missing, Result};
use super::operator::{Operator, Scope};
use super::service::Service;
use crate::domain::check::Context;
use crate::odoo::registry::Model;
use crate::pg::subscription_rows;
use crate::subscription::{Refusal, known_model, why_not_watched};

/// A model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ModelInfo {
    /// Its name: `sale.order`.
    pub model: String,
    /// Its table, if it has one.
    pub table: Option<String>,
    /// Why its changes cannot be subscribed to; none = they can.
    pub unusable: Option<Refusal>,
}

/// A field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldInfo {
    /// Its name.
    pub field: String,
    /// Its type, as Odoo names it.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The model that it leads to, if the operator may use that one.
    pub relation: Option<String>,
    /// Whether its value is stored.
    pub stored: bool,
    /// Whether it is a value in each language.
    pub translated: bool,
    /// Why its changes cannot be watched; none = they can.
    pub unusable: Option<Refusal>,
}

impl Service {
    /// Odoo's models, by their names.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `subscriptions:read`.
    pub async fn models(&self, operator: &Operator) -> Result<Vec<ModelInfo>> {
        operator.require(Scope::SubscriptionsRead)?;
        let session = self.session().await?;
        let registry = self.registry(&session).await?;
        let allowed = subscription_rows::allowed_models(&session).await?;
        let is_allowed = |model: &Model| allowed.as_ref().is_none_or(|allowed| allowed.contains(&model.name));
        let mut models: Vec<ModelInfo> = registry
            .models()
            // What he may not use is not there for him.
            .filter(|model| operator.may_use_model(&model.name))
            .map(|model| {
                let usable = known_model(&model.name, &registry).map_err(|error| error.of("model"));
                let unusable = match usable {
                    Err(error) => Refusal::all_of(&error).into_iter().next(),
                    Ok(model) if !is_allowed(model) => Some(
                        Refusal::of(
                            "model",
                            format!("model \"{}\" is not among those the installer allowed", model.name),
                        )
                        .with_hint("they are in odoo_eventd.allowed_model"),
                    ),
                    Ok(_) => None,
                };
                ModelInfo {
                    model: model.name.clone(),
                    table: model.table.name().map(str::to_owned),
                    unusable,
                }
            })
            .collect();
        models.sort_unstable_by(|one, other| one.model.cmp(&other.model));
        Ok(models)
    }

    /// A model's fields, by their names.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a model that is not there or that the operator may not use; [`Error::Forbidden`] without
    /// `subscriptions:read`.
    pub async fn fields(&self, operator: &Operator, model: &str) -> Result<Vec<FieldInfo>> {
        operator.require(Scope::SubscriptionsRead)?;
        let session = self.session().await?;
        let registry = self.registry(&session).await?;
        let known = registry.model(model).filter(|_| operator.may_use_model(model));
        let known = known.ok_or_else(|| Error::NotFound(Missing::Model(model.to_owned())))?;
        let mut context = Context::at(jiff::Timestamp::now());
        context.models = operator.readable_models(&registry);
        let mut fields: Vec<FieldInfo> = known
            .fields()
            .map(|field| FieldInfo {
                field: field.name.clone(),
                kind: field.kind.name(),
                relation: field.relation.clone().filter(|comodel| operator.may_use_model(comodel)),
                stored: field.stored,
                translated: field.translate,
                unusable: why_not_watched(known, field, &registry, &context)
                    .and_then(|error| Refusal::all_of(&error.of("fields")).into_iter().next()),
            })
            .collect();
        fields.sort_unstable_by(|one, other| one.field.cmp(&other.field));
        Ok(fields)
    }
}
