//! What models are told of the tools, word by word, and that every model's API takes it.

use serde_json::{Value, json};

use super::{Client, Home};

/// What somebody's API refuses.
fn faults(place: &str, schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                let here = format!("{place}/{key}");
                if ["$ref", "$defs", "definitions", "oneOf", "anyOf", "allOf", "not"].contains(&key.as_str()) {
                    found.push(format!("{here}: not every API takes it"));
                }
                if key == "type" && !value.is_string() {
                    found.push(format!("{here} is {value}: one type is taken"));
                }
                if key == "default" || value.is_null() {
                    found.push(format!("{here} is {value}"));
                }
                faults(&here, value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| faults(place, item, found)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_are_such_as_gemini_openai_and_anthropic_take() {
    let home = Home::new().await;
    for client in [home.client(), Client::with_session(&home.api, &home.token).await] {
        let tools = client.result("tools/list", json!({})).await["tools"]
            .as_array()
            .unwrap()
            .clone();
        assert!((6..=7).contains(&tools.len()));
        for tool in tools {
            let schema = &tool["inputSchema"];
            let mut found = Vec::new();
            faults("", schema, &mut found);
            assert_eq!(found, Vec::<String>::new(), "{}", tool["name"]);
            assert_eq!(schema["type"], "object");
            let properties = schema["properties"].as_object().unwrap();
            for name in schema["required"].as_array().into_iter().flatten() {
                assert!(properties.contains_key(name.as_str().unwrap()));
            }
            for (name, property) in properties {
                assert!(
                    property["description"].as_str().is_some_and(|text| text.len() > 10),
                    "{name}"
                );
                assert!(name.len() <= 64 && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            }
            let description = tool["description"].as_str().unwrap();
            assert!(description.len() < 2_048, "{}: {}", tool["name"], description.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_models_are_told_is_kept() {
    let home = Home::new().await;
    let client = home.client();
    let tools = client.result("tools/list", json!({})).await["tools"].clone();
    let discovered = client.result("server/discover", json!({})).await;
    let told = serde_json::to_string_pretty(&json!({"discovered": discovered, "tools": tools})).unwrap();
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(&regex_of_version(), "[version]");
    settings.bind(|| insta::assert_snapshot!("told", told));
}

fn regex_of_version() -> String {
    format!("\"{}\"", env!("CARGO_PKG_VERSION").replace('.', "\\."))
}
