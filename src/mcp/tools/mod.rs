//! The tools: one file for each.
//!
//! Schemas are flat, written by hand and without a reference or a null in them: not every model's API takes more (`tests/it/mcp/schemas.rs`).

mod describe_model;
mod list_subscriptions;
mod poll_events;
mod schema;
mod subscribe_events;
mod unsubscribe_events;
mod wait_for_events;

use rmcp::model::{JsonObject, Tool};

use super::answer::Answer;
use super::assistant::Call;
use crate::ops::Scope;

/// All of them, in the order in which clients show them.
pub fn all() -> Vec<Tool> {
    vec![
        subscribe_events::tool(),
        unsubscribe_events::tool(),
        poll_events::tool(),
        wait_for_events::tool(),
        list_subscriptions::tool(),
        describe_model::tool(),
    ]
}

/// What somebody has to be allowed to call one.
pub fn scope_of(name: &str) -> Option<Scope> {
    match name {
        subscribe_events::NAME | unsubscribe_events::NAME => Some(Scope::SubscriptionsWrite),
        poll_events::NAME | wait_for_events::NAME => Some(Scope::EventsRead),
        list_subscriptions::NAME | describe_model::NAME => Some(Scope::SubscriptionsRead),
        _ => None,
    }
}

/// Does what one is for; none where there is no tool of this name.
pub async fn call(call: &Call, name: &str, arguments: JsonObject) -> Option<Answer> {
    Some(match name {
        subscribe_events::NAME => subscribe_events::call(call, arguments).await,
        unsubscribe_events::NAME => unsubscribe_events::call(call, arguments).await,
        poll_events::NAME => poll_events::call(call, arguments).await,
        wait_for_events::NAME => wait_for_events::call(call, arguments).await,
        list_subscriptions::NAME => list_subscriptions::call(call, arguments).await,
        describe_model::NAME => describe_model::call(call, arguments).await,
        _ => return None,
    })
}
