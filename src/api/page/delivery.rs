//! One delivery: what was sent, what was answered, what an error means and what to do.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use serde_json::Value;

use super::dress::{Trouble, page};
use super::frame::{Frame, Section};
use super::shown::{Badge, Tone, When, cut, event_name, records};
use super::visitor::{Turned, Visitor};
use crate::delivery::meaning::{Meaning, meaning_of};
use crate::ops::deliveries::read::{Attempt, Delivery, DeliveryState};
use crate::ops::operator::Scope;
use crate::subscription::View;

/// A longer body is cut, until somebody asks for all of it.
const SHOWN_BYTES: usize = 16 * 1024;

struct Try {
    number: i32,
    when: When,
    status: Badge,
    tone: Tone,
    code: String,
    error: String,
    detail: String,
    meaning: Option<Meaning>,
    ms: String,
    next: Option<When>,
    response: String,
    is_cut: bool,
}

/// A value before and after.
struct Difference {
    record: String,
    field: String,
    old: String,
    new: String,
}

#[derive(Template)]
#[template(path = "delivery.html", config = ".askama.toml")]
struct DeliveryPage {
    frame: Frame,
    id: String,
    event_id: String,
    subscription: i32,
    subscription_name: String,
    url: String,
    model: String,
    event: String,
    records: String,
    state: Badge,
    due: Option<When>,
    tries: Vec<Try>,
    /// The headers of the request; values that may be secret are not kept.
    headers: Vec<(String, String)>,
    payload: Option<String>,
    pretty: Option<String>,
    bytes: usize,
    is_cut: bool,
    curl: String,
    differences: Vec<Difference>,
    can_redeliver: bool,
}

/// The page.
pub async fn show(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Turned> {
    let id = id
        .parse()
        .map_err(|_| Trouble::not_found("there is no such delivery"))?;
    let delivery = visitor
        .service
        .delivery(visitor.operator(), id)
        .await
        .map_err(Trouble::from)?;
    let subscription = match visitor.may(Scope::SubscriptionsRead) {
        // The log outlives it.
        true => visitor
            .service
            .subscription(visitor.operator(), delivery.subscription_id)
            .await
            .ok(),
        false => None,
    };
    let subscription = subscription.map(|row| row.subscription);
    let is_whole = visitor.query().some("all").is_some();
    Ok(page(&filled(&visitor, delivery, subscription.as_ref(), is_whole))?)
}

fn filled(visitor: &Visitor, delivery: Delivery, subscription: Option<&View>, is_whole: bool) -> DeliveryPage {
    let payload = delivery.payload.clone();
    let json: Option<Value> = payload.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let at_most = if is_whole { usize::MAX } else { SHOWN_BYTES };
    let shown = |text: &str| cut(text, at_most).0.to_owned();
    let pretty = json.as_ref().and_then(|json| serde_json::to_string_pretty(json).ok());
    let headers = headers(&delivery, subscription);
    let url = subscription.and_then(|row| row.webhook_url.clone()).unwrap_or_default();
    let state = state(&delivery);
    DeliveryPage {
        frame: visitor.frame(Section::Deliveries, format!("Delivery {}", delivery.delivery_id)),
        id: delivery.delivery_id.to_string(),
        event_id: delivery.event_id.to_string(),
        subscription: delivery.subscription_id,
        subscription_name: subscription.and_then(|row| row.name.clone()).unwrap_or_default(),
        model: delivery.model.clone(),
        event: delivery
            .event_type
            .as_deref()
            .map(event_name)
            .unwrap_or_default()
            .to_owned(),
        records: records(&delivery.record_ids),
        state,
        due: When::maybe(delivery.due_at.as_deref()),
        curl: curl(&url, &headers, payload.as_deref(), subscription),
        url,
        headers,
        bytes: payload.as_ref().map_or(0, String::len),
        is_cut: payload.as_ref().is_some_and(|text| text.len() > at_most),
        differences: json.as_ref().map(differences).unwrap_or_default(),
        pretty: pretty.as_deref().map(shown),
        payload: payload.as_deref().map(shown),
        can_redeliver: matches!(delivery.state, Some(DeliveryState::Success | DeliveryState::Failed))
            && delivery.event_type.as_deref() != Some("test"),
        tries: delivery
            .attempts
            .into_iter()
            .map(|attempt| Try::of(attempt, at_most))
            .collect(),
    }
}

fn state(delivery: &Delivery) -> Badge {
    match delivery.state {
        Some(DeliveryState::Waiting) => Badge::new(Tone::Warn, "Waiting"),
        Some(DeliveryState::Sending) => Badge::new(Tone::Warn, "Sending"),
        Some(DeliveryState::Success) => Badge::new(Tone::Good, "Success"),
        Some(DeliveryState::Failed) => Badge::new(Tone::Bad, "Failed"),
        None => match delivery.attempts.last() {
            Some(last) => Badge::of_attempt(last.status),
            None => Badge::new(Tone::Quiet, "Unknown"),
        },
    }
}

impl Try {
    fn of(attempt: Attempt, at_most: usize) -> Self {
        let response = attempt.response_body.unwrap_or_default();
        let (shown, is_cut) = cut(&response, at_most);
        Self {
            number: attempt.attempt,
            when: When::read(&attempt.create_date),
            status: Badge::of_attempt(attempt.status),
            tone: match attempt.status {
                crate::ops::deliveries::read::Status::Success => Tone::Good,
                crate::ops::deliveries::read::Status::Failed => Tone::Bad,
                crate::ops::deliveries::read::Status::Pending => Tone::Warn,
            },
            code: attempt.response_code.map(|code| code.to_string()).unwrap_or_default(),
            meaning: attempt
                .error
                .as_deref()
                .and_then(|error| meaning_of(error, attempt.response_code)),
            error: attempt.error.unwrap_or_default(),
            detail: attempt.error_detail.unwrap_or_default(),
            ms: attempt.duration_ms.map(|ms| format!("{ms} ms")).unwrap_or_default(),
            next: When::maybe(attempt.next_attempt_at.as_deref()),
            response: shown.to_owned(),
            is_cut,
        }
    }
}

/// The headers that every request has, and the names of the subscription's own. Signatures are of the moment of sending, and are not kept.
fn headers(delivery: &Delivery, subscription: Option<&View>) -> Vec<(String, String)> {
    let event = delivery.event_type.as_deref().unwrap_or("write");
    let content_type = match subscription.map(|row| row.format.as_str()) {
        Some("xml") => "application/xml",
        _ => "application/json",
    };
    let id = delivery.delivery_id.to_string();
    let mut headers = vec![
        ("Content-Type".to_owned(), content_type.to_owned()),
        ("X-MCP-Event".to_owned(), format!("{}.{event}", delivery.model)),
        ("X-MCP-Event-Id".to_owned(), delivery.event_id.to_string()),
        ("X-MCP-Subscription-Id".to_owned(), delivery.subscription_id.to_string()),
        ("X-MCP-Delivery-Id".to_owned(), id.clone()),
        ("webhook-id".to_owned(), id),
    ];
    let Some(row) = subscription else { return headers };
    if row.webhook_secret.is_some() {
        headers.push(("webhook-signature".to_owned(), "***".to_owned()));
    }
    if row.auth.is_some() {
        headers.push(("Authorization".to_owned(), "***".to_owned()));
    }
    headers.extend(row.headers.keys().map(|name| (name.clone(), "***".to_owned())));
    headers
}

/// The same request for a terminal. What is masked has to be filled in.
fn curl(url: &str, headers: &[(String, String)], payload: Option<&str>, subscription: Option<&View>) -> String {
    let method = subscription.map_or("POST", |row| row.http_method.as_str());
    let url = if url.is_empty() { "https://..." } else { url };
    let mut text = format!("curl -i -X {method} {}", quoted(url));
    for (name, value) in headers {
        text.push_str(&format!(" \\\n  -H {}", quoted(&format!("{name}: {value}"))));
    }
    if let Some(payload) = payload {
        text.push_str(&format!(" \\\n  --data-raw {}", quoted(payload)));
    }
    text
}

/// As a shell takes it for one word, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// What the payload tells of values before and after.
fn differences(payload: &Value) -> Vec<Difference> {
    const MOST: usize = 200;
    let records = payload.get("records").and_then(Value::as_array);
    let mut differences = Vec::new();
    for record in records.into_iter().flatten() {
        let Some(old) = record.get("old").and_then(Value::as_object) else {
            continue;
        };
        for (field, before) in old {
            let after = record
                .get("values")
                .and_then(|values| values.get(field))
                .unwrap_or(&Value::Null);
            differences.push(Difference {
                record: record.get("id").map(Value::to_string).unwrap_or_default(),
                field: field.clone(),
                old: told(before),
                new: told(after),
            });
        }
    }
    differences.truncate(MOST);
    differences
}

fn told(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_command_for_a_terminal_is_one_word_for_each_part_whatever_is_in_it() {
        let headers = [("X-A".to_owned(), "it's".to_owned())];
        let text = curl(
            "https://example.com/$(id)",
            &headers,
            Some("{\"a\": \"'; rm -rf /\"}"),
            None,
        );
        assert!(text.contains(r"'https://example.com/$(id)'"));
        assert!(text.contains(r"'X-A: it'\''s'"));
        assert!(text.contains(r#"'{"a": "'\''; rm -rf /"}'"#));
    }

    #[test]
    fn what_changed_is_told_field_by_field() {
        let payload = json!({"records": [{"id": 7, "values": {"state": "sale", "note": null}, "old": {"state": "draft", "note": "x"}}]});
        let told: Vec<_> = differences(&payload)
            .into_iter()
            .map(|d| (d.record, d.field, d.old, d.new))
            .collect();
        let row =
            |field: &str, old: &str, new: &str| ("7".to_owned(), field.to_owned(), old.to_owned(), new.to_owned());
        assert_eq!(told, [row("state", "draft", "sale"), row("note", "x", "nothing")]);
        assert!(differences(&json!({"text": "a message for a chat"})).is_empty());
    }
}
