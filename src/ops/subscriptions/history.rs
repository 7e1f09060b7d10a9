//! Who changed which subscription, when and how.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Error as Failure;
use crate::ops::error::Result;
use crate::ops::operator::{Operator, Scope};
use crate::ops::page::{Page, PageRequest};
use crate::ops::service::Service;
use crate::pg::subscription_rows;

/// One change. It holds no secret: of a URL scheme and host are kept, of headers the names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = SubscriptionChange)]
pub struct Change {
    /// Its place in the history.
    pub history_id: i64,
    /// When (UTC).
    pub at: String,
    /// Of which subscription; none where all of them were truncated away.
    pub subscription_id: Option<i32>,
    /// `insert`, `update`, `delete` or `truncate`.
    pub op: String,
    /// The role that had logged in; told to administrators alone, as the address is.
    pub login: Option<String>,
    /// The program, and through which connection it was asked.
    pub application: Option<String>,
    /// From where it had logged in.
    pub client_address: Option<String>,
    /// Odoo's user, where it was said.
    pub odoo_uid: Option<i32>,
    /// The columns that differ; `credentials` when a secret was replaced by another.
    pub changed: Vec<String>,
    /// What they were; of one that was deleted everything.
    #[schema(value_type = Option<std::collections::BTreeMap<String, Value>>)]
    pub before: Option<Value>,
    /// What they are since.
    #[schema(value_type = Option<std::collections::BTreeMap<String, Value>>)]
    pub after: Option<Value>,
}

impl Service {
    /// A page of the changes of one subscription, or of all that the operator sees, newest first. What is gone is there for those who
    /// see everything.
    ///
    /// # Errors
    /// [`crate::ops::Error::NotFound`] for one that the operator does not see; [`crate::ops::Error::Forbidden`] without
    /// `subscriptions:read`.
    pub async fn history(&self, operator: &Operator, of: Option<i32>, page: &PageRequest) -> Result<Page<Change>> {
        operator.require(Scope::SubscriptionsRead)?;
        let session = self.session().await?;
        if let Some(id) = of.filter(|_| !operator.sees_everything()) {
            Self::versioned(&session, operator, id).await?;
        }
        let (before, most) = (page.place()?, page.fetched()?);
        let rows = subscription_rows::history(&session, &operator.to_json(), of, before, most).await?;
        if let Some(id) = of.filter(|_| rows.is_empty() && before.is_none()) {
            // Nothing is known of it, not even that it was.
            Self::versioned(&session, operator, id).await?;
        }
        let changes: Result<Vec<Change>, _> = rows.into_iter().map(serde_json::from_value).collect();
        let mut changes = changes.map_err(|e| Failure::unfit("the history cannot be read").with_source(e))?;
        if !operator.may(Scope::Admin) {
            for change in &mut changes {
                (change.login, change.client_address) = (None, None);
            }
        }
        Ok(Page::of(changes, page, |change| change.history_id))
    }
}
