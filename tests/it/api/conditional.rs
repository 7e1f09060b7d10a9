//! What is done only to the version that was seen.

use serde_json::json;

use super::{Api, EVERYTHING, orders, token};
use crate::support::Database;

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_changes_to_one_version_one_is_done() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let id = api.subscribe(&anna, orders()).await;
    let at = format!("/api/v1/subscriptions/{id}");
    let seen = api.ask(&anna, "GET", &at, None).await.header("etag").to_owned();
    let patches = (0..50).map(|n| {
        let (api, anna, at, seen) = (&api, &anna, &at, &seen);
        async move {
            api.ask_with(
                anna,
                "PATCH",
                at,
                &[("if-match", seen)],
                Some(json!({"name": format!("{n}")})),
            )
            .await
        }
    });
    let answers = futures_util::future::join_all(patches).await;
    let done: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(done.len(), 1);
    let now = done[0].header("etag");
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        // Whoever had to wait for too long was told to come again.
        assert!(answer.status == 412 || answer.status == 503, "{}", answer.text);
        if answer.status == 412 {
            assert_eq!(answer.header("etag"), now);
        }
    }
    let history = database
        .psql("select count(*) from odoo_eventd.subscription_history where op = 'update'")
        .await;
    assert_eq!(history, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_is_kept_or_refused_and_bookkeeping_moves_no_version() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let id = api.subscribe(&anna, orders()).await;
    let at = format!("/api/v1/subscriptions/{id}");
    let tag = api.ask(&anna, "GET", &at, None).await.header("etag").to_owned();
    // What the service notes of deliveries is nobody's change.
    database
        .psql("begin; set local odoo_eventd.service_write = 'on';
               update mcp_event_subscription set failure_count = 7, last_delivery = now(), state = 'disabled', disabled_at = now(); commit")
        .await;
    let read = async |condition: &str| {
        let answer = api
            .ask_with(&anna, "GET", &at, &[("if-none-match", condition)], None)
            .await;
        (answer.status.as_u16(), answer.text)
    };
    assert_eq!(read(&tag).await, (304, String::new()));
    assert_eq!(read("\"other\", W/\"x\"").await.0, 200);
    assert_eq!(read("*").await.0, 304);
    assert_eq!(read("nonsense").await.0, 400);
    let patch = async |condition: &str| {
        let change = Some(json!({"paused": true}));
        api.ask_with(&anna, "PATCH", &at, &[("if-match", condition)], change)
            .await
    };
    for wrong in ["\"other\"", "\"one\", \"two\"", &format!("W/{tag}"), ""] {
        let answer = patch(wrong).await;
        assert_eq!(answer.status, 412, "{wrong}: {}", answer.text);
        assert_eq!(answer.header("etag"), tag, "{wrong}");
    }
    assert_eq!(patch("nonsense").await.status, 400);
    let done = patch(&format!("\"other\", {tag}")).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(patch(&tag).await.status, 412);
    let delete = async |condition: &str| {
        api.ask_with(&anna, "DELETE", &at, &[("if-match", condition)], None)
            .await
            .status
            .as_u16()
    };
    assert_eq!(delete(&tag).await, 412);
    assert_eq!(delete("*").await, 204);
    assert_eq!(delete("*").await, 404);
}
