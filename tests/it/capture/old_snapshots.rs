//! Odoo's transactions are REPEATABLE READ: each sees the database as it was at its first statement, also where capture has changed since.

use super::Captured;

/// What a transaction writes that began before, behind a change of the capture.
async fn captured_of(change: &str) -> Vec<String> {
    let mut captured = Captured::watching("sale.order", &["state"]).await;
    captured
        .write(
            "insert into sale_order select (jsonb_populate_record(s.whole, jsonb_build_object('id', i))).*
               from (select o as whole from sale_order o limit 1) s, generate_series(1001, 2200) i",
        )
        .await;
    captured.rows().await;
    let writer = captured.writer().await;
    // The look takes the snapshot; nothing of the table is locked yet.
    writer
        .batch_execute("begin isolation level repeatable read; select count(*) from ir_model")
        .await
        .unwrap();
    captured.watch("sale.order", &["state", "origin"]).await;
    writer.batch_execute(&format!("{change}; commit")).await.unwrap();
    let lost = "select coalesce(string_agg(reason, ', '), 'nothing') from odoo_eventd.capture_overflow";
    assert_eq!(captured.database.psql(lost).await, "nothing", "{change}");
    captured.rows().await
}

#[tokio::test]
async fn large_and_drifted_statements_are_captured_by_a_generation_that_the_writers_snapshot_does_not_see() {
    let rows = captured_of("update sale_order set state = 'x' where id > 1000").await;
    assert_eq!(rows.len(), 1_200);
    let rows = captured_of(
        "alter table sale_order alter column origin type text; update sale_order set state = 'x' where id < 3",
    )
    .await;
    assert_eq!(rows.len(), 2);
    let rows = captured_of("update sale_order set id = -id, state = 'y' where id > 1000").await;
    assert_eq!(rows.len(), 2_400);
    let rows = captured_of("delete from sale_order where id > 1000").await;
    assert_eq!(rows.len(), 1_200);
    // Dropped for one that others made in the meantime, as an upgrade does: what can be read is kept.
    let rows =
        captured_of("alter table sale_order drop column origin; update sale_order set state = 'z' where id > 1000")
            .await;
    assert_eq!(rows.len(), 1_200);
}
