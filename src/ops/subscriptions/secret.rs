//! Giving a subscription another secret.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::ops::error::{Error, Result};
use crate::ops::operator::{Operator, Scope};
use crate::ops::service::Service;
use crate::pg::secrets;
use crate::signature::{SECRET_PREFIX, Secret};
use crate::subscription::{MASK, Refusal};

/// The bytes of a secret that is made here: as many as the hash has, more would gain nothing (RFC 2104, section 3).
const SECRET_BYTES: usize = 32;

/// The longest overlap: after that a secret was not rotated.
pub const OVERLAP_AT_MOST: Duration = Duration::from_secs(366 * 24 * 3600);

/// A subscription's new secret.
#[derive(Serialize, utoipa::ToSchema)]
pub struct Rotated {
    /// The subscription.
    pub id: i32,
    /// The secret, where it was made here: it is told this once.
    pub secret: Option<String>,
    /// Until when the old one signs too; none = the new one signs alone at once.
    #[serde(serialize_with = "as_text")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub old_signs_until: Option<Timestamp>,
}

fn as_text<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.to_string()).serialize(serializer)
}

impl std::fmt::Debug for Rotated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rotated")
            .field("id", &self.id)
            .field("old_signs_until", &self.old_signs_until)
            .finish_non_exhaustive()
    }
}

/// One that nobody can guess.
pub fn new_secret() -> String {
    let bytes = rand::random::<[u8; SECRET_BYTES]>();
    format!("{SECRET_PREFIX}{}", STANDARD.encode(bytes))
}

impl Service {
    /// Gives it this secret, or one that is made here; for as long as `overlap` the old one signs as well.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Refused`] for an overlap of more than [`OVERLAP_AT_MOST`], or the mask of a secret; [`Error::Forbidden`] without
    /// `subscriptions:write`.
    pub async fn rotate_secret(
        &self,
        operator: &Operator,
        id: i32,
        secret: Option<&Secret>,
        overlap: Duration,
    ) -> Result<Rotated> {
        operator.require(Scope::SubscriptionsWrite)?;
        if overlap > OVERLAP_AT_MOST {
            return Err(Error::refused(Refusal::of(
                "overlap_s",
                "old secrets sign for at most a year",
            )));
        }
        if secret.is_some_and(|secret| secret.expose() == MASK) {
            let refusal = Refusal::of("secret", "it is what is shown in the place of a secret");
            return Err(Error::refused(
                refusal.with_hint("write the new one, or leave secret out to have one made"),
            ));
        }
        let made = match secret {
            Some(_) => None,
            None => Some(new_secret()),
        };
        let text = secret.map(Secret::expose).or(made.as_deref()).unwrap_or_default();
        let session = self.session().await?;
        let until = secrets::rotate(&session, &operator.to_json(), id, text, overlap)
            .await
            .map_err(|error| Error::about_subscription(id, error))?;
        Ok(Rotated {
            id,
            secret: made,
            old_signs_until: until,
        })
    }
}
