//! `Idempotency-Key`: what comes again is answered again, and not done again.

use serde_json::json;

use super::{Answer, Api, EVERYTHING, orders, token};
use crate::support::Database;

const LIST: &str = "/api/v1/subscriptions";

async fn post(api: &Api, token: &str, key: &str, body: serde_json::Value) -> Answer {
    api.ask_with(token, "POST", LIST, &[("idempotency-key", key)], Some(body))
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_with_one_key_make_one_row() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let other = Api::beside(&database, &[]).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let many = (0..20).map(|n| post(if n % 2 == 0 { &api } else { &other }, &anna, "one", orders()));
    let answers = futures_util::future::join_all(many).await;
    assert!(answers.iter().any(|answer| answer.status == 201));
    for answer in &answers {
        assert!([201, 409].contains(&answer.status.as_u16()), "{}", answer.text);
        if answer.status == 409 {
            assert!(!answer.header("retry-after").is_empty());
        }
    }
    assert_eq!(database.psql("select count(*) from mcp_event_subscription").await, "1");
    let first = post(&api, &anna, "one", orders()).await;
    assert_eq!(
        (first.status.as_u16(), first.header("idempotent-replayed")),
        (201, "true")
    );
    // The same answer, whatever became of it since.
    let id = first.json()["id"].clone();
    api.ask(
        &anna,
        "PATCH",
        &format!("{LIST}/{id}"),
        Some(json!({"name": "changed"})),
    )
    .await;
    let again = post(&other, &anna, "one", orders()).await;
    assert_eq!(
        (again.text, again.headers.get("etag")),
        (first.text.clone(), first.headers.get("etag"))
    );
    assert_eq!(again.headers.get("location"), first.headers.get("location"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_of_one_token_and_one_request_and_free_where_nothing_was_done() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let bert = token(&database, "bert", EVERYTHING, &[]).await;
    let mut wrong = orders();
    wrong["model"] = json!("sale.odor");
    assert_eq!(post(&api, &anna, "k", wrong).await.status, 422);
    assert_eq!(post(&api, &anna, "k", orders()).await.status, 201);
    let mut other = orders();
    other["name"] = json!("another");
    let refused = post(&api, &anna, "k", other).await;
    assert_eq!(
        (refused.status.as_u16(), refused.pointers()),
        (422, vec!["header:idempotency-key".to_owned()])
    );
    assert_eq!(post(&api, &bert, "k", orders()).await.status, 201);
    assert_eq!(post(&api, &anna, "", orders()).await.status, 400);
    assert_eq!(post(&api, &anna, &"k".repeat(256), orders()).await.status, 400);
    assert_eq!(database.psql("select count(*) from mcp_event_subscription").await, "2");
    // A process that died after it had made something and before it answered has made it all the same.
    database
        .psql("update odoo_eventd.answered_request set answer = null where token_id = 1")
        .await;
    let told = post(&api, &anna, "k", orders()).await;
    assert_eq!((told.status.as_u16(), told.json()["id"].as_i64()), (201, Some(1)));
    // One that died before has made nothing; its claim lasts as long as a request may.
    database
        .psql("update odoo_eventd.answered_request set subscription_id = null where token_id = 1")
        .await;
    assert_eq!(post(&api, &anna, "k", orders()).await.status, 409);
    database
        .psql("update odoo_eventd.answered_request set claimed_at = now() - interval '3 minutes' where token_id = 1")
        .await;
    assert_eq!(post(&api, &anna, "k", orders()).await.json()["id"], 3);
    // After a day a key is forgotten.
    database
        .psql("update odoo_eventd.answered_request set claimed_at = now() - interval '25 hours'")
        .await;
    assert_eq!(post(&api, &anna, "other", orders()).await.status, 201);
    assert_eq!(
        database
            .psql("select string_agg(key, ',') from odoo_eventd.answered_request")
            .await,
        "other"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stays_with_what_was_made_whatever_failed_afterwards_and_with_who_claimed_it_last() {
    let database = Database::fixture().await;
    crate::support::service::eventd_ok(&database.url(), &["install"]).await;
    let claim = async |key: &str| {
        let sql = format!(
            "select outcome || ' ' || coalesce(subscription_id, 0) from odoo_eventd.claim_request(1, '{key}', 'x')"
        );
        database.psql(&sql).await
    };
    let claimed_at = async |key: &str| {
        let sql = format!("select claimed_at from odoo_eventd.answered_request where key = '{key}'");
        database.psql(&sql).await
    };
    let make = |key: &str, at: &str| {
        format!(
            "select odoo_eventd.made_by_request(1, '{key}', '{at}', odoo_eventd.add_subscription('{{}}', \
             '{{\"model\": \"sale.order\", \"webhook_url\": \"http://127.0.0.1:9/\"}}'))"
        )
    };
    assert_eq!(claim("made").await, "claimed 0");
    let at = claimed_at("made").await;
    let id = database.psql(&make("made", &at)).await;
    // Reading the row failed: it is there all the same.
    database
        .psql(&format!("select odoo_eventd.settle_request(1, 'made', '{at}', null)"))
        .await;
    assert_eq!(claim("made").await, format!("answered {id}"));
    // It was refused and taken back: the key is free.
    database
        .psql(&format!("select odoo_eventd.remove_subscription({id})"))
        .await;
    database
        .psql(&format!("select odoo_eventd.settle_request(1, 'made', '{at}', null)"))
        .await;
    assert_eq!(claim("made").await, "claimed 0");

    assert_eq!(claim("late").await, "claimed 0");
    let first = claimed_at("late").await;
    let earlier =
        "update odoo_eventd.answered_request set claimed_at = claimed_at - interval '3 minutes' where key = 'late'";
    database.psql(earlier).await;
    assert_eq!(claim("late").await, "claimed 0");
    let second = claimed_at("late").await;
    let id = database.psql(&make("late", &second)).await;
    // The first comes late: it makes nothing and frees nothing.
    assert!(database.try_psql(&make("late", &first)).await.is_err());
    database
        .psql(&format!(
            "select odoo_eventd.settle_request(1, 'late', '{first}', null)"
        ))
        .await;
    assert_eq!(claim("late").await, format!("answered {id}"));
    assert_eq!(database.psql("select count(*) from mcp_event_subscription").await, "1");

    // After 24 hours it is free, also behind others that nobody has forgotten yet.
    let old = "insert into odoo_eventd.answered_request (token_id, key, digest, claimed_at)
                 select 1, 'old' || n, 'x', now() - interval '3 days' from generate_series(1, 200) n;
               update odoo_eventd.answered_request set claimed_at = now() - interval '25 hours' where key = 'late'";
    database.psql(old).await;
    assert_eq!(claim("late").await, "claimed 0");
}
