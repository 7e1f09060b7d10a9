//! How many requests may be under way, in all and for each subscription.
//!
//! A slot is taken before an attempt is logged as pending and given back after its result was recorded, so what is pending in the
//! log is what is under way. Nobody waits for a slot: what gets none waits in the database, and memory stays bounded whatever the
//! backlog.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counters; clones share them.
#[derive(Debug, Clone)]
pub struct Slots {
    taken: Arc<Mutex<Taken>>,
    most: usize,
    most_per_subscription: usize,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_subscription: HashMap<i32, usize>,
}

impl Slots {
    /// At most `most` requests in all and `most_per_subscription` for one subscription.
    pub fn new(most: usize, most_per_subscription: usize) -> Self {
        Self {
            taken: Arc::default(),
            most,
            most_per_subscription,
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Counters are whole after every statement, so a panic elsewhere leaves nothing half done.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up to `wanted` slots for a subscription and returns how many were free.
    pub fn take(&self, subscription: i32, wanted: usize) -> usize {
        let mut taken = self.taken();
        let of_subscription = taken.by_subscription.get(&subscription).copied().unwrap_or(0);
        let free =
            (self.most.saturating_sub(taken.total)).min(self.most_per_subscription.saturating_sub(of_subscription));
        let granted = wanted.min(free);
        if granted > 0 {
            taken.total += granted;
            *taken.by_subscription.entry(subscription).or_default() += granted;
        }
        granted
    }

    /// Gives slots back.
    pub fn give_back(&self, subscription: i32, count: usize) {
        let mut taken = self.taken();
        taken.total = taken.total.saturating_sub(count);
        if let Some(of_subscription) = taken.by_subscription.get_mut(&subscription) {
            *of_subscription = of_subscription.saturating_sub(count);
            if *of_subscription == 0 {
                taken.by_subscription.remove(&subscription);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_subscription_cannot_take_the_slots_of_others() {
        let slots = Slots::new(10, 4);
        assert_eq!(slots.take(1, 100), 4);
        assert_eq!(slots.take(2, 3), 3);
        assert_eq!(slots.take(3, 100), 3);
        assert_eq!(slots.take(4, 1), 0);
        slots.give_back(1, 1);
        assert_eq!(slots.take(4, 5), 1);
    }
}
