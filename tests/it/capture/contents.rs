//! What a captured row tells: its user, its values under any setting of the writer, long ones as digests.

use super::Captured;

#[tokio::test]
async fn the_user_is_named_only_where_this_transaction_wrote_it() {
    let mut captured = Captured::watching("sale.order", &["state"]).await;
    let stamped = "begin; update sale_order set state = 'sent', write_date = now() at time zone 'utc', write_uid = 5 where id = 1;
                   update sale_order set state = 'sale' where id = 1; commit";
    captured.write(stamped).await;
    assert_eq!(
        captured.rows().await,
        ["U 1 by 5: state draft -> sent", "U 1 by 5: state sent -> sale"]
    );
    // Raw SQL leaves a stale one.
    captured
        .write("update sale_order set state = 'cancel' where id = 1")
        .await;
    assert_eq!(captured.rows().await, ["U 1: state sale -> cancel"]);
    let insert = |id: i32, created: &str| {
        format!(
            "insert into sale_order select (jsonb_populate_record(o, jsonb_build_object('id', {id}, 'create_uid', 6, 'create_date', {created}))).*
               from sale_order o where id = 1"
        )
    };
    captured.write(&insert(901, "now() at time zone 'utc'")).await;
    captured.write(&insert(902, "'2026-01-01 10:00:00'")).await;
    assert_eq!(
        captured.rows().await,
        ["I 901 by 6: state cancel", "I 902: state cancel"]
    );
}

#[tokio::test]
async fn the_writers_settings_do_not_change_what_is_captured() {
    let columns = [
        "amount_total",
        "create_date",
        "prepayment_percent",
        "validity_date",
        "x_bytes",
        "x_instant",
        "x_span",
    ];
    let captured = Captured::installed().await;
    captured
        .write(
            r#"alter table sale_order add column x_instant timestamptz, add column x_span interval, add column x_bytes bytea;
               insert into ir_model_fields (model, model_id, name, ttype, state, field_description, store)
               select 'sale.order', m.id, f, 'char', 'manual', '{"en_US": "x"}', true
                 from ir_model m, unnest(array['x_instant', 'x_span', 'x_bytes']) f where m.model = 'sale.order'"#,
        )
        .await;
    let mut captured = captured;
    captured.watch("sale.order", &columns).await;
    let mut seen = Vec::new();
    for settings in [
        "set datestyle = 'ISO, YMD'",
        "set datestyle = 'German, DMY'; set timezone = 'Asia/Kathmandu'; set extra_float_digits = -15; set intervalstyle = 'iso_8601'; set bytea_output = 'escape'",
        "set datestyle = 'SQL, MDY'; set timezone = 'America/St_Johns'; set search_path = ''; set lc_numeric = 'C'; set quote_all_identifiers = on",
    ] {
        let writer = captured.writer().await;
        writer.batch_execute(settings).await.unwrap();
        for amount in ["null", "1.10"] {
            writer
                .batch_execute(&format!(
                    "update public.sale_order set amount_total = {amount}::numeric, create_date = timestamp '2026-03-04 05:06:07.89',
                        prepayment_percent = 1/3::float8, validity_date = date '2026-12-31', x_bytes = '\\x0102',
                        x_instant = timestamptz '2026-07-01 00:00:00+00', x_span = interval '1 day 02:03' where id = 2"
                ))
                .await
                .unwrap();
        }
        seen.push(captured.rows().await.pop().unwrap());
        // What was kept, changed or not.
        let last = "select new from odoo_eventd.outbox order by id desc limit 1";
        seen.push(captured.database.psql(last).await);
    }
    assert_eq!(seen[0], seen[2]);
    assert_eq!(seen[1], seen[3]);
    assert_eq!(seen[1], seen[5]);
    assert!(
        seen[1].contains("2026-03-04 05:06:07.89") && seen[1].contains("0.3333333333333333"),
        "{}",
        seen[1]
    );
}

#[tokio::test]
async fn long_texts_and_files_are_kept_as_digests_unless_the_value_is_needed() {
    let mut captured = Captured::watching("sale.order", &["note", "state"]).await;
    captured.watch("ir.attachment", &["db_datas", "name"]).await;
    captured
        .write("insert into ir_attachment (id, name, type, db_datas) values (900, 'f', 'binary', 'abc')")
        .await;
    assert_eq!(
        captured.rows().await,
        ["I 900: db_datas #ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, name f"]
    );
    captured
        .write("update sale_order set note = repeat('x', 16384) where id = 2")
        .await;
    assert!(captured.rows().await[0].len() > 16_384);
    captured
        .write("update sale_order set note = repeat('x', 16385) where id = 2")
        .await;
    captured
        .write("update sale_order set note = repeat('y', 20000) where id = 2")
        .await;
    captured
        .write("update sale_order set note = repeat('y', 20000) where id = 2")
        .await;
    captured
        .write("update sale_order set note = E'\\x01gone', state = 'x' where id = 2")
        .await;
    captured
        .write("update sale_order set note = E'\\x01gone', state = 'y' where id in (1, 2)")
        .await;
    let rows = captured.rows().await;
    assert_eq!(rows.len(), 5, "{rows:?}");
    assert!(rows.iter().all(|row| row.len() < 17_000), "{rows:?}");
    assert!(
        rows[1].matches('#').count() == 2 && !rows[4].contains("note"),
        "{rows:?}"
    );

    // A domain reads it: from now on it is kept whole, and who only watches it goes on without a gap.
    let judged_from = "select captured_from from odoo_eventd.captured_column where column_name = 'note' and not whole";
    let before = captured.database.psql(judged_from).await;
    let id = captured.want("sale.order", &["note"], &["note"]).await;
    captured
        .write(&format!(
            "update odoo_eventd.subscription_need set whole = '{{note}}' where subscription_id = {id}"
        ))
        .await;
    captured.sync("sale.order").await.unwrap();
    captured
        .write("update sale_order set note = repeat('z', 20000) where id = 2")
        .await;
    assert!(captured.rows().await[0].contains(&"z".repeat(20_000)));
    assert_eq!(captured.database.psql(judged_from).await, before);
}
