//! Which of the claimed attempts may have been sent: what tells one that was cut off from one that nobody got round to.
//!
//! A term can end between the claim of an attempt and its request: a stop, a lost connection, an answer of the database that never came.
//! The log then has it as pending, as it has one whose request is under way. To the next instance both look alike, and it must take them
//! for interrupted, which ends a one-shot. The process that claimed them knows better, as long as it lives: it gives back, at the end of
//! the term or at the beginning of its next, whatever it has not begun.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_postgres::Client;

use crate::Result;
use crate::pg::deliveries::{self, LogKey};

/// A claim may still be committed by the server when its term is over and its connection gone, but not for so many terms.
const REMEMBERED_TERMS: usize = 8;

/// See the [module documentation](self). Clones are the same one; it outlives terms.
#[derive(Debug, Clone, Default)]
pub struct Begun(Arc<Mutex<BTreeMap<i64, HashSet<i64>>>>);

impl Begun {
    fn terms(&self) -> MutexGuard<'_, BTreeMap<i64, HashSet<i64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This process leads for this term: what is claimed in it, nobody else sends.
    pub fn lead(&self, term: i64) {
        let mut terms = self.terms();
        terms.entry(term).or_default();
        while terms.len() > REMEMBERED_TERMS {
            terms.pop_first();
        }
    }

    /// A request is about to be made.
    pub fn add(&self, term: i64, attempt: LogKey) {
        self.terms().entry(term).or_default().insert(attempt.id);
    }

    /// What became of these is in the database.
    pub fn recorded(&self, term: i64, attempts: impl IntoIterator<Item = LogKey>) {
        if let Some(begun) = self.terms().get_mut(&term) {
            for attempt in attempts {
                begun.remove(&attempt.id);
            }
        }
    }

    /// Lets all that was claimed before this term, and not begun, be claimed anew.
    ///
    /// # Errors
    /// As [`deliveries::give_back`].
    pub async fn give_back_before(&self, client: &Client, term: i64) -> Result<()> {
        let (terms, begun) = self.up_to(term - 1);
        self.give_back(client, term, (terms, begun)).await
    }

    /// The same for this term too; to be called when its tasks have ended.
    ///
    /// # Errors
    /// As [`deliveries::give_back`].
    pub async fn give_back_all(&self, client: &Client, term: i64) -> Result<()> {
        self.give_back(client, term, self.up_to(term)).await
    }

    /// The same for one term alone: an assistant's, whose tasks have ended.
    ///
    /// # Errors
    /// As [`deliveries::give_back`].
    pub async fn give_back_of(&self, client: &Client, term: i64) -> Result<()> {
        let begun = self.terms().get(&term).into_iter().flatten().copied().collect();
        self.give_back(client, term, (vec![term], begun)).await
    }

    /// Terms as the leading instance; as an assistant (negative) this process may still be ending.
    fn up_to(&self, term: i64) -> (Vec<i64>, Vec<i64>) {
        let terms = self.terms();
        let own = terms.range(0..=term);
        (
            own.clone().map(|(term, _)| *term).collect(),
            own.flat_map(|(_, begun)| begun).copied().collect(),
        )
    }

    async fn give_back(&self, client: &Client, term: i64, (terms, begun): (Vec<i64>, Vec<i64>)) -> Result<()> {
        if terms.is_empty() {
            return Ok(());
        }
        let given = deliveries::give_back(client, term, &terms, &begun).await?;
        if given > 0 {
            tracing::info!(
                attempts = given,
                "gave back what was claimed and not sent before the term ended"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(id: i64) -> LogKey {
        LogKey {
            id,
            date: jiff::civil::date(2026, 11, 20).at(12, 0, 0, 0),
        }
    }

    #[test]
    fn what_was_begun_and_not_recorded_is_known_for_each_term() {
        let begun = Begun::default();
        begun.lead(3);
        begun.add(3, attempt(30));
        begun.add(3, attempt(31));
        begun.recorded(3, [attempt(30)]);
        begun.lead(5);
        begun.add(5, attempt(50));
        assert_eq!(begun.up_to(4), (vec![3], vec![31]));
        assert_eq!(begun.up_to(5), (vec![3, 5], vec![31, 50]));
    }

    #[test]
    fn old_terms_are_forgotten() {
        let begun = Begun::default();
        (1..=20).for_each(|term| begun.lead(term));
        assert_eq!(begun.up_to(20).0, (13..=20).collect::<Vec<_>>());
    }
}
