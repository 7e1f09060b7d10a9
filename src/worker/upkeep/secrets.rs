//! Looks after secrets at rest: encrypts what was written in plain text, where there is a key, and forgets the old secrets of
//! rotations whose overlap has ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pg::Client;

use crate::Result;
use crate::pg::secrets::{self, Kept};
use crate::sealing::{Keyring, NONCE_BYTES};

/// How often old secrets are forgotten. They do not sign any more once their overlap has ended, wherever they are.
const EXPIRE_EVERY: Duration = Duration::from_secs(10);

/// Does both, each as often as it should be.
#[derive(Debug)]
pub struct Tender {
    keyring: Option<Arc<Keyring>>,
    expire_at: Instant,
}

impl Tender {
    /// Begins with both.
    #[must_use]
    pub fn new(keyring: Option<Arc<Keyring>>) -> Self {
        Self {
            keyring,
            expire_at: Instant::now(),
        }
    }

    /// One look; cheap when there is nothing to do.
    ///
    /// # Errors
    /// Database errors.
    pub async fn tend(&mut self, client: &Client) -> Result<()> {
        if self.expire_at <= Instant::now() {
            self.expire_at = Instant::now() + EXPIRE_EVERY;
            let expired = secrets::expire(client).await?;
            if expired > 0 {
                tracing::info!(
                    secrets = expired,
                    "forgot old secrets: their rotations' overlap has ended"
                );
            }
        }
        let Some(keyring) = &self.keyring else { return Ok(()) };
        let plain = secrets::load(client, true).await?;
        if plain.is_empty() {
            return Ok(());
        }
        let sealed: Vec<Vec<u8>> = plain
            .iter()
            .map(|kept| seal(keyring, kept, kept.plain.as_deref().unwrap_or_default()))
            .collect();
        let sealed = secrets::replace(client, &plain, &sealed).await?;
        tracing::info!(
            secrets = sealed,
            key = keyring.id(),
            "encrypted secrets that were kept in plain text"
        );
        Ok(())
    }
}

/// Encrypts a value for the place it was read from.
pub fn seal(keyring: &Keyring, kept: &Kept, secret: &str) -> Vec<u8> {
    keyring.seal(kept.place(), secret, rand::random::<[u8; NONCE_BYTES]>())
}
