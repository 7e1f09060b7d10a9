//! One transaction that is larger than a page, record by record in bounded memory.
//!
//! PostgreSQL sorts the transaction's rows once, by table and record, and keeps them; they are fetched from there in pieces. A record
//! of which there is more to come is carried over to the next piece, folded as far as it can be: a record that one transaction
//! writes a million times takes no more room than one that it writes twice.

use crate::pg::Transaction;

use crate::Result;
use crate::event::{self, RowChange};
use crate::pg::outbox::{self, LargeRows, Layouts};

/// Rows fetched at once, at most. Fetching is cheap, and a row of a wide model takes tens of kilobytes.
const FETCH_ROWS: i32 = 250;

/// Rows fetched at first, and after some that were large: one may hold megabytes.
const FETCH_FEW_ROWS: i32 = 8;

/// So many bytes in what was fetched last let the next fetch be larger.
const FETCH_BYTES: usize = 1024 * 1024;

/// A piece is handed on with so many rows: enough for judging them to be cheap ..
const PIECE_ROWS: usize = 2_000;

/// .. or with so many bytes of values, which a few rows with long texts have.
const PIECE_BYTES: usize = 8 * 1024 * 1024;

/// So many rows of one record are folded before there is more of it.
const COMPACT_OVER: usize = 500;

/// Reads a large transaction.
#[derive(Debug)]
pub struct Pieces {
    rows: LargeRows,
    /// The record that was read last, which may go on.
    unfinished: Vec<RowChange>,
    at_end: bool,
    /// How many rows to fetch next.
    fetch: i32,
}

impl Pieces {
    /// Begins. The transaction must live as long as this.
    ///
    /// # Errors
    /// Database errors.
    pub async fn of(transaction: &Transaction<'_>, xid: u64) -> Result<Self> {
        Ok(Self {
            rows: LargeRows::open(transaction, xid).await?,
            unfinished: Vec::new(),
            at_end: false,
            fetch: FETCH_FEW_ROWS,
        })
    }

    /// The next records, each with all of its rows or with fewer that fold to the same, in order of table and record; `None` at the
    /// end. A piece may be empty.
    ///
    /// # Errors
    /// Database errors.
    pub async fn next(
        &mut self,
        transaction: &Transaction<'_>,
        layouts: &mut Layouts,
    ) -> Result<Option<Vec<RowChange>>> {
        if self.at_end {
            return Ok(None);
        }
        let mut complete = Vec::new();
        let mut bytes = 0;
        while complete.len() < PIECE_ROWS && bytes < PIECE_BYTES {
            let fetched = outbox::fetch(transaction, &self.rows, self.fetch, layouts).await?;
            if fetched.is_empty() {
                self.at_end = true;
                complete.append(&mut self.unfinished);
                break;
            }
            let of_these: usize = fetched.iter().map(size).sum();
            self.fetch = if of_these > FETCH_BYTES {
                FETCH_FEW_ROWS
            } else {
                (self.fetch * 4).min(FETCH_ROWS)
            };
            bytes += of_these;
            for row in fetched {
                if self.unfinished.last().is_some_and(|last| place(last) != place(&row)) {
                    complete.append(&mut self.unfinished);
                }
                self.unfinished.push(row);
            }
            if self.unfinished.len() > COMPACT_OVER {
                event::compact_record(&mut self.unfinished);
            }
        }
        Ok(Some(complete))
    }

    /// Whether what was handed on last is the end.
    pub fn is_at_end(&self) -> bool {
        self.at_end
    }
}

/// Rows that come table by table, apart.
pub fn by_table(rows: Vec<RowChange>) -> Vec<Vec<RowChange>> {
    let mut tables: Vec<Vec<RowChange>> = Vec::new();
    for row in rows {
        match tables.last_mut() {
            Some(table) if table[0].layout.capture_id == row.layout.capture_id => table.push(row),
            _ => tables.push(vec![row]),
        }
    }
    tables
}

fn place(row: &RowChange) -> (i32, i64) {
    (row.layout.capture_id, row.record_id)
}

fn size(row: &RowChange) -> usize {
    [&row.old, &row.new]
        .into_iter()
        .flatten()
        .flat_map(|image| image.iter())
        .map(|value| value.as_ref().map_or(0, String::len))
        .sum()
}
