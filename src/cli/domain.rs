//! `domain eval`, `domain eval --batch` and `domain explain`.
//!
//! Evaluation is a plain read of the model's table: `active_test` off, no record rules, ids ascending.

use std::io::Write;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};
use tokio_postgres::Client;

use crate::domain::ast::{Domain, Value};
use crate::domain::check::{Context, TypedDomain, check};
use crate::domain::parse::parse;
use crate::error::{Error, Result};
use crate::odoo::registry::Registry;
pub use crate::pg::search::matching_ids;
use crate::pg::search::statement;

/// Statements on their way at once in a batch: enough to hide the round trip, few enough to keep answers coming.
const IN_FLIGHT: usize = 32;

/// A database to ask, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    /// The connection.
    pub client: &'a Client,
    /// Its registry.
    pub registry: &'a Registry,
    /// User, language, company and moment.
    pub context: &'a Context,
}

/// One line of a batch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    model: String,
    domain: String,
}

/// What a line of a batch is answered with.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Ids(Vec<i64>),
    Error(String),
}

/// Writes the ids that match now, as a JSON array.
///
/// # Errors
/// The domain is refused (wrong use), the database fails, or `out` cannot be written to.
pub async fn eval(asking: Asking<'_>, model: &str, domain: &str, out: &mut impl Write) -> Result<()> {
    let typed = typed(asking, model, domain).map_err(|refused| refused.explain(domain))?;
    let ids = matching_ids(asking.client, &typed).await?;
    let line = serde_json::to_string(&ids).map_err(|e| Error::other("cannot write the ids").with_source(e))?;
    writeln!(out, "{line}").map_err(written)
}

/// Answers one JSON line with one JSON line, in order, until the input ends.
///
/// A refused domain is an answer, not an error. Each answer is flushed as soon as it is known, so the input may wait for it.
///
/// # Errors
/// The input or the output breaks, or the connection is lost.
pub async fn eval_batch(asking: Asking<'_>, input: impl AsyncBufRead + Unpin, out: &mut impl Write) -> Result<()> {
    let lines = stream::try_unfold(input.lines(), |mut lines| async move {
        let line = lines
            .next_line()
            .await
            .map_err(|e| Error::other("cannot read the batch").with_source(e))?;
        Ok(line.map(|line| (line, lines)))
    });
    let answers = lines
        .map(|line: Result<String>| async move {
            match line?.trim() {
                "" => Ok(None),
                line => answer(asking, line).await.map(Some),
            }
        })
        .buffered(IN_FLIGHT);
    let mut answers = std::pin::pin!(answers);
    while let Some(answer) = answers.next().await {
        let Some(answer) = answer? else { continue };
        let line = serde_json::to_string(&answer).map_err(|e| Error::other("cannot write an answer").with_source(e))?;
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(written)?;
    }
    Ok(())
}

/// Writes how a domain was read, what it looks at, and the SQL it becomes.
///
/// # Errors
/// The domain is refused, or `out` cannot be written to.
pub fn explain(asking: Asking<'_>, model: &str, domain: &str, out: &mut impl Write) -> Result<()> {
    let refuse = |refused: crate::domain::DomainError| refused.explain(domain);
    let parsed = parse(domain).map_err(refuse)?;
    let typed = check(&parsed, model, asking.registry, asking.context).map_err(refuse)?;
    let mut text = format!(
        "{}, table {}, Odoo {}\n\n",
        typed.model(),
        typed.table(),
        asking.registry.facts().version
    );
    draw(&parsed, 0, &mut text);
    let own: Vec<&str> = typed.own_columns().iter().map(String::as_str).collect();
    text.push_str(&format!("\ncolumns of the record: {}\n", or_none(own.join(", "))));
    let inherited: Vec<String> = typed
        .inherited()
        .iter()
        .map(|column| format!("{}.{} ({})", column.link, column.column, column.model))
        .collect();
    text.push_str(&format!("inherited columns: {}\n", or_none(inherited.join(", "))));
    text.push_str(match typed.reads_related() {
        true => "related records: yes, as they are when it is evaluated\n",
        false => "related records: none\n",
    });
    let (sql, params) = statement(&typed);
    text.push_str(&format!("\n{sql}\n"));
    for (at, param) in params.values().iter().enumerate() {
        text.push_str(&format!("  ${} = {param:?}\n", at + 1));
    }
    write!(out, "{text}").map_err(written)
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}

/// The parsed tree, one line a node.
fn draw(domain: &Domain, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let mut branch = |title: &str, items: &[Domain]| {
        out.push_str(&format!("{indent}{title}\n"));
        items.iter().for_each(|item| draw(item, depth + 1, out));
    };
    match domain {
        Domain::Const(true) => branch("every record", &[]),
        Domain::Const(false) => branch("no record", &[]),
        Domain::Not(inner) => branch("not", std::slice::from_ref(inner)),
        Domain::And(items) => branch("all of", items),
        Domain::Or(items) => branch("any of", items),
        Domain::Leaf(leaf) => match &leaf.value {
            Value::Domain(inner) => branch(&format!("{} {}", leaf.path, leaf.operator), std::slice::from_ref(inner)),
            value => branch(&format!("{} {} {value}", leaf.path, leaf.operator), &[]),
        },
    }
}

fn typed(asking: Asking<'_>, model: &str, domain: &str) -> Result<TypedDomain, crate::domain::DomainError> {
    check(&parse(domain)?, model, asking.registry, asking.context)
}

async fn answer(asking: Asking<'_>, line: &str) -> Result<Answer> {
    let question: Question = match serde_json::from_str(line) {
        Ok(question) => question,
        Err(error) => {
            return Ok(Answer::Error(format!(
                "the line is not {{\"model\": .., \"domain\": ..}}: {error}"
            )));
        }
    };
    let typed = match typed(asking, &question.model, &question.domain) {
        Ok(typed) => typed,
        Err(refused) => {
            let hint = refused.hint_text().map(|hint| format!("; {hint}")).unwrap_or_default();
            return Ok(Answer::Error(format!("{refused}{hint}")));
        }
    };
    match matching_ids(asking.client, &typed).await {
        Ok(ids) => Ok(Answer::Ids(ids)),
        // Refused by PostgreSQL for this domain alone: the next may well be answered.
        Err(error) if error.sql_state().is_some() => Ok(Answer::Error(error.chain())),
        Err(error) => Err(error),
    }
}

fn written(error: std::io::Error) -> Error {
    Error::other("cannot write the answer").with_source(error)
}
