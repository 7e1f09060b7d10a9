//! Random sessions: who writes what next. The writer knows the tables as its session sees them, and whether its last statement failed.

mod settings;
mod statements;

use std::collections::VecDeque;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::catalog::Catalog;
use super::ddl;
use super::oracle::{Catalogue, Table};
use super::pair::Outcome;
use super::runner::Mode;
use super::script::{Step, Way, ident};
use super::subscriptions;
pub use settings::random_defaults;
use settings::setting;

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
}
