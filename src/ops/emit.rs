//! `emit`: sends existing records through a subscription, as a backfill for a receiver that was not there when they were made.
//!
//! A run has a name and is remembered with how far it has come: repeated, it goes on where it stopped, and one that has finished
//! makes nothing. What it makes are deliveries like any other, of an event of their own: the service sends them, within the
//! subscription's limits, in its order, with its retries. Records are read and delivered in pages, so memory is bounded; and while
//! many deliveries of the subscription are unsent, the run waits, so that the database is bounded too.
//!
//! What is sent are the records that match the subscription's own domain as they are now, so that a receiver never gets what it did
//! not ask for. They come as `create`, or as `write` where the subscription takes only that: a receiver treats them as new to it.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Object as Pooled;
use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::domain::check::{TypedDomain, check_text};
use crate::domain::params::Params;
use crate::domain::sql::{Row, compile};
use crate::event::{self, EventType};
use crate::matching::{Assembled, RECORDS_A_PART};
use crate::odoo::registry::Registry;
use crate::pg::{registry, subscriptions};
use crate::subscription::choices::EndpointSource;
use crate::subscription::{Accepted, TriggerMode};
use crate::worker::{admission, bodies};
use crate::{Error, Result};

/// So many deliveries of the subscription may be unsent; beyond it the run waits.
const UNSENT_AT_MOST: i32 = 10_000;

/// How often it then looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What to emit.
#[derive(Debug)]
pub struct Request {
    /// Through which subscription.
    pub subscription: i32,
    /// Which records: an Odoo domain of the subscription's model.
    pub selection: String,
    /// The run's name.
    pub run: String,
    /// Only count.
    pub dry_run: bool,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Emitted {
    /// The run's name.
    pub run: String,
    /// Equal for everything in the run.
    pub event_id: Option<Uuid>,
    /// `create` or `write`.
    pub event_type: &'static str,
    /// Deliveries of the run so far, earlier calls included; none with `dry_run`.
    pub deliveries: i64,
    /// Records of the run so far; with `dry_run` those that would be sent.
    pub records: i64,
    /// Whether an earlier call had finished it: nothing was made.
    pub was_finished: bool,
}

/// Makes the deliveries of a run, or goes on with it. `waiting` is told once, when the run begins to wait for the service.
///
/// # Errors
/// [`Error::is_usage`]: there is no such subscription, it cannot be served, it takes no existing records, the selection is refused, or
/// the run was begun with another selection. Database errors; the session must have the right to read the model's table.
pub async fn emit(client: &Pooled, request: &Request, waiting: impl FnOnce()) -> Result<Emitted> {
    let registry = registry::load(client).await?;
    let subscription = Arc::new(load(client, request.subscription, &registry).await?);
    let event_type = event_type_of(&subscription)?;
    let selection = check_text(
        &request.selection,
        &subscription.row.model,
        &registry,
        &admission::context_of(&subscription.row),
    )
    .map_err(|refused| refused.explain(&request.selection))?;
    let pages = Pages::new(&selection, subscription.domain.as_ref());
    if request.dry_run {
        return Ok(Emitted {
            run: request.run.clone(),
            event_id: None,
            event_type: event_type.as_str(),
            deliveries: 0,
            records: pages.count(client).await?,
            was_finished: false,
        });
    }
    super::require_adopted(client).await?;
    let mut run = Run::begin(client, request, event_type).await?;
    let mut waiting = Some(waiting);
    while !run.finished {
        wait_for_room(client, request.subscription, &mut waiting).await?;
        let ids = pages.after(client, run.last_id).await?;
        run.commit(client, &subscription, &ids).await?;
    }
    Ok(Emitted {
        run: request.run.clone(),
        event_id: Some(run.event_id),
        event_type: event_type.as_str(),
        deliveries: run.deliveries,
        records: run.records,
        was_finished: run.was_finished,
    })
}

async fn load(client: &Client, id: i32, registry: &Registry) -> Result<Accepted> {
    let row = subscriptions::load_one(client, id)
        .await?
        .ok_or_else(|| super::no_subscription(id))?;
    if row.endpoint_source == EndpointSource::Record {
        return Err(Error::usage(format!(
            "subscription {id} sends to callback URLs of single records, which are for changes and not for a backfill"
        )));
    }
    if !row.active || row.webhook_url.as_deref().unwrap_or_default().is_empty() {
        return Err(Error::usage(format!("subscription {id} sends nothing"))
            .with_hint("it must be active and have a webhook_url; `odoo-eventd subscriptions` shows it"));
    }
    admission::check(row, registry, None)
}

fn event_type_of(subscription: &Accepted) -> Result<EventType> {
    if subscription.row.trigger_mode == TriggerMode::Leave {
        return Err(Error::usage(
            "the subscription tells of records that have left its domain, which existing ones cannot",
        ));
    }
    [EventType::Create, EventType::Write]
        .into_iter()
        .find(|event_type| subscription.wants(*event_type))
        .ok_or_else(|| {
            Error::usage("the subscription takes only unlink events, and existing records were not unlinked")
        })
}

async fn wait_for_room(client: &Client, subscription: i32, waiting: &mut Option<impl FnOnce()>) -> Result<()> {
    loop {
        let unsent: i64 = client
            .query_one(
                "select odoo_eventd.count_unsent($1, $2)",
                &[&subscription, &UNSENT_AT_MOST],
            )
            .await
            .map_err(|e| Error::database("count unsent deliveries", e))?
            .get(0);
        if unsent < i64::from(UNSENT_AT_MOST) {
            return Ok(());
        }
        if let Some(tell) = waiting.take() {
            tell();
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Reads the ids of the selected records, a page at a time.
struct Pages {
    model: String,
    page_sql: String,
    count_sql: String,
    params: Params,
}

impl Pages {
    fn new(selection: &TypedDomain, own: Option<&TypedDomain>) -> Self {
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

    async fn after(&self, client: &Client, id: i64) -> Result<Vec<i64>> {
        let limit = i64::try_from(RECORDS_A_PART).unwrap_or(i64::MAX);
        let rows = self.query(client, &self.page_sql, id, limit).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn count(&self, client: &Client) -> Result<i64> {
        let rows = self.query(client, &self.count_sql, 0, i64::MAX).await?;
        Ok(rows.first().map_or(0, |row| row.get(0)))
    }
}

/// How far a run has come.
struct Run {
    name: String,
    event_id: Uuid,
    event_type: EventType,
    database: String,
    started_at: Timestamp,
    last_id: i64,
    deliveries: i64,
    records: i64,
    finished: bool,
    was_finished: bool,
}

impl Run {
    async fn begin(client: &Client, request: &Request, event_type: EventType) -> Result<Self> {
        let row = client
            .query_one(
                "select * from odoo_eventd.begin_emit($1, $2, $3, $4)",
                &[
                    &request.subscription,
                    &request.run,
                    &request.selection,
                    &event_type.as_str(),
                ],
            )
            .await
            .map_err(|e| Error::database(format_args!("begin run \"{}\"", request.run), e))?;
        if row.get::<_, &str>("selection") != request.selection
            || row.get::<_, &str>("event_type") != event_type.as_str()
        {
            return Err(Error::usage(format!(
                "run \"{}\" was begun with other records or for other events",
                request.run
            ))
            .with_hint("repeat it as it was, or give another --run"));
        }
        let (epoch, started_at): (Uuid, Timestamp) = (row.get("epoch"), row.get("started_at"));
        let finished = row.get("finished");
        Ok(Self {
            event_id: event::emitted_event_id(epoch, request.subscription, &request.run, started_at),
            name: request.run.clone(),
            event_type,
            database: row.get("database_name"),
            started_at,
            last_id: row.get("last_id"),
            deliveries: row.get("deliveries"),
            records: row.get("records"),
            finished,
            was_finished: finished,
        })
    }

    /// Commits the deliveries of a page with the place behind it.
    async fn commit(&mut self, client: &Pooled, subscription: &Arc<Accepted>, ids: &[i64]) -> Result<()> {
        let row = &subscription.row;
        let parts: Vec<(i64, &[i64])> = if subscription.is_per_record() {
            ids.chunks(1).map(|id| (id[0], id)).collect()
        } else {
            ids.chunks(RECORDS_A_PART).map(|ids| (self.deliveries, ids)).collect()
        };
        let new_last_id = ids.last().copied().unwrap_or(self.last_id);
        let is_last = ids.len() < RECORDS_A_PART;
        let bodies = self.bodies(client, subscription, &parts).await?;
        let delivery_ids: Vec<Uuid> = parts
            .iter()
            .map(|(part, _)| event::delivery_id(self.event_id, row.id, *part))
            .collect();
        let record_ids: Vec<String> = parts.iter().map(|(_, ids)| array_text(ids)).collect();
        let made: i64 = client
            .query_one(
                "select odoo_eventd.emit_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
                &[
                    &row.id,
                    &self.name,
                    &self.last_id,
                    &new_last_id,
                    &is_last,
                    &row.ordered,
                    &self.event_id,
                    &row.model,
                    &self.event_type.as_str(),
                    &parts.iter().map(|(part, _)| *part).collect::<Vec<_>>(),
                    &delivery_ids,
                    &record_ids,
                    &bodies,
                ],
            )
            .await
            .map_err(|e| Error::database(format_args!("make deliveries of run \"{}\"", self.name), e))?
            .get(0);
        self.deliveries += made;
        self.records += i64::try_from(ids.len()).unwrap_or(0);
        self.last_id = new_last_id;
        self.finished = is_last;
        Ok(())
    }

    /// The bodies of the deliveries: nothing has changed, so no field is named, and nobody has done it.
    async fn bodies(
        &self,
        client: &Pooled,
        subscription: &Arc<Accepted>,
        parts: &[(i64, &[i64])],
    ) -> Result<Vec<String>> {
        let deliveries = parts.iter().map(|(part, ids)| {
            Assembled::of_existing(
                Arc::clone(subscription),
                (self.event_id, self.event_type, *part),
                ids.to_vec(),
                self.started_at,
                self.database.as_str().into(),
            )
        });
        let mut bodies = Vec::with_capacity(parts.len());
        for (made, (_, ids)) in bodies::make(client, deliveries.collect()).await?.into_iter().zip(parts) {
            let first = ids.first().copied().unwrap_or_default();
            if let Some(reason) = made.unreadable {
                return Err(Error::usage(format!(
                    "the fields of the payload cannot be read: {reason}"
                )));
            }
            bodies.push(made.body.map_err(|nothing| {
                Error::usage(format!(
                    "there is nothing to send of record {first}: {}, {}",
                    nothing.failure.as_str(),
                    nothing.detail
                ))
                .with_hint(
                    "mend the template or its limits and repeat the run by its name; all before this record is made",
                )
            })?);
        }
        Ok(bodies)
    }
}

/// PostgreSQL's text of an array of ids.
fn array_text(ids: &[i64]) -> String {
    let ids: Vec<String> = ids.iter().map(i64::to_string).collect();
    format!("{{{}}}", ids.join(","))
}
