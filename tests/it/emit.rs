//! `emit`, which sends existing records, and `test`, which sends a marked event.

use std::collections::HashSet;

use odoo_eventd::signature::{Secret, verify_body};
use serde_json::{Value, json};

use crate::support::Database;
use crate::support::delivery::{eventd_fails, logged, number, order_refs, subscribe, wait_logged, wait_true};
use crate::support::receiver::{Receiver, Recorded, Reply};
use crate::support::service::{SOON, Service, eventd, eventd_ok};

fn ids(requests: &[Recorded]) -> Vec<i64> {
    let mut ids: Vec<i64> = requests
        .iter()
        .flat_map(|r| r.json()["record_ids"].as_array().unwrap().clone())
        .map(|id| id.as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn existing_records_are_sent_once_however_often_their_run_is_repeated() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("insert into res_partner (name, complete_name) select 'bulk', n from generate_series(1, 2500) n")
        .await;
    let options = ["--domain", "[('name', '=', 'bulk')]"];
    let id = subscribe(&database, "res.partner", &receiver.url("/"), &options)
        .await
        .to_string();
    let _service = Service::leading(&database).await;
    let url = database.url();
    let emit = async |more: &[&str]| -> Value {
        let mut arguments = vec!["emit", "--subscription", &id, "--json"];
        arguments.extend(more);
        serde_json::from_str(&eventd_ok(&url, &arguments).await).unwrap()
    };
    assert_eq!(
        emit(&["--domain", "[]", "--dry-run"]).await["records"],
        2500,
        "its own domain holds"
    );
    assert_eq!(logged(&database, "true").await, 0);

    let made = emit(&["--domain", "[]", "--run", "first"]).await;
    assert_eq!((&made["records"], &made["deliveries"]), (&json!(2500), &json!(3)));
    let requests = receiver.wait_for(3, SOON).await;
    let sent = ids(&requests);
    let distinct: HashSet<i64> = sent.iter().copied().collect();
    assert_eq!((sent.len(), distinct.len()), (2500, 2500));
    for request in &requests {
        let body = request.json();
        assert_eq!(request.header("x-mcp-event"), Some("res.partner.create"));
        assert_eq!(body["event_id"], made["event_id"]);
        assert_eq!((&body["user_id"], &body["changed_fields"]), (&Value::Null, &json!([])));
    }
    wait_logged(&database, "status = 'success'", 3).await;
    let again = emit(&["--domain", "[]", "--run", "first"]).await;
    assert_eq!(
        (&again["was_finished"], &again["deliveries"]),
        (&json!(true), &json!(3))
    );
    let said = eventd_fails(
        &database,
        &["emit", "--subscription", &id, "--ids", "1", "--run", "first"],
    )
    .await;
    assert!(said.contains("other records"), "{said}");

    // A change of a record is an event of its own, and so is another run.
    let two: Vec<String> = sent[..2].iter().map(i64::to_string).collect();
    let other = emit(&["--ids", &two.join(","), "--run", "second"]).await;
    assert_ne!(other["event_id"], made["event_id"]);
    assert_eq!(ids(&receiver.wait_for(4, SOON).await[3..]), sent[..2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_cut_off_goes_on_where_it_stopped() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("insert into res_partner (name, complete_name) select 'bulk', n from generate_series(1, 11500) n")
        .await;
    let options = [
        "--event",
        "create",
        "--domain",
        "[('name', '=', 'bulk')]",
        "--grouping",
        "record",
    ];
    let id = subscribe(&database, "res.partner", &receiver.url("/"), &options)
        .await
        .to_string();
    // Nobody sends, so the run waits once ten thousand are unsent; then it is killed.
    let arguments = ["emit", "--subscription", &id, "--domain", "[]", "--run", "long"];
    let mut running = crate::support::service::program()
        .args(["--database-url", &database.url()])
        .args(arguments)
        .spawn()
        .unwrap();
    wait_true(&database, "count(*) = 10000 from odoo_eventd.delivery").await;
    running.kill().await.unwrap();
    database
        .psql("delete from odoo_eventd.delivery where record_ids[1] % 2 = 0")
        .await;
    let left = number(&database, "select count(*) from odoo_eventd.delivery").await;

    eventd_ok(&database.url(), &arguments).await;
    assert_eq!(
        number(&database, "select count(*) from odoo_eventd.delivery").await,
        left + 1500,
        "what was gone through is not gone through again"
    );
    assert_eq!(
        database
            .psql("select deliveries, records, finished_at is not null from odoo_eventd.emit_run")
            .await
            .trim(),
        "11500|11500|t"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn emitted_records_come_as_the_subscription_takes_them() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    let writes = order_refs(&database, &receiver, &["--ordered", "--rate-limit", "20"])
        .await
        .to_string();
    for (event, mode) in [("unlink", "match"), ("write", "leave")] {
        let options = ["--event", event, "--trigger-mode", mode];
        let id = subscribe(&database, "sale.order", &receiver.url("/"), &options)
            .await
            .to_string();
        let said = eventd_fails(&database, &["emit", "--subscription", &id, "--domain", "[]"]).await;
        assert!(said.contains("existing"), "{said}");
    }
    for (arguments, says) in [
        (vec!["--subscription", "4711", "--domain", "[]"], "no subscription 4711"),
        (
            vec!["--subscription", &writes, "--domain", "[('no_such', '=', 1)]"],
            "no_such",
        ),
        (vec!["--subscription", &writes], "--ids"),
    ] {
        let said = eventd_fails(&database, &[vec!["emit"], arguments].concat()).await;
        assert!(said.contains(says), "{said}");
    }
    let _service = Service::leading(&database).await;
    eventd_ok(
        &database.url(),
        &["emit", "--subscription", &writes, "--ids", "2,1,2,999999"],
    )
    .await;
    let requests = receiver.wait_for(2, SOON).await;
    assert_eq!(ids(&requests), [1, 2]);
    assert!(
        requests
            .iter()
            .all(|r| r.header("x-mcp-event") == Some("sale.order.write"))
    );
    assert_eq!(
        number(
            &database,
            "select count(*) from odoo_eventd.delivery where lane_position is not null"
        )
        .await,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_is_marked_signed_logged_and_shown_with_and_without_the_service() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([
        Reply::status(200).body("fine"),
        Reply::status(500).body("broken"),
        Reply::status(200),
    ]);
    let secret = "a-secret-of-thirty-two-bytes-or-more";
    let id = order_refs(
        &database,
        &receiver,
        &["--secret", secret, "--header", "X-Key: hush-hush"],
    )
    .await
    .to_string();
    let shown = eventd_ok(&database.url(), &["test", &id]).await;
    let request = &receiver.wait_for(1, SOON).await[0];
    let body = String::from_utf8(request.body.clone()).unwrap();
    assert_eq!(request.json()["test"], true);
    assert_eq!(request.header("x-mcp-test"), Some("true"));
    assert_eq!(request.header("x-mcp-event"), Some("sale.order.test"));
    assert_eq!(request.header("x-key"), Some("hush-hush"));
    let signature = request.header("x-mcp-signature").unwrap();
    assert!(verify_body(&[Secret::parse(secret).unwrap()], signature, &request.body).is_ok());
    for part in [body.as_str(), signature, "HTTP 200", "fine", "x-key: ***"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    assert!(!shown.contains("hush-hush") && !shown.contains(secret), "{shown}");
    let delivery = request.header("webhook-id").unwrap();
    let condition = format!(
        "delivery_id = '{delivery}' and status = 'success' and response_body = 'fine' and finished_at is not null"
    );
    assert_eq!(logged(&database, &condition).await, 1);

    let _service = Service::leading(&database).await;
    let failed = eventd(&database.url(), &["test", &id, "--json"]).await;
    assert_eq!(failed.status.code(), Some(1));
    let failed: Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!(
        (&failed["response_code"], &failed["error"]),
        (&json!(500), &json!("http_status"))
    );
    assert_eq!(
        logged(&database, "status = 'failed' and response_body = 'broken'").await,
        1
    );
    assert_eq!(
        eventd_ok(&database.url(), &["deliveries", "--dead", "--json"])
            .await
            .trim(),
        "[]"
    );

    // Also where nothing else is sent: to see whether it may be enabled again.
    eventd_ok(&database.url(), &["unsubscribe", &id]).await;
    eventd_ok(&database.url(), &["test", &id]).await;
    let said = eventd_fails(&database, &["test", "4711"]).await;
    assert!(said.contains("no subscription 4711"), "{said}");
    let guarded = eventd(&database.url(), &["test", &id, "--allow-networks", "10.0.0.0/8"]).await;
    assert_eq!(
        guarded.status.code(),
        Some(2),
        "the guard of the service is this one's too"
    );
    assert_eq!(receiver.requests().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_by_hand_from_a_copy() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    let id = order_refs(&database, &receiver, &[]).await.to_string();
    database
        .psql("update ir_config_parameter set value = 'another' where key = 'database.uuid'")
        .await;
    let delivery = "00000000-0000-4000-8000-000000000000";
    for command in [
        &["test", &id][..],
        &["emit", "--subscription", &id, "--ids", "1"],
        &["redeliver", delivery],
    ] {
        let refused = eventd(&database.url(), command).await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(1), "{command:?}: {said}");
        assert!(
            said.contains("nothing is delivered from this database") && said.contains("odoo-eventd adopt"),
            "{command:?}: {said}"
        );
    }
    assert_eq!(number(&database, "select count(*) from odoo_eventd.delivery").await, 0);
    assert_eq!(receiver.requests().len(), 0);
    eventd_ok(
        &database.url(),
        &["emit", "--subscription", &id, "--ids", "1", "--dry-run"],
    )
    .await;
    eventd_ok(&database.url(), &["adopt", "--pending", "drop"]).await;
    receiver.otherwise(Reply::status(200));
    eventd_ok(&database.url(), &["test", &id]).await;
}
