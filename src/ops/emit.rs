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

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::domain::check::check_text;
use crate::event::{self, EventType};
use crate::matching::{Assembled, RECORDS_A_PART};
use crate::odoo::registry::Registry;
use crate::pg::emit::Pages;
use crate::pg::{self, Client, Pooled, registry, subscriptions};
use crate::subscription::choices::EndpointSource;
use crate::subscription::{ResolvedSubscription, TriggerMode};
use crate::worker::dispatch::payload_loader;
use crate::worker::upkeep::admission;
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
        let ids = pages.after(client, run.last_id, RECORDS_A_PART).await?;
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

async fn load(client: &Client, id: i32, registry: &Registry) -> Result<ResolvedSubscription> {
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

fn event_type_of(subscription: &ResolvedSubscription) -> Result<EventType> {
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
        let unsent = pg::emit::count_unsent(client, subscription, UNSENT_AT_MOST).await?;
        if unsent < i64::from(UNSENT_AT_MOST) {
            return Ok(());
        }
        if let Some(tell) = waiting.take() {
            tell();
        }
        tokio::time::sleep(LOOK_EVERY).await;
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
        let begun = pg::emit::begin(
            client,
            request.subscription,
            &request.run,
            &request.selection,
            event_type.as_str(),
        )
        .await?;
        if begun.selection != request.selection || begun.event_type != event_type.as_str() {
            return Err(Error::usage(format!(
                "run \"{}\" was begun with other records or for other events",
                request.run
            ))
            .with_hint("repeat it as it was, or give another --run"));
        }
        Ok(Self {
            event_id: event::emitted_event_id(begun.epoch, request.subscription, &request.run, begun.started_at),
            name: request.run.clone(),
            event_type,
            database: begun.database,
            started_at: begun.started_at,
            last_id: begun.last_id,
            deliveries: begun.deliveries,
            records: begun.records,
            finished: begun.finished,
            was_finished: begun.finished,
        })
    }

    /// Commits the deliveries of a page with the place behind it.
    async fn commit(&mut self, client: &Pooled, subscription: &Arc<ResolvedSubscription>, ids: &[i64]) -> Result<()> {
        let row = &subscription.row;
        let parts: Vec<(i64, &[i64])> = if subscription.is_per_record() {
            ids.chunks(1).map(|id| (id[0], id)).collect()
        } else {
            ids.chunks(RECORDS_A_PART).map(|ids| (self.deliveries, ids)).collect()
        };
        let new_last_id = ids.last().copied().unwrap_or(self.last_id);
        let is_last = ids.len() < RECORDS_A_PART;
        let bodies = self.bodies(client, subscription, &parts).await?;
        let deliveries = parts.into_iter().zip(bodies).map(|((part, ids), body)| {
            let delivery_id = event::delivery_id(self.event_id, row.id, part);
            (part, delivery_id, ids, body)
        });
        let batch = pg::emit::Batch {
            subscription: row.id,
            ordered: row.ordered,
            run: &self.name,
            event_id: self.event_id,
            model: &row.model,
            event_type: self.event_type.as_str(),
            ids: (self.last_id, new_last_id),
            is_last,
            deliveries: deliveries.collect(),
        };
        let made = pg::emit::commit(client, batch).await?;
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
        subscription: &Arc<ResolvedSubscription>,
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
        for (made, (_, ids)) in payload_loader::make(client, deliveries.collect())
            .await?
            .into_iter()
            .zip(parts)
        {
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
