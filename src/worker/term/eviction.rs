//! Whether somebody wants the database for himself, and how long to stay away then.
//!
//! Odoo's manager ends all sessions just before it drops, renames or duplicates a database, and fails if they come back at once. A server
//! that stops ends them with the same words; it is told from that by refusing everybody ([`crate::pg::connect::Database::has_restarted`]).
//!
//! The server says so once to each session: to the query that is under way there, else to whoever drives the connection. All that is asked
//! afterwards only finds a closed connection. So among the errors of one end the one that tells it counts. It may be told to nobody: the
//! driver's own messages, such as the end of a prepared statement, wait for no answer.

use std::time::Duration;

use crate::Error;
use crate::pg::connect::Notifications;
use crate::pg::sqlstate::EVICTED;
use crate::worker::term::listener::server_said;

/// After the server said so. The manager may have to end others' sessions too.
const STAY_AWAY: Duration = Duration::from_secs(15);

/// After a session was closed without a word that was heard: whatever it was ended for has begun by then.
const STAY_AWAY_IN_DOUBT: Duration = Duration::from_secs(2);

/// How long whoever's term ended with this error should stay away, if the server is well.
pub(in crate::worker) fn for_how_long(error: &Error) -> Option<Duration> {
    if error.means(EVICTED) {
        Some(STAY_AWAY)
    } else if error.is_connection_lost() {
        Some(STAY_AWAY_IN_DOUBT)
    } else {
        None
    }
}

/// Of two errors of one end the first, unless only the other one tells of being sent away.
pub(in crate::worker) fn more_telling(first: Error, other: Option<Error>) -> Error {
    match other {
        Some(other) if other.means(EVICTED) && !first.means(EVICTED) => other,
        _ => first,
    }
}

/// Both of two that ended together, as [`more_telling`] has it.
///
/// # Errors
/// When one of them failed.
pub(in crate::worker) fn both(first: crate::Result<()>, other: crate::Result<()>) -> crate::Result<()> {
    match (first, other) {
        (Err(first), other) => Err(more_telling(first, other.err())),
        (Ok(()), other) => other,
    }
}

/// The error that ended a term, or what the server said to the session that waits for the lead, when that tells more.
pub(in crate::worker) async fn reason(error: Error, notifications: &mut Notifications) -> Error {
    let said = server_said(notifications).await;
    more_telling(error, said)
}
