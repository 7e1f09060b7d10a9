//! What is known of the deliveries that wait in the database: who has some, and from when on.
//!
//! What was sent leaves dead entries in the index, and they stay while any transaction of the cluster is open: a backup, a report. So
//! each subscription is looked into from where it was left: what was due before has been claimed. That misses what was written with
//! an earlier time and committed later, by a redelivery for instance, so once in [`THOROUGH_EVERY`] all is looked through.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::Result;
use crate::pg::deliveries::{self, Claimed};
use crate::subscription::ResolvedSubscription;
use crate::worker::upkeep::subscription_set::SubscriptionSet;

/// How often everything is looked through, from the beginning.
const THOROUGH_EVERY: Duration = Duration::from_secs(30);

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub struct Backlog {
    since: HashMap<i32, Timestamp>,
    looked_through: Option<Instant>,
    /// The subscriptions that were asked for by name, at the last thorough look.
    version: Option<i64>,
}

impl Backlog {
    /// Whose deliveries are due; of a thorough look also those that nobody can send.
    ///
    /// # Errors
    /// Database errors.
    pub async fn look(
        &mut self,
        client: &crate::pg::Pooled,
        subscription_set: &SubscriptionSet,
    ) -> Result<HashSet<i32>> {
        let was_lately = self.looked_through.is_some_and(|at| at.elapsed() < THOROUGH_EVERY);
        if was_lately && self.version == subscription_set.version {
            let from: Vec<_> = subscription_set
                .sendable_all()
                .map(|s| (s.row.id, self.since(s)))
                .collect();
            let due = deliveries::due_since(client, &from).await?;
            return Ok(due.into_iter().map(|(id, _)| id).collect());
        }
        let due = deliveries::due_subscriptions(client).await?;
        let mut is_sendable = true;
        for first in &due {
            self.since
                .entry(first.subscription)
                .and_modify(|since| *since = first.due_at.min(*since));
            is_sendable &= subscription_set.sendable(first.subscription).is_some();
        }
        self.since.retain(|id, _| subscription_set.sendable(*id).is_some());
        // As long as something is there that nobody sends, it is looked for.
        self.looked_through = is_sendable.then(Instant::now);
        self.version = subscription_set.version;
        Ok(due
            .into_iter()
            .filter(|d| d.due_in.is_zero())
            .map(|d| d.subscription)
            .collect())
    }

    /// From when on something of this subscription may wait. Of an ordered one anything may: lanes are taken out of turn.
    pub fn since(&self, subscription: &ResolvedSubscription) -> Option<Timestamp> {
        (!subscription.row.ordered)
            .then(|| self.since.get(&subscription.row.id).copied())
            .flatten()
    }

    /// These have been claimed, and with them all that was due before.
    pub fn claimed(&mut self, claimed: &[Claimed]) {
        for delivery in claimed {
            if let Some(was_due) = delivery.was_due {
                let since = self.since.entry(delivery.subscription_id).or_insert(was_due);
                *since = was_due.max(*since);
            }
        }
    }

    /// Something was committed long after it was written: everything is to be looked through.
    pub fn distrust(&mut self) {
        self.looked_through = None;
    }
}
