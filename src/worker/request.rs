//! The HTTP request of one attempt: body, headers, signatures.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

use crate::http::client::{Audience, Request};
use crate::http::guard::parse_url;
use crate::pg::deliveries::Claimed;
use crate::signature::{self, Message};
use crate::subscription::Accepted;
use crate::{Error, Result};

/// Builds the request of an attempt from what the subscription says now (SPEC section 7, Headers).
///
/// Every method carries the body, GET and DELETE too: what is sent is then what is signed and logged, whatever the method. RFC 9110
/// (9.3.1) leaves a GET's content without a meaning of its own unless the origin server has said that it has one; whoever chooses
/// the method of a subscription says so for his receiver.
///
/// `unix_now` is the attempt's time in seconds since 1970; it is signed with the body, so that a request cannot be replayed later.
///
/// # Errors
/// [`Error::is_usage`] when the URL or the method of the subscription is not valid.
pub fn build(claimed: &Claimed, subscription: &Accepted, unix_now: i64) -> Result<Request> {
    let row = &subscription.row;
    let callback = claimed.callback.as_ref().filter(|_| subscription.sends_to_callbacks());
    let url = parse_url(callback.map_or_else(|| subscription.url().unwrap_or_default(), |callback| &callback.url))?;
    let method = Method::from_bytes(row.http_method.as_bytes())
        .map_err(|e| Error::usage(format!("\"{}\" is no HTTP method", row.http_method)).with_source(e))?;
    // Whoever named the callback gets nothing that belongs to the subscription's own endpoint, whatever else let it come here.
    let mut headers = callback.map_or_else(|| subscription.headers.clone(), |_| HeaderMap::new());
    let delivery_id = claimed.delivery_id.to_string();
    if method == Method::GET {
        // A cache on the way could answer in the receiver's stead.
        set(&mut headers, CACHE_CONTROL, "no-store")?;
    }
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
    let secrets = match callback {
        None => subscription.signing_secrets(unix_now),
        Some(callback) => {
            let secret = callback
                .secret
                .clone()
                .map_err(|why| Error::usage(format!("the callback's secret cannot be used: {why}")))?;
            secret.into_iter().collect()
        }
    };
    // While a rotation overlaps, the header with room for one is made with the older secret: see `signature`.
    if let Some(oldest) = secrets.last() {
        let body = claimed.body.as_bytes();
        let message = Message {
            id: &delivery_id,
            timestamp: unix_now,
            body,
        };
        set(
            &mut headers,
            HeaderName::from_static("x-mcp-signature"),
            &signature::sign_body(oldest, body),
        )?;
        set(
            &mut headers,
            HeaderName::from_static("webhook-signature"),
            &signature::sign_message(&secrets, message),
        )?;
    }
    Ok(Request {
        method,
        url,
        audience: callback.map_or(Audience::Endpoint, |_| Audience::Callback),
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
