//! What readers get: everything once, in order, from where they were.

use odoo_eventd::ops::Error;
use serde_json::{Value, json};

use super::{admin, more_orders, operator, read_until, refs, subscribed, verbs, wait_fed};
use crate::support::Database;
use crate::support::delivery::{number, wait_true, write_ref};
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd_ok};

async fn installed() -> (Database, odoo_eventd::ops::Service) {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let verbs = verbs(&database).await;
    (database, verbs)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_without_a_url_keeps_its_events_and_a_cursor_finds_what_came_after_it() {
    let (database, verbs) = installed().await;
    let id = subscribed(&verbs, &admin(), json!({})).await;
    let _service = Service::leading(&database).await;
    for n in 0..5 {
        write_ref(&database, 1 + n % 2, &format!("ref {n}")).await;
    }
    wait_fed(&database, 5).await;
    let first = verbs.read_feed(&admin(), id, None, 2).await.unwrap();
    assert_eq!(
        (refs(&first), first.has_more, first.truncated),
        (vec!["ref 0".to_owned(), "ref 1".to_owned()], true, false)
    );
    let event = &first.events[1];
    assert_eq!(
        (
            event.model.as_str(),
            event.event_type.as_str(),
            event.record_ids.as_slice()
        ),
        ("sale.order", "write", [2].as_slice())
    );
    assert_eq!(event.content_type, "application/json");
    let body: Value = serde_json::from_str(&event.body).unwrap();
    assert_eq!(
        (&body["subscription_id"], &body["event_id"]),
        (&json!(id), &json!(event.event_id))
    );
    assert_eq!(first.cursor, event.cursor);
    let rest = verbs.read_feed(&admin(), id, Some(&first.cursor), 200).await.unwrap();
    assert_eq!(
        (refs(&rest), rest.has_more),
        (vec!["ref 2".to_owned(), "ref 3".to_owned(), "ref 4".to_owned()], false)
    );
    let none = verbs.read_feed(&admin(), id, Some(&rest.cursor), 200).await.unwrap();
    assert_eq!((none.events.len(), none.has_more, none.truncated), (0, false, false));
    assert_eq!(none.cursor, rest.cursor);
    assert_eq!(verbs.feed_end(&admin(), id).await.unwrap(), rest.cursor);
    assert_eq!(number(&database, "select count(*) from odoo_eventd.delivery").await, 0);
    let told = serde_json::to_value(&first).unwrap();
    assert_eq!(
        told["events"][0]["body"]["event_id"], told["events"][0]["event_id"],
        "{told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_event_is_sent_and_read_with_the_same_bytes() {
    let (database, verbs) = installed().await;
    let receiver = Receiver::start().await;
    let url = receiver.url("/both");
    let both = subscribed(&verbs, &admin(), json!({"webhook_url": url, "in_session": true})).await;
    let sent_only = subscribed(&verbs, &admin(), json!({"webhook_url": url})).await;
    let _service = Service::leading(&database).await;
    write_ref(&database, 1, "both").await;
    let requests = receiver.wait_for(2, SOON).await;
    let sent = requests
        .iter()
        .find(|request| request.json()["subscription_id"] == both)
        .unwrap();
    let page = verbs.read_feed(&admin(), both, None, 10).await.unwrap();
    assert_eq!(page.events.len(), 1);
    assert_eq!(page.events[0].body.as_bytes(), sent.body.as_slice());
    assert_eq!(sent.header("content-type"), Some(page.events[0].content_type.as_str()));
    let page = verbs.read_feed(&admin(), sent_only, None, 10).await.unwrap();
    assert!(page.events.is_empty(), "{page:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_larger_than_a_batch_comes_in_parts_and_all_of_it() {
    let (database, verbs) = installed().await;
    let id = subscribed(&verbs, &admin(), json!({"payload_fields": []})).await;
    let _service = Service::leading(&database).await;
    database.psql(&more_orders(4_500)).await;
    database
        .psql("update sale_order set client_order_ref = 'large' where id > 100000")
        .await;
    wait_true(
        &database,
        "(select coalesce(sum(cardinality(record_ids)), 0) from odoo_eventd.feed) = 4500",
    )
    .await;
    let page = verbs.read_feed(&admin(), id, None, 200).await.unwrap();
    let parts: Vec<i64> = page.events.iter().map(|event| event.part).collect();
    assert_eq!(parts, [0, 1, 2, 3, 4]);
    let mut records: Vec<i64> = page.events.iter().flat_map(|event| event.record_ids.clone()).collect();
    records.dedup();
    assert_eq!(records.len(), 4_500);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_goes_on_after_a_restart_and_under_another_leader() {
    let (database, verbs) = installed().await;
    let id = subscribed(&verbs, &admin(), json!({})).await;
    let service = Service::leading(&database).await;
    write_ref(&database, 1, "before").await;
    let (found, cursor) = read_until(&verbs, id, None, 1).await;
    assert_eq!(found, ["before"]);
    service.kill().await;
    write_ref(&database, 1, "while nobody leads").await;
    let second = Service::start(&database.url(), &[]);
    let (found, cursor) = read_until(&verbs, id, Some(cursor), 1).await;
    assert_eq!(found, ["while nobody leads"]);
    let third = Service::start(&database.url(), &[]);
    let (status, _) = second.terminate().await;
    assert!(status.success());
    write_ref(&database, 1, "another leader").await;
    let (found, cursor) = read_until(&verbs, id, Some(cursor), 1).await;
    assert_eq!(found, ["another leader"]);
    drop(third);
    assert_eq!(verbs.feed_end(&admin(), id).await.unwrap(), cursor);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_what_is_not_his_and_no_text_but_a_cursor_is_one() {
    let (database, verbs) = installed().await;
    let mine = operator("mine");
    let id = subscribed(&verbs, &mine, json!({})).await;
    let _service = Service::leading(&database).await;
    write_ref(&database, 1, "mine").await;
    wait_fed(&database, 1).await;
    assert_eq!(verbs.read_feed(&mine, id, None, 10).await.unwrap().events.len(), 1);
    let not_found = verbs.read_feed(&operator("yours"), id, None, 10).await.unwrap_err();
    assert!(matches!(not_found, Error::NotFound(_)), "{not_found:?}");
    let elsewhere = operator("mine").bound_to(["res.partner".to_owned()]);
    assert!(matches!(
        verbs.read_feed(&elsewhere, id, None, 10).await,
        Err(Error::NotFound(_))
    ));
    assert!(matches!(verbs.feed_end(&elsewhere, id).await, Err(Error::NotFound(_))));
    let unscoped = odoo_eventd::ops::Operator::of_connection("mine", [odoo_eventd::ops::Scope::SubscriptionsRead]);
    assert!(matches!(
        verbs.read_feed(&unscoped, id, None, 10).await,
        Err(Error::Forbidden(_))
    ));
    for (cursor, limit, column) in [(Some("1"), 10, "cursor"), (None, 0, "limit"), (None, 201, "limit")] {
        let Err(Error::Refused(refusals)) = verbs.read_feed(&mine, id, cursor, limit).await else {
            panic!("{cursor:?}, {limit} was taken")
        };
        assert_eq!(refusals[0].column, Some(column));
    }
    // What it told of another model, which it had before, is not of this operator's models.
    let bound = operator("mine").bound_to(["sale.order".to_owned()]);
    database.psql("update odoo_eventd.feed_0 set model = 'res.users'").await;
    assert!(verbs.read_feed(&bound, id, None, 10).await.unwrap().events.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_installation_or_from_the_future_is_told_to_be_cut_and_goes_on_at_the_oldest() {
    let (database, verbs) = installed().await;
    let id = subscribed(&verbs, &admin(), json!({})).await;
    let _service = Service::leading(&database).await;
    write_ref(&database, 1, "kept").await;
    let (_, cursor) = read_until(&verbs, id, None, 1).await;
    database.psql("select setval('odoo_eventd.feed_seq', 1, false)").await;
    let lost = verbs.read_feed(&admin(), id, Some(&cursor), 10).await.unwrap();
    assert_eq!(
        (lost.truncated, refs(&lost)),
        (true, vec!["kept".to_owned()]),
        "a failover that lost commits"
    );
    database.psql("select setval('odoo_eventd.feed_seq', 100)").await;
    let known = verbs.read_feed(&admin(), id, Some(&cursor), 10).await.unwrap();
    assert_eq!((known.truncated, known.events.len()), (false, 0));
    eventd_ok(&database.url(), &["adopt", "--pending", "keep"]).await;
    let cut = verbs.read_feed(&admin(), id, Some(&cursor), 10).await.unwrap();
    assert_eq!((cut.truncated, refs(&cut)), (true, vec!["kept".to_owned()]));
    let whole = verbs.read_feed(&admin(), id, Some(&cut.cursor), 10).await.unwrap();
    assert_eq!((whole.truncated, whole.events.len()), (false, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_one_record_come_in_their_order_whichever_transaction_began_first() {
    let (database, verbs) = installed().await;
    let id = subscribed(&verbs, &admin(), json!({"grouping": "record"})).await;
    // Captured while no service runs, so that one batch has both.
    let mut first = database.client().await;
    let first = first.transaction().await.unwrap();
    first.execute("select pg_current_xact_id()", &[]).await.unwrap();
    write_ref(&database, 1, "earlier, of the younger transaction").await;
    first
        .execute(
            "update sale_order set client_order_ref = 'later, of the older transaction' where id = 1",
            &[],
        )
        .await
        .unwrap();
    first.commit().await.unwrap();
    let _service = Service::leading(&database).await;
    let (found, _) = read_until(&verbs, id, None, 2).await;
    assert_eq!(
        found,
        ["earlier, of the younger transaction", "later, of the older transaction"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_makes_a_subscription_under_a_number_that_is_free_again_reads_nothing_of_the_one_before() {
    let (database, verbs) = installed().await;
    let id = subscribed(&verbs, &admin(), json!({})).await;
    let _service = Service::leading(&database).await;
    write_ref(&database, 1, "of the one before").await;
    wait_fed(&database, 1).await;
    verbs.delete_subscription(&admin(), id, None).await.unwrap();
    let again = format!("insert into mcp_event_subscription (id, model) values ({id}, 'sale.order')");
    database.psql(&again).await;
    assert!(verbs.read_feed(&admin(), id, None, 10).await.unwrap().events.is_empty());
    database.psql("truncate mcp_event_subscription").await;
    database.psql(&again).await;
    assert!(verbs.read_feed(&admin(), id, None, 10).await.unwrap().events.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_make_short_pages_and_all_of_them_come() {
    let (database, verbs) = installed().await;
    let id = subscribed(&verbs, &admin(), json!({})).await;
    let _service = Service::leading(&database).await;
    write_ref(&database, 1, "small").await;
    wait_fed(&database, 1).await;
    // Two megabytes each, of which a page has four.
    database
        .psql(
            "insert into odoo_eventd.feed_0
             select f.subscription_id, nextval('odoo_eventd.feed_seq'), f.n + g, f.event_id, g, f.at, 2097152, f.model, f.event_type, f.content_type,
                    f.record_ids, rpad('', 2097152, 'x') from odoo_eventd.feed_0 f, generate_series(1, 7) g",
        )
        .await;
    let (mut parts, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = verbs.read_feed(&admin(), id, cursor.as_deref(), 200).await.unwrap();
        parts.extend(page.events.iter().map(|event| event.part));
        assert!(page.events.len() <= 3, "{}", page.events.len());
        pages += 1;
        cursor = Some(page.cursor);
        if !page.has_more {
            break;
        }
    }
    assert_eq!(parts, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(pages >= 3, "{pages}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_leader_writes_nothing_to_the_feed() {
    let (database, _verbs) = installed().await;
    let client = database.client().await;
    let append = "select odoo_eventd.append_to_feed($1, array[1], array[gen_random_uuid()], array[0::bigint], array[now()], array['m'],
                         array['write'], array['application/json'], array['{1}'], array['{}'], false)";
    client.execute("select odoo_eventd.take_lead()", &[]).await.unwrap();
    assert!(client.execute(append, &[&1_i64]).await.is_ok());
    client.execute("select odoo_eventd.take_lead()", &[]).await.unwrap();
    let refused = client.execute(append, &[&1_i64]).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "OE001");
    assert_eq!(number(&database, "select count(*) from odoo_eventd.feed").await, 1);
}
