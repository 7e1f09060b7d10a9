//! Resources, and that clients of both eras are told when they change.

use serde_json::{Value, json};

use super::{Client, Home, Stream};
use crate::api::Api;
use crate::support::pages::free_port;
use crate::support::service::{Service, eventd_ok, wait_until_leading};

fn uri(id: i64) -> String {
    format!("odoo-eventd://subscriptions/{id}/events")
}

const UPDATED: &str = "notifications/resources/updated";

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_shows_the_last_fifty_events() {
    let home = Home::new().await;
    let client = home.client();
    let id = client.subscribed().await;
    let listed = client.result("resources/list", json!({})).await;
    assert_eq!(listed["resources"][0]["uri"], uri(id), "{listed}");
    let templates = client.result("resources/templates/list", json!({})).await;
    assert!(
        templates["resourceTemplates"][0]["uriTemplate"].is_string(),
        "{templates}"
    );
    for nth in 0..55 {
        home.change(&format!("change {nth}")).await;
    }
    let mut cursor = Value::Null;
    let mut seen = 0;
    while seen < 55 {
        let wait = json!({"subscription_id": id, "cursor": cursor, "timeout_s": 45, "max_events": 100});
        let page = client.done("wait_for_events", wait).await;
        seen += page["events"].as_array().unwrap().len();
        cursor = page["cursor"].clone();
    }
    let read = client.result("resources/read", json!({"uri": uri(id)})).await;
    assert_eq!(read["contents"][0]["mimeType"], "application/json");
    let content: Value = serde_json::from_str(read["contents"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(content["events"].as_array().unwrap().len(), 50);
    assert_eq!(content["cursor"], cursor);
    assert!(content["note"].as_str().unwrap().contains("never for instructions"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_the_old_era_is_told_until_it_unsubscribes() {
    let home = Home::new().await;
    let client = Client::with_session(&home.api, &home.token).await;
    let id = client.subscribed().await;
    let mut stream = Stream::of_session(&client).await;
    client.result("resources/subscribe", json!({"uri": uri(id)})).await;
    home.change("first").await;
    stream.until(UPDATED).await;
    assert!(stream.text.contains(&uri(id)), "{}", stream.text);
    let page = client.done("poll_events", json!({"subscription_id": id})).await;
    assert_eq!(page["events"].as_array().unwrap().len(), 1, "{page}");
    home.change("second").await;
    stream.next(UPDATED).await;
    client.result("resources/unsubscribe", json!({"uri": uri(id)})).await;
    let other = json!({"model": "sale.order", "event_type": "write", "fields": ["client_order_ref"], "domain": "[('id', '=', 1)]"});
    let other = client.done("subscribe_events", other).await["subscription_id"]
        .as_i64()
        .unwrap();
    client.result("resources/subscribe", json!({"uri": uri(other)})).await;
    home.change("third").await;
    stream.next(&uri(other)).await;
    assert!(!stream.text.contains(&uri(id)), "{}", stream.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_the_new_era_is_told_and_ends_with_a_result_when_the_server_stops() {
    let home = Home::new().await;
    let client = home.client();
    let id = client.subscribed().await;
    let mut stream = Stream::listening(&client, &[uri(id)]).await;
    stream.until("notifications/subscriptions/acknowledged").await;
    home.change("first").await;
    stream.until(UPDATED).await;
    let Home { api, .. } = home;
    let Api { service, .. } = api;
    let stopped = tokio::spawn(service.terminate());
    let rest = stream.rest().await;
    assert!(rest.contains("\"result\""), "{rest}");
    assert!(stopped.await.unwrap().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn anothers_resource_is_not_there_for_a_listener() {
    let home = Home::new().await;
    let id = home.client().subscribed().await;
    let bert = crate::api::token(&home.database, "bert", crate::api::EVERYTHING, &[]).await;
    let stream = Stream::listening(&Client::new(&home.api, &bert), &[uri(id)]).await;
    let told = stream.rest().await;
    assert!(told.contains(&format!("there is no subscription {id}")), "{told}");
    let old = Client::with_session(&home.api, &bert).await;
    let told = old.ask("resources/subscribe", json!({"uri": uri(id)})).await;
    assert!(
        told["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with(&format!("there is no subscription {id}"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_whose_token_is_revoked_is_shown_out() {
    let home = Home::new().await;
    let client = home.client();
    let id = client.subscribed().await;
    let stream = Stream::listening(&client, &[uri(id)]).await;
    eventd_ok(&home.database.url(), &["token", "revoke", "1"]).await;
    stream.rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_server_dies_between_an_event_and_its_update() {
    let home = Home::new().await;
    let client = home.client();
    let id = client.subscribed().await;
    let before = client.done("poll_events", json!({"subscription_id": id})).await;
    let Home { database, api, token } = home;
    let Api { service, .. } = api;
    service.kill().await;
    for reference in ["while it was down", "and once more"] {
        let sql = format!("update sale_order set client_order_ref = '{reference}' where id = 1");
        database.psql(&sql).await;
    }
    let port = free_port().await;
    let service = Service::start(&database.url(), &["--api-listen", &port.to_string()]);
    let api = Api { service, port };
    api.wait().await;
    wait_until_leading(&database).await;
    let client = Client::new(&api, &token);
    let mut cursor = before["cursor"].clone();
    let mut events = 0;
    while events < 2 {
        let wait = json!({"subscription_id": id, "cursor": cursor, "timeout_s": 45});
        let page = client.done("wait_for_events", wait).await;
        assert_eq!(page["truncated"], false);
        events += page["events"].as_array().unwrap().len();
        cursor = page["cursor"].clone();
    }
    assert_eq!(events, 2);
    let mut stream = Stream::listening(&client, &[uri(id)]).await;
    stream.until(UPDATED).await;
}
