//! Document 003's webhook and our subscription: its names for our columns, both ways.

use serde_json::{Map, Value, json};

use crate::api::problem::{Fault, Problem};
use crate::domain::ast::{self, Domain, Leaf};
use crate::domain::parse;
use crate::domain::python::{domain_text, literal};
use crate::ops::error::Error;
use crate::subscription::choices::WantedEvents;
use crate::subscription::{Refusal, View, refused_domain};

/// The properties in their order, and the columns that they are.
pub(super) const PROPERTIES: [(&str, &str); 11] = [
    ("id", "id"),
    ("name", "name"),
    ("model", "model"),
    ("kind", "event_type"),
    ("address", "webhook_url"),
    ("format", "format"),
    ("language", "lang"),
    ("fields", "payload_fields"),
    ("condition", "domain"),
    ("create_date", "create_date"),
    ("write_date", "write_date"),
];

/// Their kinds, and our events. One that wants all three was not made by this API, and is `all` in it.
const KINDS: [(&str, WantedEvents); 4] = [
    ("on_create", WantedEvents::Create),
    ("on_write", WantedEvents::Write),
    ("on_unlink", WantedEvents::Unlink),
    ("all", WantedEvents::All),
];

fn kind_of(event: WantedEvents) -> &'static str {
    KINDS
        .iter()
        .find(|(_, known)| *known == event)
        .map_or("all", |(kind, _)| kind)
}

/// A webhook.
pub(super) fn shown(row: &View) -> Map<String, Value> {
    let day = |text: &str| {
        let text = text.replace('T', " ");
        // Whole seconds.
        text.split('.').next().unwrap_or_default().to_owned()
    };
    let told = json!({
        "id": row.id, "name": row.name, "model": row.model, "kind": kind_of(row.event_type), "address": row.webhook_url,
        "format": row.format, "language": row.lang, "fields": row.payload_fields,
    });
    let Value::Object(mut told) = told else {
        return Map::new();
    };
    // One without a condition has no such property.
    let condition = literal(&row.domain).unwrap_or_else(|_| json!(row.domain));
    if condition != json!([]) {
        told.insert("condition".to_owned(), condition);
    }
    told.insert("create_date".to_owned(), json!(day(&row.create_date)));
    told.insert("write_date".to_owned(), json!(day(&row.write_date)));
    told
}

/// These properties of a webhook, its id always.
pub(super) fn selected(row: &View, fields: Option<&[String]>) -> Map<String, Value> {
    let mut told = shown(row);
    if let Some(fields) = fields {
        told.retain(|name, _| name == "id" || fields.contains(name));
    }
    told
}

/// Our columns for the values of a webhook.
///
/// # Errors
/// Naming the value that a webhook cannot have.
pub(super) fn columns(vals: &Value, is_new: bool) -> Result<Map<String, Value>, Problem> {
    let wrong = |name: &str, detail: String| Problem::unreadable(Fault::at(format!("?vals/{name}"), detail));
    let Some(vals) = vals.as_object() else {
        return Err(wrong(
            "",
            "vals is a dictionary: {'name': 'Product Creation'}".to_owned(),
        ));
    };
    let mut columns = Map::new();
    for (name, value) in vals {
        let (column, value) = match name.as_str() {
            "name" => ("name", value.clone()),
            "model" if is_new => ("model", value.clone()),
            "model" => return Err(wrong(name, "the model of a webhook cannot be changed".to_owned())),
            "kind" => {
                let event = KINDS.iter().find(|(kind, _)| value == kind).map(|(_, event)| event);
                let event = event.ok_or_else(|| wrong(name, "kind is on_create, on_write or on_unlink".to_owned()))?;
                ("event_type", json!(event))
            }
            "address" => ("webhook_url", value.clone()),
            "format" => ("format", value.clone()),
            "language" => ("lang", value.clone()),
            "fields" => {
                let is_list = value.as_array().is_some_and(|items| items.iter().all(Value::is_string));
                if !is_list {
                    return Err(wrong(name, "fields is a list of names".to_owned()));
                }
                ("payload_fields", value.clone())
            }
            "condition" => (
                "domain",
                condition(value).ok_or_else(|| wrong(name, "condition is a domain: a list".to_owned()))?,
            ),
            _ => {
                let known: Vec<&str> = PROPERTIES.iter().map(|(name, _)| *name).collect();
                let told = format!(
                    "a webhook has no \"{name}\" that can be written, but {}",
                    known[1..9].join(", ")
                );
                return Err(wrong(name, told));
            }
        };
        columns.insert(column.to_owned(), value);
    }
    Ok(columns)
}

/// As text, which is what we keep; an empty one is none.
fn condition(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) if text.trim().is_empty() => Some(json!("[]")),
        Value::String(text) => Some(json!(text)),
        Value::Null | Value::Bool(false) => Some(json!("[]")),
        Value::Array(_) => Some(json!(domain_text(value))),
        _ => None,
    }
}

/// What is sent is watched too, of a webhook on writes: the fields that its paths begin with, each once.
pub(super) fn watched(paths: &[&str]) -> Vec<String> {
    let mut watched: Vec<String> = Vec::new();
    for path in paths {
        let first = path.split(['.', '{']).next().unwrap_or_default().trim();
        if !watched.iter().any(|known| known == first) {
            watched.push(first.to_owned());
        }
    }
    watched
}

/// The watched fields of a webhook that is there, once these columns are written; none where they stay. Where another door has chosen
/// what is watched, only who says anew what is sent changes it.
pub(super) fn watched_after(row: &View, columns: &Map<String, Value>) -> Option<Value> {
    let of = |event: &str, paths: &[&str]| match event == WantedEvents::Write.as_str() {
        true => watched(paths),
        false => Vec::new(),
    };
    let kept: Vec<&str> = row.payload_fields.iter().map(String::as_str).collect();
    let given = columns.get("payload_fields").and_then(Value::as_array);
    let given: Option<Vec<&str>> = given.map(|paths| paths.iter().filter_map(Value::as_str).collect());
    let event = columns.get("event_type").and_then(Value::as_str);
    let is_ours = row.fields == of(row.event_type.as_str(), &kept);
    if given.is_none() && (event.is_none() || !is_ours) {
        return None;
    }
    let paths = given.as_deref().unwrap_or(&kept);
    Some(json!(of(event.unwrap_or(row.event_type.as_str()), paths)))
}

/// A domain over webhooks as one over our columns.
///
/// # Errors
/// With the place in its text.
pub(super) fn own_domain(text: &str) -> Result<String, Problem> {
    let parsed = parse::parse(text).map_err(|error| {
        let refused = Error::Refused(Refusal::all_of(&refused_domain(&error, text)));
        crate::api::problem::in_query(refused)
    })?;
    let unknown = |name: &str| {
        let known: Vec<&str> = PROPERTIES.iter().map(|(name, _)| *name).collect();
        Problem::unreadable(Fault::at(
            "?domain",
            format!("a webhook has no \"{name}\", but {}", known.join(", ")),
        ))
    };
    Ok(renamed(parsed).map_err(|name| unknown(&name))?.to_string())
}

fn renamed(domain: Domain) -> Result<Domain, String> {
    let all = |items: Vec<Domain>| items.into_iter().map(renamed).collect::<Result<Vec<_>, _>>();
    Ok(match domain {
        Domain::Const(value) => Domain::Const(value),
        Domain::Not(inner) => Domain::Not(Box::new(renamed(*inner)?)),
        Domain::And(items) => Domain::And(all(items)?),
        Domain::Or(items) => Domain::Or(all(items)?),
        Domain::Leaf(leaf) => {
            let column = match leaf.path.as_str() {
                // A list is text in the columns that a domain may speak of: of what is sent nothing is asked.
                "fields" => return Err("fields\" that can be compared, nor \"fields".to_owned()),
                path => {
                    PROPERTIES
                        .iter()
                        .find(|(name, _)| *name == path)
                        .ok_or_else(|| leaf.path.clone())?
                        .1
                }
            };
            let value = if column == "event_type" {
                own_kinds(leaf.value)
            } else {
                leaf.value
            };
            Domain::Leaf(Leaf {
                path: column.to_owned(),
                value,
                ..leaf
            })
        }
    })
}

fn own_kinds(value: ast::Value) -> ast::Value {
    match value {
        ast::Value::Str(text) => {
            let event = KINDS
                .iter()
                .find(|(kind, _)| *kind == text)
                .map(|(_, event)| event.as_str());
            ast::Value::Str(event.map_or(text, str::to_owned))
        }
        ast::Value::List(items) => ast::Value::List(items.into_iter().map(own_kinds).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_speaks_of_our_columns_by_its_names() {
        let own = own_domain("[('model','=','product.product'),('kind','in',['on_write', 'on_create'])]").unwrap();
        assert_eq!(
            own,
            "['&', ('model', '=', 'product.product'), ('event_type', 'in', ['write', 'create'])]"
        );
        for wrong in ["[('webhook_url', '=', 'x')]", "[('fields', '=', 'x')]", "[('kind'"] {
            assert!(own_domain(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn values_become_columns_and_others_are_refused() {
        let vals = literal("{'kind': 'on_write', 'condition': [('state', '=', 'done')], 'language': 'en_US'}").unwrap();
        let columns = columns(&vals, true).unwrap();
        assert_eq!(
            json!(columns),
            json!({"event_type": "write", "domain": "[('state', '=', 'done')]", "lang": "en_US"})
        );
        for wrong in [
            "{'kind': 'on_change'}",
            "{'id': 7}",
            "{'fields': 'name'}",
            "{'condition': 7}",
            "[]",
        ] {
            assert!(super::columns(&literal(wrong).unwrap(), true).is_err(), "{wrong}");
        }
        assert!(super::columns(&json!({"model": "x"}), false).is_err());
    }
}
