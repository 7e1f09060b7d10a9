//! What the service asks about records whose change showed in another table; see [`crate::relations`].

use std::sync::Arc;

use deadpool_postgres::GenericClient;
use jiff::Timestamp;

use super::outbox::{Layouts, row_change};
use crate::event::{Change, EventType, Layout, RowChange, read_images};
use crate::relations::Step;
use crate::{Error, Result};

/// The records that inherit from these parents, as they are now: pairs of parent and record.
///
/// # Errors
/// Database errors.
pub async fn inheriting(client: &impl GenericClient, step: &Step, parents: &[i64]) -> Result<Vec<(i64, i64)>> {
    let statement = client
        .prepare_cached(
            "select parent, id from odoo_eventd.inheriting_records($1, $2::pg_catalog.text::pg_catalog.name, $3)",
        )
        .await
        .map_err(|e| Error::database("prepare the look at inheriting records", e))?;
    let rows = client
        .query(&statement, &[&step.model, &step.link, &parents])
        .await
        .map_err(|e| Error::database(format_args!("look for records of \"{}\" that inherit", step.model), e))?;
    Ok(rows.into_iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// A record that a transaction changed in another table.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The record.
    pub record_id: i64,
    /// The transaction.
    pub xid: u64,
    /// When it began.
    pub at: Timestamp,
    /// The outbox id of the transaction's last row that is known: no row of the record's own tells its place.
    pub outbox_id: i64,
    /// The fields that changed.
    pub fields: Vec<Arc<str>>,
}

/// Writes of these records, with the values they have now before and after, or had when they were removed; with the place of each in
/// `asked`. Left out are those of transactions of which the model's own rows may be missing.
///
/// # Errors
/// Database errors.
pub async fn writes_as_of_now(
    client: &impl GenericClient,
    model: &str,
    asked: &[Asked],
    columns: &[String],
) -> Result<Vec<(usize, Change)>> {
    let ids: Vec<i64> = asked.iter().map(|a| a.record_id).collect();
    let xids: Vec<String> = asked.iter().map(|a| a.xid.to_string()).collect();
    let times: Vec<Timestamp> = asked.iter().map(|a| a.at).collect();
    let statement = client
        .prepare_cached(
            "select * from odoo_eventd.current_records($1, $2, $3, $4, $5::pg_catalog.text[]::pg_catalog.name[])",
        )
        .await
        .map_err(|e| Error::database("prepare the look at changed records", e))?;
    let rows = client
        .query(&statement, &[&model, &ids, &xids, &times, &columns])
        .await
        .map_err(|e| Error::database(format_args!("read changed records of \"{model}\""), e))?;
    let mut layout: Option<Arc<Layout>> = None;
    let mut writes = Vec::with_capacity(rows.len());
    for row in rows {
        let place = usize::try_from(row.get::<_, i64>("place")).unwrap_or_default();
        let Some((place, of)) = place.checked_sub(1).and_then(|place| Some((place, asked.get(place)?))) else {
            continue;
        };
        let layout = layout.get_or_insert_with(|| {
            Arc::new(Layout {
                // Of no capture: the record was read.
                capture_id: 0,
                model: model.into(),
                columns: row.get("columns"),
                types: row.get("types"),
                format: 2,
            })
        });
        let image = read_images(b'i', layout, None, row.get("image")).new;
        let change = Change {
            record_id: of.record_id,
            event_type: EventType::Write,
            user_id: row.get("user_id"),
            old: image.clone(),
            new: image,
            changed: Vec::new(),
            derived: of.fields.clone(),
            outbox_id: of.outbox_id,
            layout: Arc::clone(layout),
        };
        writes.push((place, change));
    }
    Ok(writes)
}

/// One large transaction's rows of one relation table, in order of their ids: those beyond `after_id`.
///
/// # Errors
/// Database errors.
pub async fn read_links(
    client: &impl GenericClient,
    xid: u64,
    capture_id: i32,
    after_id: i64,
    max_rows: i32,
    layouts: &mut Layouts,
) -> Result<Vec<RowChange>> {
    let rows = client
        .query(
            "select * from odoo_eventd.read_links($1::pg_catalog.text::pg_catalog.xid8, $2, $3, $4)",
            &[&xid.to_string(), &capture_id, &after_id, &max_rows],
        )
        .await
        .map_err(|e| Error::database("read the links of a large transaction", e))?;
    let mut links = Vec::with_capacity(rows.len());
    for row in rows {
        links.push(row_change(client, &row, row.get("id"), layouts).await?);
    }
    Ok(links)
}

/// What one large transaction did to these records of a model.
///
/// # Errors
/// Database errors.
pub async fn rows_of(
    client: &impl GenericClient,
    xid: u64,
    model: &str,
    ids: &[i64],
    layouts: &mut Layouts,
) -> Result<Vec<RowChange>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = client
        .query(
            "select * from odoo_eventd.read_parents($1::pg_catalog.text::pg_catalog.xid8, $2, $3)",
            &[&xid.to_string(), &model, &ids],
        )
        .await
        .map_err(|e| Error::database(format_args!("read what became of records of \"{model}\""), e))?;
    let mut changes = Vec::with_capacity(rows.len());
    for row in rows {
        changes.push(row_change(client, &row, row.get("id"), layouts).await?);
    }
    Ok(changes)
}
