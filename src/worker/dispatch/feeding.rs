//! What of a batch readers get: taken apart from what is sent, before both are committed together.
//!
//! An event is matched once and its body is made once, whether it is sent, read or both. Where no subscription of a batch has readers,
//! nothing here is done but to see that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::event;
use crate::matching::Assembled;
use crate::pg::callbacks::Callback;
use crate::pg::feed::NewEvent;

/// A delivery with its body, and where it goes if that is a record's callback.
pub type Rendered = (Assembled, String, Option<Callback>);

/// Part of what the feed may take after which its blocks are looked at before their time: there are ten parts to a block.
const PARTS_OF_MOST: u64 = 40;

/// What has been written to the feed since its blocks were looked at. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Growth(Arc<Grown>);

#[derive(Debug, Default)]
struct Grown {
    bytes: AtomicU64,
    enough: AtomicU64,
    rang: Notify,
}

impl Growth {
    /// Of a feed that may take so many bytes.
    pub fn below(most_bytes: u64) -> Self {
        let grown = Grown::default();
        grown
            .enough
            .store((most_bytes / PARTS_OF_MOST).max(1), Ordering::Relaxed);
        Self(Arc::new(grown))
    }

    /// So much was written, and committed.
    pub fn add(&self, bytes: u64) {
        let before = self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.0.enough.load(Ordering::Relaxed) {
            self.0.rang.notify_one();
        }
    }

    /// Ends when enough was written that the blocks should be looked at.
    pub async fn is_enough(&self) {
        self.0.rang.notified().await;
    }

    /// Whether anything was written since this was asked last.
    pub fn take(&self) -> bool {
        self.0.bytes.swap(0, Ordering::Relaxed) > 0
    }
}

/// What is sent, and what readers get. Of a subscription that takes single records, changes of one record come in their order.
pub fn apart(made: Vec<Rendered>) -> (Vec<Rendered>, Vec<NewEvent>) {
    if !made.iter().any(|(delivery, ..)| delivery.subscription.is_fed()) {
        return (made, Vec::new());
    }
    let mut sent = Vec::with_capacity(made.len());
    let mut fed = Vec::new();
    for (delivery, body, callback) in made {
        let subscription = &delivery.subscription;
        let goes_out = match subscription.sends_to_callbacks() {
            true => callback.is_some(),
            false => subscription.has_endpoint(),
        };
        match (subscription.is_fed(), goes_out) {
            (true, true) => {
                fed.push((place(&delivery), new_event(&delivery, body.clone())));
                sent.push((delivery, body, callback));
            }
            (true, false) => fed.push((place(&delivery), new_event(&delivery, body))),
            (false, _) => sent.push((delivery, body, callback)),
        }
    }
    fed.sort_by_key(|(place, _)| *place);
    (sent, fed.into_iter().map(|(_, event)| event).collect())
}

/// Transactions of a batch come in the order of their ids, in which one that began first is first, although another has written the same
/// record before it. The rows of the outbox know.
fn place(delivery: &Assembled) -> (i32, i64) {
    let subscription = &delivery.subscription;
    let within = if subscription.is_per_record() {
        delivery.outbox_id
    } else {
        0
    };
    (subscription.row.id, within)
}

fn new_event(delivery: &Assembled, body: String) -> NewEvent {
    let subscription = &delivery.subscription;
    NewEvent {
        subscription_id: subscription.row.id,
        event_id: delivery.event_id,
        part: delivery.part,
        at: delivery.at,
        model: subscription.row.model.clone(),
        event_type: event::EventType::as_str(delivery.event_type),
        content_type: subscription.content.content_type(body.as_bytes()),
        record_ids: delivery.record_ids.clone(),
        body,
    }
}
