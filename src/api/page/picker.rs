//! The fields of one model, to be ticked; of another model there are none.

use std::collections::HashMap;

use super::fields::Fields;
use crate::ops::catalog::FieldInfo;

/// A field that one can tick, or why not.
pub(super) struct FieldChoice {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) kind: &'static str,
    pub(super) relation: String,
    pub(super) is_ticked: bool,
    pub(super) reason: String,
}

/// The fields of the model, those that can be ticked first.
pub(super) fn choices(known: Vec<FieldInfo>, labels: &HashMap<String, String>, typed: &Fields) -> Vec<FieldChoice> {
    let mut choices: Vec<FieldChoice> = known
        .into_iter()
        .map(|field| FieldChoice {
            label: labels.get(&field.field).cloned().unwrap_or_default(),
            is_ticked: typed.has("fields", &field.field),
            kind: field.kind,
            relation: field.relation.unwrap_or_default(),
            reason: field.unusable.map(|refusal| refusal.message).unwrap_or_default(),
            name: field.field,
        })
        .collect();
    // A field that is gone, and still watched: it can only be taken away.
    let gone: Vec<&str> = typed
        .all("fields")
        .filter(|name| !choices.iter().any(|choice| choice.name == *name))
        .collect();
    choices.extend(gone.into_iter().map(|name| FieldChoice {
        name: name.to_owned(),
        label: String::new(),
        kind: "unknown",
        relation: String::new(),
        is_ticked: true,
        reason: String::new(),
    }));
    choices.sort_by_key(|choice| {
        (
            !choice.is_ticked,
            !choice.reason.is_empty(),
            choice.label.to_lowercase(),
            choice.name.clone(),
        )
    });
    choices
}
