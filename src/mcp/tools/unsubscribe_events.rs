//! `unsubscribe_events`.

use rmcp::model::{JsonObject, Tool};
use serde::{Deserialize, Serialize};

use super::schema::{Kind, described, subscription_id};
use crate::mcp::answer::{Answer, arguments, object};
use crate::mcp::assistant::Call;

pub(super) const NAME: &str = "unsubscribe_events";

const DESCRIPTION: &str = "Ends a subscription: nothing is sent or told any more. It is kept, inactive, so that an administrator can see \
what there was. Ending one that has ended already answers the same.";

pub(super) fn tool() -> Tool {
    let arguments = [("subscription_id", subscription_id())];
    described(NAME, "Unsubscribe from events", DESCRIPTION, Kind::Ends, &arguments, 1)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    subscription_id: i32,
}

#[derive(Debug, Serialize)]
struct Ended {
    subscription_id: i32,
    active: bool,
}

pub(super) async fn call(call: &Call, given: JsonObject) -> Answer {
    let Wanted { subscription_id } = arguments(given)?;
    let service = &call.visitor.service;
    let ended = Box::pin(service.set_active(&call.operator, subscription_id, false)).await?;
    Ok(object(&Ended {
        subscription_id,
        active: ended.subscription.active,
    }))
}
