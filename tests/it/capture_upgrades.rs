//! An Odoo upgrade changes tables under sessions that have long run the capture functions: no statement of theirs may fail.

use tokio_postgres::Client;

use crate::capture::Captured;
use crate::support::Database;

/// What a writer does all day to one table, each statement with the columns that are there before and after every change below.
const WRITES: [&str; 6] = [
    "update crm_tag set color = color + 1 where id = 1",
    "update crm_tag set color = color + 1",
    "insert into crm_tag (id, color) values (901, 1)",
    "insert into crm_tag (id, color) values (902, 2), (903, 3)",
    "delete from crm_tag where id = 901",
    "delete from crm_tag where id in (902, 903)",
];

async fn write_all(session: &Client, after: &str) {
    for sql in WRITES {
        session
            .batch_execute(sql)
            .await
            .unwrap_or_else(|error| panic!("after {after}: {sql}: {error:?}"));
    }
}

/// Sessions that have run each statement more often than it takes for their plans to be kept.
async fn long_lived_sessions(captured: &Captured) -> Vec<Client> {
    let mut sessions = Vec::new();
    for isolation in ["read committed", "repeatable read"] {
        let session = captured.writer().await;
        session
            .batch_execute(&format!(
                "set default_transaction_isolation = '{isolation}'; alter table crm_tag alter column name drop not null"
            ))
            .await
            .unwrap();
        for _ in 0..8 {
            write_all(&session, "nothing").await;
        }
        sessions.push(session);
    }
    sessions
}

/// Tells ops and values of the rows that the last writes left, each kind once.
fn kinds(rows: &[String]) -> Vec<String> {
    let mut kinds: Vec<String> = rows
        .iter()
        .map(|row| {
            let columns: Vec<&str> = row
                .split_once(": ")
                .map_or("", |(_, values)| values)
                .split(", ")
                .filter_map(|v| v.split(' ').next())
                .collect();
            format!("{} {}", &row[..1], columns.join(" "))
        })
        .collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

#[tokio::test]
async fn a_column_that_is_dropped_renamed_or_retyped_fails_no_statement_and_the_rest_is_captured() {
    for (ddl, drift, captured_as) in [
        (
            "alter table crm_tag drop column name cascade",
            Some("columns are gone: name"),
            ["d color name", "i color name", "u color"],
        ),
        (
            "alter table crm_tag rename column name to title",
            Some("columns are gone: name"),
            ["d color name", "i color name", "u color"],
        ),
        (
            "alter table crm_tag alter column name drop default, alter column name type varchar using name ->> 'en_US'",
            Some("columns have another type: name"),
            ["d color name", "i color name", "u color"],
        ),
        (
            "alter table crm_tag alter column color type numeric using color::numeric",
            Some("columns have another type: color"),
            ["d color name", "i color name", "u color"],
        ),
        // Only who did it was read from there.
        (
            "alter table crm_tag drop column write_date cascade",
            None,
            ["D color name", "I color name", "U color"],
        ),
        (
            "alter table crm_tag add column x_new integer default 7",
            None,
            ["D color name", "I color name", "U color"],
        ),
        (
            "alter table crm_tag alter column color set not null",
            None,
            ["D color name", "I color name", "U color"],
        ),
    ] {
        let mut captured = Captured::watching("crm.tag", &["color", "name"]).await;
        let sessions = long_lived_sessions(&captured).await;
        captured.rows().await;
        captured.write(ddl).await;
        for session in &sessions {
            write_all(session, ddl).await;
            assert_eq!(kinds(&captured.rows().await), captured_as, "{ddl}");
        }
        write_all(&captured.writer().await, ddl).await;
        assert_eq!(kinds(&captured.rows().await), captured_as, "{ddl}");
        assert_eq!(captured.drift("crm.tag").await.as_deref(), drift, "{ddl}");
        // The ring moves on while nobody has repaired anything: every column keeps its place.
        captured.write("select odoo_eventd.rotate_outbox(-1)").await;
        write_all(&sessions[0], ddl).await;
        let rows = captured.rows().await;
        assert!(
            rows.iter()
                .any(|row| row.starts_with("I 901: color 1, name ") || row.starts_with("i 901: color 1, name ")),
            "{rows:?}"
        );
    }
}

#[tokio::test]
async fn a_gone_column_is_marked_and_not_taken_for_null() {
    let mut captured = Captured::watching("crm.tag", &["color", "name"]).await;
    captured.write("alter table crm_tag rename column name to title").await;
    captured
        .write("insert into crm_tag (id, color, title) values (950, null, '{}')")
        .await;
    assert_eq!(captured.rows().await, ["i 950: color null, name (gone)"]);
}

#[tokio::test]
async fn update_and_alter_of_one_table_work_in_one_transaction_with_a_rewrite_of_every_row() {
    let mut captured = Captured::watching("crm.tag", &["color", "name"]).await;
    captured
        .write("insert into crm_tag (name, color) select '{\"en_US\": \"x\"}', 0 from generate_series(1, 20000)")
        .await;
    captured.rows().await;
    captured
        .write(
            "begin isolation level repeatable read;
             update crm_tag set color = color + 1;
             alter table crm_tag add column x_one integer references crm_tag;
             alter table crm_tag alter column name drop not null;
             alter table crm_tag alter column name drop default, alter column name type varchar using name ->> 'en_US';
             update crm_tag set color = color + 1, name = name || '!';
             alter table crm_tag rename column name to label;
             update crm_tag set color = color + 1, label = label || '!';
             alter table crm_tag drop column label cascade;
             update crm_tag set color = color + 1;
             commit",
        )
        .await;
    let rows = captured.rows().await;
    let of = |op: &str| rows.iter().filter(|row| row.starts_with(op)).count();
    let tags = of("U ");
    assert!(tags >= 20_000);
    assert_eq!(of("u "), 3 * tags);
}

#[tokio::test]
async fn a_renamed_table_is_still_written_and_one_made_anew_is_captured_after_the_next_look() {
    let mut captured = Captured::watching("crm.tag", &["color"]).await;
    let sessions = long_lived_sessions(&captured).await;
    captured.rows().await;
    captured.write("alter table crm_tag rename to crm_tag_old").await;
    assert_eq!(
        captured.drift("crm.tag").await.as_deref(),
        Some("the table \"crm_tag\" is gone")
    );
    sessions[0]
        .batch_execute("update crm_tag_old set color = 99 where id = 1")
        .await
        .unwrap();
    assert_eq!(captured.rows().await.len(), 1);

    captured
        .write("create table crm_tag (like crm_tag_old including all)")
        .await;
    assert_eq!(
        captured.drift("crm.tag").await.as_deref(),
        Some("the table \"crm_tag\" was made anew")
    );
    for session in &sessions {
        session
            .batch_execute("insert into crm_tag (id, color) values (77, 1); delete from crm_tag where id = 77")
            .await
            .unwrap();
        session
            .batch_execute("update crm_tag_old set color = 100 where id = 1")
            .await
            .unwrap();
    }
    captured.rows().await;
    captured.sync("crm.tag").await.unwrap();
    assert_eq!(captured.drift("crm.tag").await, None);
    for session in &sessions {
        session
            .batch_execute("insert into crm_tag (id, color) values (77, 1); delete from crm_tag where id = 77")
            .await
            .unwrap();
        // The old table is no longer the model's.
        session
            .batch_execute("update crm_tag_old set color = 101 where id = 1")
            .await
            .unwrap();
    }
    assert_eq!(
        captured.rows().await,
        ["I 77: color 1", "D 77: color 1", "I 77: color 1", "D 77: color 1"]
    );

    captured.write("drop table crm_tag cascade").await;
    assert_eq!(
        captured.drift("crm.tag").await.as_deref(),
        Some("the table \"crm_tag\" is gone")
    );
}

#[tokio::test]
async fn a_trigger_that_was_dropped_or_disabled_is_reported_and_put_back() {
    for breakage in [
        "drop trigger odoo_eventd_update on crm_tag",
        "alter table crm_tag disable trigger odoo_eventd_delete",
        "alter table crm_tag disable trigger user",
    ] {
        let mut captured = Captured::watching("crm.tag", &["color"]).await;
        captured
            .write("alter table crm_tag alter column name drop not null")
            .await;
        captured.write(breakage).await;
        assert_eq!(
            captured.drift("crm.tag").await.as_deref(),
            Some("a trigger is missing or disabled"),
            "{breakage}"
        );
        captured.sync("crm.tag").await.unwrap();
        assert_eq!(captured.drift("crm.tag").await, None, "{breakage}");
        write_all(&captured.writer().await, breakage).await;
        let rows = captured.rows().await;
        assert_eq!(kinds(&rows), ["D color", "I color", "U color"], "{breakage}");
    }
}

#[tokio::test]
async fn a_real_odoos_database_takes_an_upgrades_statements_with_every_field_of_a_model_watched() {
    let Some(database) = Database::dump().await else { return };
    let mut captured = Captured::installed_in(database).await;
    let columns = "select array_agg(column_name::text) from odoo_eventd.capturable_columns('sale.order') where column_name !~ '^(write|create)_'";
    let columns: Vec<String> = captured.owner.query_one(columns, &[]).await.unwrap().get(0);
    captured
        .watch("sale.order", &columns.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    let session = captured.writer().await;
    for round in 0..8 {
        session
            .batch_execute(&format!(
                "update sale_order set client_order_ref = 'r{round}' where id = (select min(id) from sale_order)"
            ))
            .await
            .unwrap();
    }
    assert_eq!(captured.rows().await.len(), 8);
    captured
        .write(
            "alter table sale_order add column margin numeric; update sale_order set margin = 1;
             alter table sale_order alter column client_order_ref type jsonb using jsonb_build_object('en_US', client_order_ref);
             alter table sale_order drop column origin cascade; alter table sale_order rename column note to terms",
        )
        .await;
    assert!(captured.rows().await.is_empty());
    session
        .batch_execute("update sale_order set amount_total = coalesce(amount_total, 0) + 1")
        .await
        .unwrap();
    let rows = captured.rows().await;
    assert!(
        !rows.is_empty()
            && rows
                .iter()
                .all(|row| row.starts_with("u ") && row.contains("amount_total ")),
        "{rows:?}"
    );
    assert_eq!(
        captured.drift("sale.order").await.as_deref(),
        Some("columns are gone: note, origin; columns have another type: client_order_ref")
    );
}
