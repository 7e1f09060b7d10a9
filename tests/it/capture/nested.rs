//! The order in which PostgreSQL fires triggers is not that in which rows changed: what is told holds all the same.

use super::Captured;

/// A table of its own: any statement may be nested in any other's trigger.
async fn with(more: &str) -> Captured {
    let captured = Captured::installed().await;
    captured
        .write(&format!(
            r#"create table x_item (id serial primary key, name varchar, state varchar, parent_id integer, other_id integer,
                                    create_uid integer, create_date timestamp, write_uid integer, write_date timestamp);
               insert into ir_model (model, name, state, "order") values ('x.item', '{{"en_US": "Item"}}', 'manual', 'id');
               insert into ir_model_fields (model, model_id, name, ttype, state, field_description, store)
               select 'x.item', m.id, f, 'char', 'base', '{{"en_US": "x"}}', true
                 from ir_model m, unnest(array['name', 'state', 'parent_id', 'other_id']) f where m.model = 'x.item';
               insert into x_item (id, name, state) select n, 'n' || n, 'draft' from generate_series(1, 9) n;
               alter sequence x_item_id_seq restart 100;
               {more}"#
        ))
        .await;
    captured
        .watch("x.item", &["name", "state", "parent_id", "other_id"])
        .await;
    captured
}

/// A row trigger of somebody else's, by a name that sorts before ours or behind.
fn row_trigger(name: &str, event: &str, body: &str) -> String {
    format!(
        "create function {name}() returns trigger language plpgsql as $$ begin if pg_trigger_depth() < 3 then {body} end if; return null; end $$;
         create trigger {name} after {event} on x_item for each row execute function {name}();"
    )
}

#[tokio::test]
async fn a_trigger_that_writes_the_same_row_again_neither_hides_a_create_nor_a_write_nor_an_unlink() {
    for name in ["a_first", "z_last"] {
        let mut captured = with(&row_trigger(
            name,
            "insert or update",
            "update x_item set state = coalesce(new.state, '') || '+' where id = new.id;",
        ))
        .await;
        captured.write("insert into x_item (id, name) values (20, 'new')").await;
        assert_eq!(
            captured.changes().await,
            ["create 20: name new, other_id null, parent_id null, state ++"],
            "{name}"
        );
        captured.write("update x_item set name = 'm' where id in (1, 2)").await;
        assert_eq!(
            captured.changes().await,
            [
                "write 1: name n1 -> m, state draft -> draft++",
                "write 2: name n2 -> m, state draft -> draft++"
            ],
            "{name}"
        );
        captured
            .write("begin; update x_item set name = 'o' where id = 1; delete from x_item where id = 1; commit")
            .await;
        assert_eq!(
            captured.changes().await,
            ["unlink 1: name m, other_id null, parent_id null, state draft++"],
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_trigger_that_removes_what_was_just_made_or_written_is_told_as_it_ends() {
    for name in ["a_first", "z_last"] {
        let mut captured = with(&row_trigger(
            name,
            "insert or update",
            "if new.name like 'bad%' then delete from x_item where id = new.id; end if;",
        ))
        .await;
        captured.write("insert into x_item (id, name) values (20, 'bad')").await;
        assert_eq!(captured.changes().await, [""; 0], "{name}");
        captured.write("update x_item set name = 'bad' where id = 3").await;
        assert_eq!(
            captured.changes().await,
            ["unlink 3: name n3, other_id null, parent_id null, state draft"],
            "{name}"
        );
    }
}

#[tokio::test]
async fn through_another_table_and_back_is_told_as_it_ends() {
    let mut captured = with(
        "create table x_log (id serial primary key, item integer);
         create function back() returns trigger language plpgsql as $$
           begin update x_item set state = 'logged' where id = new.item; return null; end $$;
         create trigger back after insert on x_log for each row execute function back();
         create function forth() returns trigger language plpgsql as $$
           begin insert into x_log (item) values (new.id); return null; end $$;
         create trigger forth after insert on x_item for each row execute function forth();",
    )
    .await;
    captured
        .write("insert into x_item (id, name) values (20, 'new'), (21, 'two')")
        .await;
    assert_eq!(
        captured.changes().await,
        [
            "create 20: name new, other_id null, parent_id null, state logged",
            "create 21: name two, other_id null, parent_id null, state logged"
        ]
    );
}

#[tokio::test]
async fn keys_that_cascade_and_set_null_on_one_record_are_told_once_and_right() {
    for keys in [
        ["cascade", "set null"],
        ["set null", "cascade"],
        ["set null", "set null"],
        ["set null", "set default"],
    ] {
        let mut captured = with(&format!(
            "alter table x_item add foreign key (parent_id) references x_item on delete {}, add foreign key (other_id) references x_item on delete {};
             update x_item set parent_id = 1, other_id = 1 where id in (4, 5); update x_item set parent_id = 1, other_id = 2 where id = 6;",
            keys[0], keys[1]
        ))
        .await;
        captured.write("delete from x_item where id in (1, 2)").await;
        let told = captured.changes().await;
        let expected = |id: i32, other: i32| {
            if keys.contains(&"cascade") && (id != 6 || keys[0] == "cascade" || keys[1] == "cascade") {
                format!("unlink {id}: name n{id}, other_id {other}, parent_id 1, state draft")
            } else {
                format!("write {id}: other_id {other} -> null, parent_id 1 -> null")
            }
        };
        let own = |id: i32| format!("unlink {id}: name n{id}, other_id null, parent_id null, state draft");
        assert_eq!(
            told,
            [own(1), own(2), expected(4, 1), expected(5, 1), expected(6, 2)],
            "{keys:?}"
        );
    }
}

#[tokio::test]
async fn a_trigger_before_the_row_that_replaces_another_is_told_as_a_write() {
    let mut captured = with(
        "create function replaces() returns trigger language plpgsql as $$
           begin delete from x_item where id = new.id; return new; end $$;
         create trigger replaces before insert on x_item for each row execute function replaces();",
    )
    .await;
    captured
        .write("insert into x_item (id, name, state) values (3, 'other', 'draft')")
        .await;
    assert_eq!(captured.changes().await, ["write 3: name n3 -> other"]);
}

#[tokio::test]
async fn one_statement_that_writes_a_table_twice_is_told_as_it_ends() {
    let mut captured = with("").await;
    captured
        .write(
            "with gone as (delete from x_item where id = 3 returning *), made as (insert into x_item (id, name) select 3, 'again' from gone)
             update x_item set state = 'x' where id in (4, 5)",
        )
        .await;
    assert_eq!(
        captured.changes().await,
        [
            "write 3: name n3 -> again, state draft -> null",
            "write 4: state draft -> x",
            "write 5: state draft -> x"
        ]
    );
    captured
        .write("update x_item set id = case id when 1 then 50 else 51 end where id in (1, 2)")
        .await;
    let told = captured.changes().await;
    let kinds: Vec<&str> = told.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(kinds, ["unlink 1", "unlink 2", "create 50", "create 51"]);
}

#[tokio::test]
async fn more_rows_than_are_held_in_memory_are_told_alike() {
    let mut captured = with(&row_trigger(
        "a_first",
        "update",
        "update x_item set state = 'again' where id = new.id;",
    ))
    .await;
    captured
        .write("alter table x_item disable trigger a_first; insert into x_item (name) select 'b' from generate_series(1, 2500)")
        .await;
    assert_eq!(captured.changes().await.len(), 2500);
    captured
        .write("alter table x_item enable trigger a_first; update x_item set name = 'c' where id >= 100")
        .await;
    let told = captured.changes().await;
    assert_eq!(told.len(), 2500);
    assert!(
        told.iter()
            .all(|line| line.ends_with("name b -> c, state null -> again")),
        "{}",
        told[0]
    );
    captured.write("delete from x_item where id >= 100").await;
    let told = captured.changes().await;
    assert!(told.len() == 2500 && told.iter().all(|line| line.starts_with("unlink")));
}
