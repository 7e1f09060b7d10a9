//! What tools tell of their arguments.

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde_json::{Value, json};

/// What a tool does to the world, for clients that ask their users before.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// It only looks.
    Reads,
    /// It adds something.
    Adds,
    /// It ends something, and the second time nothing more.
    Ends,
}

/// A tool that takes these arguments, of which the first `required` must be there.
pub(super) fn described(
    name: &'static str,
    title: &str,
    description: &'static str,
    kind: Kind,
    arguments: &[(&str, Value)],
    required: usize,
) -> Tool {
    let properties: JsonObject = arguments
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    let required: Vec<&str> = arguments.iter().take(required).map(|(name, _)| *name).collect();
    let mut schema = JsonObject::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema.insert("additionalProperties".to_owned(), json!(false));
    let hints = ToolAnnotations::with_title(title).open_world(matches!(kind, Kind::Adds));
    let hints = match kind {
        Kind::Reads => hints.read_only(true),
        Kind::Adds => hints.read_only(false).destructive(false).idempotent(true),
        Kind::Ends => hints.read_only(false).destructive(true).idempotent(true),
    };
    Tool::new(name, description, schema)
        .with_title(title)
        .with_annotations(hints)
}

/// A text.
pub(super) fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

/// Several texts.
pub(super) fn texts(description: &str) -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "description": description })
}

/// One text of a few.
pub(super) fn one_of(values: impl Iterator<Item = &'static str>, description: &str) -> Value {
    json!({ "type": "string", "enum": values.collect::<Vec<_>>(), "description": description })
}

/// A whole number.
pub(super) fn number(least: u32, most: u32, description: &str) -> Value {
    json!({ "type": "integer", "minimum": least, "maximum": most, "description": description })
}

/// The id of a subscription.
pub(super) fn subscription_id() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": i32::MAX, "description": "The subscription_id that subscribe_events or list_subscriptions told." })
}

/// Where reading goes on.
pub(super) fn cursor() -> Value {
    text(
        "The cursor of the last answer, to get what came after it. Without one reading begins at the oldest event that is kept.",
    )
}
