//! Capture that is switched off or full: writes go on, and the gap is told.

use super::Captured;

#[tokio::test]
async fn capture_off_and_on_again_is_one_call_that_waits_for_no_writer() {
    let mut captured = Captured::watching("sale.order", &["state"]).await;
    let busy = captured.writer().await;
    busy.batch_execute(
        "begin; lock table sale_order in access exclusive mode; update sale_order set state = 'sent' where id = 1",
    )
    .await
    .unwrap();
    captured
        .write("set lock_timeout = 1; select odoo_eventd.switch_capture(false)")
        .await;
    busy.batch_execute("update sale_order set state = 'sale' where id = 1; commit")
        .await
        .unwrap();
    assert_eq!(captured.rows().await, ["U 1: state draft -> sent"]);
    captured.write("set lock_timeout = 1; select odoo_eventd.switch_capture(true, 'sale.order'); select odoo_eventd.switch_capture(true)").await;
    captured
        .write("update sale_order set state = 'cancel' where id = 1")
        .await;
    assert_eq!(captured.rows().await, ["U 1: state sale -> cancel"]);
    assert_eq!(
        captured.database.psql("select odoo_eventd.switch_capture(false, 'sale.order'); update sale_order set state = 'x' where id = 1; select count(*) from odoo_eventd.outbox").await,
        "sale.order\n2"
    );
}

#[tokio::test]
async fn a_transaction_that_straddles_the_time_capture_was_off_is_not_judged_and_all_others_are() {
    let captured = Captured::watching("sale.order", &["state"]).await;
    captured.watch("project.tags", &["color"]).await;
    let write = |id: i32| format!("update sale_order set state = 'x' || random() where id = {id}");
    captured.write(&write(1)).await;
    let (before, across, after) = (
        captured.writer().await,
        captured.writer().await,
        captured.writer().await,
    );
    before
        .batch_execute(&format!("begin; {}; commit", write(2)))
        .await
        .unwrap();
    across.batch_execute(&format!("begin; {}", write(3))).await.unwrap();
    captured
        .write("select odoo_eventd.switch_capture(false, 'sale.order')")
        .await;
    after.batch_execute("begin; select 1").await.unwrap();
    across.batch_execute(&write(3)).await.unwrap();
    captured.write("update project_tags set color = 77 where id = 1").await;
    captured
        .write("select odoo_eventd.switch_capture(true, 'sale.order')")
        .await;
    // Until the end is settled, nobody knows who began before it.
    assert_eq!(
        captured
            .owner
            .query("select odoo_eventd.settle_capture()", &[])
            .await
            .unwrap()
            .len(),
        0
    );
    across.batch_execute(&format!("{}; commit", write(3))).await.unwrap();
    after.batch_execute(&format!("{}; commit", write(4))).await.unwrap();
    captured.write(&write(5)).await;
    assert_eq!(captured.readable().await, [1, 2, 1, 4, 5]);
    let gaps = "select jsonb_path_query(odoo_eventd.status(), '$.gaps[*]') - 'from' - 'to'";
    assert_eq!(
        captured.database.psql(gaps).await,
        r#"{"model": "sale.order", "reason": "switched off"}"#
    );
}

#[tokio::test]
async fn past_the_outboxs_cap_capture_stops_writes_go_on_and_the_gap_is_told() {
    let captured = Captured::watching("sale.order", &["state"]).await;
    captured.write("update odoo_eventd.installation set outbox_max_bytes = 65536; select odoo_eventd.register_installation(null)").await;
    let writer = captured.writer().await;
    let write = "update sale_order set state = 'x' || random()";
    let mut written = 0;
    while captured
        .database
        .psql("select count(*) from odoo_eventd.capture_overflow")
        .await
        == "0"
    {
        writer.batch_execute(write).await.unwrap();
        written += 1;
        assert!(written < 1_000, "the cap was never reached");
    }
    // A transaction that began within the room and ends beyond it is not judged: it is captured in part.
    let last = "select count(*) from odoo_eventd.outbox o where odoo_eventd.is_in_gap(o.xid, o.generation)";
    assert_eq!(captured.database.psql(last).await, "0");
    assert_eq!(captured.readable().await.len(), 8 * (written - 1));
    let told = "select jsonb_path_query(odoo_eventd.status(), '$.gaps[*]') - 'from' - 'to'";
    assert_eq!(
        captured.database.psql(told).await,
        r#"{"model": "sale.order", "reason": "the outbox was full"}"#
    );
    assert_eq!(
        captured
            .database
            .psql("select odoo_eventd.status() -> 'outbox' -> 'max_bytes'")
            .await,
        "65536"
    );
    // Room again.
    let straddling = captured.writer().await;
    straddling.batch_execute(&format!("begin; {write}")).await.unwrap();
    captured.write("update odoo_eventd.installation set outbox_max_bytes = 1000000; select odoo_eventd.register_installation(null)").await;
    straddling.batch_execute(&format!("{write}; commit")).await.unwrap();
    assert_eq!(captured.readable().await.len(), 8 * (written - 1));
    writer.batch_execute(write).await.unwrap();
    assert_eq!(captured.readable().await.len(), 8 * written);
}

/// Long values are kept apart from their rows by PostgreSQL (TOAST), so a table of few rows can be a large one.
#[tokio::test]
async fn cap_status_metrics_and_rotation_count_long_values_alike() {
    let captured = Captured::watching("sale.order", &["note"]).await;
    let database = &captured.database;
    // Random, so that nothing of it is saved by compression; each within what is kept of one value.
    captured
        .write(
            "update sale_order set note = (select string_agg(md5(random()::text || sale_order.id || i), '') from generate_series(1, 400) i)
              where id < 5",
        )
        .await;
    let rows: i64 = database
        .psql("select sum(pg_relation_size(format('odoo_eventd.outbox_%s', n)::regclass)) from generate_series(0, 3) n")
        .await
        .parse()
        .unwrap();
    let told = database
        .psql("select odoo_eventd.status() #>> '{outbox,bytes}', odoo_eventd.health() ->> 'outbox_bytes', odoo_eventd.outbox_bytes()")
        .await;
    let told: Vec<i64> = told.split('|').map(|size| size.trim().parse().unwrap()).collect();
    assert!(told[0] > rows + 30_000, "{told:?} {rows}");
    assert!(told.iter().all(|size| *size == told[0]), "{told:?}");
    // What alarms is what stops: at this size to the byte there is room, one below there is none.
    let with_cap = |cap: i64| {
        format!(
            "update odoo_eventd.installation set outbox_max_bytes = {cap}; select odoo_eventd.register_installation(null)"
        )
    };
    captured.write(&with_cap(told[0] - 1)).await;
    captured.write("update sale_order set note = 'a' where id = 5").await;
    assert_eq!(
        database
            .psql("select count(*) > 0 from odoo_eventd.capture_overflow")
            .await,
        "t"
    );
    captured.write(&with_cap(told[0])).await;
    let before = database.psql("select count(*) from odoo_eventd.outbox").await;
    captured.write("update sale_order set note = 'b' where id = 6").await;
    assert_ne!(database.psql("select count(*) from odoo_eventd.outbox").await, before);
    // The ring goes on by the same size.
    assert_eq!(
        database
            .psql(&format!("select odoo_eventd.rotate_outbox({})", told[0] - 1))
            .await,
        "t"
    );
}
