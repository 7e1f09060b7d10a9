//! Reading the outbox by transaction snapshot, and the position in it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use deadpool_postgres::{GenericClient, Transaction};
use jiff::Timestamp;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::sqlstate::LOCK_TIMEOUT;
use crate::event::{Images, Layout, RowChange, read_images};
use crate::{Error, Result};

/// How far the outbox was read: everything that snapshot `done` sees, and of what `target` sees beyond it, the rows up to
/// `(last_xid, last_id)`. Snapshots are kept as PostgreSQL writes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// What is finished with.
    pub done: String,
    /// What is being read, if it was not read to its end yet.
    pub target: Option<Target>,
}

impl Position {
    /// Where it is on the way that positions take: each that is committed lies behind the one before. The snapshot that is read is taken
    /// after the commit of the position before it, which has used up a transaction id; it is finished with when all of it was read.
    pub fn place(&self) -> (u64, u64, i64) {
        let (snapshot, last_xid, last_id) = match &self.target {
            Some(target) => (&target.snapshot, target.last_xid, target.last_id),
            None => (&self.done, u64::MAX, i64::MAX),
        };
        // PostgreSQL writes `xmin:xmax:xip,..`.
        let xmax = snapshot.split(':').nth(1).and_then(|xmax| xmax.parse().ok());
        (xmax.unwrap_or_default(), last_xid, last_id)
    }
}

/// A snapshot that is being read in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The snapshot.
    pub snapshot: String,
    /// The transaction of the last row read.
    pub last_xid: u64,
    /// The id of the last row read.
    pub last_id: i64,
}

/// What an instance gets when it begins to lead.
#[derive(Debug, Clone)]
pub struct Lead {
    /// The fencing token.
    pub term: i64,
    /// Where to go on reading.
    pub position: Position,
    /// Part of every event id.
    pub epoch: Uuid,
    /// The database's name, for payloads.
    pub database: String,
    /// Whether writers ring the bell.
    pub notify: bool,
}

/// A row of the outbox, with its transaction.
#[derive(Debug, Clone)]
pub struct OutboxRow {
    /// The writer's transaction.
    pub xid: u64,
    /// When it began.
    pub at: Timestamp,
    /// What happened.
    pub change: RowChange,
}

/// What was found beyond a position.
#[derive(Debug)]
pub struct Page {
    /// The snapshot it was read in.
    pub snapshot: String,
    /// The version of the subscriptions that these rows must be matched with.
    pub subscriptions: i64,
    /// There may be more: it ends where the rows, or the bytes, that were asked for do.
    pub is_full: bool,
    /// Rows behind these are left for later, and these are whole transactions; see [`Page::leave`].
    pub is_left: bool,
    /// At most as many rows as asked for, in order of `(xid, id)`.
    pub rows: Vec<OutboxRow>,
}

impl Page {
    /// The rows of transactions that are all there, each with its transaction: the last one of a page that is full comes with the next.
    pub fn whole(&self) -> &[OutboxRow] {
        let last = self.rows.last().filter(|_| self.is_full).map(|row| row.xid);
        let end = self.rows.partition_point(|row| Some(row.xid) != last);
        &self.rows[..end]
    }

    /// Leaves what comes behind the first so many rows, where a transaction ends, for later.
    pub fn leave(&mut self, from: usize) {
        self.rows.truncate(from);
        self.is_left = true;
    }
}

/// Why this database must not deliver: a copy, a restore. `None` = all is well.
///
/// # Errors
/// Database errors.
pub async fn fence(client: &Client) -> Result<Option<String>> {
    let row = client
        .query_one("select odoo_eventd.fence()", &[])
        .await
        .map_err(|e| Error::database("check that this database is the installed one", e))?;
    Ok(row.get(0))
}

/// Begins a new term.
///
/// # Errors
/// Database errors.
pub async fn take_lead(client: &Client) -> Result<Lead> {
    let row = client
        .query_one("select * from odoo_eventd.take_lead()", &[])
        .await
        .map_err(|e| Error::database("take the lead", e))?;
    let target = match (
        row.get::<_, Option<String>>("target"),
        row.get::<_, Option<String>>("last_xid"),
        row.get("last_id"),
    ) {
        (Some(snapshot), Some(xid), Some(last_id)) => Some(Target {
            snapshot,
            last_xid: parse_xid(&xid)?,
            last_id,
        }),
        _ => None,
    };
    Ok(Lead {
        term: row.get("term"),
        position: Position {
            done: row.get("done"),
            target,
        },
        epoch: row.get("epoch"),
        database: row.get("database_name"),
        notify: row.get("notify"),
    })
}

/// Notes for good that this database has forgotten what was committed: nothing is delivered until `adopt`.
///
/// # Errors
/// [`Error::is_lease_lost`]; database errors.
pub async fn note_forgetful(client: &Client, term: i64) -> Result<()> {
    client
        .execute("select odoo_eventd.note_forgetful($1)", &[&term])
        .await
        .map(drop)
        .map_err(|e| Error::database("note that this database was restored", e))
}

/// What the rows of each generation hold.
#[derive(Debug, Default)]
pub struct Layouts(HashMap<i64, Arc<Layout>>);

impl Layouts {
    /// Reads all generations.
    ///
    /// # Errors
    /// Database errors.
    pub async fn load(client: &impl GenericClient) -> Result<Self> {
        let rows = client
            .query(
                "select generation, capture_id, model, columns::pg_catalog.text[] as columns, types, format from odoo_eventd.captures()",
                &[],
            )
            .await
            .map_err(|e| Error::database("read what is captured", e))?;
        let layouts = rows
            .into_iter()
            .map(|row| {
                let layout = Layout {
                    capture_id: row.get("capture_id"),
                    model: row.get::<_, String>("model").into(),
                    columns: row.get("columns"),
                    types: row.get("types"),
                    format: row.get("format"),
                };
                (row.get::<_, i64>("generation"), Arc::new(layout))
            })
            .collect();
        Ok(Self(layouts))
    }

    /// All captures by their numbers, each with its model or relation table.
    pub fn captures(&self) -> BTreeMap<i32, Arc<str>> {
        let layouts = self.0.values();
        layouts.map(|l| (l.capture_id, Arc::clone(&l.model))).collect()
    }

    fn get(&self, generation: i64) -> Option<Arc<Layout>> {
        self.0.get(&generation).map(Arc::clone)
    }
}

const READ: &str = "select * from odoo_eventd.read_outbox($1::pg_catalog.text::pg_catalog.pg_snapshot, $2::pg_catalog.text::pg_catalog.pg_snapshot, $3::pg_catalog.text::pg_catalog.xid8, $4, $5, $6)";

/// Reads what is beyond a position: at most `max_rows` rows, and no more once they have `max_bytes`.
///
/// # Errors
/// Database errors.
pub async fn read(
    client: &impl GenericClient,
    position: &Position,
    max_rows: usize,
    max_bytes: i64,
    layouts: &mut Layouts,
) -> Result<Page> {
    let (target, last_xid, last_id) = match &position.target {
        Some(target) => (
            Some(target.snapshot.as_str()),
            target.last_xid.to_string(),
            target.last_id,
        ),
        None => (None, "0".to_owned(), 0),
    };
    let statement = client
        .prepare_cached(READ)
        .await
        .map_err(|e| Error::database("prepare reading the outbox", e))?;
    let max_rows = i32::try_from(max_rows).unwrap_or(i32::MAX);
    let rows = client
        .query(
            &statement,
            &[&position.done, &target, &last_xid, &last_id, &max_rows, &max_bytes],
        )
        .await
        .map_err(|e| Error::database("read the outbox", e))?;
    let snapshot = rows.first().map(|row| row.get("seen")).unwrap_or_default();
    let subscriptions = rows.first().map(|row| row.get("subscriptions")).unwrap_or_default();
    let is_full = rows.last().is_some_and(|row| row.get("is_cut"));
    let mut page = Page {
        snapshot,
        subscriptions,
        is_full,
        is_left: false,
        rows: Vec::with_capacity(rows.len()),
    };
    for row in rows {
        let Some(id) = row.get::<_, Option<i64>>("id") else {
            continue;
        };
        page.rows.push(OutboxRow {
            xid: parse_xid(row.get("xid"))?,
            at: row.get("at"),
            change: row_change(client, &row, id, layouts).await?,
        });
    }
    Ok(page)
}

/// The rows of one large transaction, sorted by the server by table, record and order, and waiting there.
pub struct LargeRows(tokio_postgres::Portal);

impl std::fmt::Debug for LargeRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LargeRows")
    }
}

impl LargeRows {
    /// Has them sorted.
    ///
    /// # Errors
    /// Database errors.
    pub async fn open(transaction: &Transaction<'_>, xid: u64) -> Result<Self> {
        transaction
            .bind(
                "select * from odoo_eventd.read_transaction($1::pg_catalog.text::pg_catalog.xid8)",
                &[&xid.to_string()],
            )
            .await
            .map(Self)
            .map_err(|e| Error::database("read a large transaction", e))
    }
}

/// The next rows of a large transaction; none at its end.
///
/// # Errors
/// Database errors.
pub async fn fetch(
    transaction: &Transaction<'_>,
    rows: &LargeRows,
    max_rows: i32,
    layouts: &mut Layouts,
) -> Result<Vec<RowChange>> {
    let fetched = transaction
        .query_portal(&rows.0, max_rows)
        .await
        .map_err(|e| Error::database("read a large transaction", e))?;
    let mut changes = Vec::with_capacity(fetched.len());
    for row in fetched {
        changes.push(row_change(transaction, &row, row.get("id"), layouts).await?);
    }
    Ok(changes)
}

pub(super) async fn row_change(
    client: &impl GenericClient,
    row: &Row,
    id: i64,
    layouts: &mut Layouts,
) -> Result<RowChange> {
    let generation = row.get("generation");
    if layouts.get(generation).is_none() {
        // Capture changed since the last look. Rows are written after their generation, so it is there.
        *layouts = Layouts::load(client).await?;
    }
    let layout = layouts.get(generation).ok_or_else(|| {
        Error::other(format!(
            "outbox row {id} is of generation {generation}, which nobody recorded"
        ))
    })?;
    let op = row.get::<_, i8>("op").to_ne_bytes()[0];
    let Images { op, old, new, layout } = read_images(op, &layout, row.get("old"), row.get("new"));
    Ok(RowChange {
        id,
        op,
        record_id: row.get("record_id"),
        user_id: row.get("user_id"),
        old,
        new,
        layout,
    })
}

fn parse_xid(text: &str) -> Result<u64> {
    text.parse()
        .map_err(|e| Error::other(format!("PostgreSQL sent \"{text}\" for a transaction id")).with_source(e))
}

/// Lets capture write to the next table of the ring once the current one is larger than `over_bytes`. True if it did.
///
/// # Errors
/// Database errors.
pub async fn rotate(client: &Client, over_bytes: i64) -> Result<bool> {
    let rotated = client
        .query_one(
            "select odoo_eventd.rotate_outbox($1) from (select pg_catalog.set_config('lock_timeout', '300ms', true) offset 0) first",
            &[&over_bytes],
        )
        .await;
    match rotated {
        Ok(row) => Ok(row.get(0)),
        // Somebody is changing the capture: next time.
        Err(error) if LOCK_TIMEOUT.of(&error) => Ok(false),
        Err(error) => Err(Error::database("rotate the outbox", error)),
    }
}

/// Empties the tables of the ring that were read to their end, but for those that somebody still writes to or dumps; the one that is
/// written to now only if it is to be (`current_too`). Returns how many.
///
/// # Errors
/// Database errors.
pub async fn clear(client: &Client, current_too: bool) -> Result<usize> {
    let rows = client
        .query("select odoo_eventd.clear_outbox(current_too => $1)", &[&current_too])
        .await
        .map_err(|e| Error::database("empty what was read of the outbox", e))?;
    Ok(rows.len())
}
