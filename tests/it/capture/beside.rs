//! Writers beside each other, and many rows at once.

use super::Captured;

#[tokio::test]
async fn writers_of_distinct_records_never_block_or_fail_each_other_under_repeatable_read() {
    let mut captured = Captured::watching("sale.order", &["state"]).await;
    let begin =
        "begin isolation level repeatable read; set local lock_timeout = '20s'; select count(*) from sale_order";
    let mut writers = Vec::new();
    for _ in 0..8 {
        writers.push(captured.writer().await);
    }
    // All transactions are open at the same time, and end in the order opposite to that of their writes.
    for round in 0..25 {
        for writer in &writers {
            writer.batch_execute(begin).await.unwrap();
        }
        for (index, writer) in writers.iter().enumerate() {
            let id = index + 1;
            writer
                .batch_execute(&format!("update sale_order set state = 'r{round}' where id = {id}"))
                .await
                .unwrap();
        }
        for writer in writers.iter().rev() {
            writer.batch_execute("commit").await.unwrap();
        }
    }
    assert_eq!(captured.rows().await.len(), 25 * 8);
}

#[tokio::test]
async fn a_plan_made_for_one_row_does_not_serve_two_hundred_thousand() {
    let captured = Captured::watching("project.tags", &["color"]).await;
    let writer = captured.writer().await;
    writer
        .batch_execute(
            "set statement_timeout = '600s';
             insert into project_tags (id, name, color) select n, '{}', 0 from generate_series(1000, 201000) n",
        )
        .await
        .unwrap();
    // More often than the five times after which PostgreSQL settles for a generic plan.
    for color in 1..=12 {
        writer
            .batch_execute(&format!("update project_tags set color = {color} where id = 1000"))
            .await
            .unwrap();
    }
    writer
        .batch_execute("update project_tags set color = 99 where id >= 1000")
        .await
        .unwrap();
    writer
        .batch_execute("delete from project_tags where id >= 1000")
        .await
        .unwrap();
    let by_op = "select string_agg(op || ' ' || n, ', ' order by op) from (select op::text, count(*) n from odoo_eventd.outbox group by op) x";
    assert_eq!(captured.database.psql(by_op).await, "D 200001, I 200001, U 200013");
}
