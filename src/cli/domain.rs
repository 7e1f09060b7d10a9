//! `domain eval`, `domain eval --batch` and `domain explain`.
//!
//! Evaluation is a plain read of the model's table: `active_test` off, no record rules, ids ascending.

use std::io::Write;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

use crate::domain::ast::{Domain, Value};
use crate::domain::check::{Context, TypedDomain, check};
use crate::domain::parse::parse;
use crate::error::{Error, Result};
use crate::odoo::registry::Registry;
use crate::pg::Client;
pub use crate::pg::domain::search::matching_ids;
use crate::pg::domain::search::statement;

/// Statements on their way at once in a batch: enough to hide the round trip, few enough to keep answers coming.
const IN_FLIGHT: usize = 32;

/// Bytes of a line at most: a domain of the largest size, with every character escaped.
const MAX_LINE: usize = 2 * 1024 * 1024;

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

/// One line of a batch. The context's keys go before the command line's for this line; keys that are not known are ignored, so that
/// lines may carry what their writer wants to find again.
#[derive(Debug, Deserialize)]
struct Question {
    model: String,
    domain: DomainText,
    #[serde(flatten)]
    context: LineContext,
    #[serde(default, rename = "context")]
    nested: Option<LineContext>,
}

/// For whom a line is meant, in Odoo's own words.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LineContext {
    uid: Option<i32>,
    lang: Option<String>,
    tz: Option<String>,
    #[serde(alias = "company_id")]
    company: Option<i32>,
    allowed_company_ids: Vec<i32>,
    active_test: bool,
}

/// A domain as text, or as the JSON list itself.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum DomainText {
    Text(String),
    List(Vec<serde_json::Value>),
}

impl Question {
    /// The context that this line is meant in.
    fn context(&self, given: &Context) -> Context {
        let mut context = given.clone();
        for own in self.nested.iter().chain([&self.context]) {
            context.uid = own.uid.or(context.uid);
            if let Some(lang) = &own.lang {
                context.lang.clone_from(lang);
            }
            if let Some(tz) = &own.tz {
                context.tz.clone_from(tz);
            }
            if let Some(company) = own.company.or(own.allowed_company_ids.first().copied()) {
                context.company = company;
            }
        }
        context
    }
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
    let lines = stream::try_unfold(input, |mut input| async move {
        let line = next_line(&mut input)
            .await
            .map_err(|e| Error::other("cannot read the batch").with_source(e))?;
        Ok(line.map(|line| (line, input)))
    });
    let answers = lines
        .map(|line: Result<Line>| async move {
            match line? {
                Line::TooLong => Ok(Answer::Error(format!("the line is longer than {MAX_LINE} bytes"))),
                // An answer for an empty line as well: whoever counts lines must not lose step.
                Line::Bytes(bytes) => match bytes.trim_ascii() {
                    b"" => Ok(Answer::Error("the line is empty".to_owned())),
                    line => answer(asking, line).await,
                },
            }
        })
        .buffered(IN_FLIGHT);
    let mut answers = std::pin::pin!(answers);
    while let Some(answer) = answers.next().await {
        let line =
            serde_json::to_string(&answer?).map_err(|e| Error::other("cannot write an answer").with_source(e))?;
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(written)?;
    }
    Ok(())
}

/// A line of the input.
enum Line {
    Bytes(Vec<u8>),
    TooLong,
}

/// The next line without its end; none at the end of the input. Bytes that are no text are a line like any other.
async fn next_line(input: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Line>> {
    let mut line = Vec::new();
    let mut is_too_long = false;
    loop {
        let available = input.fill_buf().await?;
        if available.is_empty() {
            return Ok(match (line.is_empty(), is_too_long) {
                (true, false) => None,
                (_, true) => Some(Line::TooLong),
                (false, false) => Some(Line::Bytes(line)),
            });
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(available.len());
        // The rest of a line that is too long is read and forgotten.
        is_too_long |= line.len() + taken > MAX_LINE;
        if !is_too_long {
            line.extend_from_slice(&available[..taken]);
        }
        input.consume(end.map_or(taken, |end| end + 1));
        if end.is_some() {
            return Ok(Some(if is_too_long { Line::TooLong } else { Line::Bytes(line) }));
        }
    }
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

async fn answer(asking: Asking<'_>, line: &[u8]) -> Result<Answer> {
    let question: Question = match serde_json::from_slice(line) {
        Ok(question) => question,
        Err(error) => {
            return Ok(Answer::Error(format!(
                "the line is not {{\"model\": .., \"domain\": ..}}: {error}"
            )));
        }
    };
    if question.context.active_test || question.nested.as_ref().is_some_and(|context| context.active_test) {
        return Ok(Answer::Error(
            "archived records are not hidden here: add ('active', '=', True) instead of active_test".to_owned(),
        ));
    }
    let context = question.context(asking.context);
    let asking = Asking {
        context: &context,
        ..asking
    };
    let domain = match question.domain {
        DomainText::Text(text) => text,
        DomainText::List(list) => serde_json::Value::Array(list).to_string(),
    };
    let typed = match typed(asking, &question.model, &domain) {
        Ok(typed) => typed,
        Err(refused) => {
            let hint = refused.hint_text().map(|hint| format!("; {hint}")).unwrap_or_default();
            return Ok(Answer::Error(format!("{refused}{hint}")));
        }
    };
    match matching_ids(asking.client, &typed).await {
        Ok(ids) => Ok(Answer::Ids(ids)),
        // Refused by PostgreSQL for this domain alone: the next may well be answered.
        Err(error) if error.is_of_the_server() => Ok(Answer::Error(error.chain())),
        Err(error) => Err(error),
    }
}

fn written(error: std::io::Error) -> Error {
    Error::other("cannot write the answer").with_source(error)
}
