//! Which subscriptions have been noted as read, so that it is done once in a while and not with each read.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use crate::Result;
use crate::pg::{Client, feed};

/// What was noted, and for how long it holds.
#[derive(Debug)]
pub(super) struct Note {
    subscriptions: BTreeSet<i32>,
    holds_for: Duration,
}

impl Note {
    /// Notes that somebody reads these; none where there are none.
    ///
    /// # Errors
    /// Database errors.
    pub(super) async fn make(client: &Client, subscriptions: BTreeSet<i32>) -> Result<Option<Self>> {
        if subscriptions.is_empty() {
            return Ok(None);
        }
        let ids: Vec<i32> = subscriptions.iter().copied().collect();
        let holds_for = feed::note_readers(client, &ids).await?;
        Ok(Some(Self {
            subscriptions,
            holds_for,
        }))
    }
}

/// See the [module documentation](self).
#[derive(Debug, Default)]
pub(super) struct Noted {
    at: HashMap<i32, Instant>,
    holds_for: Duration,
}

impl Noted {
    /// Those of these that are to be noted.
    pub(super) fn due(&self, subscriptions: impl Iterator<Item = i32>) -> BTreeSet<i32> {
        let is_due = |id: &i32| self.at.get(id).is_none_or(|at| at.elapsed() >= self.holds_for);
        subscriptions.filter(is_due).collect()
    }

    pub(super) fn add(&mut self, note: Note) {
        let now = Instant::now();
        self.holds_for = note.holds_for;
        self.at.retain(|_, at| now.duration_since(*at) < note.holds_for);
        self.at.extend(note.subscriptions.into_iter().map(|id| (id, now)));
    }
}
