//! Endpoints that hang, fail or reset leave the others their slots, and nothing is lost.

use crate::support::Database;
use crate::support::delivery::{logged, number, subscribe, wait_logged};
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{SOON, Service, eventd_ok, wait_until_leading};

const EVENTS_EACH: i64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_hang_fail_or_reset_keep_nothing_from_the_others_and_nothing_is_lost() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let mut receivers = Vec::new();
    for number in 0..20 {
        let receiver = Receiver::start().await;
        receiver.otherwise(match number {
            0..4 => Reply::hang(),
            4..6 => Reply::status(503),
            6..8 => Reply::reset(),
            _ => Reply::status(200),
        });
        let domain = format!("[('name', '=', 'e{number}')]");
        // Those that hang do so for as long as this test takes.
        let options = [
            "--event",
            "create",
            "--grouping",
            "record",
            "--domain",
            &domain,
            "--timeout-ms",
            "600000",
        ];
        subscribe(&database, "res.partner", &receiver.url("/"), &options).await;
        receivers.push(receiver);
    }
    // Fewer slots than those that hang would take if they were let.
    let _service = Service::start(&database.url(), &["--max-in-flight", "24"]);
    wait_until_leading(&database).await;
    database
        .psql(&format!(
            "insert into res_partner (name, complete_name)
             select 'e' || e, n from generate_series(1, {EVENTS_EACH}) n, generate_series(0, 19) e"
        ))
        .await;
    for receiver in &receivers[8..] {
        let requests = receiver.wait_for(usize::try_from(EVENTS_EACH).unwrap(), SOON).await;
        let mut ids: Vec<_> = requests
            .iter()
            .map(|r| r.header("webhook-id").unwrap().to_owned())
            .collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(i64::try_from(ids.len()).unwrap(), EVENTS_EACH);
    }
    wait_logged(&database, "status = 'success'", 12 * EVENTS_EACH).await;
    wait_logged(
        &database,
        "error = 'http_status' and response_code = 503",
        2 * EVENTS_EACH,
    )
    .await;
    wait_logged(&database, "error = 'connection_reset'", 2 * EVENTS_EACH).await;
    // What hangs is under way or waits; each of the others has one attempt, and no delivery two successes.
    let hanging = number(
        &database,
        "select count(*) from odoo_eventd.delivery where state in ('waiting', 'sending') and subscription_id <= 4",
    )
    .await;
    assert_eq!(hanging, 4 * EVENTS_EACH);
    let (under_way, arrived) = (logged(&database, "status = 'pending'").await, receivers[..4].iter());
    assert!(under_way > 0 && under_way < 24, "{under_way}");
    assert!(arrived.map(|r| r.requests().len()).sum::<usize>() > 0);
    assert_eq!(
        number(&database, "select count(*) from odoo_eventd.delivery").await,
        20 * EVENTS_EACH
    );
    assert_eq!(
        number(
            &database,
            "select count(*) from (select delivery_id from mcp_webhook_delivery group by 1 having count(*) > 1) x"
        )
        .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_of_one_dead_endpoint_share_its_bound() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let (dead, well) = (Receiver::start().await, Receiver::start().await);
    dead.otherwise(Reply::hang());
    let options = ["--event", "create", "--grouping", "record", "--timeout-ms", "600000"];
    for path in ["/a", "/b", "/c"] {
        subscribe(&database, "res.partner", &dead.url(path), &options).await;
    }
    subscribe(&database, "res.partner", &well.url("/"), &options).await;
    let _service = Service::start(&database.url(), &["--max-in-flight-per-endpoint", "3"]);
    wait_until_leading(&database).await;
    database
        .psql("insert into res_partner (name, complete_name) select n, n from generate_series(1, 50) n")
        .await;
    well.wait_for(50, SOON).await;
    wait_logged(&database, "status = 'success'", 50).await;
    assert_eq!(logged(&database, "status = 'pending'").await, 3);
    assert_eq!(dead.wait_for(3, SOON).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_of_one_failing_endpoint_are_tried_side_by_side() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let failing = Receiver::start().await;
    failing.otherwise(Reply::status(503));
    for number in 0..8 {
        subscribe(
            &database,
            "res.partner",
            &failing.url(&format!("/{number}")),
            &["--event", "create"],
        )
        .await;
    }
    let _service = Service::start(&database.url(), &[]);
    wait_until_leading(&database).await;
    let create = "insert into res_partner (name, complete_name) values ('n', 'n')";
    database.psql(create).await;
    wait_logged(&database, "error = 'http_status'", 8).await;
    // It is known to fail now, so its deliveries wait for the regular look: one look claims for all, not for whoever comes first.
    database.psql(create).await;
    wait_logged(&database, "error = 'http_status'", 16).await;
    let looks = "select count(distinct create_date) from mcp_webhook_delivery
                  where event_id = (select event_id from mcp_webhook_delivery order by create_date desc limit 1)";
    assert_eq!(number(&database, looks).await, 1);
}
