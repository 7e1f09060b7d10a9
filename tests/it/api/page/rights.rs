//! Scopes decide which buttons there are, and the server decides again.

use serde_json::json;

use super::{Api, Database, EVERYTHING, encoded, orders, token};

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_read_sees_no_button_and_is_refused_what_a_button_would_do() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let admin = token(&database, "admin", "admin", &[]).await;
    let reader = token(
        &database,
        "reader",
        "subscriptions:read,deliveries:read",
        &["--user", "2"],
    )
    .await;
    let mut draft = orders();
    draft["user_id"] = json!(2);
    let id = api.subscribe(&admin, draft).await;
    let mut visitor = api.visitor(&reader).await;
    let list = visitor.page("/subscriptions").await;
    assert!(list.contains(&format!("data-id=\"{id}\"")), "{list}");
    let form = visitor.page(&format!("/subscriptions/{id}")).await;
    let deliveries = visitor.page("/deliveries?dead=1").await;
    for (page, what) in [(&list, "list"), (&form, "form"), (&deliveries, "deliveries")] {
        for button in [
            "value=\"activate\"",
            "value=\"deactivate\"",
            "value=\"test\"",
            "/subscriptions/new\"",
            "Redeliver",
        ] {
            assert!(!page.contains(button), "{what} has {button}");
        }
    }
    assert!(form.contains("<fieldset class=\"all\" disabled>"));
    let name = [("action", "save"), ("name", "mine"), ("version", "x")];
    for (path, fields) in [
        (format!("/subscriptions/{id}"), &name[..]),
        (format!("/subscriptions/{id}/do"), &[("action", "deactivate")]),
        (format!("/subscriptions/{id}/do"), &[("action", "delete")]),
        (format!("/subscriptions/{id}/do"), &[("action", "rotate")]),
        (format!("/subscriptions/{id}/do"), &[("action", "test")]),
        (
            "/subscriptions/bulk".to_owned(),
            &[("action", "deactivate"), ("ids", "1")],
        ),
        (
            "/subscriptions/new".to_owned(),
            &[("action", "save"), ("model", "sale.order")],
        ),
        ("/live/sample".to_owned(), &[("model", "sale.order")]),
        ("/deliveries/redeliver".to_owned(), &[("time", "all")]),
        (
            "/deliveries/00000000-0000-0000-0000-000000000001/redeliver".to_owned(),
            &[],
        ),
    ] {
        let answer = visitor.post(&path, fields).await;
        assert_eq!(answer.status, 403, "{path} {fields:?}: {}", answer.text);
    }
    for path in ["/subscriptions/new", "/deliveries/redeliver?time=all"] {
        assert_eq!(visitor.get(path).await.status, 403, "{path}");
    }
    let row = api
        .ask(&admin, "GET", &format!("/api/v1/subscriptions/{id}"), None)
        .await
        .json();
    assert_eq!((row["active"].clone(), row["name"].clone()), (json!(true), json!(null)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_somebody_elses_is_not_there() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let one = token(&database, "one", EVERYTHING, &[]).await;
    let other = token(&database, "other", EVERYTHING, &["--models", "res.partner"]).await;
    let id = api.subscribe(&one, orders()).await;
    let mut visitor = api.visitor(&other).await;
    assert!(visitor.page("/subscriptions").await.contains("No subscriptions yet"));
    for path in [
        format!("/subscriptions/{id}"),
        format!("/subscriptions/{id}/history"),
        "/subscriptions/999".to_owned(),
        "/subscriptions/x".to_owned(),
    ] {
        assert_eq!(visitor.get(&path).await.status, 404, "{path}");
    }
    assert_eq!(
        visitor
            .post(&format!("/subscriptions/{id}/do"), &[("action", "pause")])
            .await
            .status,
        404
    );
    assert!(!visitor.page("/subscriptions/new").await.contains("?model=sale.order"));
    assert_eq!(visitor.get("/subscriptions/new?model=sale.order").await.status, 404);
    let domain = visitor
        .get(&format!(
            "/live/domain?model=sale.order&domain={}",
            encoded("[('id', '>', 0)]")
        ))
        .await;
    assert_eq!(domain.json()["good"], false);
    // What is wrong with the installation is nobody's but the administrators'.
    assert!(visitor.page("/health").await.contains("tokens with the scope admin"));
    let none = token(&database, "none", "inbound", &[]).await;
    let visitor = api.visitor(&none).await;
    for path in ["/subscriptions", "/deliveries", "/dashboard", "/health"] {
        assert_eq!(visitor.get(path).await.status, 403, "{path}");
    }
}
