//! Whatever the types, names and sizes of columns, and whatever becomes of them: every write goes on, and what can be known is told.

use tokio_postgres::Client;

use super::Captured;

/// A model with the columns that the SQL declares, one row, and every column watched.
pub(super) async fn with(columns: &[(&str, &str)], setup: &str) -> Captured {
    let captured = Captured::installed().await;
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let declared: String = columns
        .iter()
        .map(|(name, of_type)| format!(", {} {of_type}", quoted(name)))
        .collect();
    captured
        .database
        .admin_client()
        .await
        .batch_execute(setup)
        .await
        .unwrap();
    captured
        .write(&format!(
            r#"create table x_hard (id serial primary key, filler integer, write_uid integer, write_date timestamp, create_uid integer, create_date timestamp{declared});
               insert into ir_model (model, name, state, "order") values ('x.hard', '{{"en_US": "Hard"}}', 'manual', 'id');
               insert into x_hard (id) values (1), (2), (3)"#
        ))
        .await;
    for (name, _) in columns {
        captured
            .owner
            .execute(
                "insert into ir_model_fields (model, model_id, name, ttype, state, field_description, store)
                 select 'x.hard', m.id, $1, 'char', 'base', '{\"en_US\": \"x\"}', true from ir_model m where m.model = 'x.hard'",
                &[name],
            )
            .await
            .unwrap();
    }
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    captured.watch("x.hard", &names).await;
    captured
}

/// What a writer does all day, with a column that is written.
async fn write_all(session: &Client, column: &str, value: &str, after: &str) {
    for sql in [
        "update x_hard set filler = 1 where id = 1".to_owned(),
        format!("update x_hard set {column} = {value} where id = 1"),
        format!("update x_hard set {column} = null where id in (1, 2)"),
        format!("update x_hard set {column} = {value}"),
        format!("insert into x_hard (id, {column}) values (50, {value})"),
        format!("insert into x_hard (id, {column}) values (51, {value}), (52, null)"),
        "delete from x_hard where id = 50".to_owned(),
        "delete from x_hard where id > 50".to_owned(),
        format!("update x_hard set {column} = null"),
    ] {
        session
            .batch_execute(&sql)
            .await
            .unwrap_or_else(|error| panic!("after {after}: {sql}: {error:?}"));
    }
}

#[tokio::test]
async fn a_column_of_any_type_is_captured_from_the_start() {
    let setup = "create type public.mood as enum ('sad', 'ok'); create domain public.short as varchar(9); create domain public.many as text[];
                 create type public.pair as (a integer, b text); create type public.floats as range (subtype = float8);
                 grant usage on type public.mood, public.short, public.many, public.pair, public.floats to odoo;";
    let types = [
        ("t", "text", "'x'"),
        ("ta", "text[]", "'{a,b}'"),
        ("va", "varchar[]", "'{a,b}'"),
        ("ca", "char(3)[]", "'{a,b}'"),
        ("qa", "\"char\"[]", "'{a,b}'"),
        ("q", "\"char\"", "'a'"),
        ("na", "name", "'a'"),
        ("nu", "numeric(12,2)[]", "'{1.10}'"),
        ("ja", "jsonb[]", "array['{\"a\": 1}'::jsonb]"),
        ("js", "json", "'{\"a\": \"\\u0000\"}'"),
        ("jsa", "json[]", "array['[1]'::json]"),
        ("po", "point", "'(1,2)'"),
        ("poa", "point[]", "array['(1,2)'::point]"),
        ("x", "xml", "'<a/>'"),
        ("m", "money", "1.5"),
        ("b", "bit(3)", "b'101'"),
        ("by", "bytea", "'\\x00'"),
        ("bya", "bytea[]", "array['\\x00'::bytea]"),
        ("r", "int4range", "'[1,3)'"),
        ("ts", "tstzrange", "'[2026-01-01,)'"),
        ("fl", "public.floats", "'[1,2)'"),
        ("e", "public.mood", "'sad'"),
        ("ea", "public.mood[]", "'{sad}'"),
        ("d", "public.short", "'x'"),
        ("dm", "public.many", "'{x}'"),
        ("co", "public.pair", "row(1, 'x')"),
        ("coa", "public.pair[]", "array[row(1, 'x')::public.pair]"),
        ("iv", "interval", "'1 day'"),
        ("ti", "timetz", "'10:00+02'"),
        ("tv", "tsvector", "'a b'"),
        ("cid", "cidr", "'10.0.0.0/8'"),
        ("u", "uuid", "'00000000-0000-0000-0000-000000000001'"),
        ("ol", "regclass", "'pg_class'"),
    ];
    let columns: Vec<(&str, &str)> = types.iter().map(|(name, of_type, _)| (*name, *of_type)).collect();
    let mut captured = with(&columns, setup).await;
    let session = captured.writer().await;
    for (name, of_type, value) in types {
        write_all(&session, name, value, of_type).await;
        let rows = captured.rows().await;
        // Nine statements: one of no interest, and one row for each record of the others.
        assert!(rows.len() >= 10, "{of_type}: {rows:?}");
        assert!(
            rows.iter().all(|row| row.starts_with(|c: char| c.is_ascii_uppercase())),
            "{of_type}: {rows:?}"
        );
    }
    assert_eq!(captured.drift("x.hard").await, None);
}

#[tokio::test]
async fn a_column_of_any_type_may_become_one_of_any_other() {
    // From, to, how, a value of the new type.
    let retyped = [
        (
            "varchar",
            "jsonb",
            "jsonb_build_object('en_US', c)",
            "'{\"en_US\": \"b\"}'",
        ),
        ("jsonb", "varchar", "c->>'en_US'", "'b'"),
        ("varchar", "integer", "c::integer", "3"),
        ("varchar", "date", "c::date", "'2026-01-02'"),
        ("varchar", "boolean", "c::boolean", "true"),
        ("varchar", "bytea", "c::bytea", "'\\x01'"),
        ("varchar", "varchar[]", "array[c]", "'{a}'"),
        ("varchar", "json", "to_json(c)", "'[1]'"),
        ("varchar", "point", "null", "'(1,2)'"),
        ("varchar", "timestamptz", "c::timestamptz", "'2026-01-02 03:04+05'"),
        ("numeric", "text", "c::text", "'x'"),
        ("timestamp", "text", "c::text", "'x'"),
        ("bytea", "text", "encode(c, 'hex')", "'x'"),
        ("integer", "float8", "c::float8", "0.1"),
    ];
    for (from, to, how, value) in retyped {
        let mut captured = with(&[("c", from), ("kept", "varchar")], "").await;
        let long_lived = captured.writer().await;
        for _ in 0..7 {
            write_all(&long_lived, "kept", "'x'", "nothing").await;
        }
        captured.rows().await;
        // In the transaction that retypes it, in a session that has long run the function, and in a fresh one.
        let ddl = captured.writer().await;
        ddl.batch_execute("begin; update x_hard set kept = 'before' where id = 1")
            .await
            .unwrap();
        ddl.batch_execute(&format!("alter table x_hard alter column c type {to} using {how}"))
            .await
            .unwrap();
        write_all(&ddl, "c", value, to).await;
        ddl.batch_execute("update x_hard set kept = 'after' where id in (1, 2); commit")
            .await
            .unwrap();
        for session in [long_lived, captured.writer().await] {
            write_all(&session, "c", value, to).await;
            write_all(&session, "kept", "'y'", to).await;
        }
        let told = captured.changes().await;
        assert!(
            told.iter()
                .any(|line| line.starts_with("write 1: ") && line.contains("kept x -> ")
                    || line.contains("kept null -> after")),
            "{from} to {to}: {told:?}"
        );
        // What changed after it was retyped is told too.
        assert!(
            told.iter().any(|line| line.starts_with("write 3: c ")),
            "{from} to {to}: {told:?}"
        );
    }
}

#[tokio::test]
async fn audit_columns_and_the_id_may_become_anything() {
    for retype in [
        "alter column write_uid type text",
        "alter column write_uid type bigint",
        "alter column create_uid type varchar",
        "alter column write_date type text",
        "alter column create_date type timestamptz",
        "drop column write_uid",
        "rename column write_date to written",
        "alter column id type bigint",
        "alter column id drop default, alter column id type text",
    ] {
        let mut captured = with(&[("c", "varchar")], "").await;
        let session = captured.writer().await;
        for _ in 0..7 {
            write_all(&session, "c", "'x'", "nothing").await;
        }
        captured.rows().await;
        let fresh = captured.writer().await;
        fresh
            .batch_execute(&format!("alter table x_hard {retype}"))
            .await
            .unwrap();
        for session in [session, fresh] {
            let by_id = if retype.contains("id type text") {
                "id = '1'"
            } else {
                "id = 1"
            };
            for sql in [
                format!("update x_hard set c = 'again' where {by_id}"),
                "update x_hard set c = c || '!'".to_owned(),
                format!("update x_hard set c = null where {by_id}"),
            ] {
                session
                    .batch_execute(&sql)
                    .await
                    .unwrap_or_else(|error| panic!("after {retype}: {sql}: {error:?}"));
            }
        }
        assert!(
            captured
                .changes()
                .await
                .iter()
                .any(|line| line.contains("c again! -> null")),
            "{retype}"
        );
    }
}

#[tokio::test]
async fn no_name_of_a_column_is_taken_for_one_of_ours() {
    let odd = "Ünï \"quoted\" % $$ \n -- ; 'x' \\";
    let names = [
        "by_user",
        "old_rows",
        "new_rows",
        "r",
        "o",
        "n",
        "x",
        "op",
        "old",
        "new",
        "was",
        "became",
        "differs",
        "is_one",
        "record_no",
        "gathered",
        "unused",
        "tg_op",
        "tg_relid",
        "found",
        "kept",
        "few",
        "how_many",
        "in_halves",
        "unreadable",
        "candidate",
        "record_id",
        "user_id",
        "select",
        "user",
        "order",
        "Capital",
        odd,
        "a_name_of_sixty_three_bytes_which_is_all_that_postgresql_keeps",
    ];
    let columns: Vec<(&str, &str)> = names.iter().map(|name| (*name, "varchar")).collect();
    let mut captured = with(&columns, "").await;
    let session = captured.writer().await;
    for name in names {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        write_all(&session, &quoted, "'x'", name).await;
        let rows = captured.rows().await;
        assert!(
            rows.len() >= 10 && rows.iter().all(|row| row.starts_with(|c: char| c.is_ascii_uppercase())),
            "{name}: {rows:?}"
        );
    }
}

#[tokio::test]
async fn a_table_of_many_long_columns_is_not_drifted() {
    let names: Vec<String> = (0..150).map(|n| format!("c{n}")).collect();
    let columns: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "text")).collect();
    let mut captured = with(&columns, "").await;
    let session = captured.writer().await;
    write_all(&session, "c149", "'x'", "nothing").await;
    session
        .batch_execute("update x_hard set c0 = 'x', write_uid = 5, write_date = now() at time zone 'utc' where id = 1")
        .await
        .unwrap();
    let rows = captured.rows().await;
    assert!(
        rows.iter().all(|row| row.starts_with(|c: char| c.is_ascii_uppercase())),
        "{rows:?}"
    );
    assert!(rows.last().unwrap().starts_with("U 1 by 5: c0 null -> x"), "{rows:?}");
}

#[tokio::test]
async fn no_text_of_a_user_is_taken_for_a_mark() {
    let mut captured = with(&[("c", "text"), ("d", "varchar[]")], "").await;
    for text in [
        "\u{1}gone",
        "\u{1}null",
        "\u{1}sha256:00",
        "\u{1}=x",
        "=",
        "-",
        "?",
        "#",
        "~",
        "",
    ] {
        for write in [
            "insert into x_hard (id, c) values (50, $$T$$); update x_hard set c = 'x' where id = 50; update x_hard set c = $$T$$ where id = 50",
            "insert into x_hard (id, c) values (51, $$T$$), (52, $$T$$)",
            "update x_hard set c = c || '.' where id > 50",
            "update x_hard set c = $$T$$ where id = 50; delete from x_hard where id >= 50",
        ] {
            captured.write(&write.replace('T', text)).await;
        }
        let told = captured.changes().await;
        assert_eq!(told.len(), 1 + 2 + 2 + 3, "{text:?}: {told:?}");
        assert!(told[0].contains(&format!("c {text}")), "{text:?}: {told:?}");
    }
}

#[tokio::test]
async fn values_that_are_too_large_to_be_copied_are_told_by_a_digest() {
    let mut captured = with(&[("c", "text"), ("j", "jsonb")], "").await;
    let session = captured.writer().await;
    for (sql, told) in [
        (
            "update x_hard set c = repeat('x', 70000000) where id = 1",
            "write 1: c null -> (Digest(\"~70000000:",
        ),
        (
            "update x_hard set c = c || 'y' where id = 1",
            "write 1: c (Digest(\"~70000000:",
        ),
        (
            "update x_hard set j = jsonb_build_array(repeat('x', 2000000)) where id = 1",
            "write 1: j null -> (Digest(\"#",
        ),
        ("update x_hard set c = null", "write 1: c (Digest(\"~70000001:"),
        ("delete from x_hard where id = 1", "unlink 1: c null, j (Digest(\"#"),
    ] {
        session.batch_execute(sql).await.unwrap();
        let found = captured.changes().await;
        assert!(found.len() == 1 && found[0].starts_with(told), "{sql}: {found:?}");
    }
}

#[tokio::test]
async fn a_value_that_cannot_be_made_text_fails_no_write_and_its_record_is_told() {
    let mut captured = with(
        &[("c", "varchar"), ("e", "public.mood")],
        "create type public.mood as enum ('sad', 'ok'); grant usage on type public.mood to odoo;",
    )
    .await;
    captured
        .write("update x_hard set e = 'sad' where id = 1; update x_hard set e = 'ok' where id = 3")
        .await;
    captured.changes().await;
    // As a dropped label or a broken extension does: the output function raises.
    captured
        .database
        .admin_client()
        .await
        .batch_execute("delete from pg_enum where enumlabel = 'sad'")
        .await
        .unwrap();
    for (sql, told) in [
        ("update x_hard set c = 'x' where id = 1", "write 1: c null -> x"),
        ("update x_hard set c = 'y' where id in (1, 2)", "write 1: c x -> y"),
        ("delete from x_hard where id = 1", "unlink 1: c y, e (Unreadable)"),
    ] {
        captured.write(sql).await;
        let found = captured.changes().await;
        assert!(
            found.first().is_some_and(|line| line.starts_with(told)),
            "{sql}: {found:?}"
        );
    }
}

#[tokio::test]
async fn no_plan_of_capture_is_ever_compiled() {
    let captured = with(&[("c", "varchar")], "").await;
    let not_pinned: i64 = captured
        .owner
        .query_one(
            "select count(*) from pg_proc p join pg_trigger t on t.tgfoid = p.oid where p.proname like 'capture\\_%' and not 'jit=off' = any (p.proconfig)",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(not_pinned, 0);
}

#[tokio::test]
async fn two_names_never_meet_in_one_function() {
    let captured = Captured::installed().await;
    let names = [
        "sale.order",
        "sale_order",
        "sale.order_line",
        "sale_order.line",
        "triggers",
        "body",
        "x.\u{fc}",
        "x.\u{f6}",
    ];
    let distinct: i64 = captured
        .owner
        .query_one(
            "select count(distinct odoo_eventd.capture_function_name(n)) from unnest($1::text[]) n
              where not exists (select from pg_proc p where p.proname = odoo_eventd.capture_function_name(n) and p.pronargs = 0)",
            &[&&names[..]],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(distinct, 8);
}

#[tokio::test]
async fn records_whose_ids_were_retyped_are_read_all_the_same() {
    for (retyped, found) in [
        ("varchar", 2),
        ("numeric", 2),
        ("bigint", 2),
        ("date using current_date + id", 0),
    ] {
        let captured = with(&[("c", "text")], "").await;
        captured
            .write(&format!(
                "alter table x_hard alter column id drop default; alter table x_hard drop constraint x_hard_pkey; alter table x_hard alter column id type {retyped}"
            ))
            .await;
        for (what, sql) in [
            (
                "changed records",
                "select count(*) from odoo_eventd.current_records('x.hard', '{1,2,9}', '{1,1,1}', array[now(), now(), now()], '{c}')",
            ),
            (
                "values",
                "select count(*) from odoo_eventd.read_records('x.hard', '{1,2,9}', '{c}', 1000000)",
            ),
        ] {
            let row = captured
                .owner
                .query_one(sql, &[])
                .await
                .unwrap_or_else(|error| panic!("{what} by {retyped}: {error:?}"));
            assert_eq!(row.get::<_, i64>(0), found, "{what} by {retyped}");
        }
    }
}
