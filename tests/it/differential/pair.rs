//! Two databases side by side on one server, sessions in both, and what a statement came to in each.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage, Statement};

use super::script::Way;
use crate::support::Database;

/// PL/pgSQL is loaded, as every session of Odoo's has it sooner or later: it looks at settings when it is.
const SESSION: &str = "do $$ begin end $$";

/// A statement that never ends is one of PostgreSQL's own (MERGE of a row that a trigger has changed, in 15).
const STATEMENT_WAIT: Duration = Duration::from_secs(20);

/// What is longer is compared by its digest.
const LONG: usize = 300;

/// What a statement came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Its rows, sorted: nobody asked for an order.
    pub rows: Vec<String>,
    /// The row counts of its command tags.
    pub counts: Vec<u64>,
    /// SQLSTATE, message, detail, hint and the names in it.
    pub error: Option<String>,
    /// Notices and warnings.
    pub notices: Vec<String>,
    /// The session is gone, and another in its place: the client's library cannot go on behind a COPY that was refused.
    pub is_lost: bool,
}

impl Outcome {
    /// Whether both came to the same. Of several rows that all violate a constraint the error names the one that the statement met first, and
    /// they lie in a table as its pages were cleaned up, which is anybody's chance.
    pub fn is_like(&self, other: &Self) -> bool {
        let without_row = |outcome: &Self| Self {
            error: outcome.error.as_deref().map(without_row),
            ..outcome.clone()
        };
        self == other || without_row(self) == without_row(other)
    }
}

/// The error of a violated constraint without the row that its detail names.
fn without_row(error: &str) -> String {
    let parts: Vec<&str> = error.split(" | ").collect();
    let of_constraint = |part: &&&str| part.starts_with("Key (") || part.starts_with("Failing row contains (");
    match parts.get(1).filter(of_constraint) {
        Some(detail) if error.starts_with("23") => {
            let columns = detail.split(['=', '\n']).next().unwrap_or_default();
            let columns = if columns.starts_with("Key (") { columns } else { "" };
            [&[parts[0], columns], &parts[2..]].concat().join(" | ")
        }
        _ => error.to_owned(),
    }
}

/// One of the two.
pub struct Side {
    /// The database; it goes with this value.
    pub database: Database,
    sessions: BTreeMap<usize, Session>,
    /// Nobody waits for another's lock for longer: scripts run a statement at a time, so such a wait would never end.
    lock_wait: Duration,
}

struct Session {
    client: Client,
    notices: Arc<Mutex<Vec<String>>>,
    statements: HashMap<String, Statement>,
    is_lost: bool,
}

impl Side {
    /// Nobody is connected yet.
    pub fn new(database: Database, lock_wait: Duration) -> Self {
        Self {
            lock_wait,
            database,
            sessions: BTreeMap::new(),
        }
    }

    /// A session's client; made when it is first asked for.
    pub async fn client(&mut self, session: usize) -> &Client {
        &self.session(session).await.client
    }

    async fn session(&mut self, number: usize) -> &mut Session {
        if !self.sessions.contains_key(&number) {
            let session = Session::open(&self.database, self.lock_wait).await;
            self.sessions.insert(number, session);
        }
        self.sessions.get_mut(&number).expect("it was just made")
    }

    /// Runs a statement in a session.
    pub async fn run(&mut self, number: usize, way: &Way, sql: &str) -> (Outcome, Duration) {
        let session = self.session(number).await;
        let started = Instant::now();
        let cancel = session.client.cancel_token();
        let done = {
            let mut running = std::pin::pin!(session.run(way, sql));
            match tokio::time::timeout(STATEMENT_WAIT * 2, &mut running).await {
                Ok(done) => done,
                // A commit is not watched by statement_timeout.
                Err(_) => {
                    let _ = cancel.cancel_query(NoTls).await;
                    running.await
                }
            }
        };
        let took = started.elapsed();
        let mut outcome = done.unwrap_or_else(|error| Outcome {
            error: Some(describe(&error)),
            ..Outcome::default()
        });
        outcome.is_lost = session.is_lost;
        outcome.rows.sort();
        outcome.notices = std::mem::take(&mut *session.notices.lock().unwrap());
        if outcome.is_lost {
            self.sessions.remove(&number);
        }
        (outcome, took)
    }
}

impl Session {
    async fn open(database: &Database, lock_wait: Duration) -> Self {
        // Among what RESET ALL goes back to.
        let mut config: tokio_postgres::Config = database.url().parse().unwrap();
        config.options(format!(
            "-c lock_timeout={} -c statement_timeout={}",
            lock_wait.as_millis(),
            STATEMENT_WAIT.as_millis()
        ));
        let (client, mut connection) = config.connect(NoTls).await.unwrap();
        let notices = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&notices);
        tokio::spawn(async move {
            let mut messages = futures_util::stream::poll_fn(move |cx| connection.poll_message(cx));
            while let Some(Ok(message)) = messages.next().await {
                // At the levels of debugging PostgreSQL tells of its caches, its compiler and its event triggers, which are those of one
                // session and one moment.
                if let AsyncMessage::Notice(notice) = message
                    && notice.parsed_severity() != Some(Severity::Debug)
                {
                    let said = format!("{} {}", notice.code().code(), notice.message());
                    heard.lock().unwrap().push(without_chance(&said));
                }
            }
        });
        client.batch_execute(SESSION).await.unwrap();
        Self {
            client,
            notices,
            statements: HashMap::new(),
            is_lost: false,
        }
    }

    async fn run(&mut self, way: &Way, sql: &str) -> Result<Outcome, tokio_postgres::Error> {
        match way {
            Way::Simple => self.simple(sql).await,
            Way::Prepared => self.prepared(sql).await,
            Way::Copy(data) => self.copy(sql, data).await,
        }
    }

    async fn simple(&self, sql: &str) -> Result<Outcome, tokio_postgres::Error> {
        let mut outcome = Outcome::default();
        for message in self.client.simple_query(sql).await? {
            match message {
                SimpleQueryMessage::Row(row) => {
                    let cells = (0..row.len()).map(|index| {
                        let value = row.get(index).map_or_else(|| "null".to_owned(), shortened);
                        format!("{}={value}", row.columns()[index].name())
                    });
                    outcome.rows.push(cells.collect::<Vec<_>>().join(" "));
                }
                SimpleQueryMessage::CommandComplete(count) => outcome.counts.push(count),
                _ => {}
            }
        }
        Ok(outcome)
    }

    async fn prepared(&mut self, sql: &str) -> Result<Outcome, tokio_postgres::Error> {
        if !self.statements.contains_key(sql) {
            let statement = self.client.prepare(sql).await?;
            self.statements.insert(sql.to_owned(), statement);
        }
        let count = self.client.execute(&self.statements[sql], &[]).await?;
        Ok(Outcome {
            counts: vec![count],
            ..Outcome::default()
        })
    }

    async fn copy(&mut self, sql: &str, data: &str) -> Result<Outcome, tokio_postgres::Error> {
        let begun = self.client.copy_in(sql).await;
        self.is_lost = begun.is_err();
        let mut sink = Box::pin(begun?);
        sink.send(bytes::Bytes::from(format!("{data}\n"))).await?;
        let count = sink.as_mut().finish().await?;
        Ok(Outcome {
            counts: vec![count],
            ..Outcome::default()
        })
    }
}

/// A short text as it is, a long one by its beginning and digest.
pub fn shortened(text: &str) -> String {
    if text.len() <= LONG {
        return text.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let beginning: String = text.chars().take(20).collect();
    format!("{beginning}..{} bytes, {:x}", text.len(), hasher.finish())
}

/// The context is left out: it may name us. Nothing else may.
pub fn describe(error: &tokio_postgres::Error) -> String {
    let Some(db) = error.as_db_error() else {
        return format!("{error:?}");
    };
    let mut said = format!(" {}", db.message());
    // The reason of a serialization failure has the numbers of transactions in it.
    let detail = db
        .detail()
        .filter(|_| *db.code() != SqlState::T_R_SERIALIZATION_FAILURE);
    for more in [detail, db.hint(), db.table(), db.column(), db.constraint()]
        .into_iter()
        .flatten()
    {
        said.push_str(" | ");
        said.push_str(more);
    }
    format!("{}{}", db.code().code(), without_chance(&said))
}

/// Times of the day, object ids and numbers of temporary schemas differ between any two databases.
fn without_chance(said: &str) -> String {
    let mut result = String::with_capacity(said.len());
    let mut digits = String::new();
    let mut after_colon = false;
    for character in said.chars().chain(['\0']) {
        if character.is_ascii_digit() {
            digits.push(character);
            continue;
        }
        if !digits.is_empty() {
            let is_chance = digits.len() == 5
                || after_colon
                || character == ':'
                || result.ends_with("pg_temp_")
                || result.ends_with("pg_toast_");
            result.push_str(if is_chance { "#" } else { &digits });
            // Behind the colons of a time come its seconds and their fraction.
            after_colon = (character == ':' || character == '.') && is_chance;
            digits.clear();
        } else {
            after_colon = false;
        }
        if character != '\0' {
            result.push(character);
        }
    }
    result
}

#[test]
fn errors_that_name_another_row_are_alike_and_no_others() {
    let failed = |error: &str| Outcome {
        error: Some(error.to_owned()),
        ..Outcome::default()
    };
    let error =
        "23505 duplicate key value violates unique constraint \"x_pkey\" | Key (id)=(6) already exists. | x | x_pkey";
    assert!(failed(error).is_like(&failed(&error.replace("(6)", "(5)"))));
    for other in [
        error.replace("(id)", "(no)"),
        error.replace("x_pkey", "y_pkey"),
        error.replace("23505", "22000"),
    ] {
        assert!(!failed(error).is_like(&failed(&other)), "{other}");
    }
    let elsewhere = "22000 no | Key (id)=(6)";
    assert!(!failed(elsewhere).is_like(&failed(&elsewhere.replace('6', "5"))));
}
