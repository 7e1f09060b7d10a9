//! The statements of random sessions, each as Odoo, a module or a person at psql would write it.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};

use super::super::oracle::{Catalogue, Column, Table};
use super::super::script::{Step, Way, ident, literal};
use super::super::types;
use super::Writers;

impl Writers {
    pub(super) fn id(&mut self) -> u32 {
        self.random.random_range(1..9)
    }

    pub(super) fn ids(&mut self) -> String {
        let count = self.random.random_range(1..5);
        let ids: Vec<String> = (0..count).map(|_| self.id().to_string()).collect();
        ids.join(", ")
    }

    pub(super) fn condition(&mut self) -> String {
        match self.random.random_range(0..10) {
            0..5 => format!("id = {}", self.id()),
            5..8 => format!("id in ({})", self.ids()),
            8 => "id > 3".to_owned(),
            _ => "true".to_owned(),
        }
    }

    /// A value for a column; Odoo's stamps are of the transaction.
    pub(super) fn value(&mut self, column: &Column) -> String {
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

    pub(super) fn some_columns(&mut self, table: &Table, most: usize) -> Vec<Column> {
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

    pub(super) fn assignments(&mut self, table: &Table) -> String {
        self.assignments_in(table, "")
    }

    /// `of` stands before the columns that are read, where they would be of two tables.
    pub(super) fn assignments_in(&mut self, table: &Table, of: &str) -> String {
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

    pub(super) fn insert_columns(&mut self, table: &Table) -> Vec<Column> {
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

    pub(super) fn insert(&mut self, name: &str, table: &Table) -> String {
        let sql = self.plain_insert(name, table);
        if self.random.random_ratio(1, 3) {
            sql + " returning id"
        } else {
            sql
        }
    }

    pub(super) fn plain_insert(&mut self, name: &str, table: &Table) -> String {
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

    pub(super) fn update(&mut self, name: &str, table: &Table) -> String {
        let (set, condition) = (self.assignments(table), self.condition());
        let returning = if self.random.random_ratio(1, 6) {
            " returning id"
        } else {
            ""
        };
        format!("update {} set {set} where {condition}{returning}", ident(name))
    }

    /// As Odoo writes many records with values of their own.
    pub(super) fn bulk_update(&mut self, name: &str, table: &Table) -> String {
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

    pub(super) fn delete(&mut self, name: &str) -> String {
        let condition = self.condition();
        let returning = if self.random.random_ratio(1, 4) {
            " returning id"
        } else {
            ""
        };
        format!("delete from {} where {condition}{returning}", ident(name))
    }

    pub(super) fn upsert(&mut self, name: &str, table: &Table) -> String {
        let insert = self.plain_insert(name, table);
        if self.random.random_ratio(1, 3) {
            return insert + " on conflict do nothing";
        }
        let set = self.assignments_in(table, &format!("{}.", ident(name)));
        format!("{insert} on conflict (id) do update set {set}")
    }

    pub(super) fn merge(&mut self, name: &str, table: &Table) -> String {
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
    pub(super) fn twice_in_one(&mut self, name: &str, table: &Table) -> String {
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

    pub(super) fn copy(&mut self, name: &str, table: &Table) -> Step {
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
    pub(super) fn many(&mut self, tables: &Catalogue) {
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

    pub(super) fn change_of_id(&mut self, name: &str) -> String {
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

    pub(super) fn savepoint(&mut self) -> Step {
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

    pub(super) fn cursor(&mut self, name: &str, table: &Table) -> Step {
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
    pub(super) fn prepared(&mut self, name: &str, table: &Table) -> Step {
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
    pub(super) fn block(&mut self, name: &str, table: &Table) -> String {
        let (set, condition) = (self.assignments(table), self.condition());
        let table = ident(name);
        format!(
            "do $do$ declare of_id bigint; begin for of_id in select id from {table} where {condition} order by id loop begin \
             update {table} set {set} where id = of_id; if of_id = 4 then raise exception 'four'; end if; \
             exception when others then null; end; end loop; end $do$"
        )
    }

    /// Changes that come to nothing, in one transaction.
    pub(super) fn there_and_back(&mut self, name: &str, table: &Table) -> String {
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

    pub(super) fn link(&mut self) -> String {
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
