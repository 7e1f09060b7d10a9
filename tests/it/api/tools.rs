//! The API against its document, by other people's tools: `make test-api`. They are fetched, so this is not part of every run.

use serde_json::json;

use super::{Api, EVERYTHING, orders, token};
use crate::support::Database;
use crate::support::receiver::Receiver;
use crate::support::service::eventd_ok;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "fetches tools and takes minutes: make test-api"]
async fn openapi_spec_validator_and_schemathesis_find_nothing() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let api = Api::beside(&database, &["--api-requests-per-second", "100000"]).await;
    let receiver = Receiver::start().await;
    let writer = token(&database, "writer", EVERYTHING, &[]).await;
    let reader = token(
        &database,
        "reader",
        "subscriptions:read,deliveries:read,events:read",
        &[],
    )
    .await;
    let admin = token(&database, "admin", "admin", &[]).await;
    let mut draft = orders();
    draft["webhook_url"] = json!(receiver.url("/hook"));
    let id = api.subscribe(&writer, draft).await;
    api.ask(&writer, "POST", &format!("/api/v1/subscriptions/{id}/test"), None)
        .await;
    let ended = tokio::process::Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/run"))
        .env("API_URL", format!("http://localhost:{}", api.port))
        .env("API_WRITER", writer)
        .env("API_READER", reader)
        .env("API_ADMIN", admin)
        .status()
        .await
        .unwrap();
    assert!(ended.success(), "{ended}");
    let (status, log) = api.service.terminate().await;
    assert!(status.success());
    for mistake in ["\"level\":\"ERROR\"", "panic"] {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(mistake)).take(10).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
}
