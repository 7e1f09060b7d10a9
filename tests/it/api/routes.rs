//! The document and the routes are the same, and hold for everybody alike.

use serde_json::{Value, json};

use super::{Api, EVERYTHING, orders, token};
use crate::support::Database;

const METHODS: [&str; 7] = ["GET", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE"];

/// Path and methods of the document, in capitals.
fn documented(document: &Value) -> Vec<(String, Vec<String>)> {
    let paths = document["paths"].as_object().unwrap();
    let methods = |item: &Value| {
        let methods = item.as_object().unwrap().keys();
        methods
            .filter(|key| *key != "parameters")
            .map(|key| key.to_ascii_uppercase())
            .collect()
    };
    paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

/// A path of the document with something in the place of its variables.
fn filled(path: &str) -> String {
    path.replace("{id}", "1")
        .replace("{delivery_id}", "0b1dfc3a-9d5c-4a4e-8f0e-111111111111")
        .replace("{model}", "sale.order")
}

/// A body that an operation takes.
fn body_of(method: &str, path: &str) -> Option<Value> {
    Some(match (method, path) {
        ("POST", "/api/v1/subscriptions") => orders(),
        ("PATCH", "/api/v1/subscriptions") => json!({"ids": [1], "set": {"name": "x"}}),
        ("PATCH", _) => json!({"name": "x"}),
        ("POST", "/api/v1/subscriptions/delete") => json!({"ids": [1]}),
        ("POST", "/api/v1/deliveries/redeliver") => json!({"filter": {"since": "2026-01-01T00:00:00Z"}}),
        ("POST", "/api/v1/domains/check") => json!({"model": "sale.order", "domain": "[]"}),
        _ => return None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_documented_route_is_there_and_no_other_method_is() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let admin = token(&database, "admin", "admin", &[]).await;
    let document = api.document().await;
    assert_eq!(document["openapi"], "3.1.0");
    let documented = documented(&document);
    assert!(documented.len() > 20, "{documented:?}");
    for (path, methods) in &documented {
        for method in METHODS {
            let answer = api.ask(&admin, method, &filled(path), body_of(method, path)).await;
            if methods.iter().any(|known| known == method) {
                assert_ne!(answer.status, 405, "{method} {path}");
                // Nothing of the router's own: whatever is missing is named.
                assert!(
                    path == "/api/v1/openapi.json" || !answer.text.contains("openapi.json\""),
                    "{method} {path}: {}",
                    answer.text
                );
            } else {
                assert_eq!(answer.status, 405, "{method} {path}");
                let allowed: Vec<&str> = answer
                    .header("allow")
                    .split(',')
                    .filter(|allowed| *allowed != "HEAD")
                    .collect();
                assert_eq!(allowed.len(), methods.len(), "{path}: {allowed:?} and {methods:?}");
                assert!(
                    methods.iter().all(|method| allowed.contains(&method.as_str())),
                    "{path}: {allowed:?}"
                );
                answer.pointers();
            }
        }
    }
    for nowhere in [
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/tokens",
        "/api/v1/subscriptions/",
        "/restapi/1.0",
        "/d/other/api/v1/models",
    ] {
        let answer = api.ask(&admin, "GET", nowhere, None).await;
        assert_eq!(answer.status, 404, "{nowhere}");
        answer.pointers();
    }
}

#[test]
fn every_route_is_made_with_its_documentation() {
    // What is routed past the document would be in a file that says `.route(`.
    let mut folders = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/api"
    ))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // Pages are for people, and are in no document.
                if !path.ends_with("page") {
                    folders.push(path);
                }
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                assert!(
                    !text.contains(".route(") && !text.contains(".nest_service("),
                    "{}",
                    path.display()
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_only_read_is_refused_at_every_write_and_none_at_everything() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let reader = token(
        &database,
        "reader",
        "subscriptions:read,deliveries:read,events:read",
        &[],
    )
    .await;
    api.subscribe(&anna, orders()).await;
    let document = api.document().await;
    let mut writes = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_ascii_uppercase();
            let scopes = operation["security"][0]["token"].as_array();
            if path == "/api/v1/openapi.json" {
                continue;
            }
            let scope = scopes.unwrap_or_else(|| panic!("{method} {path} names no scope"))[0]
                .as_str()
                .unwrap();
            let nobody = api.ask("", &method, &filled(path), body_of(&method, path)).await;
            assert_eq!(nobody.status, 401, "{method} {path}");
            if ["subscriptions:write", "deliveries:redeliver"].contains(&scope) {
                writes += 1;
                // Whatever is sent: who may not is told so, and nothing else.
                for body in [body_of(&method, path), Some(json!({"nonsense": 1})), None] {
                    let answer = api.ask(&reader, &method, &filled(path), body).await;
                    assert_eq!(answer.status, 403, "{method} {path}: {}", answer.text);
                }
            } else {
                let answer = api.ask(&reader, &method, &filled(path), body_of(&method, path)).await;
                assert_ne!(answer.status, 403, "{method} {path}");
            }
        }
    }
    assert!(writes >= 15, "{writes}");
    assert_eq!(database.psql("select count(*) from mcp_event_subscription").await, "1");
    // Each scope opens what it is for, and nothing else.
    let deliveries = token(&database, "deliveries", "deliveries:read", &[]).await;
    assert_eq!(
        api.ask(&deliveries, "GET", "/api/v1/deliveries", None).await.status,
        200
    );
    assert_eq!(
        api.ask(&deliveries, "GET", "/api/v1/subscriptions", None).await.status,
        403
    );
}
