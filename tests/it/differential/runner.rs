//! Runs a script's steps in both databases, a step at a time, and compares what comes of each.

mod sides;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use odoo_eventd::pg::schema::{self, Roles};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::catalog::DECLARE;
use super::compare::{Transaction, Unsure};
use super::direct::Direct;
use super::oracle::{Catalogue, Contents, Reader, catalogue};
use super::pair::{Outcome, Side, describe};
use super::script::{Control, Step, Way, control_of, may_be_ddl};
use super::through_service::ThroughService;
use crate::support::Server;

/// A statement was slow with us when it took longer than this and so many times as long as without us. The first of a session, and the
/// first after a change of the capture, make the plans for the next ones.
const SLOW: Duration = Duration::from_millis(800);
const SLOW_TIMES: u32 = 20;

/// How often a statement is repeated that is measured. Its median may be longer by this, or so many times as long, with us: of a table of a
/// hundred columns that all are watched a statement takes some milliseconds more of a core, and a trigger of somebody's makes thirty
/// statements of one.
const REPEATS: usize = 9;
const LONGER: Duration = Duration::from_millis(400);
const LONGER_TIMES: u32 = 12;

/// Nothing is learned of what lasts so long without us too.
const LASTING: Duration = Duration::from_millis(1_500);

/// Somebody who may write to Odoo's tables and owns none of them. Roles are the server's: another round may make it too.
const WRITER: &str = "
    do $$ begin
      create role harness_writer;
      grant harness_writer to odoo;
    exception when others then null; end $$";

/// Something that is not in both databases alike, or an event that is not true.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Which promise is broken.
    pub kind: &'static str,
    /// How.
    pub text: String,
}

impl Difference {
    /// One of these.
    pub fn new(kind: &'static str, text: impl Into<String>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }

    /// What it has in common with others of its sort: without names and numbers, and without the statement.
    pub fn sort(&self) -> String {
        let told = self.text.split("; without us").next().unwrap_or_default();
        let told = told.split(['\n', '{']).next().unwrap_or_default();
        let (state, told) = told.split_once(' ').unwrap_or(("", told));
        let mut sort = format!("{}: {state} ", self.kind);
        let mut quoted = false;
        for character in told.chars().take(1_000) {
            if character == '"' {
                quoted = !quoted;
            } else if !quoted && !character.is_ascii_digit() {
                sort.push(character);
            }
        }
        sort.chars().take(160).collect()
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.text)
    }
}

/// How events are had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From the outbox, with the library's own parts, after each transaction.
    Direct,
    /// From the service, with a receiver.
    Service,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Statements of writers.
    pub statements: u64,
    /// Those that failed, in both databases alike.
    pub errors: u64,
    /// Transactions that changed something.
    pub transactions: u64,
    /// Changes that were told.
    pub events: u64,
    /// How long the statements took without us.
    pub bare: Duration,
    /// How long with us.
    pub eventd: Duration,
}

impl Counts {
    /// Both together.
    pub fn add(&mut self, more: &Self) {
        self.statements += more.statements;
        self.errors += more.errors;
        self.transactions += more.transactions;
        self.events += more.events;
        self.bare += more.bare;
        self.eventd += more.eventd;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            statements,
            errors,
            transactions,
            events,
            bare,
            eventd,
        } = self;
        let times = eventd.as_secs_f64() / bare.as_secs_f64().max(0.001);
        write!(
            f,
            "{statements} statements ({errors} failed alike), which took {times:.2} times as long with us, {transactions} transactions, \
             {events} events"
        )
    }
}

enum Events {
    Direct(Box<Direct>),
    Service(Box<ThroughService>),
}

/// A transaction that is open in a session.
#[derive(Default)]
struct Open {
    unsure: BTreeMap<String, Unsure>,
    truncated: bool,
    has_ddl: bool,
    /// It wrote what declares the fields.
    has_metadata: bool,
    /// The look that was the last when it began.
    since: usize,
}

/// Statements that took long with us, and how long in either.
#[derive(Clone, Copy, Debug)]
pub struct Slow {
    /// Which step it was.
    pub step: usize,
    /// Without us.
    pub bare: Duration,
    /// With us.
    pub eventd: Duration,
}

/// See the module documentation.
pub struct Runner {
    bare: Side,
    eventd: Side,
    /// Superusers, one in each.
    admins: [Client; 2],
    /// Owners, one in each.
    owners: [Client; 2],
    but: BTreeSet<String>,
    reader: Reader,
    events: Option<Events>,
    mode: Mode,
    /// As committed.
    catalogue: Catalogue,
    /// As the service saw it last.
    synced: Catalogue,
    /// The fields that were declared then, by table and name.
    declared: BTreeSet<(String, String)>,
    contents: Contents,
    unsure: BTreeMap<String, Unsure>,
    open: BTreeMap<usize, Open>,
    steps: usize,
    /// A statement went on until the stack was full or its time was over: how far it came is chance, and sequences do not go back.
    was_cut_short: bool,
    /// What was done so far.
    pub counts: Counts,
    /// Statements that were slow with us only.
    pub slow: Vec<Slow>,
}

impl Runner {
    /// Two fresh databases, one of them with us.
    pub async fn new(server: &Arc<Server>, mode: Mode) -> Self {
        let (bare, eventd) = (server.fixture().await, server.fixture().await);
        let admins = [bare.admin_client().await, eventd.admin_client().await];
        admins[0].batch_execute(WRITER).await.unwrap();
        let owners = [bare.client().await, eventd.client().await];
        for owner in &owners {
            owner.batch_execute(DECLARE).await.unwrap();
        }
        let fixture = catalogue(&owners[0], &BTreeSet::new()).await.unwrap();
        let mut installer = eventd.client().await;
        let roles = Roles {
            listener: "odoo_eventd_listener".to_owned(),
            installer: "odoo_eventd_installer".to_owned(),
        };
        schema::install(&mut installer, &roles)
            .await
            .unwrap_or_else(|error| panic!("{}", error.chain()));
        // A writer may have to wait while the service makes triggers, not longer than its own lock_timeout.
        let lock_wait = match mode {
            Mode::Direct => Duration::from_millis(150),
            Mode::Service => Duration::from_secs(1),
        };
        let reader = Reader::new(bare.admin_client().await).await;
        Self {
            bare: Side::new(bare, lock_wait),
            eventd: Side::new(eventd, lock_wait),
            admins,
            owners,
            but: fixture.into_keys().collect(),
            reader,
            events: None,
            mode,
            catalogue: Catalogue::new(),
            synced: Catalogue::new(),
            declared: BTreeSet::new(),
            contents: Contents::new(),
            unsure: BTreeMap::new(),
            open: BTreeMap::new(),
            steps: 0,
            was_cut_short: false,
            counts: Counts::default(),
            slow: Vec::new(),
        }
    }

    /// Runs a step; tells what came of it in the database without us.
    pub async fn step(&mut self, step: &Step) -> Result<Outcome, Difference> {
        self.steps += 1;
        match step {
            Step::Setup { admin, sql } => {
                let clients = if *admin { &self.admins } else { &self.owners };
                let done = tokio::join!(clients[0].batch_execute(sql), clients[1].batch_execute(sql));
                // What setting up refuses is refused to both; a script that is made smaller may lack what it needs.
                let outcome = Outcome {
                    error: done.0.err().map(|error| describe(&error)),
                    ..Outcome::default()
                };
                Ok(outcome)
            }
            Step::Subscribe { sql, .. } => {
                let done = self.owners[1].batch_execute(sql).await;
                Ok(Outcome {
                    error: done.err().map(|error| describe(&error)),
                    ..Outcome::default()
                })
            }
            Step::Sync => {
                self.sync().await?;
                Ok(Outcome::default())
            }
            Step::Look => {
                self.look_meanwhile().await?;
                Ok(Outcome::default())
            }
            Step::Rotate => {
                if let Some(Events::Direct(direct)) = &self.events {
                    direct.rotate().await?;
                }
                Ok(Outcome::default())
            }
            Step::Measure(sql) => {
                let medians = self.measure(sql).await?;
                // Shown by whoever replays the script.
                Ok(Outcome {
                    notices: medians
                        .into_iter()
                        .map(|[bare, eventd]| format!("{bare:.1?} and with us {eventd:.1?}"))
                        .collect(),
                    ..Outcome::default()
                })
            }
            Step::Run { session, way, sql } => self.run(*session, way, sql).await,
        }
    }

    /// The medians without and with us; none of a statement that fails. Nobody sees it: each repetition is undone.
    async fn measure(&mut self, sql: &str) -> Result<Option<[Duration; 2]>, Difference> {
        self.end_transactions().await?;
        let mut medians = Vec::new();
        // Once more than counted: the first one plans.
        let mut took = [Vec::new(), Vec::new()];
        for _ in 0..=REPEATS {
            let mut outcomes = Vec::new();
            for (side, took) in [&mut self.bare, &mut self.eventd].into_iter().zip(&mut took) {
                side.run(0, &Way::Simple, "begin").await;
                let (outcome, duration) = side.run(0, &Way::Simple, sql).await;
                side.run(0, &Way::Simple, "rollback").await;
                outcomes.push(outcome);
                took.push(duration);
            }
            // One that others' triggers make last for seconds in either may reach the end of its time in one of them.
            let is_cut_short = outcomes.iter().any(is_cut_short);
            self.was_cut_short |= is_cut_short;
            if is_cut_short && took.iter().all(|took| took.last() > Some(&LASTING)) {
                return Ok(None);
            }
            if !outcomes[0].is_like(&outcomes[1]) {
                return Err(compare_outcomes(sql, &outcomes[0], &outcomes[1]));
            }
            if outcomes[0].error.is_some() {
                return Ok(None);
            }
        }
        for took in &mut took {
            took.remove(0);
            took.sort();
            medians.push(took[REPEATS / 2]);
        }
        let [bare, eventd] = medians[..] else { return Ok(None) };
        if eventd > bare + LONGER && eventd > bare * LONGER_TIMES {
            let text = format!("{bare:?} and with us {eventd:?}, the medians of {REPEATS}, of {sql}");
            return Err(Difference::new("time", text));
        }
        Ok(Some([bare, eventd]))
    }

    /// Whoever goes on would hold locks.
    pub async fn end_transactions(&mut self) -> Result<(), Difference> {
        let open: Vec<usize> = self.open.keys().copied().collect();
        for session in open {
            self.run(session, &Way::Simple, "rollback").await?;
        }
        Ok(())
    }

    /// How events are had.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The tables as a session sees them.
    pub async fn catalogue_of(&mut self, session: usize) -> Option<Catalogue> {
        // In both: it may be what the transaction's snapshot is taken for.
        let _ = catalogue(self.eventd.client(session).await, &self.but).await;
        let client = self.bare.client(session).await;
        catalogue(client, &self.but).await.ok()
    }

    /// The tables as they are committed.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// The last comparison.
    pub async fn finish(&mut self) -> Result<(), Difference> {
        self.end_transactions().await?;
        self.compare_tables().await?;
        if let Some(Events::Service(service)) = &mut self.events {
            self.counts.events += service.finish().await?;
        }
        self.compare_without_either().await
    }

    async fn sync(&mut self) -> Result<(), Difference> {
        self.end_transactions().await?;
        let now = catalogue(self.reader.client(), &self.but).await;
        self.catalogue = now.map_err(|error| harness("read the catalogue", &error))?;
        self.contents = self.read().await?;
        match &mut self.events {
            None => {
                let database = &self.eventd.database;
                let begun = match self.mode {
                    Mode::Direct => Events::Direct(Box::new(Direct::begin(database).await?)),
                    Mode::Service => Events::Service(Box::new(ThroughService::begin(database).await?)),
                };
                self.events = Some(begun);
            }
            Some(Events::Direct(direct)) => direct.look(false).await?,
            Some(Events::Service(service)) => service.look().await?,
        }
        self.synced = self.catalogue.clone();
        self.declared = self.read_declared().await?;
        self.unsure.clear();
        self.compare_tables().await
    }

    /// Transactions that are open go on: what DDL had made unsure before stays so for them.
    async fn look_meanwhile(&mut self) -> Result<(), Difference> {
        let Some(Events::Direct(direct)) = &mut self.events else {
            return Ok(());
        };
        if self.open.values().any(|open| open.has_ddl) {
            return Ok(());
        }
        direct.look(true).await?;
        for open in self.open.values_mut() {
            for (table, more) in &self.unsure {
                open.unsure.entry(table.clone()).or_default().add(more);
            }
        }
        self.unsure.clear();
        self.synced = self.catalogue.clone();
        Ok(())
    }

    /// How often was looked.
    fn looks(&self) -> usize {
        match &self.events {
            Some(Events::Direct(direct)) => direct.looks(),
            _ => 0,
        }
    }

    async fn run(&mut self, session: usize, way: &Way, sql: &str) -> Result<Outcome, Difference> {
        let control = control_of(sql);
        let is_open = self.open.contains_key(&session);
        if control == Control::Commit && is_open {
            // When it began, asked while it can still be: in an aborted one it no longer can.
            if let Some(Events::Service(service)) = &mut self.events {
                service.note_begin(self.eventd.client(session).await, session).await;
                let _ = self.bare.client(session).await.simple_query("select now()").await;
            }
        }
        if let Some(Events::Service(service)) = &mut self.events
            && !is_open
        {
            service.note_before().await;
        }
        let ((bare, bare_took), (eventd, eventd_took)) =
            tokio::join!(self.bare.run(session, way, sql), self.eventd.run(session, way, sql));
        self.counts.statements += 1;
        self.counts.errors += u64::from(bare.error.is_some());
        self.counts.bare += bare_took;
        self.counts.eventd += eventd_took;
        if !bare.is_like(&eventd) {
            return Err(compare_outcomes(sql, &bare, &eventd));
        }
        self.was_cut_short |= is_cut_short(&bare);
        if eventd_took > SLOW && eventd_took > bare_took * SLOW_TIMES {
            self.slow.push(Slow {
                step: self.steps,
                bare: bare_took,
                eventd: eventd_took,
            });
        }
        if control == Control::Begin && bare.error.is_none() {
            let since = self.looks();
            self.open.entry(session).or_insert_with(|| Open {
                since,
                ..Open::default()
            });
        }
        let lower = sql.trim_start().to_ascii_lowercase();
        let since = self.looks();
        let mut of_this = self.open.remove(&session).unwrap_or(Open {
            since,
            ..Open::default()
        });
        of_this.truncated |= lower.starts_with("truncate");
        of_this.has_metadata |= lower.contains("ir_model_fields");
        if control == Control::Other && may_be_ddl(sql) {
            of_this.has_ddl = true;
            if let Some(seen) = self.catalogue_of(session).await {
                note_unsure(&self.synced, &seen, &mut of_this.unsure);
            }
        }
        let still_open = match control {
            _ if bare.is_lost => false,
            Control::Begin => true,
            Control::Other => is_open,
            Control::Commit | Control::Rollback => false,
        };
        if still_open {
            self.open.insert(session, of_this);
            return Ok(bare);
        }
        let changes_nothing = control == Control::Rollback
            || ["set ", "reset", "show", "prepare", "deallocate", "discard"]
                .iter()
                .any(|word| lower.starts_with(word));
        if !changes_nothing && self.events.is_some() {
            let is_one_statement = !is_open && !lower.contains(';');
            self.committed(session, of_this, is_one_statement).await?;
        }
        Ok(bare)
    }

    /// A transaction has ended, and may have been committed.
    async fn committed(&mut self, session: usize, of_this: Open, is_one_statement: bool) -> Result<(), Difference> {
        if of_this.has_ddl {
            let now = catalogue(self.reader.client(), &self.but).await;
            self.catalogue = now.map_err(|error| harness("read the catalogue", &error))?;
            note_unsure(&self.synced, &self.catalogue, &mut self.unsure);
        }
        let after = self.read().await?;
        let mut unsure = self.unsure.clone();
        for (table, more) in &of_this.unsure {
            unsure.entry(table.clone()).or_default().add(more);
        }
        // The service looks by itself, sooner or later: then whoever watches a field that is declared no more is not served. Its column may
        // still be there: dropping it is another statement, which can be refused.
        let has_metadata = of_this.has_metadata && self.mode == Mode::Service;
        if has_metadata {
            let now = self.read_declared().await?;
            for (table, field) in self.declared.difference(&now) {
                unsure.entry(table.clone()).or_default().columns.insert(field.clone());
            }
        }
        let before = std::mem::replace(&mut self.contents, after);
        self.counts.transactions += u64::from(before != self.contents);
        let transaction = Transaction {
            before: &before,
            after: &self.contents,
            unsure: &unsure,
            truncated: of_this.truncated,
            is_one_statement,
            since: of_this.since,
        };
        match &mut self.events {
            Some(Events::Direct(direct)) => self.counts.events += direct.committed(&transaction).await?,
            Some(Events::Service(service)) => service.committed(&transaction, session).await?,
            None => {}
        }
        // What DDL has made of a table stays until the next look, also what it undid at once.
        if of_this.has_ddl || has_metadata {
            self.unsure = unsure;
        }
        Ok(())
    }

    async fn read_declared(&self) -> Result<BTreeSet<(String, String)>, Difference> {
        let sql = "select replace(f.model, '.', '_'), f.name::text from public.ir_model_fields f";
        let rows = self.reader.client().query(sql, &[]).await;
        let rows = rows.map_err(|error| harness("read the fields", &error))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    async fn read(&mut self) -> Result<Contents, Difference> {
        let mut read = self.reader.contents(&self.catalogue).await;
        // Somebody has a table for himself. What he did is undone: it can be compared with nothing.
        if matches!(&read, Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE)) {
            Box::pin(self.end_transactions()).await?;
            read = self.reader.contents(&self.catalogue).await;
        }
        read.map_err(|error| harness("read the tables", &error))
    }
}

/// A fault of this harness, or of a script that was made too small; never the product's.
pub fn harness(tried: &str, error: &tokio_postgres::Error) -> Difference {
    Difference::new("harness", format!("cannot {tried}: {error:?}"))
}

/// Values of today are of now(), which differs between any two transactions; as texts they are written as their session writes dates,
/// and a column that became translatable has them inside its jsonb.
pub fn is_of_today(text: &str) -> bool {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    ["%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y"]
        .iter()
        .any(|style| text.contains(&now.strftime(style).to_string()))
}

/// Whether the stack or the time of a statement was at its end.
fn is_cut_short(outcome: &Outcome) -> bool {
    let states = [SqlState::STATEMENT_TOO_COMPLEX, SqlState::QUERY_CANCELED];
    let error = outcome.error.as_deref().unwrap_or_default();
    states.iter().any(|state| error.starts_with(state.code()))
}

fn note_unsure(synced: &Catalogue, seen: &Catalogue, unsure: &mut BTreeMap<String, Unsure>) {
    for (name, was) in synced {
        let mut of_table = Unsure::default();
        match seen.get(name) {
            Some(is) if is.oid == was.oid => {
                for column in &was.columns {
                    let now = is.column(&column.name);
                    if now.is_none_or(|now| (now.number, &now.type_name) != (column.number, &column.type_name)) {
                        of_table.columns.insert(column.name.clone());
                    }
                }
                of_table.all = of_table.columns.contains("id");
                of_table.added = is.columns.len() > was.columns.len()
                    || is.columns.iter().any(|column| was.column(&column.name).is_none());
            }
            _ => of_table.all = true,
        }
        if of_table.all || of_table.added || !of_table.columns.is_empty() {
            unsure.entry(name.clone()).or_default().add(&of_table);
        }
    }
}

fn compare_outcomes(sql: &str, bare: &Outcome, eventd: &Outcome) -> Difference {
    let sql: String = sql.chars().take(600).collect();
    if bare.error == eventd.error {
        return if bare.notices == eventd.notices {
            Difference::new("result", format!("of {sql}\n  is {bare:?}\n  and with us {eventd:?}"))
        } else {
            let (without, with) = (&bare.notices, &eventd.notices);
            Difference::new("notices", format!("{without:?} and with us {with:?} of {sql}"))
        };
    }
    let said = |outcome: &Outcome| outcome.error.clone().unwrap_or_else(|| "no error".to_owned());
    let text = format!("{}; without us {}; of {sql}", said(eventd), said(bare));
    Difference::new("statement", text)
}
