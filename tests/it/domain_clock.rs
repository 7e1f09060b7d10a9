//! Domains that speak of the time mean the moment at which an event is processed, not the one at which the service started.

use crate::support::Database;
use crate::support::delivery::subscribe;
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{SOON, Service, eventd_ok};

#[tokio::test(flavor = "multi_thread")]
async fn now_is_when_the_event_is_processed() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::status(200));
    eventd_ok(&database.url(), &["install"]).await;
    let url = receiver.url("/");
    subscribe(
        &database,
        "sale.order",
        &url,
        &[
            "--event",
            "write",
            "--fields",
            "date_order",
            "--domain",
            "[('date_order', '<', datetime.datetime.now())]",
        ],
    )
    .await;
    let _service = Service::leading(&database).await;
    // Later than the moment at which the service looked at the subscription, and past when the event is processed.
    let id = database
        .psql("update sale_order set date_order = now() at time zone 'utc' where id = (select min(id) from sale_order) returning id")
        .await;
    let requests = receiver.wait_for(1, SOON).await;
    let id = id.lines().next().unwrap_or_default().trim().to_owned();
    assert_eq!(requests[0].json()["record_ids"].to_string(), format!("[{id}]"));
}
