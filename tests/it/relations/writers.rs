//! No statement of a user's fails for what is captured of a relation table.

use crate::capture::Captured;

const LINK_WRITES: [&str; 5] = [
    "insert into sale_order_tag_rel select 1, 1",
    "insert into sale_order_tag_rel select n, 3 from generate_series(4, 5) n",
    "update sale_order_tag_rel set order_id = order_id where order_id = 1",
    "update sale_order_tag_rel set order_id = 7 where order_id = 1",
    "delete from sale_order_tag_rel where order_id in (4, 5, 7)",
];

#[tokio::test]
async fn a_relation_tables_columns_may_be_renamed_retyped_or_dropped_under_long_lived_sessions() {
    for (ddl, writes_to, kinds) in [
        (
            "alter table sale_order_tag_rel rename column tag_id to label_id",
            "order_id",
            "d i",
        ),
        (
            "alter table sale_order_tag_rel alter column order_id type bigint, alter column tag_id type bigint",
            "order_id",
            "d i",
        ),
        (
            "alter table sale_order_tag_rel drop constraint sale_order_tag_rel_tag_id_fkey, alter column tag_id type text",
            "order_id",
            "d i",
        ),
        (
            "alter table sale_order_tag_rel add column x_note text",
            "order_id",
            "D I",
        ),
        ("drop table odoo_eventd.outbox_0 cascade", "order_id", ""),
        ("drop sequence odoo_eventd.outbox_id_seq", "order_id", ""),
    ] {
        let captured = Captured::installed().await;
        captured.want("sale_order_tag_rel", &["order_id", "tag_id"], &[]).await;
        captured.sync("sale_order_tag_rel").await.unwrap();
        let session = captured.writer().await;
        for _ in 0..8 {
            for sql in LINK_WRITES {
                session.batch_execute(sql).await.unwrap();
            }
        }
        captured.write("truncate odoo_eventd.outbox_0").await;
        captured.write(ddl).await;
        for sql in LINK_WRITES {
            session
                .batch_execute(sql)
                .await
                .unwrap_or_else(|error| panic!("after {ddl}: {sql}: {error:?}"));
        }
        if kinds.is_empty() {
            continue;
        }
        let told = captured
            .database
            .psql(&format!(
                "select string_agg(distinct op::text, ' ' order by op::text) from odoo_eventd.outbox where '{writes_to}' <> ''"
            ))
            .await;
        assert_eq!(told, kinds, "{ddl}");
    }
}

#[tokio::test]
async fn nothing_is_captured_in_a_renamed_database_or_for_a_full_outbox() {
    let captured = Captured::installed().await;
    captured.want("sale_order_tag_rel", &["order_id", "tag_id"], &[]).await;
    captured
        .write("update odoo_eventd.installation set outbox_max_bytes = 0")
        .await;
    captured.sync("sale_order_tag_rel").await.unwrap();
    // An empty table is not over its room yet.
    captured
        .write("insert into odoo_eventd.outbox_0 values (0, '3', 0, 'T', 0, now())")
        .await;
    captured.write("insert into sale_order_tag_rel values (1, 1)").await;
    captured
        .write("insert into sale_order_tag_rel values (1, 1) on conflict do nothing")
        .await;
    let overflow = "select count(*) from odoo_eventd.capture_overflow";
    assert_eq!(
        captured.database.psql(overflow).await,
        "1",
        "of the statement that wrote something"
    );
    assert_eq!(
        captured.database.psql("select count(*) from odoo_eventd.outbox").await,
        "1"
    );

    captured
        .write("update odoo_eventd.installation set outbox_max_bytes = 1000000, database_name = 'another'")
        .await;
    captured.write("select odoo_eventd.rotate_outbox(-1)").await;
    captured.write("insert into sale_order_tag_rel values (1, 2)").await;
    assert_eq!(
        captured.database.psql("select count(*) from odoo_eventd.outbox").await,
        "1"
    );
}

#[tokio::test]
async fn a_relation_tables_function_names_what_no_longer_is_as_it_was() {
    let captured = Captured::installed().await;
    captured.want("sale_order_tag_rel", &["order_id", "tag_id"], &[]).await;
    captured.sync("sale_order_tag_rel").await.unwrap();
    assert_eq!(captured.drift("sale_order_tag_rel").await, None);
    captured
        .write("alter table sale_order_tag_rel rename column tag_id to label_id")
        .await;
    assert_eq!(
        captured.drift("sale_order_tag_rel").await.as_deref(),
        Some("columns are gone: tag_id")
    );
    captured.write("drop table sale_order_tag_rel").await;
    assert_eq!(
        captured.drift("sale_order_tag_rel").await.as_deref(),
        Some("the table \"sale_order_tag_rel\" is gone")
    );
}
