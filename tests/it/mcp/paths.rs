//! Where the door is, behind a proxy and beside other databases.

use serde_json::json;

use super::{Home, NEW, message};

#[tokio::test(flavor = "multi_thread")]
async fn it_is_below_a_base_path_and_the_name_of_its_database() {
    let home = Home::with(&[
        "--api-base-path",
        "/eventd",
        "--api-public-url",
        "https://odoo.example.com/eventd",
    ])
    .await;
    let client = home.client();
    let named = format!("/eventd/d/{}", home.database.name());
    for mount in ["/eventd", &named] {
        let request = client.request("tools/list", json!({}));
        let headers = [
            ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", NEW),
            ("mcp-method", "tools/list"),
        ];
        let path = format!("{mount}/mcp");
        let post = async |token: &str| {
            home.api
                .ask_with(token, "POST", &path, &headers, Some(request.clone()))
                .await
        };
        let answer = post(&home.token).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(message(&answer.text)["result"]["tools"][0]["name"], "subscribe_events");
        // Who has no token is told of a page that is there.
        let challenge = post("").await;
        let told = challenge.header("www-authenticate").to_owned();
        let public = told.split("resource_metadata=\"").nth(1).unwrap().trim_end_matches('"');
        let own = public.strip_prefix("https://odoo.example.com").unwrap();
        let metadata = home.api.ask("", "GET", own, None).await.json();
        assert_eq!(metadata["resource"], format!("https://odoo.example.com{path}"));
    }
}
