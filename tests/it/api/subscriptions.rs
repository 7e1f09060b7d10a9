//! Subscriptions over REST: made, found, changed, deleted; and what is answered where they cannot be.

use odoo_eventd::subscription::bounds::BOUNDS;
use serde_json::{Value, json};

use super::{Api, EVERYTHING, NOWHERE, encoded, orders, token};
use crate::support::Database;
use crate::support::receiver::Receiver;

const LIST: &str = "/api/v1/subscriptions";

async fn with_anna() -> (Database, Api, String) {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    (database, api, anna)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_made_read_changed_and_deleted() {
    let (database, api, anna) = with_anna().await;
    let dry = api
        .ask(&anna, "POST", &format!("{LIST}?dry_run=true"), Some(orders()))
        .await;
    assert_eq!(dry.status, 200, "{}", dry.text);
    assert!(dry.json()["matching_records"].as_i64().unwrap() > 0);
    assert_eq!(database.psql("select count(*) from mcp_event_subscription").await, "0");
    let made = api.ask(&anna, "POST", LIST, Some(orders())).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let at = made.header("location").to_owned();
    let row = made.json();
    assert_eq!(at, format!("{LIST}/{}", row["id"]));
    assert_eq!(row["state"], "ready");
    assert_eq!(made.header("etag"), format!("\"{}\"", row["version"].as_str().unwrap()));
    let read = api.ask(&anna, "GET", &at, None).await;
    assert_eq!((read.json(), read.header("etag")), (row.clone(), made.header("etag")));
    let changed = api
        .ask(
            &anna,
            "PATCH",
            &at,
            Some(json!({"name": "References", "timeout_ms": 9000})),
        )
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(
        (&changed.json()["name"], &changed.json()["timeout_ms"]),
        (&json!("References"), &json!(9000))
    );
    assert_ne!(changed.header("etag"), made.header("etag"));
    let cleared = api
        .ask(&anna, "PATCH", &at, Some(json!({"name": null, "timeout_ms": null})))
        .await
        .json();
    assert_eq!((&cleared["name"], &cleared["timeout_ms"]), (&Value::Null, &json!(5000)));
    for (verb, paused) in [("pause", true), ("resume", false)] {
        let answer = api.ask(&anna, "POST", &format!("{at}/{verb}"), None).await;
        assert_eq!(answer.json()["paused"], paused);
    }
    assert_eq!(
        api.ask(&anna, "POST", &format!("{at}/enable"), None).await.json()["disabled_since"],
        Value::Null
    );
    let history = api
        .ask(&anna, "GET", &format!("{at}/history?limit=2"), None)
        .await
        .json();
    assert_eq!(history["items"].as_array().unwrap().len(), 2);
    assert!(history["next_cursor"].is_string());
    assert_eq!(api.ask(&anna, "DELETE", &at, None).await.status, 204);
    assert_eq!(api.ask(&anna, "GET", &at, None).await.status, 404);
    assert_eq!(api.ask(&anna, "DELETE", &at, None).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_wrong_is_pointed_at() {
    let (database, api, anna) = with_anna().await;
    let id = api.subscribe(&anna, orders()).await;
    for (draft, status, pointers) in [
        (json!({"model": "sale.order", "timeout": 5}), 422, &["#/timeout"][..]),
        (
            json!({"model": "sale.order", "timeout_ms": "soon"}),
            422,
            &["#/timeout_ms"],
        ),
        (
            json!({"model": "sale.order", "fields": ["state", 7]}),
            422,
            &["#/fields/1"],
        ),
        (json!({"model": "sale.order", "state": "ready"}), 422, &["#/state"]),
        (json!([]), 422, &["#"]),
        (json!({"model": "sale.odor"}), 422, &["#/model"]),
        (
            json!({"model": "sale.order", "webhook_url": "http://10.0.0.1/", "domain": "[('x'"}),
            422,
            &["#/webhook_url", "#/domain"],
        ),
        (json!({"model": "sale.order", "name": "a\u{0}b"}), 422, &["#/name"]),
        (json!({"model": "sale.order", "user_id": 7}), 422, &["#/user_id"]),
    ] {
        let answer = api.ask(&anna, "POST", LIST, Some(draft.clone())).await;
        assert_eq!(answer.status, status, "{draft}: {}", answer.text);
        assert_eq!(answer.pointers(), pointers, "{draft}");
    }
    let spot = api
        .ask(
            &anna,
            "POST",
            LIST,
            Some(json!({"model": "sale.order", "domain": "[('nowhere', '=', 1)]"})),
        )
        .await;
    assert_eq!(spot.json()["errors"][0]["span"], json!([2, 11]), "{}", spot.text);
    for (query, pointer) in [
        ("?nonsense=1", "?nonsense"),
        ("?limit=0", "?limit"),
        ("?limit=201", "?limit"),
        ("?limit=x", "?limit"),
        ("?limit=1&limit=2", "?limit"),
        ("?ids=1,x", "?ids"),
        ("?active=maybe", "?active"),
        ("?order=webhook_secret", "?order"),
        ("?fields=id,nothing", "?fields"),
        ("?state=gone", "?state"),
        ("?q=%ff", "?q"),
        ("?q=%zz", "?q"),
    ] {
        let answer = api.ask(&anna, "GET", &format!("{LIST}{query}"), None).await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text);
        assert_eq!(answer.pointers(), [pointer], "{query}");
    }
    for (query, pointer) in [
        ("?cursor=x", "?cursor"),
        ("?q=%00", "?q"),
        ("?domain=%5B(%27x%27", "?domain"),
    ] {
        let answer = api.ask(&anna, "GET", &format!("{LIST}{query}"), None).await;
        assert_eq!(
            (answer.status.as_u16(), answer.pointers()),
            (422, vec![pointer.to_owned()]),
            "{query}"
        );
    }
    // A path has no parameters unless they are documented, and no id that is none.
    assert_eq!(
        api.ask(&anna, "PATCH", &format!("{LIST}/{id}"), Some(json!({})))
            .await
            .status,
        422
    );
    for path in ["/x", "/99999999999", "/1.5", "/-1", "/%ff"] {
        assert_eq!(
            api.ask(&anna, "GET", &format!("{LIST}{path}"), None).await.status,
            404,
            "{path}"
        );
    }
    assert_eq!(database.psql("select count(*) from mcp_event_subscription").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_ordered_and_walked_through() {
    let (_database, api, anna) = with_anna().await;
    for n in 0..7 {
        let mut draft = orders();
        draft["name"] = json!(format!("number {}", n % 3));
        draft["active"] = json!(n % 2 == 0);
        api.subscribe(&anna, draft).await;
    }
    let ids = async |query: &str| {
        let answer = api.ask(&anna, "GET", &format!("{LIST}{query}"), None).await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        let items = answer.json()["items"].as_array().unwrap().clone();
        items
            .iter()
            .map(|item| item["id"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    let domain = |text: &str| format!("?domain={}", encoded(text));
    for (query, expected) in [
        (String::new(), &[1, 2, 3, 4, 5, 6, 7][..]),
        ("?ids=3,1,99".to_owned(), &[1, 3]),
        ("?ids=".to_owned(), &[]),
        ("?active=false&order=-id".to_owned(), &[6, 4, 2]),
        ("?q=NUMBER%202".to_owned(), &[3, 6]),
        (
            "?model=res.partner,sale.order&state=ready&created_from=manual&ids=1,2".to_owned(),
            &[1],
        ),
        (domain("[('name', 'ilike', 'number 1'), ('active', '=', True)]"), &[5]),
        (domain("['|', ('id', '<', 2), ('id', 'in', [7])]"), &[1, 7]),
        (domain("['!', ('fields', '=', 'client_order_ref')]"), &[]),
        (
            domain("[(\"timeout_ms\", \">\", 4999), (\"connection\", \"=\", \"anna\")]"),
            &[1, 2, 3, 4, 5, 6, 7],
        ),
        (format!("{}&ids=2,3", domain("[('id', '!=', 3)]")), &[2]),
        (
            domain(&format!("[('webhook_url', '=', '{NOWHERE}')]")),
            &[1, 2, 3, 4, 5, 6, 7],
        ),
    ] {
        assert_eq!(ids(&query).await, expected, "{query}");
        if let Some(text) = query.strip_prefix("?domain=").filter(|text| !text.contains('&')) {
            let counted = api
                .ask(&anna, "GET", &format!("{LIST}/count?domain={text}"), None)
                .await
                .json();
            assert_eq!(counted["count"], expected.len(), "{query}");
        }
    }
    for refused in [
        "[('webhook_secret', '=', 'x')]",
        "[('headers', '!=', False)]",
        "[('webhook_url', 'like', 'http://127')]",
        "[('webhook_url', '>', 'h')]",
        "[('user_id.login', '=', 'admin')]",
    ] {
        let answer = api.ask(&anna, "GET", &format!("{LIST}{}", domain(refused)), None).await;
        assert_eq!(answer.status, 422, "{refused}: {}", answer.text);
        assert!(
            answer.json()["errors"][0]["span"].is_array(),
            "{refused}: {}",
            answer.text
        );
    }
    let mut met = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api
            .ask(
                &anna,
                "GET",
                &format!("{LIST}?order=-name&limit=2&fields=name{cursor}"),
                None,
            )
            .await
            .json();
        for item in page["items"].as_array().unwrap() {
            assert_eq!(item.as_object().unwrap().keys().collect::<Vec<_>>(), ["id", "name"]);
            met.push(item["id"].as_i64().unwrap());
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(met, [6, 3, 5, 2, 7, 4, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_changed_and_deleted_at_once_and_each_is_answered() {
    let (database, api, anna) = with_anna().await;
    for _ in 0..4 {
        api.subscribe(&anna, orders()).await;
    }
    let outcomes = |answer: &super::Answer| {
        assert_eq!(answer.status, 200, "{}", answer.text);
        let results = answer.json()["results"].as_array().unwrap().clone();
        results
            .iter()
            .map(|r| format!("{} {}", r["id"], r["outcome"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let changed = api
        .ask(
            &anna,
            "PATCH",
            LIST,
            Some(json!({"ids": [1, 2, 99], "set": {"active": false}})),
        )
        .await;
    assert_eq!(outcomes(&changed), ["1 done", "2 done", "99 not_found"]);
    let changed = api
        .ask(
            &anna,
            "PATCH",
            LIST,
            Some(json!({"domain": "[('active', '=', False)]", "set": {"name": "off"}})),
        )
        .await;
    assert_eq!(outcomes(&changed), ["1 done", "2 done"]);
    assert_eq!(
        database
            .psql("select count(*) from mcp_event_subscription where name = 'off'")
            .await,
        "2"
    );
    for (body, pointer) in [
        (json!({"set": {"name": "x"}}), "#/ids"),
        (json!({"ids": [1], "domain": "[]", "set": {"name": "x"}}), "#/ids"),
        (json!({"ids": [1], "set": {"nam": "x"}}), "#/set/nam"),
        (json!({"ids": [1], "set": {}}), "#/set"),
        (
            json!({"ids": (0..501).collect::<Vec<_>>(), "set": {"name": "x"}}),
            "#/ids",
        ),
        (json!({"domain": "[(", "set": {"name": "x"}}), "#/domain"),
    ] {
        let answer = api.ask(&anna, "PATCH", LIST, Some(body)).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert_eq!(answer.pointers(), [pointer], "{}", answer.text);
    }
    // The bounds that are told without a row are those of the table.
    for (column, least, most) in BOUNDS {
        for (value, is_fine) in [
            (least, true),
            (most, true),
            (least - least / 2.0, false),
            (most + most, false),
        ] {
            let set = json!({column: if column == "rate_limit" { json!(value) } else { json!(value as i64) }});
            let without = api
                .ask(&anna, "PATCH", LIST, Some(json!({"ids": [99], "set": set})))
                .await;
            assert_eq!(without.status == 200, is_fine, "{set}: {}", without.text);
            // The longest wait is no shorter than the first.
            let mut whole = set.clone();
            if column == "retry_first_ms" {
                whole["retry_max_ms"] = json!(86_400_000);
            } else if column == "retry_max_ms" {
                whole["retry_first_ms"] = json!(1_000);
            }
            let with = api.ask(&anna, "PATCH", &format!("{LIST}/3"), Some(whole)).await;
            assert_eq!(with.status == 200, is_fine, "{set}: {}", with.text);
        }
    }
    let deleted = api
        .ask(
            &anna,
            "POST",
            &format!("{LIST}/delete"),
            Some(json!({"domain": "[('id', '<', 4)]"})),
        )
        .await;
    assert_eq!(outcomes(&deleted), ["1 done", "2 done", "3 done"]);
    assert_eq!(database.psql("select count(*) from mcp_event_subscription").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_masked_can_be_written_back_and_changes_nothing() {
    let (database, api, anna) = with_anna().await;
    let mut draft = orders();
    draft["webhook_url"] = json!("http://127.0.0.1:9/hook/abcdef0123456789abcdef?key=secret");
    draft["webhook_secret"] = json!("whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=");
    draft["auth"] = json!("Bearer my-own-token");
    draft["headers"] = json!({"X-One": "first-value", "X-Two": "second-value"});
    let id = api.subscribe(&anna, draft).await;
    let at = format!("{LIST}/{id}");
    let shown = api.ask(&anna, "GET", &at, None).await;
    for secret in [
        "key=secret",
        "abcdef0123456789abcdef",
        "whsec_",
        "my-own-token",
        "first-value",
    ] {
        assert!(!shown.text.contains(secret), "{secret}: {}", shown.text);
    }
    let shown = shown.json();
    let columns = [
        "webhook_url",
        "webhook_secret",
        "auth",
        "headers",
        "model",
        "domain",
        "fields",
    ];
    let mut back: Value = columns
        .iter()
        .map(|column| ((*column).to_owned(), shown[*column].clone()))
        .collect();
    back["name"] = json!("as it was shown");
    back["headers"]["X-Two"] = json!("third-value");
    let changed = api.ask(&anna, "PATCH", &at, Some(back)).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let kept = database
        .psql(
            "select webhook_url, headers ->> 'X-One', headers ->> 'X-Two', name, (k).webhook_secret is not null
                 from mcp_event_subscription s join odoo_eventd.subscription_secret k on k.secret_ref = s.secret_ref",
        )
        .await;
    assert_eq!(
        kept,
        "http://127.0.0.1:9/hook/abcdef0123456789abcdef?key=secret|first-value|third-value|as it was shown|t"
    );
    let only_the_url = api
        .ask(&anna, "PATCH", &at, Some(json!({"webhook_url": shown["webhook_url"]})))
        .await;
    assert_eq!(only_the_url.header("etag"), changed.header("etag"));
    let another = api
        .ask(
            &anna,
            "PATCH",
            &at,
            Some(json!({"webhook_url": "http://127.0.0.1:9/other/***"})),
        )
        .await;
    assert_eq!(
        (another.status.as_u16(), another.pointers()),
        (422, vec!["#/webhook_url".to_owned()])
    );
    let rotated = api
        .ask(
            &anna,
            "POST",
            &format!("{at}/rotate-secret"),
            Some(json!({"overlap_s": 60})),
        )
        .await;
    assert_eq!(rotated.status, 200, "{}", rotated.text);
    assert!(rotated.json()["secret"].as_str().unwrap().starts_with("whsec_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_tried_and_its_deliveries_are_found_and_sent_again() {
    let (database, api, anna) = with_anna().await;
    let receiver = Receiver::start().await;
    let mut draft = orders();
    draft["webhook_url"] = json!(receiver.url("/hook"));
    let id = api.subscribe(&anna, draft).await;
    let tested = api.ask(&anna, "POST", &format!("{LIST}/{id}/test"), None).await;
    assert_eq!(tested.status, 200, "{}", tested.text);
    assert_eq!(tested.json()["success"], true, "{}", tested.text);
    let delivery = tested.json()["delivery_id"].as_str().unwrap().to_owned();
    let listed = api
        .ask(
            &anna,
            "GET",
            &format!("/api/v1/deliveries?subscription={id}&status=success&code=404,2xx"),
            None,
        )
        .await;
    assert_eq!(listed.status, 200, "{}", listed.text);
    let listed = listed.json();
    assert_eq!(listed["items"][0]["delivery_id"], delivery.as_str());
    assert_eq!(listed["items"][0]["payload"], Value::Null, "lists are without bodies");
    let one = api
        .ask(&anna, "GET", &format!("/api/v1/deliveries/{delivery}"), None)
        .await
        .json();
    assert_eq!(one["event_type"], "test");
    assert_eq!(one["payload"], tested.json()["body"]);
    for (query, count) in [
        ("?code=500", 0),
        ("?status=failed,pending", 0),
        ("?error=timeout", 0),
        ("?model=sale.order&q=%22test%22:true", 1),
        ("?since=2026-01-01T00:00:00Z", 1),
        ("?until=2026-01-01T00:00:00Z", 0),
        ("?dead=true", 0),
        ("?record_id=1", 0),
    ] {
        let found = api.ask(&anna, "GET", &format!("/api/v1/deliveries{query}"), None).await;
        assert_eq!(found.status, 200, "{query}: {}", found.text);
        assert_eq!(found.json()["items"].as_array().unwrap().len(), count, "{query}");
    }
    for query in [
        "?code=600",
        "?code=4xx,x",
        "?since=yesterday",
        "?event_id=x",
        "?status=lost",
        "?dead=1",
    ] {
        assert_eq!(
            api.ask(&anna, "GET", &format!("/api/v1/deliveries{query}"), None)
                .await
                .status,
            400,
            "{query}"
        );
    }
    // A test is sent once and no more.
    let again = api
        .ask(&anna, "POST", &format!("/api/v1/deliveries/{delivery}/redeliver"), None)
        .await;
    assert_eq!(again.status, 422, "{}", again.text);
    let missing = "/api/v1/deliveries/0b1dfc3a-9d5c-4a4e-8f0e-111111111111";
    assert_eq!(api.ask(&anna, "GET", missing, None).await.status, 404);
    assert_eq!(
        api.ask(&anna, "POST", &format!("{missing}/redeliver"), None)
            .await
            .status,
        404
    );
    let filter = json!({"filter": {"since": "2026-01-01T00:00:00Z", "subscription": id}, "dry_run": true});
    let counted = api
        .ask(&anna, "POST", "/api/v1/deliveries/redeliver", Some(filter.clone()))
        .await;
    assert_eq!(
        (counted.status.as_u16(), counted.json()),
        (200, json!({"count": 0, "refused": 0}))
    );
    // A copy sends nothing.
    database
        .psql("update ir_config_parameter set value = 'another' where key = 'database.uuid'")
        .await;
    let mut filter = filter;
    filter["dry_run"] = json!(false);
    let copy = api.ask(&anna, "POST", &format!("{LIST}/{id}/test"), None).await;
    assert_eq!(copy.status, 409, "{}", copy.text);
    copy.pointers();
}

#[tokio::test(flavor = "multi_thread")]
async fn models_fields_and_domains_are_told_and_why_one_cannot_be_used() {
    let (_database, api, anna) = with_anna().await;
    let models = api.ask(&anna, "GET", "/api/v1/models", None).await.json();
    let order = models["models"]
        .as_array()
        .unwrap()
        .iter()
        .find(|model| model["model"] == "sale.order")
        .unwrap();
    assert_eq!(order["unusable"], Value::Null);
    let fields = api
        .ask(&anna, "GET", "/api/v1/models/res.users/fields", None)
        .await
        .json();
    assert!(
        fields["fields"]
            .as_array()
            .unwrap()
            .iter()
            .any(|field| !field["unusable"].is_null())
    );
    assert_eq!(
        api.ask(&anna, "GET", "/api/v1/models/no.such/fields", None)
            .await
            .status,
        404
    );
    let fine = api
        .ask(
            &anna,
            "POST",
            "/api/v1/domains/check",
            Some(json!({"model": "sale.order", "domain": "[('id', '>', 0)]"})),
        )
        .await;
    assert!(fine.json()["matching_records"].as_i64().unwrap() > 0);
    let wrong = api
        .ask(
            &anna,
            "POST",
            "/api/v1/domains/check",
            Some(json!({"model": "sale.order", "domain": "[('id', '~', 0)]"})),
        )
        .await;
    assert_eq!(
        (wrong.status.as_u16(), wrong.pointers()),
        (422, vec!["#/domain".to_owned()])
    );
    assert_eq!(wrong.json()["errors"][0]["span"], json!([8, 11]));
}
