//! Subscriptions: one, those that fit, and how many.

use std::str::FromStr;

use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::search::resolved;
use crate::ops::error::{Error, Result, Version};
use crate::ops::operator::{Operator, Scope};
use crate::ops::page::{Page, PageRequest, unknown_cursor};
use crate::ops::service::Service;
use crate::pg::session_pool::Session;
use crate::pg::subscription_rows::{self, Stretch};
use crate::subscription::View;
use crate::subscription::choices::CreatedFrom;

/// A subscription, and which version of it this is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Versioned {
    /// What a change names to be made to this version alone.
    pub version: Version,
    /// The row, masked.
    pub subscription: View,
}

/// Which subscriptions; what is not said does not matter.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// That satisfy this Odoo domain over their own columns; see [`super::search`].
    #[serde(skip_serializing)]
    pub domain: Option<String>,
    /// With one of these ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<i32>>,
    /// Of these models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// In one of these states.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub states: Option<Vec<ListedState>>,
    /// Active, or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub active: Option<bool>,
    /// Paused, or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Made by a person, or by an assistant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_from: Option<CreatedFrom>,
    /// Of this Odoo user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<i32>,
    /// With this text in the name, model, connection, domain or error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Filter {
    pub(super) fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("its fields are plain values")
    }
}

/// What a subscription was found to be, or that it was not looked at yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListedState {
    /// It is served.
    Ready,
    /// It is served as soon as what it needs can be captured.
    Waiting,
    /// It cannot be served.
    Invalid,
    /// Its endpoint was given up.
    Disabled,
    /// The service has not looked at this version of the row yet.
    Unseen,
}

impl FromStr for ListedState {
    type Err = serde::de::value::Error;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Self::deserialize(text.into_deserializer())
    }
}

/// What subscriptions are ordered by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderBy {
    /// Their ids: the order in which they were made.
    #[default]
    Id,
    /// Their names.
    Name,
    /// Their models.
    Model,
    /// Their states.
    State,
    /// Whether they are active.
    Active,
    /// When the last request ended.
    LastDelivery,
    /// Failed requests so far.
    FailureCount,
    /// When they were made.
    CreateDate,
    /// When they were last written.
    WriteDate,
}

impl OrderBy {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Id,
        Self::Name,
        Self::Model,
        Self::State,
        Self::Active,
        Self::LastDelivery,
        Self::FailureCount,
        Self::CreateDate,
        Self::WriteDate,
    ];

    /// The column.
    pub fn column(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::Model => "model",
            Self::State => "state",
            Self::Active => "active",
            Self::LastDelivery => "last_delivery",
            Self::FailureCount => "failure_count",
            Self::CreateDate => "create_date",
            Self::WriteDate => "write_date",
        }
    }
}

/// An order; subscriptions that are equal in it come by their ids.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Order {
    /// By what.
    pub by: OrderBy,
    /// The largest first.
    pub descending: bool,
}

impl FromStr for Order {
    type Err = crate::Error;

    /// Reads a column, with a minus before it for the largest first.
    ///
    /// # Errors
    /// [`crate::Error::is_usage`] for a column that nothing is ordered by.
    fn from_str(text: &str) -> crate::Result<Self> {
        let name = text.strip_prefix('-').unwrap_or(text);
        let by = OrderBy::ALL.into_iter().find(|by| by.column() == name);
        let known = || OrderBy::ALL.map(OrderBy::column).join(", ");
        let by =
            by.ok_or_else(|| crate::Error::usage(format!("nothing is ordered by \"{name}\", but by {}", known())))?;
        Ok(Self {
            by,
            descending: text.starts_with('-'),
        })
    }
}

/// A place in a list of subscriptions.
#[derive(Serialize, Deserialize)]
struct Place {
    order: Order,
    key: Value,
    id: i32,
}

impl Place {
    /// Whether a column can have this value: whoever makes a cursor up is told so, and not by PostgreSQL.
    fn is_possible(&self) -> bool {
        match &self.key {
            Value::Null | Value::Bool(_) => true,
            Value::Number(number) => number.is_i64(),
            Value::String(text) => !text.contains('\0'),
            Value::Array(_) | Value::Object(_) => false,
        }
    }
}

/// So many are asked for at once where all of them are wanted.
const ALL_BY: u32 = 500;

impl Service {
    /// One subscription.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] without `subscriptions:read`.
    pub async fn subscription(&self, operator: &Operator, id: i32) -> Result<Versioned> {
        operator.require(Scope::SubscriptionsRead)?;
        let session = self.session().await?;
        Self::versioned(&session, operator, id).await
    }

    /// Which version it is now, for whoever changes it.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Forbidden`] without `subscriptions:write`.
    pub async fn subscription_version(&self, operator: &Operator, id: i32) -> Result<Version> {
        operator.require(Scope::SubscriptionsWrite)?;
        let session = self.session().await?;
        Ok(Self::versioned(&session, operator, id).await?.version)
    }

    /// One, for a verb that has asked for its own scope.
    pub(super) async fn versioned(session: &Session, operator: &Operator, id: i32) -> Result<Versioned> {
        let filter = Filter {
            ids: Some(vec![id]),
            ..Filter::default()
        };
        let stretch = Stretch {
            order_by: OrderBy::Id.column(),
            descending: false,
            after: None,
            most: 1,
        };
        let found = subscription_rows::find(session, &operator.to_json(), &filter.to_json(), stretch).await?;
        let found = found.into_iter().next().ok_or_else(|| Error::no_subscription(id))?;
        Ok(Versioned {
            version: Version(found.version),
            subscription: found.view,
        })
    }

    /// A page of those that fit.
    ///
    /// # Errors
    /// [`Error::Refused`] for a cursor of another list or a page that is too large; [`Error::Forbidden`] without `subscriptions:read`.
    pub async fn subscriptions(
        &self,
        operator: &Operator,
        filter: &Filter,
        order: Order,
        page: &PageRequest,
    ) -> Result<Page<Versioned>> {
        operator.require(Scope::SubscriptionsRead)?;
        let place: Option<Place> = page.place()?;
        if place
            .as_ref()
            .is_some_and(|place| place.order != order || !place.is_possible())
        {
            return Err(unknown_cursor());
        }
        let stretch = Stretch {
            order_by: order.by.column(),
            descending: order.descending,
            after: place.as_ref().map(|place| (&place.key, place.id)),
            most: page.fetched()?,
        };
        let session = self.session().await?;
        let filter = resolved(&session, operator, filter).await?;
        let found = subscription_rows::find(&session, &operator.to_json(), &filter.to_json(), stretch).await?;
        let page = Page::of(found, page, |found| Place {
            order,
            key: found.sort_key.clone(),
            id: found.view.id,
        });
        Ok(page.map(|found| Versioned {
            version: Version(found.version),
            subscription: found.view,
        }))
    }

    /// All that fit, by their ids.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `subscriptions:read`.
    pub async fn all_subscriptions(&self, operator: &Operator, filter: &Filter) -> Result<Vec<View>> {
        let mut all = Vec::new();
        let mut request = PageRequest::first(ALL_BY);
        loop {
            let page = self.subscriptions(operator, filter, Order::default(), &request).await?;
            all.extend(page.items.into_iter().map(|found| found.subscription));
            match page.next_cursor {
                Some(cursor) => request = PageRequest::after(ALL_BY, cursor),
                None => return Ok(all),
            }
        }
    }

    /// All that fit, for whoever changes them.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `subscriptions:write`.
    pub async fn subscriptions_to_write(&self, operator: &Operator, filter: &Filter) -> Result<Vec<View>> {
        operator.require(Scope::SubscriptionsWrite)?;
        Box::pin(self.all_subscriptions(&operator.clone().also(Scope::SubscriptionsRead), filter)).await
    }

    /// How many fit.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `subscriptions:read`.
    pub async fn count_subscriptions(&self, operator: &Operator, filter: &Filter) -> Result<i64> {
        operator.require(Scope::SubscriptionsRead)?;
        let session = self.session().await?;
        let filter = resolved(&session, operator, filter).await?;
        Ok(subscription_rows::count(&session, &operator.to_json(), &filter.to_json()).await?)
    }
}
