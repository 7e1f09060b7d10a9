//! The examples of API.md do what it says.

use std::process::Stdio;

use serde_json::json;

use super::{Api, EVERYTHING, orders, token};
use crate::support::Database;

const PAGE: &str = include_str!("../../../.packaging/API.md");

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_page_are_answered() {
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        eprintln!("skipped: curl is not installed");
        return;
    }
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let mut draft = orders();
    draft["in_session"] = json!(true);
    assert_eq!(api.subscribe(&anna, draft).await, 1);
    let tag = api
        .ask(&anna, "GET", "/api/v1/subscriptions/1", None)
        .await
        .header("etag")
        .to_owned();
    let blocks: Vec<&str> = PAGE
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap())
        .collect();
    assert!(blocks.len() >= 3, "{}", blocks.len());
    for block in blocks {
        // A stream has no end, and nothing comes to be waited for.
        let block: String = block
            .lines()
            .filter(|line| !line.contains("text/event-stream"))
            .map(|line| format!("{line}\n"))
            .collect();
        let block = block
            .replace("http://localhost:8075", &format!("http://localhost:{}", api.port))
            .replace("wait_s=30", "wait_s=1");
        let script = format!("curl() {{ command curl --silent --show-error --fail-with-body \"$@\"; echo; }}\n{block}");
        let ran = tokio::process::Command::new("sh")
            .args(["-euc", &script])
            .env("TOKEN", &anna)
            .env("ETAG", &tag)
            .env("api", format!("http://localhost:{}/api/v1", api.port))
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
        assert!(
            ran.status.success() && !said.contains("urn:odoo-eventd"),
            "{block}\n{said}"
        );
    }
    let changed = api.ask(&anna, "GET", "/api/v1/subscriptions/1", None).await.json();
    assert_eq!(changed["paused"], true);
}
