//! A row of `mcp_event_subscription`, as it was stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;

use super::choices::{BodyFormat, EndpointSource, Grouping, HttpMethod, State, TriggerMode, WantedEvents};
use super::reach::Reach;
use crate::payload::content::Wishes;
use crate::relations::Need;
use crate::sealing::{self, Kept, Keyring, Kind, Place};
use crate::{Error, Result};

/// A row of `mcp_event_subscription`, with its secrets.
#[derive(Debug, Clone, Deserialize)]
pub struct Subscription {
    /// The row's id.
    pub id: i32,
    /// Optional, for people.
    pub name: Option<String>,
    /// Odoo model.
    pub model: String,
    /// Which events it wants.
    pub event_type: WantedEvents,
    /// Odoo domain as text.
    pub domain: String,
    /// Watched fields; empty = any.
    #[serde(default)]
    pub fields: Vec<String>,
    /// When a record that matches counts.
    pub trigger_mode: TriggerMode,
    /// Odoo user who made it; the domain's `uid`.
    pub user_id: Option<i32>,
    /// False = does nothing.
    pub active: bool,
    /// Where to send; empty = nowhere.
    pub webhook_url: Option<String>,
    /// Whose URL it sends to.
    pub endpoint_source: EndpointSource,
    /// Signs the requests.
    pub webhook_secret: Option<Redacted>,
    /// Credentials for the endpoint.
    pub auth: Option<Redacted>,
    /// What is kept of its secrets beside those two.
    pub kept: Option<Kept>,
    /// JSON template.
    pub webhook_payload_template: Option<String>,
    /// Fields to send.
    #[serde(default)]
    pub payload_fields: Vec<String>,
    /// Fields to send beside the default body.
    #[serde(default)]
    pub enrich_fields: Vec<String>,
    /// HTTP method.
    pub http_method: HttpMethod,
    /// Additional headers.
    #[serde(default)]
    pub headers: BTreeMap<String, serde_json::Value>,
    /// How its bodies are written.
    pub format: BodyFormat,
    /// Language of translated values.
    pub lang: Option<String>,
    /// Limit of one attempt, everything included.
    pub timeout_ms: u32,
    /// 1 = one-shot.
    pub max_attempts: i32,
    /// The wait after the first failed attempt; doubled by each further one.
    pub retry_first_ms: u32,
    /// The longest wait between two attempts.
    pub retry_max_ms: u32,
    /// Whether waits are drawn, up to their length.
    pub retry_jitter: bool,
    /// Deliveries wait.
    pub paused: bool,
    /// Its events are read from the feed too.
    #[serde(default)]
    pub in_session: bool,
    /// When the service gave the endpoint up.
    pub disabled_at: Option<String>,
    /// One change of a record after the other.
    pub ordered: bool,
    /// Requests a second at most.
    pub rate_limit: Option<serde_json::Number>,
    /// Which records share a request.
    pub grouping: Grouping,
    /// Older events are not sent, in seconds.
    pub max_event_age_s: Option<i64>,
    /// Larger bodies are sent thin.
    pub max_body_bytes: usize,
    /// Changes by these users are ignored.
    #[serde(default)]
    pub ignore_user_ids: Vec<i32>,
    /// What it was found to be; none = not looked at yet.
    pub state: Option<State>,
    /// Why it is invalid.
    pub error: Option<String>,
    /// First transaction it is judged on.
    #[serde(deserialize_with = "xid_from_text", default)]
    pub captured_from: Option<u64>,
    /// Identifies this version of the row.
    pub write_stamp: String,
    /// The columns that were recorded as needed when it was last looked at.
    pub needed: Option<BTreeSet<String>>,
    /// Those of them of which a change is worth capturing.
    pub needed_compared: Option<BTreeSet<String>>,
    /// Those of them whose value itself is needed.
    pub needed_whole: Option<BTreeSet<String>>,
    /// What was recorded as needed of other tables, by name.
    #[serde(default)]
    pub needed_elsewhere: BTreeMap<String, Need>,
    /// What was recorded that it reads beside its own model; none = not known of this version.
    #[serde(default)]
    pub reach: Option<Reach>,
}

impl Subscription {
    pub(super) fn wishes(&self) -> Wishes<'_> {
        Wishes {
            payload_fields: &self.payload_fields,
            enrich_fields: &self.enrich_fields,
            template: self.webhook_payload_template.as_deref(),
            format: self.format,
            max_body_bytes: self.max_body_bytes,
        }
    }
}

fn xid_from_text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<u64>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|t| t.parse().map_err(serde::de::Error::custom)).transpose()
}

/// What stands in the table where a secret is kept elsewhere; written back it changes nothing.
pub const MASK: &str = "********";

/// Text that never shows in a `Debug` print.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Redacted(String);

impl Redacted {
    /// The text itself; for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it only tells that there is one.
    pub fn is_mask(&self) -> bool {
        self.0 == MASK
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Subscription {
    /// Opens the secrets that are encrypted, as [`super::ResolvedSubscription::check`] needs them.
    ///
    /// # Errors
    /// [`Error::is_usage`] with a sentence that names the column and the keys' ids.
    pub fn open_secrets(&mut self, keyring: Option<&Keyring>) -> Result<()> {
        let Some(kept) = &mut self.kept else { return Ok(()) };
        let open = |kind, sealed: &Option<Vec<u8>>, column: &str| {
            let place = Place {
                secret_ref: kept.secret_ref,
                kind,
            };
            sealing::open(keyring, place, sealed.as_deref()).map_err(|why| {
                Error::usage(format!("{column} cannot be read: {why}")).with_hint(
                    "name the key's file in secret_key_file (ODOO_EVENTD_SECRET_KEY_FILE) and restart, or write the value anew",
                )
            })
        };
        let secret = open(Kind::WebhookSecret, &kept.sealed_secret, "webhook_secret")?;
        let auth = open(Kind::Auth, &kept.sealed_auth, "auth")?;
        let previous = open(
            Kind::WebhookSecret,
            &kept.sealed_previous,
            "the secret before the last rotation",
        )?;
        self.webhook_secret = secret.map(Redacted).or_else(|| self.webhook_secret.take());
        self.auth = auth.map(Redacted).or_else(|| self.auth.take());
        kept.previous_secret = previous.or_else(|| kept.previous_secret.take());
        Ok(())
    }
}
