//! What the command line does with what shells, environment files and pipes hand it.

use std::process::Stdio;

use tokio::io::AsyncReadExt;

use crate::support::Database;
use crate::support::service::{eventd, eventd_ok, program};

#[tokio::test]
async fn a_variable_that_is_set_and_empty_counts_as_not_set() {
    let shown = program()
        .env("ODOO_EVENTD_ALLOW_NETWORKS", "")
        .env("ODOO_EVENTD_ALLOW_PORTS", "")
        .env("ODOO_EVENTD_MAX_IN_FLIGHT", "")
        .env("ODOO_EVENTD_LISTEN_HTTP", "")
        .env("DATABASE_URL_FILE", "")
        .env("DATABASE_URL", "postgres://localhost/odoo")
        .args(["run", "--print-config"])
        .output()
        .await
        .unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let shown: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["settings"]["allow_networks"], serde_json::json!([]));
    assert_eq!(shown["settings"]["max_in_flight"], 256);
}

#[tokio::test]
async fn whoever_has_read_enough_of_what_is_printed_gets_no_error() {
    let mut printing = program()
        .arg("man")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(printing.stdout.take());
    let mut said = String::new();
    printing.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
    assert!(printing.wait().await.unwrap().success(), "{said}");
    assert_eq!(said, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_may_have_spaces_and_choices_are_named() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    eventd_ok(
        &database.url(),
        &["subscribe", "--model", "sale.order", "--fields", "state, amount_total,"],
    )
    .await;
    assert_eq!(
        database.psql("select fields from mcp_event_subscription").await.trim(),
        "{state,amount_total}"
    );
    for (option, choices) in [
        ("--event", "create, write, unlink, all"),
        ("--trigger-mode", "match, enter, leave"),
        ("--format", "json, xml"),
        ("--grouping", "transaction, record"),
        ("--http-method", "GET, POST, PUT, PATCH, DELETE"),
    ] {
        let refused = eventd(
            &database.url(),
            &["subscribe", "--model", "sale.order", option, "other"],
        )
        .await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(
            said.contains(&format!("hint: choose one of {choices}")),
            "{option}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_told_in_utc_whatever_the_servers_time_zone() {
    let database = Database::fixture().await;
    database
        .psql(&format!(
            "alter database {} set timezone = 'America/New_York'",
            database.name()
        ))
        .await;
    eventd_ok(&database.url(), &["install"]).await;
    eventd_ok(&database.url(), &["subscribe", "--model", "sale.order"]).await;
    eventd_ok(&database.url(), &["capture", "off"]).await;
    for (command, place) in [
        (&["status", "--json"][..], "/gaps/0/from"),
        (&["history", "--json"], "/0/at"),
    ] {
        let output = eventd(&database.url(), command).await;
        let shown: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let time = shown.pointer(place).unwrap().as_str().unwrap();
        assert!(time.ends_with("+00:00"), "{command:?}: {time}");
    }
    let doctor = eventd(&database.url(), &["doctor"]).await;
    let found = String::from_utf8(doctor.stdout).unwrap();
    assert!(found.contains("+00:00 to now: switched off"), "{found}");
}

#[tokio::test]
async fn the_demonstration_goes_as_it_says_to_its_end() {
    let shown = program().arg("demo").output().await.unwrap();
    let said = String::from_utf8_lossy(&shown.stderr) + String::from_utf8_lossy(&shown.stdout);
    assert!(shown.status.success(), "{said}");
    for arrived in ["sale.order.write", "project.task.create"] {
        assert!(said.contains(arrived), "{said}");
    }
}
