//! What cannot be sent: refused when it is asked for, or a failed attempt that says why and stops nobody else.

use crate::support::delivery::subscribe;
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd, eventd_ok, wait_until_leading};
use crate::support::{Database, eventually};

async fn refusal(database: &Database, model: &str, options: &[&str]) -> String {
    let mut arguments = vec!["subscribe", "--model", model, "--event", "write"];
    arguments.extend(options);
    let output = eventd(&database.url(), &arguments).await;
    assert!(!output.status.success(), "{options:?} was taken");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_refused_with_the_path_and_the_reason() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    for (paths, said) in [
        (
            "nme",
            "payload: nme: model \"sale.order\" has no field \"nme\"\nhint: did you mean \"name\"?",
        ),
        (
            "partner_id.emial",
            "payload: partner_id.emial: model \"res.partner\" has no field \"emial\"",
        ),
        (
            "order_line{product_id{nam}}",
            "payload: order_line: product_id: nam: model \"product.product\" has no field \"nam\"",
        ),
        (
            "access_token",
            "field \"access_token\" of \"sale.order\" holds a secret and is never sent",
        ),
        (
            "user_id.password",
            "payload: user_id.password: field \"password\" of \"res.users\" holds a secret",
        ),
        (
            "order_line{salesman_id{partner_id{user_ids.password}}}",
            "user_ids.password: field \"password\" of \"res.users\" holds a secret",
        ),
        (
            "order_line.order_id{access_token}",
            "access_token: field \"access_token\" of \"sale.order\" holds a secret",
        ),
        ("name.x", "field \"name\" of \"sale.order\" is no relation"),
        ("name{x}", "field \"name\" of \"sale.order\" is no relation"),
        (
            "display_name",
            "field \"display_name\" of \"sale.order\" is not stored in the database",
        ),
        (
            "partner_id.image_1920",
            "is a file that Odoo keeps outside of its table",
        ),
        ("order_line{name", "this brace is never closed"),
        ("name|round(2)", "payload: name: round(2) is for numbers"),
        ("state, state: name", "\"state\" is the name of something else already"),
    ] {
        let told = refusal(&database, "sale.order", &["--payload-fields", paths]).await;
        assert!(told.contains(said), "{paths}: {told}");
        let told = refusal(&database, "sale.order", &["--enrich-fields", paths]).await;
        assert!(told.contains(said), "{paths}: {told}");
    }
    for (options, said) in [
        // Translated texts are filtered by as well as sent.
        (&["--lang", "xx_XX"][..], "language \"xx_XX\" is not active"),
        (
            &["--payload-fields", "name", "--lang", "xx_XX"][..],
            "language \"xx_XX\" is not active",
        ),
        (
            &["--template", "slack", "--format", "xml"],
            "a payload template makes JSON",
        ),
        (&["--template", "slak"], "cannot read the template slak: "),
        (
            &["--payload-fields", "task_properties"],
            "holds properties, which are not sent",
        ),
    ] {
        let told = refusal(&database, "project.task", options).await;
        assert!(told.contains(said), "{options:?}: {told}");
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
async fn a_path_into_a_model_that_is_not_allowed_is_refused() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("insert into odoo_eventd.allowed_model values ('sale.order'), ('sale.order.line')")
        .await;
    let told = refusal(&database, "sale.order", &["--payload-fields", "name,partner_id.name"]).await;
    assert!(
        told.contains("model \"res.partner\" is not among the allowed models"),
        "{told}"
    );
    eventd_ok(
        &database.url(),
        &[
            "subscribe",
            "--model",
            "sale.order",
            "--event",
            "write",
            "--payload-fields",
            "name,order_line.name",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_function_reads_what_may_not_be_sent() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    for (call, said) in [
        (
            "read_records('res.users', '{2}', '{login,password}', 1000)",
            "no column \"password\" that may be read",
        ),
        (
            "read_records('res.users', '{2}', '{totp_secret}', 1000)",
            "no column \"totp_secret\"",
        ),
        (
            "read_records('sale.order', '{2}', '{access_token}', 1000)",
            "no column \"access_token\"",
        ),
        (
            "read_records('sale.order', '{2}', '{\"name, access_token\"}', 1000)",
            "no column \"name, access_token\"",
        ),
        (
            "read_records('pg_authid', '{2}', '{rolname}', 1000)",
            "model \"pg_authid\" has no table",
        ),
        (
            "read_related('sale.order', 'name', '{2}', null, 10)",
            "no one2many or many2many field \"name\"",
        ),
        (
            "read_related('sale.order', 'order_line', '{2}', 'nope', 10)",
            "no column \"nope\"",
        ),
    ] {
        let told = database
            .try_psql(&format!("select * from odoo_eventd.{call}"))
            .await
            .unwrap_err();
        assert!(told.contains(said), "{call}: {told}");
    }
}

const BROKEN: &str = "{\"text\": \"{{ record.name }}\",\n \"total\": {{ record.nope }}}";

#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_fails_is_a_failed_attempt_with_a_reason_and_stops_nobody_else() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let endless = "{% for a in record.order_line %}".repeat(18) + &"{% endfor %}".repeat(18);
    for (path, template) in [
        ("/broken", BROKEN),
        ("/no-json", "Order {{ record.name }}"),
        ("/costly", &endless),
        (
            "/wide",
            "{\"all\": \"{% for l in record.order_line %}{{ record.note }}{% endfor %}\"}",
        ),
    ] {
        let template = template.replace('\'', "''");
        let url = receiver.url(path);
        database
            .psql(&format!(
                "insert into mcp_event_subscription (model, event_type, fields, webhook_url, webhook_payload_template, payload_fields, max_body_bytes)
                 values ('sale.order', 'write', '{{client_order_ref}}', '{url}', '{template}', '{{name,note,\"order_line{{id}}\"}}', 2000)"
            ))
            .await;
    }
    let url = receiver.url("/fine");
    subscribe(
        &database,
        "sale.order",
        &url,
        &["--event", "write", "--fields", "client_order_ref"],
    )
    .await;
    let service = Service::leading(&database).await;
    database
        .psql("update sale_order set note = repeat('n', 1500), client_order_ref = 'x' where id in (2, 3)")
        .await;
    let requests = receiver.wait_for(1, SOON).await;
    assert!(requests.iter().all(|r| r.path == "/fine"), "{requests:?}");

    let failed = "select s.webhook_url ~ 'broken', l.status, l.error, l.error_detail, l.payload is null, l.attempt, l.finished_at is not null
                    from mcp_webhook_delivery l join mcp_event_subscription s on s.id = l.subscription_id
                   where l.status = 'failed' order by l.subscription_id, l.record_ids";
    let rows = eventually("the failed attempts", SOON, async || {
        let rows = database.psql(failed).await;
        (rows.lines().count() == 8).then_some(rows)
    })
    .await;
    let rows: Vec<&str> = rows.lines().step_by(2).collect();
    assert_eq!(
        rows[0],
        "t|failed|template|the template failed in line 2: a name or a field does not exist here|t|1|t"
    );
    assert!(
        rows[1].contains("|template|the template did not give JSON: expected value at line 1"),
        "{}",
        rows[1]
    );
    assert!(
        rows[2].contains("|template|the template failed in line 1: it takes too many steps"),
        "{}",
        rows[2]
    );
    assert!(
        rows[3].contains("|body_too_large|the template gave more than 2000 bytes"),
        "{}",
        rows[3]
    );
    // A person sees the sentence too, in full, at the end of the line.
    let shown = eventd_ok(&database.url(), &["deliveries", "--status", "failed"]).await;
    let ends = |end: &str| shown.lines().filter(|line| line.ends_with(end)).count();
    assert_eq!(
        (
            ends("error"),
            ends("  template: the template failed in line 2: a name or a field does not exist here")
        ),
        (1, 2),
        "{shown}"
    );

    eventually("the count of failures", SOON, async || {
        let counts = "select string_agg(failure_count || coalesce(last_delivery_status, ''), ' ' order by id) from mcp_event_subscription";
        (database.psql(counts).await.trim() == "2failed 2failed 2failed 2failed 0success").then_some(())
    })
    .await;

    // There is nothing that could be sent once more.
    let id = database
        .psql("select delivery_id from mcp_webhook_delivery where status = 'failed' limit 1")
        .await;
    let told = eventd(&database.url(), &["redeliver", id.trim()]).await;
    assert!(String::from_utf8_lossy(&told.stderr).contains("never had a body"));

    // Mended, it is served within a second.
    database
        .psql("update mcp_event_subscription set webhook_payload_template = '{\"n\": {{ record.name }}}' where webhook_url like '%/broken'")
        .await;
    wait_until_leading(&database).await;
    eventually("the new template", SOON, async || {
        database
            .psql("update sale_order set client_order_ref = client_order_ref || 'y' where id = 2")
            .await;
        let all = receiver.requests();
        all.iter()
            .any(|r| r.path == "/broken" && r.body == br#"{"n": "S00002"}"#)
            .then_some(())
    })
    .await;
    let (_, log) = service.terminate().await;
    assert!(log.contains("there is nothing to send") && !log.contains("nnnnn"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_its_limit_is_sent_thin_and_so_is_one_that_cannot_be_held() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    for (path, fields, format) in [
        ("/own", "note", "json"),
        ("/related", "partner_id{comment}", "json"),
        ("/xml", "note", "xml"),
    ] {
        let url = receiver.url(path);
        subscribe(
            &database,
            "sale.order",
            &url,
            &[
                "--event",
                "write",
                "--fields",
                "note",
                "--payload-fields",
                fields,
                "--max-body-bytes",
                "4096",
                "--format",
                format,
            ],
        )
        .await;
    }
    // More than is ever read at once, for one partner.
    database
        .psql("update res_partner set comment = repeat('x', 34000000) where id = 11")
        .await;
    let _service = Service::leading(&database).await;
    database
        .psql("update sale_order set note = repeat('n', 5000) where id = 4")
        .await;
    let requests = receiver.wait_for(3, SOON).await;
    for request in &requests {
        let text = String::from_utf8(request.body.clone()).unwrap();
        if request.path == "/xml" {
            assert!(text.ends_with("<thin>true</thin></event>"), "{text}");
            assert_eq!(request.header("content-type"), Some("application/xml; charset=utf-8"));
        } else {
            assert_eq!(request.json()["thin"], true, "{}", request.path);
            assert_eq!(request.json()["record_ids"], serde_json::json!([4]));
            assert!(request.json().get("records").is_none());
        }
    }
    // The one that does not fit takes nothing from those that do.
    database
        .psql("update sale_order set note = 'short' where id in (2, 3)")
        .await;
    let requests = receiver.wait_for(6, SOON).await;
    let own = requests.iter().rfind(|r| r.path == "/own").unwrap().json();
    assert_eq!(own["records"][1]["values"]["note"], "short");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_meanwhile_is_nothing_and_the_event_still_tells_its_own() {
    let database = Database::fixture().await;
    database
        .psql("update sale_order set payment_term_id = null where id <> 3")
        .await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let url = receiver.url("/");
    subscribe(&database, "sale.order", &url, &["--event", "all", "--fields", "client_order_ref,payment_term_id", "--payload-fields", "name,payment_term_id,payment_term_id{name},p:payment_term_id.name,order_line,lines:order_line{name},tag_ids.name,note"]).await;
    // Nobody reads meanwhile.
    database
        .psql("update sale_order set client_order_ref = 'last', note = 'n' where id = 3")
        .await;
    database.psql("delete from account_payment_term where id = 2").await;
    database.psql("delete from sale_order where id = 3").await;
    let _service = Service::leading(&database).await;
    let requests = receiver.wait_for(3, SOON).await;
    let of = |event_type: &str, index: usize| {
        let of_type: Vec<_> = requests
            .iter()
            .map(|r| r.json())
            .filter(|b| b["event_type"] == event_type)
            .collect();
        of_type[index]["records"][0].clone()
    };
    let mut writes = [of("write", 0), of("write", 1)];
    writes.sort_by_key(|write| write["old"].get("payment_term_id").is_some());
    assert_eq!(
        writes[0],
        serde_json::json!({
            "id": 3,
            "values": {"name": "S00003", "payment_term_id": [], "p": null, "order_line": [], "lines": [], "tag_ids.name": [], "note": "n"},
            "old": {"note": null},
        }),
        "the record itself as it was then; what it led to is gone"
    );
    assert_eq!(writes[1]["old"], serde_json::json!({"payment_term_id": [], "p": null}));
    assert_eq!(
        of("unlink", 0),
        serde_json::json!({
            "id": 3,
            "values": {"name": "S00003", "payment_term_id": [], "p": null, "order_line": null, "lines": null, "tag_ids.name": null, "note": "n"},
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_goes_makes_the_body_thin_and_the_subscription_invalid_but_loses_nothing() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
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
            "client_order_ref",
            "--payload-fields",
            "name,partner_id.function",
        ],
    )
    .await;
    let _service = Service::leading(&database).await;
    let change = "update sale_order set client_order_ref = client_order_ref || 'x' where id = 3";
    database.psql(change).await;
    receiver.wait_for(1, SOON).await;
    database
        .psql(&format!("alter table res_partner drop column function; {change}"))
        .await;
    let requests = receiver.wait_for(2, SOON).await;
    assert!(requests[0].json().get("thin").is_none());
    assert_eq!(requests[1].json()["thin"], true);
    eventually("the reason on the subscription", SOON, async || {
        let row = database.psql("select state, error from mcp_event_subscription").await;
        row.contains("invalid|the fields of its payload cannot be read")
            .then_some(())
    })
    .await;
}
