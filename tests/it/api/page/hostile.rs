//! Names, payloads and answers come from strangers.

use super::{Api, Database, eventd_ok, token};

const SCRIPT: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u{202e}txt.exe";

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_name_a_payload_or_an_answer_holds_stays_text_on_every_page() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let client = database.admin_client().await;
    client
        .execute(
            "insert into mcp_event_subscription (model, event_type, name, connection, domain, webhook_url, state, error, failure_count, failures_in_a_row)
             values ('sale.order', 'write', $1, $1, '[]', 'http://127.0.0.1:9/?' || $1, 'invalid', $1, 1, 1)",
            &[&SCRIPT],
        )
        .await
        .unwrap();
    client
        .execute(
            "insert into mcp_webhook_delivery (delivery_id, subscription_id, event_id, model, record_ids, attempt, status, response_code, payload,
                                               response_body, error, error_detail, finished_at)
             values ('00000000-0000-0000-0000-000000000001', 1, '00000000-0000-0000-0000-000000000002', $1, '{1}', 1, 'failed', 500,
                     jsonb_build_object('records', jsonb_build_array(jsonb_build_object('id', 1, 'values', jsonb_build_object($1::text, $1::text),
                                        'old', jsonb_build_object($1::text, $1::text))))::text, $1, $1, $1, now() at time zone 'utc')",
            &[&SCRIPT],
        )
        .await
        .unwrap();
    client
        .execute(
            "update ir_model set name = to_jsonb($1::text) where model = 'sale.order'",
            &[&SCRIPT],
        )
        .await
        .ok();
    let admin = token(&database, "admin", "admin", &[]).await;
    let mut visitor = api.visitor(&admin).await;
    let q = super::encoded(SCRIPT);
    for path in [
        "/subscriptions".to_owned(),
        "/subscriptions/1".to_owned(),
        "/subscriptions/1/history".to_owned(),
        "/deliveries".to_owned(),
        "/deliveries/00000000-0000-0000-0000-000000000001".to_owned(),
        "/health".to_owned(),
        "/dashboard".to_owned(),
        format!("/subscriptions?q={q}&domain={q}&order={q}&cursor={q}&from={q}"),
        format!("/deliveries?record={q}&model={q}&q={q}&since={q}"),
        format!("/dashboard?tz={q}&days={q}"),
        format!("/subscriptions/new?q={q}"),
        format!("/login?to={q}&link={q}"),
        format!("/subscriptions/new?model=sale.order&name={q}&domain={q}&webhook_payload_template={q}&headers={q}"),
    ] {
        let page = visitor.page(&path).await;
        for raw in ["<script>alert", "<img src=x", "\"'>"] {
            assert!(!page.contains(raw), "{path}: {raw}");
        }
        let answer = visitor.get(&path).await;
        assert_eq!(
            answer.header("content-security-policy"),
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'",
            "{path}"
        );
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        for inline in [" style=\"", "<style", " onclick", "javascript:"] {
            assert!(!page.contains(inline), "{path}: {inline}");
        }
    }
    let posted = visitor
        .post(
            "/subscriptions/1",
            &[
                ("action", "save"),
                ("name", SCRIPT),
                ("domain", SCRIPT),
                ("headers", SCRIPT),
            ],
        )
        .await;
    assert_eq!(posted.status, 422);
    assert!(!posted.text.contains("<script>alert"));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_on_no_page() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let admin = token(&database, "admin", "admin", &[]).await;
    let id = api
        .subscribe(
            &admin,
            serde_json::json!({"model": "sale.order", "event_type": "write", "webhook_url": "http://127.0.0.1:9/hook?key=hidden-in-query",
                               "webhook_secret": "hidden-secret-hidden-secret", "auth": "bearer hidden-credential",
                               "headers": {"X-Api-Key": "hidden-header"}}),
        )
        .await;
    let visitor = api.visitor(&admin).await;
    for path in [
        format!("/subscriptions/{id}"),
        format!("/subscriptions/{id}/history"),
        "/subscriptions".to_owned(),
    ] {
        let page = visitor.page(&path).await;
        assert!(!page.contains("hidden-"), "{path}");
    }
    let form = visitor.page(&format!("/subscriptions/{id}")).await;
    assert!(form.contains("X-Api-Key: ***") && form.contains("keep the one that is there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_that_no_page_sends_are_refused_and_break_nothing() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let admin = token(&database, "admin", "admin", &[]).await;
    let mut visitor = api.visitor(&admin).await;
    eventd_ok(&database.url(), &["status"]).await;
    for (path, fields, status) in [
        (
            "/subscriptions/new",
            &[("action", "save"), ("model", "no.model")][..],
            404,
        ),
        (
            "/subscriptions/new",
            &[("action", "explode"), ("model", "sale.order")],
            400,
        ),
        ("/subscriptions/1", &[("action", "save")], 404),
        ("/subscriptions/99999999999", &[("action", "save")], 404),
        ("/subscriptions/1/do", &[("action", "explode")], 400),
        ("/deliveries/x/redeliver", &[], 404),
        ("/deliveries/redeliver", &[("since", "soon")], 400),
        ("/deliveries/redeliver", &[("subscription", "99999999999")], 400),
    ] {
        let answer = visitor.post(path, fields).await;
        assert_eq!(answer.status.as_u16(), status, "{path} {fields:?}: {}", answer.text);
        assert!(answer.text.contains("<h1>"), "{path}: a page says what is wrong");
    }
    let json = [
        ("content-type", "application/json"),
        ("cookie", visitor.cookie.as_str()),
        ("sec-fetch-site", "same-origin"),
    ];
    let answer = api
        .ask_with("", "POST", "/subscriptions/bulk", &json, Some(serde_json::json!({})))
        .await;
    assert_eq!(answer.status, 400);
    let large = "x".repeat(2 * 1024 * 1024);
    assert_eq!(
        visitor.post_plain("/login", &[("token", &large)], &[]).await.status,
        413
    );
    for path in ["/assets/nothing", "/assets/..%2fmod.rs"] {
        assert_eq!(visitor.get(path).await.status, 404, "{path}");
    }
}
