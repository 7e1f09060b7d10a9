//! From what an endpoint does to the row in the log, the state of the delivery, and what becomes of the subscription.

use serde_json::Value;

use crate::support::delivery::{
    eventd_fails, logged, number, order_refs, subscribe, wait_logged, wait_true, write_ref,
};
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{SOON, Service, eventd, eventd_ok, wait_until_leading};
use crate::support::{Database, eventually};

/// What is expected of a case: the status, the word in the log, and whether it is tried again.
struct Case {
    name: &'static str,
    reply: Reply,
    code: Option<i32>,
    error: Option<&'static str>,
    again: bool,
}

fn case(name: &'static str, reply: Reply, code: Option<i32>, error: Option<&'static str>, again: bool) -> Case {
    Case {
        name,
        reply,
        code,
        error,
        again,
    }
}

fn scripted() -> Vec<Case> {
    let mut cases = vec![
        case(
            "redirect to metadata",
            Reply::redirect(302, "http://169.254.169.254/"),
            Some(302),
            Some("redirect"),
            false,
        ),
        case("hangs", Reply::hang(), None, Some("timeout"), true),
        case("drips its head", Reply::drip_head(), None, Some("timeout"), true),
        case("drips its body", Reply::drip_body(), Some(200), Some("timeout"), true),
        case("resets", Reply::reset(), None, Some("connection_reset"), true),
        case("closes", Reply::close(), None, Some("connection_reset"), true),
        case(
            "breaks off",
            Reply::short_body(200),
            Some(200),
            Some("connection_reset"),
            true,
        ),
        case(
            "breaks off with 500",
            Reply::short_body(500),
            Some(500),
            Some("http_status"),
            true,
        ),
        case(
            "invalid chunk",
            Reply::invalid_chunk(),
            Some(200),
            Some("protocol"),
            true,
        ),
        case(
            "is not HTTP",
            Reply::raw("220 mail ESMTP\r\n\r\n"),
            None,
            Some("protocol"),
            true,
        ),
        case("a gigabyte", Reply::huge(200, 1_024), Some(200), None, false),
        case(
            "a gigabyte of error",
            Reply::huge(503, 1_024),
            Some(503),
            Some("http_status"),
            true,
        ),
        case("gzip bomb", Reply::gzip_bomb(), Some(200), None, false),
        case("endless hints", Reply::endless_hints(), None, Some("protocol"), true),
    ];
    for status in [200, 201, 202, 204, 299] {
        cases.push(case("success", Reply::status(status), Some(status.into()), None, false));
    }
    for status in [300, 301, 307, 308] {
        cases.push(case(
            "elsewhere",
            Reply::status(status),
            Some(status.into()),
            Some("redirect"),
            false,
        ));
    }
    for status in [400, 401, 403, 404, 405, 409, 410, 413, 422, 451] {
        cases.push(case(
            "refused for good",
            Reply::status(status),
            Some(status.into()),
            Some("http_status"),
            false,
        ));
    }
    for status in [408, 425, 429, 500, 501, 502, 503, 504, 599] {
        cases.push(case(
            "not now",
            Reply::status(status),
            Some(status.into()),
            Some("http_status"),
            true,
        ));
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn every_outcome_ends_in_its_log_row_and_its_state() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let mut receivers = Vec::new();
    let mut expected = Vec::new();
    let options = |name: &str| -> Vec<String> {
        let domain = format!("[('name', '=', '{name}')]");
        [
            "--event",
            "create",
            "--domain",
            &domain,
            "--max-attempts",
            "2",
            "--timeout-ms",
            "5000",
            // The second attempt is for tomorrow.
            "--retry-first-ms",
            "86400000",
            "--no-retry-jitter",
        ]
        .map(str::to_owned)
        .to_vec()
    };
    let add = async |name: &str, url: &str| {
        let options = options(name);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        subscribe(&database, "res.partner", url, &options).await
    };
    for (index, case) in scripted().into_iter().enumerate() {
        let receiver = Receiver::start().await;
        receiver.otherwise(case.reply);
        let id = add(&format!("case {index}"), &receiver.url("/hook")).await;
        expected.push((id, case.name, case.code, case.error, case.again));
        receivers.push(receiver);
    }
    // Without an answer at all.
    let nobody = Receiver::start().await;
    let nobody_listens = nobody.url("/hook");
    drop(nobody);
    let no_tls = Receiver::start().await;
    for (name, url, error) in [
        ("nobody listens", nobody_listens, "connection_refused"),
        ("no such host", "http://no-such-host.invalid/".to_owned(), "dns"),
        ("no TLS", no_tls.url("/").replace("http:", "https:"), "tls"),
    ] {
        let id = add(name, &url).await;
        expected.push((id, name, None, Some(error), true));
    }
    let _service = Service::leading(&database).await;
    database
        .psql(
            "insert into res_partner (name, complete_name)
             select substr(domain, length('[(''name'', ''='', ''') + 1, length(domain) - length('[(''name'', ''='', '''')]')), 'x'
               from mcp_event_subscription",
        )
        .await;
    let all = i64::try_from(expected.len()).unwrap();
    wait_logged(&database, "status <> 'pending'", all).await;

    let client = database.client().await;
    for (id, name, code, error, again) in &expected {
        let row = client
            .query_one(
                "select l.status, l.response_code, l.error, l.next_attempt_at - l.finished_at, d.state, d.due_at is not null,
                        l.duration_ms, length(l.response_body), d.attempts, l.error_detail
                   from mcp_webhook_delivery l join odoo_eventd.delivery d using (delivery_id) where l.subscription_id = $1",
                &[id],
            )
            .await;
        let row = row.unwrap_or_else(|e| panic!("{name}, {code:?}: {e}"));
        let about = format!("{name}: {row:?}");
        let status: &str = row.get(0);
        assert_eq!(status, if error.is_some() { "failed" } else { "success" }, "{about}");
        assert_eq!(row.get::<_, Option<i32>>(1), *code, "{about}");
        assert_eq!(row.get::<_, Option<&str>>(2), *error, "{about}");
        // A status says all; whatever came instead of an answer is told in more than a word.
        let is_told = row.get::<_, Option<&str>>(9).is_some_and(|detail| !detail.is_empty());
        match *error {
            None => assert!(!is_told, "{about}"),
            Some("http_status" | "redirect") => {}
            Some(_) => assert!(is_told, "{about}"),
        }
        let state: &str = row.get(4);
        let expected_state = match (again, error) {
            (true, _) => "waiting",
            (false, None) => "success",
            (false, Some(_)) => "failed",
        };
        assert_eq!(state, expected_state, "{about}");
        assert_eq!(row.get::<_, bool>(5), *again, "{about}");
        assert!(row.get::<_, i32>(6) < 10_000, "{about}");
        // Each byte that is no text takes four characters.
        assert!(row.get::<_, Option<i32>>(7).unwrap_or(0) <= 4 * 16 * 1024, "{about}");
        assert_eq!(row.get::<_, i32>(8), 1, "{about}");
    }
    let planned = number(
        &database,
        "select count(*) from mcp_webhook_delivery where next_attempt_at - finished_at = interval '24 hours'",
    )
    .await;
    assert_eq!(planned, i64::try_from(expected.iter().filter(|e| e.4).count()).unwrap());

    let dead = expected.iter().filter(|e| e.3.is_some() && !e.4).count();
    let listed: Value =
        serde_json::from_str(&eventd_ok(&database.url(), &["deliveries", "--dead", "--json"]).await).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), dead);
    let status = eventd(&database.url(), &["status", "--json"]).await;
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["deliveries"]["dead"], dead);
    // Of all of them only 410 turns a subscription off.
    wait_true(
        &database,
        "(select array_agg(s.id) from mcp_event_subscription s where disabled_at is not null)
         = (select array_agg(subscription_id) from mcp_webhook_delivery where response_code = 410)",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_honoured_in_both_forms_and_clamped_to_a_day() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    let in_an_hour = database
        .psql("select to_char(now() at time zone 'utc' + interval '1 hour', 'Dy, DD Mon YYYY HH24:MI:SS \"GMT\"')")
        .await;
    receiver.replies([
        Reply::status(429).header("Retry-After", "7200"),
        Reply::status(503).header("Retry-After", in_an_hour.trim()),
        Reply::status(503).header("Retry-After", "99999999"),
    ]);
    order_refs(
        &database,
        &receiver,
        &["--max-attempts", "2", "--retry-first-ms", "1000"],
    )
    .await;
    let _service = Service::leading(&database).await;
    for number in 1..=3 {
        write_ref(&database, 1, &format!("x{number}")).await;
        wait_logged(&database, "status = 'failed'", number).await;
    }
    let waits = database
        .psql("select round(extract(epoch from next_attempt_at - finished_at) / 60) from mcp_webhook_delivery order by id")
        .await;
    assert_eq!(waits.lines().collect::<Vec<_>>(), ["120", "60", "1440"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_last_attempt_a_delivery_is_a_dead_letter_that_can_be_found_and_sent_again() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::status(503), Reply::status(500)]);
    let options = ["--max-attempts", "2", "--retry-first-ms", "1000", "--no-retry-jitter"];
    let id = order_refs(&database, &receiver, &options).await.to_string();
    let _service = Service::leading(&database).await;
    write_ref(&database, 1, "x").await;
    wait_logged(
        &database,
        "attempt = 2 and status = 'failed' and next_attempt_at is null",
        1,
    )
    .await;
    assert_eq!(
        logged(&database, "attempt = 1 and next_attempt_at is not null").await,
        1
    );

    let url = database.url();
    let dead = async |more: &[&str]| -> usize {
        let mut arguments = vec!["deliveries", "--dead", "--json"];
        arguments.extend(more);
        let listed: Value = serde_json::from_str(&eventd_ok(&url, &arguments).await).unwrap();
        listed.as_array().unwrap().len()
    };
    assert_eq!(dead(&[]).await, 1, "its last attempt alone");
    assert_eq!(
        dead(&[
            "--subscription",
            &id,
            "--model",
            "sale.order",
            "--id",
            "1",
            "--since",
            "1h"
        ])
        .await,
        1
    );
    for others in [
        ["--subscription", "99"],
        ["--model", "res.partner"],
        ["--id", "2"],
        ["--until", "1h"],
    ] {
        assert_eq!(dead(&others).await, 0, "{others:?}");
    }

    let redeliver = async |more: &[&str]| {
        let mut arguments = vec!["redeliver", "--failed", "--since", "1h"];
        arguments.extend(more);
        let output = eventd(&url, &arguments).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for others in [
        ["--subscription", "99"],
        ["--model", "res.partner"],
        ["--id", "2"],
        ["--until", "1h"],
    ] {
        assert_eq!(redeliver(&others).await, "", "{others:?}");
    }
    let sent = String::from_utf8(receiver.requests()[0].body.clone()).unwrap();
    let shown = redeliver(&["--subscription", &id, "--dry-run"]).await;
    assert!(shown.contains(&sent), "{shown}");
    assert_eq!(
        number(
            &database,
            "select count(*) from odoo_eventd.delivery where state = 'failed'"
        )
        .await,
        1,
        "a dry run changes nothing"
    );
    redeliver(&["--subscription", &id, "--model", "sale.order"]).await;
    let requests = receiver.wait_for(3, SOON).await;
    for request in &requests {
        assert_eq!(request.header("webhook-id"), requests[0].header("webhook-id"));
        assert_eq!(request.header("x-mcp-event-id"), requests[0].header("x-mcp-event-id"));
        assert_eq!(request.body, requests[0].body);
    }
    wait_logged(&database, "attempt = 3 and status = 'success'", 1).await;
    assert_eq!(dead(&[]).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_gone_is_disabled_until_a_command_enables_it() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::status(410)]);
    let id = order_refs(&database, &receiver, &["--max-attempts", "5"]).await;
    let _service = Service::leading(&database).await;
    write_ref(&database, 1, "told to go").await;
    wait_true(
        &database,
        "state = 'disabled' and error like '%410%enable%' from mcp_event_subscription",
    )
    .await;
    let status = eventd(&database.url(), &["status"]).await;
    assert!(!status.status.success());
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(said.contains(&format!("subscriptions enable {id}")), "{said}");

    // What comes meanwhile is not sent, and not lost. A request may go out until the service has looked at its own news.
    let mut number = 0;
    eventually("an event that meets the disabled endpoint", SOON, async || {
        number += 1;
        write_ref(&database, 1, &format!("meanwhile {number}")).await;
        let ended = "select count(*) from mcp_webhook_delivery where status = 'failed' and error = 'disabled'";
        (database.psql(ended).await.trim() != "0").then_some(())
    })
    .await;
    eventually("everything to end", SOON, async || {
        let open = "select count(*) from odoo_eventd.delivery where due_at is not null";
        let unread = "select odoo_eventd.status() -> 'outbox' ->> 'unread'";
        (database.psql(unread).await.trim() == "0" && database.psql(open).await.trim() == "0").then_some(())
    })
    .await;
    let sent = receiver.requests().len();
    let dead: usize = database
        .psql("select count(*) from odoo_eventd.delivery where state = 'failed'")
        .await
        .trim()
        .parse()
        .unwrap();
    assert!(dead > 1);
    let said = eventd_fails(&database, &["redeliver", "--failed", "--since", "1h"]).await;
    assert!(said.contains("is disabled"), "{said}");

    eventd_ok(&database.url(), &["subscriptions", "enable", &id.to_string()]).await;
    wait_true(
        &database,
        "state = 'ready' and error is null and disabled_at is null from mcp_event_subscription",
    )
    .await;
    assert_eq!(receiver.requests().len(), sent);
    eventd_ok(&database.url(), &["redeliver", "--failed", "--since", "1h"]).await;
    receiver.wait_for(sent + dead, SOON).await;
    wait_logged(&database, "status = 'success'", i64::try_from(sent + dead - 1).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_address_gives_a_disabled_endpoint_a_new_chance() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::status(410)]);
    order_refs(&database, &receiver, &[]).await;
    let _service = Service::leading(&database).await;
    write_ref(&database, 1, "gone").await;
    wait_true(&database, "state = 'disabled' from mcp_event_subscription").await;
    let url = receiver.url("/new");
    database
        .psql(&format!("update mcp_event_subscription set name = 'renamed'; update mcp_event_subscription set webhook_url = '{url}'"))
        .await;
    wait_true(&database, "state = 'ready' from mcp_event_subscription").await;
    write_ref(&database, 1, "new").await;
    assert_eq!(receiver.wait_for(2, SOON).await[1].path, "/new");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_endpoint_did_is_nobodys_to_change_but_the_services() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::status(410)]);
    order_refs(&database, &receiver, &[]).await;
    let _service = Service::leading(&database).await;
    write_ref(&database, 1, "gone").await;
    wait_true(&database, "state = 'disabled' from mcp_event_subscription").await;
    database
        .psql(
            "update mcp_event_subscription
                set name = 'n', failures_in_a_row = 0, failing_since = null, disabled_reason = null, disabled_at = now()",
        )
        .await;
    wait_true(
        &database,
        "state = 'disabled' and failures_in_a_row = 1 and failing_since is not null and disabled_reason like '%410%'
         from mcp_event_subscription",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_fails_everything_for_too_long_is_disabled_and_one_that_answers_now_and_then_is_not() {
    let database = Database::fixture().await;
    let (dead, shaky) = (Receiver::start().await, Receiver::start().await);
    dead.otherwise(Reply::status(500));
    let failing: Vec<Reply> = (0..200)
        .map(|number| Reply::status(if number % 8 == 7 { 200 } else { 500 }))
        .collect();
    shaky.replies(failing);
    order_refs(&database, &dead, &[]).await;
    let options = ["--event", "write", "--fields", "client_order_ref"];
    subscribe(&database, "sale.order", &shaky.url("/"), &options).await;
    let _service = Service::start(&database.url(), &["--disable-after-s", "1"]);
    wait_until_leading(&database).await;
    let mut number = 0;
    eventually("the dead endpoint to be given up", SOON, async || {
        number += 1;
        write_ref(&database, 1, &format!("x{number}")).await;
        let given_up = database
            .psql("select id from mcp_event_subscription where state = 'disabled' and error like 'every request has failed since%'")
            .await;
        (!given_up.trim().is_empty()).then_some(())
    })
    .await;
    assert!(dead.requests().len() >= 10, "two failures are no endpoint that is gone");
    let state = database
        .psql("select state, failures_in_a_row < 16 from mcp_event_subscription where id = 2")
        .await;
    assert_eq!(state.trim(), "ready|t");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_keeps_as_much_of_an_answer_as_is_asked_and_no_secret_is_told() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::status(500).body("0123456789abcdef"), Reply::hang()]);
    eventd_ok(&database.url(), &["install"]).await;
    let url = receiver.url("/services/t0ken4711t0ken4711/x?key=quer1-s3cret");
    database
        .psql(&format!(
            "insert into mcp_event_subscription (model, event_type, fields, webhook_url, webhook_secret, auth, timeout_ms)
             values ('sale.order', 'write', '{{client_order_ref}}', '{url}', 'sign-s3cret-of-thirty-two-bytes-', 'bearer auth-s3cret', 3000)"
        ))
        .await;
    let service = Service::start(&database.url(), &["--response-body-bytes", "10"]);
    wait_until_leading(&database).await;
    write_ref(&database, 1, "one").await;
    wait_logged(&database, "response_body = '0123456789' and duration_ms is not null", 1).await;
    write_ref(&database, 1, "two").await;
    wait_logged(&database, "error = 'timeout' and duration_ms >= 3000", 1).await;
    assert_eq!(
        receiver.requests()[0].header("authorization"),
        Some("Bearer auth-s3cret")
    );
    let tested = eventd(&database.url(), &["test", "1"]).await;
    let listed = eventd_ok(&database.url(), &["deliveries", "--json"]).await;
    let log = database
        .psql("select string_agg(to_jsonb(l)::text, ' ') from mcp_webhook_delivery l")
        .await;
    let (_, said) = service.terminate().await;
    assert!(said.contains("not delivered"), "{said}");
    for text in [
        said,
        log,
        listed,
        String::from_utf8([tested.stdout, tested.stderr].concat()).unwrap(),
    ] {
        for secret in ["t0ken4711", "quer1-s3cret", "sign-s3cret", "auth-s3cret"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}
