//! Every output as JSON.

use serde_json::Value;

use super::{assert_kept, pretty};
use crate::support::Database;
use crate::support::delivery::{subscribe, wait_logged, wait_true};
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{Service, eventd, eventd_ok};

/// What a command prints with `--json`, whatever it ends with.
async fn printed(database: &Database, command: &[&str]) -> String {
    let output = eventd(&database.url(), command).await;
    let value: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{command:?}: {e}: {}", String::from_utf8_lossy(&output.stderr)));
    format!("exit code {}\n{}", output.status.code().unwrap(), pretty(value))
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_as_json_have_the_fields_that_they_had() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let before = printed(&database, &["status", "--json"]).await;
    assert_kept(&database, "status_without_a_service", &before);
    let options = [
        "--event",
        "write",
        "--fields",
        "client_order_ref,state",
        "--domain",
        "[('id', '<', 3)]",
        "--name",
        "orders",
        "--secret",
        "s3cr3t-s3cr3t",
        "--payload-fields",
        "name,partner_id.email",
        "--header",
        "X-Team: sales",
        "--max-attempts",
        "2",
        "--lang",
        "en_US",
        "--user-id",
        "2",
    ];
    let id = subscribe(&database, "sale.order", &receiver.url("/hook?key=secret"), &options).await;
    let id = id.to_string();
    for (name, command) in [
        ("subscribe", &["subscribe", "--model", "project.task", "--json"][..]),
        (
            "subscribe_dry_run",
            &[
                "subscribe",
                "--model",
                "sale.order",
                "--domain",
                "[('state', '=', 'sale')]",
                "--dry-run",
                "--json",
            ],
        ),
        (
            "subscribe_dry_run_refused",
            &[
                "subscribe",
                "--model",
                "sale.order",
                "--fields",
                "stat",
                "--dry-run",
                "--json",
            ],
        ),
    ] {
        let text = printed(&database, command).await;
        assert_kept(&database, name, &text);
    }
    let service = Service::leading(&database).await;
    wait_true(&database, "bool_and(state = 'ready') from mcp_event_subscription").await;
    receiver.replies([Reply::status(200), Reply::status(410).body("gone")]);
    database
        .psql("update sale_order set client_order_ref = 'a' where id = 1")
        .await;
    wait_logged(&database, "status = 'success'", 1).await;
    database
        .psql("update sale_order set client_order_ref = 'b' where id = 2")
        .await;
    wait_logged(&database, "status = 'failed'", 1).await;
    wait_true(&database, "bool_or(state = 'disabled') from mcp_event_subscription").await;
    for (name, command) in [
        ("deliveries", &["deliveries", "--json"][..]),
        (
            "redeliver_dry_run",
            &[
                "redeliver",
                "--failed",
                "--since",
                "2020-01-01T00:00:00Z",
                "--dry-run",
                "--json",
            ],
        ),
        ("test", &["test", &id, "--json"]),
        (
            "emit_dry_run",
            &["emit", "--subscription", &id, "--ids", "1", "--dry-run", "--json"],
        ),
        ("emit", &["emit", "--subscription", &id, "--ids", "5", "--json"]),
        ("history", &["history", "--json"]),
        ("subscriptions", &["subscriptions", "--json"]),
        ("status", &["status", "--json"]),
        ("doctor", &["doctor", "--json"]),
        ("secret_rotate", &["secret", "rotate", &id, "--json"]),
        (
            "erase_dry_run",
            &["erase", "--model", "sale.order", "--ids", "1", "--dry-run", "--json"],
        ),
    ] {
        let text = printed(&database, command).await;
        assert_kept(&database, name, &text);
    }
    service.terminate().await;
}
