//! Printing: data to stdout, words to stderr. The only place that prints.

use std::fmt;
use std::io::Write;

use clap::Args;
use serde::Serialize;

use crate::{Error, Result};

/// A longer cell stands out of its column instead of making it as wide as itself: a domain may have any length.
const WIDEST_COLUMN: usize = 200;

/// `--json`.
#[derive(Debug, Clone, Copy, Args)]
pub struct Json {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Says something to a person.
pub fn say(words: impl fmt::Display) {
    // Nobody listens on a closed stderr.
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// Prints a line of data.
///
/// # Errors
/// When stdout cannot be written to.
pub fn data(line: impl fmt::Display) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").map_err(|e| Error::other("cannot write to stdout").with_source(e))
}

/// Prints a value as JSON.
///
/// # Errors
/// As [`data`].
pub fn json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::other("cannot print JSON").with_source(e))?;
    data(text)
}

/// Prints rows under headings, each column as wide as its widest cell, within reason.
///
/// # Errors
/// As [`data`].
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> Result<()> {
    let widths: Vec<usize> = (0..headings.len())
        .map(|i| {
            rows.iter()
                .map(|r| r[i].chars().count())
                .chain([headings[i].len()])
                .max()
                .unwrap_or(0)
                .min(WIDEST_COLUMN)
        })
        .collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}", width = *width))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    data(line(headings.to_vec()))?;
    for row in rows {
        data(line(row.iter().map(String::as_str).collect()))?;
    }
    Ok(())
}

/// A JSON value as a cell: text without quotes, null as nothing.
pub fn cell(value: Option<&serde_json::Value>) -> String {
    match value {
        None | Some(serde_json::Value::Null) => String::new(),
        Some(serde_json::Value::String(text)) => text.replace('\n', " "),
        Some(serde_json::Value::Array(items)) => {
            items.iter().map(|item| cell(Some(item))).collect::<Vec<_>>().join(",")
        }
        Some(other) => other.to_string(),
    }
}
