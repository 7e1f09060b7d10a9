//! Runs of `emit`: reading the records that are selected, and making their deliveries.

use jiff::Timestamp;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::deliveries::array_text;
use super::domain::params::Params;
use super::domain::sql::{Row, compile};
use crate::domain::check::TypedDomain;
use crate::{Error, Result};

/// Reads the ids of the selected records, a page at a time.
#[derive(Debug)]
pub struct Pages {
    model: String,
    page_sql: String,
    count_sql: String,
    params: Params,
}

impl Pages {
    /// Of the records that satisfy the selection, and the subscription's own domain if it has one.
    pub fn new(selection: &TypedDomain, own: Option<&TypedDomain>) -> Self {
        // The first two are the page's beginning and length.
        let mut params = Params::starting_after(2);
        let mut condition = compile(selection, "record", &mut params, Row::Table);
        if let Some(own) = own {
            condition = format!(
                "({condition}) and ({})",
                compile(own, "record", &mut params, Row::Table)
            );
        }
        let table = selection.table().replace('"', "\"\"");
        let of = format!("from public.\"{table}\" record where record.id operator(pg_catalog.>) $1 and ({condition})");
        Self {
            model: selection.model().to_owned(),
            page_sql: format!("select record.id::pg_catalog.int8 {of} order by record.id limit $2"),
            count_sql: format!("select pg_catalog.count(*) from (select {of} limit $2) x"),
            params,
        }
    }

    async fn query(&self, client: &Client, sql: &str, after: i64, limit: i64) -> Result<Vec<tokio_postgres::Row>> {
        let mut params: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&after, Type::INT8), (&limit, Type::INT8)];
        params.extend(self.params.as_sql().into_iter().zip(self.params.types()));
        client.query_typed(sql, &params).await.map_err(|e| {
            Error::database(format!("read records of {}", self.model), e)
                .with_hint("the database's user must have the right to read the model's table: use the owner's")
        })
    }

    /// The ids behind this one, ascending, `limit` at most.
    ///
    /// # Errors
    /// A database error: the connection broke, or the caller may not read the tables.
    pub async fn after(&self, client: &Client, id: i64, limit: usize) -> Result<Vec<i64>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.query(client, &self.page_sql, id, limit).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// How many there are.
    ///
    /// # Errors
    /// As [`Pages::after`].
    pub async fn count(&self, client: &Client) -> Result<i64> {
        let rows = self.query(client, &self.count_sql, 0, i64::MAX).await?;
        Ok(rows.first().map_or(0, |row| row.get(0)))
    }
}

/// What is known of a run when it begins or goes on.
#[derive(Debug)]
pub struct RunState {
    /// Which records were asked for.
    pub selection: String,
    /// `create` or `write`.
    pub event_type: String,
    /// Part of every event id.
    pub epoch: Uuid,
    /// The database's name, for payloads.
    pub database: String,
    /// When it began first.
    pub started_at: Timestamp,
    /// Records up to this id were gone through.
    pub last_id: i64,
    /// Deliveries so far.
    pub deliveries: i64,
    /// Records so far.
    pub records: i64,
    /// Whether it has come to its end.
    pub finished: bool,
}

/// Begins a run, or finds the one of that name.
///
/// # Errors
/// Database errors.
pub async fn begin(
    client: &Client,
    subscription: i32,
    run: &str,
    selection: &str,
    event_type: &str,
) -> Result<RunState> {
    let row = client
        .query_one(
            "select * from odoo_eventd.begin_emit($1, $2, $3, $4)",
            &[&subscription, &run, &selection, &event_type],
        )
        .await
        .map_err(|e| Error::database(format_args!("begin run \"{run}\""), e))?;
    Ok(RunState {
        selection: row.get("selection"),
        event_type: row.get("event_type"),
        epoch: row.get("epoch"),
        database: row.get("database_name"),
        started_at: row.get("started_at"),
        last_id: row.get("last_id"),
        deliveries: row.get("deliveries"),
        records: row.get("records"),
        finished: row.get("finished"),
    })
}

/// The deliveries of one page of records, and where the page lies.
#[derive(Debug)]
pub struct Batch<'b> {
    /// Through which subscription.
    pub subscription: i32,
    /// Whether that one is ordered.
    pub ordered: bool,
    /// The run's name.
    pub run: &'b str,
    /// The run's event.
    pub event_id: Uuid,
    /// The subscription's model.
    pub model: &'b str,
    /// `create` or `write`.
    pub event_type: &'b str,
    /// The page begins behind this id, and ends with the other.
    pub ids: (i64, i64),
    /// Whether there are no records behind it.
    pub is_last: bool,
    /// For each delivery its part, its id, its records and its body.
    pub deliveries: Vec<(i64, Uuid, &'b [i64], String)>,
}

/// Commits the deliveries of a page with the place behind it. Returns how many are new.
///
/// # Errors
/// Database errors; another call has taken the run further meanwhile.
pub async fn commit(client: &Client, batch: Batch<'_>) -> Result<i64> {
    let mut columns = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (part, delivery_id, records, body) in batch.deliveries {
        columns.0.push(part);
        columns.1.push(delivery_id);
        columns.2.push(array_text(records));
        columns.3.push(body);
    }
    let (parts, delivery_ids, record_ids, bodies) = columns;
    let row = client
        .query_one(
            "select odoo_eventd.emit_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            &[
                &batch.subscription,
                &batch.run,
                &batch.ids.0,
                &batch.ids.1,
                &batch.is_last,
                &batch.ordered,
                &batch.event_id,
                &batch.model,
                &batch.event_type,
                &parts,
                &delivery_ids,
                &record_ids,
                &bodies,
            ],
        )
        .await
        .map_err(|e| Error::database(format_args!("make deliveries of run \"{}\"", batch.run), e))?;
    Ok(row.get(0))
}

/// How many deliveries of a subscription are unsent, `at_most` where there are more.
///
/// # Errors
/// Database errors.
pub async fn count_unsent(client: &Client, subscription: i32, at_most: i32) -> Result<i64> {
    let row = client
        .query_one("select odoo_eventd.count_unsent($1, $2)", &[&subscription, &at_most])
        .await
        .map_err(|e| Error::database("count unsent deliveries", e))?;
    Ok(row.get(0))
}
