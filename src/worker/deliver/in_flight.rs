//! Which of the claimed attempts may have been sent: what tells one that was cut off from one that nobody got round to.
//!
//! A term can end between the claim of an attempt and its request: a stop, a lost connection, an answer of the database that never came.
//! The log then has it as pending, as it has one whose request is under way. To the next instance both look alike, and it must take them
//! for interrupted, which ends a one-shot. The process that claimed them knows better, as long as it lives: it gives back, at the end of
//! the term or at the beginning of its next, whatever it has not begun.

use std::collections::HashSet;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::pg::Client;

use crate::Result;
use crate::pg::deliveries::{self, LogKey};

/// A claim may still be committed by the server when its term is over and its connection gone, but not for so many terms.
const REMEMBERED_TERMS: usize = 8;

/// See the [module documentation](self). Clones are the same one; it outlives terms.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Mutex<Vec<Term>>>);

/// The newest is the last: numbers tell nothing of age, for those of an assistant are negative.
#[derive(Debug)]
struct Term {
    number: i64,
    /// Ids in the log.
    in_flight: HashSet<i64>,
}

impl InFlight {
    fn terms(&self) -> MutexGuard<'_, Vec<Term>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This process leads for this term, or assists under this number: what is claimed in it, nobody else sends.
    pub fn lead(&self, number: i64) {
        let mut terms = self.terms();
        terms.push(Term {
            number,
            in_flight: HashSet::new(),
        });
        let forgotten = terms.len().saturating_sub(REMEMBERED_TERMS);
        terms.drain(..forgotten);
    }

    /// A request is about to be made.
    pub fn add(&self, number: i64, attempt: LogKey) {
        if let Some(term) = self.terms().iter_mut().find(|term| term.number == number) {
            term.in_flight.insert(attempt.id);
        }
    }

    /// What became of these is in the database.
    pub fn recorded(&self, number: i64, attempts: impl IntoIterator<Item = LogKey>) {
        if let Some(term) = self.terms().iter_mut().find(|term| term.number == number) {
            for attempt in attempts {
                term.in_flight.remove(&attempt.id);
            }
        }
    }

    /// Lets all that was claimed before this term, and not begun, be claimed anew.
    ///
    /// # Errors
    /// As [`deliveries::give_back`].
    pub async fn give_back_before(&self, client: &Client, term: i64) -> Result<()> {
        self.give_back(client, term, self.of(0..term)).await
    }

    /// The same for this term too; to be called when its tasks have ended.
    ///
    /// # Errors
    /// As [`deliveries::give_back`].
    pub async fn give_back_all(&self, client: &Client, term: i64) -> Result<()> {
        self.give_back(client, term, self.of(0..=term)).await
    }

    /// The same for one term alone: an assistant's, whose tasks have ended.
    ///
    /// # Errors
    /// As [`deliveries::give_back`].
    pub async fn give_back_of(&self, client: &Client, term: i64) -> Result<()> {
        self.give_back(client, term, self.of(term..=term)).await
    }

    /// The terms with such numbers, and what was begun in them. A leader's begin at 0: as an assistant this process may still be ending.
    fn of(&self, numbers: impl RangeBounds<i64>) -> (Vec<i64>, Vec<i64>) {
        let terms = self.terms();
        let own = terms.iter().filter(|term| numbers.contains(&term.number));
        (
            own.clone().map(|term| term.number).collect(),
            own.flat_map(|term| &term.in_flight).copied().collect(),
        )
    }

    async fn give_back(&self, client: &Client, term: i64, (terms, in_flight): (Vec<i64>, Vec<i64>)) -> Result<()> {
        if terms.is_empty() {
            return Ok(());
        }
        let given = deliveries::give_back(client, term, &terms, &in_flight).await?;
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
        let in_flight = InFlight::default();
        in_flight.lead(3);
        in_flight.add(3, attempt(30));
        in_flight.add(3, attempt(31));
        in_flight.recorded(3, [attempt(30)]);
        in_flight.lead(5);
        in_flight.add(5, attempt(50));
        assert_eq!(in_flight.of(0..=4), (vec![3], vec![31]));
        assert_eq!(in_flight.of(0..=5), (vec![3, 5], vec![31, 50]));
    }

    #[test]
    fn old_terms_are_forgotten() {
        let in_flight = InFlight::default();
        (1..=20).for_each(|term| in_flight.lead(term));
        assert_eq!(in_flight.of(0..=20).0, (13..=20).collect::<Vec<_>>());
    }

    #[test]
    fn an_assistant_that_took_the_lead_still_knows_what_it_had_begun() {
        let in_flight = InFlight::default();
        (1..=9).for_each(|number| in_flight.lead(-number));
        in_flight.add(-9, attempt(90));
        in_flight.lead(5);
        assert_eq!(in_flight.of(-9..=-9), (vec![-9], vec![90]));
        assert_eq!(
            in_flight.of(0..5),
            (vec![], vec![]),
            "it is not the leader's to give back"
        );
    }
}
