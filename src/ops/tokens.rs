//! Tokens: who may come in by HTTP, for what, and until when.
//!
//! A token is `oet_` and 256 random bits. It is told once, when it is made; what is kept is its SHA-256, which needs neither salt nor
//! stretching because nobody can guess the bits.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::{Error, Result};
use super::operator::{Operator, Scope};
use super::service::Service;
use crate::Error as Failure;
use crate::pg::{registry, tokens};
use crate::subscription::{Refusal, known_model};

/// What every token begins with, so that scanners for leaked secrets know it.
pub const PREFIX: &str = "oet_";

const RANDOM_BYTES: usize = 32;

/// SHA-256 of a token.
pub type TokenDigest = [u8; 32];

/// What is kept of this token.
pub fn digest_of(token: &str) -> TokenDigest {
    Sha256::digest(token).into()
}

/// A token that somebody wants.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// Its name, which is the connection of what is made with it.
    pub name: String,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// The Odoo user for whom it acts: login or id.
    pub user: Option<String>,
    /// The only models that it may be used for.
    pub models: Option<Vec<String>>,
    /// How long it may be used; none = until it is revoked.
    pub lives: Option<Duration>,
}

/// A token as it is listed. Times are RFC 3339, in UTC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// Its id, by which it is revoked.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// The only models that it may be used for; none = all that the installer allowed.
    pub models: Option<Vec<String>>,
    /// The Odoo user for whom it acts.
    pub user_id: Option<i32>,
    /// When it was made.
    pub created_at: String,
    /// By which login of the database.
    pub created_by: String,
    /// By which program.
    pub created_through: Option<String>,
    /// Until when it lets somebody in.
    pub expires_at: Option<String>,
    /// Whether that is over.
    #[serde(default)]
    pub is_expired: bool,
    /// When it was last used; noted once a minute at most.
    pub last_used_at: Option<String>,
    /// When it was revoked.
    pub revoked_at: Option<String>,
    /// By which login of the database.
    pub revoked_by: Option<String>,
    /// By which program.
    pub revoked_through: Option<String>,
}

/// A token that was just made.
#[derive(Serialize)]
pub struct MadeToken {
    /// The token itself: it is told this once.
    pub token: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub info: TokenInfo,
}

impl fmt::Debug for MadeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeToken")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// A token that lets somebody in, and whom.
#[derive(Debug, Clone)]
pub struct LiveToken {
    /// Its id.
    pub id: i32,
    /// What is kept of it.
    pub digest: TokenDigest,
    /// Who comes in.
    pub operator: Operator,
}

impl Service {
    /// Makes a token.
    ///
    /// # Errors
    /// [`Error::Refused`] for a name that another token has, no scope, an unknown user or model; [`Error::Forbidden`] without `admin`.
    pub async fn create_token(&self, operator: &Operator, new: NewToken) -> Result<MadeToken> {
        operator.require(Scope::Admin)?;
        let name = new.name.trim();
        if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
            return Err(Error::refused(Refusal::of(
                "name",
                "a token has a name of 1 to 100 characters",
            )));
        }
        if new.scopes.is_empty() {
            return Err(Error::refused(Refusal::of(
                "scopes",
                "a token without a scope lets nobody do anything",
            )));
        }
        let session = self.session().await?;
        let user_id = match &new.user {
            Some(who) => Some(tokens::user_named(&session, who).await?.ok_or_else(|| {
                Error::refused(Refusal::of(
                    "user",
                    format!("there is no Odoo user with the login or id \"{who}\""),
                ))
            })?),
            None => None,
        };
        if let Some(models) = &new.models {
            let registry = registry::load(&session).await?;
            for model in models {
                known_model(model, &registry).map_err(|error| error.of("models"))?;
            }
        }
        let token = format!(
            "{PREFIX}{}",
            URL_SAFE_NO_PAD.encode(rand::random::<[u8; RANDOM_BYTES]>())
        );
        let scopes: Vec<&str> = new.scopes.iter().map(|scope| scope.as_str()).collect();
        let kept = tokens::New {
            name,
            digest: &digest_of(&token),
            scopes: &scopes,
            models: new.models.as_deref(),
            user_id,
            lives: new.lives,
        };
        let made = tokens::add(&session, kept).await?.ok_or_else(|| {
            Error::refused(
                Refusal::of("name", format!("there is a token called \"{name}\" already"))
                    .with_hint("revoke that one first, or choose another name"),
            )
        })?;
        Ok(MadeToken {
            token,
            info: read(made)?,
        })
    }

    /// Every token, revoked ones too.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without `admin`.
    pub async fn tokens(&self, operator: &Operator) -> Result<Vec<TokenInfo>> {
        operator.require(Scope::Admin)?;
        let rows = tokens::list(&*self.session().await?).await?;
        rows.into_iter().map(read).collect()
    }

    /// Revokes a token, for good; every instance refuses it within a second. Answers since when it is revoked.
    ///
    /// # Errors
    /// [`Error::Refused`] where there is none; [`Error::Forbidden`] without `admin`.
    pub async fn revoke_token(&self, operator: &Operator, id: i32) -> Result<Timestamp> {
        operator.require(Scope::Admin)?;
        let revoked = tokens::revoke(&*self.session().await?, id).await?;
        revoked.ok_or_else(|| Error::refused(Refusal::of("id", format!("there is no token {id}"))))
    }

    /// The tokens that let somebody in now, for whoever keeps a door; `used` are those that did since the last call.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn live_tokens(&self, used: &[i32]) -> Result<Vec<LiveToken>> {
        let rows = tokens::live(&*self.session_of_doors().await?, used).await?;
        Ok(rows.into_iter().filter_map(live).collect())
    }
}

fn read(row: serde_json::Value) -> Result<TokenInfo> {
    Ok(serde_json::from_value(row).map_err(|e| Failure::unfit("a token cannot be read").with_source(e))?)
}

/// Scopes that this program does not know let nobody do anything.
pub(super) fn live(row: tokens::Live) -> Option<LiveToken> {
    let scopes = row.scopes.iter().filter_map(|scope| scope.parse::<Scope>().ok());
    let mut operator = Operator::of_connection(row.name, scopes);
    if let Some(user_id) = row.user_id {
        operator = operator.for_user(user_id);
    }
    if let Some(models) = row.models {
        operator = operator.bound_to(models);
    }
    let digest = row.digest.try_into().ok()?;
    Some(LiveToken {
        id: row.id,
        digest,
        operator,
    })
}
