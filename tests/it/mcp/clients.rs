//! The door against other people's clients and suites: `make test-mcp`. They are fetched, so this is not part of every run.

use super::Home;
use crate::support::pages::free_port;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "fetches clients and takes minutes: make test-mcp"]
async fn official_clients_and_suites_find_nothing() {
    let (port, issuer_port) = (free_port().await, free_port().await);
    let issuer = format!("http://localhost:{issuer_port}");
    let jwks = format!("{issuer}/jwks");
    let url = format!("http://localhost:{port}/mcp");
    let home = Home::on(
        port,
        &[
            "--api-requests-per-second",
            "100000",
            "--mcp-oauth-issuer",
            &issuer,
            "--mcp-oauth-jwks-url",
            &jwks,
            "--mcp-oauth-audience",
            &url,
        ],
    )
    .await;
    let programs =
        std::env::var("ODOO_EVENTD_PG_BINDIR").map_or_else(|_| "psql".to_owned(), |bin| format!("{bin}/psql"));
    let ended = tokio::process::Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/mcp/run"))
        .env("MCP_URL", url)
        .env("MCP_TOKEN", &home.token)
        .env("MCP_PSQL", programs)
        .env("MCP_DATABASE_URL", home.database.url())
        .env("OIDC_ISSUER", issuer)
        .status()
        .await
        .unwrap();
    assert!(ended.success(), "{ended}");
    let (status, log) = home.api.service.terminate().await;
    assert!(status.success());
    assert!(!log.contains("panic"), "{log}");
}
