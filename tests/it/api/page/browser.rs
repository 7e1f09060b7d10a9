//! The page in a real browser: `make test-ui`. Its tools are fetched, so this is not part of every run.

use super::{Api, Database, EVERYTHING, Service, eventd_ok, program, token, wait_until_leading};
use crate::support::pages::free_port;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "fetches a browser: make test-ui"]
async fn a_browser_finds_nothing_wrong() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let port = free_port().await;
    let mut command = program();
    command.args([
        "--database-url",
        &database.url(),
        "--log-format",
        "json",
        "run",
        "--api-listen",
        &port.to_string(),
    ]);
    let api = Api {
        service: Service::spawn(command),
        port,
    };
    api.wait().await;
    wait_until_leading(&database).await;
    let writer = token(&database, "writer", EVERYTHING, &["--user", "2"]).await;
    let reader = token(
        &database,
        "reader",
        "subscriptions:read,deliveries:read",
        &["--user", "2"],
    )
    .await;
    let admin = token(&database, "admin", "admin", &[]).await;
    let ended = tokio::process::Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/ui/run"))
        .env("UI_URL", format!("http://localhost:{}", api.port))
        .env("UI_DATABASE_URL", database.url())
        .env("UI_PSQL", database.server().psql())
        .env("UI_WRITER", writer)
        .env("UI_READER", reader)
        .env("UI_ADMIN", admin)
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
