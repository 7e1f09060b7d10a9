//! A token for some models never meets another one.

use serde_json::json;

use super::{Api, EVERYTHING, orders, token};
use crate::support::Database;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_two_models_sees_no_third_in_any_list_count_or_error() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let admin = token(&database, "admin", "admin", &[]).await;
    let bound = token(
        &database,
        "bound",
        &format!("{EVERYTHING},admin"),
        &["--models", "sale.order,res.partner"],
    )
    .await;
    api.subscribe(&admin, orders()).await;
    let hidden = api
        .subscribe(
            &admin,
            json!({"model": "project.task", "webhook_url": "http://127.0.0.1:9/"}),
        )
        .await;
    database
        .psql(
            "insert into mcp_webhook_delivery (delivery_id, subscription_id, event_id, model, record_ids, attempt, status)
             select gen_random_uuid(), s.id, gen_random_uuid(), s.model, '{1}', 1, 'failed' from mcp_event_subscription s",
        )
        .await;
    let delivery = database
        .psql("select delivery_id from mcp_webhook_delivery where model = 'project.task'")
        .await;
    let models = api.ask(&bound, "GET", "/api/v1/models", None).await.json();
    let names: Vec<&str> = models["models"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["model"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["res.partner", "sale.order"]);
    for path in [
        "/api/v1/subscriptions",
        "/api/v1/deliveries",
        "/restapi/1.0/webhooks",
        "/api/v1/subscriptions?q=task",
    ] {
        let seen = api.ask(&bound, "GET", path, None).await;
        assert_eq!(seen.status, 200, "{path}");
        assert!(!seen.text.contains("project"), "{path}: {}", seen.text);
        let all = api.ask(&admin, "GET", path, None).await;
        assert!(all.text.contains("project.task"), "{path}: {}", all.text);
    }
    for path in ["/api/v1/subscriptions/count", "/restapi/1.0/webhooks/count"] {
        assert_eq!(api.ask(&bound, "GET", path, None).await.json()["count"], 1, "{path}");
        assert_eq!(api.ask(&admin, "GET", path, None).await.json()["count"], 2, "{path}");
    }
    // What is hidden is answered as what is not there.
    for (method, there, nowhere, body) in [
        (
            "GET",
            format!("/api/v1/subscriptions/{hidden}"),
            "/api/v1/subscriptions/4711",
            None,
        ),
        (
            "PATCH",
            format!("/api/v1/subscriptions/{hidden}"),
            "/api/v1/subscriptions/4711",
            Some(json!({"name": "x"})),
        ),
        (
            "DELETE",
            format!("/api/v1/subscriptions/{hidden}"),
            "/api/v1/subscriptions/4711",
            None,
        ),
        (
            "POST",
            format!("/api/v1/subscriptions/{hidden}/test"),
            "/api/v1/subscriptions/4711/test",
            None,
        ),
        (
            "POST",
            format!("/api/v1/subscriptions/{hidden}/rotate-secret"),
            "/api/v1/subscriptions/4711/rotate-secret",
            None,
        ),
        (
            "GET",
            format!("/restapi/1.0/webhooks/{hidden}"),
            "/restapi/1.0/webhooks/4711",
            None,
        ),
        (
            "GET",
            "/api/v1/models/project.task/fields".to_owned(),
            "/api/v1/models/no.such/fields",
            None,
        ),
        (
            "GET",
            format!("/api/v1/deliveries/{delivery}"),
            "/api/v1/deliveries/0b1dfc3a-9d5c-4a4e-8f0e-111111111111",
            None,
        ),
    ] {
        let (one, other) = (
            api.ask(&bound, method, &there, body.clone()).await,
            api.ask(&bound, method, nowhere, body).await,
        );
        assert_eq!(
            (one.status.as_u16(), other.status.as_u16()),
            (404, 404),
            "{method} {there}: {}",
            one.text
        );
    }
    let history = api
        .ask(&bound, "GET", &format!("/api/v1/subscriptions/{hidden}/history"), None)
        .await;
    assert!(
        history.status == 404 || history.json()["items"] == json!([]),
        "{}",
        history.text
    );
    for (path, body) in [
        ("/api/v1/subscriptions", json!({"model": "project.task"})),
        (
            "/api/v1/subscriptions",
            json!({"model": "sale.order", "payload_fields": ["order_line.name"]}),
        ),
        (
            "/api/v1/subscriptions",
            json!({"model": "sale.order", "domain": "[('order_line.name', '=', 'x')]"}),
        ),
        (
            "/api/v1/domains/check",
            json!({"model": "project.task", "domain": "[]"}),
        ),
    ] {
        let refused = api.ask(&bound, "POST", path, Some(body)).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
    }
    let bulk = api
        .ask(
            &bound,
            "PATCH",
            "/api/v1/subscriptions",
            Some(json!({"domain": "[]", "set": {"active": false}})),
        )
        .await;
    assert_eq!(bulk.json()["results"].as_array().unwrap().len(), 1);
    assert_eq!(
        database
            .psql("select active from mcp_event_subscription where model = 'project.task'")
            .await,
        "t"
    );
}
