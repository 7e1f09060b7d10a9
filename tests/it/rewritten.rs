//! Tables that somebody writes anew while they are about to be read: a statement that waited for such a table sees none of its rows.

use crate::support::delivery::{subscribe, wait_true};
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd_ok};
use crate::support::{Database, eventually};

const REWRITE: &str = "add column x_rewritten double precision default random()";

async fn waits_and_says_so(database: &Database, what: &str) {
    wait_true(
        database,
        &format!("(select odoo_eventd.status() -> 'troubles') @> '[{{\"what\": \"{what}\"}}]'"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_for_a_table_that_was_written_anew_is_told_with_all_that_it_holds() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql(
            "insert into sale_order_tag_rel select o.id, t.id from sale_order o, crm_tag t where o.id = 1 on conflict do nothing;
             update sale_order set state = 'sale' where id in (select order_id from sale_order_line)",
        )
        .await;
    for (model, options) in [
        // Whose link it is, who inherits, what a domain looks at, and what a payload reads.
        (
            "sale.order",
            &["--fields", "tag_ids", "--domain", "[('state', '!=', 'x')]"][..],
        ),
        ("res.users", &["--fields", "email"]),
        (
            "sale.order.line",
            &["--fields", "name", "--domain", "[('order_id.state', '=', 'sale')]"],
        ),
        (
            "sale.order.line",
            &[
                "--fields",
                "name",
                "--payload-fields",
                "order_id.name,order_id.tag_ids.name",
            ],
        ),
    ] {
        let options: Vec<&str> = ["--event", "write"].iter().chain(options).copied().collect();
        subscribe(&database, model, &receiver.url("/"), &options).await;
    }
    let _service = Service::leading(&database).await;

    let upgrade = database.client().await;
    upgrade
        .batch_execute(&format!(
            "begin; alter table sale_order {REWRITE}; alter table res_users {REWRITE}"
        ))
        .await
        .unwrap();
    database
        .psql(
            "begin;
             delete from sale_order_tag_rel where order_id = 1;
             update res_partner set email = 'rewritten@example.com' where id = 3;
             update sale_order_line set name = 'rewritten' where id = (select min(id) from sale_order_line);
             commit",
        )
        .await;
    waits_and_says_so(&database, "read what waiting events need").await;
    assert_eq!(receiver.requests().len(), 0);
    // Nobody holds one of them while waiting for another: else one of the two would have to be ended.
    upgrade
        .batch_execute(&format!("alter table sale_order_tag_rel {REWRITE}; commit"))
        .await
        .unwrap();

    let requests = receiver.wait_for(4, SOON).await;
    let mut told: Vec<String> = requests
        .iter()
        .map(|request| {
            let body = request.json();
            let values = &body["records"][0]["values"];
            format!("{} {} {}", body["model"], body["changed_fields"], values)
        })
        .collect();
    told.sort();
    let payload = told.iter().find(|told| told.contains("order_id.tag_ids")).cloned();
    assert!(told[0].starts_with(r#""res.users" ["email"]"#), "{told:#?}");
    assert!(told[1].starts_with(r#""sale.order" ["tag_ids"]"#), "{told:#?}");
    assert!(payload.is_some_and(|told| !told.contains("null")), "{told:#?}");
    eventually("the trouble is over", SOON, async || {
        let troubles = database.psql("select odoo_eventd.status() -> 'troubles'").await;
        (troubles.trim() == "[]").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_written_anew_while_they_are_read_are_all_still_there() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, "crm.tag", &receiver.url("/"), &["--event", "write"]).await;
    let _service = Service::leading(&database).await;
    let upgrade = database.client().await;
    for table in ["ir_model", "ir_model_fields"] {
        upgrade
            .batch_execute(&format!("begin; alter table {table} {REWRITE}"))
            .await
            .unwrap();
        // Everything is looked at anew: who subscribes, and whom a changed field may concern.
        database
            .psql(&format!(
                "insert into mcp_event_subscription (model, event_type, webhook_url)
                 values ('sale.order', 'write', '{}');
                 update mcp_event_subscription set name = 'touched'",
                receiver.url("/")
            ))
            .await;
        database
            .psql("update ir_module_module set latest_version = latest_version")
            .await;
        // It is looked at without them, or it says what it waits for.
        wait_true(
            &database,
            "(select bool_and(state is not null) or (odoo_eventd.status() -> 'troubles') @> '[{\"what\": \"look at the subscriptions\"}]'
                from mcp_event_subscription)",
        )
        .await;
        upgrade.batch_execute("commit").await.unwrap();
        wait_true(
            &database,
            "(select bool_and(state = 'ready') from mcp_event_subscription)",
        )
        .await;
        let log = database
            .psql("select count(*) from mcp_event_subscription where state = 'invalid' or captured_from is null")
            .await;
        assert_eq!(log.trim(), "0");
    }
    database.psql("update crm_tag set color = 7 where id = 1").await;
    receiver.wait_for(1, SOON).await;
}
