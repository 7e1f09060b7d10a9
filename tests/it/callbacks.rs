//! Callback URLs of single records: a stranger's words, obeyed no further than is safe.

use odoo_eventd::signature::{Secret, verify_body};

use crate::support::delivery::subscribe;
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{SOON, Service, eventd, eventd_ok, wait_until_leading};
use crate::support::{Database, eventually};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

async fn subscribed(database: &Database, options: &[&str]) {
    eventd_ok(&database.url(), &["install"]).await;
    let mut arguments = vec![
        "subscribe",
        "--model",
        "sale.order",
        "--event",
        "write",
        "--fields",
        "client_order_ref",
        "--endpoint-source",
        "record",
    ];
    arguments.extend(options);
    eventd_ok(&database.url(), &arguments).await;
}

async fn running(database: &Database, arguments: &[&str]) -> Service {
    let service = Service::start(&database.url(), arguments);
    wait_until_leading(database).await;
    service
}

async fn call_back(database: &Database, record: i64, url: &str, secret: Option<&str>) {
    let secret = secret.map_or("null".to_owned(), |secret| format!("'{secret}'"));
    database
        .psql(&format!(
            "insert into mcp_record_callback (model, record_id, callback_url, secret) values ('sale.order', {record}, '{url}', {secret})"
        ))
        .await;
}

async fn touch(database: &Database, records: &str) {
    database
        .psql(&format!(
            "update sale_order set client_order_ref = gen_random_uuid() where {records}"
        ))
        .await;
}

async fn ended(database: &Database, count: usize) -> String {
    eventually("attempts that have ended", SOON, async || {
        let rows = database
            .psql(
                "select record_ids[1], status, coalesce(error, '-') from mcp_webhook_delivery where status <> 'pending'
                  order by record_ids, create_date, id",
            )
            .await;
        (rows.lines().count() >= count).then_some(rows)
    })
    .await
}

const LOOPBACK: [&str; 2] = ["--allow-callback-networks", "127.0.0.0/8"];

#[tokio::test(flavor = "multi_thread")]
async fn each_record_is_told_of_at_its_own_url_signed_with_its_own_secret() {
    let database = Database::fixture().await;
    let (one, two) = (Receiver::start().await, Receiver::start().await);
    subscribed(&database, &[]).await;
    call_back(&database, 1, &one.url("/so/1"), Some("secret of one")).await;
    call_back(&database, 2, &two.url("/so/2"), None).await;
    call_back(&database, 3, &two.url("/so/3"), None).await;
    database
        .psql("update mcp_record_callback set active = false where record_id = 3")
        .await;
    let shown = database
        .psql("select secret from mcp_record_callback order by record_id")
        .await;
    assert_eq!(shown, "********", "the secret is moved away");
    let key_file = std::env::temp_dir().join(format!("odoo-eventd-callback-key-{}", std::process::id()));
    std::fs::write(&key_file, KEY).unwrap();
    let arguments = [LOOPBACK.as_slice(), &["--secret-key-file", key_file.to_str().unwrap()]].concat();
    let _service = running(&database, &arguments).await;
    eventually("the callback's secret to be encrypted", SOON, async || {
        let left = database.psql("select odoo_eventd.secret_status() ->> 'plain'").await;
        (left == "0").then_some(())
    })
    .await;
    std::fs::remove_file(&key_file).unwrap();

    touch(&database, "id in (1, 2, 3, 4)").await;
    let told = one.wait_for(1, SOON).await.remove(0);
    assert_eq!(
        (told.path.as_str(), &told.json()["record_ids"]),
        ("/so/1", &serde_json::json!([1]))
    );
    let secret = [Secret::parse("secret of one").unwrap()];
    verify_body(&secret, told.header("x-mcp-signature").unwrap(), &told.body).unwrap();
    let told = two.wait_for(1, SOON).await.remove(0);
    assert_eq!(
        (told.path.as_str(), &told.json()["record_ids"]),
        ("/so/2", &serde_json::json!([2]))
    );
    assert_eq!(
        told.header("x-mcp-signature").or(told.header("webhook-signature")),
        None
    );
    assert_eq!(
        ended(&database, 2).await,
        "1|success|-\n2|success|-",
        "records without a callback have no delivery"
    );
    database.psql("delete from mcp_record_callback").await;
    assert_eq!(
        database
            .psql("select count(*) from odoo_eventd.subscription_secret")
            .await,
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_url_is_taken_as_it_is_at_each_attempt() {
    let database = Database::fixture().await;
    let (first, second) = (Receiver::start().await, Receiver::start().await);
    first.otherwise(Reply::status(503));
    subscribed(&database, &["--max-attempts", "5"]).await;
    call_back(&database, 1, &first.url("/"), None).await;
    let _service = running(&database, &LOOPBACK).await;
    touch(&database, "id = 1").await;
    ended(&database, 1).await;
    database
        .psql(&format!(
            "update mcp_record_callback set callback_url = '{}'",
            second.url("/moved")
        ))
        .await;
    second.otherwise(Reply::status(503));
    database.psql("update odoo_eventd.delivery set due_at = now()").await;
    let moved = second.wait_for(1, SOON).await.remove(0);
    assert_eq!(moved.path, "/moved");
    assert_eq!(moved.header("webhook-id"), first.requests()[0].header("webhook-id"));
    ended(&database, 2).await;
    database.psql("delete from mcp_record_callback").await;
    database.psql("update odoo_eventd.delivery set due_at = now()").await;
    let rows = ended(&database, 3).await;
    assert_eq!(rows.lines().last(), Some("1|failed|cancelled"), "{rows}");
    assert_eq!((first.requests().len(), second.requests().len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn networks_of_the_operators_own_receivers_are_not_open_to_callbacks() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    subscribed(&database, &[]).await;
    call_back(&database, 1, &receiver.url("/admin"), None).await;
    // 127.0.0.0/8 is in allow_networks here.
    let service = running(&database, &[]).await;
    touch(&database, "id = 1").await;
    assert_eq!(ended(&database, 1).await, "1|failed|blocked_address");
    assert_eq!(receiver.connections(), 0);
    let (_, log) = service.terminate().await;
    assert!(log.contains("allow_callback_networks"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_url_that_a_stranger_can_write_reaches_inside_or_stops_the_others() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    let port = receiver.address().port();
    subscribed(&database, &[]).await;
    let urls = [
        ("http://169.254.169.254/latest/meta-data/".to_owned(), "blocked_address"),
        (
            "https://169.254.169.254/latest/meta-data/".to_owned(),
            "blocked_address",
        ),
        (format!("https://127.0.0.1:{port}/"), "blocked_address"),
        (format!("http://2130706433:{port}/"), "blocked_address"),
        (format!("http://0x7f.1:{port}/"), "blocked_address"),
        (format!("http://[::ffff:127.0.0.1]:{port}/"), "blocked_address"),
        (format!("http://localhost.:{port}/"), "blocked_address"),
        ("https://[64:ff9b::7f00:1]/".to_owned(), "blocked_address"),
        (format!("http://user:pw@127.0.0.1:{port}/"), "invalid_request"),
        ("file:///etc/passwd".to_owned(), "invalid_request"),
        ("gopher://127.0.0.1/".to_owned(), "invalid_request"),
        ("not a url".to_owned(), "invalid_request"),
        (format!("http://127.0.0.1:{port}/\r\nX-Injected: 1"), "invalid_request"),
        ("https://".to_owned(), "invalid_request"),
    ];
    let client = database.client().await;
    let orders: Vec<i32> = client
        .query("insert into sale_order (name, state, company_id, partner_id, partner_invoice_id, partner_shipping_id, date_order)
                select 'S' || n, 'draft', o.company_id, o.partner_id, o.partner_id, o.partner_id, now() from sale_order o, generate_series(1, 15) n
                 where o.id = 1 returning id", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    for (order, (url, _)) in orders.iter().zip(&urls) {
        client
            .execute(
                "insert into mcp_record_callback (model, record_id, callback_url) values ('sale.order', $1::int4, $2)",
                &[order, url],
            )
            .await
            .unwrap();
    }
    let service = running(&database, &["--allow-callback-networks", "127.0.0.9"]).await;
    let ids = orders.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
    touch(&database, &format!("id in ({ids})")).await;
    let rows = ended(&database, urls.len()).await;
    let expected: Vec<String> = orders
        .iter()
        .zip(&urls)
        .map(|(id, (_, error))| format!("{id}|failed|{error}"))
        .collect();
    assert_eq!(rows.lines().collect::<Vec<_>>(), expected);
    assert_eq!(receiver.connections(), 0);
    let (_, log) = service.terminate().await;
    assert!(!log.contains("user:pw") && !log.contains("X-Injected"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_for_several_records_goes_to_nobodys_callback() {
    let database = Database::fixture().await;
    let (own, stranger) = (Receiver::start().await, Receiver::start().await);
    own.otherwise(Reply::status(503));
    eventd_ok(&database.url(), &["install"]).await;
    let url = own.url("/");
    subscribe(
        &database,
        "sale.order",
        &url,
        &[
            "--event",
            "write",
            "--fields",
            "client_order_ref",
            "--max-attempts",
            "100",
        ],
    )
    .await;
    call_back(&database, 1, &stranger.url("/"), None).await;
    let _service = running(&database, &LOOPBACK).await;
    touch(&database, "id in (1, 2)").await;
    ended(&database, 1).await;
    database
        .psql("update mcp_event_subscription set endpoint_source = 'record', webhook_url = null")
        .await;
    eventually("the subscription to be ready", SOON, async || {
        (database.psql("select state from mcp_event_subscription").await == "ready").then_some(())
    })
    .await;
    // The service may send once more to where it was, until it has taken notice.
    eventually("the delivery to be cancelled", SOON, async || {
        database
            .psql("update odoo_eventd.delivery set due_at = now() where state = 'waiting'")
            .await;
        ended(&database, 1).await.ends_with("cancelled").then_some(())
    })
    .await;
    assert_eq!(stranger.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_given_nothing_of_the_subscription_and_cannot_end_it() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::status(410));
    eventd_ok(&database.url(), &["install"]).await;
    let refused = eventd(
        &database.url(),
        &[
            "subscribe",
            "--model",
            "sale.order",
            "--endpoint-source",
            "record",
            "--header",
            "X-Api-Key: s3cret",
        ],
    )
    .await;
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("headers cannot be used with endpoint_source = record"),
        "{stderr}"
    );

    subscribed(&database, &["--max-attempts", "5"]).await;
    call_back(&database, 1, &receiver.url("/"), None).await;
    let _service = running(&database, &LOOPBACK).await;
    touch(&database, "id = 1").await;
    assert_eq!(ended(&database, 1).await, "1|failed|http_status");
    touch(&database, "id = 1").await;
    receiver.wait_for(2, SOON).await;
    // With SQL, behind the back of the command line.
    database
        .psql("update mcp_event_subscription set auth = 'bearer s3cret'")
        .await;
    let error = eventually("an invalid subscription", SOON, async || {
        let row = database.psql("select state, error from mcp_event_subscription").await;
        row.strip_prefix("invalid|").map(str::to_owned)
    })
    .await;
    assert!(
        error.starts_with("auth cannot be used with endpoint_source = record"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_that_fail_for_ever_do_not_disable_their_subscription() {
    let database = Database::fixture().await;
    let stranger = Receiver::start().await;
    stranger.otherwise(Reply::status(500));
    eventd_ok(&database.url(), &["install"]).await;
    subscribed(&database, &[]).await;
    call_back(&database, 1, &stranger.url("/"), None).await;
    let _service = running(&database, &[&LOOPBACK[..], &["--disable-after-s", "1"]].concat()).await;
    eventually("more and longer failures than an endpoint may have", SOON, async || {
        touch(&database, "id = 1").await;
        let enough = "select count(*) > 12 and max(finished_at) - min(finished_at) > '3 s' from mcp_webhook_delivery where status = 'failed'";
        (database.psql(enough).await.trim() == "t").then_some(())
    })
    .await;
    // The next one is sent as well, and by then the earlier ones were noted.
    let sent = stranger.requests().len();
    touch(&database, "id = 1").await;
    stranger.wait_for(sent + 1, SOON).await;
    let noted = "select state, failure_count > 12, failures_in_a_row from mcp_event_subscription";
    assert_eq!(database.psql(noted).await.trim(), "ready|t|0");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_callbacks_of_a_whole_batch_are_read_in_one_statement() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    let admin = database.admin_client().await;
    let track = format!("alter database \"{}\" set track_functions = 'all'", database.name());
    admin.batch_execute(&track).await.unwrap();
    subscribed(&database, &[]).await;
    database
        .psql(
            "insert into sale_order (name, state, company_id, partner_id, partner_invoice_id, partner_shipping_id, date_order)
             select 'S' || n, 'draft', o.company_id, o.partner_id, o.partner_id, o.partner_id, now()
               from sale_order o, generate_series(1, 500) n where o.id = 1",
        )
        .await;
    for record in 1..=3 {
        call_back(&database, record, &receiver.url("/"), None).await;
    }
    let service = running(&database, &LOOPBACK).await;
    touch(&database, "true").await;
    assert_eq!(ended(&database, 3).await, "1|success|-\n2|success|-\n3|success|-");
    service.terminate().await;
    let calls = eventually("the statistics of the ended sessions", SOON, async || {
        let calls = database
            .psql("select coalesce(max(calls), 0) from pg_stat_user_functions where funcname = 'record_callbacks'")
            .await;
        (calls != "0").then_some(calls)
    })
    .await;
    assert!(calls.parse::<u32>().unwrap() <= 2, "{calls} reads for 503 records");
}
