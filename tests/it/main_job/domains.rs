//! Domains that look at other records, or cannot be judged.

use super::subscribe;
use crate::support::delivery::wait_true;
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd, eventd_ok, wait_until_leading};
use crate::support::{Database, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_over_other_records_sees_them_as_they_are_when_the_event_is_judged() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let by_country = [
        "--event",
        "write",
        "--fields",
        "client_order_ref",
        "--domain",
        "[('partner_id.name', '=', 'Watched')]",
    ];
    subscribe(&database, &receiver, &by_country).await;
    let refused = eventd(
        &database.url(),
        &[
            "subscribe",
            "--model",
            "sale.order",
            "--event",
            "unlink",
            "--domain",
            "[('order_line.name', '=', 'x')]",
        ],
    )
    .await;
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("cannot be judged for an unlink"));
    let _service = Service::leading(&database).await;
    database
        .psql(
            "update sale_order set client_order_ref = 'before';
             update res_partner set name = 'Watched' where id = (select partner_id from sale_order where id = 1);
             update sale_order set client_order_ref = 'after';",
        )
        .await;
    let orders = database
        .psql("select array_to_json(array_agg(id order by id)) from sale_order where partner_id = (select partner_id from sale_order where id = 1)")
        .await;
    let requests = receiver.wait_for(1, SOON).await;
    let last = requests.last().unwrap().json();
    assert_eq!(last["record_ids"].to_string(), orders.trim());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_may_not_read_other_records_says_so_on_the_subscription() {
    let server = crate::support::Server::private(odoo_eventd::demo::Options::new());
    let database = server.fixture().await;
    eventd_ok(&database.admin_url(), &["install"]).await;
    database
        .admin_client()
        .await
        .batch_execute("alter role odoo_eventd_listener login")
        .await
        .unwrap();
    let _service = Service::start(&database.url_as("odoo_eventd_listener"), &[]);
    database
        .psql(
            "insert into mcp_event_subscription (model, event_type, domain, webhook_url)
             values ('sale.order', 'write', '[(''partner_id.name'', ''='', ''x'')]', 'http://127.0.0.1:9/')",
        )
        .await;
    let error = eventually("the subscription to be looked at", SOON, async || {
        let row = database
            .psql("select error from mcp_event_subscription where state = 'invalid'")
            .await;
        (!row.trim().is_empty()).then(|| row.clone())
    })
    .await;
    assert!(
        error.contains("res_partner") && error.contains("pg_read_all_data"),
        "{error}"
    );
    if server.cluster().version().major < 14 {
        return;
    }
    // What it says helps.
    let admin = database.admin_client().await;
    admin
        .batch_execute("grant pg_read_all_data to odoo_eventd_listener")
        .await
        .unwrap();
    wait_true(&database, "(select state = 'ready' from mcp_event_subscription)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_fails_on_a_records_data_stops_no_other_subscription() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, &receiver, &["--domain", "[('amount_total', '>', 1)]"]).await;
    subscribe(&database, &receiver, &["--domain", "[('name', '!=', 'x')]"]).await;
    let _service = Service::leading(&database).await;
    // What no writer can bring about, somebody who repairs the outbox by hand can.
    database
        .psql(
            "insert into odoo_eventd.outbox_0 (id, xid, generation, op, record_id, at, new)
             select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), g.generation, 'I', 4711, now(),
                    array(select case c when 'amount_total' then 'not a number' else null end from unnest(g.columns) c)
               from odoo_eventd.capture c join odoo_eventd.capture_generation g on g.generation = c.generation",
        )
        .await;
    let requests = receiver.wait_for(1, SOON).await;
    assert_eq!(requests[0].json()["subscription_id"], 2);
    eventually("the failing subscription to be marked", SOON, async || {
        let row = database
            .psql("select id from mcp_event_subscription where state = 'invalid' and error like '%data%'")
            .await;
        (row.trim() == "1").then_some(())
    })
    .await;
    database
        .psql("update mcp_event_subscription set domain = '[]' where id = 1")
        .await;
    wait_until_leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'y' where id = 1")
        .await;
    assert_eq!(receiver.wait_for(3, SOON).await.len(), 3);
}
