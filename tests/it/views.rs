//! Subscriptions and log as an Odoo add-on maps them: by views whose lists are text.

use crate::support::Database;
use crate::support::delivery::{order_refs, wait_logged};
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{Service, eventd_ok};

/// Whoever may make a temporary view has a trigger of his own.
#[tokio::test(flavor = "multi_thread")]
async fn what_writes_through_the_views_serves_no_view_of_anybody_elses() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let refused = database
        .psql(
            "create function pg_temp.refusal(statement text) returns text language plpgsql as $f$
             begin execute statement; return 'allowed'; exception when insufficient_privilege then return 'refused'; end $f$;
             create temp view res_users as select 1 as id, null::timestamp as create_date, 'x' as login;
             create temp view res_users_view as select 1 as id, null::timestamp as create_date, 'x' as login;
             create trigger t instead of insert on res_users for each row execute function odoo_eventd.write_through_view('res_users');
             create trigger t instead of insert on res_users_view for each row
               execute function odoo_eventd.write_through_view('mcp_event_subscription');
             select pg_temp.refusal('insert into pg_temp.res_users (login) values (''x'')'),
                    pg_temp.refusal('insert into pg_temp.res_users_view (login) values (''x'')'),
                    has_function_privilege('pg_monitor', 'odoo_eventd.write_through_view()', 'execute'),
                    (select count(*) from pg_proc p where p.pronamespace = 'odoo_eventd'::regnamespace and p.prorettype = 'trigger'::regtype
                        and p.prosecdef and p.proname not like 'capture\\_%' and has_function_privilege('pg_monitor', p.oid, 'execute'))",
        )
        .await;
    assert_eq!(refused.lines().last(), Some("refused|refused|f|0"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_add_on_writes_subscriptions_through_a_view_as_odoo_writes() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    // Odoo names every field, and writes NULL where one is empty.
    let id = database
        .psql(
            r#"insert into mcp_event_subscription_view (name, model, event_type, domain, fields, ignore_user_ids, payload_fields, enrich_fields,
                   headers, webhook_secret, max_event_age, rate_limit, active, create_date, write_date, create_uid, write_uid)
               values (null, 'sale.order', null, null, 'state, amount_total', '2,7', 'name,order_line{product_id{name},price_unit}', null,
                   '{"X-Team": "sales"}', 's3cret', '1 day', 0.5, true, now() at time zone 'utc', now() at time zone 'utc', 2, 2)
               returning id || ' ' || webhook_secret"#,
        )
        .await;
    assert_eq!(id.trim(), "1 ********");
    let row = "select event_type, domain, fields, ignore_user_ids, payload_fields, enrich_fields, headers, max_event_age, rate_limit, max_attempts, write_uid
                 from mcp_event_subscription";
    assert_eq!(
        database.psql(row).await.trim(),
        r#"all|[]|{state,amount_total}|{2,7}|{"name,order_line{product_id{name},price_unit}"}|{}|{"X-Team": "sales"}|1 day|0.5|1|2"#
    );
    let read = "select fields, ignore_user_ids, payload_fields, enrich_fields, headers, max_event_age, webhook_secret from mcp_event_subscription_view";
    assert_eq!(
        database.psql(read).await.trim(),
        r#"state,amount_total|2,7|name,order_line{product_id{name},price_unit}||{"X-Team": "sales"}|1 day|********"#
    );

    // As Odoo 17 and later update several records at once.
    let updated = database
        .psql(
            r#"update "mcp_event_subscription_view" set "fields" = "__tmp"."fields"::varchar, "ignore_user_ids" = "__tmp"."ignored"::varchar,
                      "max_attempts" = "__tmp"."attempts"::int4
                 from (values (1, 'state', null, 3), (99, 'x', 'y', 4)) as "__tmp" ("id", "fields", "ignored", "attempts")
                where "mcp_event_subscription_view"."id" = "__tmp"."id" returning "mcp_event_subscription_view"."ignore_user_ids""#,
        )
        .await;
    assert_eq!(updated.trim(), "", "an empty list");
    assert_eq!(
        database
            .psql("select fields, ignore_user_ids, max_attempts, webhook_secret from mcp_event_subscription")
            .await
            .trim(),
        "{state}|{}|3|********"
    );
    assert_eq!(
        database
            .psql("select count(*) from odoo_eventd.subscription_secret where webhook_secret = 's3cret'")
            .await
            .trim(),
        "1",
        "what was not written is left alone"
    );
    let wrong = database
        .try_psql("update mcp_event_subscription_view set ignore_user_ids = 'admin'")
        .await;
    assert!(wrong.unwrap_err().contains("invalid input syntax for type integer"));
    database
        .psql("delete from mcp_event_subscription_view where id in (1, 99)")
        .await;
    assert_eq!(
        database
            .psql("select count(*) from mcp_event_subscription")
            .await
            .trim(),
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_made_by_odoo_has_the_settings_of_what_was_copied_and_zero_is_no_number() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql(
            "insert into mcp_event_subscription_view (model, timeout_ms, max_body_bytes, max_event_age)
               values ('sale.order', 0, 2048, '')",
        )
        .await;
    // copy() reads every field and creates a record of what it read: an empty Float is 0.0, an empty Integer 0.
    database
        .psql(
            "insert into mcp_event_subscription_view (name, model, event_type, domain, fields, rate_limit, timeout_ms, max_attempts,
                    max_body_bytes, max_event_age, retry_first_ms, retry_max_ms, failure_count, user_id, headers)
             select name, model, event_type, domain, fields, coalesce(rate_limit, 0.0), timeout_ms, max_attempts, max_body_bytes,
                    coalesce(max_event_age, ''), retry_first_ms, retry_max_ms, failure_count, coalesce(user_id, 0), headers
               from mcp_event_subscription_view",
        )
        .await;
    // A form writes what was emptied.
    database
        .psql("update mcp_event_subscription_view set rate_limit = 0.5 where id = 2; update mcp_event_subscription_view set rate_limit = 0.0, timeout_ms = 0 where id = 2")
        .await;
    let settings = "select distinct rate_limit is null, timeout_ms, max_attempts, max_body_bytes, max_event_age is null, user_id is null
                      from mcp_event_subscription";
    assert_eq!(database.psql(settings).await.trim(), "t|5000|1|2048|t|t");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_reads_through_a_view_and_both_outlive_a_second_install_and_an_uninstall() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::status(200));
    order_refs(&database, &receiver, &[]).await;
    let service = Service::leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'x' where id in (1, 2)")
        .await;
    wait_logged(&database, "status = 'success'", 1).await;
    service.terminate().await;
    let delivery = receiver.requests()[0].header("webhook-id").unwrap().to_owned();
    let look =
        format!("select record_ids, attempt, status from mcp_webhook_delivery_view where delivery_id = '{delivery}'");
    assert_eq!(database.psql(&look).await.trim(), "1,2|1|success");

    // Columns that a later version adds are in the views after its install.
    database
        .psql("alter table mcp_event_subscription add column later integer[]")
        .await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("update mcp_event_subscription_view set later = '4,5'")
        .await;
    assert_eq!(
        database.psql("select later from mcp_event_subscription").await.trim(),
        "{4,5}"
    );
    database
        .psql("update mcp_webhook_delivery_view set record_ids = '3'")
        .await;
    assert_eq!(
        database
            .psql("select record_ids from mcp_webhook_delivery")
            .await
            .trim(),
        "{3}"
    );

    eventd_ok(&database.url(), &["uninstall"]).await;
    assert_eq!(
        database
            .psql("select count(*) from mcp_event_subscription_view")
            .await
            .trim(),
        "1"
    );
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("update mcp_event_subscription_view set name = 'mine'")
        .await;
    eventd_ok(&database.url(), &["uninstall", "--purge"]).await;
    assert_eq!(
        database
            .psql("select to_regclass('mcp_webhook_delivery_view') is null")
            .await
            .trim(),
        "t"
    );
}
