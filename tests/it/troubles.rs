//! DDL that somebody refuses for ever: what it was for waits, tells why and is tried again; everything else goes on.

use std::fs::File;

use odoo_eventd::demo::scratch::Scratch;

use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd, eventd_ok, program, wait_until_leading};
use crate::support::{Database, delivery, eventually};

/// Refuses what is done to these tags, where a condition holds; as a superuser would in a freeze.
async fn freeze(database: &Database, tags: &str, condition: &str) {
    let sql = format!(
        "create function frozen() returns event_trigger language plpgsql as $f$
         begin
           if {condition} then raise exception 'no DDL before Monday'; end if;
         end $f$;
         create event trigger frozen on ddl_command_end when tag in ({tags}) execute function frozen()"
    );
    database.admin_client().await.batch_execute(&sql).await.unwrap();
}

async fn thaw(database: &Database) {
    let admin = database.admin_client().await;
    admin
        .batch_execute("drop event trigger frozen; drop function frozen()")
        .await
        .unwrap();
}

async fn subscribe(database: &Database, receiver: &Receiver, model: &str) -> String {
    let insert = format!(
        "insert into mcp_event_subscription (model, webhook_url) values ('{model}', '{}') returning id",
        receiver.url("/")
    );
    database.psql(&insert).await
}

async fn state(database: &Database, id: &str) -> String {
    database
        .psql(&format!(
            "select concat_ws(': ', coalesce(state, 'none'), error) from mcp_event_subscription where id = {id}"
        ))
        .await
}

/// Of one table only, at its triggers or at its function; of all tables.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_captured_keeps_its_subscription_waiting_and_no_other() {
    let of_one = "exists (select from pg_event_trigger_ddl_commands() c where c.object_identity like '%sale_order%')";
    for (tags, condition, others_come_later) in [
        ("'CREATE TRIGGER'", of_one, true),
        ("'CREATE FUNCTION'", of_one, true),
        ("'CREATE FUNCTION', 'CREATE TRIGGER'", "true", false),
    ] {
        let database = Database::fixture().await;
        let receiver = Receiver::start().await;
        eventd_ok(&database.url(), &["install"]).await;
        let tags_id = subscribe(&database, &receiver, "project.tags").await;
        let _service = Service::leading(&database).await;
        freeze(&database, tags, condition).await;

        let orders = subscribe(&database, &receiver, "sale.order").await;
        eventually("the reason in the row", SOON, async || {
            let state = state(&database, &orders).await;
            (state.starts_with("waiting: ") && state.contains("no DDL before Monday")).then_some(())
        })
        .await;
        // Who was served is, and whoever can be.
        database.psql("update project_tags set color = 77 where id = 1").await;
        receiver.wait_for(1, SOON).await;
        assert_eq!(state(&database, &tags_id).await, "ready");
        if others_come_later {
            let partners = subscribe(&database, &receiver, "res.partner").await;
            eventually("another table to be captured", SOON, async || {
                (state(&database, &partners).await == "ready").then_some(())
            })
            .await;
        }
        // The same model, of which more is needed now: the generation before goes on.
        if !others_come_later {
            let more = database
                .psql("insert into mcp_event_subscription (model, domain) values ('project.tags', '[(''name'', ''!='', False)]') returning id")
                .await;
            eventually("the other subscription of the model to wait", SOON, async || {
                state(&database, &more).await.starts_with("waiting: ").then_some(())
            })
            .await;
            assert!(state(&database, &tags_id).await.starts_with("ready"));
        }
        database.psql("update project_tags set color = 78 where id = 1").await;
        receiver.wait_for(2, SOON).await;
        let told = eventd(&database.url(), &["status"]).await;
        let text = String::from_utf8(told.stdout).unwrap();
        assert_eq!(told.status.code(), Some(1), "{text}");
        assert!(text.contains("service    leading"), "{text}");
        assert!(text.contains(&format!("subscription {orders} is waiting")), "{text}");

        thaw(&database).await;
        eventually("capture after the freeze", SOON * 2, async || {
            (state(&database, &orders).await == "ready").then_some(())
        })
        .await;
        database
            .psql("update sale_order set client_order_ref = 'x' where id = 1")
            .await;
        receiver.wait_for(3, SOON).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_waits_for_its_lock_says_so() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let _service = Service::leading(&database).await;
    let writer = database.client().await;
    writer
        .batch_execute("begin; update sale_order set client_order_ref = 'long' where id = 1")
        .await
        .unwrap();
    let orders = subscribe(&database, &receiver, "sale.order").await;
    eventually("the subscription to say that it waits", SOON, async || {
        let state = state(&database, &orders).await;
        (state == "waiting: the table is busy: it is captured as soon as a lock can be had").then_some(())
    })
    .await;
    writer.batch_execute("rollback").await.unwrap();
    eventually("the lock", SOON * 2, async || {
        (state(&database, &orders).await == "ready").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outbox_is_emptied_and_told_of_while_no_function_can_be_replaced() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, &receiver, "project.tags").await;
    let service = Service::leading(&database).await;
    freeze(&database, "'CREATE FUNCTION'", "true").await;
    database.psql("update project_tags set color = 77 where id = 1").await;
    receiver.wait_for(1, SOON).await;
    assert!(service.terminate().await.0.success());
    // The values were read long ago, so they are let go of by rotating.
    database
        .psql("update odoo_eventd.ring set rotated_at = now() - interval '2 days'")
        .await;
    let service = Service::leading(&database).await;
    eventually("what was read to be emptied", SOON, async || {
        (database.psql("select count(*) from odoo_eventd.outbox").await == "0").then_some(())
    })
    .await;
    let told = eventd(&database.url(), &["status"]).await;
    let text = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(1), "{text}");
    assert!(text.contains("service    leading"), "{text}");
    assert!(
        text.contains("next table: ") && text.contains("no DDL before Monday"),
        "{text}"
    );
    let doctor = eventd(&database.url(), &["doctor"]).await;
    assert!(
        String::from_utf8(doctor.stdout)
            .unwrap()
            .contains("no DDL before Monday")
    );
    database.psql("update project_tags set color = 78 where id = 1").await;
    receiver.wait_for(2, SOON).await;

    thaw(&database).await;
    assert!(service.terminate().await.0.success());
    let _service = Service::leading(&database).await;
    eventually("the trouble to be over", SOON, async || {
        (database.psql("select count(*) from odoo_eventd.trouble").await == "0").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_function_that_cannot_be_replaced_stays_with_its_table_and_the_others_move() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, &receiver, "project.tags").await;
    subscribe(&database, &receiver, "sale.order").await;
    let _service = Service::leading(&database).await;
    freeze(
        &database,
        "'CREATE FUNCTION'",
        "exists (select from pg_event_trigger_ddl_commands() c where c.object_identity like '%capture_sale_order()')",
    )
    .await;
    database.psql("update project_tags set color = 77 where id = 1; update sale_order set client_order_ref = 'x' where id = 1").await;
    receiver.wait_for(2, SOON).await;
    assert_eq!(database.psql("select odoo_eventd.rotate_outbox(0)").await, "t");
    assert_eq!(database.psql("select current from odoo_eventd.ring").await, "1");
    let error = database
        .psql("select error from odoo_eventd.trouble where what like 'send capture%'")
        .await;
    assert!(error.starts_with("sale.order: no DDL before Monday"), "{error}");
    database.psql("update project_tags set color = 78 where id = 1; update sale_order set client_order_ref = 'y' where id = 1").await;
    receiver.wait_for(4, SOON).await;
    thaw(&database).await;
    assert_eq!(database.psql("select odoo_eventd.rotate_outbox(0)").await, "t");
    assert_eq!(
        database
            .psql("select count(*) from odoo_eventd.trouble where what like 'send capture%'")
            .await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn status_does_not_say_that_nothing_runs_while_terms_begin_and_end() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("alter function odoo_eventd.subscriptions_version() rename to subscriptions_version_")
        .await;
    let _service = Service::start(&database.url(), &[]);
    let text = eventually("status to tell", SOON, async || {
        let told = eventd(&database.url(), &["status"]).await;
        let text = String::from_utf8(told.stdout).unwrap();
        (told.status.code() == Some(1) && text.contains("cannot serve this database: ")).then_some(text)
    })
    .await;
    assert!(!text.contains("not running"), "{text}");
    database
        .psql("alter function odoo_eventd.subscriptions_version_() rename to subscriptions_version")
        .await;
    eventually("the service to be well", SOON, async || {
        eventd(&database.url(), &["status"])
            .await
            .status
            .success()
            .then_some(())
    })
    .await;
}

/// An upgrade of Odoo holds tables for as long as it takes: that is documented, and nothing for an operator to do.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_wait_for_a_table_which_is_being_altered_are_told_of_as_a_warning() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let domain = [
        "--event",
        "write",
        "--fields",
        "note",
        "--domain",
        "[('partner_id.name', '!=', 'x')]",
    ];
    delivery::subscribe(&database, "sale.order", &receiver.url("/"), &domain).await;
    let scratch = Scratch::new(None).unwrap();
    let path = scratch.path().join("service.log");
    let mut command = program();
    command.args(["--database-url", &database.url(), "--log-format", "json", "run"]);
    let _service = Service::logging_to(File::create(&path).unwrap(), command);
    wait_until_leading(&database).await;
    database.psql("update sale_order set note = 'a' where id = 1").await;
    receiver.wait_for(1, SOON).await;

    let mut upgrade = database.client().await;
    let upgrade = upgrade.transaction().await.unwrap();
    upgrade
        .batch_execute("lock table res_partner in access exclusive mode")
        .await
        .unwrap();
    database.psql("update sale_order set note = 'b' where id = 1").await;
    let waits = eventually("the log to tell", SOON, async || {
        let log = std::fs::read_to_string(&path).unwrap();
        log.lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find(|line| line["what"] == "read what waiting events need")
    })
    .await;
    assert_eq!(waits["level"], "WARN", "{waits}");
    upgrade.rollback().await.unwrap();
    receiver.wait_for(2, SOON).await;
}
