//! Signs what is sent and verifies what is received.
//!
//! Two signatures travel with every delivery of a subscription that has a secret:
//!
//! | header | value | proves |
//! | --- | --- | --- |
//! | `X-MCP-Signature` | `sha256=<hex HMAC-SHA256 of the body>` | who sent the body |
//! | `webhook-signature` | `v1,<base64 HMAC-SHA256 of "id.timestamp.body">` | who sent it, as which message, and when |
//!
//! Only the second stops a replay of a captured request, because only it covers `webhook-timestamp`. Source: Standard Webhooks,
//! "Signature scheme".
//!
//! **Keys.** `X-MCP-Signature` is keyed with the UTF-8 bytes of the secret exactly as it was entered, prefix and all: that is what the
//! snippets receivers copy (GitHub's `X-Hub-Signature-256` has the same shape) do with a secret. `webhook-signature` is keyed with the
//! decoded bytes of a `whsec_<base64>` secret, as every Standard Webhooks library does; a secret without that prefix is used as its
//! UTF-8 bytes here too, and such a library is then given `whsec_` and the base64 of the secret.
//!
//! **Rotation.** Several secrets may sign at once, the current one first. `webhook-signature` carries one signature for each,
//! separated by spaces. `X-MCP-Signature` has room for one, and receivers compare it as one string, so it is made with the older
//! secret until the overlap ends: what a receiver accepts when the secret is changed here, it goes on accepting for the whole
//! overlap, whichever header it looks at. That is the time it has to learn the new secret as well.
//!
//! Pure: the time and the tolerance are arguments. Nothing here prints a secret, and neither does `Debug`.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use serde::de::{Deserialize, Deserializer, Error as _};
use sha2::Sha256;

use crate::{Error, Result};

/// Marks a secret as Standard Webhooks' base64 form.
pub const SECRET_PREFIX: &str = "whsec_";

/// Before the prefix, where a program names the signature's version as well.
const VERSION: &str = "v1,";

/// Whoever copies a secret may lose the equals signs at its end.
const PADDED_OR_NOT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How far `webhook-timestamp` may lie from the verifier's clock when nobody says otherwise.
///
/// Five minutes either way is what the Standard Webhooks libraries use.
pub const DEFAULT_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// A shared secret; `Debug` shows only that there is one.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// As entered: the key of `X-MCP-Signature`.
    text: String,
    /// The key of `webhook-signature`.
    key: Vec<u8>,
}

impl Secret {
    /// Takes a secret as it was entered.
    ///
    /// What editors and shells leave around it is not a part of it: a byte order mark before, line breaks after. `v1,whsec_..`, as some
    /// programs write it, keys `webhook-signature` as `whsec_..` does.
    ///
    /// # Errors
    /// [`Error::is_usage`] when it is empty, begins with `whsec_` and what follows is not base64 of at least one byte, or cannot be told
    /// from what surrounds it: a space at either end, several lines. The message never repeats the secret.
    pub fn parse(text: impl Into<String>) -> Result<Self> {
        let given = text.into();
        let text = without_surroundings(&given);
        if text.contains(['\r', '\n']) {
            return Err(Error::usage("the secret has more than one line").with_hint("write it on one line, alone"));
        }
        if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
            return Err(Error::usage(
                "the secret begins or ends with a space, which whoever copies it to the receiver loses",
            )
            .with_hint("write it without; if it belongs to it, encode the secret as whsec_ and base64"));
        }
        let key = match text.strip_prefix(VERSION).unwrap_or(text).strip_prefix(SECRET_PREFIX) {
            None => text.as_bytes().to_vec(),
            Some(encoded) => PADDED_OR_NOT.decode(encoded).map_err(|_| {
                Error::usage("the secret begins with whsec_ but what follows is not base64")
                    .with_hint("copy the secret again in full, or drop the prefix to use the text itself as the key")
            })?,
        };
        if key.is_empty() {
            return Err(Error::usage("the secret is empty"));
        }
        Ok(Self {
            text: text.to_owned(),
            key,
        })
    }

    /// Every text that would tell it: as it was entered, and without what it begins with.
    pub(crate) fn forms(&self) -> impl Iterator<Item = &str> {
        let key = std::str::from_utf8(&self.key).ok();
        let bare = self.text.strip_prefix(VERSION).unwrap_or(&self.text);
        let encoded = bare.strip_prefix(SECRET_PREFIX);
        [Some(self.text.as_str()), encoded, key].into_iter().flatten()
    }
}

/// A text without the marks that editors and shells leave around it: a byte order mark before, line breaks after.
#[must_use]
pub fn without_surroundings(text: &str) -> &str {
    text.strip_prefix('\u{feff}')
        .unwrap_or(text)
        .trim_end_matches(['\r', '\n'])
}

impl Secret {
    /// The secret itself, for the one place that sends or stores it. Never for a log or a message.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }
}

/// From the text that [`Secret::parse`] takes; its refusal repeats nothing of it.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Why a signature was not accepted. Says nothing about what would have been accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The header is not of the form that its scheme prescribes.
    #[error("the signature is not of the form {expected}")]
    Malformed {
        /// The form, as a receiver would write it down.
        expected: &'static str,
    },
    /// No signature in the header was made with any of the secrets over this content.
    #[error("the signature does not match: another secret, or a body that was changed on its way")]
    Mismatch,
    /// `webhook-timestamp` is not a whole number of seconds.
    #[error("the timestamp is not a whole number of seconds since 1970")]
    BadTimestamp,
    /// The message was signed longer ago than the tolerance.
    #[error(
        "the message was signed {seconds} s ago, which is more than allowed: an old request, or a clock that is wrong"
    )]
    TooOld {
        /// Its age in seconds.
        seconds: u64,
    },
    /// The message was signed further in the future than the tolerance.
    #[error("the message was signed {seconds} s in the future, which is more than allowed: one of the clocks is wrong")]
    TooNew {
        /// How far ahead it lies, in seconds.
        seconds: u64,
    },
}

/// What a Standard Webhooks signature covers.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// `webhook-id`: the delivery's id, equal on every attempt. Must not contain a full stop, or it could be read as another
    /// message's id and timestamp; ours are UUIDs.
    pub id: &'a str,
    /// `webhook-timestamp`: the attempt's time in seconds since 1970.
    pub timestamp: i64,
    /// The body as sent, byte for byte.
    pub body: &'a [u8],
}

/// The value of `X-MCP-Signature` for `body`; of several secrets that overlap, `secret` is the oldest.
#[must_use]
pub fn sign_body(secret: &Secret, body: &[u8]) -> String {
    format!("sha256={}", hex::encode(body_mac(secret, body).finalize().into_bytes()))
}

/// The value of `webhook-signature` for `message`: one signature for each secret, in their order. Empty without secrets.
#[must_use]
pub fn sign_message(secrets: &[Secret], message: Message<'_>) -> String {
    let mut header = String::new();
    for secret in secrets {
        if !header.is_empty() {
            header.push(' ');
        }
        let stamp = message.timestamp.to_string();
        header.push_str("v1,");
        STANDARD.encode_string(
            message_mac(secret, message.id, &stamp, message.body)
                .finalize()
                .into_bytes(),
            &mut header,
        );
    }
    header
}

/// Checks an `X-MCP-Signature` header against the body; any one of `secrets` may have made it.
///
/// # Errors
/// [`VerifyError::Malformed`] or [`VerifyError::Mismatch`]. This header knows no time, so nothing here notices a replay.
pub fn verify_body(secrets: &[Secret], header: &str, body: &[u8]) -> Result<(), VerifyError> {
    const EXPECTED: &str = "sha256=<64 hex digits>";
    let digits = header
        .trim()
        .strip_prefix("sha256=")
        .ok_or(VerifyError::Malformed { expected: EXPECTED })?;
    let mut tag = [0_u8; 32];
    hex::decode_to_slice(digits, &mut tag).map_err(|_| VerifyError::Malformed { expected: EXPECTED })?;
    // Every secret is tried and each comparison takes the same time wherever it differs.
    let matches = secrets.iter().fold(false, |found, secret| {
        body_mac(secret, body).verify_slice(&tag).is_ok() | found
    });
    if matches { Ok(()) } else { Err(VerifyError::Mismatch) }
}

/// The three Standard Webhooks headers as they arrived.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub timestamp: &'a str,
    /// `webhook-signature`: a list separated by spaces. Entries of other versions (`v1a`) are passed over.
    pub signature: &'a str,
}

/// Checks the Standard Webhooks headers against the body; any one of `secrets` may have made any one of the signatures.
///
/// `now` is the verifier's time in seconds since 1970, and `tolerance` how far the signed time may lie from it either way.
///
/// # Errors
/// The signature is judged before the time, so `TooOld` and `TooNew` are said only of messages that were really ours.
pub fn verify_message(
    secrets: &[Secret],
    received: Received<'_>,
    body: &[u8],
    now: i64,
    tolerance: Duration,
) -> Result<(), VerifyError> {
    const EXPECTED: &str = "v1,<base64>";
    let signed_at: i64 = received.timestamp.parse().map_err(|_| VerifyError::BadTimestamp)?;
    let mut known = false;
    let mut matches = false;
    for entry in received.signature.split_ascii_whitespace() {
        let Some(encoded) = entry.strip_prefix("v1,") else {
            continue;
        };
        let Ok(tag) = STANDARD.decode(encoded) else { continue };
        known = true;
        for secret in secrets {
            // The timestamp is signed as it was written, so a `+1` or a leading zero cannot pass for another spelling.
            matches |= message_mac(secret, received.id, received.timestamp, body)
                .verify_slice(&tag)
                .is_ok();
        }
    }
    if !known {
        return Err(VerifyError::Malformed { expected: EXPECTED });
    }
    if !matches {
        return Err(VerifyError::Mismatch);
    }
    let apart = now.abs_diff(signed_at);
    match (apart > tolerance.as_secs(), signed_at < now) {
        (false, _) => Ok(()),
        (true, true) => Err(VerifyError::TooOld { seconds: apart }),
        (true, false) => Err(VerifyError::TooNew { seconds: apart }),
    }
}

type HmacSha256 = Hmac<Sha256>;

fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn body_mac(secret: &Secret, body: &[u8]) -> HmacSha256 {
    keyed(secret.text.as_bytes()).chain_update(body)
}

fn message_mac(secret: &Secret, id: &str, timestamp: &str, body: &[u8]) -> HmacSha256 {
    keyed(&secret.key)
        .chain_update(id)
        .chain_update(b".")
        .chain_update(timestamp)
        .chain_update(b".")
        .chain_update(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The vector that the Standard Webhooks and Svix libraries test themselves with.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    fn secret(text: &str) -> Secret {
        Secret::parse(text).unwrap()
    }

    fn verify(secrets: &[Secret], timestamp: &str, signature: &str, now: i64) -> Result<(), VerifyError> {
        verify_message(
            secrets,
            Received {
                id: ID,
                timestamp,
                signature,
            },
            BODY,
            now,
            DEFAULT_TOLERANCE,
        )
    }

    #[test]
    fn the_published_vector_is_reproduced() {
        let message = Message {
            id: ID,
            timestamp: AT,
            body: BODY,
        };
        assert_eq!(sign_message(&[secret(SECRET)], message), SIGNATURE);
        assert_eq!(verify(&[secret(SECRET)], "1614265330", SIGNATURE, AT), Ok(()));
    }

    #[test]
    fn the_body_signature_is_the_one_github_documents() {
        // GitHub, "Validating webhook deliveries", the values to test an implementation with.
        let ours = sign_body(&secret("It's a Secret to Everybody"), b"Hello, World!");
        assert_eq!(
            ours,
            "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
        );
    }

    #[test]
    fn a_prefixed_secret_keys_the_body_signature_with_its_text() {
        let mac = keyed(SECRET.as_bytes()).chain_update(BODY).finalize().into_bytes();
        assert_eq!(sign_body(&secret(SECRET), BODY), format!("sha256={}", hex::encode(mac)));
    }

    #[test]
    fn a_plain_secret_equals_the_prefixed_base64_of_itself_for_standard_webhooks() {
        let message = Message {
            id: ID,
            timestamp: AT,
            body: BODY,
        };
        let prefixed = format!("whsec_{}", STANDARD.encode("plain secret"));
        assert_eq!(
            sign_message(&[secret("plain secret")], message),
            sign_message(&[secret(&prefixed)], message)
        );
    }

    #[test]
    fn during_a_rotation_either_secret_verifies() {
        let both = [secret("new"), secret("old")];
        let header = sign_message(
            &both,
            Message {
                id: ID,
                timestamp: AT,
                body: BODY,
            },
        );
        assert_eq!(header.split(' ').count(), 2);
        for one in &both {
            assert_eq!(verify(std::slice::from_ref(one), "1614265330", &header, AT), Ok(()));
        }
        assert_eq!(
            verify(&[secret("third")], "1614265330", &header, AT),
            Err(VerifyError::Mismatch)
        );
        assert_eq!(verify_body(&both, &sign_body(&both[1], BODY), BODY), Ok(()));
    }

    #[test]
    fn other_versions_in_the_list_are_passed_over() {
        let header = format!("v1a,bm9wZQ== v2,bm9wZQ== v1,%% {SIGNATURE}");
        assert_eq!(verify(&[secret(SECRET)], "1614265330", &header, AT), Ok(()));
        let none = VerifyError::Malformed {
            expected: "v1,<base64>",
        };
        assert_eq!(verify(&[secret(SECRET)], "1614265330", "v1a,bm9wZQ==", AT), Err(none));
    }

    #[test]
    fn the_window_is_closed_on_both_sides() {
        let key = [secret(SECRET)];
        assert_eq!(verify(&key, "1614265330", SIGNATURE, AT + 300), Ok(()));
        assert_eq!(
            verify(&key, "1614265330", SIGNATURE, AT + 301),
            Err(VerifyError::TooOld { seconds: 301 })
        );
        assert_eq!(verify(&key, "1614265330", SIGNATURE, AT - 300), Ok(()));
        assert_eq!(
            verify(&key, "1614265330", SIGNATURE, AT - 301),
            Err(VerifyError::TooNew { seconds: 301 })
        );
    }

    #[test]
    fn a_forged_request_learns_nothing_about_the_clock() {
        assert_eq!(
            verify(&[secret("guess")], "1614265330", SIGNATURE, AT + 9_999),
            Err(VerifyError::Mismatch)
        );
    }

    #[test]
    fn another_spelling_of_the_same_time_is_not_the_signed_one() {
        assert_eq!(
            verify(&[secret(SECRET)], "+1614265330", SIGNATURE, AT),
            Err(VerifyError::Mismatch)
        );
        assert_eq!(
            verify(&[secret(SECRET)], "1614265330.0", SIGNATURE, AT),
            Err(VerifyError::BadTimestamp)
        );
        assert_eq!(
            verify(&[secret(SECRET)], "", SIGNATURE, AT),
            Err(VerifyError::BadTimestamp)
        );
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let good = sign_body(&secret("s"), BODY);
        assert_eq!(verify_body(&[secret("s")], &good, BODY), Ok(()));
        assert_eq!(verify_body(&[secret("s")], &good, b"{}"), Err(VerifyError::Mismatch));
        assert_eq!(verify_body(&[], &good, BODY), Err(VerifyError::Mismatch));
        for bad in ["", "sha1=00", "sha256=", "sha256=zz", &good[..70], &format!("{good}00")] {
            assert!(
                matches!(
                    verify_body(&[secret("s")], bad, BODY),
                    Err(VerifyError::Malformed { .. })
                ),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_secret_that_cannot_be_a_key_is_refused_without_repeating_it() {
        assert_eq!(Secret::parse("").unwrap_err().chain(), "the secret is empty");
        assert_eq!(Secret::parse("whsec_").unwrap_err().chain(), "the secret is empty");
        let error = Secret::parse("whsec_not base64!").unwrap_err();
        assert!(error.is_usage() && !error.chain().contains("not base64!"));
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", secret("hunter2")), "Secret(***)");
        let read: Secret = serde_json::from_str(r#""hunter2""#).unwrap();
        assert_eq!(read.expose(), "hunter2");
        let refused = serde_json::from_str::<Secret>(r#""whsec_hunter2!""#)
            .unwrap_err()
            .to_string();
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}
