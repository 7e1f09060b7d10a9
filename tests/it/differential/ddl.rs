//! What Odoo does to its own tables when modules are installed, upgraded and removed, with the metadata that it keeps of them.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::catalog::{Catalog, Model, declare_field};
use super::oracle::{Catalogue, Column, Table};
use super::script::{ident, literal};
use super::types;

/// One change, as the statements that make it; none if there is nothing to change.
pub fn random_change(random: &mut StdRng, catalog: &Catalog, tables: &Catalogue, count: &mut u32) -> Vec<String> {
    if let Some((relation, columns)) = catalog.relations.choose(random)
        && random.random_ratio(1, 8)
    {
        *count += 1;
        return change_of_links(random, relation, columns, *count);
    }
    let known: Vec<(&Model, &Table)> = catalog
        .models
        .iter()
        .filter(|m| !m.refused)
        .filter_map(|m| Some((m, tables.get(&m.table)?)))
        .collect();
    let Some((model, table)) = known.choose(random) else {
        return Vec::new();
    };
    let name = ident(&model.table);
    // Others' triggers count in these; most of the time they go on.
    let columns: Vec<&Column> = table
        .columns
        .iter()
        .filter(|c| c.name != "id" && (random.random_ratio(1, 10) || (c.name != model.counter && c.name != model.text)))
        .collect();
    *count += 1;
    let fresh = format!("x_new_{count}");
    match (random.random_range(0..34), columns.choose(random)) {
        (0..4, _) => {
            let pool = if random.random_ratio(1, 2) {
                types::ODOOS
            } else {
                types::BUILT_IN
            };
            let (type_name, ttype) = pool.choose(random).expect("not empty");
            let value = types::plain_value(random, type_name).map_or_else(|| "null".to_owned(), |text| literal(&text));
            let default = match random.random_range(0..6) {
                0 => " default null".to_owned(),
                1 => format!(" default {value}"),
                2 if *type_name == "numeric" => " not null default random() * 0".to_owned(),
                _ => String::new(),
            };
            let mut statements = vec![format!("alter table {name} add column {fresh} {type_name}{default}")];
            if random.random_ratio(4, 5) {
                statements.push(declare_field(&model.model, &fresh, ttype, None));
            }
            let column = Column {
                name: fresh.clone(),
                type_name: (*type_name).to_owned(),
                number: 0,
                required: false,
                filled: false,
                generated: false,
            };
            let value = types::value(random, &column.type_name);
            statements.push(format!("update {name} set {fresh} = {value} where id < 4"));
            statements
        }
        (4..7, Some(column)) => {
            let mut statements = vec![format!(
                "alter table {name} drop column {} cascade",
                ident(&column.name)
            )];
            if random.random_ratio(4, 5) {
                statements.insert(
                    random.random_range(0..2),
                    format!(
                        "delete from ir_model_fields where model = {} and name = {}",
                        literal(&model.model),
                        literal(&column.name)
                    ),
                );
            }
            statements
        }
        (7..10, Some(column)) => {
            let mut statements = vec![format!(
                "alter table {name} rename column {} to {fresh}",
                ident(&column.name)
            )];
            match random.random_range(0..3) {
                0 => statements.push(format!(
                    "alter table {name} rename column {fresh} to {}",
                    ident(&column.name)
                )),
                1 => statements.push(format!(
                    "update ir_model_fields set name = '{fresh}' where model = {} and name = {}",
                    literal(&model.model),
                    literal(&column.name)
                )),
                _ => {}
            }
            statements
        }
        (10..18, Some(column)) => retype(random, model, column),
        (18, Some(column)) => vec![format!(
            "alter table {name} alter column {} set not null",
            ident(&column.name)
        )],
        (19, Some(column)) => vec![format!(
            "alter table {name} alter column {} drop not null",
            ident(&column.name)
        )],
        (20, _) => {
            // As Odoo makes a table anew of a model that was something else.
            let old = ident(&format!("x_was_{count}"));
            vec![
                format!("alter table {name} rename to {old}"),
                format!("create table {name} (like {old} including all)"),
                format!("insert into {name} select * from {old}"),
            ]
        }
        (21, _) if random.random_ratio(1, 3) => vec![format!("drop table {name} cascade")],
        (22, _) => vec![format!("alter table {name} alter column id type bigint")],
        (23, _) => {
            let index = format!("x_index_{count}");
            let column = columns.first().map_or("id", |c| c.name.as_str());
            vec![format!("create index {index} on {name} ({})", ident(column))]
        }
        (24, _) => vec![format!("vacuum analyze {name}"), format!("analyze {name}")],
        (25, _) => {
            let rewrite = [
                format!("vacuum full {name}"),
                format!("alter table {name} set (fillfactor = 80)"),
                format!("create unique index x_by_id_{count} on {name} (id); cluster {name} using x_by_id_{count}"),
                format!("reindex table {name}"),
            ];
            rewrite.choose(random).cloned().into_iter().collect()
        }
        (26, _) => {
            // Whoever had a new type's value in mind before has none of it.
            let label = literal(&format!("new {count}"));
            vec![format!("alter type mood add value {label}")]
        }
        (27, _) => {
            if random.random_ratio(1, 8) {
                return vec!["drop type mood cascade".to_owned()];
            }
            let to = ["mood", "pair", "dom_text"].choose(random).expect("not empty");
            let what = if *to == "dom_text" { "domain" } else { "type" };
            vec![
                format!("alter {what} {to} rename to {fresh}"),
                format!("update {name} set id = id"),
                format!("alter {what} {fresh} rename to {to}"),
            ]
        }
        (28, Some(column)) => {
            let column = ident(&column.name);
            let set = [
                "set default null".to_owned(),
                "drop default".to_owned(),
                "set storage external".to_owned(),
                "set statistics 5".to_owned(),
                "set compression pglz".to_owned(),
            ];
            let set = set.choose(random).expect("not empty");
            vec![format!("alter table {name} alter column {column} {set}")]
        }
        (29, _) => {
            let check = format!("x_check_{count}");
            vec![
                format!("alter table {name} add constraint {check} check (id <> 999) not valid"),
                format!("alter table {name} validate constraint {check}"),
                format!("alter table {name} drop constraint {check}"),
            ]
        }
        // As Odoo does when a record's number must be another's for a while.
        (30, _) => vec![
            format!("alter table {name} rename column id to {fresh}"),
            format!("alter table {name} rename column {fresh} to id"),
        ],
        (31, Some(column)) => vec![
            format!("alter table {name} add column {fresh} {}", column.type_name),
            format!("update {name} set {fresh} = {}", ident(&column.name)),
            format!("alter table {name} drop column {} cascade", ident(&column.name)),
            format!("alter table {name} rename column {fresh} to {}", ident(&column.name)),
        ],
        (_, Some(column)) => {
            // Rewritten, and the same as before.
            vec![format!(
                "alter table {name} alter column {0} type {1} using {0}::{1}",
                ident(&column.name),
                column.type_name
            )]
        }
        _ => Vec::new(),
    }
}

/// What is done to a many2many field's table, with links written behind it.
fn change_of_links(random: &mut StdRng, relation: &str, [one, two]: &[String; 2], count: u32) -> Vec<String> {
    let (table, one, two) = (ident(relation), ident(one), ident(two));
    let mut statements = match random.random_range(0..6) {
        0 => vec![format!("alter table {table} alter column {one} type bigint")],
        1 => vec![format!(
            "alter table {table} add column x_more_{count} text default 'a'"
        )],
        2 => vec![
            format!("alter table {table} rename to x_links_{count}"),
            format!("create table {table} (like x_links_{count} including all)"),
            format!("insert into {table} select * from x_links_{count}"),
        ],
        3 => vec![
            format!("alter table {table} rename column {one} to x_side"),
            format!("alter table {table} rename column x_side to {one}"),
        ],
        4 => vec![format!("alter table {table} alter column {two} drop not null")],
        _ => vec![format!("vacuum full {table}")],
    };
    statements.push(format!(
        "insert into {table} ({one}, {two}) values (5, 1) on conflict do nothing"
    ));
    statements.push(format!("delete from {table} where {one} = 1"));
    statements
}

/// Another type for a column, with values in between, as when a field becomes translated or is declared otherwise.
fn retype(random: &mut StdRng, model: &Model, column: &Column) -> Vec<String> {
    let (table, name) = (ident(&model.table), ident(&column.name));
    let alter = |to: &str, using: &str| {
        format!("alter table {table} alter column {name} drop default, alter column {name} type {to} using {using}")
    };
    let jsonb = format!("case when {name} is not null then jsonb_build_object('en_US', {name}::varchar) end");
    let alter = match column.type_name.as_str() {
        "jsonb" => alter("varchar", &format!("{name} ->> 'en_US'")),
        "integer" => {
            let to = ["bigint", "text", "varchar", "numeric", "boolean"]
                .choose(random)
                .expect("not empty");
            let using = if *to == "boolean" {
                format!("{name} <> 0")
            } else {
                format!("{name}::{to}")
            };
            alter(to, &using)
        }
        "text" | "character varying" => match random.random_range(0..9) {
            0..4 => alter("jsonb", &jsonb),
            4 => alter("integer", &format!("length({name})")),
            5 => alter(
                "date",
                &format!("case when {name} is not null then date '2020-01-01' end"),
            ),
            6 => alter("boolean", &format!("{name} is not null")),
            7 => alter("bytea", &format!("convert_to({name}, 'UTF8')")),
            _ => alter("varchar[]", &format!("array[{name}]")),
        },
        _ => alter("text", &format!("{name}::text")),
    };
    let mut statements = vec![alter];
    if random.random_ratio(1, 2) {
        statements.push(format!("update {table} set {name} = {name} where id < 5"));
    }
    // The field itself becomes one that is translated, or is one no more.
    if random.random_ratio(1, 2) {
        statements.push(format!(
            "update ir_model_fields set translate = not translate where model = {} and name = {}",
            literal(&model.model),
            literal(&column.name)
        ));
    }
    statements
}
