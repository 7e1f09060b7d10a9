//! What others have put on Odoo's tables: triggers that write again, in any order and depth, rules, row level security, event triggers.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::catalog::{Catalog, Model};
use super::script::{ident, literal};

/// Before ours by name and after them.
const BEFORE_AND_AFTER: [&str; 4] = ["aaa", "odoo_eventc", "odoo_eventd_z", "zzz"];

/// Adds a few.
pub fn add(random: &mut StdRng, catalog: &mut Catalog) {
    let models = catalog.models.clone();
    let how_many = match random.random_range(0..10) {
        0..4 => 0,
        4..7 => 1,
        _ => random.random_range(2..6),
    };
    for number in 0..how_many {
        let (model, other) = (
            models.choose(random).expect("not empty"),
            models.choose(random).expect("not empty"),
        );
        add_trigger(random, catalog, number, model, other);
    }
    if let Some((relation, [one, _])) = catalog.relations.choose(random).cloned()
        && random.random_ratio(1, 6)
    {
        add_trigger_of_links(random, catalog, &relation, &one);
    }
    if random.random_ratio(1, 10) {
        let model = models.choose(random).expect("not empty");
        add_rule(random, catalog, model);
    }
    if random.random_ratio(1, 10) {
        let model = models.choose(random).expect("not empty");
        let is_forced = add_policy(random, catalog, model);
        for known in catalog.models.iter_mut().filter(|known| known.model == model.model) {
            known.refused |= is_forced;
        }
    }
    if random.random_ratio(1, 10) {
        add_event_trigger(catalog);
    }
}

fn add_trigger(random: &mut StdRng, catalog: &mut Catalog, number: usize, model: &Model, other: &Model) {
    let (table, elsewhere) = (ident(&model.table), ident(&other.table));
    let (counter, text, other_counter) = (ident(&model.counter), ident(&model.text), ident(&other.counter));
    let depth = random.random_range(1..4);
    let function = format!("hook_{number}");
    // What it does, when, for each what, and on which events.
    let kinds: [(String, &str, &str, &str); 25] = [
        (
            format!("new.{counter} := coalesce(new.{counter}, 0) + 1; return new;"),
            "before",
            "row",
            "insert or update",
        ),
        (
            format!("new.{text} := old.{text}; return new;"),
            "before",
            "row",
            "update",
        ),
        (
            format!("if new.{counter} = 7 then return null; end if; return new;"),
            "before",
            "row",
            "insert or update",
        ),
        (
            "if old.id = 2 then return null; end if; return old;".to_owned(),
            "before",
            "row",
            "delete",
        ),
        (
            format!("update {table} set {counter} = coalesce({counter}, 0) + 1 where id = new.id; return null;"),
            "after",
            "row",
            "insert or update",
        ),
        (
            format!("update {table} set {counter} = coalesce({counter}, 0) + 1 where id = new.id + 1; return null;"),
            "after",
            "row",
            "update",
        ),
        (
            format!(
                "update {elsewhere} set {other_counter} = coalesce({other_counter}, 0) + 1 where id = new.id; return null;"
            ),
            "after",
            "row",
            "insert or update",
        ),
        (
            format!("update {elsewhere} set {other_counter} = 3 where id = old.id; return null;"),
            "after",
            "row",
            "delete",
        ),
        (
            format!("insert into {elsewhere} ({other_counter}) values (new.{counter}); return null;"),
            "after",
            "row",
            "insert",
        ),
        (
            format!("delete from {elsewhere} where id = new.id + 3; return null;"),
            "after",
            "row",
            "update",
        ),
        (
            format!("delete from {table} where id = new.id; return null;"),
            "after",
            "row",
            "insert",
        ),
        (
            format!("insert into {table} (id, {counter}) values (old.id, 1); return null;"),
            "after",
            "row",
            "delete",
        ),
        (
            format!(
                "update {table} set {counter} = coalesce({counter}, 0) + 1 where id in (select id from rows_of_it); return null;"
            ),
            "after",
            "statement",
            "update new",
        ),
        (
            format!("update {elsewhere} set {other_counter} = 5 where id in (select id from rows_of_it); return null;"),
            "after",
            "statement",
            "delete old",
        ),
        (
            format!("update {elsewhere} set {other_counter} = 6 where id in (select id from rows_of_it); return null;"),
            "after",
            "statement",
            "insert new",
        ),
        (
            "insert into log (said) values (tg_op || tg_table_name); return null;".to_owned(),
            "before",
            "statement",
            "insert or update or delete",
        ),
        (
            format!(
                "begin update {elsewhere} set {other_counter} = coalesce({other_counter}, 0) + 1 where id in (1, 2); \
                 if new.{counter} = 3 then raise exception 'not here'; end if; exception when others then null; end; return null;"
            ),
            "after",
            "row",
            "insert or update",
        ),
        (
            format!(
                "perform set_config('search_path', 'hostile, public', true), set_config('datestyle', 'German', true); \
                 update {table} set {counter} = coalesce({counter}, 0) + 1 where id = new.id; return null;"
            ),
            "after",
            "row",
            "update",
        ),
        (
            format!(
                "update {table} t set {counter} = r.id from rows_of_it r where t.id = r.id + 1; \
                 delete from {table} where id in (select id + 2 from rows_of_it); return null;"
            ),
            "after",
            "statement",
            "update old",
        ),
        (
            format!(
                "insert into {elsewhere} (id, {other_counter}) values (old.id + 300, 1) on conflict (id) do update set {other_counter} = 2; return null;"
            ),
            "after",
            "row",
            "delete",
        ),
        (
            format!("update {table} set id = id + 500 where id = new.id and new.id between 3 and 4; return null;"),
            "after",
            "row",
            "update",
        ),
        (
            format!(
                "if current_setting('harness.fired', true) is distinct from txid_current()::text then \
                 perform set_config('harness.fired', txid_current()::text, true); \
                 update {elsewhere} set {other_counter} = 9 where id = coalesce(new.id, old.id); \
                 delete from {table} where id = new.id and id = 5; end if; return null;"
            ),
            "constraint",
            "row",
            "update or delete",
        ),
        (
            "insert into log (said) values (tg_op || tg_table_name); return null;".to_owned(),
            "after",
            "statement",
            "truncate",
        ),
        // Each is fired by itself at the commit: no depth ends them.
        (
            format!(
                "if coalesce(new.{counter}, 0) < 4 then update {table} set {counter} = coalesce({counter}, 0) + 1 where id = new.id; end if; \
                 return null;"
            ),
            "constraint",
            "row",
            "insert or update",
        ),
        (
            format!(
                "if new.{counter} = 5 then raise exception 'not five' using errcode = 'P0005'; end if; return null;"
            ),
            "after",
            "row",
            "insert or update",
        ),
    ];
    let (body, time, level, events) = kinds.choose(random).expect("not empty");
    catalog.may_merge &= (*time, *level) != ("before", "row");
    let give_up = match (*time, *events) {
        ("before", "delete") => "old",
        ("before", _) if *level == "row" => "new",
        _ => "null",
    };
    catalog.run_as_owner(format!(
        "create function {function}() returns trigger language plpgsql as $hook$\nbegin\n  if pg_trigger_depth() > {depth} then return {give_up}; end if;\n  {body}\nend $hook$"
    ));
    let name = format!("{}_{number}", BEFORE_AND_AFTER.choose(random).expect("not empty"));
    let (events, referencing) = match events.rsplit_once(' ') {
        Some((event, image @ ("new" | "old"))) => (event, format!(" referencing {image} table as rows_of_it")),
        _ => (*events, String::new()),
    };
    let sql = if *time == "constraint" {
        format!(
            "create constraint trigger {name} after {events} on {table} deferrable initially deferred for each row execute function {function}()"
        )
    } else {
        format!(
            "create trigger {name} {time} {events} on {table}{referencing} for each {level} execute function {function}()"
        )
    };
    catalog.run_as_owner(sql);
}

/// As a stored field that is computed from links, by somebody who does it in the database.
fn add_trigger_of_links(random: &mut StdRng, catalog: &mut Catalog, relation: &str, own: &str) {
    let model = catalog.models.choose(random).expect("not empty").clone();
    let (table, counter, own) = (ident(&model.table), ident(&model.counter), ident(own));
    let body = [
        format!("update {table} set {counter} = coalesce({counter}, 0) + 1 where id in (new.{own}, old.{own})"),
        format!("delete from {table} where id = new.{own} and id > 4"),
        format!(
            "insert into {} select 5, 5 where tg_op = 'DELETE' on conflict do nothing",
            ident(relation)
        ),
    ];
    let body = body.choose(random).expect("not empty");
    catalog.run_as_owner(format!(
        "create function hook_of_links() returns trigger language plpgsql as $hook$\nbegin\n  if pg_trigger_depth() > 2 then return null; end if;\n  {body};\n  return null;\nend $hook$"
    ));
    let name = BEFORE_AND_AFTER.choose(random).expect("not empty");
    catalog.run_as_owner(format!(
        "create trigger {name} after insert or update or delete on {} for each row execute function hook_of_links()",
        ident(relation)
    ));
}

fn add_rule(random: &mut StdRng, catalog: &mut Catalog, model: &Model) {
    let (table, counter) = (ident(&model.table), ident(&model.counter));
    let rules = [
        format!("create rule others as on update to {table} do also insert into log (said) values ('updated')"),
        format!("create rule others as on delete to {table} where old.id = 3 do instead nothing"),
        format!("create rule others as on insert to {table} do also insert into log (said) values ('inserted')"),
        format!(
            "create rule others as on delete to {table} where old.id = 4 do instead update {table} set {counter} = 0 where id = old.id"
        ),
    ];
    catalog.run_as_owner(rules.choose(random).expect("not empty").clone());
}

/// Tells whether it is forced on the owner: then nobody but a superuser reads all rows, and the model must be refused.
fn add_policy(random: &mut StdRng, catalog: &mut Catalog, model: &Model) -> bool {
    let (table, counter) = (ident(&model.table), ident(&model.counter));
    let is_forced = random.random_ratio(1, 3);
    catalog.run_as_owner(format!("alter table {table} enable row level security"));
    if is_forced {
        catalog.run_as_owner(format!("alter table {table} force row level security"));
    }
    catalog.run_as_owner(format!(
        "create policy others on {table} using (id <> 3) with check ({counter} is distinct from 8)"
    ));
    is_forced
}

fn add_event_trigger(catalog: &mut Catalog) {
    // Our own DDL is in it, and ought to be: nobody but this writes it, and nobody compares it.
    catalog.run_as_admin("create table harness.ddl_log (said text); grant usage on schema harness to public; grant insert on harness.ddl_log to public");
    catalog.run_as_admin(format!(
        "create function log_ddl() returns event_trigger language plpgsql as {}",
        literal("begin insert into harness.ddl_log (said) values (tg_tag); end")
    ));
    catalog.run_as_admin("create event trigger log_all_ddl on ddl_command_end execute function log_ddl()");
}
