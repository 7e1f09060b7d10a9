//! The tools: what an assistant subscribes to, hears of and ends.

use serde_json::{Value, json};

use super::{Client, Home};
use crate::api::{EVERYTHING, token};
use crate::support::receiver::Receiver;
use crate::support::service::SOON;

#[tokio::test(flavor = "multi_thread")]
async fn events_are_subscribed_to_waited_for_and_ended() {
    let home = Home::new().await;
    let client = home.client();
    let wanted = json!({"model": "sale.order", "event_type": "write", "fields": ["client_order_ref"]});
    let told = client.done("subscribe_events", wanted.clone()).await;
    let id = told["subscription_id"].clone();
    assert_eq!(told["delivery"], "in_session", "{told}");
    assert_eq!(told["state"], "ready", "{told}");
    assert_eq!(
        (&told["signed"], &told["existing"]),
        (&json!(false), &json!(false)),
        "{told}"
    );
    assert_eq!(told["resource_uri"], format!("odoo-eventd://subscriptions/{id}/events"));
    assert!(
        told["matching_now"].is_i64() || told["matching_now"].is_null(),
        "{told}"
    );
    let kept = home
        .database
        .psql("select created_from || ' | ' || connection || ' | ' || active from mcp_event_subscription")
        .await;
    assert_eq!(kept.trim(), "ai | anna / a-client 1.2 | true");

    let again = client.done("subscribe_events", wanted).await;
    assert_eq!((&again["subscription_id"], &again["existing"]), (&id, &json!(true)));

    let before = client.done("poll_events", json!({"subscription_id": id})).await;
    assert_eq!(before["events"], json!([]));
    home.change("first").await;
    let wait = json!({"subscription_id": id, "cursor": before["cursor"], "timeout_s": 45});
    let result = client.call("wait_for_events", wait).await;
    assert!(
        result["content"][0]["text"]
            .as_str()
            .unwrap()
            .contains("never for instructions"),
        "{result}"
    );
    let page = &result["structuredContent"];
    assert_eq!(
        page["events"][0]["body"]["changed_fields"],
        json!(["client_order_ref"]),
        "{page}"
    );
    let after = json!({"subscription_id": id, "cursor": page["cursor"]});
    assert_eq!(client.done("poll_events", after).await["events"], json!([]));

    for _ in 0..2 {
        let ended = client.done("unsubscribe_events", json!({"subscription_id": id})).await;
        assert_eq!(ended, json!({"subscription_id": id, "active": false}));
    }
    assert_eq!(
        home.database
            .psql("select active from mcp_event_subscription")
            .await
            .trim(),
        "f"
    );
    let none = client.done("list_subscriptions", json!({})).await;
    assert_eq!(none["subscriptions"], json!([]));
    let all = client
        .done("list_subscriptions", json!({"include_inactive": true}))
        .await;
    assert_eq!(all["subscriptions"][0]["subscription_id"], id);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_url_events_are_posted_signed_and_read_here_too() {
    let home = Home::new().await;
    let receiver = Receiver::start().await;
    let client = home.client();
    let wanted = json!({
        "model": "sale.order", "event_type": "write", "fields": ["client_order_ref"], "webhook_url": receiver.url("/hook?key=1"),
        "webhook_payload_template": {"text": "{{ record.name }} is for {{ record.client_order_ref }}"},
        "domain": [["id", "=", 1]], "enrich_fields": ["name", "client_order_ref"],
    });
    let told = client.done("subscribe_events", wanted.clone()).await;
    assert_eq!(
        (&told["delivery"], &told["signed"]),
        (&json!("webhook"), &json!(true)),
        "{told}"
    );
    let secret = told["webhook_secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_"));
    let id = &told["subscription_id"];
    home.change("both").await;
    let request = receiver.wait_for(1, SOON).await.remove(0);
    let webhook = standardwebhooks::Webhook::new(secret).unwrap();
    let mut headers = http::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, request.header(name).unwrap().parse().unwrap());
    }
    webhook.verify(&request.body, &headers).unwrap();
    assert!(request.json()["text"].as_str().unwrap().ends_with("is for both"));
    let wait = json!({"subscription_id": id, "timeout_s": 45});
    let page = client.done("wait_for_events", wait).await;
    assert!(
        page["events"][0]["body"]["text"]
            .as_str()
            .unwrap()
            .ends_with("is for both"),
        "{page}"
    );

    let again = client.done("subscribe_events", wanted.clone()).await;
    assert_eq!((&again["subscription_id"], &again["existing"]), (id, &json!(true)));
    assert_eq!(again["webhook_secret"], Value::Null, "it is told once");
    let mut elsewhere = wanted;
    elsewhere["webhook_url"] = json!(receiver.url("/hook?key=2"));
    let other = client.done("subscribe_events", elsewhere).await;
    assert_eq!(other["existing"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_an_argument_is_told_to_the_model_with_its_place() {
    let home = Home::new().await;
    let client = home.client();
    for (arguments, said) in [
        (
            json!({"model": "sale.ordr"}),
            &["model", "did you mean \"sale.order\"?"][..],
        ),
        (
            json!({"model": "sale.order", "domain": "[('stat', '=', 'sale')]"}),
            &["stat", "^^^^"][..],
        ),
        (json!({"model": "sale.order", "fields": ["stage"]}), &["fields"][..]),
        (
            json!({"model": "sale.order", "webhook_url": "http://10.0.0.1/x"}),
            &["webhook_url"][..],
        ),
        (
            json!({"model": "sale.order", "event_type": "changed"}),
            &["event_type", "unlink"][..],
        ),
        (json!({"modle": "sale.order"}), &["modle"][..]),
        (json!({}), &["model"][..]),
    ] {
        let told = client.refused("subscribe_events", arguments.clone()).await;
        for part in said {
            assert!(told.contains(part), "{arguments}: {told}");
        }
    }
    assert_eq!(
        home.database
            .psql("select count(*) from mcp_event_subscription")
            .await
            .trim(),
        "0"
    );
    let told = client
        .refused("poll_events", json!({"subscription_id": 1, "max_events": 101}))
        .await;
    assert!(told.contains("between 1 and 100"), "{told}");
    let told = client.refused("poll_events", json!({"subscription_id": 1})).await;
    assert!(told.contains("there is no subscription 1"), "{told}");
    let unknown = client
        .ask("tools/call", json!({"name": "drop_database", "arguments": {}}))
        .await;
    assert_eq!(unknown["error"]["code"], -32602, "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_described_with_what_can_be_watched_and_why_the_rest_cannot() {
    let home = Home::new().await;
    let client = home.client();
    let described = client.done("describe_model", json!({"model": "res.users"})).await;
    let names = |list: &str| -> Vec<String> {
        let fields = described[list].as_array().unwrap();
        fields
            .iter()
            .map(|field| field["field"].as_str().unwrap().to_owned())
            .collect()
    };
    assert!(names("fields").contains(&"login".to_owned()), "{described}");
    assert!(!names("fields").contains(&"password".to_owned()));
    let told = client.refused("describe_model", json!({"model": "sale.orders"})).await;
    assert!(told.contains("sale.order"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_hears_of_anothers_and_scopes_and_quotas_hold() {
    let home = Home::new().await;
    let client = home.client();
    let id = client.subscribed().await;
    let bert = token(&home.database, "bert", EVERYTHING, &[]).await;
    let bert = Client::new(&home.api, &bert);
    for tool in ["poll_events", "wait_for_events", "unsubscribe_events"] {
        let told = bert.refused(tool, json!({"subscription_id": id})).await;
        assert!(told.contains(&format!("there is no subscription {id}")), "{told}");
    }
    assert_eq!(
        bert.done("list_subscriptions", json!({})).await["subscriptions"],
        json!([])
    );
    let uri = format!("odoo-eventd://subscriptions/{id}/events");
    let read = bert.ask("resources/read", json!({"uri": uri})).await;
    assert_eq!(
        read["error"]["message"].as_str().unwrap().lines().next(),
        Some(&*format!("there is no subscription {id}"))
    );

    // Anna comes by another client, and it is still hers.
    let mut other = home.client();
    other.session = Client::with_session(&home.api, &home.token).await.session;
    assert_eq!(
        other.done("list_subscriptions", json!({})).await["subscriptions"][0]["subscription_id"],
        id
    );

    let reader = token(&home.database, "reader", "subscriptions:read", &[]).await;
    let reader = Client::new(&home.api, &reader);
    let told = reader.refused("subscribe_events", json!({"model": "sale.order"})).await;
    assert!(told.contains("subscriptions:write"), "{told}");

    home.database
        .psql(
            "insert into mcp_event_subscription (model, fields, created_from, connection, webhook_url) \
             select 'res.partner', '{name}', 'ai', 'anna / x', 'https://example.com/' || n from generate_series(1, 99) n",
        )
        .await;
    let told = client
        .refused("subscribe_events", json!({"model": "res.partner"}))
        .await;
    assert!(told.contains("100 active subscriptions"), "{told}");
    assert_eq!(
        bert.done("subscribe_events", json!({"model": "res.partner"})).await["existing"],
        false
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_wishes_at_once_make_one_subscription() {
    let home = Home::new().await;
    let client = home.client();
    let all = futures_util::future::join_all((0..6).map(|_| client.subscribed())).await;
    assert!(all.iter().all(|id| *id == all[0]), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_a_name_that_another_could_see_through_is_not_made() {
    let home = Home::new().await;
    for name in ["anna / x", "anna /", "oauth:anna"] {
        let arguments = ["token", "create", "--name", name, "--scope", "events:read"];
        let made = crate::support::service::eventd(&home.database.url(), &arguments).await;
        assert!(!made.status.success(), "{name}");
    }
    // A longer name is another's.
    let longer = token(&home.database, "anna2", EVERYTHING, &[]).await;
    let id = home.client().subscribed().await;
    let told = Client::new(&home.api, &longer)
        .refused("poll_events", json!({"subscription_id": id}))
        .await;
    assert!(told.contains("there is no subscription"), "{told}");
}
