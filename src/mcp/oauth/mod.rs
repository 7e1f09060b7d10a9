//! Tokens of another server: OAuth 2.1, where this is the resource server and never the one that gives tokens.
//!
//! A token is a JWT, signed with a key that its server publishes (JWKS). It counts where it comes from the issuer that the settings name, is
//! meant for this address (`aud`), has not ended, and says for which Odoo user it is. Scopes have the names of our own; `admin` is never
//! taken from elsewhere. Where nobody can tell whether a token is right, it lets nobody in: 503, and the log says why.

mod crypto;
mod keys;
pub mod metadata;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation, decode, decode_header};
use serde_json::{Map, Value};

use self::keys::{Keys, Unknown};
use crate::Result;
use crate::api::pace::Bucket;
use crate::config::OauthSettings;
use crate::http::client::ClientConfig;
use crate::ops::tokens::OAUTH;
use crate::ops::{Operator, Scope, Service};

/// How much the clocks of two servers may differ.
const SKEW_S: u64 = 60;

/// Who comes is remembered for so many, so that each has his pace.
const REMEMBERED: usize = 1_000;

/// How tokens may be signed. None with a shared secret: who verifies could sign.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Somebody who brings a token of that server.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// Who he is there.
    pub subject: String,
    /// Who he is here.
    pub operator: Operator,
    /// When his token ends.
    pub until: Instant,
}

/// Why somebody is not let in.
#[derive(Debug)]
pub enum Refused {
    /// The token is wrong, for this reason, which is no secret.
    Wrong(String),
    /// There is no such Odoo user, or he may do nothing here.
    MayNothing(String),
    /// He asks too fast.
    TooFast(Duration),
    /// Nobody can tell now.
    Unknown,
}

/// What checks tokens of one server.
#[derive(Debug)]
pub struct ResourceServer {
    settings: OauthSettings,
    keys: Keys,
    rate: u32,
    paces: Mutex<HashMap<String, Bucket>>,
}

impl ResourceServer {
    /// For that server. `rate` requests a second are let in with tokens of one subject.
    ///
    /// # Errors
    /// As [`crate::http::client::Client::new`].
    pub fn new(settings: OauthSettings, client: ClientConfig, rate: u32) -> Result<Self> {
        crypto::install();
        Ok(Self {
            keys: Keys::new(&settings.jwks_url, client)?,
            settings,
            rate,
            paces: Mutex::default(),
        })
    }

    /// The server that gives tokens.
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Whether a token looks like one of such a server: three parts with points between them.
    pub fn is_meant(token: &str) -> bool {
        token.split('.').count() == 3
    }

    /// Whom this token lets in.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn admit(&self, service: &Service, token: &str) -> std::result::Result<Bearer, Refused> {
        let claims = self.claims(token).await?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let wrong = |what: &str| Refused::Wrong(format!("the token has no {what}"));
        let subject = text("sub").ok_or_else(|| wrong("sub"))?;
        self.pace(subject)?;
        let claim = &self.settings.user_claim;
        let who = match claims.get(claim) {
            Some(Value::String(who)) if !who.is_empty() => who.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => return Err(wrong(claim)),
        };
        let scopes = scopes_of(&claims);
        if scopes.is_empty() {
            return Err(Refused::MayNothing(
                "the token has none of the scopes that are known here".to_owned(),
            ));
        }
        let user_id = match service.user_named(&Operator::of_database(), &who).await {
            Ok(user_id) => user_id,
            Err(crate::ops::Error::Refused(_)) => {
                let told = format!("there is no Odoo user for whom this token could act: {claim} of it names none");
                return Err(Refused::MayNothing(told));
            }
            Err(error) => {
                tracing::error!(error = %error, "it cannot be told who brings a token");
                return Err(Refused::Unknown);
            }
        };
        Ok(Bearer {
            subject: subject.to_owned(),
            operator: Operator::of_connection(format!("{OAUTH}{subject}"), scopes).for_user(user_id),
            until: Instant::now() + left(&claims),
        })
    }

    /// What a token says, once it is known to be right.
    async fn claims(&self, token: &str) -> std::result::Result<Map<String, Value>, Refused> {
        let header = decode_header(token).map_err(|_| Refused::Wrong("the token is none".to_owned()))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(Refused::Wrong(format!(
                "tokens signed with {:?} are not taken",
                header.alg
            )));
        }
        let key = self
            .keys
            .key(header.kid.as_deref(), header.alg)
            .await
            .map_err(|unknown| match unknown {
                Unknown::Key => {
                    Refused::Wrong("the token is signed with a key that its server does not have".to_owned())
                }
                Unknown::Server => Refused::Unknown,
            })?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = SKEW_S;
        validation.validate_nbf = true;
        validation.set_audience(&self.settings.audience);
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let key = DecodingKey::from_jwk(&key).map_err(|error| {
            tracing::error!(error = %error, "a published key cannot be read");
            Refused::Unknown
        })?;
        let decoded: TokenData<Map<String, Value>> =
            decode(token, &key, &validation).map_err(|error| Refused::Wrong(format!("the token is wrong: {error}")))?;
        Ok(decoded.claims)
    }

    fn pace(&self, subject: &str) -> std::result::Result<(), Refused> {
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if paces.len() >= REMEMBERED && !paces.contains_key(subject) {
            // All of them have a full bucket again before so many others have come.
            paces.clear();
        }
        let bucket = paces
            .entry(subject.to_owned())
            .or_insert_with(|| Bucket::new(self.rate, now));
        bucket.take(self.rate, now).map_err(Refused::TooFast)
    }
}

/// Those of ours; as a text with spaces (RFC 9068), or as a list.
fn scopes_of(claims: &Map<String, Value>) -> BTreeSet<Scope> {
    let texts = match claims.get("scope").or(claims.get("scp")) {
        Some(Value::String(text)) => text.split(' ').map(str::to_owned).collect(),
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    let scopes = texts.iter().filter_map(|text| text.parse::<Scope>().ok());
    scopes.filter(|scope| *scope != Scope::Admin).collect()
}

/// How long a token lets somebody in yet.
fn left(claims: &Map<String, Value>) -> Duration {
    let ends_at = claims.get("exp").and_then(Value::as_f64).unwrap_or_default();
    let now = jiff::Timestamp::now().as_second();
    let left_s = ends_at - now as f64 + SKEW_S as f64;
    Duration::try_from_secs_f64(left_s.clamp(0.0, 366.0 * 86_400.0)).unwrap_or_default()
}
