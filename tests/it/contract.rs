//! What others build on, word by word: outputs as JSON, refusals, the SQL of `plan`, bodies, metrics, the installed schema.
//!
//! Each is a snapshot beside its test. One that changes is a decision, and the commit that changes it says why. `INSTA_UPDATE=always`
//! writes them anew.

mod json;
mod metrics;
mod plan;
mod refusals;
mod schema;
mod shapes;

use serde_json::Value;

use crate::support::Database;

/// What differs between any two runs, by what it looks like.
const CHANCE: [(&str, &str); 16] = [
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00(:00)?)?", "[time]"),
    (
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[uuid]",
    ),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
    (r"/tmp/odoo-eventd-\w+", "[directory]"),
    (r"whsec_[A-Za-z0-9+/=_-]{20,}", "[secret]"),
    (r"v1,[A-Za-z0-9+/=]{40,}", "v1,[signature]"),
    (r"[0-9a-f]{64}", "[digest]"),
    (r"sha256 [0-9a-f]{16}", "sha256 [digest]"),
    (r"\d{4}-\d\d-\d\d", "[date]"),
    (r#""1[789]\d{8}""#, "\"[time]\""),
    (r#"PostgreSQL \d[^\n"]*"#, "PostgreSQL [version]"),
    (r"system identifier \d+", "system identifier [number]"),
    (r"pid \d+", "pid [number]"),
    (r"[-+]?\d+\.\d s from", "[number] s from"),
    (
        r"\d+ of \d+ connections are in use, \d+",
        "[number] of [number] connections are in use, [number]",
    ),
    (r"for \d+ s|ago \d+ s|\d+ s ago|\d+\.\d MB|\d+ days", "[amount]"),
];

/// Ends of the keys of numbers that are a matter of time, of the machine, or of what else its server did.
const BY_CHANCE: [&str; 4] = ["duration_ms", "_age_s", "bytes", "pid"];

/// Takes a snapshot, with what differs between any two runs in its place.
fn assert_kept(database: &Database, name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("contract/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(database.name(), "[database]");
    for (looks_like, is) in CHANCE {
        settings.add_filter(looks_like, is);
    }
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// JSON for a snapshot.
fn pretty(mut value: Value) -> String {
    steady(&mut value);
    serde_json::to_string_pretty(&value).unwrap()
}

/// Whether it is a number, or would be if there were one.
fn is_amount(value: &Value) -> bool {
    value.is_number() || value.is_null()
}

fn steady(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(steady),
        Value::Object(fields) => {
            for (key, value) in fields {
                if is_amount(value) && !key.starts_with("max_") && BY_CHANCE.iter().any(|end| key.ends_with(end)) {
                    *value = Value::from("[number]");
                } else {
                    steady(value);
                }
            }
        }
        _ => {}
    }
}
