//! A round as text: what is done to both databases, in order. Whatever is generated is written down like this, so that a failing round
//! can be replayed, made smaller, printed and kept.
//!
//! Steps are parted by lines that begin with `-- @`; what stands before the first of them is for people.
//!
//! | marker | what follows |
//! | --- | --- |
//! | `-- @owner`, `-- @admin` | SQL that makes the catalogue, run by Odoo's role or by a superuser, in both databases |
//! | `-- @subscribe` | an INSERT into `mcp_event_subscription`; `-- @subscribe refused` where it must be found invalid |
//! | `-- @sync` | the subscriptions and the catalogue are looked at, as the service does within seconds |
//! | `-- @look` | the same while transactions are open |
//! | `-- @rotate` | the outbox goes on in its next table, as when it has grown |
//! | `-- @measure` | a statement that is repeated in either, undone, and must not take many times as long with us |
//! | `-- @1` | a statement of the writer's session 1; `-- @1 prepared` by the extended protocol, its plan kept; `-- @1 copy` with its data |

use std::fmt;

/// One step of a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Makes a part of the catalogue.
    Setup {
        /// By a superuser, not by Odoo's role.
        admin: bool,
        /// What is run.
        sql: String,
    },
    /// Subscribes.
    Subscribe {
        /// The INSERT.
        sql: String,
        /// It must be refused.
        refused: bool,
    },
    /// The service's look.
    Sync,
    /// The same while transactions are open.
    Look,
    /// The outbox goes on in its next table.
    Rotate,
    /// Repeated and undone: how long does it take?
    Measure(String),
    /// A writer's statement.
    Run {
        /// Whose.
        session: usize,
        /// How it is sent.
        way: Way,
        /// The statement.
        sql: String,
    },
}

/// How a statement is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// As text.
    Simple,
    /// Prepared once in its session and executed.
    Prepared,
    /// COPY FROM STDIN with these lines.
    Copy(String),
}

/// The steps of a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script(pub Vec<Step>);

impl Script {
    /// Reads what [`Script`]'s `Display` wrote.
    ///
    /// # Panics
    /// When a marker is unknown.
    pub fn parse(text: &str) -> Self {
        let mut steps = Vec::new();
        let mut marker: Option<&str> = None;
        let mut body = String::new();
        for line in text.lines().chain(["-- @end"]) {
            let Some(next) = line.strip_prefix("-- @") else {
                body.push_str(line);
                body.push('\n');
                continue;
            };
            if let Some(marker) = marker {
                steps.push(step_of(marker, body.trim_end_matches('\n')));
            }
            marker = Some(next);
            body.clear();
        }
        Self(steps)
    }
}

fn step_of(marker: &str, body: &str) -> Step {
    let sql = body.to_owned();
    match marker {
        "owner" => Step::Setup { admin: false, sql },
        "admin" => Step::Setup { admin: true, sql },
        "subscribe" => Step::Subscribe { sql, refused: false },
        "subscribe refused" => Step::Subscribe { sql, refused: true },
        "sync" => Step::Sync,
        "look" => Step::Look,
        "rotate" => Step::Rotate,
        "measure" => Step::Measure(sql),
        of_session => {
            let (session, way) = of_session.split_once(' ').unwrap_or((of_session, ""));
            let session = session
                .parse()
                .unwrap_or_else(|_| panic!("unknown marker: {of_session}"));
            let (sql, way) = match way {
                "" => (sql, Way::Simple),
                "prepared" => (sql, Way::Prepared),
                "copy" => {
                    let (statement, data) = body.split_once('\n').unwrap_or((body, ""));
                    (statement.to_owned(), Way::Copy(data.to_owned()))
                }
                _ => panic!("unknown marker: {of_session}"),
            };
            Step::Run { session, way, sql }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setup { admin: false, sql } => writeln!(f, "-- @owner\n{sql}"),
            Self::Setup { admin: true, sql } => writeln!(f, "-- @admin\n{sql}"),
            Self::Subscribe { sql, refused: false } => writeln!(f, "-- @subscribe\n{sql}"),
            Self::Subscribe { sql, refused: true } => writeln!(f, "-- @subscribe refused\n{sql}"),
            Self::Sync => writeln!(f, "-- @sync"),
            Self::Look => writeln!(f, "-- @look"),
            Self::Rotate => writeln!(f, "-- @rotate"),
            Self::Measure(sql) => writeln!(f, "-- @measure\n{sql}"),
            Self::Run { session, way, sql } => match way {
                Way::Simple => writeln!(f, "-- @{session}\n{sql}"),
                Way::Prepared => writeln!(f, "-- @{session} prepared\n{sql}"),
                Way::Copy(data) => writeln!(f, "-- @{session} copy\n{sql}\n{data}"),
            },
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| step.fmt(f))
    }
}

/// What a statement means for the transaction it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// It begins one.
    Begin,
    /// It tries to commit it.
    Commit,
    /// It ends it.
    Rollback,
    /// Anything else.
    Other,
}

/// Told by the statement's first words; a script has them in statements of their own.
pub fn control_of(sql: &str) -> Control {
    let lower = sql.trim_start().to_ascii_lowercase();
    let begins = |words: &[&str]| words.iter().any(|word| lower.starts_with(word));
    if begins(&["begin", "start transaction"]) {
        Control::Begin
    } else if begins(&["commit", "end"]) {
        Control::Commit
    } else if begins(&["rollback to"]) {
        Control::Other
    } else if begins(&["rollback", "abort"]) {
        Control::Rollback
    } else {
        Control::Other
    }
}

/// Whether a statement may change the catalogue.
pub fn may_be_ddl(sql: &str) -> bool {
    let lower = sql.trim_start().to_ascii_lowercase();
    [
        "alter", "create", "drop", "do", "call", "rollback", "comment", "truncate",
    ]
    .iter()
    .any(|word| lower.starts_with(word))
}

/// A name as SQL wants it, whatever it is.
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL wants it, whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    let mut quoted = String::from("E'");
    for character in text.chars() {
        match character {
            '\'' => quoted.push_str("''"),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            control if (control as u32) < 32 => quoted.push_str(&format!("\\x{:02x}", control as u32)),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

#[test]
fn a_script_is_read_as_it_was_written() {
    let run = |way, sql: &str| Step::Run {
        session: 2,
        way,
        sql: sql.to_owned(),
    };
    let script = Script(vec![
        Step::Setup {
            admin: false,
            sql: "create table a (\n  id int\n)".to_owned(),
        },
        Step::Subscribe {
            sql: "insert".to_owned(),
            refused: true,
        },
        Step::Sync,
        Step::Look,
        Step::Rotate,
        Step::Measure("select 1".to_owned()),
        run(Way::Simple, "begin"),
        run(Way::Prepared, "select 1"),
        run(Way::Copy("1\t\\N\n2\tb".to_owned()), "copy a from stdin"),
    ]);
    assert_eq!(Script::parse(&format!("-- why\n\n{script}")), script);
}
