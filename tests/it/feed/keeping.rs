//! What is kept for readers, and for how long.

use serde_json::json;

use super::{admin, more_orders, operator, read_until, refs, subscribed, verbs, wait_fed};
use crate::support::Database;
use crate::support::delivery::{number, wait_true, write_ref};
use crate::support::service::{Service, eventd, eventd_ok, wait_until_leading};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_in_blocks_and_a_reader_behind_them_is_told() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let verbs = verbs(&database).await;
    let id = subscribed(&verbs, &admin(), json!({})).await;
    let quiet = subscribed(&verbs, &admin(), json!({"domain": "[('id', '=', 2)]"})).await;
    let service = Service::leading(&database).await;
    let begin = verbs.feed_end(&admin(), id).await.unwrap();
    let begin_of_quiet = verbs.feed_end(&admin(), quiet).await.unwrap();
    write_ref(&database, 1, "old").await;
    let (_, behind_old) = read_until(&verbs, id, None, 1).await;
    service.kill().await;
    // Written to for five hours: the next term leaves it. Then it has been left for more than a day, and is emptied.
    database
        .psql("update odoo_eventd.feed_block set opened_at = now() - interval '5 hours' where block = 0")
        .await;
    let service = Service::leading(&database).await;
    wait_true(&database, "(select current from odoo_eventd.feed_ring) = 1").await;
    write_ref(&database, 1, "new").await;
    wait_fed(&database, 2).await;
    assert_eq!(number(&database, "select count(*) from odoo_eventd.feed_1").await, 1);
    service.kill().await;
    database
        .psql("update odoo_eventd.feed_block set opened_at = now() - interval '30 hours', closed_at = now() - interval '25 hours' where block = 0")
        .await;
    let reader = database.client().await;
    reader
        .batch_execute("begin; select count(*) from odoo_eventd.feed_0")
        .await
        .unwrap();
    let _service = Service::leading(&database).await;
    // Whoever reads it for long is in nobody's way, and nobody in his.
    write_ref(&database, 1, "newer").await;
    wait_fed(&database, 3).await;
    assert_eq!(number(&database, "select count(*) from odoo_eventd.feed_0").await, 1);
    let whole = verbs.read_feed(&admin(), id, Some(&begin), 10).await.unwrap();
    assert_eq!((whole.truncated, refs(&whole).len()), (false, 3));
    reader.batch_execute("commit").await.unwrap();
    wait_true(&database, "not exists (select from odoo_eventd.feed_0)").await;
    let cut = verbs.read_feed(&admin(), id, Some(&begin), 10).await.unwrap();
    assert_eq!(
        (cut.truncated, refs(&cut)),
        (true, vec!["new".to_owned(), "newer".to_owned()])
    );
    let whole = verbs.read_feed(&admin(), id, Some(&behind_old), 10).await.unwrap();
    assert_eq!(
        (whole.truncated, refs(&whole).len()),
        (false, 2),
        "it had read all that is gone"
    );
    let new = verbs.read_feed(&admin(), id, None, 10).await.unwrap();
    assert_eq!(
        (new.truncated, refs(&new).len()),
        (false, 2),
        "who begins misses nothing"
    );
    let nothing = verbs
        .read_feed(&admin(), quiet, Some(&begin_of_quiet), 10)
        .await
        .unwrap();
    assert_eq!(
        (nothing.truncated, nothing.events.len()),
        (false, 0),
        "nothing of its own has gone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_subscription_with_too_many_events_the_newest_stay() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let verbs = verbs(&database).await;
    let id = subscribed(&verbs, &admin(), json!({"grouping": "record"})).await;
    let few = subscribed(&verbs, &admin(), json!({"domain": "[('id', '=', 1)]"})).await;
    let service = Service::start(&database.url(), &["--feed-max-events", "20"]);
    wait_until_leading(&database).await;
    let begin = verbs.feed_end(&admin(), id).await.unwrap();
    database.psql(&more_orders(60)).await;
    database
        .psql("update sale_order set client_order_ref = id::text where id > 100000")
        .await;
    database
        .psql("update sale_order set client_order_ref = 'one' where id = 1")
        .await;
    wait_fed(&database, 62).await;
    // It looks every quarter of a minute, and at once where there is another term.
    service.kill().await;
    let _service = Service::start(&database.url(), &["--feed-max-events", "20"]);
    write_ref(&database, 1, "last").await;
    wait_true(
        &database,
        &format!("exists (select from odoo_eventd.feed_dropped where subscription_id = {id})"),
    )
    .await;
    let page = verbs.read_feed(&admin(), id, Some(&begin), 200).await.unwrap();
    assert!(page.truncated);
    assert!((20..=22).contains(&page.events.len()), "{}", page.events.len());
    let page = verbs.read_feed(&admin(), few, None, 200).await.unwrap();
    assert_eq!(
        (page.truncated, refs(&page)),
        (false, vec!["one".to_owned(), "last".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_bytes_the_feed_goes_on_and_its_oldest_blocks_go_with_an_alarm() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let verbs = verbs(&database).await;
    let id = subscribed(&verbs, &admin(), json!({"grouping": "record"})).await;
    let most = 4 * 1024 * 1024;
    let _service = Service::start(&database.url(), &["--feed-max-bytes", &most.to_string()]);
    wait_until_leading(&database).await;
    database.psql(&more_orders(1_000)).await;
    let mut last = 0;
    for n in 0..12 {
        database
            .psql(&format!("update sale_order set client_order_ref = '{n} ' || (select string_agg(md5(random()::text || id || g), '') from generate_series(1, 24) g) where id > 100000"))
            .await;
        last += 1_000;
        wait_true(
            &database,
            &format!("(select last_value from odoo_eventd.feed_seq) >= {last}"),
        )
        .await;
    }
    wait_true(&database, "(odoo_eventd.feed_health() ->> 'is_shortened')::boolean").await;
    wait_true(
        &database,
        "(odoo_eventd.feed_health() ->> 'bytes')::bigint <= (odoo_eventd.feed_health() ->> 'max_bytes')::bigint",
    )
    .await;
    let doctor = eventd(&database.url(), &["doctor"]).await;
    let doctor = String::from_utf8(doctor.stdout).unwrap();
    assert!(doctor.contains("events had to go before their time"), "{doctor}");
    write_ref(&database, 1, "the newest").await;
    let mut cursor = None;
    loop {
        let page = verbs.read_feed(&admin(), id, cursor.as_deref(), 200).await.unwrap();
        cursor = Some(page.cursor);
        if page.events.iter().any(|event| event.body.contains("the newest")) {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_assistant_made_ends_when_nobody_reads_it_and_what_a_person_made_does_not() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let verbs = verbs(&database).await;
    let read = subscribed(&verbs, &operator("ai").as_assistant(), json!({})).await;
    let unread = subscribed(&verbs, &operator("ai").as_assistant(), json!({})).await;
    let sent = subscribed(
        &verbs,
        &operator("ai").as_assistant(),
        json!({"webhook_url": "http://127.0.0.1:9/"}),
    )
    .await;
    let of_person = subscribed(&verbs, &operator("person"), json!({})).await;
    let of_listener = subscribed(&verbs, &admin().leasing(), json!({})).await;
    database
        .psql("update odoo_eventd.feed_reader set read_at = now() - interval '2 hours'")
        .await;
    let age = "set session odoo_eventd.service_write = 'on'; update mcp_event_subscription set create_date = create_date - interval '2 hours', write_date = write_date - interval '2 hours'";
    database.psql(age).await;
    verbs.read_feed(&operator("ai"), read, None, 1).await.unwrap();
    let _service = Service::start(&database.url(), &["--feed-lease-s", "3600"]);
    wait_until_leading(&database).await;
    // A term begins with patience: readers may be on their way back.
    assert_eq!(
        number(&database, "select count(*) from mcp_event_subscription where active").await,
        5
    );
    database
        .psql("select odoo_eventd.end_feed_leases((select term from odoo_eventd.lead))")
        .await;
    let ended = database
        .psql("select string_agg(id::text, ',' order by id) from mcp_event_subscription where not active")
        .await;
    assert_eq!(ended.trim(), format!("{unread},{of_listener}"));
    let why = database
        .psql(&format!("select error from mcp_event_subscription where id = {unread}"))
        .await;
    assert!(why.contains("nobody has read its events for 1 h"), "{why}");
    let history = eventd_ok(&database.url(), &["history", &unread.to_string()]).await;
    assert!(history.contains("active: true -> false"), "{history}");
    let by = database
        .psql(&format!("select application from odoo_eventd.subscription_history where subscription_id = {unread} and op = 'update'"))
        .await;
    assert_eq!(by.trim(), "odoo-eventd: nobody read its events");
    let _ = (sent, of_person);
    // Whoever activates it has a new lease.
    database
        .psql(&format!(
            "update mcp_event_subscription set active = true where id = {unread}"
        ))
        .await;
    database
        .psql("select odoo_eventd.end_feed_leases((select term from odoo_eventd.lead))")
        .await;
    assert_eq!(
        number(
            &database,
            &format!("select count(*) from mcp_event_subscription where active and id = {unread}")
        )
        .await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_ends_by_itself_in_a_running_service_and_not_while_somebody_waits() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let _service = Service::start(&database.url(), &["--feed-lease-s", "10"]);
    wait_true(&database, "(select lease_s from odoo_eventd.feed_ring) = 10").await;
    let verbs = verbs(&database).await;
    let unread = subscribed(&verbs, &operator("ai").as_assistant(), json!({})).await;
    let read = subscribed(&verbs, &operator("ai").as_assistant(), json!({})).await;
    let reader = verbs.clone();
    let reader = tokio::spawn(async move {
        let long = std::time::Duration::from_secs(600);
        reader.wait_feed(&operator("ai"), read, None, 10, long).await
    });
    let ended = |id: i32| format!("not (select active from mcp_event_subscription where id = {id})");
    wait_true(&database, &ended(unread)).await;
    // Both were made at one time, and leases end together.
    assert_eq!(database.psql(&format!("select {}", ended(read))).await.trim(), "f");
    assert!(!reader.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_records_blanks_their_events_in_the_feed() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let verbs = verbs(&database).await;
    let id = subscribed(&verbs, &admin(), json!({"grouping": "record"})).await;
    let _service = Service::leading(&database).await;
    write_ref(&database, 1, "secret of one").await;
    write_ref(&database, 2, "of two").await;
    wait_fed(&database, 2).await;
    eventd_ok(&database.url(), &["erase", "--model", "sale.order", "--ids", "1"]).await;
    let page = verbs.read_feed(&admin(), id, None, 10).await.unwrap();
    assert_eq!(&*page.events[0].body, "{\"erased\":true}");
    assert!(page.events[1].body.contains("of two"));
}
