//! Lists as they are answered: pages of subscriptions, whole or in some columns.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::api::problem::{Fault, Problem};
use crate::ops::page::Page;
use crate::ops::subscriptions::read::Versioned;
use crate::subscription::View;

/// More on one page is not asked for.
pub const LIMIT: u32 = 200;

/// A page.
#[derive(Debug, Serialize, ToSchema)]
pub struct Listed<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next page begins; null = this was the last.
    pub next_cursor: Option<String>,
}

impl<T> From<Page<T>> for Listed<T> {
    fn from(page: Page<T>) -> Self {
        Self {
            items: page.items,
            next_cursor: page.next_cursor,
        }
    }
}

/// A subscription with its version, which is its entity tag without the quotes.
#[derive(Debug, Serialize)]
pub struct Shown {
    version: String,
    #[serde(flatten)]
    row: View,
}

impl From<Versioned> for Shown {
    fn from(found: Versioned) -> Self {
        Self {
            version: found.version.0,
            row: found.subscription,
        }
    }
}

/// The schema of a row and its version.
fn shown_schema() -> utoipa::openapi::schema::Object {
    let RefOr::T(Schema::Object(mut schema)) = View::schema() else {
        return ObjectBuilder::new().build();
    };
    let version = ObjectBuilder::new().schema_type(Type::String).description(Some(
        "Differs after every change by a user: the entity tag, without its quotes.",
    ));
    schema.properties.insert("version".to_owned(), version.into());
    schema.required.push("version".to_owned());
    schema
}

impl PartialSchema for Shown {
    fn schema() -> RefOr<Schema> {
        shown_schema().into()
    }
}

impl ToSchema for Shown {
    fn name() -> std::borrow::Cow<'static, str> {
        "Subscription".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        View::schemas(schemas);
    }
}

/// A subscription in the columns that were asked for.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub struct Selected(Map<String, Value>);

impl PartialSchema for Selected {
    fn schema() -> RefOr<Schema> {
        let mut schema = shown_schema();
        schema.required = vec!["id".to_owned()];
        schema.into()
    }
}

impl ToSchema for Selected {
    fn name() -> std::borrow::Cow<'static, str> {
        "SelectedSubscription".into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        View::schemas(schemas);
    }
}

impl Selected {
    /// These columns of a subscription, its id always; all where none are named.
    ///
    /// # Errors
    /// 400 for a column that there is not.
    pub fn of(found: Versioned, fields: Option<&BTreeSet<String>>) -> Result<Self, Problem> {
        let Ok(Value::Object(mut columns)) = serde_json::to_value(Shown::from(found)) else {
            return Err(Problem::unavailable("the subscription cannot be written as JSON"));
        };
        if let Some(fields) = fields {
            if let Some(unknown) = fields.iter().find(|field| !columns.contains_key(*field)) {
                return Err(unknown_column(unknown));
            }
            columns.retain(|column, _| column == "id" || fields.contains(column));
        }
        Ok(Self(columns))
    }
}

fn unknown_column(name: &str) -> Problem {
    Problem::unreadable(Fault::at("?fields", format!("a subscription has no column \"{name}\"")))
}

/// The columns of a subscription, its version among them.
pub fn column_names() -> Vec<String> {
    shown_schema().properties.into_iter().map(|(name, _)| name).collect()
}

/// Refuses columns that there are not, also where there is no subscription to miss them in.
///
/// # Errors
/// 400.
pub fn require_columns(fields: Option<&BTreeSet<String>>) -> Result<(), Problem> {
    let known = column_names();
    let unknown = fields.into_iter().flatten().find(|field| !known.contains(*field));
    unknown.map_or(Ok(()), |field| Err(unknown_column(field)))
}
