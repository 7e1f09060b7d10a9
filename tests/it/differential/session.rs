//! Random sessions: who writes what next. The writer knows the tables as its session sees them, and whether its last statement failed.

use std::collections::VecDeque;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::catalog::Catalog;
use super::ddl;
use super::oracle::{Catalogue, Column, Table};
use super::pair::Outcome;
use super::runner::Mode;
use super::script::{Step, Way, ident, literal};
use super::{subscriptions, types};

/// How many sessions there are.
const SESSIONS: usize = 3;

/// What is known of a session.
#[derive(Debug, Default)]
pub struct State {
    /// A transaction is open.
    pub is_open: bool,
    /// Its last statement failed.
    pub is_aborted: bool,
    /// It changed the catalogue: nobody else can do anything.
    pub has_ddl: bool,
    savepoints: Vec<String>,
    prepared: Vec<(String, usize)>,
    cursor: Option<String>,
}

/// Makes up steps.
pub struct Writers {
    random: StdRng,
    catalog: Catalog,
    states: Vec<State>,
    /// Whose turn it is.
    turn: usize,
    queue: VecDeque<Step>,
    count: u32,
    server: ServerFacts,
    mode: Mode,
    wants_sync: bool,
}

/// What is known of the server.
#[derive(Debug)]
pub struct ServerFacts {
    /// PostgreSQL's version.
    pub major: u32,
    /// Statements that set what a session may set.
    pub settings: Vec<String>,
}

impl Writers {
    /// Nobody has written yet.
    pub fn new(random: StdRng, catalog: Catalog, server: ServerFacts, mode: Mode) -> Self {
        Self {
            random,
            catalog,
            states: (0..SESSIONS).map(|_| State::default()).collect(),
            turn: 0,
            queue: VecDeque::new(),
            count: 0,
            server,
            mode,
            wants_sync: false,
        }
    }

    /// Whose tables the next step is made from.
    pub fn turn(&self) -> usize {
        self.turn
    }

    /// Whether the session of this turn has changed the tables and nobody else knows.
    pub fn sees_more_than_others(&self) -> bool {
        self.states[self.turn].has_ddl && !self.states[self.turn].is_aborted
    }

    /// Whether a transaction waits for its end.
    pub fn is_open(&self) -> bool {
        self.states.iter().any(|state| state.is_open) || !self.queue.is_empty()
    }

    /// Told what came of a step.
    pub fn note(&mut self, step: &Step, outcome: &Outcome) {
        let failed = outcome.error.is_some();
        if outcome.is_lost {
            self.states[self.turn] = State::default();
            self.queue.clear();
            return;
        }
        match step {
            Step::Sync => {
                for state in &mut self.states {
                    state.is_open = false;
                    state.has_ddl = false;
                    state.is_aborted = false;
                    state.savepoints.clear();
                    state.cursor = None;
                }
                self.wants_sync = false;
            }
            Step::Run { session, sql, .. } => {
                use super::script::{Control, control_of, may_be_ddl};
                let state = &mut self.states[*session];
                match control_of(sql) {
                    Control::Begin => state.is_open |= !failed,
                    Control::Commit | Control::Rollback => {
                        self.wants_sync |= state.has_ddl && self.random.random_ratio(2, 3);
                        let prepared = std::mem::take(&mut state.prepared);
                        *state = State {
                            prepared,
                            ..State::default()
                        };
                    }
                    Control::Other => {
                        if failed && state.is_open {
                            state.is_aborted = true;
                            self.queue.clear();
                        } else if !failed {
                            if sql.starts_with("rollback to") {
                                state.is_aborted = false;
                            }
                            let is_ddl = may_be_ddl(sql) && !sql.starts_with("rollback") && !sql.starts_with("do");
                            if is_ddl && state.is_open {
                                state.has_ddl = true;
                            } else if is_ddl {
                                self.wants_sync |= self.random.random_ratio(2, 3);
                            }
                        }
                    }
                }
            }
            Step::Setup { .. } | Step::Subscribe { .. } | Step::Look | Step::Rotate | Step::Measure(_) => {}
        }
    }

    /// What is done next, from the tables as the session of this [turn](Self::turn) sees them.
    pub fn next(&mut self, tables: &Catalogue) -> Step {
        if let Some(step) = self.queue.pop_front() {
            return step;
        }
        let state = &self.states[self.turn];
        if state.is_aborted {
            return self.after_failure();
        }
        if !state.is_open {
            if self.wants_sync && !self.states.iter().any(|state| state.is_open) {
                return Step::Sync;
            }
            if self.random.random_ratio(1, 2) {
                let begin = [
                    "begin",
                    "begin",
                    "begin isolation level repeatable read",
                    "begin isolation level serializable",
                ];
                let begin = *begin.choose(&mut self.random).expect("not empty");
                return self.run(begin);
            }
        } else if self.random.random_ratio(1, 6) {
            let end = if self.random.random_ratio(4, 5) {
                "commit"
            } else {
                "rollback"
            };
            return self.run(end);
        }
        match self.random.random_range(0..400) {
            0..8 => {
                let sql = setting(&mut self.random, tables);
                return self.run(sql);
            }
            8..14 => {
                let sql = self
                    .server
                    .settings
                    .choose(&mut self.random)
                    .cloned()
                    .unwrap_or_default();
                let is_local = self.states[self.turn].is_open && self.random.random_ratio(1, 2);
                return self.run(if is_local {
                    sql.replacen("set ", "set local ", 1)
                } else {
                    sql
                });
            }
            14..17 => return Step::Rotate,
            17..21 => {
                let takes_away = self.mode == Mode::Direct;
                if let Some(edit) = subscriptions::random_edit(&mut self.random, &self.catalog, takes_away) {
                    self.queue.push_back(Step::Sync);
                    return edit;
                }
            }
            // Through the service nobody knows when it has looked, if it may have to wait for a table.
            24..32 if self.mode == Mode::Direct && !self.states.iter().any(|state| state.has_ddl) => {
                if let Some(edit) = subscriptions::random_edit(&mut self.random, &self.catalog, true)
                    && self.random.random_ratio(3, 4)
                {
                    self.queue.push_back(Step::Look);
                    return edit;
                }
                return Step::Look;
            }
            21..24 if !self.states[self.turn].is_open => self.many(tables),
            _ => {}
        }
        if let Some(step) = self.queue.pop_front() {
            return step;
        }
        if self.random.random_ratio(1, 25) && self.nobody_else_is_open() {
            let steps = ddl::random_change(&mut self.random, &self.catalog, tables, &mut self.count);
            let steps: Vec<Step> = steps.into_iter().map(|sql| self.run(sql)).collect();
            self.queue.extend(steps);
            if let Some(step) = self.queue.pop_front() {
                return step;
            }
        }
        self.statement(tables)
    }

    /// What is measured at the end: one row, a few, and many, of tables as they have become.
    pub fn measures(&mut self, tables: &Catalogue) -> Vec<Step> {
        let known: Vec<(&String, &Table)> = tables.iter().filter(|(_, t)| t.column("id").is_some()).collect();
        let chosen: Vec<(String, Table)> = known
            .sample(&mut self.random, 2)
            .map(|(n, t)| ((*n).clone(), (*t).clone()))
            .collect();
        let mut steps = Vec::new();
        for (name, table) in chosen {
            let (one, all) = (self.assignments(&table), self.assignments(&table));
            let (name, insert) = (ident(&name), self.plain_insert(&name, &table));
            steps.extend([
                Step::Measure(format!(
                    "update {name} set {one} where id = (select min(id) from {name})"
                )),
                Step::Measure(format!("update {name} set {all}")),
                Step::Measure(insert),
                Step::Measure(format!(
                    "insert into {name} (id) select i from generate_series(20001, 21500) i"
                )),
                Step::Measure(format!("delete from {name}")),
            ]);
        }
        steps
    }

    /// Chooses who is next; after a step was taken.
    pub fn choose_turn(&mut self) {
        if !self.queue.is_empty() {
            return;
        }
        let state = &self.states[self.turn];
        let is_free = !state.is_open || (!state.has_ddl && self.random.random_ratio(1, 12));
        if is_free {
            let open: Vec<usize> = (0..SESSIONS)
                .filter(|s| self.states[*s].is_open && *s != self.turn)
                .collect();
            self.turn = match open.choose(&mut self.random) {
                Some(session) if self.random.random_ratio(2, 3) || self.states[*session].has_ddl => *session,
                _ => self.random.random_range(0..SESSIONS),
            };
        }
    }

    fn nobody_else_is_open(&self) -> bool {
        (0..SESSIONS).all(|session| session == self.turn || !self.states[session].is_open)
    }

    fn run(&self, sql: impl Into<String>) -> Step {
        Step::Run {
            session: self.turn,
            way: Way::Simple,
            sql: sql.into(),
        }
    }

    fn after_failure(&mut self) -> Step {
        let state = &self.states[self.turn];
        let back = match state.savepoints.choose(&mut self.random) {
            Some(savepoint) => format!("rollback to savepoint {savepoint}"),
            None => "rollback".to_owned(),
        };
        match self.random.random_range(0..12) {
            0 => self.run("select 1"),
            1 => self.run("commit"),
            _ => self.run(back),
        }
    }

    fn statement(&mut self, tables: &Catalogue) -> Step {
        // A model's table mostly; relation tables and what others made too.
        let models: Vec<(&String, &Table)> = tables.iter().filter(|(_, t)| t.column("id").is_some()).collect();
        let Some((name, table)) = models
            .choose(&mut self.random)
            .map(|(n, t)| ((*n).clone(), (*t).clone()))
        else {
            return self.run("select 1");
        };
        if !self.catalog.relations.is_empty() && self.random.random_ratio(1, 8) {
            let sql = self.link();
            return self.run(sql);
        }
        let sql = match self.random.random_range(0..100) {
            0..14 => self.insert(&name, &table),
            14..34 => self.update(&name, &table),
            34..44 => self.bulk_update(&name, &table),
            44..50 => self.delete(&name),
            50..57 => self.upsert(&name, &table),
            57..61 if self.server.major >= 15 && self.catalog.may_merge => self.merge(&name, &table),
            57..66 => self.twice_in_one(&name, &table),
            66..70 => return self.copy(&name, &table),
            70..74 => self.change_of_id(&name),
            74..80 => return self.savepoint(),
            80..84 => return self.cursor(&name, &table),
            84..91 => return self.prepared(&name, &table),
            91..93 => self.block(&name, &table),
            93 => format!("{}; {}", self.update(&name, &table), self.delete(&name)),
            94 => format!(
                "select touch_{}({})",
                self.random.random_range(0..self.catalog.models.len()),
                self.id()
            ),
            95 => format!(
                "truncate {}{}",
                ident(&name),
                ["", " cascade", " restart identity cascade"]
                    .choose(&mut self.random)
                    .expect("not empty")
            ),
            96 => format!("select count(*) from {}", ident(&name)),
            97 => format!("select id from {} order by id for update", ident(&name)),
            _ => self.there_and_back(&name, &table),
        };
        if self.random.random_ratio(1, 8) && !sql.contains("returning") && !sql.contains("; ") && sql.len() < 4_000 {
            return Step::Run {
                session: self.turn,
                way: Way::Prepared,
                sql,
            };
        }
        self.run(sql)
    }

    fn id(&mut self) -> u32 {
        self.random.random_range(1..9)
    }

    fn ids(&mut self) -> String {
        let count = self.random.random_range(1..5);
        let ids: Vec<String> = (0..count).map(|_| self.id().to_string()).collect();
        ids.join(", ")
    }

    fn condition(&mut self) -> String {
        match self.random.random_range(0..10) {
            0..5 => format!("id = {}", self.id()),
            5..8 => format!("id in ({})", self.ids()),
            8 => "id > 3".to_owned(),
            _ => "true".to_owned(),
        }
    }

    /// A value for a column; Odoo's stamps are of the transaction.
    fn value(&mut self, column: &Column) -> String {
        match column.name.as_str() {
            "write_date" | "create_date"
                if column.type_name.starts_with("timestamp") && self.random.random_ratio(2, 3) =>
            {
                "now() at time zone 'utc'".to_owned()
            }
            _ if column.required && self.random.random_ratio(19, 20) => {
                let value = types::plain_value(&mut self.random, &column.type_name);
                value.map_or_else(|| "default".to_owned(), |text| literal(&text))
            }
            _ => types::value(&mut self.random, &column.type_name),
        }
    }

    fn some_columns(&mut self, table: &Table, most: usize) -> Vec<Column> {
        let writable: Vec<Column> = table
            .columns
            .iter()
            .filter(|c| c.name != "id" && !c.generated)
            .cloned()
            .collect();
        // Odoo's own columns more often than by chance.
        let mut chosen: Vec<Column> = Vec::new();
        let count = self.random.random_range(1..=most).min(writable.len());
        for column in writable.sample(&mut self.random, count) {
            chosen.push(column.clone());
        }
        if self.random.random_ratio(1, 3) {
            for stamp in ["write_uid", "write_date"] {
                if let Some(column) = table.column(stamp)
                    && !chosen.iter().any(|c| c.name == stamp)
                {
                    chosen.push(column.clone());
                }
            }
        }
        chosen
    }

    fn assignments(&mut self, table: &Table) -> String {
        self.assignments_in(table, "")
    }

    /// `of` stands before the columns that are read, where they would be of two tables.
    fn assignments_in(&mut self, table: &Table, of: &str) -> String {
        let most = if self.random.random_ratio(1, 10) { 60 } else { 4 };
        let columns = self.some_columns(table, most);
        let set: Vec<String> = columns
            .iter()
            .map(|column| {
                let name = ident(&column.name);
                let value = match self.random.random_range(0..8) {
                    // The text of many a written value is what it was.
                    0 => format!("{of}{name}"),
                    1 if column.type_name == "integer" => format!("coalesce({of}{name}, 0) + 1"),
                    _ => self.value(column),
                };
                format!("{name} = {value}")
            })
            .collect();
        if set.is_empty() {
            format!("id = {of}id")
        } else {
            set.join(", ")
        }
    }

    fn insert_columns(&mut self, table: &Table) -> Vec<Column> {
        let most = if self.random.random_ratio(1, 10) { 60 } else { 5 };
        let mut columns = self.some_columns(table, most);
        for column in &table.columns {
            if column.required
                && !column.filled
                && column.name != "id"
                && !columns.iter().any(|c| c.name == column.name)
            {
                columns.push(column.clone());
            }
        }
        columns
    }

    fn insert(&mut self, name: &str, table: &Table) -> String {
        let sql = self.plain_insert(name, table);
        if self.random.random_ratio(1, 3) {
            sql + " returning id"
        } else {
            sql
        }
    }

    fn plain_insert(&mut self, name: &str, table: &Table) -> String {
        if self.random.random_ratio(1, 10) {
            let columns = self.insert_columns(table);
            let names: Vec<String> = columns.iter().map(|c| ident(&c.name)).collect();
            if !names.is_empty() {
                let names = names.join(", ");
                let condition = self.condition();
                return format!(
                    "insert into {0} ({names}) select {names} from {0} where {condition} order by id",
                    ident(name)
                );
            }
        }
        let columns = self.insert_columns(table);
        let with_id = self.random.random_ratio(2, 3);
        let mut names: Vec<String> = columns.iter().map(|c| ident(&c.name)).collect();
        if with_id {
            names.insert(0, "id".to_owned());
        }
        if names.is_empty() {
            return format!("insert into {} default values", ident(name));
        }
        let mut rows = Vec::new();
        for _ in 0..self.random.random_range(1..4) {
            let mut values: Vec<String> = columns.iter().map(|c| self.value(c)).collect();
            if with_id {
                let id = if self.random.random_ratio(1, 4) {
                    self.id()
                } else {
                    self.count += 1;
                    200 + self.count
                };
                values.insert(0, id.to_string());
            }
            rows.push(format!("({})", values.join(", ")));
        }
        format!(
            "insert into {} ({}) values {}",
            ident(name),
            names.join(", "),
            rows.join(", ")
        )
    }

    fn update(&mut self, name: &str, table: &Table) -> String {
        let (set, condition) = (self.assignments(table), self.condition());
        let returning = if self.random.random_ratio(1, 6) {
            " returning id"
        } else {
            ""
        };
        format!("update {} set {set} where {condition}{returning}", ident(name))
    }

    /// As Odoo writes many records with values of their own.
    fn bulk_update(&mut self, name: &str, table: &Table) -> String {
        let columns: Vec<Column> = self
            .some_columns(table, 4)
            .into_iter()
            .filter(|c| !c.required)
            .collect();
        if columns.is_empty() {
            return self.update(name, table);
        }
        let mut rows = Vec::new();
        let mut ids: Vec<u32> = (1..9).collect();
        ids.shuffle(&mut self.random);
        let count = self.random.random_range(1..6);
        for id in ids.iter().take(count) {
            let values = columns.iter().map(|c| format!("({})::{}", self.value(c), c.type_name));
            let values: Vec<String> = values.collect();
            rows.push(format!("({id}, {})", values.join(", ")));
        }
        let set: Vec<String> = (0..columns.len())
            .map(|i| format!("{} = v.c{i}", ident(&columns[i].name)))
            .collect();
        let names: Vec<String> = (0..columns.len()).map(|i| format!("c{i}")).collect();
        format!(
            "update {0} t set {1} from (values {2}) as v (id, {3}) where t.id = v.id",
            ident(name),
            set.join(", "),
            rows.join(", "),
            names.join(", ")
        )
    }

    fn delete(&mut self, name: &str) -> String {
        let condition = self.condition();
        let returning = if self.random.random_ratio(1, 4) {
            " returning id"
        } else {
            ""
        };
        format!("delete from {} where {condition}{returning}", ident(name))
    }

    fn upsert(&mut self, name: &str, table: &Table) -> String {
        let insert = self.plain_insert(name, table);
        if self.random.random_ratio(1, 3) {
            return insert + " on conflict do nothing";
        }
        let set = self.assignments_in(table, &format!("{}.", ident(name)));
        format!("{insert} on conflict (id) do update set {set}")
    }

    fn merge(&mut self, name: &str, table: &Table) -> String {
        let set = self.assignments_in(table, "t.");
        let gone = ["when matched and t.id = 2 then delete ", ""]
            .choose(&mut self.random)
            .expect("not empty");
        let (first, last) = (self.id(), self.id() + 3);
        format!(
            "merge into {} t using (select i from generate_series({first}, {last}) i) s on t.id = s.i {gone}when matched then update set {set} \
             when not matched then insert (id) values (s.i)",
            ident(name)
        )
    }

    /// One statement that writes a table twice, or two tables.
    fn twice_in_one(&mut self, name: &str, table: &Table) -> String {
        let (one, two) = (self.assignments(table), self.assignments(table));
        let (first, second) = (self.condition(), self.condition());
        let (table_name, insert) = (ident(name), self.plain_insert(name, table));
        match self.random.random_range(0..4) {
            0 => format!(
                "with a as (update {table_name} set {one} where {first} returning id) update {table_name} set {two} where id not in (select id from a) and {second}"
            ),
            1 => format!(
                "with a as ({insert} returning id), b as (delete from {table_name} where {second} returning id) select (select count(*) from a), (select count(*) from b)"
            ),
            2 => format!("with a as (delete from {table_name} where {first} returning id) {insert}"),
            _ => format!(
                "with a as (update {table_name} set {one} where {first} returning id), b as ({insert} returning id) delete from {table_name} where id not in (select id from a) and {second}"
            ),
        }
    }

    fn copy(&mut self, name: &str, table: &Table) -> Step {
        let columns = self.insert_columns(table);
        let mut names: Vec<String> = columns.iter().map(|c| ident(&c.name)).collect();
        names.insert(0, "id".to_owned());
        let mut lines = Vec::new();
        for _ in 0..self.random.random_range(1..5) {
            self.count += 1;
            let mut values = vec![
                if self.random.random_ratio(1, 8) {
                    self.id()
                } else {
                    200 + self.count
                }
                .to_string(),
            ];
            for column in &columns {
                let value = types::plain_value(&mut self.random, &column.type_name).unwrap_or_default();
                values.push(if self.random.random_ratio(1, 8) && !column.required {
                    "\\N".to_owned()
                } else {
                    value
                        .replace('\\', "\\\\")
                        .replace('\t', "\\t")
                        .replace('\n', "\\n")
                        .replace('\r', "\\r")
                });
            }
            lines.push(values.join("\t"));
        }
        Step::Run {
            session: self.turn,
            way: Way::Copy(lines.join("\n")),
            sql: format!("copy {} ({}) from stdin", ident(name), names.join(", ")).replace('\n', " "),
        }
    }

    /// More rows at once than capture holds in memory, in a transaction; they are gone with the next one.
    fn many(&mut self, tables: &Catalogue) {
        let known: Vec<(&String, &Table)> = tables.iter().filter(|(_, t)| t.column("id").is_some()).collect();
        let Some((name, table)) = known
            .choose(&mut self.random)
            .map(|(n, t)| ((*n).clone(), (*t).clone()))
        else {
            return;
        };
        let required = |c: &&Column| c.required && !c.filled && c.name != "id";
        let columns: Vec<Column> = table.columns.iter().filter(required).cloned().collect();
        let names: String = columns.iter().map(|c| format!(", {}", ident(&c.name))).collect();
        let values: String = columns.iter().map(|c| format!(", {}", self.value(c))).collect();
        let last = 5_000 + self.random.random_range(900..1_500);
        let (table_name, set) = (ident(&name), self.assignments(&table));
        let mut statements = vec![
            "begin".to_owned(),
            format!("insert into {table_name} (id{names}) select i{values} from generate_series(5001, {last}) i"),
        ];
        for _ in 0..self.random.random_range(0..3) {
            statements.push(match self.random.random_range(0..4) {
                0 => format!("update {table_name} set id = id + 2000 where id between 5001 and 6000"),
                1 => format!("delete from {table_name} where id between 5001 and 5004"),
                2 => format!("update {table_name} set {} where id = 5001", self.assignments(&table)),
                _ => format!("update {table_name} set {set} where id > 5000"),
            });
        }
        statements.push(
            if self.random.random_ratio(1, 2) {
                "commit"
            } else {
                "begin"
            }
            .to_owned(),
        );
        statements.push(format!(
            "update {table_name} set {} where id > 5000",
            self.assignments(&table)
        ));
        statements.push(format!("delete from {table_name} where id > 5000"));
        statements.push("commit".to_owned());
        let steps: Vec<Step> = statements.into_iter().map(|sql| self.run(sql)).collect();
        self.queue.extend(steps);
    }

    fn change_of_id(&mut self, name: &str) -> String {
        let (one, two) = (self.id(), self.id());
        let table = ident(name);
        match self.random.random_range(0..4) {
            0 => format!(
                "update {table} set id = case id when {one} then {two} else {one} end where id in ({one}, {two})"
            ),
            1 => format!("update {table} set id = -id where id = {one}"),
            2 => format!("update {table} set id = id + 1000 where id >= {one}"),
            _ => format!("update {table} set id = {two} where id = -{one} or id = {one} + 1000"),
        }
    }

    fn savepoint(&mut self) -> Step {
        let state = &mut self.states[self.turn];
        if !state.is_open {
            return self.run("begin");
        }
        let sql = match (self.random.random_range(0..5), state.savepoints.last().cloned()) {
            (0 | 1, Some(savepoint)) => format!("rollback to savepoint {savepoint}"),
            (2, Some(savepoint)) => {
                state.savepoints.pop();
                format!("release savepoint {savepoint}")
            }
            _ => {
                let savepoint = format!("s{}", state.savepoints.len());
                state.savepoints.push(savepoint.clone());
                format!("savepoint {savepoint}")
            }
        };
        self.run(sql)
    }

    fn cursor(&mut self, name: &str, table: &Table) -> Step {
        let state = &self.states[self.turn];
        if !state.is_open {
            return self.run("begin");
        }
        let Some(of_table) = state.cursor.clone() else {
            self.states[self.turn].cursor = Some(name.to_owned());
            self.queue.push_back(self.run("fetch 2 from c"));
            return self.run(format!(
                "declare c cursor for select id from {} order by id for update",
                ident(name)
            ));
        };
        let sql = match self.random.random_range(0..5) {
            0 => "fetch next from c".to_owned(),
            1 => {
                self.states[self.turn].cursor = None;
                "close c".to_owned()
            }
            2 => format!("delete from {} where current of c", ident(&of_table)),
            _ if of_table == name => format!(
                "update {} set {} where current of c",
                ident(name),
                self.assignments(table)
            ),
            _ => "fetch next from c".to_owned(),
        };
        self.run(sql)
    }

    /// A statement that is prepared once and executed often, also after the table has changed.
    fn prepared(&mut self, name: &str, table: &Table) -> Step {
        let known = self.states[self.turn].prepared.choose(&mut self.random).cloned();
        if let Some((statement, parameters)) = known
            && self.random.random_ratio(3, 4)
        {
            let values: Vec<String> = (0..parameters).map(|_| self.id().to_string()).collect();
            let sql = format!("execute {statement} ({})", values.join(", "));
            // Often enough for a plan to be kept.
            for _ in 0..self.random.random_range(0..7) {
                let again = format!("execute {statement} ({})", values.join(", "));
                self.queue.push_back(self.run(again));
            }
            return self.run(sql);
        }
        self.count += 1;
        let statement = format!("p{}", self.count);
        let sql = match self.random.random_range(0..3) {
            0 => format!(
                "prepare {statement} (integer) as delete from {} where id = $1",
                ident(name)
            ),
            1 => format!(
                "prepare {statement} (integer) as insert into {} (id) values ($1) on conflict do nothing",
                ident(name)
            ),
            _ => format!(
                "prepare {statement} (integer) as update {} set {} where id = $1",
                ident(name),
                self.assignments(table)
            ),
        };
        self.states[self.turn].prepared.push((statement, 1));
        self.run(sql)
    }

    /// Row by row in PL/pgSQL, each in a subtransaction of its own.
    fn block(&mut self, name: &str, table: &Table) -> String {
        let (set, condition) = (self.assignments(table), self.condition());
        let table = ident(name);
        format!(
            "do $do$ declare of_id bigint; begin for of_id in select id from {table} where {condition} order by id loop begin \
             update {table} set {set} where id = of_id; if of_id = 4 then raise exception 'four'; end if; \
             exception when others then null; end; end loop; end $do$"
        )
    }

    /// Changes that come to nothing, in one transaction.
    fn there_and_back(&mut self, name: &str, table: &Table) -> String {
        let Some(column) = self.some_columns(table, 1).first().cloned() else {
            return "select 1".to_owned();
        };
        let (name, column_name, id) = (ident(name), ident(&column.name), self.id());
        let value = self.value(&column);
        format!(
            "do $do$ declare was {name}.{column_name}%type; begin select {column_name} into was from {name} where id = {id}; \
             update {name} set {column_name} = {value} where id = {id}; update {name} set {column_name} = was where id = {id}; end $do$"
        )
    }

    fn link(&mut self) -> String {
        let (table, [one, two]) = self
            .catalog
            .relations
            .choose(&mut self.random)
            .expect("not empty")
            .clone();
        let (table, one, two) = (ident(&table), ident(&one), ident(&two));
        let (left, right, other) = (self.id(), self.id(), self.id());
        match self.random.random_range(0..6) {
            0 | 1 => format!(
                "insert into {table} ({one}, {two}) values ({left}, {right}), ({left}, {other}) on conflict do nothing"
            ),
            2 => format!("insert into {table} ({two}, {one}) values ({left}, {right})"),
            3 => format!("delete from {table} where {one} = {left}"),
            4 => format!("update {table} set {two} = {right} where {one} = {left} and {two} = {other}"),
            _ => format!("delete from {table} where {two} in ({left}, {right})"),
        }
    }
}

/// What all sessions of a database begin with, ours among them.
pub fn random_defaults(random: &mut StdRng, settings: &[String]) -> Vec<Step> {
    let texts = [
        "set datestyle = 'German'",
        "set datestyle = 'SQL, DMY'",
        "set timezone = 'Asia/Kathmandu'",
        "set timezone = 'America/St_Johns'",
        "set search_path = hostile, public",
        "set search_path = public, pg_catalog",
        "set standard_conforming_strings = off",
        "set quote_all_identifiers = on",
        "set default_transaction_isolation = 'serializable'",
        "set default_transaction_isolation = 'repeatable read'",
        "set bytea_output = 'escape'",
        "set intervalstyle = 'iso_8601'",
        "set extra_float_digits = -15",
        "set array_nulls = off",
        "set row_security = off",
        "set jit_above_cost = 0",
        "set transform_null_equals = on",
    ];
    let count = random.random_range(1..5);
    (0..count)
        .map(|_| {
            let set = match settings.choose(random) {
                Some(set) if random.random_ratio(1, 2) => set.as_str(),
                _ => texts.choose(random).expect("not empty"),
            };
            Step::Setup {
                admin: true,
                sql: format!(
                    "do $set$ begin execute format('alter database %I ', current_database()) || $v${set}$v$; end $set$"
                ),
            }
        })
        .collect()
}

/// A setting of the session, or other things that it does to itself.
fn setting(random: &mut StdRng, tables: &Catalogue) -> String {
    let settings = [
        "set datestyle = 'German'",
        "set datestyle = 'SQL, DMY'",
        "set datestyle = 'ISO, MDY'",
        "set timezone = 'Asia/Kathmandu'",
        "set timezone = 'UTC'",
        "set intervalstyle = 'iso_8601'",
        "set extra_float_digits = -15",
        "set extra_float_digits = 3",
        "set bytea_output = 'escape'",
        "set search_path = pg_catalog, public, pg_temp",
        "set search_path = hostile, public",
        "set search_path = public, pg_catalog",
        "set jit = on",
        "set jit_above_cost = 0",
        "set work_mem = '64kB'",
        "set enable_hashjoin = off",
        "set enable_mergejoin = off",
        "set enable_nestloop = off",
        "set enable_seqscan = off",
        "set enable_sort = off",
        "set plan_cache_mode = force_generic_plan",
        "set plan_cache_mode = force_custom_plan",
        "set default_transaction_isolation = 'repeatable read'",
        "set standard_conforming_strings = off",
        "set escape_string_warning = on",
        "set backslash_quote = on",
        "set quote_all_identifiers = on",
        "set row_security = on",
        "set lc_monetary = 'C'",
        "set xmloption = document",
        "set array_nulls = off",
        "set check_function_bodies = off",
        "set transform_null_equals = on",
        "set default_tablespace = ''",
        "set default_table_access_method = 'heap'",
        "set constraint_exclusion = on",
        "set force_parallel_mode = on",
        "set client_min_messages = debug1",
        "set client_min_messages = warning",
        "set xmlbinary = hex",
        "set tcp_keepalives_idle = 10",
        "set mcp.uid = '7'",
        "set mcp.uid = 'x; drop'",
        "set constraints all immediate",
        "set constraints all deferred",
        "set application_name = 'odoo-1'",
        "set plpgsql.extra_errors = 'all'",
        "set plpgsql.extra_warnings = 'all'",
        "set gin_fuzzy_search_limit = 1",
        "set exit_on_error = off",
        "set idle_in_transaction_session_timeout = 0",
        "set synchronous_commit = off",
        "set default_transaction_deferrable = on",
        "set cursor_tuple_fraction = 0.01",
        "set max_stack_depth = '1MB'",
        "set local_preload_libraries = ''",
        "set commit_siblings = 3",
        "set debug_print_parse = off",
        "reset all",
        "discard plans",
        "discard temp",
        "deallocate all",
        "create temporary table outbox_0 (id bigint)",
        "create temporary table new_rows (id integer, n integer)",
        "create temporary table old_rows (like pg_class)",
        "create temporary table pg_class (oid oid)",
        "listen odoo_eventd",
        "set role harness_writer",
        "set role harness_writer",
        "reset role",
    ];
    if random.random_ratio(1, 12)
        && let Some((name, _)) = tables.iter().next()
    {
        return format!("create temporary table {} (id integer)", ident(name));
    }
    (*settings.choose(random).expect("not empty")).to_owned()
}
