//! A database that becomes a copy, or is marked as one, while the service runs: from then on nothing leaves, whatever waits.

use std::fs::File;

use odoo_eventd::demo::scratch::Scratch;

use crate::support::delivery::{logged, order_refs, subscribe, wait_logged, write_ref};
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{SOON, Service, eventd, eventd_ok, program, wait_until_assisted, wait_until_leading};
use crate::support::{Database, eventually};

/// The service, and where it writes its log.
fn logged_service(database: &Database, scratch: &Scratch) -> (Service, std::path::PathBuf) {
    let path = scratch.path().join("service.log");
    let mut command = program();
    command.args(["--database-url", &database.url(), "--log-format", "json", "run"]);
    (Service::logging_to(File::create(&path).unwrap(), command), path)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_a_database_a_copy_silences_a_running_service_at_once_and_loses_nothing() {
    for (mark, unmark) in [
        (
            "insert into ir_config_parameter (key, value) values ('database.is_neutralized', 'true')",
            Some("delete from ir_config_parameter where key = 'database.is_neutralized'"),
        ),
        (
            "insert into ir_config_parameter (key, value) values ('database.is_neutralized', 'true')",
            None,
        ),
        (
            "update ir_config_parameter set value = 'another' where key = 'database.uuid'",
            None,
        ),
        (
            "update odoo_eventd.installation set database_name = 'elsewhere'",
            Some("update odoo_eventd.installation set database_name = current_database()"),
        ),
        (
            "update odoo_eventd.installation set epoch = '00000000-0000-0000-0000-000000000000'",
            None,
        ),
    ] {
        let database = Database::fixture().await;
        let scratch = Scratch::new(None).unwrap();
        let receiver = Receiver::answering(|request| match request.path.as_str() {
            "/again" => Reply::status(503),
            _ => Reply::status(200),
        })
        .await;
        let once = order_refs(&database, &receiver, &[]).await;
        let retrying = [
            "--event",
            "write",
            "--fields",
            "client_order_ref",
            "--max-attempts",
            "50",
        ];
        let pauses = [
            "--retry-first-ms",
            "1000",
            "--retry-max-ms",
            "1000",
            "--no-retry-jitter",
        ];
        let options = [&retrying[..], &pauses].concat();
        subscribe(&database, "sale.order", &receiver.url("/again"), &options).await;
        let (service, log) = logged_service(&database, &scratch);
        wait_until_leading(&database).await;
        write_ref(&database, 1, "before").await;
        wait_logged(&database, "status = 'success'", 1).await;
        wait_logged(&database, "status = 'failed' and attempt = 1", 1).await;

        database.psql(mark).await;
        let marked_at = database.psql("select clock_timestamp() at time zone 'utc'").await;
        for order in 1..=8 {
            write_ref(&database, order, "after").await;
        }
        // Its waiting retries are due many times over until it has noticed, and while it waits.
        eventually("the service to say that it is silent", SOON, async || {
            let log = std::fs::read_to_string(&log).unwrap();
            log.contains("nothing is delivered from this database").then_some(())
        })
        .await;
        let sent = format!("create_date > '{}'", marked_at.trim());
        assert_eq!(logged(&database, &sent).await, 0, "{mark}");
        let status = eventd(&database.url(), &["status"]).await;
        let told = String::from_utf8_lossy(&status.stdout).into_owned() + &String::from_utf8_lossy(&status.stderr);
        assert!(!status.status.success(), "{told}");
        assert!(
            told.contains("nothing is delivered: ") && told.contains("adopt"),
            "{told}"
        );
        let doctor = eventd(&database.url(), &["doctor"]).await;
        let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
        assert!(
            told.contains("nothing is delivered: ") && told.contains("adopt"),
            "{told}"
        );

        match unmark {
            Some(unmark) => drop(database.psql(unmark).await),
            None => drop(eventd_ok(&database.url(), &["adopt", "--pending", "keep"]).await),
        }
        let arrived = format!("subscription_id = {once} and status = 'success'");
        eventually(&format!("all that waited after: {mark}"), SOON, async || {
            (logged(&database, &arrived).await == 9).then_some(())
        })
        .await;
        drop(service);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assistant_is_silenced_with_the_instance_that_leads() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::status(503));
    let pauses = [
        "--retry-first-ms",
        "1000",
        "--retry-max-ms",
        "1000",
        "--no-retry-jitter",
    ];
    order_refs(
        &database,
        &receiver,
        &[&["--max-attempts", "100"][..], &pauses].concat(),
    )
    .await;
    let _leading = Service::leading(&database).await;
    let _assistant = Service::start(&database.url(), &[]);
    wait_until_assisted(&database).await;
    for order in 1..=5 {
        write_ref(&database, order, "again").await;
    }
    wait_logged(&database, "status = 'failed' and attempt = 1", 5).await;
    database
        .psql("insert into ir_config_parameter (key, value) values ('database.is_neutralized', 'true')")
        .await;
    let marked_at = database.psql("select clock_timestamp() at time zone 'utc'").await;
    // Every delivery has been due for longer than anybody lets one wait.
    eventually("retries that nobody makes", SOON, async || {
        let waiting = "select count(*) = 5 from odoo_eventd.delivery where due_at < clock_timestamp() - interval '3 s'";
        (database.psql(waiting).await.trim() == "t").then_some(())
    })
    .await;
    let sent = format!("create_date > '{}'", marked_at.trim());
    assert_eq!(logged(&database, &sent).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_holds_odoos_parameters_does_not_keep_deliveries_waiting() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    order_refs(&database, &receiver, &[]).await;
    let _service = Service::leading(&database).await;
    let upgrade = database.client().await;
    upgrade
        .batch_execute("begin; lock table ir_config_parameter in access exclusive mode")
        .await
        .unwrap();
    for order in 1..=3 {
        write_ref(&database, order, "meanwhile").await;
    }
    wait_logged(&database, "status = 'success'", 3).await;
    upgrade.batch_execute("rollback").await.unwrap();
}
