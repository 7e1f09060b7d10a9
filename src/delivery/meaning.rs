//! What a failure means and what to do next: the one table of sentences that the web page, the command line and the documents share.

use super::Failure;

/// What it means, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// What happened.
    pub what: &'static str,
    /// What to do next.
    pub next: &'static str,
}

impl Failure {
    /// What it means, and what to do.
    pub const fn meaning(self) -> Meaning {
        let (what, next) = match self {
            Self::Timeout => (
                "The receiver did not answer in time.",
                "Let it answer 2xx before it does its work; else raise timeout_ms.",
            ),
            Self::Dns => (
                "The host's name could not be resolved.",
                "Check the name in the URL, and the resolver of the machine that the service runs on.",
            ),
            Self::ConnectionRefused => (
                "Nothing listens at the address.",
                "Start the receiver, or correct host and port of the URL.",
            ),
            Self::ConnectionReset => (
                "The connection ended before the answer did; the receiver may have taken the delivery.",
                "Look into the receiver's log for the webhook-id, and redeliver if it is not there.",
            ),
            Self::Unreachable => (
                "There is no way to the address.",
                "Check routes and firewalls between the service and the receiver.",
            ),
            Self::Tls => (
                "The receiver's certificate was not accepted, or it speaks no TLS.",
                "Renew the certificate, or add the authority that signed it to the [[tls]] section.",
            ),
            Self::Protocol => (
                "What came back is not HTTP.",
                "Check that the URL leads to a web server, and its port and scheme.",
            ),
            Self::BlockedAddress => (
                "The address, port or scheme is not allowed by the service's own rules.",
                "If it is meant to be called, add it to allow_networks or allow_ports.",
            ),
            Self::HttpStatus => (
                "The receiver answered with a status that is not 2xx.",
                "Read its answer; the receiver's own log says more.",
            ),
            Self::Redirect => (
                "The receiver answered with a redirect, which is not followed.",
                "Write the URL that it leads to into webhook_url.",
            ),
            Self::InvalidRequest => (
                "The request cannot be made of the URL, the method or a header.",
                "Correct them in the subscription.",
            ),
            Self::BodyTooLarge => (
                "The body is larger than the subscription allows, even without records.",
                "Raise max_body_bytes, or send fewer fields.",
            ),
            Self::Template => (
                "The template failed, or gave no JSON.",
                "Correct the template; its preview shows the place.",
            ),
            Self::Interrupted => (
                "The service ended between sending and recording; the receiver may have taken the delivery.",
                "Redeliver it: a receiver ignores a webhook-id that it has seen.",
            ),
            Self::Expired => (
                "The event was too old to be sent.",
                "Raise max_event_age if late is better than never.",
            ),
            Self::Cancelled => (
                "The subscription was deactivated or deleted before the delivery was sent.",
                "Activate it and redeliver, if it was not meant.",
            ),
            Self::Disabled => (
                "The service had given the endpoint up before the delivery was sent.",
                "Mend the endpoint, enable the subscription, and redeliver.",
            ),
        };
        Meaning { what, next }
    }
}

/// Of an `error` of the log, and the HTTP status that came with it, if one did; none for a word that this program does not know.
pub fn meaning_of(error: &str, status: Option<i32>) -> Option<Meaning> {
    let failure = Failure::parse(error)?;
    match (failure, status) {
        (Failure::HttpStatus, Some(status)) => Some(of_status(status)),
        _ => Some(failure.meaning()),
    }
}

/// What statuses mean that many receivers answer.
const fn of_status(status: i32) -> Meaning {
    let (what, next) = match status {
        400 | 422 => (
            "The receiver does not understand the body.",
            "Compare the payload with what it expects; a template can give it another shape.",
        ),
        401 | 403 => (
            "The receiver does not let us in.",
            "Check the credentials in auth and headers, and that it knows the webhook secret.",
        ),
        404 | 405 => (
            "The receiver knows no such address, or not this method.",
            "Check the path of the URL, and http_method.",
        ),
        410 => (
            "The receiver says that this endpoint is gone for good; the subscription was disabled.",
            "Write the new URL, and enable the subscription.",
        ),
        413 => (
            "The body is too large for the receiver.",
            "Send fewer fields, lower max_body_bytes, or raise the receiver's limit.",
        ),
        408 | 425 | 429 => (
            "The receiver asks for more time.",
            "Set rate_limit to what it takes, and max_attempts above 1.",
        ),
        500..=599 => (
            "The receiver failed on its side.",
            "Look into its log; with max_attempts above 1 such attempts are repeated.",
        ),
        _ => return Failure::HttpStatus.meaning(),
    };
    Meaning { what, next }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_failure_has_sentences_of_its_own() {
        let mut said = BTreeSet::new();
        for failure in Failure::ALL {
            let Meaning { what, next } = failure.meaning();
            assert!(what.ends_with('.') && next.ends_with('.'), "{failure}");
            assert!(
                said.insert(what) && said.insert(next),
                "{failure} says what another says"
            );
            assert_eq!(meaning_of(failure.as_str(), None), Some(failure.meaning()));
        }
        assert_eq!(meaning_of("of tomorrow", None), None);
        assert_ne!(
            meaning_of("http_status", Some(404)),
            meaning_of("http_status", Some(500))
        );
        assert_eq!(meaning_of("timeout", Some(200)), Some(Failure::Timeout.meaning()));
    }
}
