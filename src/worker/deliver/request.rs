//! The HTTP request of one attempt: body, headers, signatures.

use bytes::Bytes;
use http::Method;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;
use uuid::Uuid;

use crate::endpoint::guard::parse_url;
use crate::http::client::{Audience, Request, Reuse};
use crate::pg::deliveries::Claimed;
use crate::signature::{self, Message, Secret};
use crate::subscription::ResolvedSubscription;
use crate::{Error, Result};

/// How many headers are ours at most: a map that has room for them at once does not grow, and hash what is in it anew, in between.
const OURS_AT_MOST: usize = 12;

/// Builds the request of an attempt from what the subscription says now (SPEC section 7, Headers).
///
/// Every method carries the body, GET and DELETE too: what is sent is then what is signed and logged, whatever the method. RFC 9110
/// (9.3.1) leaves a GET's content without a meaning of its own unless the origin server has said that it has one; whoever chooses
/// the method of a subscription says so for his receiver.
///
/// `unix_now` is the attempt's time in seconds since 1970; it is signed with the body, so that a request cannot be replayed later.
/// `body` is that of `claimed`, which has no use for it any more.
///
/// # Errors
/// [`Error::is_usage`] when the URL of the subscription is not valid.
pub fn build(claimed: &Claimed, body: Bytes, subscription: &ResolvedSubscription, unix_now: i64) -> Result<Request> {
    let row = &subscription.row;
    let callback = claimed.callback.as_ref().filter(|_| subscription.sends_to_callbacks());
    let url = match (callback, &subscription.target) {
        (Some(callback), _) => parse_url(&callback.url)?,
        (None, Some(target)) => target.clone(),
        (None, None) => parse_url(subscription.url().unwrap_or_default())?,
    };
    let method = Method::from(row.http_method);
    // Whoever named the callback gets nothing that belongs to the subscription's own endpoint, whatever else let it come here.
    let mut headers = HeaderMap::with_capacity(subscription.headers.len() + OURS_AT_MOST);
    if callback.is_none() {
        headers.extend(subscription.headers.clone());
    }
    if method == Method::GET {
        // A cache on the way could answer in the receiver's stead.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
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
    let ours = Ours {
        event: format!("{}.{}", claimed.model, claimed.event_type),
        event_id: claimed.event_id,
        subscription_id: claimed.subscription_id,
        delivery_id: claimed.delivery_id,
        content_type: HeaderValue::from_static(subscription.content.content_type(&body)),
        unix_now,
    };
    ours.add_to(&mut headers, &body, &secrets)?;
    Ok(Request {
        method,
        url,
        audience: callback.map_or(Audience::Endpoint, |_| Audience::Callback),
        headers,
        body,
        timeout: Duration::from_millis(u64::from(row.timeout_ms)),
        reuse: if row.max_attempts == 1 {
            Reuse::Fresh
        } else {
            Reuse::Any
        },
        secrets,
    })
}

/// What every request says of its event.
pub(crate) struct Ours {
    /// `sale.order.write`
    pub(crate) event: String,
    /// The event.
    pub(crate) event_id: Uuid,
    /// The subscription.
    pub(crate) subscription_id: i32,
    /// Equal on every attempt.
    pub(crate) delivery_id: Uuid,
    /// Of the body.
    pub(crate) content_type: HeaderValue,
    /// The attempt's time in seconds since 1970.
    pub(crate) unix_now: i64,
}

impl Ours {
    /// Adds our headers, and the signatures of the body where there is a secret.
    ///
    /// # Errors
    /// [`Error::is_usage`] for what no header can hold.
    pub(crate) fn add_to(self, headers: &mut HeaderMap, body: &[u8], secrets: &[Secret]) -> Result<()> {
        let delivery_id = self.delivery_id.to_string();
        headers.insert(CONTENT_TYPE, self.content_type);
        set(headers, HeaderName::from_static("x-mcp-event"), self.event)?;
        set(
            headers,
            HeaderName::from_static("x-mcp-event-id"),
            self.event_id.to_string(),
        )?;
        headers.insert(
            HeaderName::from_static("x-mcp-subscription-id"),
            HeaderValue::from(self.subscription_id),
        );
        let shown_id = value_of(&HeaderName::from_static("webhook-id"), delivery_id.clone())?;
        headers.insert(HeaderName::from_static("x-mcp-delivery-id"), shown_id.clone());
        headers.insert(HeaderName::from_static("webhook-id"), shown_id);
        headers.insert(
            HeaderName::from_static("webhook-timestamp"),
            HeaderValue::from(self.unix_now),
        );
        // While a rotation overlaps, the header with room for one is made with the older secret: see `signature`.
        if let Some(oldest) = secrets.last() {
            let message = Message {
                id: &delivery_id,
                timestamp: self.unix_now,
                body,
            };
            set(
                headers,
                HeaderName::from_static("x-mcp-signature"),
                signature::sign_body(oldest, body),
            )?;
            set(
                headers,
                HeaderName::from_static("webhook-signature"),
                signature::sign_message(secrets, message),
            )?;
        }
        Ok(())
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: String) -> Result<()> {
    let value = value_of(&name, value)?;
    headers.insert(name, value);
    Ok(())
}

fn value_of(name: &HeaderName, value: String) -> Result<HeaderValue> {
    HeaderValue::try_from(value).map_err(|e| Error::usage(format!("header \"{name}\" cannot be sent")).with_source(e))
}
