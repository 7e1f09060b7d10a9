//! The outbox while somebody holds a transaction open: it is read at the same cost however much is in it, and goes round its ring
//! without anybody waiting.

use std::collections::HashSet;

use odoo_eventd::pg::connect;
use odoo_eventd::pg::deliveries::{self, Batch};
use odoo_eventd::pg::outbox::{self, Layouts, Position};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::capture::Captured;

/// What this session has fetched of the outbox's tables and indexes so far, in blocks of 8 kB, and how often it went through one of
/// the larger tables from end to end.
async fn fetched(session: &deadpool_postgres::Client) -> (i64, i64) {
    let row = session
        .query_one(
            "select sum(pg_stat_get_xact_blocks_fetched(c.oid))::int8,
                    sum(pg_stat_get_xact_numscans(c.oid)) filter (where c.relkind = 'r' and pg_relation_size(c.oid) > 100000)::int8
               from pg_class c where c.relname ~ '^outbox_[0-3](_pkey)?$'",
            &[],
        )
        .await
        .unwrap();
    (row.get(0), row.get::<_, Option<i64>>(1).unwrap_or(0))
}

/// Reads everything beyond the position in pages of 500: pages, rows, and what was fetched for it.
async fn read_on(session: &deadpool_postgres::Client, position: &mut Position) -> (i64, i64, i64) {
    let mut layouts = Layouts::default();
    let (mut pages, mut rows, mut blocks) = (0, 0, 0);
    loop {
        session.batch_execute("begin").await.unwrap();
        let before = fetched(session).await;
        let page = outbox::read(session, position, 500, i64::MAX, &mut layouts)
            .await
            .unwrap();
        let after = fetched(session).await;
        session.batch_execute("commit").await.unwrap();
        assert_eq!(after.1, before.1, "no page needs to go through a whole table");
        pages += 1;
        rows += i64::try_from(page.rows.len()).unwrap();
        blocks += after.0 - before.0;
        if page.rows.len() < 500 {
            position.done = position.target.take().map_or(page.snapshot, |target| target.snapshot);
            return (pages, rows, blocks);
        }
        let last = page.rows.last().unwrap();
        position.target = Some(outbox::Target {
            snapshot: page.snapshot,
            last_xid: last.xid,
            last_id: last.change.id,
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_costs_the_same_however_much_the_outbox_holds_behind_a_transaction_held_open() {
    let captured = Captured::watching("project.tags", &["color"]).await;
    captured
        .write("insert into project_tags (id, name, color) select n, '{}', 0 from generate_series(1001, 1010) n")
        .await;
    // One that reads, so that vacuum is held back, and one that has written much and goes on.
    let reader = captured.writer().await;
    reader
        .batch_execute("begin isolation level repeatable read; select count(*) from project_tags")
        .await
        .unwrap();
    let writer = captured.writer().await;
    writer
        .batch_execute(
            "begin; insert into project_tags (id, name, color) select n, '{}', 1 from generate_series(2001, 42000) n",
        )
        .await
        .unwrap();
    let pool = connect::Database::parse(&captured.database.url())
        .unwrap()
        .pool(1)
        .unwrap();
    let session = pool.get().await.unwrap();
    let mut position = outbox::take_lead(&session).await.unwrap().position;
    read_on(&session, &mut position).await;

    let mut costs = Vec::new();
    for round in 1..=8 {
        // 300 transactions of ten rows each.
        captured
            .write(&format!(
                "do $$ begin for n in 1..300 loop
                   update project_tags set color = {round} * 1000 + n where id <= 1010 and id > 1000; commit;
                 end loop; end $$"
            ))
            .await;
        let (pages, rows, blocks) = read_on(&session, &mut position).await;
        assert_eq!((pages, rows), (7, 3_000));
        let (_, none, blocks_for_none) = read_on(&session, &mut position).await;
        assert_eq!(none, 0);
        costs.push((blocks / pages, blocks_for_none));
    }
    eprintln!("blocks a page of 500 rows, and a look that finds nothing, over eight rounds: {costs:?}");
    let (first, last) = (costs[1], costs[7]);
    assert!(last.0 <= first.0 * 5 / 4, "a page has come to cost more: {costs:?}");
    assert!(
        costs.iter().all(|cost| cost.1 < 60),
        "a look that finds nothing costs as much as there is in the outbox: {costs:?}"
    );
    // What was held open loses nothing by it.
    writer.batch_execute("commit").await.unwrap();
    let (_, rows, _) = read_on(&session, &mut position).await;
    assert_eq!(rows, 40_000);
}

/// Writes until it is told to stop; a statement that waits for what others hold open fails. Returns what it wrote.
async fn write_all_the_time(session: Client, record: i64, cancel: CancellationToken) -> Vec<(i64, i64)> {
    session.batch_execute("set lock_timeout = '10s'").await.unwrap();
    let mut written = Vec::new();
    for color in 1.. {
        if cancel.is_cancelled() {
            break;
        }
        session
            .execute(
                "update project_tags set color = $1 where id = $2",
                &[&i32::try_from(color).unwrap(), &i32::try_from(record).unwrap()],
            )
            .await
            .unwrap_or_else(|error| panic!("a writer had to wait: {error:?}"));
        written.push((record, color));
    }
    written
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ring_goes_round_and_is_emptied_under_constant_writers_without_one_that_waits_and_nothing_is_lost() {
    let captured = Captured::watching("project.tags", &["color"]).await;
    captured
        .write("insert into project_tags (id, name, color) select n, '{}', 0 from generate_series(1000, 1004) n")
        .await;
    // Keeps its table of the ring from being emptied, and holds vacuum back.
    let held = captured.writer().await;
    held.batch_execute("begin; update project_tags set color = -1 where id = 1000")
        .await
        .unwrap();
    let cancel = CancellationToken::new();
    let mut writers = tokio::task::JoinSet::new();
    for record in 1_001..=1_004 {
        writers.spawn(write_all_the_time(captured.writer().await, record, cancel.clone()));
    }

    let pool = connect::Database::parse(&captured.database.url())
        .unwrap()
        .pool(1)
        .unwrap();
    let client = pool.get().await.unwrap();
    let lead = outbox::take_lead(&client).await.unwrap();
    let (mut position, mut layouts) = (lead.position, Layouts::default());
    let mut read: HashSet<(i64, i64)> = HashSet::new();
    let (mut rotated, mut emptied) = (0, 0);
    let mut rounds = 0;
    loop {
        let is_last = rounds >= 150;
        if is_last {
            cancel.cancel();
            if rounds == 150 {
                let mut written = HashSet::new();
                for of_one in writers.join_all().await {
                    written.extend(of_one);
                }
                held.batch_execute("commit").await.unwrap();
                written.extend((1_000..=1_004).map(|id| (id, 0)));
                written.insert((1_000, -1));
                let page = outbox::read(&client, &position, 1_000_000, i64::MAX, &mut layouts)
                    .await
                    .unwrap();
                read.extend(page.rows.iter().map(value_of));
                assert!(
                    read == written,
                    "{} were written, {} were read",
                    written.len(),
                    read.len()
                );
                break;
            }
        }
        let page = outbox::read(&client, &position, 1_000_000, i64::MAX, &mut layouts)
            .await
            .unwrap();
        for row in &page.rows {
            assert!(read.insert(value_of(row)), "read twice");
        }
        position = Position {
            done: page.snapshot,
            target: None,
        };
        deliveries::commit_batch(
            &client,
            lead.term,
            &position,
            Batch {
                deliveries: &[],
                fed: &[],
                is_piece: false,
            },
        )
        .await
        .unwrap();
        rotated += usize::from(outbox::rotate(&client, 0).await.unwrap());
        emptied += outbox::clear(&client, false).await.unwrap();
        rounds += 1;
    }
    eprintln!("the ring went on {rotated} times and {emptied} tables were emptied");
    assert!(rotated >= 50 && emptied >= 50, "{rotated} {emptied}");
}

fn value_of(row: &outbox::OutboxRow) -> (i64, i64) {
    let color = row.change.new.as_ref().unwrap()[0].as_ref().unwrap();
    (row.change.record_id, color.parse().unwrap())
}
