//! What is typed into the form of a subscription, and the columns that it means.

use serde_json::{Map, Value, json};

use super::fields::Fields;
use crate::ops::error::{Error, Result};
use crate::subscription::{Draft, Patch, Refusal, View};

/// How a column is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// As it is; empty = the table's default.
    Text,
    /// One of several words; empty = the table's default.
    Word,
    /// A whole number.
    Whole,
    /// A number.
    Number,
    /// `true` or `false`; empty = the table's default.
    YesNo,
    /// Names or paths with commas in between.
    Paths,
    /// Ticked one by one.
    Ticked,
    /// Whole numbers with commas in between.
    Ids,
    /// A line each: name, colon, value.
    Headers,
}

/// The columns that the form has, whoever's it is.
const COLUMNS: [(&str, Kind); 27] = [
    ("name", Kind::Text),
    ("event_type", Kind::Word),
    ("domain", Kind::Text),
    ("fields", Kind::Ticked),
    ("trigger_mode", Kind::Word),
    ("webhook_url", Kind::Text),
    ("endpoint_source", Kind::Word),
    ("payload_fields", Kind::Paths),
    ("enrich_fields", Kind::Paths),
    ("http_method", Kind::Word),
    ("headers", Kind::Headers),
    ("format", Kind::Word),
    ("lang", Kind::Text),
    ("timeout_ms", Kind::Whole),
    ("max_attempts", Kind::Whole),
    ("retry_first_ms", Kind::Whole),
    ("retry_max_ms", Kind::Whole),
    ("retry_jitter", Kind::YesNo),
    ("in_session", Kind::YesNo),
    ("ordered", Kind::YesNo),
    ("rate_limit", Kind::Number),
    ("grouping", Kind::Word),
    ("max_event_age", Kind::Text),
    ("max_body_bytes", Kind::Whole),
    ("ignore_user_ids", Kind::Ids),
    ("auth", Kind::Text),
    ("webhook_payload_template", Kind::Text),
];

/// A template of one's own, in the list of ready-made ones.
pub const OWN_TEMPLATE: &str = "own";

/// The form of a subscription that is there, filled in.
pub fn of_view(row: &View) -> Fields {
    let mut fields = Fields::default();
    let Ok(Value::Object(columns)) = serde_json::to_value(row) else {
        return fields;
    };
    for (column, kind) in COLUMNS {
        let value = columns.get(column).unwrap_or(&Value::Null);
        match (kind, value) {
            (_, Value::Null) => {}
            // Never shown, not as a mask either.
            _ if column == "auth" => {}
            (Kind::Ticked, Value::Array(items)) => {
                for item in items.iter().filter_map(Value::as_str) {
                    fields.add(column, item);
                }
            }
            (_, Value::Array(items)) => {
                let items: Vec<String> = items.iter().map(plain).collect();
                fields.set(column, items.join(", "));
            }
            (_, Value::Object(entries)) => {
                let lines: Vec<String> = entries
                    .iter()
                    .map(|(name, value)| format!("{name}: {}", plain(value)))
                    .collect();
                fields.set(column, lines.join("\n"));
            }
            (_, value) => fields.set(column, plain(value)),
        }
    }
    fields.set("model", row.model.clone());
    let template = row.webhook_payload_template.as_deref().unwrap_or_default();
    let is_ready_made = crate::payload::template::Template::shapes().any(|shape| shape == template);
    fields.set(
        "template",
        if template.is_empty() || is_ready_made {
            template
        } else {
            OWN_TEMPLATE
        },
    );
    fields.set("webhook_payload_template", if is_ready_made { "" } else { template });
    fields.set("secret", "keep");
    fields
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What a form for a new subscription says.
///
/// # Errors
/// [`Error::Refused`] for what cannot be read, by column.
pub fn draft(fields: &Fields) -> Result<Draft> {
    let mut columns = columns(fields)?;
    columns.retain(|_, value| !value.is_null());
    columns.insert("model".to_owned(), json!(fields.get("model")));
    parsed(Draft::parse(Value::Object(columns)))
}

/// What a form for a subscription that is there says: all of its columns, and the secret where it is typed anew.
///
/// # Errors
/// As [`draft`].
pub fn patch(fields: &Fields) -> Result<Patch> {
    let mut columns = columns(fields)?;
    if fields.get("auth").is_empty() && fields.get("auth_gone").is_empty() {
        columns.remove("auth");
    }
    parsed(Patch::parse(Value::Object(columns)))
}

fn parsed<T>(read: crate::Result<T>) -> Result<T> {
    read.map_err(|error| Error::Refused(Refusal::all_of(&error)))
}

fn columns(fields: &Fields) -> Result<Map<String, Value>> {
    let mut columns = Map::new();
    let mut refusals = Vec::new();
    for (column, kind) in COLUMNS {
        let text = match column {
            "webhook_payload_template" => match fields.get("template") {
                OWN_TEMPLATE => fields.get("webhook_payload_template"),
                shape => shape,
            },
            _ => fields.get(column),
        };
        match read(column, kind, text, fields) {
            Ok(value) => {
                columns.insert(column.to_owned(), value);
            }
            Err(refusal) => refusals.push(refusal),
        }
    }
    match fields.get("secret") {
        "type" if fields.get("webhook_secret").is_empty() => {
            refusals.push(Refusal::of(
                "webhook_secret",
                "it was said that a secret is typed, and none was",
            ));
        }
        "type" => {
            columns.insert("webhook_secret".to_owned(), json!(fields.get("webhook_secret")));
        }
        "none" => {
            columns.insert("webhook_secret".to_owned(), Value::Null);
        }
        // Kept, or made by whoever writes the row.
        _ => {}
    }
    if refusals.is_empty() {
        Ok(columns)
    } else {
        Err(Error::Refused(refusals))
    }
}

fn read(column: &'static str, kind: Kind, text: &str, fields: &Fields) -> Result<Value, Refusal> {
    let is_list = matches!(kind, Kind::Ticked | Kind::Paths | Kind::Ids | Kind::Headers);
    if text.is_empty() && !is_list {
        return Ok(Value::Null);
    }
    match kind {
        Kind::Text | Kind::Word => Ok(json!(text)),
        Kind::Whole => {
            let number: i64 = text
                .parse()
                .map_err(|_| Refusal::of(column, format!("\"{text}\" is no whole number")))?;
            Ok(json!(number))
        }
        Kind::Number => {
            let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
            number
                .map(|number| json!(number))
                .ok_or_else(|| Refusal::of(column, format!("\"{text}\" is no number")))
        }
        Kind::YesNo => Ok(json!(text == "true")),
        Kind::Ticked => Ok(json!(fields.all(column).collect::<Vec<_>>())),
        Kind::Paths => Ok(json!(paths(text))),
        Kind::Ids => {
            let ids: Result<Vec<i32>, Refusal> = text
                .split(',')
                .map(str::trim)
                .filter(|id| !id.is_empty())
                .map(|id| {
                    id.parse()
                        .map_err(|_| Refusal::of(column, format!("\"{id}\" is no id of a user")))
                })
                .collect();
            ids.map(|ids| json!(ids))
        }
        Kind::Headers => headers(text),
    }
}

/// Cut at the commas that stand in no braces: `partner_id{name,email}, amount_total` are two.
fn paths(text: &str) -> Vec<String> {
    let mut paths = vec![String::new()];
    let mut depth = 0_i32;
    for c in text.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' | '\n' if depth <= 0 => {
                paths.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(last) = paths.last_mut() {
            last.push(c);
        }
    }
    paths
        .into_iter()
        .map(|path| path.trim().to_owned())
        .filter(|path| !path.is_empty())
        .collect()
}

fn headers(text: &str) -> Result<Value, Refusal> {
    let mut headers = Map::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some((name, value)) = line.split_once(':') else {
            // The line may be a secret: it is not repeated.
            return Err(Refusal::of("headers", "a line has no colon in it")
                .with_hint("write one header a line: X-Api-Key: ..."));
        };
        headers.insert(name.trim().to_owned(), json!(value.trim()));
    }
    Ok(Value::Object(headers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            fields.add(name, *value);
        }
        fields
    }

    #[test]
    fn what_is_typed_becomes_columns_and_what_is_left_empty_the_default() {
        let fields = typed(&[
            ("model", "sale.order"),
            ("event_type", "write"),
            ("fields", "state"),
            ("fields", "partner_id"),
            ("enrich_fields", "partner_id{name,email}, amount_total"),
            ("headers", "X-A: 1\nX-B: a:b"),
            ("timeout_ms", "5000"),
            ("ordered", "true"),
            ("template", "slack"),
            ("webhook_payload_template", "ignored"),
        ]);
        let json = serde_json::to_value(draft(&fields).unwrap()).unwrap();
        assert_eq!(json["fields"], json!(["state", "partner_id"]));
        assert_eq!(json["enrich_fields"], json!(["partner_id{name,email}", "amount_total"]));
        assert_eq!(json["headers"], json!({"X-A": "1", "X-B": "a:b"}));
        assert_eq!(json["webhook_payload_template"], "slack");
        assert_eq!(json["ordered"], true);
        assert!(json["domain"].is_null() && json["retry_jitter"].is_null());
        let patch = patch(&fields).unwrap();
        assert!(patch.cleared.contains("domain") && !patch.cleared.contains("auth") && patch.set.model.is_none());
    }

    #[test]
    fn each_thing_that_cannot_be_read_is_told_by_its_column() {
        let fields = typed(&[
            ("timeout_ms", "soon"),
            ("rate_limit", "NaN"),
            ("ignore_user_ids", "1,x"),
            ("headers", "secret"),
            ("secret", "type"),
        ]);
        let Err(Error::Refused(refusals)) = draft(&fields) else {
            panic!("it was taken")
        };
        let columns: Vec<_> = refusals.iter().filter_map(|refusal| refusal.column).collect();
        assert_eq!(
            columns,
            [
                "headers",
                "timeout_ms",
                "rate_limit",
                "ignore_user_ids",
                "webhook_secret"
            ]
        );
        assert!(refusals.iter().all(|refusal| !refusal.message.contains("secret\"")));
    }
}
