//! Encrypts the secrets that the database keeps, so that a dump, a replica or a backup of it holds none in plain text.
//!
//! Authenticated encryption: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03), whose nonces of 24 bytes may be drawn at random for as
//! many values as there will ever be. Every value is bound to its place, the row's `secret_ref` and what kind of secret it is, so
//! that whoever can write the table cannot move one subscription's secret to another subscription. A sealed value is
//!
//! ```text
//! version (1 byte, 1) | key id (8) | nonce (24) | ciphertext and tag
//! ```
//!
//! The key id tells "another key" from "altered"; it is a digest of the key and reveals nothing of it.
//!
//! What this does not do: hide a secret from whoever can read this process's memory or its key file, or remove what was written in
//! plain text before: old row versions, WAL and backups hold it until they are gone.
//!
//! Pure: the nonce is an argument.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{Error, Result};

/// The bytes of a key.
const KEY_BYTES: usize = 32;

/// The bytes of a nonce.
pub const NONCE_BYTES: usize = 24;

const VERSION: u8 = 1;
const ID_BYTES: usize = 8;
const HEADER_BYTES: usize = 1 + ID_BYTES + NONCE_BYTES;

const HINT_KEY: &str =
    "make one with `openssl rand -base64 32 > key`; each line of the file is one key, the first one encrypts";

/// What kind of secret a value is; part of what it is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A secret that signs, current or previous: it stays readable when a rotation moves it.
    WebhookSecret,
    /// Credentials for an endpoint.
    Auth,
}

impl Kind {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::WebhookSecret => b"webhook_secret",
            Self::Auth => b"auth",
        }
    }
}

/// Where a sealed value is kept. It opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The row's key.
    pub secret_ref: Uuid,
    /// Which of its values.
    pub kind: Kind,
}

impl Place {
    fn bound_to(self) -> Vec<u8> {
        [
            b"odoo-eventd secret\0".as_slice(),
            self.secret_ref.as_bytes(),
            self.kind.label(),
        ]
        .concat()
    }
}

/// Keys to open with, the first of which also seals. `Debug` shows their ids only.
#[derive(Clone)]
pub struct Keyring {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: [u8; ID_BYTES],
    cipher: XChaCha20Poly1305,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| hex::encode(key.id)))
            .finish()
    }
}

impl Keyring {
    /// Reads keys, one a line: 32 bytes each, in base64 or as 64 hex digits. Lines that are empty or begin with `#` do not count.
    ///
    /// # Errors
    /// [`Error::is_usage`] with the number of the line, never its text.
    pub fn parse(text: &str) -> Result<Self> {
        let mut keys = Vec::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let decoded = if line.len() == 2 * KEY_BYTES {
                hex::decode(line).ok()
            } else {
                STANDARD.decode(line).ok()
            };
            let bytes: [u8; KEY_BYTES] = decoded.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| {
                Error::usage(format!(
                    "line {} is no key: it is not {KEY_BYTES} bytes in base64 or hex",
                    index + 1
                ))
                .with_hint(HINT_KEY)
            })?;
            keys.push(Key::new(&bytes));
        }
        if keys.is_empty() {
            return Err(Error::usage("there is no key in it").with_hint(HINT_KEY));
        }
        Ok(Self { keys })
    }

    /// [`Keyring::parse`] of a file.
    ///
    /// # Errors
    /// [`Error::is_usage`] with the file's name when it cannot be read or holds something else than keys.
    pub fn read(file: &Path) -> Result<Self> {
        let failed = |error: Error| {
            let hint = error.hint().map(str::to_owned);
            let error =
                Error::usage(format!("cannot read the key for secrets from {}", file.display())).with_source(error);
            match hint {
                Some(hint) => error.with_hint(hint),
                None => error,
            }
        };
        let text = std::fs::read_to_string(file)
            .map_err(|e| failed(Error::usage("the file is not text, or not there").with_source(e)))?;
        Self::parse(&text).map_err(failed)
    }

    /// These keys, and then those of `others`.
    #[must_use]
    pub fn and(mut self, others: Option<&Self>) -> Self {
        self.keys
            .extend(others.into_iter().flat_map(|others| others.keys.iter().cloned()));
        self
    }

    /// The id of the key that seals, in hex.
    #[must_use]
    pub fn id(&self) -> String {
        hex::encode(self.keys[0].id)
    }

    /// Encrypts a secret for its place. A nonce is never used twice.
    #[must_use]
    pub fn seal(&self, place: Place, secret: &str, nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
        let key = &self.keys[0];
        let bound_to = place.bound_to();
        let payload = Payload {
            msg: secret.as_bytes(),
            aad: &bound_to,
        };
        let sealed = key
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("a secret is shorter than the 256 GiB that the cipher takes");
        [&[VERSION], key.id.as_slice(), nonce.as_slice(), &sealed].concat()
    }

    /// True when it is the key that seals by which this value was sealed.
    #[must_use]
    pub fn is_sealed_by_first(&self, sealed: &[u8]) -> bool {
        sealed.get(1..1 + ID_BYTES).is_some_and(|id| id == self.keys[0].id)
    }

    /// Decrypts what was sealed for this place.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn open(&self, place: Place, sealed: &[u8]) -> Result<String, CannotOpen> {
        if sealed.len() < HEADER_BYTES || sealed[0] != VERSION {
            return Err(CannotOpen::Altered);
        }
        let (id, rest) = sealed[1..].split_at(ID_BYTES);
        let (nonce, ciphertext) = rest.split_at(NONCE_BYTES);
        let key = self
            .keys
            .iter()
            .find(|key| key.id == id)
            .ok_or_else(|| CannotOpen::OtherKey {
                needed: hex::encode(id),
                given: self.id(),
            })?;
        let bound_to = place.bound_to();
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| CannotOpen::Altered)?;
        let payload = Payload {
            msg: ciphertext,
            aad: &bound_to,
        };
        let opened = key
            .cipher
            .decrypt(&XNonce::from(nonce), payload)
            .map_err(|_| CannotOpen::Altered)?;
        String::from_utf8(opened).map_err(|_| CannotOpen::Altered)
    }
}

impl Key {
    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        let digest = Sha256::new()
            .chain_update(b"odoo-eventd key id\0")
            .chain_update(bytes)
            .finalize();
        let mut id = [0; ID_BYTES];
        id.copy_from_slice(&digest[..ID_BYTES]);
        Self {
            id,
            cipher: XChaCha20Poly1305::new(&(*bytes).into()),
        }
    }
}

/// Why a sealed secret stays closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotOpen {
    /// None of the keys is the one it was sealed with.
    #[error("it is encrypted with key {needed}, and the key that is configured is {given}")]
    OtherKey {
        /// The id of the key that opens it.
        needed: String,
        /// The id of the first key there is.
        given: String,
    },
    /// No key is configured at all.
    #[error("it is encrypted, and no key is configured")]
    NoKey,
    /// It is not what was sealed for this place.
    #[error("it was altered, or moved here from another row")]
    Altered,
}

/// A row of `odoo_eventd.subscription_secret` beside its plain values, as `odoo_eventd.kept_secrets` tells it.
#[derive(Clone, Deserialize)]
pub struct Kept {
    /// The row's key.
    pub secret_ref: Uuid,
    /// The secret that signs, sealed.
    #[serde(deserialize_with = "from_hex", default)]
    pub sealed_secret: Option<Vec<u8>>,
    /// The credentials, sealed.
    #[serde(deserialize_with = "from_hex", default)]
    pub sealed_auth: Option<Vec<u8>>,
    /// The secret before the last rotation, in plain text.
    pub previous_secret: Option<String>,
    /// The same, sealed.
    #[serde(deserialize_with = "from_hex", default)]
    pub sealed_previous: Option<Vec<u8>>,
    /// Until when it signs too, in seconds since 1970.
    pub previous_until_s: Option<i64>,
}

fn from_hex<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<u8>>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| hex::decode(text).map_err(serde::de::Error::custom))
        .transpose()
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept")
            .field("secret_ref", &self.secret_ref)
            .finish_non_exhaustive()
    }
}

/// Opens a value if it is there.
///
/// # Errors
/// As [`Keyring::open`]; without a keyring nothing opens.
pub fn open(keyring: Option<&Keyring>, place: Place, sealed: Option<&[u8]>) -> Result<Option<String>, CannotOpen> {
    match (sealed, keyring) {
        (None, _) => Ok(None),
        (Some(_), None) => Err(CannotOpen::NoKey),
        (Some(sealed), Some(keyring)) => keyring.open(place, sealed).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const OTHER: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

    fn keys(text: &str) -> Keyring {
        Keyring::parse(text).unwrap()
    }

    fn place(kind: Kind) -> Place {
        Place {
            secret_ref: Uuid::from_u128(7),
            kind,
        }
    }

    #[test]
    fn the_cipher_is_the_published_one() {
        // draft-irtf-cfrg-xchacha-03, A.3.1: the cipher that is linked is the one that is documented.
        let key: Vec<u8> = (0x80..=0x9f).collect();
        let nonce: Vec<u8> = (0x40..=0x57).collect();
        let cipher = XChaCha20Poly1305::new_from_slice(&key).unwrap();
        let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let aad = hex::decode("50515253c0c1c2c3c4c5c6c7").unwrap();
        let nonce: [u8; 24] = nonce.try_into().unwrap();
        let sealed = cipher
            .encrypt(&XNonce::from(nonce), Payload { msg: text, aad: &aad })
            .unwrap();
        assert_eq!(hex::encode(&sealed[..16]), "bd6d179d3e83d43b9576579493c0e939");
        assert_eq!(hex::encode(&sealed[text.len()..]), "c0875924c1c7987947deafd8780acf49");
    }

    #[test]
    fn a_secret_opens_at_its_place_alone() {
        let ring = keys(ONE);
        let sealed = ring.seal(place(Kind::Auth), "s3cret", [9; 24]);
        assert!(!sealed.windows(6).any(|window| window == b"s3cret"));
        assert_eq!(ring.open(place(Kind::Auth), &sealed).unwrap(), "s3cret");
        assert_eq!(ring.open(place(Kind::WebhookSecret), &sealed), Err(CannotOpen::Altered));
        let elsewhere = Place {
            secret_ref: Uuid::from_u128(8),
            kind: Kind::Auth,
        };
        assert_eq!(ring.open(elsewhere, &sealed), Err(CannotOpen::Altered));
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let ring = keys(ONE);
        let sealed = ring.seal(place(Kind::Auth), "s3cret", [9; 24]);
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert!(ring.open(place(Kind::Auth), &altered).is_err(), "byte {index}");
        }
        for length in 0..sealed.len() {
            assert!(
                ring.open(place(Kind::Auth), &sealed[..length]).is_err(),
                "length {length}"
            );
        }
    }

    #[test]
    fn the_first_key_seals_and_all_of_them_open() {
        let old = keys(ONE);
        let both = keys(&format!("# new, then old\n{OTHER}\n\n{ONE}\n"));
        let sealed = old.seal(place(Kind::Auth), "s3cret", [9; 24]);
        assert_eq!(both.open(place(Kind::Auth), &sealed).unwrap(), "s3cret");
        assert!(!both.is_sealed_by_first(&sealed) && old.is_sealed_by_first(&sealed));
        assert_eq!(both.id(), keys(OTHER).id());
        let refused = keys(OTHER).open(place(Kind::Auth), &sealed).unwrap_err();
        assert_eq!(
            refused,
            CannotOpen::OtherKey {
                needed: old.id(),
                given: both.id()
            }
        );
        assert_eq!(open(None, place(Kind::Auth), Some(&sealed)), Err(CannotOpen::NoKey));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        for text in ["", "# nothing\n", "c2hvcnQ=", "s3cret", &"g".repeat(64)] {
            let error = Keyring::parse(text).unwrap_err();
            assert!(
                error.is_usage() && error.hint().is_some() && !error.chain().contains("s3cret"),
                "{error:?}"
            );
        }
        assert!(format!("{:?}", keys(ONE)).len() < 30);
    }
}
