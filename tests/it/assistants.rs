//! Several instances on one database: one leads, the others deliver what it leaves.

use std::collections::HashSet;
use std::fs::File;
use std::time::Duration;

use odoo_eventd::demo::scratch::Scratch;

use crate::support::delivery::{number, order_refs, wait_logged, wait_true, write_ref};
use crate::support::receiver::{Receiver, Recorded, Reply};
use crate::support::service::{SOON, Service, eventd_ok, program, wait_until_assisted, wait_until_leading};
use crate::support::{Database, eventually};

/// One request at a time: the other instance has to help.
const NARROW: [&str; 2] = ["--max-in-flight-per-endpoint", "1"];

const ASSISTED: &str = "select count(*) from odoo_eventd.delivery where term < 0";

/// A leading instance that sends one request at a time, and an assistant that has looked at the subscriptions.
async fn two_instances(database: &Database) -> (Service, Service) {
    let leading = Service::start(&database.url(), &NARROW);
    wait_until_leading(database).await;
    wait_true(
        database,
        "not exists (select from mcp_event_subscription where state is distinct from 'ready')",
    )
    .await;
    let assistant = Service::start(&database.url(), &[]);
    wait_until_assisted(database).await;
    (leading, assistant)
}

async fn write_refs(database: &Database, count: i64) {
    database
        .psql(&format!(
            "do $$ begin for n in 1..{count} loop update sale_order set client_order_ref = 'r' || n where id = 1 + n % 4; commit; end loop; end $$"
        ))
        .await;
}

fn ids(requests: &[Recorded]) -> HashSet<String> {
    requests
        .iter()
        .map(|request| request.header("webhook-id").unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assistant_sends_what_the_leading_instance_has_no_room_for_and_nothing_goes_twice() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::status(200).after(Duration::from_millis(50)));
    eventd_ok(&database.url(), &["install"]).await;
    order_refs(&database, &receiver, &[]).await;
    let _instances = two_instances(&database).await;
    write_refs(&database, 120).await;
    wait_logged(&database, "status = 'success'", 120).await;
    let requests = receiver.requests();
    assert_eq!((requests.len(), ids(&requests).len()), (120, 120));
    assert!(
        number(&database, ASSISTED).await > 20,
        "the assistant sent next to nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_one_sender_is_left_to_the_leading_instance() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::status(200).after(Duration::from_millis(10)));
    eventd_ok(&database.url(), &["install"]).await;
    order_refs(&database, &receiver, &["--ordered"]).await;
    order_refs(&database, &receiver, &["--rate-limit", "100"]).await;
    let _instances = two_instances(&database).await;
    write_refs(&database, 40).await;
    wait_logged(&database, "status = 'success'", 80).await;
    assert_eq!(number(&database, ASSISTED).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assistant_that_is_killed_is_found_dead_and_its_one_shots_are_not_sent_twice() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::hang());
    eventd_ok(&database.url(), &["install"]).await;
    let once = order_refs(&database, &receiver, &["--timeout-ms", "600000"]).await;
    let (leading, assistant) = two_instances(&database).await;
    write_refs(&database, 8).await;
    // The leading one has one request under way, the assistant some of the rest.
    wait_true(
        &database,
        "(select count(*) >= 2 from odoo_eventd.delivery where term < 0 and state = 'sending')",
    )
    .await;
    let sent_by_it = number(&database, ASSISTED).await;
    assistant.kill().await;
    receiver.otherwise(Reply::status(200));
    // A new leader looks at once; the old one within a minute.
    leading.kill().await;
    let _next = Service::leading(&database).await;
    wait_logged(&database, "error = 'interrupted'", sent_by_it + 1).await;
    wait_logged(&database, "status = 'success'", 8 - sent_by_it - 1).await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), ids(&requests).len(), "subscription {once} is one-shot");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assistant_that_takes_the_lead_finishes_what_it_had_under_way() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::status(200).after(Duration::from_millis(1_500)));
    eventd_ok(&database.url(), &["install"]).await;
    order_refs(&database, &receiver, &[]).await;
    let (leading, _assistant) = two_instances(&database).await;
    write_refs(&database, 6).await;
    wait_true(
        &database,
        "(select count(*) >= 2 from odoo_eventd.delivery where term < 0 and state = 'sending')",
    )
    .await;
    leading.kill().await;
    wait_true(&database, "(select term >= 2 from odoo_eventd.position)").await;
    write_ref(&database, 1, "after").await;
    // One was the killed leader's.
    wait_logged(&database, "error = 'interrupted'", 1).await;
    wait_logged(&database, "status = 'success'", 6).await;
    let requests = receiver.wait_for(7, SOON).await;
    assert_eq!((requests.len(), ids(&requests).len()), (7, 7));
    wait_true(
        &database,
        "(select count(*) = 0 from odoo_eventd.assistant where ended_at is null)",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_copy_nobody_assists() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::status(503));
    eventd_ok(&database.url(), &["install"]).await;
    order_refs(
        &database,
        &receiver,
        &["--max-attempts", "3", "--retry-first-ms", "1000", "--no-retry-jitter"],
    )
    .await;
    let (leading, assistant) = two_instances(&database).await;
    write_ref(&database, 1, "once").await;
    wait_logged(&database, "status = 'failed'", 1).await;
    let _ = leading.terminate().await;
    let _ = assistant.terminate().await;
    database
        .psql("insert into ir_config_parameter (key, value) values ('database.is_neutralized', 'true')")
        .await;
    let sent = receiver.requests().len();
    let _both = (
        Service::start(&database.url(), &[]),
        Service::start(&database.url(), &[]),
    );
    wait_true(
        &database,
        "(select count(*) = 1 from odoo_eventd.assistant where ended_at is null)",
    )
    .await;
    wait_true(
        &database,
        "(select min(due_at) < clock_timestamp() - interval '2 s' from odoo_eventd.delivery where state = 'waiting')",
    )
    .await;
    assert_eq!(receiver.requests().len(), sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_whose_sessions_are_ended_stays_away_like_the_leading_instance() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let admin = database.admin_client().await;
    let scratch = Scratch::new(None).unwrap();
    // Which of its connections finds out first is a matter of luck.
    for round in 1..=5 {
        let leading = Service::leading(&database).await;
        let path = scratch.path().join(format!("{round}.log"));
        let mut command = program();
        command.args(["--database-url", &database.url(), "--log-format", "json", "run"]);
        let standby = Service::logging_to(File::create(&path).unwrap(), command);
        wait_until_assisted(&database).await;
        // As Odoo's manager does it, and newest first: the assistant's before the one that waits for the lead.
        admin
            .batch_execute(
                "select pg_terminate_backend(pid) from (
                   select pid from pg_stat_activity where datname = current_database() and application_name = 'odoo-eventd'
                    order by backend_start desc offset 0) newest_first",
            )
            .await
            .unwrap();
        let said = eventually("the standby to say what it does about it", SOON, async || {
            let log = std::fs::read_to_string(&path).unwrap();
            log.lines()
                .find(|line| line.contains("the term ended"))
                .map(str::to_owned)
        })
        .await;
        assert!(said.contains("\"stays_away\":true"), "{round}: {said}");
        standby.kill().await;
        leading.kill().await;
        // The next round waits for another one.
        admin
            .batch_execute("update odoo_eventd.assistant set ended_at = now() where ended_at is null")
            .await
            .unwrap();
    }
}
