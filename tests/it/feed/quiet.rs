//! What the feed costs those who have no readers: nothing.

use serde_json::json;

use super::{admin, subscribed, verbs};
use crate::support::Database;
use crate::support::delivery::{number, order_refs, wait_logged, write_ref};
use crate::support::receiver::Receiver;
use crate::support::service::{Service, eventd_ok};

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_reads_no_row_is_written_and_no_statement_names_the_feed() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    order_refs(&database, &receiver, &[]).await;
    // Whatever is called is counted from here on.
    let admin = database.admin_client().await;
    let track = format!("alter database {} set track_functions = 'all'", database.name());
    admin.batch_execute(&track).await.unwrap();
    let _service = Service::leading(&database).await;
    for n in 0..10 {
        write_ref(&database, 1, &format!("ref {n}")).await;
    }
    wait_logged(&database, "status = 'success'", 10).await;
    let called = database
        .psql("select pg_stat_force_next_flush() where current_setting('server_version_num')::integer >= 150000;
               select funcname || ' ' || calls from pg_stat_user_functions
                where funcname in ('append_to_feed', 'last_in_feed', 'read_feed', 'limit_feed', 'note_feed_readers') and calls > 0")
        .await;
    assert_eq!(called.trim(), "");
    let rows = "(select count(*) from odoo_eventd.feed) + (select count(*) from odoo_eventd.feed_dropped) + (select count(*) from odoo_eventd.feed_reader)
                + (select count(*) from odoo_eventd.feed_block where opened_at is not null)";
    assert_eq!(number(&database, &format!("select {rows}")).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_not_active_is_fed_nothing() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let verbs = verbs(&database).await;
    let quiet = subscribed(&verbs, &admin(), json!({"active": false})).await;
    let read = subscribed(&verbs, &admin(), json!({})).await;
    let _service = Service::leading(&database).await;
    write_ref(&database, 1, "ref").await;
    super::read_until(&verbs, read, None, 1).await;
    assert_eq!(
        verbs.read_feed(&admin(), quiet, None, 10).await.unwrap().events.len(),
        0
    );
}
