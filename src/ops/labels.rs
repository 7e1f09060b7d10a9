//! What people call Odoo's models, fields and users: for doors that people look at.

use std::collections::HashMap;

use super::error::Result;
use super::operator::{Operator, Scope};
use super::service::Service;
use crate::pg::labels;

impl Service {
    /// The names of models in a language (`fr_FR`), or in English, by model.
    ///
    /// # Errors
    /// [`super::Error::Forbidden`] without `subscriptions:read`.
    pub async fn model_labels(&self, operator: &Operator, lang: &str) -> Result<HashMap<String, String>> {
        operator.require(Scope::SubscriptionsRead)?;
        let mut labels = labels::of_models(&*self.session().await?, lang).await?;
        labels.retain(|model, _| operator.may_use_model(model));
        Ok(labels)
    }

    /// The names of a model's fields, by field; none of a model that the operator may not use.
    ///
    /// # Errors
    /// [`super::Error::Forbidden`] without `subscriptions:read`.
    pub async fn field_labels(&self, operator: &Operator, model: &str, lang: &str) -> Result<HashMap<String, String>> {
        operator.require(Scope::SubscriptionsRead)?;
        if !operator.may_use_model(model) {
            return Ok(HashMap::new());
        }
        Ok(labels::of_fields(&*self.session().await?, model, lang).await?)
    }

    /// The logins of Odoo users who have subscriptions that the operator sees, by id.
    ///
    /// # Errors
    /// [`super::Error::Forbidden`] without `subscriptions:read`.
    pub async fn user_labels(&self, operator: &Operator, ids: &[i32]) -> Result<HashMap<i32, String>> {
        operator.require(Scope::SubscriptionsRead)?;
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        Ok(labels::of_users(&*self.session().await?, ids).await?)
    }
}
