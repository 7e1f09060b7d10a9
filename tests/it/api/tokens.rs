//! Tokens: who comes in, until when, and what is kept of it.

use serde_json::{Value, json};

use super::{Api, EVERYTHING, orders, token};
use crate::support::service::{SOON, eventd, eventd_ok};
use crate::support::{Database, eventually};

const LIST: &str = "/api/v1/subscriptions";

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_without_a_token_and_whoever_brings_a_wrong_one_is_told_so() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let right = token(&database, "anna", EVERYTHING, &[]).await;
    assert!(right.starts_with("oet_") && right.len() == 47, "{right}");
    assert_eq!(api.ask(&right, "GET", LIST, None).await.status, 200);
    let wrong_one = format!("oet_{}", "A".repeat(43));
    for wrong in ["", "x", "oet_", &right[..46], &wrong_one] {
        let answer = api.ask(wrong, "GET", LIST, None).await;
        assert_eq!(answer.status, 401, "{wrong}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{wrong}");
        assert!(answer.pointers().is_empty());
    }
    let basic = [("authorization", "Basic YTpi")];
    assert_eq!(api.ask_with("", "GET", LIST, &basic, None).await.status, 401);
    // Whoever brings wrong ones shuts nobody out.
    let strangers = (0..50).map(|_| api.ask("oet_wrong", "GET", LIST, None));
    let (strangers, anna) = tokio::join!(
        futures_util::future::join_all(strangers),
        api.ask(&right, "GET", LIST, None)
    );
    assert!(strangers.iter().all(|answer| answer.status == 401));
    assert_eq!(anna.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_told_once_and_who_made_and_revoked_it_is_kept() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let created = eventd(
        &database.url(),
        &[
            "token",
            "create",
            "--name",
            "anna",
            "--scope",
            "admin",
            "--user",
            "mira@meridian.example",
        ],
    )
    .await;
    let (secret, said) = (
        String::from_utf8(created.stdout).unwrap(),
        String::from_utf8(created.stderr).unwrap(),
    );
    assert!(said.contains("record rules do not apply"), "{said}");
    for refused in [
        &["--name", "anna", "--scope", "admin"][..],
        &["--name", "b", "--scope", "everything"],
        &["--name", "b", "--scope", "admin", "--user", "nobody@example.com"],
        &["--name", "b", "--scope", "admin", "--models", "sale.odor"],
        &["--name", "b", "--scope", "admin", "--expires", "soon"],
        &["--name", " ", "--scope", "admin"],
    ] {
        let output = eventd(&database.url(), &[&["token", "create"], refused].concat()).await;
        assert_eq!(output.status.code(), Some(2), "{refused:?}");
        assert!(output.stdout.is_empty());
    }
    eventd_ok(&database.url(), &["token", "revoke", "1"]).await;
    assert_eq!(
        eventd(&database.url(), &["token", "revoke", "9"]).await.status.code(),
        Some(2)
    );
    // The name is free again.
    eventd_ok(
        &database.url(),
        &["token", "create", "--name", "anna", "--scope", "admin"],
    )
    .await;
    let listed = eventd_ok(&database.url(), &["token", "list", "--json"]).await;
    assert!(
        !listed.contains(secret.trim()) && !listed.contains("digest"),
        "{listed}"
    );
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["user_id"], 5);
    assert_eq!(listed[0]["created_by"], "odoo");
    assert_eq!(listed[0]["revoked_by"], "odoo");
    assert_eq!(listed[1]["revoked_at"], Value::Null);
    let kept = database
        .psql("select count(*) from odoo_eventd.token t where t::text like '%oet_%'")
        .await;
    assert_eq!(kept, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_and_one_whose_time_is_over_let_nobody_in_at_any_instance() {
    let database = Database::fixture().await;
    let one = Api::of(&database).await;
    let other = Api::beside(&database, &[]).await;
    let (revoked, expired) = (
        token(&database, "a", "admin", &[]).await,
        token(&database, "b", "admin", &["--expires", "1h"]).await,
    );
    for token in [&revoked, &expired] {
        assert_eq!(one.ask(token, "GET", LIST, None).await.status, 200);
        assert_eq!(other.ask(token, "GET", LIST, None).await.status, 200);
    }
    eventd_ok(&database.url(), &["token", "revoke", "1"]).await;
    database
        .psql("update odoo_eventd.token set expires_at = now() where id = 2")
        .await;
    // What an instance has read of tokens is good for less than a second: so long after it nobody is let in any more.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    for api in [&one, &other] {
        for token in [&revoked, &expired] {
            assert_eq!(api.ask(token, "GET", LIST, None).await.status, 401);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_use_is_noted_and_what_is_made_is_made_through_the_tokens_name() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let anna = token(&database, "anna", EVERYTHING, &["--user", "mira@meridian.example"]).await;
    let id = api.subscribe(&anna, orders()).await;
    let made = api.ask(&anna, "GET", &format!("{LIST}/{id}"), None).await.json();
    assert_eq!(made["connection"], "anna");
    assert_eq!(made["user_id"], 5);
    assert_eq!(made["created_from"], "manual");
    let history = api
        .ask(&anna, "GET", &format!("{LIST}/{id}/history"), None)
        .await
        .json();
    assert_eq!(history["items"][0]["application"], "odoo-eventd: anna");
    assert_eq!(history["items"][0]["odoo_uid"], 5);
    eventually("the use to be noted", SOON, async || {
        api.ask(&anna, "GET", LIST, None).await;
        let noted = database
            .psql("select last_used_at is not null from odoo_eventd.token")
            .await;
        (noted == "t").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_fast_is_told_when_to_come_again() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let api = Api::beside(&database, &["--api-requests-per-second", "2"]).await;
    let (fast, other) = (
        token(&database, "fast", "admin", &[]).await,
        token(&database, "other", "admin", &[]).await,
    );
    let answers = futures_util::future::join_all((0..20).map(|_| api.ask(&fast, "GET", LIST, None))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(refused.len() > 5, "{}", refused.len());
    assert!(
        refused
            .iter()
            .all(|answer| answer.header("retry-after").parse::<u64>().unwrap() >= 1)
    );
    assert_eq!(api.ask(&other, "GET", LIST, None).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_sees_its_own_and_an_admin_everybodys() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let bert = token(&database, "bert", EVERYTHING, &[]).await;
    let admin = token(&database, "admin", "admin", &[]).await;
    let id = api.subscribe(&anna, orders()).await;
    let foreign = api.ask(&bert, "GET", &format!("{LIST}/{id}"), None).await;
    let missing = api.ask(&bert, "GET", &format!("{LIST}/4711"), None).await;
    assert_eq!(
        (foreign.status, missing.status),
        (404.try_into().unwrap(), 404.try_into().unwrap())
    );
    assert_eq!(
        foreign.json()["detail"],
        json!(format!("there is no subscription {id}"))
    );
    assert_eq!(
        api.ask(&bert, "GET", "/api/v1/subscriptions/count", None).await.json(),
        json!({"count": 0})
    );
    assert_eq!(
        api.ask(&admin, "GET", "/api/v1/subscriptions/count", None).await.json(),
        json!({"count": 1})
    );
}
