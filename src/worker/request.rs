//! The HTTP request of one attempt: body, headers, signatures.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

use crate::http::client::Request;
use crate::http::guard::parse_url;
use crate::pg::deliveries::Claimed;
use crate::signature::{self, Message};
use crate::subscription::Accepted;
use crate::{Error, Result};

/// Builds the request of an attempt from what the subscription says now (SPEC section 7, Headers).
///
/// `unix_now` is the attempt's time in seconds since 1970; it is signed with the body, so that a request cannot be replayed later.
///
/// # Errors
/// [`Error::is_usage`] when the URL or the method of the subscription is not valid.
pub fn build(claimed: &Claimed, subscription: &Accepted, unix_now: i64) -> Result<Request> {
    let row = &subscription.row;
    let url = parse_url(subscription.url().unwrap_or_default())?;
    let method = Method::from_bytes(row.http_method.as_bytes())
        .map_err(|e| Error::usage(format!("\"{}\" is no HTTP method", row.http_method)).with_source(e))?;
    let mut headers = subscription.headers.clone();
    let delivery_id = claimed.delivery_id.to_string();
    let content_type = subscription.content.content_type(claimed.body.as_bytes());
    set(&mut headers, CONTENT_TYPE, content_type)?;
    set(
        &mut headers,
        HeaderName::from_static("x-mcp-event"),
        &format!("{}.{}", claimed.model, claimed.event_type),
    )?;
    set(
        &mut headers,
        HeaderName::from_static("x-mcp-event-id"),
        &claimed.event_id.to_string(),
    )?;
    set(
        &mut headers,
        HeaderName::from_static("x-mcp-subscription-id"),
        &claimed.subscription_id.to_string(),
    )?;
    set(&mut headers, HeaderName::from_static("x-mcp-delivery-id"), &delivery_id)?;
    set(&mut headers, HeaderName::from_static("webhook-id"), &delivery_id)?;
    set(
        &mut headers,
        HeaderName::from_static("webhook-timestamp"),
        &unix_now.to_string(),
    )?;
    if let Some(secret) = &subscription.secret {
        let body = claimed.body.as_bytes();
        let message = Message {
            id: &delivery_id,
            timestamp: unix_now,
            body,
        };
        set(
            &mut headers,
            HeaderName::from_static("x-mcp-signature"),
            &signature::sign_body(secret, body),
        )?;
        set(
            &mut headers,
            HeaderName::from_static("webhook-signature"),
            &signature::sign_message(std::slice::from_ref(secret), message),
        )?;
    }
    Ok(Request {
        method,
        url,
        headers,
        body: Bytes::from(claimed.body.clone()),
        timeout: Duration::from_millis(u64::from(row.timeout_ms)),
    })
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<()> {
    let value = HeaderValue::from_str(value)
        .map_err(|e| Error::usage(format!("header \"{name}\" cannot be sent")).with_source(e))?;
    headers.insert(name, value);
    Ok(())
}
