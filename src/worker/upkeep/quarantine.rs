//! Subscriptions whose domain failed on the data of a record.
//!
//! A domain that was accepted can still meet a value that PostgreSQL refuses to compare. Left alone, its error would end the batch,
//! and the same batch again after every restart. So the dispatcher asks each domain of the batch alone, puts the one that fails in
//! here, and the keeper of the roster marks it `invalid` with the reason. A change of the subscription lets it try again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::subscription::Subscription;

/// Clones share the list.
#[derive(Debug, Clone, Default)]
pub struct Quarantine {
    entries: Arc<Mutex<HashMap<i32, Entry>>>,
    /// Versions of rows that were looked at, and the process lived.
    survived: Arc<Mutex<HashMap<i32, String>>>,
}

#[derive(Debug)]
struct Entry {
    write_stamp: String,
    reason: String,
    told: bool,
}

impl Quarantine {
    fn entries(&self) -> MutexGuard<'_, HashMap<i32, Entry>> {
        // Whole after every statement, so a panic elsewhere leaves nothing half done.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts this version of a subscription away.
    pub fn add(&self, row: &Subscription, reason: String) {
        let entry = Entry {
            write_stamp: row.write_stamp.clone(),
            reason,
            told: false,
        };
        self.entries().insert(row.id, entry);
    }

    /// Why this version of a subscription must not be served, if so.
    pub fn reason_for(&self, row: &Subscription) -> Option<String> {
        self.entries()
            .get(&row.id)
            .filter(|entry| entry.write_stamp == row.write_stamp)
            .map(|entry| entry.reason.clone())
    }

    /// Whose they are, of these versions of all rows; what is of another version is forgotten.
    pub fn of_versions(&self, now: &HashMap<i32, String>) -> Vec<i32> {
        let mut entries = self.entries();
        entries.retain(|id, entry| now.get(id) == Some(&entry.write_stamp));
        entries.keys().copied().collect()
    }

    fn survived(&self) -> MutexGuard<'_, HashMap<i32, String>> {
        self.survived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this version of a row was looked at before, by this term.
    pub fn has_survived(&self, row: &Subscription) -> bool {
        self.survived().get(&row.id) == Some(&row.write_stamp)
    }

    /// These were looked at.
    pub fn note_survived<'r>(&self, rows: impl Iterator<Item = &'r Subscription>) {
        self.survived()
            .extend(rows.map(|row| (row.id, row.write_stamp.clone())));
    }

    /// These are all that there are.
    pub fn forget_others(&self, ids: impl Iterator<Item = i32>) {
        let ids: HashSet<i32> = ids.collect();
        self.survived().retain(|id, _| ids.contains(id));
    }

    /// Whether something was added since this was asked last.
    pub fn take_news(&self) -> bool {
        let mut entries = self.entries();
        let news = entries.values().any(|entry| !entry.told);
        entries.values_mut().for_each(|entry| entry.told = true);
        news
    }
}
