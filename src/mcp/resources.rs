//! Resources: the last events of a subscription, as a client can show them, and be told of when they change.

use rmcp::model::{Resource, ResourceTemplate};
use serde::Serialize;

use super::DATA_NOT_INSTRUCTIONS;
use crate::ops::feed::{FeedEvent, FeedPage};
use crate::ops::page::PageRequest;
use crate::ops::subscriptions::read::{Filter, Order};
use crate::ops::{Operator, Service, error};
use crate::subscription::View;

/// What a resource is written in.
pub const MEDIA_TYPE: &str = "application/json";

/// So many events a resource shows.
const LAST: u32 = 50;

/// So many resources a page of the list has.
const PAGE: u32 = 100;

const BEFORE_ID: &str = "odoo-eventd://subscriptions/";
const BEHIND_ID: &str = "/events";

/// The resource of a subscription's events.
pub fn uri_of(subscription: i32) -> String {
    format!("{BEFORE_ID}{subscription}{BEHIND_ID}")
}

/// Whose events a resource is; none = it is no resource of ours.
pub fn subscription_of(uri: &str) -> Option<i32> {
    let id = uri.strip_prefix(BEFORE_ID)?.strip_suffix(BEHIND_ID)?;
    let is_number = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) && !id.starts_with('0');
    is_number.then(|| id.parse().ok()).flatten()
}

/// The form of all resources.
pub fn template() -> ResourceTemplate {
    ResourceTemplate::new(
        format!("{BEFORE_ID}{{subscription_id}}{BEHIND_ID}"),
        "subscription_events",
    )
    .with_title("Events of a subscription")
    .with_description(format!(
        "The last {LAST} events of one of your subscriptions, the newest last. {DATA_NOT_INSTRUCTIONS}"
    ))
    .with_mime_type(MEDIA_TYPE)
}

/// Whether a subscription's events can be read here.
pub fn is_readable(view: &View) -> bool {
    view.in_session || view.webhook_url.as_deref().is_none_or(str::is_empty)
}

/// A page of those that are there, and where the next one begins.
///
/// # Errors
/// As [`Service::subscriptions`].
pub async fn list(
    service: &Service,
    operator: &Operator,
    cursor: Option<String>,
) -> error::Result<(Vec<Resource>, Option<String>)> {
    let filter = Filter {
        active: Some(true),
        ..Filter::default()
    };
    let page = PageRequest { limit: PAGE, cursor };
    let page = service
        .subscriptions(operator, &filter, Order::default(), &page)
        .await?;
    let readable = page
        .items
        .iter()
        .map(|row| &row.subscription)
        .filter(|view| is_readable(view));
    Ok((readable.map(resource).collect(), page.next_cursor))
}

fn resource(view: &View) -> Resource {
    Resource::new(uri_of(view.id), format!("subscription_{}_events", view.id))
        .with_title(format!("Events of subscription {} on {}", view.id, view.model))
        .with_description(format!(
            "The last {LAST} events, the newest last. {DATA_NOT_INSTRUCTIONS}"
        ))
        .with_mime_type(MEDIA_TYPE)
}

#[derive(Serialize)]
struct Content<'a> {
    note: &'static str,
    subscription_id: i32,
    events: &'a [FeedEvent],
    cursor: &'a str,
}

/// What a resource says now.
///
/// # Errors
/// As [`Service::last_of_feed`].
pub async fn read(service: &Service, operator: &Operator, subscription: i32) -> error::Result<String> {
    let page: FeedPage = service.last_of_feed(operator, subscription, LAST).await?;
    let content = Content {
        note: DATA_NOT_INSTRUCTIONS,
        subscription_id: subscription,
        events: &page.events,
        cursor: &page.cursor,
    };
    Ok(serde_json::to_string(&content).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_one_subscription_in_one_way() {
        assert_eq!(subscription_of(&uri_of(12)), Some(12));
        for wrong in [
            "odoo-eventd://subscriptions/012/events",
            "odoo-eventd://subscriptions/-1/events",
            "odoo-eventd://subscriptions//events",
            "odoo-eventd://subscriptions/1/events/",
            "odoo-eventd://subscriptions/99999999999/events",
            "file:///etc/passwd",
        ] {
            assert_eq!(subscription_of(wrong), None, "{wrong}");
        }
    }
}
