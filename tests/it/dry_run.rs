//! `subscribe --dry-run` tells what a subscription would be, and leaves no trace.

use serde_json::Value;

use crate::support::service::{eventd, eventd_ok};
use crate::support::{Database, Server};

/// Everything that a subscription could leave behind: rows, triggers, functions, and the sequence of ids.
async fn traces(database: &Database) -> String {
    database
        .psql(
            "select (select count(*) from mcp_event_subscription), (select count(*) from odoo_eventd.subscription_need),
                    (select count(*) from odoo_eventd.subscription_secret), (select count(*) from odoo_eventd.capture),
                    (select count(*) from pg_trigger where tgname like 'odoo_eventd_%'),
                    (select count(*) from pg_proc where pronamespace = 'odoo_eventd'::regnamespace),
                    (select coalesce(last_value, 0) from pg_sequences where sequencename = 'mcp_event_subscription_id_seq')",
        )
        .await
}

#[tokio::test]
async fn a_dry_run_tells_matches_and_capture_and_writes_nothing() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let before = traces(&database).await;
    let dry = [
        "subscribe",
        "--dry-run",
        "--json",
        "--model",
        "sale.order",
        "--event",
        "write",
        "--fields",
        "state,note",
        "--domain",
        "[('amount_total', '>', 0)]",
        "--trigger-mode",
        "enter",
        "--url",
        "http://127.0.0.1:9/x",
        "--secret",
        "s3cret-s3cret-s3cret",
    ];
    let answer = eventd_ok(&database.url(), &dry).await;
    assert!(!answer.contains("s3cret"), "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let matching: i64 = database
        .psql("select count(*) from sale_order where amount_total > 0")
        .await
        .parse()
        .unwrap();
    assert!(matching > 0);
    assert_eq!(answer["matching_records"], matching);
    assert_eq!(answer["table"], "sale_order");
    assert_eq!(
        (answer["event_type"].as_str(), answer["trigger_mode"].as_str()),
        (Some("write"), Some("enter"))
    );
    assert_eq!(answer["watched"], serde_json::json!(["note", "state"]));
    assert_eq!(answer["captured"], serde_json::json!(["amount_total", "note", "state"]));
    assert_eq!(answer["kept_whole"], serde_json::json!(["amount_total"]));
    assert_eq!(answer["columns_to_add"], answer["captured"]);
    assert_eq!(answer["triggers_to_make"].as_array().map(Vec::len), Some(4));
    assert_eq!(traces(&database).await, before);

    // What is captured already is not to be made again.
    let made = [
        "subscribe",
        "--model",
        "sale.order",
        "--fields",
        "state",
        "--url",
        "http://127.0.0.1:9/x",
    ];
    eventd_ok(&database.url(), &made).await;
    let before = traces(&database).await;
    let answer: Value = serde_json::from_str(&eventd_ok(&database.url(), &dry).await).unwrap();
    assert_eq!(answer["columns_to_add"], serde_json::json!(["amount_total", "note"]));
    assert_eq!(answer["triggers_to_make"], serde_json::json!([]));
    let words = eventd_ok(&database.url(), &[&dry[..2], &dry[3..]].concat()).await;
    assert!(words.contains(&format!("matching now       {matching}")), "{words}");
    assert_eq!(traces(&database).await, before);
}

#[tokio::test]
async fn a_dry_run_says_what_is_refused_and_why() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let before = traces(&database).await;
    for (arguments, reason) in [
        (&["--model", "sale.ordr"][..], "did you mean"),
        (
            &["--model", "sale.order", "--domain", "[('nme', '=', 1)]"],
            "has no field \"nme\"",
        ),
        (&["--model", "sale.order", "--fields", "nope"], "has no field \"nope\""),
        (
            &["--model", "sale.order", "--event", "bogus"],
            "event_type cannot be \"bogus\"",
        ),
        (&["--model", "sale.order", "--timeout-ms", "0"], "timeout is sane"),
        (&["--model", "sale.order", "--url", "http://10.0.0.1/"], "10.0.0.1"),
        (&["--model", "res.users", "--fields", "password"], "password"),
        (
            &[
                "--model",
                "sale.order",
                "--event",
                "unlink",
                "--domain",
                "[('order_line.product_id', '=', 1)]",
            ],
            "unlink",
        ),
    ] {
        let output = eventd(&database.url(), &[&["subscribe", "--dry-run"], arguments].concat()).await;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {words}");
        assert!(words.contains(reason), "{arguments:?}: {words}");
        let output = eventd(
            &database.url(),
            &[&["subscribe", "--dry-run", "--json"], arguments].concat(),
        )
        .await;
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if !reason.starts_with("10.") {
            assert!(answer["refused"].is_string(), "{arguments:?}: {answer}");
            assert!(answer["column"].is_string(), "{arguments:?}: {answer}");
        }
        // The same without a dry run: nobody, the service least of all, ever sees a row that is about to be refused.
        let output = eventd(&database.url(), &[&["subscribe"], arguments].concat()).await;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {words}");
        assert!(words.starts_with("error: the subscription was not added: "), "{words}");
        assert!(words.contains(reason), "{arguments:?}: {words}");
    }
    assert_eq!(traces(&database).await, before);
}

#[tokio::test]
async fn a_refused_domain_is_shown_with_a_caret_under_the_place() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let wrong = ["subscribe", "--model", "sale.order", "--domain", "[('nme', '=', 1)]"];
    let output = eventd(&database.url(), &wrong).await;
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: the subscription was not added: domain: model sale.order has no field \"nme\"\n  [('nme', '=', 1)]\n    ^^^^^\n\
         hint: did you mean name?\n"
    );
    let answer = eventd(&database.url(), &[&wrong[..], &["--dry-run", "--json"]].concat()).await;
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(
        (&answer["column"], &answer["span"]),
        (&"domain".into(), &serde_json::json!([2, 7]))
    );
}

#[tokio::test]
async fn a_connection_that_may_not_read_is_told_what_would_be_captured_all_the_same() {
    let server = Server::private(odoo_eventd::demo::Options::new());
    let database = server.fixture().await;
    eventd_ok(&database.admin_url(), &["install"]).await;
    let admin = database.admin_client().await;
    admin
        .batch_execute("alter role odoo_eventd_listener login")
        .await
        .unwrap();
    let url = database.url_as("odoo_eventd_listener");
    let answer = eventd_ok(
        &url,
        &[
            "subscribe",
            "--dry-run",
            "--json",
            "--model",
            "sale.order",
            "--fields",
            "state",
        ],
    )
    .await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["matching_records"], Value::Null);
    assert!(
        answer["not_counted"].as_str().unwrap().contains("may not read"),
        "{answer}"
    );
    assert_eq!(answer["captured"], serde_json::json!(["state"]));
    // A domain over other records needs a right, and the refusal names the statement that gives it.
    let related = [
        "subscribe",
        "--dry-run",
        "--model",
        "sale.order",
        "--domain",
        "[('partner_id.name', '=', 'x')]",
        "--event",
        "write",
    ];
    let output = eventd(&url, &related).await;
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(
        words.contains("pg_read_all_data") && words.contains("odoo_eventd_listener"),
        "{words}"
    );
}
