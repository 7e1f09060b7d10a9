//! What a tool answers: the same twice, for programs as an object and for models as text; and what it says when it does nothing.

use rmcp::model::{CallToolResult, ContentBlock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::DATA_NOT_INSTRUCTIONS;
use crate::ops::error::{Conflict, Error, Missing};
use crate::subscription::Refusal;

/// Why a tool does nothing, in words for a model.
#[derive(Debug)]
pub struct Said(pub String);

/// What a tool answers.
pub type Answer = Result<CallToolResult, Said>;

/// Reads a tool's arguments. Null stands for an argument that is not there: some models write all of them.
///
/// # Errors
/// Which argument is unknown, missing or of another kind.
pub fn arguments<T: DeserializeOwned>(mut given: Map<String, Value>) -> Result<T, Said> {
    given.retain(|_, value| !value.is_null());
    serde_path_to_error::deserialize(Value::Object(given)).map_err(|error| {
        let path = error.path().to_string();
        match path.as_str() {
            "." => Said(format!("the arguments cannot be read: {}", error.inner())),
            path => Said(format!("{path} cannot be read: {}", error.inner())),
        }
    })
}

/// An object, as such and as text.
///
/// # Panics
/// Never: what tools answer are plain values.
pub fn object(answer: &impl Serialize) -> CallToolResult {
    CallToolResult::structured(serde_json::to_value(answer).expect("answers are plain values"))
}

/// The same, with contents of records in it.
pub fn with_records(answer: &impl Serialize) -> CallToolResult {
    let mut result = object(answer);
    result.content.insert(0, ContentBlock::text(DATA_NOT_INSTRUCTIONS));
    result
}

/// An answer of words that says that nothing was done.
pub fn failed(said: Said) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(said.0)])
}

impl From<Error> for Said {
    fn from(error: Error) -> Self {
        let words = error.to_string();
        Self(match error {
            Error::NotFound(Missing::Subscription(_)) => {
                format!("{words}\nhint: list_subscriptions tells which there are")
            }
            Error::NotFound(_) | Error::Conflict(Conflict::Changed { .. }) => words,
            Error::Conflict(Conflict::Copy { .. }) => {
                format!("{words}\nhint: whoever runs odoo-eventd says when it may: odoo-eventd adopt")
            }
            Error::Forbidden(_) => format!("{words}, which this connection has not\nhint: ask whoever made its token"),
            Error::Refused(refusals) => told(refusals),
            Error::Busy(_) => "too much is being asked at once\nhint: try again in a moment".to_owned(),
            Error::Unavailable(error) => {
                tracing::error!(error = %error.chain(), hint = error.hint(), "an assistant's call was not answered");
                "the database cannot do this now\nhint: try again later; the log of odoo-eventd says why".to_owned()
            }
        })
    }
}

/// Each with the argument that it is about, and a caret under the place.
fn told(refusals: Vec<Refusal>) -> String {
    let one = |refusal: Refusal| {
        let column = refusal.column.filter(|column| !refusal.message.starts_with(column));
        let told = refusal.into_error().for_people();
        column.map_or(told.clone(), |column| format!("{column}: {told}"))
    };
    let all: Vec<String> = refusals.into_iter().map(one).collect();
    all.join("\nalso: ")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Wanted {
        model: String,
        fields: Option<Vec<String>>,
    }

    fn read(given: Value) -> Result<Wanted, Said> {
        let Value::Object(given) = given else {
            panic!("an object")
        };
        arguments(given)
    }

    #[test]
    fn what_is_wrong_with_an_argument_is_said_by_its_name() {
        let wanted = read(json!({"model": "sale.order", "fields": null})).unwrap();
        assert_eq!((wanted.model.as_str(), wanted.fields), ("sale.order", None));
        for (given, said) in [
            (json!({}), "missing field `model`"),
            (json!({"model": "a", "modell": "b"}), "unknown field `modell`"),
            (json!({"model": 7}), "model cannot be read"),
            (json!({"model": "a", "fields": ["b", 1]}), "fields[1] cannot be read"),
        ] {
            let Said(told) = read(given).unwrap_err();
            assert!(told.contains(said), "{told}");
        }
    }
}
