//! `list_subscriptions`.

use rmcp::model::{JsonObject, Tool};
use serde::{Deserialize, Serialize};

use super::schema::{Kind, described, text};
use crate::mcp::answer::{Answer, arguments, object};
use crate::mcp::assistant::Call;
use crate::mcp::resources;
use crate::ops::page::PageRequest;
use crate::ops::subscriptions::read::{Filter, Order, OrderBy};
use crate::subscription::View;
use crate::subscription::choices::{CreatedFrom, State, WantedEvents};

pub(super) const NAME: &str = "list_subscriptions";

/// So many in one answer.
const PAGE: u32 = 50;

const DESCRIPTION: &str = "Lists the subscriptions that you may see, the newest first: what each watches, where it is sent, whether it \
works and how its last delivery ended. Inactive ones are listed where include_inactive is true.";

pub(super) fn tool() -> Tool {
    let arguments = [
        ("model", text("Only those on this model: sale.order.")),
        (
            "include_inactive",
            serde_json::json!({ "type": "boolean", "description": "Whether to list those that have ended too. Default: false." }),
        ),
        ("cursor", text("The next_cursor of the last answer, for the next page.")),
    ];
    described(NAME, "List subscriptions", DESCRIPTION, Kind::Reads, &arguments, 0)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    model: Option<String>,
    include_inactive: Option<bool>,
    cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct Listed {
    subscriptions: Vec<One>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize)]
struct One {
    subscription_id: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    model: String,
    event_type: WantedEvents,
    domain: String,
    fields: Vec<String>,
    enrich_fields: Vec<String>,
    active: bool,
    paused: bool,
    state: Option<State>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_uri: Option<String>,
    last_delivery: Option<String>,
    last_delivery_status: Option<String>,
    failure_count: i32,
    created_from: CreatedFrom,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<String>,
}

impl From<View> for One {
    fn from(view: View) -> Self {
        Self {
            subscription_id: view.id,
            resource_uri: resources::is_readable(&view).then(|| resources::uri_of(view.id)),
            name: view.name,
            model: view.model,
            event_type: view.event_type,
            domain: view.domain,
            fields: view.fields,
            enrich_fields: view.enrich_fields,
            active: view.active,
            paused: view.paused,
            state: view.state,
            error: view.error,
            webhook_url: view.webhook_url.filter(|url| !url.is_empty()),
            last_delivery: view.last_delivery,
            last_delivery_status: view.last_delivery_status,
            failure_count: view.failure_count,
            created_from: view.created_from,
            connection: view.connection,
        }
    }
}

pub(super) async fn call(call: &Call, given: JsonObject) -> Answer {
    let wanted: Wanted = arguments(given)?;
    let filter = Filter {
        models: wanted.model.map(|model| vec![model]),
        active: (!wanted.include_inactive.unwrap_or(false)).then_some(true),
        ..Filter::default()
    };
    let newest_first = Order {
        by: OrderBy::Id,
        descending: true,
    };
    let page = PageRequest {
        limit: PAGE,
        cursor: wanted.cursor.filter(|cursor| !cursor.is_empty()),
    };
    let service = &call.visitor.service;
    let page = service
        .subscriptions(&call.operator, &filter, newest_first, &page)
        .await?;
    Ok(object(&Listed {
        subscriptions: page.items.into_iter().map(|row| row.subscription.into()).collect(),
        next_cursor: page.next_cursor,
    }))
}
