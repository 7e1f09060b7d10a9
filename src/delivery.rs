//! What an attempt's end means for its delivery.
//!
//! The one table that decides is [`Outcome::of_status`] and [`Outcome::of_failure`]; nothing else in the program looks at a status code
//! or an error to choose between retrying and giving up.
//!
//! | the attempt ended with | verdict | `error` in the log |
//! | --- | --- | --- |
//! | 200–299 | success | |
//! | 300–399 | fail | `redirect` |
//! | 410 | disable the subscription | `http_status` |
//! | 408, 425, 429, 500–599 | retry | `http_status` |
//! | any other status (400, 401, 403, 404, 422 ..) | fail | `http_status` |
//! | `timeout`, `dns`, `connection_refused`, `connection_reset`, `unreachable`, `tls`, `protocol` | retry | the same |
//! | `interrupted` | retry | the same |
//! | `blocked_address`, `invalid_request`, `body_too_large`, `template`, `expired`, `cancelled`, `disabled` | fail | the same |
//!
//! "Retry" holds while attempts are left; with one attempt (the default) it ends like "fail". A certificate that is refused is retried
//! because it is mended at the receiver, usually within the day; a blocked address is not, because it is our own operator's rule.
//! Sources: Standard Webhooks, "Delivery success and failure"; RFC 9110 section 15 for what a status says about trying again.
//!
//! Pure: no clock, no network.

pub mod meaning;

use std::fmt;

/// Why an attempt failed: the values of `mcp_webhook_delivery.error`.
///
/// The texts are a contract: people filter by them, so one is never renamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Failure {
    /// The total time ran out: resolving, connecting, sending and reading the answer together. `response_code` is set when the
    /// status had arrived but the rest of the answer had not.
    Timeout,
    /// The host's name could not be resolved.
    Dns,
    /// Nothing listens at the address.
    ConnectionRefused,
    /// The connection ended before the answer did. Whether the receiver took the delivery is unknown.
    ConnectionReset,
    /// No route to the address, or the local system could not open a connection.
    Unreachable,
    /// The TLS handshake failed: a certificate that is not trusted, expired or for another host, or no TLS at all.
    Tls,
    /// What came back is not HTTP.
    Protocol,
    /// The address, port or scheme is not allowed by the operator's rules.
    BlockedAddress,
    /// The receiver answered with a status that is not 2xx; it is in `response_code`.
    HttpStatus,
    /// The receiver answered 3xx. Redirects are not followed: the address they name was never checked.
    Redirect,
    /// The request cannot be made: the URL, the method or a header is not valid.
    InvalidRequest,
    /// The body is larger than the subscription's `max_body_bytes`, even without `records`.
    BodyTooLarge,
    /// The payload template failed or did not give JSON.
    Template,
    /// The service ended between sending and recording. Whether the receiver took the delivery is unknown.
    Interrupted,
    /// The event was older than the subscription's `max_event_age` before it could be sent.
    Expired,
    /// The subscription was deactivated or deleted before the delivery was sent.
    Cancelled,
    /// The service had given the endpoint up before the delivery was sent; `redeliver` sends it once it is enabled again.
    Disabled,
}

impl Failure {
    /// Every failure, in the order they are documented.
    pub const ALL: [Self; 17] = [
        Self::Timeout,
        Self::Dns,
        Self::ConnectionRefused,
        Self::ConnectionReset,
        Self::Unreachable,
        Self::Tls,
        Self::Protocol,
        Self::BlockedAddress,
        Self::HttpStatus,
        Self::Redirect,
        Self::InvalidRequest,
        Self::BodyTooLarge,
        Self::Template,
        Self::Interrupted,
        Self::Expired,
        Self::Cancelled,
        Self::Disabled,
    ];

    /// The text stored in the log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Dns => "dns",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionReset => "connection_reset",
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Protocol => "protocol",
            Self::BlockedAddress => "blocked_address",
            Self::HttpStatus => "http_status",
            Self::Redirect => "redirect",
            Self::InvalidRequest => "invalid_request",
            Self::BodyTooLarge => "body_too_large",
            Self::Template => "template",
            Self::Interrupted => "interrupted",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Disabled => "disabled",
        }
    }

    /// Whether it tells something of the endpoint: these count towards giving it up. The others end deliveries that it never saw, or
    /// whose end is not known.
    #[must_use]
    pub const fn is_of_the_endpoint(self) -> bool {
        match self {
            Self::Timeout
            | Self::Dns
            | Self::ConnectionRefused
            | Self::ConnectionReset
            | Self::Unreachable
            | Self::Tls
            | Self::Protocol
            | Self::BlockedAddress
            | Self::HttpStatus
            | Self::Redirect => true,
            Self::InvalidRequest
            | Self::BodyTooLarge
            | Self::Template
            | Self::Interrupted
            | Self::Expired
            | Self::Cancelled
            | Self::Disabled => false,
        }
    }

    /// The failure with this text, if there is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|failure| failure.as_str() == text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What to do with a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived; nothing more to do.
    Success,
    /// Try again while attempts are left, then it is a dead letter.
    Retry,
    /// Trying again would end the same way: a dead letter at once.
    Fail,
    /// As [`Verdict::Fail`], and the receiver wants nothing more: disable the subscription with this as its reason.
    Disable,
}

/// The end of one attempt: what to do, and why when it was not a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What to do with the delivery.
    pub verdict: Verdict,
    /// `None` exactly for [`Verdict::Success`].
    pub failure: Option<Failure>,
}

impl Outcome {
    /// Judges a status the receiver answered with, its answer having been read.
    #[must_use]
    pub const fn of_status(status: u16) -> Self {
        let (verdict, failure) = match status {
            200..=299 => {
                return Self {
                    verdict: Verdict::Success,
                    failure: None,
                };
            }
            300..=399 => (Verdict::Fail, Failure::Redirect),
            410 => (Verdict::Disable, Failure::HttpStatus),
            408 | 425 | 429 | 500..=599 => (Verdict::Retry, Failure::HttpStatus),
            _ => (Verdict::Fail, Failure::HttpStatus),
        };
        Self {
            verdict,
            failure: Some(failure),
        }
    }

    /// Judges an attempt that ended otherwise.
    ///
    /// [`Failure::HttpStatus`] and [`Failure::Redirect`] are fails here: with the status at hand ask [`Outcome::of_status`].
    #[must_use]
    pub const fn of_failure(failure: Failure) -> Self {
        let verdict = match failure {
            Failure::Timeout
            | Failure::Dns
            | Failure::ConnectionRefused
            | Failure::ConnectionReset
            | Failure::Unreachable
            | Failure::Tls
            | Failure::Protocol
            | Failure::Interrupted => Verdict::Retry,
            Failure::BlockedAddress
            | Failure::HttpStatus
            | Failure::Redirect
            | Failure::InvalidRequest
            | Failure::BodyTooLarge
            | Failure::Template
            | Failure::Expired
            | Failure::Cancelled
            | Failure::Disabled => Verdict::Fail,
        };
        Self {
            verdict,
            failure: Some(failure),
        }
    }

    /// True when the delivery arrived.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self.verdict, Verdict::Success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_documented_verdict() {
        let retried = [408, 425, 429];
        for status in 100..=999 {
            let Outcome { verdict, failure } = Outcome::of_status(status);
            let expected = match status {
                200..=299 => (Verdict::Success, None),
                300..=399 => (Verdict::Fail, Some(Failure::Redirect)),
                410 => (Verdict::Disable, Some(Failure::HttpStatus)),
                _ if retried.contains(&status) || status / 100 == 5 => (Verdict::Retry, Some(Failure::HttpStatus)),
                _ => (Verdict::Fail, Some(Failure::HttpStatus)),
            };
            assert_eq!((verdict, failure), expected, "{status}");
        }
    }

    #[test]
    fn the_stored_texts_are_distinct_and_read_back() {
        for failure in Failure::ALL {
            assert_eq!(Failure::parse(failure.as_str()), Some(failure));
            assert_eq!(Outcome::of_failure(failure).failure, Some(failure));
            assert!(!Outcome::of_failure(failure).is_success());
        }
        assert_eq!(Failure::parse("Timeout"), None);
    }

    #[test]
    fn what_the_operator_forbids_is_not_tried_again() {
        assert_eq!(Outcome::of_failure(Failure::BlockedAddress).verdict, Verdict::Fail);
        assert_eq!(Outcome::of_failure(Failure::Tls).verdict, Verdict::Retry);
        assert_eq!(Outcome::of_failure(Failure::Interrupted).verdict, Verdict::Retry);
    }
}
