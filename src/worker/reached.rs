//! How far this process has led a database: what tells it that the database has forgotten some of that.
//!
//! The position in the outbox is kept in the database, so it goes back with it: seen from inside, a cluster whose files were put back,
//! or a promoted replica that lacks the last commits, is as it once was. It would send again what was sent, under the same ids, and its
//! transaction ids come a second time. The process that led it before remembers what it has committed.

use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::pg::outbox::{Lead, Position};

/// See the [module documentation](self). Clones are the same one; it outlives terms.
#[derive(Debug, Clone, Default)]
pub struct Reached(Arc<Mutex<Option<Mark>>>);

#[derive(Debug, Clone)]
struct Mark {
    epoch: Uuid,
    term: i64,
    position: Position,
}

impl Reached {
    /// Whether what a new leader found is from before what this process has committed, of the same installation. An `adopt` makes it another.
    pub fn is_beyond(&self, lead: &Lead) -> bool {
        let mark = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        mark.as_ref().is_some_and(|mark| {
            // A term begins with counting.
            let found = (lead.term - 1, lead.position.place());
            mark.epoch == lead.epoch && found < (mark.term, mark.position.place())
        })
    }

    /// A term began.
    pub fn lead(&self, lead: &Lead) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Mark {
            epoch: lead.epoch,
            term: lead.term,
            position: lead.position.clone(),
        });
    }

    /// The position moved in this term, and that is committed.
    pub fn moved(&self, position: &Position) {
        if let Some(mark) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            mark.position = position.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::outbox::Target;

    fn at(done: &str, target: Option<(&str, u64, i64)>) -> Position {
        Position {
            done: done.into(),
            target: target.map(|(snapshot, last_xid, last_id)| Target {
                snapshot: snapshot.into(),
                last_xid,
                last_id,
            }),
        }
    }

    fn lead(epoch: u128, term: i64, position: Position) -> Lead {
        Lead {
            term,
            position,
            epoch: Uuid::from_u128(epoch),
            database: "odoo".into(),
            notify: true,
        }
    }

    #[test]
    fn positions_are_in_the_order_in_which_they_are_reached() {
        let path = [
            at("90:100:90,95", None),
            at("90:100:90,95", Some(("110:120:", 101, 7))),
            at("90:100:90,95", Some(("110:120:", 101, 9))),
            at("90:100:90,95", Some(("110:120:", 115, 8))),
            at("110:120:", None),
        ];
        assert!(path.windows(2).all(|pair| pair[0].place() < pair[1].place()));
    }

    #[test]
    fn what_was_committed_and_is_not_there_any_more_is_missed() {
        let reached = Reached::default();
        let first = at("100:100:", None);
        assert!(!reached.is_beyond(&lead(1, 5, first.clone())), "nothing is known yet");
        reached.lead(&lead(1, 5, first.clone()));
        reached.moved(&at("110:110:", None));

        assert!(reached.is_beyond(&lead(1, 6, first.clone())), "the position went back");
        assert!(
            reached.is_beyond(&lead(1, 5, at("120:120:", None))),
            "the term went back"
        );
        assert!(!reached.is_beyond(&lead(1, 6, at("110:110:", None))));
        // A commit of which nobody knows whether it was one.
        assert!(!reached.is_beyond(&lead(1, 6, at("115:115:", None))));
        assert!(
            !reached.is_beyond(&lead(1, 9, first.clone())),
            "others led; they would have noticed"
        );
        assert!(!reached.is_beyond(&lead(2, 2, first)), "it was adopted");
    }
}
