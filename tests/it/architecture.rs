//! The rules of the house, read from the source itself: who may name whom, where SQL stands, how long things are.

use std::collections::BTreeSet;

use self::reading::{Reading, Source, files, root, sources};

mod reading;

/// The centre: pure. Its modules may name each other, and the crate's error; nothing of them waits, connects or prints.
const CENTRE: &[&str] = &[
    "backoff",
    "caret",
    "delivery",
    "domain",
    "endpoint",
    "error",
    "event",
    "health",
    "matching",
    "odoo",
    "payload",
    "relations",
    "sealing",
    "signature",
    "subscription",
];

/// Every other module, and what it may name beside the centre, from the inside outwards: no arrow leads back.
const ARROWS: &[(&str, &[&str])] = &[
    // Edges.
    ("pg", &[]),
    ("http", &[]),
    ("metrics", &[]),
    ("failpoint", &[]),
    ("telemetry", &[]),
    ("demo", &[]),
    // Where edges meet.
    ("worker", &["pg", "http", "metrics", "failpoint"]),
    ("systemd", &["worker"]),
    ("ops", &["pg", "http", "worker"]),
    // Surfaces, and the settings that they are started with.
    ("web", &["http", "worker"]),
    ("config", &["pg", "http", "worker", "web"]),
    ("api", &["pg", "http", "worker", "ops", "config", "telemetry"]),
    ("mcp", &["http", "ops", "config", "api"]),
    (
        "cli",
        &[
            "pg",
            "mcp",
            "http",
            "worker",
            "systemd",
            "ops",
            "web",
            "api",
            "config",
            "telemetry",
            "demo",
        ],
    ),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// Crates that are the business of few, and whose.
const EDGES: &[(&str, &[&str])] = &[
    // The error prints what the server said.
    ("tokio_postgres", &["pg", "demo", "error"]),
    ("deadpool_postgres", &["pg"]),
    ("tokio_postgres_rustls", &["pg"]),
    ("postgres_types", &["pg"]),
    ("reqwest", &["http"]),
    ("hyper", &["http", "web", "api", "cli"]),
    ("hyper_util", &["http", "web", "api"]),
    ("h2", &["http"]),
    ("tokio_rustls", &["http"]),
    ("clap", &["cli", "config", "telemetry"]),
    (
        "tokio",
        &[
            "failpoint",
            "pg",
            "http",
            "worker",
            "systemd",
            "ops",
            "web",
            "api",
            "mcp",
            "cli",
            "demo",
        ],
    ),
    ("rmcp", &["mcp"]),
    ("jsonwebtoken", &["mcp"]),
];

/// Where statements stand that are a client's own, not the service's.
const CLIENTS: &[(&str, &str)] = &[
    ("src/cli/demo.rs", "what it does as Odoo, in Odoo's session"),
    ("src/cli/demo_page.rs", "the same, while somebody looks at the page"),
    (
        "src/cli/listen.rs",
        "a statement that it shows to the person who has to run it",
    ),
    ("src/demo/", "throw-away servers: roles and databases for tests"),
];

/// Files of more than [`LINES_OF_A_FILE`] lines, and why each is one all the same.
const LONG_FILES: &[(&str, &str)] = &[
    (
        "src/demo/cluster.rs",
        "one server from its start to its end; half of it is how it is made to listen to nobody else",
    ),
    (
        "src/domain/check/mod.rs",
        "the order in which a leaf is lowered is one thing, with its context",
    ),
    (
        "src/domain/check/names.rs",
        "a table: one rule for each model whose name Odoo searches otherwise",
    ),
    (
        "src/domain/expr.rs",
        "one small language: the names that Odoo allows in stored filters",
    ),
    (
        "src/http/pool.rs",
        "a connection's states, which are read together or not at all",
    ),
    (
        "src/payload/sandbox.rs",
        "a table: the filters and tests that templates have",
    ),
    (
        "tests/it/api/subscriptions.rs",
        "a table: one claim for each thing that REST does with a subscription",
    ),
    (
        "tests/it/differential/catalog.rs",
        "a table: the tables that random scripts write to",
    ),
    (
        "tests/it/differential/runner.rs",
        "one script on two databases, step by step",
    ),
    ("tests/it/domains.rs", "every tag of the oracle's answers"),
    (
        "tests/it/outcomes.rs",
        "a table: what a receiver may do, and what comes of it",
    ),
    ("tests/it/payloads.rs", "a table: one claim for each shape of a payload"),
    ("tests/it/support/receiver.rs", "the scripted receiver, all its replies"),
    ("tests/it/values.rs", "a table: one claim for each kind of value"),
];

/// SQL functions of more than [`LINES_OF_AN_SQL_FUNCTION`] lines, and why.
const LONG_SQL: &[(&str, &str)] = &[(
    "sql/functions/capture.sql",
    "sync_capture: the steps of one transaction, in the only order that loses nothing",
)];

const LINES_OF_A_FILE: usize = 500;
const LINES_OF_A_FUNCTION: usize = 100;
const LINES_OF_AN_SQL_FUNCTION: usize = 120;
const COLUMNS_OF_SQL: usize = 130;

/// Whether a text is a statement, or begins like one.
fn is_sql(text: &str) -> bool {
    let text = text.trim_start().to_lowercase();
    // A placeholder: advice for people.
    if text.contains(" .. ") {
        return false;
    }
    let words: Vec<&str> = text.split_whitespace().take(3).collect();
    let is_about_a_table = |word: &str| {
        let name = word.trim_matches('"');
        name.starts_with("odoo_eventd.")
            || name.starts_with("public.")
            || name.starts_with("pg_catalog.")
            || name.contains('_')
    };
    match words.as_slice() {
        ["select", ..] => text.contains(" from ") || text.contains('(') || words.len() == 2,
        ["insert", "into", ..] | ["delete", "from", ..] | ["set", "local" | "session", ..] | ["lock", "table", ..] => {
            true
        }
        ["with", "recursive", ..]
        | [
            "create" | "alter" | "drop",
            "table" | "function" | "role" | "schema" | "index",
            ..,
        ] => true,
        ["update", _, "set"] | ["begin", "isolation", ..] => true,
        ["truncate" | "listen" | "notify", table, ..] => is_about_a_table(table),
        _ => false,
    }
}

/// What `source` names that its row of the table does not allow.
fn forbidden(source: &Source, reading: &Reading, tops: &BTreeSet<String>) -> Vec<String> {
    let top = source.top();
    let allowed = ARROWS
        .iter()
        .find(|(module, _)| *module == top)
        .map(|(_, allowed)| *allowed);
    if allowed.is_none() && !CENTRE.contains(&top) {
        return vec![format!(
            "{}: module {top} has no row in the table of arrows",
            source.name
        )];
    }
    let may = |named: &str| {
        named == top || CENTRE.contains(&named) || allowed.is_some_and(|allowed| allowed.contains(&named))
    };
    let is_forbidden = |named: &&String| match named.strip_prefix("::") {
        Some(external) => EDGES
            .iter()
            .any(|(edge, whose)| *edge == external && !whose.contains(&top)),
        None => tops.contains(*named) && !may(named),
    };
    let found = reading.named.iter().filter(is_forbidden);
    found.map(|named| format!("{} names {named}", source.name)).collect()
}

#[track_caller]
fn assert_none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn arrows_point_inward() {
    let all = sources("src");
    let tops: BTreeSet<String> = all.iter().map(|source| source.top().to_owned()).collect();
    let code = all
        .iter()
        .filter(|source| !source.is_test() && !source.top().is_empty());
    let found: Vec<String> = code
        .flat_map(|source| forbidden(source, &Reading::of(source), &tops))
        .collect();
    assert_none(
        "a module names what its row in the table of arrows does not have",
        &found,
    );
}

#[test]
fn nobody_but_pg_speaks_sql_or_to_the_driver() {
    let mut found = Vec::new();
    for source in sources("src")
        .iter()
        .filter(|source| source.top() != "pg" && !source.is_test())
    {
        if CLIENTS.iter().any(|(file, _)| source.name.starts_with(file)) {
            continue;
        }
        let reading = Reading::of(source);
        let statements = reading.literals.iter().filter(|(_, text)| is_sql(text));
        found.extend(statements.map(|(line, text)| format!("{}:{line} {text:?}", source.name)));
        found.extend(
            reading
                .calls
                .iter()
                .map(|(line, call)| format!("{}:{line} .{call}(..)", source.name)),
        );
    }
    assert_none("SQL, or a call of the driver, outside src/pg", &found);
}

#[test]
fn no_function_is_longer_than_a_screen_or_two() {
    let mut found = Vec::new();
    for source in sources("src").iter().filter(|source| !source.is_test()) {
        let functions = Reading::of(source).functions;
        let long = functions.iter().filter(|(_, _, lines)| *lines > LINES_OF_A_FUNCTION);
        found.extend(long.map(|(name, line, lines)| format!("{}:{line} {name}: {lines} lines", source.name)));
    }
    assert_none("functions of too many lines", &found);
}

#[test]
fn a_long_file_has_its_reason() {
    let all: Vec<Source> = ["src", "tests/it", "benches"].into_iter().flat_map(sources).collect();
    let long = all
        .iter()
        .filter(|source| source.text.lines().count() > LINES_OF_A_FILE);
    let long: BTreeSet<&str> = long.map(|source| source.name.as_str()).collect();
    let listed: BTreeSet<&str> = LONG_FILES.iter().map(|(file, _)| *file).collect();
    let found: Vec<String> = long
        .symmetric_difference(&listed)
        .map(|file| (*file).to_owned())
        .collect();
    assert_none("long files without a reason, or reasons without a long file", &found);
}

/// A literal that is too long for a break: most are text that becomes SQL itself, where the break would be too.
fn is_long(literal: &str) -> bool {
    literal.chars().count() > COLUMNS_OF_SQL / 2
}

#[test]
fn sql_is_readable_in_a_terminal() {
    let mut found = Vec::new();
    for path in files("sql", "sql") {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut begun = None;
        for (line, number) in text.lines().zip(1_usize..) {
            if line.chars().count() > COLUMNS_OF_SQL && !line.replace("''", "..").split('\'').any(is_long) {
                found.push(format!("{name}:{number} has {} columns", line.chars().count()));
            }
            if line.starts_with("create or replace function") {
                begun = Some(number);
            }
            if line.starts_with("end $") || line.starts_with("$$") {
                let lines = begun.take().map_or(0, |begun| number + 1 - begun);
                if lines > LINES_OF_AN_SQL_FUNCTION && LONG_SQL.iter().all(|(file, _)| *file != name) {
                    found.push(format!("{name}:{number} ends a function of {lines} lines"));
                }
            }
        }
    }
    assert_none("SQL that is too wide or too long", &found);
}

#[test]
fn the_rules_see_what_they_forbid() {
    let source = |name: &str, text: &str| Source {
        name: name.to_owned(),
        text: text.to_owned(),
        module: name
            .trim_start_matches("src/")
            .trim_end_matches(".rs")
            .split('/')
            .map(str::to_owned)
            .collect(),
    };
    let tops = BTreeSet::from(["pg".to_owned(), "event".to_owned(), "worker".to_owned()]);
    for text in [
        "use crate::pg::Client;",
        "use crate::{Error, worker::Budget};",
        "fn f() { let x = super::worker::g(); }",
        "fn f() { println!(\"{}\", crate::pg::g()); }",
        "fn f(client: &tokio_postgres::Client) {}",
    ] {
        let wrong = source("src/event.rs", text);
        assert_eq!(forbidden(&wrong, &Reading::of(&wrong), &tops).len(), 1, "{text}");
    }
    let right = source(
        "src/event.rs",
        "/// [`crate::pg`]\nfn f() {}\n#[cfg(test)]\nmod tests { use crate::pg::g; }",
    );
    assert_none(
        "documentation and tests are free",
        &forbidden(&right, &Reading::of(&right), &tops),
    );
    for text in [
        "select odoo_eventd.status()",
        "\n  update sale_order set x = 1",
        "insert into t values (1)",
        "listen odoo_eventd",
    ] {
        assert!(is_sql(text), "{text}");
    }
    for text in [
        "select a database",
        "update the settings",
        "listen for notifications",
        "with a hint",
    ] {
        assert!(!is_sql(text), "{text}");
    }
}
