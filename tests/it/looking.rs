//! What a process died of is found out by the next ones, put aside and told; everything else goes on.

use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd_ok, program, wait_until_leading};
use crate::support::{Database, eventually};

/// A service that dies when it looks at a subscription, for so many times in its life.
fn doomed(database: &Database, looks: u32) -> Service {
    let mut command = program();
    command
        .env("ODOO_EVENTD_FAILPOINT", format!("while-looking:{looks}"))
        .arg("--database-url")
        .arg(database.url())
        .args(["--log-format", "json", "run"]);
    Service::spawn(command)
}

async fn states(database: &Database) -> String {
    database
        .psql(
            "select string_agg(model || ' ' || coalesce(state, 'null'), ', ' order by id) from mcp_event_subscription",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_the_service_dies_of_is_put_aside_until_it_is_written_and_all_others_are_served() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    for model in ["project.tags", "res.partner", "sale.order"] {
        let insert = format!(
            "insert into mcp_event_subscription (model, webhook_url) values ('{model}', '{}')",
            receiver.url("/")
        );
        database.psql(&insert).await;
    }
    // The second of three: nobody knows yet which of them it was.
    assert!(!doomed(&database, 2).ended().await.success());
    // One at a time now.
    assert!(!doomed(&database, 2).ended().await.success());
    let noted =
        "select string_agg(subscription_id || ' ' || how, ', ' order by subscription_id) from odoo_eventd.looking";
    assert_eq!(database.psql(noted).await, "1 together, 2 alone, 3 together");

    let service = Service::leading(&database).await;
    assert_eq!(
        states(&database).await,
        "project.tags ready, res.partner invalid, sale.order ready"
    );
    let error = database
        .psql("select error from mcp_event_subscription where id = 2")
        .await;
    assert!(
        error.starts_with("the service died while it looked at this subscription"),
        "{error}"
    );
    assert!(
        error.contains("whoever writes the row has it looked at again"),
        "{error}"
    );
    database.psql("update project_tags set color = 77 where id = 1; update sale_order set client_order_ref = 'x' where id = 1").await;
    receiver.wait_for(2, SOON).await;

    // It stays aside over a restart, and nobody dies of it.
    assert!(service.terminate().await.0.success());
    let _service = Service::start(&database.url(), &[]);
    wait_until_leading(&database).await;
    assert_eq!(
        states(&database).await,
        "project.tags ready, res.partner invalid, sale.order ready"
    );
    database
        .psql("update mcp_event_subscription set name = 'once more' where id = 2")
        .await;
    eventually("the row that was written to be looked at again", SOON, async || {
        (states(&database).await == "project.tags ready, res.partner ready, sale.order ready").then_some(())
    })
    .await;
    eventually("nothing to be left of it", SOON, async || {
        (database.psql("select count(*) from odoo_eventd.looking").await == "0").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_by_another_cause_puts_nothing_aside() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let insert = format!(
        "insert into mcp_event_subscription (model, webhook_url) values ('project.tags', '{0}'), ('sale.order', '{0}')",
        receiver.url("/")
    );
    database.psql(&insert).await;
    assert!(!doomed(&database, 1).ended().await.success());
    let _service = Service::leading(&database).await;
    assert_eq!(states(&database).await, "project.tags ready, sale.order ready");
    database.psql("update project_tags set color = 77 where id = 1").await;
    receiver.wait_for(1, SOON).await;
}

/// Rows of every kind that once ended the process, or that no parser comes to the end of.
#[tokio::test(flavor = "multi_thread")]
async fn rows_as_deep_as_a_table_can_hold_are_refused_each_with_a_sentence_and_the_others_are_served() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let client = database.client().await;
    let url = receiver.url("/");
    client
        .execute(
            "insert into mcp_event_subscription (model, webhook_url) values ('project.tags', $1)",
            &[&url],
        )
        .await
        .unwrap();
    let mut refused = 0;
    for (column, text) in [
        (
            "webhook_payload_template",
            format!("{{\"a\":{{{{ {}1 }}}}}}", "-".repeat(5_000)),
        ),
        (
            "webhook_payload_template",
            format!("{{\"a\":{{{{ {}1 }}}}}}", "not ".repeat(5_000)),
        ),
        (
            "webhook_payload_template",
            format!("{{\"a\":{{{{ 1{} }}}}}}", " and 1".repeat(5_000)),
        ),
        (
            "webhook_payload_template",
            format!("{{\"a\":{{{{ record{} }}}}}}", ".a".repeat(5_000)),
        ),
        (
            "webhook_payload_template",
            format!("{{% if 1 %}}{}{{% endif %}}", "{% elif 1 %}".repeat(4_000)),
        ),
        ("domain", format!("[{}('id', '=', 1)]", "'!', ".repeat(5_000))),
        ("domain", format!("{}{}", "[".repeat(50_000), "]".repeat(50_000))),
        ("domain", format!("[('{}id', '=', 1)]", "create_uid.".repeat(10_000))),
        (
            "payload_fields",
            format!("{{\"{}a{}\"}}", "a{".repeat(5_000), "}".repeat(5_000)),
        ),
        (
            "headers",
            format!("{{\"a\": {}1{}}}", "[".repeat(1_000), "]".repeat(1_000)),
        ),
    ] {
        let insert = format!(
            "insert into mcp_event_subscription (model, webhook_url, {column}) select 'project.tags', $1, $2::text::{}",
            match column {
                "payload_fields" => "text[]",
                "headers" => "jsonb",
                _ => "text",
            }
        );
        client
            .execute(&insert, &[&url, &text])
            .await
            .unwrap_or_else(|e| panic!("{column}: {e:?}"));
        refused += 1;
    }
    let mut service = Service::leading(&database).await;
    let told = database
        .psql("select count(*) from mcp_event_subscription where id > 1 and state = 'invalid' and length(error) > 10")
        .await;
    assert_eq!(told, refused.to_string());
    client
        .execute("update project_tags set color = 77 where id = 1", &[])
        .await
        .unwrap();
    receiver.wait_for(1, SOON).await;
    assert!(service.is_running());
}
