//! `test`: a marked event for a subscription's endpoint, through the whole path: delivery, log, signature, guard, request.
//!
//! The command sends it itself, whether or not the service runs, so that what it shows is what happened; the service leaves it
//! alone. It is marked three ways: `"test": true` in the body, the header `X-MCP-Test: true`, and `X-MCP-Event: <model>.test`. It
//! names no record and counts neither as a dead letter nor for the health of the endpoint.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::error::Result as Outcome;
use super::service::Service;
use crate::Error;
use crate::endpoint::mask::mask_url;
use crate::event::{self, EventType};
use crate::payload::body::Micros;
use crate::pg::deliveries::{Claimed, Finished, LogKey};
use crate::pg::session_pool::Session;
use crate::pg::{self, subscriptions};
use crate::subscription::ResolvedSubscription;
use crate::worker::deliver::request;
use crate::worker::upkeep::admission;

/// Whoever tries an endpoint waits for the answer: no longer than this, whatever the subscription's own timeout.
const WAITED_AT_MOST: Duration = Duration::from_secs(30);

/// Headers whose values are shown; others may hold secrets.
const SHOWN_HEADERS: [&str; 9] = [
    "content-type",
    "x-mcp-event",
    "x-mcp-event-id",
    "x-mcp-subscription-id",
    "x-mcp-delivery-id",
    "x-mcp-test",
    "webhook-id",
    "webhook-timestamp",
    "user-agent",
];

/// Signatures tell nothing of the secret, and whoever debugs a receiver needs them.
const SIGNATURES: [&str; 2] = ["x-mcp-signature", "webhook-signature"];

/// What was sent, and what came of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Tested {
    /// The row in the log.
    pub delivery_id: Uuid,
    /// `POST`.
    pub method: String,
    /// Secret parts masked.
    pub url: String,
    /// Name and value; values that may be secret are masked.
    #[schema(value_type = Vec<Vec<String>>)]
    pub headers: Vec<(String, String)>,
    /// As it was signed and sent.
    pub body: String,
    /// Whether it arrived.
    pub success: bool,
    /// The HTTP status, if one came.
    pub response_code: Option<u16>,
    /// The beginning of the answer's body.
    pub response_body: String,
    /// Why it failed, as in the log.
    pub error: Option<&'static str>,
    /// A sentence on that.
    pub detail: Option<String>,
    /// Whole milliseconds.
    pub duration_ms: i32,
}

/// Sends a test event, also to a subscription that is inactive, paused or disabled.
///
/// # Errors
/// [`Error::is_usage`] when there is no such subscription, it has no URL or cannot be served; database errors. An endpoint that
/// fails is no error: see [`Tested::success`].
pub(super) async fn send(service: &Service, id: i32) -> Outcome<Tested> {
    let _leave = service.leave_to_test()?;
    let session = service.session().await?;
    let subscription = load(service, &session, id).await?;
    let now = SystemTime::now();
    let unix_now = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX));
    let event_id = event::event_id(
        Uuid::new_v4(),
        0,
        &subscription.row.model,
        EventType::Write,
        Timestamp::now(),
    );
    let delivery_id = event::delivery_id(event_id, id, 0);
    let body = body(&subscription, event_id, service.database().name());
    let mut claimed = Claimed {
        event_id,
        subscription_id: id,
        part: 0,
        delivery_id,
        model: subscription.row.model.clone(),
        event_type: "test".to_owned(),
        record_ids: Vec::new(),
        attempt: 1,
        body,
        callback: None,
        log: LogKey {
            id: 0,
            date: jiff::civil::DateTime::ZERO,
        },
        was_due: None,
        redelivered: false,
    };
    let mut request = request::build(&claimed, claimed.body.clone().into(), &subscription, unix_now)?;
    request
        .headers
        .insert(HeaderName::from_static("x-mcp-test"), HeaderValue::from_static("true"));
    request.timeout = request.timeout.min(WAITED_AT_MOST);
    let shown = show(&request, &claimed.body);
    let host = request.url.host_str().unwrap_or_default().to_owned();
    let term = pg::test_event::begin(&session, &mut claimed, request.timeout).await?;
    // Nobody else goes without a session while the endpoint takes its time.
    drop(session);
    let ended = service.client().send(request).await;
    let duration_ms = i32::try_from(ended.duration.as_millis()).unwrap_or(i32::MAX);
    let finished = Finished {
        event_id,
        subscription_id: id,
        part: 0,
        log: claimed.log,
        success: ended.outcome.is_success(),
        response_code: ended.status.map(i32::from),
        response_body: ended.status.map(|_| ended.response.text.clone()),
        error: ended.outcome.failure.map(crate::delivery::Failure::as_str),
        error_detail: ended.detail.clone(),
        duration_ms,
        host,
        retry_in: None,
        endpoint_failed: false,
        gone: false,
        sent: true,
        ended_at: SystemTime::now(),
    };
    let session = service.session().await?;
    pg::test_event::record(&session, term, &finished).await?;
    Ok(Tested {
        delivery_id,
        success: finished.success,
        response_code: ended.status,
        response_body: ended.response.text,
        error: finished.error,
        detail: ended.detail,
        duration_ms,
        ..shown
    })
}

async fn load(service: &Service, session: &Session, id: i32) -> Outcome<ResolvedSubscription> {
    let registry = service.registry(session).await?;
    let row = subscriptions::load_one(session, id)
        .await?
        .ok_or_else(|| super::no_subscription(id))?;
    if row.webhook_url.as_deref().unwrap_or_default().is_empty() {
        return Err(Error::usage(format!("subscription {id} has no webhook_url to send to")).into());
    }
    Ok(admission::check(row, &registry, Some(service.rules()))?)
}

/// The default envelope without records, and the mark.
fn body(subscription: &ResolvedSubscription, event_id: Uuid, database: &str) -> String {
    let row = &subscription.row;
    json!({
        "event_id": event_id, "model": row.model, "event_type": "test", "record_ids": [], "user_id": null,
        "timestamp": Micros(Timestamp::now()).to_string(), "database": database, "subscription_id": row.id, "changed_fields": [],
        "test": true,
    })
    .to_string()
}

fn show(request: &crate::http::client::Request, body: &str) -> Tested {
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| {
            let is_shown = SHOWN_HEADERS.contains(&name.as_str()) || SIGNATURES.contains(&name.as_str());
            let value = value.to_str().ok().filter(|_| is_shown).unwrap_or("***");
            (name.to_string(), value.to_owned())
        })
        .collect();
    Tested {
        delivery_id: Uuid::nil(),
        method: request.method.to_string(),
        url: mask_url(&request.url),
        headers,
        body: body.to_owned(),
        success: false,
        response_code: None,
        response_body: String::new(),
        error: None,
        detail: None,
        duration_ms: 0,
    }
}
