//! A subscription as operators are shown it: secrets, the private parts of its URL and the values of its headers masked.
//!
//! What the table does not hold to a form is text here, whatever it says: one odd row, restored past the checks, must not hide the others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::choices::{BodyFormat, CreatedFrom, EndpointSource, Grouping, HttpMethod, State, TriggerMode, WantedEvents};
use crate::endpoint::mask::{HIDDEN, mask_url_text};

/// The columns of `mcp_event_subscription`, in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct View {
    /// The row's id.
    pub id: i32,
    /// A name for people.
    pub name: Option<String>,
    /// Odoo model.
    pub model: String,
    /// Which events it wants.
    pub event_type: WantedEvents,
    /// Odoo domain as text.
    pub domain: String,
    /// Watched fields; empty = any.
    pub fields: Vec<String>,
    /// When a record that matches counts.
    pub trigger_mode: TriggerMode,
    /// Odoo user who made it.
    pub user_id: Option<i32>,
    /// Through what he made it.
    pub connection: Option<String>,
    /// Who made it: a person, or an assistant.
    pub created_from: CreatedFrom,
    /// False = does nothing.
    pub active: bool,
    /// Whose URL it sends to.
    pub endpoint_source: EndpointSource,
    /// Where to send, masked; empty = nowhere.
    pub webhook_url: Option<String>,
    /// A mask where there is one.
    pub webhook_secret: Option<String>,
    /// A mask where there are credentials.
    pub auth: Option<String>,
    /// JSON template of the body.
    pub webhook_payload_template: Option<String>,
    /// Fields to send.
    pub payload_fields: Vec<String>,
    /// Fields to send beside the default body.
    pub enrich_fields: Vec<String>,
    /// HTTP method.
    pub http_method: HttpMethod,
    /// Names of additional headers, each with a mask.
    #[schema(value_type = BTreeMap<String, String>)]
    pub headers: BTreeMap<String, Value>,
    /// How bodies are written.
    pub format: BodyFormat,
    /// Language of translated values.
    pub lang: Option<String>,
    /// Limit of one attempt in milliseconds.
    pub timeout_ms: i32,
    /// 1 = one shot.
    pub max_attempts: i32,
    /// The wait after the first failed attempt.
    pub retry_first_ms: i32,
    /// The longest wait between two attempts.
    pub retry_max_ms: i32,
    /// Whether waits are drawn.
    pub retry_jitter: bool,
    /// One change of a record after the other.
    pub ordered: bool,
    /// Requests a second at most: a number.
    #[schema(value_type = Option<f64>)]
    pub rate_limit: Option<Value>,
    /// Which records share a request.
    pub grouping: Grouping,
    /// Older events are not sent: an interval as PostgreSQL writes it.
    pub max_event_age: Option<String>,
    /// Larger bodies are sent thin.
    pub max_body_bytes: i32,
    /// Changes by these users are ignored.
    pub ignore_user_ids: Vec<i32>,
    /// Deliveries wait.
    pub paused: bool,
    /// Its events can be read from the feed although they are sent; without an endpoint they always can.
    pub in_session: bool,
    /// What the service found it to be; none = it has not looked at this version yet.
    pub state: Option<State>,
    /// Why it waits, is invalid or disabled.
    pub error: Option<String>,
    /// Since when everything it needs is captured (UTC).
    pub active_from: Option<String>,
    /// When the last request ended (UTC).
    pub last_delivery: Option<String>,
    /// How it ended.
    pub last_delivery_status: Option<String>,
    /// Failed requests so far.
    pub failure_count: i32,
    /// Since when every request has failed (UTC).
    pub failing_since: Option<String>,
    /// Failed requests since the last success.
    pub failures_in_a_row: i32,
    /// When the service gave the endpoint up (UTC).
    pub disabled_at: Option<String>,
    /// Why.
    pub disabled_reason: Option<String>,
    /// When the row was made (UTC).
    pub create_date: String,
    /// When somebody but the service last wrote it (UTC).
    pub write_date: String,
    /// Odoo user who made the row.
    pub create_uid: Option<i32>,
    /// Odoo user who last wrote it.
    pub write_uid: Option<i32>,
}

impl View {
    /// URLs and headers of one's own may be secrets: they are shown as the log and `test` show them. The table has them in full.
    #[must_use]
    pub fn masked(mut self) -> Self {
        if let Some(url) = self.webhook_url.as_mut().filter(|url| !url.is_empty()) {
            *url = mask_url_text(url);
        }
        for value in self.headers.values_mut() {
            *value = Value::from(HIDDEN);
        }
        self
    }
}
