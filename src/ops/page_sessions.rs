//! Sessions of the web page: whoever shows a token, or a link that was made for him, is known by a key of his own from then on.
//!
//! A session is worth as much as its token and ends with it. Keys and codes are 256 random bits; what is kept of them is their SHA-256.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::error::{Error, Result};
use super::operator::{Operator, Scope};
use super::service::Service;
use super::tokens::{digest_of, live};
use crate::pg::page_sessions::{self, Key};
use crate::subscription::Refusal;

/// How long a session lasts at most.
pub const LASTS: Duration = Duration::from_secs(12 * 3600);

/// How long a login link can be used.
pub const LINK_LASTS: Duration = Duration::from_secs(15 * 60);

/// What the code of every login link begins with, so that scanners for leaked secrets know it.
const LINK_PREFIX: &str = "oel_";

/// What a browser shows with each request.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey(String);

impl SessionKey {
    fn new() -> Self {
        Self(random())
    }

    /// What a browser sent; whether it is the key of a session is not known yet.
    pub fn told(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The key itself, for the browser.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What only a page that was made for this session can know, without knowing the key.
    pub fn form_token(&self) -> String {
        let digest = Sha256::new().chain_update(b"form:").chain_update(&self.0).finalize();
        URL_SAFE_NO_PAD.encode(digest)
    }

    fn digest(&self) -> [u8; 32] {
        digest_of(&self.0)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey")
    }
}

/// By what somebody logs in.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// His token.
    Token(&'a str),
    /// The code of a login link.
    Link(&'a str),
}

/// Whose session it is.
#[derive(Debug, Clone)]
pub struct Visit {
    /// His token's id.
    pub token: i32,
    /// His token's name.
    pub name: String,
    /// The login of his Odoo user.
    pub user: Option<String>,
    /// Who he is.
    pub operator: Operator,
}

/// A login link that was just made.
pub struct LoginLink {
    /// Its code: it is told this once.
    pub code: String,
    /// Until when it can be used.
    pub ends_at: Timestamp,
}

impl fmt::Debug for LoginLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginLink")
            .field("ends_at", &self.ends_at)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// Begins a session. None where the proof is good for nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn log_in(&self, proof: Proof<'_>) -> Result<Option<SessionKey>> {
        let key = SessionKey::new();
        let session = self.session().await?;
        let (Proof::Token(shown) | Proof::Link(shown)) = proof;
        let digest = digest_of(shown);
        let by = match proof {
            Proof::Token(_) => Key::Token(&digest),
            Proof::Link(_) => Key::Link(&digest),
        };
        let begun = page_sessions::begin(&session, by, &key.digest(), LASTS).await?;
        Ok(begun.map(|_| key))
    }

    /// Whose session it is; none where it has ended, or never was.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn visit(&self, key: &SessionKey) -> Result<Option<Visit>> {
        let found = page_sessions::visitor(&*self.session_of_doors().await?, &key.digest()).await?;
        Ok(found.and_then(|(row, user)| {
            let name = row.name.clone();
            let token = live(row)?;
            Some(Visit {
                token: token.id,
                name,
                user,
                operator: token.operator,
            })
        }))
    }

    /// Ends a session, in every tab and at every instance.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn log_out(&self, key: &SessionKey) -> Result<()> {
        Ok(page_sessions::end(&*self.session().await?, &key.digest()).await?)
    }

    /// Makes a link that logs in once with this token, within [`LINK_LASTS`].
    ///
    /// # Errors
    /// [`Error::Refused`] where the token lets nobody in; [`Error::Forbidden`] without `admin`.
    pub async fn create_login_link(&self, operator: &Operator, token: i32) -> Result<LoginLink> {
        operator.require(Scope::Admin)?;
        let code = format!("{LINK_PREFIX}{}", random());
        let session = self.session().await?;
        let ends_at = page_sessions::add_link(&session, token, &digest_of(&code), LINK_LASTS).await?;
        let ends_at = ends_at.ok_or_else(|| {
            let refusal = Refusal::of("token", format!("there is no token {token} that lets anybody in"));
            Error::refused(refusal.with_hint("`odoo-eventd token list` shows them"))
        })?;
        Ok(LoginLink { code, ends_at })
    }
}

fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_token_is_of_one_session_and_does_not_tell_its_key() {
        let (one, other) = (SessionKey::new(), SessionKey::new());
        assert_eq!(one.form_token(), SessionKey::told(one.expose()).form_token());
        assert_ne!(one.form_token(), other.form_token());
        assert_ne!(one.form_token(), URL_SAFE_NO_PAD.encode(one.digest()));
        assert!(!format!("{one:?}").contains(one.expose()));
    }
}
