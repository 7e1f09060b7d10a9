//! The keys that a server of tokens publishes, as they were read last.
//!
//! They are read anew when they are ten minutes old, and when a token names one that is not among them: servers change their keys. While
//! that server cannot be reached, what was read in the last hour counts on; after that nothing does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, HeaderMap, HeaderValue};
use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use tokio::sync::Mutex;
use url::Url;

use crate::Result;
use crate::endpoint::guard::Guard;
use crate::http::client::{Attempt, Audience, Client, ClientConfig, Request, Reuse};

/// After so long they are read anew.
const FRESH: Duration = Duration::from_secs(600);

/// After so long they count no more.
const LAST: Duration = Duration::from_secs(3_600);

/// Between two tries: whoever invents keys cannot have that server asked all the time.
const PAUSE: Duration = Duration::from_secs(5);

const TIMEOUT: Duration = Duration::from_secs(5);

/// No server publishes more.
const AT_MOST_BYTES: usize = 256 * 1024;

/// What is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// The server has no such key.
    Key,
    /// Which keys the server has.
    Server,
}

/// See the [module documentation](self).
#[derive(Debug)]
pub(super) struct Keys {
    client: Client,
    url: Url,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    keys: Arc<Vec<Jwk>>,
    read_at: Option<Instant>,
    tried_at: Option<Instant>,
}

impl Read {
    fn is_younger_than(&self, age: Duration) -> bool {
        self.read_at.is_some_and(|at| at.elapsed() < age)
    }

    fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Jwk> {
        let fits = |key: &&Jwk| {
            let common = &key.common;
            let is_named = kid.is_none_or(|kid| common.key_id.as_deref() == Some(kid));
            let signs = !matches!(common.public_key_use, Some(PublicKeyUse::Encryption));
            let is_meant = common
                .key_algorithm
                .is_none_or(|named| named.to_string() == format!("{algorithm:?}"));
            is_named && signs && is_meant
        };
        self.keys.iter().find(fits).cloned()
    }
}

impl Keys {
    pub(super) fn new(url: &Url, client: ClientConfig) -> Result<Self> {
        // Whoever runs this named the URL: any address may be meant.
        let client = ClientConfig {
            guard: Guard::new(&["0.0.0.0/0", "::/0"], &[])?,
            response_cap_bytes: AT_MOST_BYTES,
            ..client
        };
        Ok(Self {
            client: Client::new(client)?,
            url: url.clone(),
            read: Mutex::default(),
        })
    }

    /// The key of this name, or the one that there is.
    pub(super) async fn key(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Jwk, Unknown> {
        // Held while they are read: whoever comes meanwhile needs the same.
        let mut read = self.read.lock().await;
        let known = read.find(kid, algorithm);
        let may_try = read.tried_at.is_none_or(|at| at.elapsed() >= PAUSE);
        if (known.is_none() || !read.is_younger_than(FRESH)) && may_try {
            read.tried_at = Some(Instant::now());
            match self.fetch().await {
                Ok(keys) => {
                    read.keys = Arc::new(keys);
                    read.read_at = Some(Instant::now());
                }
                Err(why) => tracing::error!(
                    error = why,
                    host = self.url.host_str(),
                    "the keys of mcp.oauth_jwks_url cannot be read: tokens of that server may be refused"
                ),
            }
        }
        if !read.is_younger_than(LAST) {
            return Err(Unknown::Server);
        }
        let known = read.find(kid, algorithm);
        let has_failed = read.tried_at > read.read_at;
        known.ok_or(if has_failed { Unknown::Server } else { Unknown::Key })
    }

    async fn fetch(&self) -> std::result::Result<Vec<Jwk>, String> {
        let request = Request {
            method: Method::GET,
            url: self.url.clone(),
            audience: Audience::Endpoint,
            headers: HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]),
            body: Bytes::new(),
            timeout: TIMEOUT,
            reuse: Reuse::Any,
            secrets: Vec::new(),
        };
        let Attempt {
            outcome,
            status,
            response,
            detail,
            ..
        } = self.client.send(request).await;
        if !outcome.is_success() {
            let status = status.map(|status| format!("status {status}"));
            return Err(detail.or(status).unwrap_or_else(|| "no answer".to_owned()));
        }
        if response.truncated {
            return Err("the answer is too large".to_owned());
        }
        let set: JwkSet =
            serde_json::from_str(&response.text).map_err(|e| format!("the answer is no set of keys: {e}"))?;
        match set.keys.is_empty() {
            true => Err("the answer has no keys".to_owned()),
            false => Ok(set.keys),
        }
    }
}
