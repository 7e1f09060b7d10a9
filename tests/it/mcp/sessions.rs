//! Sessions of the old era: whose they are, how many, and how long.

use serde_json::json;

use super::{Client, Home, Stream};
use crate::api::{EVERYTHING, token};
use crate::support::eventually;
use crate::support::service::SOON;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_there_for_another_token() {
    let home = Home::new().await;
    let anna = Client::with_session(&home.api, &home.token).await;
    let bert = token(&home.database, "bert", EVERYTHING, &[]).await;
    let mut stranger = Client::new(&home.api, &bert);
    stranger.session.clone_from(&anna.session);
    let answer = stranger.post(&stranger.request("tools/list", json!({}))).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
    let session = anna.session.clone().unwrap();
    let headers = [
        ("mcp-session-id", session.as_str()),
        ("mcp-protocol-version", super::OLD),
    ];
    home.api.ask_with(&bert, "DELETE", "/mcp", &headers, None).await;
    anna.result("tools/list", json!({})).await;
    home.api.ask_with(&home.token, "DELETE", "/mcp", &headers, None).await;
    let answer = anna.post(&anna.request("tools/list", json!({}))).await;
    assert_eq!(answer.status, 404, "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_abandoned_sessions_leave_twenty() {
    let home = Home::with(&["--api-requests-per-second", "100000"]).await;
    let first = Client::with_session(&home.api, &home.token).await;
    let client = home.client();
    for _ in 0..1_000 {
        assert_eq!(client.initialize().await.status, 200);
    }
    let answer = first.post(&first.request("tools/list", json!({}))).await;
    assert_eq!(answer.status, 404, "the oldest has gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_uses_all_that_he_may_have_is_told_so_and_others_are_not_hindered() {
    let home = Home::with(&["--api-requests-per-second", "100000"]).await;
    let mut streams = Vec::new();
    for _ in 0..20 {
        let client = Client::with_session(&home.api, &home.token).await;
        streams.push(Stream::of_session(&client).await);
    }
    let refused = home.client().initialize().await;
    assert_eq!(refused.status, 429, "{}", refused.text);
    assert!(refused.text.contains("20 sessions"), "{}", refused.text);
    let bert = token(&home.database, "bert", EVERYTHING, &[]).await;
    Client::with_session(&home.api, &bert).await;
    streams.pop();
    eventually("a session to be free", SOON, async || {
        (home.client().initialize().await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_stream_outlives_every_idle_session_and_still_gets_its_update() {
    let home = Home::with(&["--mcp-session-idle-s", "1"]).await;
    let listening = Client::with_session(&home.api, &home.token).await;
    let id = listening.subscribed().await;
    let uri = format!("odoo-eventd://subscriptions/{id}/events");
    listening.result("resources/subscribe", json!({"uri": uri})).await;
    let mut stream = Stream::of_session(&listening).await;
    let idle = Client::with_session(&home.api, &home.token).await;
    // A request would be a use: so it is looked whether it has gone at the log.
    eventually("the idle session to end", SOON * 4, async || {
        let answer = idle.post(&idle.request("tools/list", json!({}))).await;
        match answer.status.as_u16() {
            404 => Some(()),
            _ => {
                tokio::time::sleep(std::time::Duration::from_secs(12)).await;
                None
            }
        }
    })
    .await;
    home.change("after a long time").await;
    stream.until("notifications/resources/updated").await;
}
