//! A random catalogue: tables of models as Odoo's are, and as nobody's are, with the metadata that declares them and what others have
//! put on them.

use std::collections::BTreeSet;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::hooks;
use super::script::{Step, ident, literal};
use super::types;

/// Names of columns that are also names in generated SQL, keywords, or hard to write.
const NAMES: &[&str] = &[
    "by_user",
    "old_rows",
    "new_rows",
    "o",
    "n",
    "r",
    "j",
    "intact",
    "one_row",
    "changed",
    "texts",
    "unused",
    "tg_op",
    "tg_relid",
    "tg_name",
    "tg_table_name",
    "old",
    "new",
    "op",
    "xid",
    "generation",
    "at",
    "record_id",
    "user_id",
    "ring",
    "found",
    "differs",
    "outbox_id",
    "image",
    "before",
    "after",
    "row",
    "v",
    "t",
    "c",
    "i",
    "x",
    "is_whole",
    "is_one",
    "is_hard",
    "in_halves",
    "how_many",
    "record_no",
    "was",
    "became",
    "gathered",
    "unreadable",
    "candidate",
    "few",
    "kept",
    "oid",
    "tg_argv",
    "odoo_eventd",
    "pg_catalog",
    "public",
    "text",
    "integer",
    "now",
    "count",
    "sqlerrm",
    "strict",
    "value",
    "name",
    "state",
    "columns",
    "select",
    "user",
    "order",
    "table",
    "group",
    "default",
    "null",
    "true",
    "end",
    "begin",
    "case",
    "from",
    "check",
    "all",
    "any",
    "current_user",
    "array",
    "in",
    "into",
    "limit",
    "returning",
    "with",
    "window",
    "where",
    "using",
    "primary",
    "references",
    "CamelCase",
    "ALLCAPS",
    "with space",
    "with \"quotes\"",
    "it's",
    "per%cent",
    "%s",
    "%I",
    "%1$s",
    "back\\slash",
    "new\nline",
    "semi;colon",
    "-- comment",
    "/* c */",
    "$body$",
    "$1",
    "dot.ted",
    "1st",
    "ünï",
    "漢字",
    "🙂",
    "",
    "a_name_that_is_exactly_sixty_three_bytes_long_as_the_longest_is",
    "description",
    "amount",
    "active",
    "sequence",
    "note",
    "partner_ref",
    "code",
    "date_from",
    "color",
    "qty",
];

/// Names that Odoo gives.
const ORDINARY: &[&str] = &[
    "name",
    "state",
    "description",
    "amount",
    "active",
    "sequence",
    "note",
    "partner_ref",
    "code",
    "date_from",
    "color",
    "qty",
    "user_id",
    "value",
    "order",
];

/// Names of models beside ordinary ones.
const MODELS: &[&str] = &[
    "order",
    "user",
    "group",
    "select",
    "x.triggers.of",
    "x.ünï.漢字",
    "x.old_rows",
    "x.CamelCase",
    "outbox.0",
    "x.new.rows",
    "a",
    "x.a.model.whose.name.is.sixty.three.bytes.long.as.is.its.table1",
];

/// Models of which the capture's function has, or nearly has, a name that is taken.
const COLLIDING: &[&str] = &["triggers", "drift", "body", "function.name", "x.y", "x_y"];

/// A table of a model.
#[derive(Clone, Debug)]
pub struct Model {
    /// Odoo's name.
    pub model: String,
    /// Its table.
    pub table: String,
    /// Declared stored fields with a column.
    pub fields: Vec<String>,
    /// Those of them that a payload may hold.
    pub sendable: Vec<String>,
    /// Its many2many fields.
    pub links: Vec<String>,
    /// A number that others' triggers may count in.
    pub counter: String,
    /// A text that they may write.
    pub text: String,
    /// Its foreign keys' columns, with the table that each leads to.
    pub keys: Vec<(String, String)>,
    /// No key can lead to it.
    pub deferrable: bool,
    /// It is not an ordinary table: it must be refused.
    pub refused: bool,
}

/// What a round works on.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Models' tables.
    pub models: Vec<Model>,
    /// Relation tables with their columns.
    pub relations: Vec<(String, [String; 2])>,
    /// Nobody's trigger changes or refuses a row before it is written: in PostgreSQL 15 MERGE may go on for ever where one does, and
    /// nothing can interrupt it.
    pub may_merge: bool,
    /// What makes it all.
    pub steps: Vec<Step>,
}

impl Catalog {
    fn owner(&mut self, sql: impl Into<String>) {
        self.steps.push(Step::Setup {
            admin: false,
            sql: sql.into(),
        });
    }

    fn admin(&mut self, sql: impl Into<String>) {
        self.steps.push(Step::Setup {
            admin: true,
            sql: sql.into(),
        });
    }
}

/// Makes one up.
pub fn random_catalog(random: &mut StdRng, extensions: &BTreeSet<String>) -> Catalog {
    let mut catalog = Catalog {
        may_merge: true,
        ..Catalog::default()
    };
    for make in types::MAKE_TYPES {
        catalog.owner(*make);
    }
    // Some rounds are of what Odoo itself makes, so that what others do to it is not hidden behind what is rarer.
    let is_ordinary = random.random_ratio(2, 5);
    let mut pool: Vec<(&'static str, &'static str)> = match is_ordinary {
        true => types::ODOOS.to_vec(),
        false => [types::BUILT_IN, types::BUILT_IN, types::MADE].concat(),
    };
    for of_extension in types::OF_EXTENSIONS {
        if !is_ordinary && extensions.contains(of_extension.1) && random.random_ratio(1, 3) {
            let make = format!("create extension if not exists {}", of_extension.1);
            catalog.admin(make);
            pool.push((of_extension.0, "char"));
        }
    }
    catalog.owner("create table log (id serial primary key, said text)");
    let count = random.random_range(2..5);
    let mut names: Vec<String> = (0..count).map(|index| format!("x.m{index}")).collect();
    for name in names.iter_mut().filter(|_| !is_ordinary) {
        match random.random_range(0..20) {
            0..4 => (*MODELS.choose(random).expect("not empty")).clone_into(name),
            4 => (*COLLIDING.choose(random).expect("not empty")).clone_into(name),
            _ => {}
        }
    }
    names.sort();
    names.dedup_by_key(|name| name.replace('.', "_"));
    for name in names {
        let model = random_model(random, &mut catalog, name, &pool, is_ordinary);
        catalog.models.push(model);
    }
    random_keys(random, &mut catalog);
    random_relations(random, &mut catalog);
    populate(&mut catalog);
    add_functions(&mut catalog);
    hooks::add(random, &mut catalog);
    catalog.owner("grant all on all tables in schema public to harness_writer; grant usage on all sequences in schema public to harness_writer");
    if random.random_ratio(1, 3) {
        add_refused(random, &mut catalog);
    }
    catalog
}

impl Catalog {
    pub(super) fn run_as_owner(&mut self, sql: impl Into<String>) {
        self.owner(sql);
    }

    pub(super) fn run_as_admin(&mut self, sql: impl Into<String>) {
        self.admin(sql);
    }
}

fn declare_model(catalog: &mut Catalog, model: &str) {
    catalog.owner(format!("select harness.declare_model({})", literal(model)));
}

/// Declares a stored field.
pub fn declare_field(model: &str, name: &str, ttype: &str, relation: Option<&str>) -> String {
    let relation = relation.map_or_else(|| "null".to_owned(), literal);
    format!(
        "select harness.declare_field({}, {}, '{ttype}', {relation})",
        literal(model),
        literal(name)
    )
}

fn random_model(
    random: &mut StdRng,
    catalog: &mut Catalog,
    model: String,
    pool: &[(&'static str, &'static str)],
    is_ordinary: bool,
) -> Model {
    let table = model.replace('.', "_");
    let names: &[&str] = if is_ordinary { ORDINARY } else { NAMES };
    let wide = match random.random_range(0..20) {
        0..12 => random.random_range(1..8),
        12..16 => random.random_range(8..40),
        16..18 => random.random_range(45..62),
        18 => random.random_range(62..100),
        _ => random.random_range(100..130),
    };
    // Wide tables of Odoo's are mostly of text.
    let of_text = wide > 40 && random.random_ratio(1, 2);
    let id = [
        "serial primary key",
        "serial primary key",
        "serial primary key",
        "bigserial primary key",
        "integer generated by default as identity primary key",
        "serial unique deferrable not null",
    ];
    let id = id.choose(random).expect("not empty");
    let mut columns: Vec<(String, String, &'static str)> = Vec::new();
    let mut taken: BTreeSet<String> = BTreeSet::from(["id".to_owned()]);
    let mut made = Model {
        table: table.clone(),
        fields: Vec::new(),
        sendable: Vec::new(),
        links: Vec::new(),
        counter: "counter".to_owned(),
        text: "label".to_owned(),
        keys: Vec::new(),
        deferrable: id.contains("deferrable"),
        refused: false,
        model,
    };
    let mut add =
        |name: String, sql: String, ttype: &'static str, columns: &mut Vec<(String, String, &'static str)>| {
            if !name.is_empty() && taken.insert(name.clone()) {
                columns.push((name, sql, ttype));
            }
        };
    if random.random_ratio(1, 3) {
        made.counter = (*names.choose(random).expect("not empty")).to_owned();
    }
    if random.random_ratio(1, 3) {
        made.text = (*names.choose(random).expect("not empty")).to_owned();
    }
    if made.counter == made.text || made.counter.is_empty() || made.text.is_empty() {
        (made.counter, made.text) = ("counter".to_owned(), "label".to_owned());
    }
    add(
        made.counter.clone(),
        "integer default 0".to_owned(),
        "integer",
        &mut columns,
    );
    let text_type = ["text", "character varying", "character varying", "jsonb"]
        .choose(random)
        .expect("not empty");
    add(made.text.clone(), (*text_type).to_owned(), "char", &mut columns);
    for index in 0..wide {
        let name = if random.random_ratio(1, 2) {
            (*names.choose(random).expect("not empty")).to_owned()
        } else {
            format!("f{index}")
        };
        let (type_name, ttype) = if of_text {
            *[("character varying", "char"), ("text", "text"), ("jsonb", "char")]
                .choose(random)
                .expect("not empty")
        } else {
            *pool.choose(random).expect("not empty")
        };
        let mut sql = type_name.to_owned();
        match random.random_range(0..30) {
            0 if type_name == "integer" => sql.push_str(" not null default 1"),
            0 if type_name == "character varying" => sql.push_str(" not null default ''"),
            1 if type_name == "integer" => sql.push_str(" check (f > -5)".replace('f', &ident(&name)).as_str()),
            2 if type_name == "integer" => sql.push_str(" unique"),
            3 if type_name == "text" && index > 4 => {
                sql = format!(
                    "text generated always as ({}::text || 'g') stored",
                    ident(&made.counter)
                )
            }
            4 if type_name == "integer" && index > 4 => {
                sql = format!("integer generated always as ({} * 2) stored", ident(&made.counter))
            }
            _ => {}
        }
        add(name, sql, ttype, &mut columns);
    }
    for (name, ordinary, ttype) in [
        ("create_uid", "integer", "many2one"),
        ("create_date", "timestamp without time zone", "datetime"),
        ("write_uid", "integer", "many2one"),
        ("write_date", "timestamp without time zone", "datetime"),
    ] {
        let odd = [
            "bigint",
            "text",
            "timestamp with time zone",
            "date",
            "character varying",
            "jsonb",
            "text[]",
        ];
        match random.random_range(0..20) {
            0..16 => add(name.to_owned(), ordinary.to_owned(), ttype, &mut columns),
            16 | 17 if !is_ordinary => add(
                name.to_owned(),
                (*odd.choose(random).expect("not empty")).to_owned(),
                "char",
                &mut columns,
            ),
            _ => {}
        }
    }
    if random.random_ratio(1, 4) {
        // What generated columns are made of stays before them.
        columns[1..].shuffle(random);
    }
    declare_model(catalog, &made.model);
    // A few at once, the others added one by one as Odoo does: a script of which some are left out goes on working.
    let at_once = random.random_range(0..=columns.len().min(4));
    let mut parts: Vec<String> = columns[..at_once]
        .iter()
        .map(|(name, sql, _)| format!("{} {sql}", ident(name)))
        .collect();
    let place = random.random_range(0..=parts.len());
    // A generated column may not stand before what it is made of only in a reader's eyes; PostgreSQL does not mind.
    parts.insert(place, format!("id {id}"));
    catalog.owner(format!(
        "create table {} ({}) with (autovacuum_enabled = off);\n{}",
        ident(&table),
        parts.join(", "),
        declare_field(&made.model, "id", "integer", None)
    ));
    for (index, (name, sql, ttype)) in columns.iter().enumerate() {
        let mut steps = Vec::new();
        if index >= at_once {
            steps.push(format!(
                "alter table {} add column {} {sql}",
                ident(&table),
                ident(name)
            ));
        }
        // Some have columns that no field announces.
        if random.random_ratio(24, 25) {
            let relation = (*ttype == "many2one").then_some("res.users");
            steps.push(declare_field(&made.model, name, ttype, relation));
            made.fields.push(name.clone());
            if !matches!(*ttype, "properties" | "json" | "binary") {
                made.sendable.push(name.clone());
            }
        }
        if !steps.is_empty() {
            catalog.owner(steps.join(";\n"));
        }
    }
    made
}

fn random_keys(random: &mut StdRng, catalog: &mut Catalog) {
    let tables: Vec<(String, String)> = catalog
        .models
        .iter()
        .filter(|m| !m.deferrable)
        .map(|m| (m.table.clone(), m.model.clone()))
        .collect();
    if tables.is_empty() {
        return;
    }
    for index in 0..catalog.models.len() {
        for number in 0..random.random_range(0..4) {
            let (target, target_model) = tables.choose(random).expect("not empty").clone();
            let name = match number {
                0 if random.random_ratio(1, 2) => "parent_id".to_owned(),
                _ => format!(
                    "{}_{number}_id",
                    ["ref", "base", "z", "a"].choose(random).expect("not empty")
                ),
            };
            if catalog.models[index].keys.iter().any(|(known, _)| *known == name) {
                continue;
            }
            let action = [
                "cascade",
                "cascade",
                "set null",
                "set null",
                "set default",
                "restrict",
                "no action",
            ];
            let on_delete = action.choose(random).expect("not empty");
            let on_update = ["", "", "", " on update cascade", " on update set null"]
                .choose(random)
                .expect("not empty");
            let deferred = ["", "", "", " deferrable initially deferred"]
                .choose(random)
                .expect("not empty");
            let (table, model) = (catalog.models[index].table.clone(), catalog.models[index].model.clone());
            catalog.owner(format!(
                "alter table {} add column {} integer;\n{}",
                ident(&table),
                ident(&name),
                declare_field(&model, &name, "many2one", Some(&target_model))
            ));
            catalog.owner(format!(
                "alter table {} add foreign key ({}) references {} (id) on delete {on_delete}{on_update}{deferred}",
                ident(&table),
                ident(&name),
                ident(&target)
            ));
            catalog.models[index].fields.push(name.clone());
            catalog.models[index].keys.push((name, target));
        }
    }
}

fn random_relations(random: &mut StdRng, catalog: &mut Catalog) {
    for index in 0..catalog.models.len() {
        if random.random_ratio(1, 2) {
            continue;
        }
        let other = random.random_range(0..catalog.models.len());
        let (left, right) = (catalog.models[index].clone(), catalog.models[other].clone());
        if left.deferrable || right.deferrable {
            continue;
        }
        let odd = [
            "rel with space",
            "Rel%I",
            "rel\n-- \"x\"",
            "rel'q",
            "rel_ünï",
            "new_rows",
            "links",
        ];
        let mut table = format!("x_rel_{index}");
        if random.random_ratio(1, 4) {
            (*odd.choose(random).expect("not empty")).clone_into(&mut table);
        }
        if catalog.relations.iter().any(|(known, _)| *known == table) {
            continue;
        }
        let columns = match random.random_range(0..5) {
            0 => ["o", "n"],
            1 => ["user", "Order\n;"],
            2 => ["new", "intact"],
            _ => ["left_id", "right_id"],
        }
        .map(str::to_owned);
        let [one, two] = &columns;
        catalog.owner(format!(
            "create table {} ({} integer not null, {} integer not null, primary key ({1}, {2})) with (autovacuum_enabled = off)",
            ident(&table),
            ident(one),
            ident(two)
        ));
        for (column, target) in [(one, &left.table), (two, &right.table)] {
            catalog.owner(format!(
                "alter table {} add foreign key ({}) references {} (id) on delete cascade",
                ident(&table),
                ident(column),
                ident(target)
            ));
        }
        let field = format!("tag{index}_ids");
        catalog.owner(format!(
            "select harness.declare_link({}, {}, {}, {}, {}, {})",
            literal(&left.model),
            literal(&field),
            literal(&right.model),
            literal(&table),
            literal(one),
            literal(two)
        ));
        catalog.models[index].links.push(field);
        catalog.relations.push((table, columns));
    }
}

/// A few rows in each, so that keys lead somewhere.
fn populate(catalog: &mut Catalog) {
    for model in catalog.models.clone() {
        catalog.owner(format!(
            "insert into {} (id, {}) select i, i from generate_series(1, 6) i",
            ident(&model.table),
            ident(&model.counter)
        ));
        catalog.owner(format!(
            "select setval(pg_get_serial_sequence({}, 'id'), 100)",
            literal(&ident(&model.table))
        ));
    }
    for (table, [one, two]) in catalog.relations.clone() {
        catalog.owner(format!(
            "insert into {} ({}, {}) values (1, 1), (1, 2), (2, 1)",
            ident(&table),
            ident(&one),
            ident(&two)
        ));
    }
}

/// One for each model that writes to it: its statements' plans are kept for as long as a session lives.
fn add_functions(catalog: &mut Catalog) {
    for (index, model) in catalog.models.clone().iter().enumerate() {
        let (table, counter) = (ident(&model.table), ident(&model.counter));
        catalog.owner(format!(
            "create function touch_{index}(of_id integer) returns integer language plpgsql as $touch$\ndeclare\n  touched integer;\nbegin\n  \
             update {table} set {counter} = coalesce({counter}, 0) + 1 where id = of_id;\n  get diagnostics touched = row_count;\n  \
             delete from {table} where id = of_id + 5;\n  insert into {table} (id) values (of_id + 5) on conflict do nothing;\n  \
             return touched;\nend $touch$"
        ));
    }
}

/// Models that no trigger can watch.
fn add_refused(random: &mut StdRng, catalog: &mut Catalog) {
    let first = catalog.models[0].table.clone();
    let makes: [&[&str]; 3] = [
        &["create view x_refused as select id, 1 as n from FIRST"],
        &[
            "create table x_refused (id serial primary key, n integer)",
            "create table x_heir () inherits (x_refused)",
        ],
        &[
            "create table x_refused (id integer primary key, n integer) partition by range (id)",
            "create table x_refused_1 partition of x_refused for values from (1) to (1000)",
        ],
    ];
    declare_model(catalog, "x.refused");
    for make in *makes.choose(random).expect("not empty") {
        catalog.owner(make.replace("FIRST", &ident(&first)));
    }
    for field in ["id", "n"] {
        catalog.owner(declare_field("x.refused", field, "integer", None));
    }
    catalog.models.push(Model {
        model: "x.refused".to_owned(),
        table: "x_refused".to_owned(),
        fields: vec!["n".to_owned()],
        sendable: Vec::new(),
        links: Vec::new(),
        counter: "n".to_owned(),
        text: "n".to_owned(),
        keys: Vec::new(),
        deferrable: false,
        refused: true,
    });
}

/// What declares models and fields as Odoo does, in both databases and in a schema of its own: scripts stay short.
pub const DECLARE: &str = "
create schema harness;
create function harness.declare_model(of_model text) returns void language sql as $$
  insert into public.ir_model (model, name, \"order\", info, state, transient) values ($1, '{\"en_US\": \"x\"}', 'id', '', 'base', false)
$$;
create function harness.declare_field(of_model text, field text, of_type text, to_model text) returns void language sql as $$
  insert into public.ir_model_fields (model, model_id, name, ttype, field_description, relation, state, store, copied, required, readonly,
                                      index, translate, company_dependent, selectable)
    select m.model, m.id, $2, $3, '{\"en_US\": \"x\"}', $4, 'base', true, true, false, false, false, false, false, true
      from public.ir_model m where m.model = $1
$$;
create function harness.declare_link(of_model text, field text, to_model text, pairs text, own text, other text) returns void language sql as $$
  insert into public.ir_model_fields (model, model_id, name, ttype, field_description, relation, relation_table, column1, column2, state,
                                      store, copied, required, readonly, index, translate, company_dependent, selectable)
    select m.model, m.id, $2, 'many2many', '{\"en_US\": \"x\"}', $3, $4, $5, $6, 'base', true, true, false, false, false, false, false, true
      from public.ir_model m where m.model = $1
$$;
";
