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
    match (random.random_range(0..26), columns.choose(random)) {
        (0..4, _) => {
            let (type_name, ttype) = types::BUILT_IN.choose(random).expect("not empty");
            let default = ["", "", " default null"].choose(random).expect("not empty");
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
    statements
}
