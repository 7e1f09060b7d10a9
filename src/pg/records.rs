//! Values of Odoo's records, for payloads: through functions that read only what may be sent, so that the service's role needs no
//! right on any table.

use std::collections::HashMap;

use deadpool_postgres::GenericClient;
use tokio_postgres::Client;

use crate::payload::fill::Row;
use crate::payload::plan::Level;
use crate::{Error, Result};

/// Bytes of values that one call brings at most. Nothing of that size can be sent (`max_body_bytes` ends at 16 MiB).
const MOST_BYTES: i64 = 32 << 20;

/// Related records that one call brings at most.
const MOST_ROWS: i32 = 50_000;

/// Columns of records, by id, what depends on the company as this one has it; a record that is gone is not among them. None when they
/// are more than can be held at once.
///
/// # Errors
/// Database errors; SQLSTATE 42703 for a column that is gone or may not be read, 42501 for a model that is not allowed.
pub async fn read(
    client: &impl GenericClient,
    model: &str,
    ids: &[i64],
    columns: &[&str],
    company: i32,
) -> Result<Option<HashMap<i64, Row>>> {
    let failed = |e| Error::database(format_args!("read records of \"{model}\""), e);
    let statement = client
        .prepare_cached("select id, vals from odoo_eventd.read_records($1, $2, $3, $4, $5)")
        .await
        .map_err(failed)?;
    let rows = client
        .query(&statement, &[&model, &ids, &columns, &MOST_BYTES, &company])
        .await
        .map_err(failed)?;
    Ok(rows
        .into_iter()
        .map(|row| Some((row.get(0), row.get::<_, Option<Row>>(1)?)))
        .collect())
}

/// An x2many field, and how it is read.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a> {
    /// The model that has it.
    pub model: &'a str,
    /// The field.
    pub field: &'a str,
    /// The column of the listed records that must name the model, where ids alone do not tell.
    pub model_column: Option<&'a str>,
    /// Archived records are listed too.
    pub with_archived: bool,
    /// The language whose words decide the order of what is translated.
    pub lang: &'a str,
}

/// The records that an x2many field lists, in Odoo's order, by the id of the record that has the field. None when they are too many.
///
/// # Errors
/// As [`read`].
pub async fn related(
    client: &impl GenericClient,
    lines: Lines<'_>,
    ids: &[i64],
) -> Result<Option<HashMap<i64, Vec<i64>>>> {
    let Lines {
        model,
        field,
        model_column,
        with_archived,
        lang,
    } = lines;
    let failed = |e| Error::database(format_args!("read what \"{field}\" of \"{model}\" lists"), e);
    let statement = client
        .prepare_cached("select id, related_id from odoo_eventd.read_related($1, $2, $3, $4, $5, $6, $7)")
        .await
        .map_err(failed)?;
    let rows = client
        .query(
            &statement,
            &[
                &model,
                &field,
                &ids,
                &model_column,
                &(MOST_ROWS + 1),
                &with_archived,
                &lang,
            ],
        )
        .await
        .map_err(failed)?;
    if rows.len() > usize::try_from(MOST_ROWS).unwrap_or(usize::MAX) {
        return Ok(None);
    }
    let mut lines: HashMap<i64, Vec<i64>> = HashMap::new();
    for row in rows {
        lines.entry(row.get(0)).or_default().push(row.get(1));
    }
    Ok(Some(lines))
}

/// Whether a level of a payload may be read: reads no record of it.
///
/// # Errors
/// As [`read`].
pub async fn rehearse(client: &Client, level: &Level) -> Result<()> {
    let columns: Vec<&str> = level.columns.iter().map(|column| column.name.as_str()).collect();
    let nobody: [i64; 0] = [];
    client
        .query(
            "select from odoo_eventd.read_records($1, $2, $3, $4)",
            &[&level.model, &&nobody[..], &columns, &MOST_BYTES],
        )
        .await
        .map_err(|e| Error::database(format_args!("read records of \"{}\"", level.model), e))?;
    Ok(())
}
