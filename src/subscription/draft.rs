//! A subscription that somebody wants: what he said of it, and nothing else.

use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::choices::{BodyFormat, CreatedFrom, EndpointSource, Grouping, HttpMethod, TriggerMode, WantedEvents};
use crate::{Error, Result};

/// The names of a draft's columns, as they are written.
static COLUMNS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let empty = serde_json::to_value(Draft::default()).expect("its fields are plain values");
    let columns = empty.as_object().into_iter().flat_map(Map::keys);
    columns.cloned().collect()
});

/// The column of this name, if it is one that a subscription's user writes.
pub(crate) fn column(name: &str) -> Option<&'static str> {
    COLUMNS.iter().find(|column| *column == name).map(String::as_str)
}

/// The columns of `mcp_event_subscription` that its user writes. What is not there is left to the table's defaults; keys that no column
/// has are refused, for whoever misspells one would believe that it holds.
#[derive(Clone, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// A name for people.
    pub name: Option<String>,
    /// Odoo model.
    pub model: Option<String>,
    /// Which events.
    pub event_type: Option<WantedEvents>,
    /// Odoo domain as text.
    pub domain: Option<String>,
    /// Watched fields.
    pub fields: Option<Vec<String>>,
    /// When a record that matches counts.
    pub trigger_mode: Option<TriggerMode>,
    /// Odoo user who asks for it.
    pub user_id: Option<i32>,
    /// Through what he asks.
    pub connection: Option<String>,
    /// Who asks.
    pub created_from: Option<CreatedFrom>,
    /// False = does nothing.
    pub active: Option<bool>,
    /// Where to send.
    pub webhook_url: Option<String>,
    /// Signs the requests.
    pub webhook_secret: Option<String>,
    /// Credentials for the endpoint.
    pub auth: Option<String>,
    /// JSON template of the body, or the name of a ready-made one.
    pub webhook_payload_template: Option<String>,
    /// Fields to send.
    pub payload_fields: Option<Vec<String>>,
    /// Fields to send beside the default body.
    pub enrich_fields: Option<Vec<String>>,
    /// HTTP method.
    pub http_method: Option<HttpMethod>,
    /// Additional headers.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>)]
    pub headers: Option<Map<String, Value>>,
    /// How bodies are written.
    pub format: Option<BodyFormat>,
    /// Language of translated values.
    pub lang: Option<String>,
    /// Limit of one attempt in milliseconds, everything included.
    #[schema(minimum = 1, maximum = 600_000)]
    pub timeout_ms: Option<i32>,
    /// 1 = one shot.
    #[schema(minimum = 1, maximum = 100)]
    pub max_attempts: Option<i32>,
    /// The wait after the first failed attempt, in milliseconds.
    #[schema(minimum = 1_000, maximum = 86_400_000)]
    pub retry_first_ms: Option<i32>,
    /// The longest wait between two attempts, in milliseconds.
    #[schema(minimum = 1_000, maximum = 86_400_000)]
    pub retry_max_ms: Option<i32>,
    /// Whether waits are drawn, up to their length.
    pub retry_jitter: Option<bool>,
    /// Deliveries wait.
    pub paused: Option<bool>,
    /// Its events can be read from the feed although they are sent.
    pub in_session: Option<bool>,
    /// One change of a record after the other.
    pub ordered: Option<bool>,
    /// Requests a second at most.
    #[schema(minimum = 0.000_001, maximum = 1_000_000.0)]
    pub rate_limit: Option<f64>,
    /// Which records share a request.
    pub grouping: Option<Grouping>,
    /// Older events are not sent: an interval as PostgreSQL reads it.
    pub max_event_age: Option<String>,
    /// Larger bodies are sent thin.
    #[schema(minimum = 1024, maximum = 16_777_216)]
    pub max_body_bytes: Option<i32>,
    /// Changes by these users are ignored.
    pub ignore_user_ids: Option<Vec<i32>>,
    /// Whose URL.
    pub endpoint_source: Option<EndpointSource>,
}

impl Draft {
    /// Reads what is written as an object, as doors and files have it.
    ///
    /// # Errors
    /// [`Error::is_usage`] that names the key that is unknown or has a value of another type.
    pub fn parse(object: Value) -> Result<Self> {
        serde_path_to_error::deserialize(object).map_err(|error| {
            let path = error.path().to_string();
            let refused = match path.as_str() {
                "." => Error::usage(format!("the subscription cannot be read: {}", error.inner())),
                path => Error::usage(format!("{path} cannot be read: {}", error.inner())),
            };
            match path.split(['.', '[']).next().and_then(column) {
                Some(column) => refused.of(column),
                None => refused,
            }
        })
    }

    /// As the database's functions take it.
    pub(crate) fn to_json(&self) -> Value {
        let mut columns = serde_json::to_value(self).expect("its fields are plain values");
        if let Value::Object(columns) = &mut columns {
            columns.retain(|_, value| !value.is_null());
        }
        columns
    }
}

/// It may hold secrets.
impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_no_column_has_and_a_value_of_another_type_are_refused_by_name() {
        let said = |object| Draft::parse(object).unwrap_err().chain();
        let unknown = said(serde_json::json!({"model": "sale.order", "timeout": 5}));
        assert!(unknown.contains("unknown field `timeout`"), "{unknown}");
        let state = said(serde_json::json!({"model": "sale.order", "state": "ready"}));
        assert!(state.contains("unknown field `state`"), "{state}");
        let wrong = said(serde_json::json!({"model": "sale.order", "timeout_ms": "soon"}));
        assert!(wrong.starts_with("timeout_ms cannot be read"), "{wrong}");
        let item = Draft::parse(serde_json::json!({"fields": ["state", 7]})).unwrap_err();
        assert_eq!(item.column(), Some("fields"));
        let event = said(serde_json::json!({"model": "sale.order", "event_type": "changed"}));
        assert!(event.contains("`create`, `write`, `unlink`, `all`"), "{event}");
    }

    #[test]
    fn what_is_not_said_is_left_to_the_table() {
        let draft = Draft::parse(serde_json::json!({"model": "sale.order", "fields": ["state"]})).unwrap();
        assert_eq!(
            draft.to_json(),
            serde_json::json!({"model": "sale.order", "fields": ["state"]})
        );
    }
}
