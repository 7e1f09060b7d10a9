//! What a client was shown and writes back, and what it makes up, is answered in its own terms: nothing is lost by it, and no mistake of a
//! client is told as one of the service.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::{Api, EVERYTHING, encoded, orders, token};
use crate::support::Database;

const URL: &str = "https://hooks.example.com/services/T0/abcdef0123456789abcdef?key=secret";

async fn with_anna() -> (Database, Api, String) {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    (database, api, anna)
}

fn vals(text: &str) -> String {
    format!("vals={}", encoded(text))
}

async fn urls(database: &Database) -> String {
    let urls = "select string_agg(distinct webhook_url, ' ') from mcp_event_subscription";
    database.psql(urls).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_url_stands_for_the_one_that_is_there_at_whichever_door_it_is_written_back() {
    let (database, api, anna) = with_anna().await;
    let mut draft = orders();
    draft["webhook_url"] = json!(URL);
    let ids = [
        api.subscribe(&anna, draft.clone()).await,
        api.subscribe(&anna, draft).await,
    ];
    let shown = api
        .ask(&anna, "GET", &format!("/api/v1/subscriptions/{}", ids[0]), None)
        .await;
    let masked = shown.json()["webhook_url"].as_str().unwrap().to_owned();
    assert!(masked.contains("***") && !masked.contains("secret"), "{masked}");
    let one = format!("/restapi/1.0/webhooks/{}", ids[0]);
    let both = format!("/restapi/1.0/webhooks?ids={},{}", ids[0], ids[1]);
    let rename = vals(&format!("{{'name':'x','address':'{masked}'}}"));
    for (method, path, body) in [
        ("PUT", format!("{one}?{rename}"), None),
        ("PUT", format!("{both}&{rename}"), None),
        (
            "PATCH",
            format!("/api/v1/subscriptions/{}", ids[0]),
            Some(json!({"webhook_url": masked, "name": "y"})),
        ),
        (
            "PATCH",
            "/api/v1/subscriptions".to_owned(),
            Some(json!({"ids": ids, "set": {"webhook_url": masked, "name": "z"}})),
        ),
        (
            "PATCH",
            "/api/v1/subscriptions".to_owned(),
            Some(json!({"ids": ids, "set": {"webhook_url": masked}})),
        ),
    ] {
        let answer = api.ask(&anna, method, &path, body).await;
        assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text);
        assert!(!answer.text.contains("refused"), "{method} {path}: {}", answer.text);
        assert_eq!(urls(&database).await, URL, "{method} {path}");
    }
    let named = database.psql("select distinct name from mcp_event_subscription").await;
    assert_eq!(named, "z");
    // The mask of another one is no URL to send to; nor is one in a new row.
    let other = "https://hooks.example.com/other/***";
    let mut copied = orders();
    copied["webhook_url"] = json!(masked);
    let created = vals(&format!(
        "{{'name':'c','model':'sale.order','kind':'on_create','address':'{masked}'}}"
    ));
    for (method, path, body, status) in [
        (
            "PUT",
            format!("{one}?{}", vals(&format!("{{'address':'{other}'}}"))),
            None,
            403,
        ),
        (
            "PUT",
            format!("{both}&{}", vals(&format!("{{'address':'{other}'}}"))),
            None,
            403,
        ),
        ("POST", format!("/restapi/1.0/webhooks?{created}"), None, 403),
        ("POST", "/api/v1/subscriptions".to_owned(), Some(copied), 422),
        (
            "PATCH",
            format!("/api/v1/subscriptions/{}", ids[0]),
            Some(json!({"webhook_url": other})),
            422,
        ),
    ] {
        let answer = api.ask(&anna, method, &path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
    }
    let bulk = json!({"ids": [ids[0], 4711], "set": {"webhook_url": other}});
    let bulk = api
        .ask(&anna, "PATCH", "/api/v1/subscriptions", Some(bulk))
        .await
        .json();
    assert_eq!(bulk["results"][0]["outcome"], "refused", "{bulk}");
    assert_eq!(bulk["results"][1]["outcome"], "not_found", "{bulk}");
    assert_eq!(urls(&database).await, URL);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fits_a_domain_is_changed_by_who_may_only_write_and_while_it_fits() {
    let (database, api, anna) = with_anna().await;
    let writer = token(&database, "writer", "subscriptions:write", &[]).await;
    let kept = api.subscribe(&anna, orders()).await;
    let own = api.subscribe(&writer, orders()).await;
    let change = json!({"domain": "[('active', '=', True)]", "set": {"name": "written"}});
    let changed = api.ask(&writer, "PATCH", "/api/v1/subscriptions", Some(change)).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let results = changed.json()["results"].clone();
    assert_eq!(results.as_array().unwrap().len(), 1, "{results}");
    assert_eq!(
        (&results[0]["id"], &results[0]["outcome"]),
        (&json!(own), &json!("done"))
    );
    // Somebody has the row and changes it, while it is asked for what fits.
    let mut client = database.client().await;
    let held = client.transaction().await.unwrap();
    let id = i32::try_from(own).unwrap();
    held.execute(
        "update mcp_event_subscription set active = false, name = 'held' where id = $1",
        &[&id],
    )
    .await
    .unwrap();
    let delete = json!({"domain": "[('active', '=', True)]"});
    let deleted = api.ask(&writer, "POST", "/api/v1/subscriptions/delete", Some(delete));
    let release = async {
        let waiting = "select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock' and query like '%delete_subscriptions%'";
        crate::support::eventually("the delete to wait", crate::support::service::SOON, async || {
            (database.psql(waiting).await == "t").then_some(())
        })
        .await;
        held.commit().await.unwrap();
    };
    let (deleted, ()) = tokio::join!(deleted, release);
    assert_eq!(deleted.json()["results"][0]["outcome"], "conflict", "{}", deleted.text);
    let left = database
        .psql("select string_agg(id::text, ' ' order by id) from mcp_event_subscription")
        .await;
    assert_eq!(left, format!("{kept} {own}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_written_and_deleted_all_or_none() {
    let (database, api, anna) = with_anna().await;
    let one = api.subscribe(&anna, orders()).await;
    let two = api
        .subscribe(
            &anna,
            json!({"model": "res.partner", "event_type": "write", "webhook_url": "http://127.0.0.1:9/"}),
        )
        .await;
    let state =
        "select string_agg(concat_ws(' ', id, name, domain, fields), ', ' order by id) from mcp_event_subscription";
    let before = database.psql(state).await;
    // The first could be given that, and the other could not.
    let write = vals("{'name':'both','condition':[('client_order_ref','=','x')]}");
    for ids in [format!("{one},{two}"), format!("{two},{one}")] {
        let path = format!("/restapi/1.0/webhooks?ids={ids}&{write}");
        let refused = api.ask(&anna, "PUT", &path, None).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
        assert_eq!(database.psql(state).await, before, "{ids}");
    }
    let missing = api
        .ask(&anna, "DELETE", &format!("/restapi/1.0/webhooks?ids={one},4711"), None)
        .await;
    assert_eq!(missing.status, 404, "{}", missing.text);
    assert_eq!(database.psql(state).await, before);
    let both = format!("/restapi/1.0/webhooks?ids={one},{two}");
    let written = api
        .ask(&anna, "PUT", &format!("{both}&{}", vals("{'name':'both'}")), None)
        .await;
    assert_eq!(written.status, 200, "{}", written.text);
    assert_eq!(
        database
            .psql("select count(*) from mcp_event_subscription where name = 'both'")
            .await,
        "2"
    );
    assert_eq!(api.ask(&anna, "DELETE", &both, None).await.status, 200);
    assert_eq!(database.psql("select count(*) from mcp_event_subscription").await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_watches_what_another_door_has_chosen_until_it_is_said_what_it_sends() {
    let (database, api, anna) = with_anna().await;
    let native = api.subscribe(&anna, orders()).await;
    let fields = async |id: i64| {
        let asked = format!("select array_to_string(fields, ',') from mcp_event_subscription where id = {id}");
        database.psql(&asked).await
    };
    let put = async |id: i64, text: &str| {
        let path = format!("/restapi/1.0/webhooks/{id}?{}", vals(text));
        let answer = api.ask(&anna, "PUT", &path, None).await;
        assert_eq!(answer.status, 200, "{text}: {}", answer.text);
    };
    put(native, "{'kind':'on_write'}").await;
    assert_eq!(fields(native).await, "client_order_ref");
    put(native, "{'kind':'on_write','name':'x','format':'json'}").await;
    assert_eq!(fields(native).await, "client_order_ref");
    put(native, "{'fields':['partner_id.name','state','partner_id.email']}").await;
    assert_eq!(fields(native).await, "partner_id,state");
    // One that this API made goes on as it would have made it.
    put(native, "{'kind':'on_create'}").await;
    assert_eq!(fields(native).await, "");
    put(native, "{'kind':'on_write'}").await;
    assert_eq!(fields(native).await, "partner_id,state");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_media_type_that_means_something_else_is_not_taken() {
    let (_database, api, anna) = with_anna().await;
    let id = api.subscribe(&anna, orders()).await;
    let path = format!("/api/v1/subscriptions/{id}");
    let merge = [("content-type", "application/merge-patch+json")];
    let refused = api
        .ask_with(&anna, "PATCH", &path, &merge, Some(json!({"headers": {"X-Old": null}})))
        .await;
    assert_eq!(refused.status, 415, "{}", refused.text);
    assert!(!api.document().await.to_string().contains("merge-patch"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_delivery_is_told_once_and_others_only_as_far_as_they_fit() {
    let (database, api, anna) = with_anna().await;
    let id = api.subscribe(&anna, orders()).await;
    let delivery = "0b1dfc3a-9d5c-4a4e-8f0e-222222222222";
    // Of a hundred attempts sixty have the same body, and the others, the older ones, each another of a megabyte; the oldest is cleared.
    database
        .psql(&format!(
            "insert into mcp_webhook_delivery (delivery_id, subscription_id, event_id, model, record_ids, attempt, status, payload, create_date)
             select '{delivery}', {id}, '{delivery}', 'sale.order', '{{1}}', n, 'failed',
                    case when n = 1 then null when n > 40 then repeat('s', 1000000) else repeat('o', 1000000) || n end,
                    now() at time zone 'utc' + n * interval '1 ms'
               from generate_series(1, 100) n"
        ))
        .await;
    let told = api
        .ask(&anna, "GET", &format!("/api/v1/deliveries/{delivery}"), None)
        .await;
    assert_eq!(told.status, 200, "{}", &told.text[..told.text.len().min(500)]);
    assert!(told.text.len() < 20_000_000, "{}", told.text.len());
    let told = told.json();
    assert_eq!(told["payload"].as_str().unwrap().len(), 1_000_000);
    let attempts = told["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 100);
    let kinds = |kind: &str| attempts.iter().filter(|attempt| attempt["payload_is"] == kind).count();
    assert_eq!((kinds("cleared"), kinds("shared")), (1, 60));
    assert!(
        kinds("own") >= 10 && kinds("left_out") >= 10,
        "{} {}",
        kinds("own"),
        kinds("left_out")
    );
    for attempt in attempts {
        let number = attempt["attempt"].as_i64().unwrap();
        match attempt["payload_is"].as_str().unwrap() {
            // The newest of them come first.
            "own" => assert!(
                attempt["payload"].as_str().unwrap().ends_with(&format!("o{number}")),
                "{number}"
            ),
            _ => assert_eq!(attempt["payload"], Value::Null, "{number}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_that_somebody_made_up_are_refused_in_every_list() {
    let (database, api, anna) = with_anna().await;
    let admin = token(&database, "root", "admin", &[]).await;
    let id = api.subscribe(&anna, orders()).await;
    let order = json!({"by": "Id", "descending": false});
    let known = api.ask(&anna, "GET", "/api/v1/subscriptions?limit=1", None).await;
    assert_eq!(known.status, 200, "{}", known.text);
    let places = [
        json!({"date": "-009999-01-01T00:00:00", "id": 1}),
        json!({"date": "-004713-01-01T00:00:00", "id": 1}),
        json!({"date": "0000-12-31T00:00:00", "id": 1}),
        json!({"date": "2026-01-01T00:00:00", "id": 1e30}),
        json!({"order": order, "key": "a\u{0}b", "id": 1}),
        json!({"order": order, "key": {"a": [[[]]]}, "id": 1}),
        json!(-1e300),
        json!(null),
        json!("x"),
        json!([]),
    ];
    let mut texts: Vec<String> = places.iter().map(Value::to_string).collect();
    // Numbers that no program reads.
    for key in ["1e400000", "-1e400000", "99999999999999999999999999"] {
        texts.push(format!("{{\"order\":{order},\"key\":{key},\"id\":1}}"));
        texts.push(key.to_owned());
    }
    for text in texts {
        let cursor = URL_SAFE_NO_PAD.encode(&text);
        for list in [
            "/api/v1/subscriptions",
            "/api/v1/deliveries",
            &format!("/api/v1/subscriptions/{id}/history"),
        ] {
            for who in [&anna, &admin] {
                let answer = api.ask(who, "GET", &format!("{list}?cursor={cursor}"), None).await;
                assert_eq!(answer.status, 422, "{list} {text}: {}", answer.text);
                assert_eq!(answer.pointers(), ["?cursor"], "{list} {text}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mask_of_a_secret_is_no_new_secret() {
    let (_database, api, anna) = with_anna().await;
    let mut draft = orders();
    draft["webhook_secret"] = json!("whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=");
    let id = api.subscribe(&anna, draft).await;
    let path = format!("/api/v1/subscriptions/{id}/rotate-secret");
    for (body, pointer) in [
        (json!({"secret": "********"}), "#/secret"),
        (json!({"secret": ""}), "#/secret"),
        (json!({"overlap_s": 40_000_000}), "#/overlap_s"),
    ] {
        let refused = api.ask(&anna, "POST", &path, Some(body.clone())).await;
        assert_eq!(
            (refused.status.as_u16(), refused.pointers()),
            (422, vec![pointer.to_owned()]),
            "{body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_was_has_no_history_and_what_was_has_one() {
    let (database, api, anna) = with_anna().await;
    let admin = token(&database, "root", "admin", &[]).await;
    let id = api.subscribe(&anna, orders()).await;
    let deleted = api
        .ask(&anna, "DELETE", &format!("/api/v1/subscriptions/{id}"), None)
        .await;
    assert_eq!(deleted.status, 204);
    let history = |id: i64| format!("/api/v1/subscriptions/{id}/history");
    let told = api.ask(&admin, "GET", &history(id), None).await;
    assert_eq!(told.json()["items"].as_array().unwrap().len(), 2, "{}", told.text);
    for who in [&admin, &anna] {
        assert_eq!(api.ask(who, "GET", &history(999_999), None).await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_pointed_at_where_the_client_wrote_them() {
    let (_database, api, anna) = with_anna().await;
    let id = api.subscribe(&anna, orders()).await;
    let many: Vec<i64> = (1..=501).collect();
    let change = json!({"ids": many, "set": {"name": "x"}});
    let refused = api.ask(&anna, "PATCH", "/api/v1/subscriptions", Some(change)).await;
    assert_eq!(refused.pointers(), ["#/ids"], "{}", refused.text);
    let refused = api
        .ask(
            &anna,
            "POST",
            "/api/v1/subscriptions/delete",
            Some(json!({"ids": many})),
        )
        .await;
    assert_eq!(refused.pointers(), ["#/ids"], "{}", refused.text);
    // As in Odoo.
    let all = api.ask(&anna, "GET", "/restapi/1.0/webhooks?limit=0", None).await;
    assert_eq!(all.json()["webhook"][0]["id"], id, "{}", all.text);
    let refused = vals("{'address':'ftp://example.com/'}");
    let refused = api
        .ask(&anna, "PUT", &format!("/restapi/1.0/webhooks/{id}?{refused}"), None)
        .await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert!(!refused.text.contains("webhook_url\""), "{}", refused.text);
}
