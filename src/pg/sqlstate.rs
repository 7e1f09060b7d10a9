//! What a failure of the database means, by its SQLSTATE: judged here alone.
//!
//! Each meaning is a constant that lists codes of five characters or classes of two. What the caller does about it stands with him; that
//! two callers understand the same code differently cannot be.

use tokio_postgres::error::SqlState;

use crate::Error;

/// Codes and classes that mean the same to the service.
#[derive(Debug, Clone, Copy)]
pub struct Meaning(&'static [&'static str]);

/// A lock could not be had in the time that was left for it (55P03): somebody is altering a table. Trying again later helps.
pub const LOCK_TIMEOUT: Meaning = Meaning(&["55P03"]);
/// A statement was cancelled (57014), by a time limit or by a request that was meant for an earlier one.
pub const CANCELLED: Meaning = Meaning(&["57014"]);
/// No more connections are accepted (53300); those that there are go on.
pub const OUT_OF_CONNECTIONS: Meaning = Meaning(&["53300"]);
/// The same call may succeed in a moment: a lock, a time limit, a conflict of transactions (40001, 40P01), no connection left.
const BUSY: Meaning = Meaning(&["55P03", "57014", "40001", "40P01", "53300"]);
/// What passes by itself: a conflict of transactions (40001, 40P01), a plan that the catalogue has left behind (0A000), an entry of the
/// catalogue that goes while it is read (XX000), or what is [`BUSY`].
const OF_THE_MOMENT: Meaning = Meaning(&["40001", "40P01", "0A000", "XX000", "55P03", "57014", "53300"]);
/// The role may not do or read that (42501).
pub const DENIED: Meaning = Meaning(&["42501"]);
/// What was named is not there (42704); a function of ours says so of a model that is not captured.
pub const UNDEFINED_OBJECT: Meaning = Meaning(&["42704"]);
/// There is no such row, or the operator does not see it: PL/pgSQL's `no_data_found`.
pub const NO_DATA_FOUND: Meaning = Meaning(&["P0002"]);
/// A column or a table is gone, or may not be read (class 42).
pub const OF_THE_NAMES: Meaning = Meaning(&["42"]);
/// The same, or a value that cannot be read as its type or compared (class 22): the one subscription is the reason, not the database.
pub const OF_THE_DATA: Meaning = Meaning(&["42", "22"]);
/// Setting up capture failed for a reason that lies in the one model: column (42703) or table (42P01) gone, or not the owner's (42501).
pub const OF_THE_MODEL: Meaning = Meaning(&["42703", "42P01", "42501"]);
/// A statement was cut off: it took longer than its session lets one take, or somebody cancelled it (57014).
pub const CUT_OFF: Meaning = Meaning(&["57014"]);
/// A setting has no such value (22023): a time zone that the server does not know.
pub const NO_SUCH_SETTING: Meaning = Meaning(&["22023"]);
/// An interval or a date cannot be read: of the columns of a subscription only `max_event_age` is one.
pub const BAD_INTERVAL: Meaning = Meaning(&["22007", "22008"]);
/// The table does not take a value: a constraint (23514, 23502), a text that is none of the type (22P02), a number out of range (22003), a
/// character that the database's encoding does not have (22P05).
pub const BAD_VALUE: Meaning = Meaning(&["23514", "22P02", "23502", "22003", "22P05"]);
/// PostgreSQL cannot keep a text that it was given (22P05, 22021): every text of a caller may hold NUL, which JSON can write and text
/// cannot.
pub const BAD_TEXT: Meaning = Meaning(&["22P05", "22021"]);
/// Odoo's manager or an administrator ended our sessions (57P01), or the database is in use for something else (55006).
pub const EVICTED: Meaning = Meaning(&["57P01", "55006"]);
/// The server starts or stops (57P03).
pub const SERVER_STARTING: Meaning = Meaning(&["57P03"]);
/// User or password is wrong (28P01, 28000).
pub const BAD_LOGIN: Meaning = Meaning(&["28P01", "28000"]);
/// There is no such database (3D000).
pub const NO_SUCH_DATABASE: Meaning = Meaning(&["3D000"]);
/// Time alone does not mend it: wrong login, no such database, no right.
pub const NEEDS_SOMEBODY: Meaning = Meaning(&["28P01", "28000", "3D000", "42501"]);
/// Only a pooler in transaction mode causes it: a statement that was prepared a moment ago is not known any more (26000), or one of that
/// name is known already (42P05).
pub const POOLER: Meaning = Meaning(&["26000", "42P05"]);
/// A pooler does not know a parameter of the connection (08P01).
pub const PROTOCOL: Meaning = Meaning(&["08P01"]);
/// Our own: another instance leads (`functions/guard.sql`).
pub const LEASE_LOST: Meaning = Meaning(&["OE001"]);
/// Our own: nothing may be delivered from this database (`functions/guard.sql`).
pub const FENCED: Meaning = Meaning(&["OE002"]);
/// Nothing is said of the statement: the connection, the login, the server's resources or its end, a server that has become a standby
/// (25006), and our own, of a term that is over.
const OF_THE_SESSION: Meaning = Meaning(&["08", "28", "3D", "53", "57", "58", "OE", "F0", "25006"]);

impl Meaning {
    /// Whether a code has it.
    fn has(self, code: &str) -> bool {
        self.0
            .iter()
            .any(|listed| *listed == code || (listed.len() == 2 && code.starts_with(listed)))
    }

    /// Whether an error of the driver has it.
    pub(super) fn of(self, error: &tokio_postgres::Error) -> bool {
        error.code().is_some_and(|state| self.has(state.code()))
    }
}

impl Error {
    /// Whether the database's error at the root of this one has this meaning.
    pub fn means(&self, meaning: Meaning) -> bool {
        self.sql_state().is_some_and(|state| meaning.has(state.code()))
    }

    /// True when the same call may succeed in a moment: all connections were in use, or somebody held a lock for too long.
    pub fn is_busy(&self) -> bool {
        self.is_refused_for_now() || self.means(BUSY)
    }

    /// True when the database says that there is no such thing.
    pub fn is_no_data_found(&self) -> bool {
        self.means(NO_DATA_FOUND)
    }

    /// True when a lock could not be had in the time that was left for it.
    pub fn is_lock_timeout(&self) -> bool {
        self.means(LOCK_TIMEOUT)
    }

    /// True when the database refused this one statement and would answer others.
    pub fn is_of_the_statement(&self) -> bool {
        self.sql_state().is_some() && !self.means(OF_THE_SESSION)
    }

    /// True when the database refused this one statement and would refuse it again.
    pub fn is_lasting_refusal(&self) -> bool {
        self.is_of_the_statement() && !self.means(OF_THE_MOMENT)
    }

    /// True when the server answered, and refused.
    pub fn is_of_the_server(&self) -> bool {
        self.sql_state().is_some()
    }

    /// True when a session ended in the middle, and the server did not say why, or was not heard.
    pub fn is_connection_lost(&self) -> bool {
        self.of_the_driver().is_some_and(|error| {
            let is_io = std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
            error.is_closed() || is_io
        })
    }

    /// The SQLSTATE of the database error at the root of this one, if there is one.
    pub fn sql_state(&self) -> Option<&SqlState> {
        self.of_the_driver()?.code()
    }

    fn of_the_driver(&self) -> Option<&tokio_postgres::Error> {
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            if let Some(of_the_driver) = error.downcast_ref() {
                return Some(of_the_driver);
            }
            cause = error.source();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_meant_whole_and_a_code_alone() {
        assert!(OF_THE_DATA.has("22P02") && OF_THE_DATA.has("42501"));
        assert!(!LOCK_TIMEOUT.has("55006"), "the same class, another code");
        assert!(OF_THE_SESSION.has("25006") && !OF_THE_SESSION.has("25001"));
    }
}
