//! Commits what a batch came to: deliveries, what readers get, and the position, in one statement; and hands on what is sent at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Dispatcher, PAGE_WITHIN};
use crate::Result;
use crate::event;
use crate::failpoint::{self, Step};
use crate::matching::Assembled;
use crate::payload::content::Unsendable;
use crate::pg::callbacks::Callback;
use crate::pg::deliveries::{self, Batch, Claimed, NewDelivery};
use crate::pg::feed::NewEvent;
use crate::pg::outbox::Position;
use crate::pg::{GenericClient, unsendable};
use crate::worker::deliver::callbacks;
use crate::worker::deliver::deliverer::{Handed, claimant_of};
use crate::worker::deliver::slots::{Patience, Slot};
use crate::worker::dispatch::feeding::{self, Rendered};
use crate::worker::dispatch::payload_loader::{self, Made};
use crate::worker::term::timeout::within;
use crate::worker::upkeep::subscription_set::SubscriptionSet;

/// What was written of a batch, or of all pieces of a large transaction.
#[derive(Debug, Default)]
pub(super) struct Written {
    deliveries: usize,
    events: usize,
    event_bytes: u64,
}

impl Written {
    fn add(&mut self, new: &[NewDelivery], fed: &[NewEvent]) {
        self.deliveries += new.len();
        self.events += fed.len();
        self.event_bytes += fed.iter().map(|event| event.body.len() as u64).sum::<u64>();
    }
}

impl Dispatcher {
    /// Finds out where deliveries to callbacks go, and makes the bodies of those that go somewhere.
    pub(super) async fn make(
        &self,
        client: &impl GenericClient,
        subscription_set: &SubscriptionSet,
        assembled: Vec<Assembled>,
    ) -> Result<Vec<(Made, Option<Callback>)>> {
        let deliverable = callbacks::deliverable(client, subscription_set, assembled).await?;
        let (deliveries, callbacks): (Vec<_>, Vec<_>) = deliverable.into_iter().unzip();
        Ok(payload_loader::make(client, deliveries)
            .await?
            .into_iter()
            .zip(callbacks)
            .collect())
    }

    pub(super) async fn commit(
        &self,
        client: &impl GenericClient,
        position: &Position,
        made: Vec<(Made, Option<Callback>)>,
    ) -> Result<()> {
        let made = self.without_unsendable(client, made).await?;
        let (made, fed) = feeding::apart(made);
        let now = Instant::now();
        let behind = behind_in_batch(made.iter().map(|(delivery, ..)| delivery));
        let mut slots: Vec<Option<Slot>> = Vec::with_capacity(made.len());
        let mut new = Vec::with_capacity(made.len());
        let mut callbacks = Vec::with_capacity(made.len());
        let mut lanes = Vec::new();
        for ((delivery, body, callback), is_behind) in made.into_iter().zip(behind) {
            let slot = self.slot_for(&delivery, is_behind, position, now);
            if delivery.subscription.row.ordered {
                lanes.push((delivery.subscription.row.id, delivery.part));
            }
            new.push(new_delivery(delivery, body, slot.is_some(), is_behind));
            callbacks.push(callback);
            slots.push(slot);
        }
        let batch = Batch {
            deliveries: &new,
            fed: &fed,
            is_piece: false,
        };
        let logged = deliveries::commit_batch(client, self.lead.term, position, batch);
        let logged = within(PAGE_WITHIN, "commit deliveries", logged).await?;
        self.high_water.moved(position);
        let mut written = Written::default();
        written.add(&new, &fed);
        self.note(&written);
        if !logged.is_empty() {
            failpoint::reach(Step::AfterClaim);
        }
        let mut claimed_now: Vec<Option<_>> = vec![None; new.len()];
        for (index, log) in logged {
            claimed_now[index] = Some(log);
        }
        for (((delivery, callback), log), slot) in new.into_iter().zip(callbacks).zip(claimed_now).zip(slots) {
            match (log, slot) {
                (Some(log), Some(slot)) => {
                    let claimed = Box::new(Claimed {
                        event_id: delivery.event_id,
                        subscription_id: delivery.subscription_id,
                        part: delivery.part,
                        delivery_id: delivery.delivery_id,
                        model: delivery.model,
                        event_type: delivery.event_type.to_owned(),
                        record_ids: delivery.record_ids,
                        attempt: 1,
                        body: delivery.body,
                        callback,
                        log,
                        redelivered: false,
                        was_due: None,
                    });
                    // The receiver ends only with the term.
                    let _ = self.handed.send(Handed::Claimed(claimed, slot));
                }
                // It was made before, or its lane is busy: its slot is not needed.
                (_, slot) => slot.into_iter().for_each(Slot::refund),
            }
        }
        if !lanes.is_empty() {
            let _ = self.handed.send(Handed::Lanes(lanes));
        }
        Ok(())
    }

    /// A slot for a delivery that may be sent at once.
    fn slot_for(&self, delivery: &Assembled, is_behind: bool, position: &Position, now: Instant) -> Option<Slot> {
        let subscription = &delivery.subscription;
        // While the outbox is read in pages, a later page may hold an earlier change of the same record.
        let is_held = subscription.row.ordered && position.target.is_some();
        // Behind a rate limit the oldest goes first.
        let has_older = subscription.rate.is_some() && self.slots.is_behind(subscription.row.id);
        if is_behind || is_held || has_older || !subscription.is_sending() {
            return None;
        }
        let slot = self
            .slots
            .take(claimant_of(subscription), 1, Patience::OnlyWell, now)
            .pop();
        if slot.is_none() {
            self.slots.note_behind(subscription.row.id);
        }
        slot
    }

    /// Deliveries of a large transaction wait in the database: what is not committed must not be sent, nor told of.
    pub(super) async fn commit_waiting(
        &self,
        client: &impl GenericClient,
        position: &Position,
        made: Vec<(Made, Option<Callback>)>,
        written: &mut Written,
    ) -> Result<()> {
        let made = self.without_unsendable(client, made).await?;
        let (made, fed) = feeding::apart(made);
        let new: Vec<NewDelivery> = made
            .into_iter()
            .map(|(delivery, body, _)| new_delivery(delivery, body, false, false))
            .collect();
        let batch = Batch {
            deliveries: &new,
            fed: &fed,
            is_piece: true,
        };
        deliveries::commit_batch(client, self.lead.term, position, batch).await?;
        written.add(&new, &fed);
        Ok(())
    }

    /// Tells what was committed.
    pub(super) fn note(&self, written: &Written) {
        self.vitals.metrics.made(written.deliveries);
        if written.events > 0 {
            failpoint::reach(Step::AfterFeeding);
            self.fed.add(written.event_bytes);
            self.vitals.metrics.fed(written.events);
        }
    }

    /// Ends the deliveries that have no body, before those that have one are made: should that be cut off, the next reading finds them
    /// made already.
    async fn without_unsendable(
        &self,
        client: &impl GenericClient,
        made: Vec<(Made, Option<Callback>)>,
    ) -> Result<Vec<Rendered>> {
        let mut sendable = Vec::with_capacity(made.len());
        let mut failed = Vec::new();
        for (
            Made {
                delivery,
                body,
                unreadable,
            },
            callback,
        ) in made
        {
            if let Some(reason) = unreadable {
                self.judging.give_up(
                    &delivery.subscription.row,
                    format!("the fields of its payload cannot be read: {reason}"),
                );
            }
            match body {
                Ok(body) => sendable.push((delivery, body, callback)),
                Err(reason) => {
                    tracing::warn!(
                        subscription.id = delivery.subscription.row.id, event.id = %delivery.event_id,
                        error = reason.failure.as_str(), detail = reason.detail, "there is nothing to send"
                    );
                    failed.push((new_delivery(delivery, String::new(), false, false), reason));
                }
            }
        }
        if !failed.is_empty() {
            unsendable::fail(client, self.lead.term, &failed).await?;
            self.note_failures(&failed);
        }
        Ok(sendable)
    }

    fn note_failures(&self, failed: &[(NewDelivery, Unsendable)]) {
        let now = std::time::SystemTime::now();
        let stats = Arc::clone(&self.subscription_set.borrow().stats);
        stats.add_failures(failed.iter().map(|(delivery, _)| delivery.subscription_id), now);
    }
}

/// For each delivery, whether another of the batch comes before it in its lane.
fn behind_in_batch<'a>(batch: impl Iterator<Item = &'a Assembled> + Clone) -> Vec<bool> {
    let lane = |d: &Assembled| (d.subscription.row.id, d.part);
    let mut first: HashMap<(i32, i64), i64> = HashMap::new();
    for delivery in batch.clone().filter(|d| d.subscription.row.ordered) {
        first
            .entry(lane(delivery))
            .and_modify(|id| *id = (*id).min(delivery.outbox_id))
            .or_insert(delivery.outbox_id);
    }
    batch
        .map(|d| first.get(&lane(d)).is_some_and(|id| *id < d.outbox_id))
        .collect()
}

fn new_delivery(delivery: Assembled, body: String, claimed: bool, is_behind: bool) -> NewDelivery {
    let row = &delivery.subscription.row;
    NewDelivery {
        event_id: delivery.event_id,
        subscription_id: row.id,
        part: delivery.part,
        delivery_id: event::delivery_id(delivery.event_id, row.id, delivery.part),
        model: row.model.clone(),
        event_type: delivery.event_type.as_str(),
        record_ids: delivery.record_ids,
        body,
        claimed,
        lane_position: row.ordered.then_some(delivery.outbox_id),
        is_behind,
        timeout: Duration::from_millis(u64::from(row.timeout_ms)),
    }
}
