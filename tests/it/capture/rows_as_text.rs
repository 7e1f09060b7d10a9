//! A row of many columns is kept as one text: what is told of it is what is told of one column, whatever the values and the session.

use super::Captured;
use super::hard_types::with;

/// Besides the columns in question, as many as make a plan dear.
const MANY: [&str; 17] = [
    "p01", "p02", "p03", "p04", "p05", "p06", "p07", "p08", "p09", "p10", "p11", "p12", "p13", "p14", "p15", "p16",
    "p17",
];

async fn wide(columns: &[(&str, &str)], others: &str) -> Captured {
    let columns: Vec<_> = columns
        .iter()
        .copied()
        .chain(MANY.iter().map(|name| (*name, others)))
        .collect();
    with(&columns, "").await
}

async fn ops(captured: &Captured) -> String {
    let sql = "select string_agg(distinct op::text, '' order by op::text) from odoo_eventd.outbox";
    captured.database.psql(sql).await.trim().to_owned()
}

/// A type, and values of it as SQL: all texts that need quotes, and those that look different and are the same.
const VALUES: [(&str, &[&str]); 18] = [
    ("boolean", &["true", "false"]),
    ("smallint", &["'-32768'", "0"]),
    ("integer", &["2147483647", "'-1'"]),
    ("bigint", &["'-9223372036854775808'", "1"]),
    ("real", &["1e-45", "0.1", "'-0'", "0", "'NaN'", "'-Infinity'"]),
    (
        "double precision",
        &["0.1", "1e22", "5e-324", "'-0'", "0", "'Infinity'", "'NaN'"],
    ),
    (
        "numeric",
        &["1.0", "1.00", "0", "'NaN'", "12345678901234567890.123456789"],
    ),
    ("numeric(12,2)", &["1", "1.5", "'-0.01'"]),
    (
        "text",
        &[
            "''",
            "' '",
            "'NULL'",
            "'null'",
            "'a,b'",
            "'(a)'",
            "E'\"\\\\'",
            "E'\\n\\t'",
            "E'\\x01gone'",
            "'=x'",
            "'Größe €'",
        ],
    ),
    ("varchar", &["''", "E'\"'", "'x'"]),
    ("varchar(9)", &["''", "E'\\\\'"]),
    (
        "date",
        &["'2024-02-29'", "'0044-03-15 BC'", "'infinity'", "'10000-01-01'"],
    ),
    (
        "timestamp",
        &["'2024-01-02 03:04:05.678901'", "'0001-01-01 BC'", "'-infinity'"],
    ),
    ("timestamptz", &["'2024-07-02 03:04:05+02'", "'infinity'"]),
    ("time", &["'23:59:59.999999'", "'24:00'"]),
    ("uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    ("json", &["'{\"a\":  1, \"a\": 2}'", "'null'", "'\"x\"'"]),
    (
        "jsonb",
        &[
            "'{\"en_US\": \"a \\\"b\\\" \\\\\\\\ c\"}'",
            "'null'",
            "'\"x\"'",
            "'{\"n\": 1.0}'",
            "'{\"n\": 1.00}'",
            "'[]'",
        ],
    ),
];

#[tokio::test]
async fn each_value_is_told_as_it_is_cast_to_text_and_only_where_it_differs() {
    for (of_type, values) in VALUES {
        let mut captured = wide(&[("v", of_type), ("after", "text")], "integer").await;
        let session = captured.writer().await;
        session
            .batch_execute(
                "set datestyle = 'German, DMY'; set timezone = 'Asia/Kathmandu'; set extra_float_digits = -5; set intervalstyle = 'sql_standard';
                 set quote_all_identifiers = on; set standard_conforming_strings = on; set lc_monetary = 'C'",
            )
            .await
            .unwrap();
        let pinned = captured.writer().await;
        pinned
            .batch_execute("set datestyle = 'ISO, YMD'; set timezone = 'UTC'; set extra_float_digits = 1")
            .await
            .unwrap();
        let comparable = of_type != "json";
        for value in std::iter::once(&"null").chain(values) {
            for other in std::iter::once(&"null").chain(values) {
                session
                    .batch_execute(&format!("update x_hard set v = {other} where id in (1, 2)"))
                    .await
                    .unwrap();
                captured.changes().await;
                let sql = if comparable {
                    format!("select {value}::{of_type}::text, {other}::{of_type} is distinct from {value}::{of_type}")
                } else {
                    format!(
                        "select {value}::{of_type}::text, {other}::{of_type}::text is distinct from {value}::{of_type}::text"
                    )
                };
                let row = pinned.query_one(&sql, &[]).await.unwrap();
                let (text, differs): (Option<String>, bool) = (row.get(0), row.get(1));
                let text = text.unwrap_or_else(|| "null".to_owned());
                for write in [
                    format!("update x_hard set v = {value} where id = 1"),
                    format!("update x_hard set v = {value} where id = 2"),
                ] {
                    session.batch_execute(&write).await.unwrap();
                    let told = captured.changes().await;
                    let expected = if differs { 1 } else { 0 };
                    assert_eq!(told.len(), expected, "{of_type}: {other} to {value}: {told:?}");
                    assert!(
                        told.iter().all(|change| change.ends_with(&format!(" -> {text}"))),
                        "{of_type}: {other} to {value} is {text:?}: {told:?}"
                    );
                }
            }
            session
                .batch_execute(&format!(
                    "insert into x_hard (id, v) values (60, {value}); insert into x_hard (id, v) values (61, {value}), (62, {value});
                     update x_hard set after = 'x' where id between 60 and 62"
                ))
                .await
                .unwrap();
            let row = pinned
                .query_one(&format!("select coalesce({value}::{of_type}::text, 'null')"), &[])
                .await
                .unwrap();
            let text: String = row.get(0);
            let told = captured.changes().await;
            assert_eq!(told.len(), 3, "{of_type}: {value}: {told:?}");
            assert!(
                told.iter().all(|change| change.contains(&format!("v {text}"))),
                "{of_type}: {value} is {text:?}: {told:?}"
            );
            session
                .batch_execute("delete from x_hard where id >= 60")
                .await
                .unwrap();
            captured.changes().await;
        }
        assert_eq!(ops(&captured).await, "DR", "{of_type}");
    }
}

#[tokio::test]
async fn a_change_of_what_is_only_read_along_is_no_row() {
    let mut captured = Captured::installed().await;
    let declared: String = MANY.iter().map(|name| format!(", {name} text")).collect();
    captured
        .write(&format!(
            r#"create table x_hard (id serial primary key, secret text{declared});
               insert into ir_model (model, name, state, "order") values ('x.hard', '{{"en_US": "Hard"}}', 'manual', 'id');
               insert into ir_model_fields (model, model_id, name, ttype, state, field_description, store)
                 select 'x.hard', m.id, a.attname, 'char', 'base', '{{"en_US": "x"}}', true
                   from ir_model m, pg_attribute a where m.model = 'x.hard' and a.attrelid = 'x_hard'::regclass and a.attname ~ '^p';
               insert into x_hard (id, secret) select n, 'hidden' from generate_series(1, 3) n"#
        ))
        .await;
    captured.want("x.hard", &MANY, &["p01", "p17"]).await;
    captured.sync("x.hard").await.unwrap();
    captured
        .write("update x_hard set p02 = 'x', secret = 'y'; update x_hard set p02 = 'y' where id = 1")
        .await;
    assert_eq!(captured.rows().await, [""; 0]);
    captured
        .write("update x_hard set p17 = 'x' where id = 1; update x_hard set p01 = 'x' where id in (2, 3)")
        .await;
    let told = captured.rows().await;
    assert_eq!(told, ["U 1: p17 null -> x", "U 2: p01 null -> x", "U 3: p01 null -> x"]);
    // What nobody asked for is nowhere in the outbox.
    let sql = "select count(*) from odoo_eventd.outbox o where o::text ~ 'hidden|secret'";
    assert_eq!(captured.database.psql(sql).await.trim(), "0");
}

#[tokio::test]
async fn a_long_row_is_told_value_by_value_and_nothing_is_lost_on_the_way() {
    let mut captured = wide(&[("v", "text")], "text").await;
    for (write, kept) in [
        // As long as may be, and a character more.
        ("update x_hard set v = repeat('x', 16000) where id = 1", "R"),
        ("update x_hard set v = repeat('y', 16500) where id = 1", "u"),
        ("update x_hard set v = 'z' where id = 1", "U"),
        // Long together, though no value is; long in memory, and short on disk.
        (
            "update x_hard set (p01, p02) = (select string_agg(md5(n::text), ''), string_agg(md5(n::text), '') from generate_series(1, 300) n) where id = 1",
            "U",
        ),
        (
            "update x_hard set p01 = null, p02 = null, v = repeat('x', 5000000) where id = 1",
            "u",
        ),
        ("update x_hard set v = null where id in (1, 2)", "U"),
        ("insert into x_hard (id, v) values (70, repeat('x', 20000))", "i"),
        (
            "insert into x_hard (id, v) values (71, 'a'), (72, repeat('x', 20000))",
            "Ii",
        ),
        ("update x_hard set v = 'b' where id in (71, 72)", "U"),
        ("update x_hard set v = 'c' where id in (71, 72)", "R"),
        // A record that takes another's place.
        ("update x_hard set id = 80 where id = 71", "DI"),
        ("update x_hard set id = id + 10 where id in (72, 80)", "DI"),
    ] {
        captured
            .database
            .psql("truncate odoo_eventd.outbox_0, odoo_eventd.outbox_1")
            .await;
        captured.write(write).await;
        assert_eq!(ops(&captured).await, kept, "{write}");
    }
    captured.changes().await;
    captured
        .write("update x_hard set v = 'd' where id = 82; update x_hard set id = 1000 where id = 82")
        .await;
    let told = captured.changes().await;
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].starts_with("unlink 82") && told[1].starts_with("create 1000"),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_column_that_is_retyped_renamed_or_dropped_is_told_as_it_is() {
    for (ddl, told_as) in [
        ("alter table x_hard alter column v type integer using 1", "v "),
        ("alter table x_hard alter column v type jsonb using to_jsonb(v)", "v "),
        ("alter table x_hard alter column v type varchar(3)", "v "),
        ("alter table x_hard rename column v to w", "p01 "),
        ("alter table x_hard drop column v", "p01 "),
    ] {
        let mut captured = wide(&[("v", "varchar")], "varchar").await;
        let session = captured.writer().await;
        session.batch_execute("update x_hard set p01 = 'a'").await.unwrap();
        captured.changes().await;
        session
            .batch_execute(&format!(
                "begin; update x_hard set p01 = 'b'; {ddl}; update x_hard set p01 = 'c' where id = 1; update x_hard set p01 = 'c' where id > 1;
                 insert into x_hard (id, p01) values (9, 'c'); commit"
            ))
            .await
            .unwrap_or_else(|error| panic!("{ddl}: {error:?}"));
        let told = captured.changes().await;
        assert_eq!(told.len(), 4, "{ddl}: {told:?}");
        assert!(
            told[..3].iter().all(|change| change.contains("p01 a -> c")),
            "{ddl}: {told:?}"
        );
        assert!(
            told[3].starts_with("create 9") && told[3].contains(told_as),
            "{ddl}: {told:?}"
        );
    }
}
