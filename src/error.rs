//! The crate's one error: what was tried, on what, and what to do about it.
//!
//! Opaque outside: callers ask predicates and [`Error::exit_code`]; the causes stay reachable through
//! [`std::error::Error::source`]. Secrets, header values and payloads never enter a message: connection strings are named by
//! host and database only (see `pg::connect`), URLs without their query (see `http::mask`). What a failure of the database means is
//! judged by its SQLSTATE in [`crate::pg::sqlstate`].

use std::fmt;
use std::ops::Range;

use crate::caret::excerpt;

/// A result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What kind of failure it was; the single place that retry and exit code are derived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The caller asked for something that cannot be: a malformed domain, an unknown model, a bad URL.
    Usage,
    /// The database refused, was away, or answered something that was not understood.
    Database,
    /// The database answers, but is not what is needed: not Odoo's, not installed, too old, a copy.
    Unfit,
    /// This process no longer leads; another one does. Nothing was written.
    LeaseLost,
    /// The database is a copy, or is marked as one: nothing may be delivered from it. Nothing was written.
    Fenced,
    /// Too many want the same at once; later there is room.
    Busy,
    /// Anything else: files, sockets, our own mistakes.
    Other,
}

/// Where in what the user wrote the fault is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    /// The column of `mcp_event_subscription` that holds the text.
    pub column: &'static str,
    /// The whole text.
    pub text: String,
    /// The part of it, in bytes.
    pub span: Range<usize>,
}

impl Passage {
    /// The part itself; nothing where it is the end of the text.
    pub fn part(&self) -> Option<&str> {
        self.text.get(self.span.clone()).filter(|part| !part.is_empty())
    }

    /// The line that it stands in, and carets under it.
    pub fn excerpt(&self) -> String {
        excerpt(&self.text, &self.span)
    }
}

/// See the [module documentation](self).
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
    column: Option<&'static str>,
    place: Option<Box<Passage>>,
    /// What else is wrong with the same thing.
    more: Vec<Self>,
    source: Option<Source>,
}

impl Error {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            column: None,
            place: None,
            more: Vec::new(),
            source: None,
        }
    }

    /// Wrong use: the user can mend it by asking differently. Exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The database is there but is not fit for what was asked. Exit code 1.
    pub fn unfit(message: impl Into<String>) -> Self {
        Self::new(Kind::Unfit, message)
    }

    /// Another instance took over; what was about to be written is not ours to write any more.
    pub fn lease_lost(message: impl Into<String>) -> Self {
        Self::new(Kind::LeaseLost, message)
    }

    /// The database became a copy, or was marked as one, while the service ran.
    pub fn fenced(message: impl Into<String>) -> Self {
        Self::new(Kind::Fenced, message)
    }

    /// Too many want the same at once. Exit code 1.
    pub fn busy(message: impl Into<String>) -> Self {
        Self::new(Kind::Busy, message)
    }

    /// A failure of the surroundings: files, sockets, processes. Exit code 1.
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(Kind::Other, message)
    }

    /// A database call failed while `tried` was attempted ("read subscriptions").
    pub fn database(tried: impl fmt::Display, source: impl Into<Source>) -> Self {
        Self::new(Kind::Database, format!("cannot {tried}")).with_source(source)
    }

    /// Adds what the user can do about it; printed on a line of its own.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Keeps the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Says which column of `mcp_event_subscription` it is about.
    #[must_use]
    pub fn of(mut self, column: &'static str) -> Self {
        self.column = Some(column);
        self
    }

    /// Adds what else is wrong with the same thing.
    #[must_use]
    pub fn with_more(mut self, others: impl IntoIterator<Item = Self>) -> Self {
        self.more.extend(others.into_iter().flat_map(Self::apart));
        self
    }

    /// Each thing that is wrong, apart: this one, and what was added to it.
    pub fn apart(mut self) -> impl Iterator<Item = Self> {
        let more = std::mem::take(&mut self.more);
        std::iter::once(self).chain(more)
    }

    /// Each thing that is wrong: this one, and what was added to it.
    pub fn refusals(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.more)
    }

    /// Which column of `mcp_event_subscription` it is about, if it is about one.
    pub fn column(&self) -> Option<&'static str> {
        self.column.or_else(|| self.passage().map(|place| place.column))
    }

    /// Says where in what the user wrote it is.
    #[must_use]
    pub fn at(mut self, place: Passage) -> Self {
        self.place = Some(Box::new(place));
        self
    }

    /// Puts what was to be done before what is wrong.
    #[must_use]
    pub fn before(mut self, said: &str) -> Self {
        self.message = format!("{said}: {}", self.message);
        self
    }

    /// Where in what the user wrote it is, if it is known.
    pub fn passage(&self) -> Option<&Passage> {
        self.place.as_deref()
    }

    /// What to do about it, if it is known.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// True when asking differently would help (exit code 2).
    pub fn is_usage(&self) -> bool {
        self.kind == Kind::Usage
    }

    /// True when the database is there but is not fit for what was asked.
    pub fn is_unfit(&self) -> bool {
        self.kind == Kind::Unfit
    }

    /// True when too many wanted the same at once, by our own count.
    pub(crate) fn is_refused_for_now(&self) -> bool {
        self.kind == Kind::Busy
    }

    /// True when another instance leads now.
    pub fn is_lease_lost(&self) -> bool {
        self.kind == Kind::LeaseLost
    }

    /// True when nothing may be delivered from the database any more.
    pub fn is_fenced(&self) -> bool {
        self.kind == Kind::Fenced
    }

    /// True when the same call may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, Kind::Database | Kind::Busy)
    }

    /// True when whoever reads what is printed has read enough: `odoo-eventd deliveries | head`.
    pub fn is_closed_pipe(&self) -> bool {
        let source = self
            .source
            .as_ref()
            .and_then(|source| source.downcast_ref::<std::io::Error>());
        self.kind == Kind::Other && source.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
    }

    /// The process's exit code: 2 for wrong use, 1 for everything else (SPEC: exit 0 done, 1 failed, 2 wrong use).
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Usage => 2,
            Kind::Database | Kind::Unfit | Kind::LeaseLost | Kind::Fenced | Kind::Busy | Kind::Other => 1,
        }
    }

    /// The message with all its causes and its place on one line, as it is logged or kept; without the hint.
    pub fn chain(&self) -> String {
        let said = self.causes();
        match self.passage().and_then(Passage::part) {
            Some(part) => format!("{said} (at {part})"),
            None => said,
        }
    }

    /// The same with the hint.
    pub fn chain_with_hint(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{} (hint: {hint})", self.chain()),
            None => self.chain(),
        }
    }

    /// For a terminal: the message with its causes, the place under it, and the hint on a line of its own; then what else is wrong, in
    /// the same way.
    pub fn for_people(&self) -> String {
        let told: Vec<String> = self.refusals().map(Self::told).collect();
        told.join("\nalso: ")
    }

    fn told(&self) -> String {
        let mut text = self.causes();
        if let Some(place) = self.passage() {
            text.push('\n');
            text.push_str(&place.excerpt());
        }
        if let Some(hint) = self.hint() {
            text.push_str("\nhint: ");
            text.push_str(hint);
        }
        text
    }

    /// The message with all its causes, on one line.
    pub(crate) fn causes(&self) -> String {
        let mut text = self.message.clone();
        let mut cause: Option<&(dyn std::error::Error + 'static)> = self.source.as_deref().map(|e| e as _);
        while let Some(error) = cause {
            // A PostgreSQL error says its text in `as_db_error`; its own Display is only "db error".
            let said = match error.downcast_ref::<tokio_postgres::error::DbError>() {
                Some(db) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
                None => error.to_string(),
            };
            if said != "db error" && !text.ends_with(&said) {
                text.push_str(": ");
                text.push_str(&said);
            }
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.chain())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_names_every_cause_once() {
        let io = std::io::Error::other("disk is gone");
        let error = Error::other("cannot write the unit")
            .with_source(io)
            .with_hint("free some space");
        assert_eq!(error.chain(), "cannot write the unit: disk is gone");
        assert_eq!(error.hint(), Some("free some space"));
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn wrong_use_exits_with_two() {
        assert_eq!(Error::usage("no such model").exit_code(), 2);
    }
}
