//! What becomes of capture when somebody takes its triggers or its table away: nobody's statement fails, what was captured in part is
//! not judged, everything else is, and it is all put back without an operator.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use crate::capture::Captured;
use crate::support::delivery::subscribe;
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd, eventd_ok, wait_until_leading};
use crate::support::{Database, eventually};

async fn note_drift(captured: &Captured) -> Vec<String> {
    let models = captured
        .owner
        .query("select odoo_eventd.note_drift()", &[])
        .await
        .unwrap();
    models.iter().map(|row| row.get(0)).collect()
}

async fn gaps(captured: &Captured) -> String {
    captured
        .database
        .psql("select string_agg(reason || ' ' || (ended_at is not null) || ' ' || (until is not null), ', ' order by gap_id) from odoo_eventd.capture_gap")
        .await
}

fn update(id: i32) -> String {
    format!("update crm_tag set color = coalesce(color, 0) + 1 where id = {id}")
}

#[tokio::test]
async fn looking_for_drift_does_not_go_through_all_models_for_each_that_is_captured() {
    let captured = Captured::watching("crm.tag", &["color"]).await;
    captured.watch("res.partner", &["name"]).await;
    captured.watch("sale_order_tag_rel", &["order_id", "tag_id"]).await;
    let admin = captured.database.admin_client().await;
    admin.batch_execute("set track_functions = 'all'; begin").await.unwrap();
    let mut calls = Vec::new();
    for function in ["whole_captures", "model_table", "registry_models"] {
        admin.batch_execute("select odoo_eventd.note_drift()").await.unwrap();
        let row = admin
            .query_one(
                "select coalesce(sum(calls), 0)::int8 from pg_stat_xact_user_functions where funcname = $1",
                &[&function],
            )
            .await
            .unwrap();
        calls.push(row.get::<_, i64>(0));
    }
    assert!(calls[0] >= 1, "what is counted is called at all: {calls:?}");
    assert_eq!(
        calls[1..],
        [0, 0],
        "asked of each of hundreds of tables that is seconds of work, every five seconds"
    );
}

#[tokio::test]
async fn one_trigger_that_goes_missing_leaves_a_gap_and_all_else_is_judged() {
    let captured = Captured::watching("crm.tag", &["color"]).await;
    captured
        .write("alter table crm_tag alter column name drop not null")
        .await;
    let captured_from =
        "select string_agg(captured_from::text, ',' order by column_name) from odoo_eventd.captured_column";
    let before = captured.database.psql(captured_from).await;
    captured.write(&update(1)).await;
    assert!(note_drift(&captured).await.is_empty());
    captured.write("drop trigger odoo_eventd_update on crm_tag").await;
    // Captured as it was inserted, and not as it was left: to be judged neither so nor so.
    captured
        .write("begin; insert into crm_tag (id, color) values (901, 1); update crm_tag set color = 2 where id = 901; commit")
        .await;
    assert_eq!(note_drift(&captured).await, ["crm.tag"]);
    assert_eq!(gaps(&captured).await, "a trigger was missing false false");
    let status = eventd(&captured.database.url(), &["status"]).await;
    let told = String::from_utf8_lossy(&status.stdout);
    assert!(told.contains("changes of crm.tag may be missed since"), "{told}");

    assert_eq!(captured.sync("crm.tag").await.unwrap(), "repaired");
    assert_eq!(gaps(&captured).await, "a trigger was missing true true");
    assert!(note_drift(&captured).await.is_empty());
    captured.write(&update(2)).await;
    assert_eq!(captured.readable().await, [1, 2]);
    assert_eq!(
        captured.database.psql(captured_from).await,
        before,
        "everybody is served on"
    );
    // A transaction of any size is read so.
    let read = "select count(*) from odoo_eventd.outbox o where o.record_id = 901
                   and exists (select from odoo_eventd.read_transaction(o.xid) r where r.id = o.id)";
    assert_eq!(captured.database.psql(read).await, "0");
    assert_eq!(captured.database.psql(&read.replace("901", "2")).await, "1");
    let told = eventd_ok(&captured.database.url(), &["status"]).await;
    assert!(told.contains("a trigger was missing"), "{told}");
}

#[tokio::test]
async fn what_was_captured_before_all_triggers_went_is_judged_however_long_ago_anybody_looked() {
    for breakage in [
        "alter table crm_tag disable trigger user",
        "begin; alter table crm_tag rename to crm_tag_old; create table crm_tag (like crm_tag_old including all);
         insert into crm_tag select * from crm_tag_old; commit",
    ] {
        let captured = Captured::watching("crm.tag", &["color"]).await;
        captured.write(&update(1)).await;
        captured.write(breakage).await;
        captured.write(&update(2)).await;
        assert_eq!(note_drift(&captured).await, ["crm.tag"], "{breakage}");
        captured.sync("crm.tag").await.unwrap();
        captured.write(&update(3)).await;
        assert_eq!(captured.readable().await, [1, 3], "{breakage}");
        assert_eq!(captured.drift("crm.tag").await, None);
    }
}

#[tokio::test]
async fn a_trigger_that_somebody_enables_again_ends_its_gap() {
    let captured = Captured::watching("crm.tag", &["color"]).await;
    captured
        .write("alter table crm_tag disable trigger odoo_eventd_update")
        .await;
    note_drift(&captured).await;
    captured
        .write("alter table crm_tag enable trigger odoo_eventd_update")
        .await;
    assert_eq!(note_drift(&captured).await, ["crm.tag"]);
    captured.sync("crm.tag").await.unwrap();
    assert_eq!(gaps(&captured).await, "a trigger was missing true true");
    captured.write(&update(1)).await;
    assert_eq!(captured.readable().await, [1]);
}

#[tokio::test]
async fn whoever_writes_while_a_copy_is_adopted_is_not_judged_and_what_was_pending_is() {
    let captured = Captured::watching("crm.tag", &["color"]).await;
    captured.write(&update(1)).await;
    // As after ALTER DATABASE .. RENAME.
    captured
        .write("update odoo_eventd.installation set database_name = 'elsewhere'; select odoo_eventd.register_installation(null)")
        .await;
    let across = captured.writer().await;
    across.batch_execute(&format!("begin; {}", update(2))).await.unwrap();
    eventd_ok(&captured.database.url(), &["adopt", "--pending", "keep"]).await;
    across.batch_execute(&format!("{}; commit", update(3))).await.unwrap();
    captured.write(&update(1)).await;
    assert_eq!(captured.readable().await, [1, 1]);
    assert_eq!(gaps(&captured).await, "this was a copy true true");
}

// Under load, with the service ---------------------------------------------------------------------------------------------

/// How often the table was announced to go, and to be back: it may be gone while the number is odd.
#[derive(Default)]
struct Absences(AtomicU32);

impl Absences {
    fn next(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn so_far(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Writes crm_tag all the time, in sessions that have long run the capture function. Nothing may fail but what would without us: a
/// statement during which the table was gone. On a busy machine its failure is heard of when the table has long been back.
async fn write_all_the_time(session: Client, id: i32, absences: Arc<Absences>, cancel: CancellationToken) -> u64 {
    session.batch_execute("set lock_timeout = '20s'").await.unwrap();
    let mut written = 0;
    while !cancel.is_cancelled() {
        for statement in [
            update(id),
            format!("update crm_tag set color = color where id in ({id}, {})", id + 1_000),
            format!(
                "insert into crm_tag (id, color) values ({}, 1) on conflict do nothing",
                id + 1_000
            ),
            format!("delete from crm_tag where id = {}", id + 1_000),
        ] {
            let before = absences.so_far();
            let was_gone = || before % 2 == 1 || absences.so_far() != before;
            match session.batch_execute(&statement).await {
                Ok(()) => written += 1,
                Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) && was_gone() => {}
                Err(error) => panic!("{statement}: {error:?}"),
            }
        }
        // Readers of the outbox need a part of two cores as well.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    written
}

async fn arrives_again(database: &Database, receiver: &Receiver, color: i32) {
    eventually("the subscription to be served again", SOON, async || {
        // Some of these are written before the triggers are back.
        database.psql("delete from crm_tag where id = 5000").await;
        database
            .psql(&format!("insert into crm_tag (id, color) values (5000, {color})"))
            .await;
        let found = receiver
            .requests()
            .iter()
            .any(|r| r.json()["event_type"] == "create" && r.json()["record_ids"][0] == 5000);
        found.then_some(())
    })
    .await;
    assert_eq!(database.psql("select state from mcp_event_subscription").await, "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_renamed_dropped_and_made_anew_under_load_fails_nobody_and_is_captured_again_without_an_operator()
 {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("alter table crm_tag alter column name drop not null")
        .await;
    let mut receiver = Receiver::start().await;
    subscribe(&database, "crm.tag", &receiver.url("/"), &["--fields", "color"]).await;
    let service = Service::leading(&database).await;
    let (cancel, absences) = (CancellationToken::new(), Arc::new(Absences::default()));
    let mut writers = tokio::task::JoinSet::new();
    for id in 1..=3 {
        writers.spawn(write_all_the_time(
            database.client().await,
            id,
            Arc::clone(&absences),
            cancel.clone(),
        ));
    }
    arrives_again(&database, &receiver, 1).await;
    for (change, comes_back) in [
        (
            "begin; alter table crm_tag rename to crm_tag_old; create table crm_tag (like crm_tag_old including all);
             insert into crm_tag select * from crm_tag_old; commit",
            None,
        ),
        // What an upgrade does with columns, one of them watched.
        (
            "begin; lock table crm_tag in access exclusive mode; update crm_tag set color = 7; alter table crm_tag add column x_new integer default 7;
             alter table crm_tag alter column color type numeric using color::numeric;
             alter table crm_tag alter column name drop default, alter column name type jsonb using to_jsonb(name);
             update crm_tag set color = 8; commit",
            None,
        ),
        (
            "begin; create table crm_tag_new (like crm_tag including all); insert into crm_tag_new select * from crm_tag;
             drop table crm_tag cascade; alter table crm_tag_new rename to crm_tag; commit",
            None,
        ),
        ("alter table crm_tag rename to crm_tag_gone", Some("alter table crm_tag_gone rename to crm_tag")),
        ("alter table crm_tag rename to crm_tag_kept", Some("create table crm_tag (like crm_tag_kept including all)")),
    ] {
        if comes_back.is_some() {
            absences.next();
        }
        database.psql(change).await;
        if let Some(comes_back) = comes_back {
            let row = "select state || ' ' || error from mcp_event_subscription where state = 'invalid'";
            let said = eventually("the subscription to say so", SOON, async || {
                Some(database.psql(row).await).filter(|said| !said.is_empty())
            })
            .await;
            assert!(said.contains("crm.tag"), "{said}");
            database.psql(comes_back).await;
            absences.next();
        }
        // A fresh one, so that what arrives is of now.
        receiver = Receiver::start().await;
        database.psql(&format!("update mcp_event_subscription set webhook_url = '{}' where state = 'ready'", receiver.url("/"))).await;
        if comes_back.is_some() {
            eventually("the subscription to be ready without an operator", SOON * 2, async || {
                (database.psql("select state from mcp_event_subscription").await == "ready").then_some(())
            })
            .await;
            database.psql(&format!("update mcp_event_subscription set webhook_url = '{}'", receiver.url("/"))).await;
        }
        wait_until_leading(&database).await;
        arrives_again(&database, &receiver, 2).await;
        eventually("nothing to be adrift", SOON, async || {
            let drift = database.psql("select jsonb_path_query(odoo_eventd.status(), '$.models[*].drift')").await;
            (drift == "null").then_some(())
        })
        .await;
    }
    cancel.cancel();
    let written: u64 = writers.join_all().await.iter().sum();
    assert!(written > 1_000, "{written} statements are no load");
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");
}
