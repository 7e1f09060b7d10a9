//! Which statements are captured, and with which values.

use super::Captured;

#[tokio::test]
async fn a_write_that_changes_no_watched_column_is_not_captured() {
    let mut captured = Captured::watching("sale.order", &["state", "amount_total"]).await;
    for unwatched in [
        "update sale_order set note = 'x' where id = 1",
        "update sale_order set note = 'y'",
        "update sale_order set state = state",
        "update sale_order set state = 'draft' where id = 1",
        "update sale_order set amount_total = 266.080 where id = 1",
        "update sale_order set write_date = now() at time zone 'utc', write_uid = 5 where id = 1",
        "update sale_order set state = 'sale' where id = -1",
        "update sale_order set state = 'sale' where false",
        "delete from sale_order where id = -1",
        "insert into sale_order select * from sale_order where false",
    ] {
        captured.write(unwatched).await;
        assert_eq!(captured.rows().await, Vec::<String>::new(), "{unwatched}");
    }
}

#[tokio::test]
async fn audit_columns_that_are_needed_but_not_compared_do_not_make_a_row() {
    let mut captured = Captured::installed().await;
    captured.want("sale.order", &["state", "write_date"], &["state"]).await;
    captured.sync("sale.order").await.unwrap();
    captured
        .write("update sale_order set write_date = '2026-02-02 10:00:00', write_uid = 5 where id = 1")
        .await;
    assert!(captured.rows().await.is_empty());
    captured
        .write("update sale_order set state = 'sent', write_date = '2026-02-02 11:00:00' where id = 1")
        .await;
    assert_eq!(
        captured.rows().await,
        ["U 1: state draft -> sent, write_date 2026-02-02 10:00:00 -> 2026-02-02 11:00:00"]
    );
}

#[tokio::test]
async fn each_statement_of_odoos_kinds_is_captured_with_the_values_before_and_after() {
    let mut captured = Captured::watching("sale.order", &["state", "client_order_ref"]).await;
    captured
        .write(
            r#"BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE;
               UPDATE "sale_order" SET "state" = "__tmp"."state"::VARCHAR
                 FROM (VALUES (1, 'sale'), (2, 'cancel'), (3, 'sale')) AS "__tmp"("id", "state")
                WHERE "sale_order"."id" = "__tmp"."id";
               COMMIT"#,
        )
        .await;
    assert_eq!(
        captured.rows().await,
        ["U 1: state draft -> sale", "U 2: state sent -> cancel"]
    );
    captured
        .write("update sale_order set client_order_ref = null, state = null where id = 1")
        .await;
    assert_eq!(captured.rows().await, ["U 1: state sale -> null"]);

    captured
        .write("insert into sale_order select (jsonb_populate_record(o, jsonb_build_object('id', 900 + id, 'state', 'new'))).* from sale_order o where id in (4, 5)")
        .await;
    assert_eq!(
        captured.rows().await,
        [
            "I 904: client_order_ref 50% off, state new",
            "I 905: client_order_ref , state new"
        ]
    );
    captured.write("delete from sale_order where id in (904, 905)").await;
    let mut rows = captured.rows().await;
    rows.sort();
    assert_eq!(
        rows,
        [
            "D 904: client_order_ref 50% off, state new",
            "D 905: client_order_ref , state new"
        ]
    );
}

#[tokio::test]
async fn an_update_of_the_id_is_an_unlink_and_a_create() {
    let mut captured = Captured::watching("project.tags", &["color"]).await;
    captured
        .write("insert into project_tags (id, name, color) values (70, '{}', 7), (71, '{}', 8), (72, '{}', 9)")
        .await;
    captured.rows().await;
    captured.write("update project_tags set id = 80 where id = 70").await;
    let mut rows = captured.rows().await;
    rows.sort();
    assert_eq!(rows, ["D 70: color 7", "I 80: color 7"]);
    // Many at once, one of them into the place of another.
    captured.write("update project_tags set id = id + 1 where id = 80; update project_tags set id = id + 20, color = color + 1 where id in (71, 72)").await;
    let mut rows = captured.rows().await;
    rows.sort();
    assert_eq!(
        rows,
        [
            "D 71: color 8",
            "D 72: color 9",
            "D 80: color 7",
            "I 81: color 7",
            "I 91: color 9",
            "I 92: color 10"
        ]
    );
}

#[tokio::test]
async fn upserts_fire_for_what_they_did() {
    let mut captured = Captured::watching("project.tags", &["color"]).await;
    captured
        .write("insert into project_tags (id, name, color) values (70, '{}', 7)")
        .await;
    captured.rows().await;
    let upsert = |action: &str| {
        format!(
            "insert into project_tags (id, name, color) values (70, '{{}}', 1), (71, '{{}}', 2) on conflict (id) do {action}"
        )
    };
    captured.write(&upsert("update set color = excluded.color")).await;
    let mut rows = captured.rows().await;
    rows.sort();
    assert_eq!(rows, ["I 71: color 2", "U 70: color 7 -> 1"]);
    captured.write(&upsert("nothing")).await;
    assert!(captured.rows().await.is_empty());
}

#[tokio::test]
async fn merge_and_copy_are_captured_like_any_write() {
    let mut captured = Captured::watching("project.tags", &["color"]).await;
    captured
        .write("insert into project_tags (id, name, color) values (70, '{}', 7), (71, '{}', 8)")
        .await;
    captured.rows().await;
    if captured.database.server().cluster().version().major >= 15 {
        captured
            .write(
                "merge into project_tags t using (values (70, 1), (71, null), (72, 3)) v (id, color) on t.id = v.id
                 when matched and v.color is null then delete when matched then update set color = v.color
                 when not matched then insert (id, name, color) values (v.id, '{}', v.color)",
            )
            .await;
        let mut rows = captured.rows().await;
        rows.sort();
        assert_eq!(rows, ["D 71: color 8", "I 72: color 3", "U 70: color 7 -> 1"]);
    }
    let writer = captured.writer().await;
    let sink = writer
        .copy_in("copy project_tags (id, name, color) from stdin")
        .await
        .unwrap();
    let mut sink = std::pin::pin!(sink);
    futures_util::SinkExt::send(&mut sink, bytes::Bytes::from_static(b"75\t{}\t5\n76\t{}\t\\N\n"))
        .await
        .unwrap();
    sink.finish().await.unwrap();
    assert_eq!(captured.rows().await, ["I 75: color 5", "I 76: color null"]);
}

#[tokio::test]
async fn deletes_and_updates_by_foreign_key_are_captured_on_the_child() {
    let mut captured = Captured::watching("sale.order.line", &["order_id"]).await;
    captured.watch("project.task", &["sale_order_id"]).await;
    captured
        .write("update project_task set sale_order_id = 1 where id = 1")
        .await;
    captured.rows().await;
    captured.write("delete from sale_order where id = 1").await;
    let mut rows = captured.rows().await;
    rows.sort();
    assert_eq!(
        rows,
        ["D 1: order_id 1", "D 2: order_id 1", "U 1: sale_order_id 1 -> null"]
    );
}

#[tokio::test]
async fn truncate_is_one_alarm() {
    let mut captured = Captured::watching("sale.order.line", &["sequence"]).await;
    captured.write("truncate sale_order_line cascade").await;
    assert_eq!(captured.rows().await, ["T 0: "]);
}

#[tokio::test]
async fn replicated_writes_are_not_captured() {
    let mut captured = Captured::watching("sale.order", &["state"]).await;
    let admin = captured.database.admin_client().await;
    admin
        .batch_execute("set session_replication_role = replica; update sale_order set state = 'sale' where id = 1")
        .await
        .unwrap();
    assert!(captured.rows().await.is_empty());
}

#[tokio::test]
async fn what_is_rolled_back_was_never_captured() {
    let mut captured = Captured::watching("sale.order", &["state"]).await;
    captured
        .write(
            "begin; update sale_order set state = 'sent' where id = 1;
             savepoint a; update sale_order set state = 'sale' where id = 1; rollback to a;
             savepoint b; update sale_order set state = 'cancel' where id = 1; release b; commit;
             begin; update sale_order set state = 'draft' where id = 1; rollback",
        )
        .await;
    assert_eq!(
        captured.rows().await,
        ["U 1: state draft -> sent", "U 1: state sent -> cancel"]
    );
    let one_transaction = "select count(distinct xid) from odoo_eventd.outbox";
    assert_eq!(captured.database.psql(one_transaction).await, "1");
}
