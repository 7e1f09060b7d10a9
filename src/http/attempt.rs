//! What came of one request: from what arrived, and from what went wrong, to an outcome of the delivery.
//!
//! An attempt succeeds when within its time a 2xx status and the body (or as much of it as is kept) have arrived. An answer that begins
//! with 2xx but breaks off or stays unfinished is a failure like any other, with its status recorded: whether the receiver's work was
//! done cannot be known, and the delivery's id lets it recognise a repetition. A status that is not 2xx stands whatever becomes of its
//! body.

use std::error::Error as StdError;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::dial::Broken;
use crate::backoff::parse_retry_after;
use crate::delivery::{Failure, Outcome};
use crate::endpoint::guard::Blocked;

/// The beginning of an answer's body, as text that PostgreSQL can store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snippet {
    /// UTF-8 without NUL; a byte that is neither is written `\x1f`.
    pub text: String,
    /// True when the body went on after this: it was longer than the cap, or broke off.
    pub truncated: bool,
}

/// What came of one request.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// What it means for the delivery.
    pub outcome: Outcome,
    /// The status, when one arrived; also of an answer whose body then failed.
    pub status: Option<u16>,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The body of the answer; empty when none arrived.
    pub response: Snippet,
    /// A sentence for the log when the attempt failed otherwise than by its status. Names addresses, never the URL.
    pub detail: Option<String>,
    /// From the call to the last byte read.
    pub duration: Duration,
}

/// What has arrived so far.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) status: Option<u16>,
    pub(super) retry_after: Option<String>,
    pub(super) body: Vec<u8>,
    pub(super) truncated: bool,
}

impl Answer {
    pub(super) fn into_attempt(self, ended: Result<(), Trouble>, duration: Duration) -> Attempt {
        let (outcome, detail) = match (self.status, ended) {
            (Some(status), Ok(())) => (Outcome::of_status(status), None),
            (Some(status), Err(trouble)) if !Outcome::of_status(status).is_success() => {
                (Outcome::of_status(status), Some(trouble.detail))
            }
            (_, Err(trouble)) => (Outcome::of_failure(trouble.failure), Some(trouble.detail)),
            (None, Ok(())) => unreachable!("an exchange ends well only after a status"),
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Attempt {
            outcome,
            status: self.status,
            retry_after: self
                .retry_after
                .and_then(|value| parse_retry_after(&value, now.try_into().unwrap_or(i64::MAX))),
            response: Snippet {
                text: printable(&self.body, self.truncated),
                truncated: self.truncated,
            },
            detail,
            duration,
        }
    }
}

/// So many characters of what went wrong are kept.
const DETAIL_AT_MOST: usize = 1_000;

/// Why an exchange ended early.
#[derive(Debug)]
pub(super) struct Trouble {
    failure: Failure,
    pub(super) detail: String,
}

impl Trouble {
    pub(super) fn new(failure: Failure, detail: String) -> Self {
        // It goes into the log, and PostgreSQL's text holds anything but this.
        // Some of it is in the receiver's words.
        let detail = detail
            .chars()
            .take(DETAIL_AT_MOST)
            .collect::<String>()
            .replace('\0', "\\x00");
        Self { failure, detail }
    }
}

impl From<Blocked> for Trouble {
    fn from(blocked: Blocked) -> Self {
        Self::new(Failure::BlockedAddress, blocked.to_string())
    }
}

impl From<Broken> for Trouble {
    fn from(error: Broken) -> Self {
        Self::new(classify(&error), chain(&error))
    }
}

/// Sorts an error by the types among its causes; no text is looked at.
fn classify(error: &Broken) -> Failure {
    // The innermost cause that is understood decides: the layers above only say where it happened.
    let understood = causes(error).into_iter().rev().find_map(of_cause);
    match (error, understood) {
        (Broken::Request(_), _) => Failure::InvalidRequest,
        (Broken::SpokeFirst(_), _) => Failure::Protocol,
        (_, Some(failure)) => failure,
        (Broken::Ended, None) => Failure::ConnectionReset,
        (Broken::Name(_), None) => Failure::Dns,
        (Broken::Connect(_), None) => Failure::Unreachable,
        (Broken::Tls(_), None) => Failure::Tls,
        (Broken::Exchange(_), None) => Failure::Protocol,
    }
}

fn of_cause(cause: &(dyn StdError + 'static)) -> Option<Failure> {
    if cause.is::<Blocked>() {
        return Some(Failure::BlockedAddress);
    }
    if cause.is::<rustls::Error>() {
        return Some(Failure::Tls);
    }
    if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
        return if hyper.is_timeout() {
            Some(Failure::Timeout)
        } else if hyper.is_parse() {
            Some(Failure::Protocol)
        } else if hyper.is_incomplete_message() || hyper.is_canceled() || hyper.is_closed() {
            Some(Failure::ConnectionReset)
        } else {
            None
        };
    }
    if let Some(h2) = cause.downcast_ref::<h2::Error>() {
        // The receiver ended the stream or the connection. What we ended, we ended because it was not HTTP/2.
        let ended = h2.is_remote() && (h2.is_reset() || h2.is_go_away());
        return (!h2.is_io()).then_some(if ended {
            Failure::ConnectionReset
        } else {
            Failure::Protocol
        });
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => Some(Failure::ConnectionRefused),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => Some(Failure::ConnectionReset),
        io::ErrorKind::TimedOut => Some(Failure::Timeout),
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::PermissionDenied => Some(Failure::Unreachable),
        // Malformed chunks and the like.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Some(Failure::Protocol),
        _ => None,
    }
}

/// The error and its causes, outermost first.
///
/// An `io::Error` made from another error hides it from `source`, which goes on below it; rustls' errors travel in such ones.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    let mut list = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        list.push(cause);
        next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    list
}

/// All causes in one line, each said once.
fn chain(error: &Broken) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let said = cause.to_string();
        if text.is_empty() {
            text = said;
        } else if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
    }
    text
}

/// Bytes as text for PostgreSQL, which takes neither NUL nor invalid UTF-8; nothing is lost.
///
/// A character cut in two by the cap is left out.
fn printable(bytes: &[u8], truncated: bool) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len());
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        for character in chunk.valid().chars() {
            if character == '\0' {
                text.push_str("\\x00")
            } else {
                text.push(character)
            }
        }
        let cut = truncated && chunks.peek().is_none() && is_beginning_of_character(chunk.invalid());
        for byte in chunk.invalid().iter().filter(|_| !cut) {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn is_beginning_of_character(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
#[path = "attempt_tests.rs"]
mod tests;
