//! Subscriptions as they are written, changed, refused and ended, by SQL and by command.

use super::{logged, subscribe};
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{SOON, Service, eventd, eventd_ok, wait_until_leading};
use crate::support::{Database, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_written_with_plain_sql_take_effect_without_a_restart() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let _service = Service::leading(&database).await;
    database
        .psql(&format!(
            "insert into mcp_event_subscription (model, event_type, webhook_url) values ('res.partner', 'create', '{}')",
            receiver.url("/first")
        ))
        .await;
    let ready = async || {
        let state = database
            .psql("select coalesce(state, '') from mcp_event_subscription")
            .await;
        (state.trim() == "ready").then_some(())
    };
    eventually("the new subscription to be ready", SOON, ready).await;
    database
        .psql("insert into res_partner (name, complete_name) values ('A', 'A')")
        .await;
    receiver.wait_for(1, SOON).await;

    database
        .psql(&format!(
            "update mcp_event_subscription set webhook_url = '{}'",
            receiver.url("/second")
        ))
        .await;
    eventually("the changed subscription to be ready", SOON, ready).await;
    database
        .psql("insert into res_partner (name, complete_name) values ('B', 'B')")
        .await;
    assert_eq!(receiver.wait_for(2, SOON).await[1].path, "/second");

    database.psql("delete from mcp_event_subscription").await;
    eventually("capture to stop", SOON, async || {
        let active = database.psql("select bool_or(active) from odoo_eventd.capture").await;
        (active.trim() == "f").then_some(())
    })
    .await;
    database
        .psql("insert into res_partner (name, complete_name) values ('C', 'C')")
        .await;
    assert_eq!(
        database.psql("select count(*) from odoo_eventd.outbox").await.trim(),
        "2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_subscription_says_why_and_stops_no_other() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, &receiver, &[]).await;
    let _service = Service::leading(&database).await;
    for (model, domain, fields, url, reason) in [
        ("sale.ordr", "[]", "{}", "https://example.com/", "unknown model"),
        (
            "sale.order",
            "[('state','=','sale'",
            "{}",
            "https://example.com/",
            "domain",
        ),
        (
            "sale.order",
            "[('no_such_field','=',1)]",
            "{}",
            "https://example.com/",
            "no_such_field",
        ),
        (
            "sale.order",
            "[]",
            "{no_such_field}",
            "https://example.com/",
            "no_such_field",
        ),
        ("res.users", "[]", "{password}", "https://example.com/", "password"),
        ("sale.order", "[]", "{}", "http://10.0.0.1/", "10.0.0.1"),
        ("sale.order", "[]", "{}", "not a url", "URL"),
    ] {
        let client = database.client().await;
        let id: i32 = client
            .query_one(
                "insert into mcp_event_subscription (model, domain, fields, webhook_url) values ($1, $2, $3::text::text[], $4) returning id",
                &[&model, &domain, &fields, &url],
            )
            .await
            .unwrap()
            .get(0);
        let error = eventually(&format!("subscription {id} to be looked at"), SOON, async || {
            let row = client
                .query_one("select state, error from mcp_event_subscription where id = $1", &[&id])
                .await
                .unwrap();
            (row.get::<_, Option<&str>>(0) == Some("invalid")).then(|| row.get::<_, String>(1))
        })
        .await;
        assert!(error.contains(reason), "{error}");
    }
    database
        .psql("update sale_order set client_order_ref = 'still works' where id = 1")
        .await;
    receiver.wait_for(1, SOON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriptions_headers_and_credentials_are_sent_and_not_shown() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let _service = Service::leading(&database).await;
    database
        .psql(&format!(
            "insert into mcp_event_subscription (model, webhook_url, auth, headers)
             values ('sale.order', '{}', 'bearer open-sesame', '{{\"X-Team\": \"sales\", \"X-Number\": 7}}')",
            receiver.url("/")
        ))
        .await;
    wait_until_leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'x' where id = 1")
        .await;
    let requests = receiver.wait_for(1, SOON).await;
    assert_eq!(requests[0].header("authorization"), Some("Bearer open-sesame"));
    assert_eq!(requests[0].header("x-team"), Some("sales"));
    assert_eq!(requests[0].header("x-number"), Some("7"));
    assert_eq!(
        database.psql("select auth from mcp_event_subscription").await.trim(),
        "********"
    );
    // A URL's query and a header of one's own may be secrets as well.
    database
        .psql(
            r#"update mcp_event_subscription set headers = '{"Authorization": "Token open-sesame"}', auth = null,
                      webhook_url = webhook_url || 'hook?key=open-sesame'"#,
        )
        .await;
    for command in ["subscriptions", "status"] {
        let shown = eventd_ok(&database.url(), &[command, "--json"]).await;
        assert!(!shown.contains("open-sesame"), "{shown}");
        assert!(
            shown.contains("hook?***") && shown.contains(r#""Authorization": "***""#),
            "{shown}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deactivating_a_subscription_cancels_what_was_not_sent() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::status(503)]);
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, &receiver, &["--max-attempts", "3"]).await;
    let _service = Service::leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'x' where id = 1")
        .await;
    eventually("a retry to be due", SOON, async || {
        (logged(&database, "status = 'failed' and next_attempt_at is not null").await == 1).then_some(())
    })
    .await;
    eventd_ok(&database.url(), &["unsubscribe", "1"]).await;
    eventually("the retry to be cancelled", SOON, async || {
        (logged(&database, "error = 'cancelled' and attempt = 2").await == 1).then_some(())
    })
    .await;
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_use_gives_one_sentence_and_no_secret() {
    let database = Database::fixture().await;
    let empty = Database::empty().await;
    eventd_ok(&database.url(), &["install"]).await;
    let url = database.url();
    let wrong_password = database
        .tcp_url()
        .replacen("postgresql://odoo:", "postgresql://odoo:wr0ng-", 1);
    let subscribe = |more: &[&'static str]| {
        let mut arguments = vec!["subscribe", "--secret", "hush-hush"];
        arguments.extend(more);
        arguments
    };
    for (code, url, arguments, says) in [
        (
            2,
            url.as_str(),
            subscribe(&["--model", "sale.order", "--url", "ftp://example.com"]),
            "ftp",
        ),
        (
            2,
            &url,
            subscribe(&["--model", "sale.ordr"]),
            "did you mean \"sale.order\"",
        ),
        (
            2,
            &url,
            subscribe(&["--model", "sale.order", "--fields", "stat"]),
            "no field \"stat\"",
        ),
        (
            2,
            &url,
            subscribe(&["--model", "sale.order", "--domain", "[('state','=']"]),
            "domain",
        ),
        (
            2,
            &url,
            subscribe(&["--model", "sale.order", "--event", "explode"]),
            "choose one of create, write, unlink, all",
        ),
        (
            2,
            &url,
            subscribe(&["--model", "res.users", "--fields", "password"]),
            "password",
        ),
        (2, "", vec!["status"], "no database"),
        (2, "postgres://localhost", vec!["status"], "names no database"),
        (1, &wrong_password, vec!["status"], "password"),
        (1, &empty.url(), vec!["install"], "not an Odoo database"),
        (2, &url, vec!["unsubscribe", "4711"], "no subscription 4711"),
        (2, &url, vec!["frobnicate"], "frobnicate"),
    ] {
        let output = eventd(url, &arguments).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert!(
            !said.contains("hush-hush") && !said.contains("wr0ng") && !said.contains("panicked"),
            "{said}"
        );
    }
    assert_eq!(
        database
            .psql("select count(*) from mcp_event_subscription")
            .await
            .trim(),
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_values_a_row_has_it_stops_no_other() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let _service = Service::leading(&database).await;
    for (column, value) in [
        ("rate_limit", "'NaN'"),
        ("rate_limit", "1e400"),
        ("rate_limit", "1e-400"),
        ("headers", r#"'{"X-Number": 1e400}'"#),
    ] {
        let row = format!("insert into mcp_event_subscription (model, {column}) values ('res.partner', {value})");
        let said = database.try_psql(&row).await.unwrap_err();
        assert!(said.contains(column), "{value}: {said}");
    }
    // Some that nobody would write, and one that comes past the triggers, as with a restore.
    let url = receiver.url("/");
    database
        .psql(&format!(
            r#"insert into mcp_event_subscription (model, webhook_url, fields, payload_fields, enrich_fields, ignore_user_ids) values
                 ('res.partner', '{url}', array[null, 'name'], array[null]::text[], array[null]::text[], array[null, 7]);
               insert into mcp_event_subscription (model, webhook_url, fields, last_delivery, create_date, write_date)
               values ('res.partner', '{url}', '{{{{name,email}},{{phone,city}}}}', 'infinity', '-infinity', 'infinity');
               insert into mcp_event_subscription (id, model, webhook_url) values (-5, 'res.partner', '{url}'), (2147483647, 'res.partner', '{url}');
               insert into mcp_event_subscription (id, model, domain) values (77, 'res.partner', repeat('[', 100000));"#
        ))
        .await;
    database
        .admin_client()
        .await
        .batch_execute(
            r#"set session_replication_role = replica;
               insert into mcp_event_subscription (id, model, rate_limit, headers) values (78, 'res.partner', 'NaN', '{"a": "b"}')"#,
        )
        .await
        .unwrap();
    let states = "select string_agg(id || ' ' || coalesce(state, 'not looked at'), ', ' order by id) from mcp_event_subscription";
    // The refused ones took four ids.
    let expected = "-5 ready, 5 ready, 6 ready, 77 invalid, 78 invalid, 2147483647 ready";
    eventually("each to be looked at for itself", SOON, async || {
        (database.psql(states).await.trim() == expected).then_some(())
    })
    .await;
    let reason = database
        .psql("select error from mcp_event_subscription where id = 78")
        .await;
    assert!(reason.starts_with("rate_limit cannot be read: "), "{reason}");
    eventd_ok(&database.url(), &["subscriptions"]).await;
    database
        .psql("update res_partner set name = 'x', write_uid = 2 where id = 1")
        .await;
    assert_eq!(receiver.wait_for(4, SOON).await.len(), 4);
}
