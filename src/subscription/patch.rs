//! What somebody wants changed of a subscription.

use std::collections::BTreeSet;

use serde_json::Value;

use super::draft::{self, Draft};
use crate::{Error, Result};

/// Columns and their new values; a column that is cleared takes the table's default, which is none for most.
#[derive(Debug, Clone, Default)]
pub struct Patch {
    /// New values.
    pub set: Draft,
    /// Columns that are cleared.
    pub cleared: BTreeSet<&'static str>,
}

impl Patch {
    /// Reads what is written as an object; null clears.
    ///
    /// # Errors
    /// [`Error::is_usage`] that names the key that is unknown or has a value of another type, or when nothing is said.
    pub fn parse(object: Value) -> Result<Self> {
        let nulls = object
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| value.is_null());
        let cleared = nulls.filter_map(|(key, _)| draft::column(key)).collect();
        let patch = Self {
            set: Draft::parse(object)?,
            cleared,
        };
        if patch.columns().next().is_none() {
            return Err(Error::usage("it was not said what to change"));
        }
        Ok(patch)
    }

    /// The columns that it writes.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> {
        let set = self.set.to_json();
        let set: Vec<&'static str> = set
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(key, _)| draft::column(key))
            .collect();
        set.into_iter().chain(self.cleared.iter().copied())
    }

    /// Whether the row that it makes has to be looked at before it is written: one that stops, or only waits, need not be servable.
    pub fn needs_a_look(&self) -> bool {
        self.columns().any(|column| match column {
            "paused" => false,
            "active" => self.set.active != Some(false),
            _ => true,
        })
    }

    /// As the database's functions take it.
    pub(crate) fn to_json(&self) -> Value {
        let mut columns = self.set.to_json();
        if let Value::Object(columns) = &mut columns {
            columns.extend(self.cleared.iter().map(|column| ((*column).to_owned(), Value::Null)));
        }
        columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn null_clears_and_what_is_not_named_stays() {
        let patch = Patch::parse(json!({"name": null, "timeout_ms": 9})).unwrap();
        assert_eq!(patch.to_json(), json!({"timeout_ms": 9, "name": null}));
        assert!(Patch::parse(json!({})).unwrap_err().is_usage());
        assert!(
            Patch::parse(json!({"state": null}))
                .unwrap_err()
                .chain()
                .contains("unknown field `state`")
        );
    }

    #[test]
    fn who_stops_a_subscription_need_not_mend_it_first() {
        let needs = |object| Patch::parse(object).unwrap().needs_a_look();
        assert!(!needs(json!({"active": false})));
        assert!(!needs(json!({"paused": true})));
        assert!(needs(json!({"active": true})));
        assert!(needs(json!({"active": false, "domain": "[]"})));
    }
}
