//! A receiver of webhooks for development: accepts anything, verifies what is signed, hands every delivery on.
//!
//! It is what `odoo-eventd receive` and `odoo-eventd demo` listen with. It speaks HTTP/1.1 and HTTP/2 without TLS and belongs on loopback: it
//! is neither hardened nor fast, and keeps nothing.

use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::server::{self, Limits};
use crate::signature::{self, Secret, VerifyError};
use crate::{Error, Result};

/// The largest body accepted, in bytes: 64 times what is sent by default. Beyond it the answer is 413.
const MAX_BODY_BYTES: usize = 16 << 20;

/// Ids remembered in order to recognise a repetition; forgotten all at once beyond this, which a development session does not reach.
const MAX_IDS: usize = 100_000;

/// More connections than a service opens.
const LIMITS: Limits = Limits {
    connections: 256,
    request_within: Duration::from_secs(10),
    reads_within: Duration::from_secs(30),
    connection_within: None,
    head_bytes: 256 * 1024,
};

/// How a receiver behaves.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    /// Where to listen; port 0 takes a free one.
    pub bind: SocketAddr,
    /// What the signatures may be made with. None: they are not checked.
    pub secrets: Vec<Secret>,
    /// What to answer. `None`: 200, or 401 when a secret is set and the delivery is not rightly signed.
    pub status: Option<StatusCode>,
    /// How long to wait before answering.
    pub delay: Duration,
}

/// What checking one of the two signatures gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The header was not there.
    Absent,
    /// The header was there, but no secret to check it with.
    NotChecked,
    /// Made with one of the secrets, and recent where it has a time.
    Valid,
    /// Not to be trusted.
    Invalid(VerifyError),
}

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// When it had arrived completely.
    pub at: SystemTime,
    /// `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Every header in its order, as text; bytes that are none are replaced.
    pub headers: Vec<(String, String)>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// `X-MCP-Signature`.
    pub body_signature: Check,
    /// `webhook-signature`, with its id and timestamp.
    pub message_signature: Check,
    /// True when this `webhook-id` has been seen before: another attempt of the same delivery, which a receiver ignores.
    pub repeated: bool,
}

impl Received {
    /// The value of the first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// True when at least one signature was checked and none was wrong.
    #[must_use]
    pub fn is_verified(&self) -> bool {
        let checks = [self.body_signature, self.message_signature];
        checks.contains(&Check::Valid) && !checks.iter().any(|check| matches!(check, Check::Invalid(_)))
    }
}

/// A receiver that listens until it is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    /// Aborted on drop, with the connections it serves.
    _tasks: JoinSet<()>,
}

impl Receiver {
    /// Starts listening and hands every delivery to `on_delivery` before it is answered.
    ///
    /// A slow reader of the channel slows the answers; a closed channel is no failure.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub async fn start(config: ReceiverConfig, on_delivery: mpsc::Sender<Received>) -> Result<Self> {
        let bind = config.bind;
        let cannot = |error: io::Error| Error::other(format!("cannot listen at {bind}")).with_source(error);
        let listener = TcpListener::bind(config.bind).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let service = Arc::new(Service {
            config,
            on_delivery,
            seen: Mutex::default(),
        });
        let router = Router::new().fallback(Service::answer).with_state(service);
        let mut tasks = JoinSet::new();
        tasks.spawn(server::serve(listener, router, LIMITS, CancellationToken::new()));
        Ok(Self { address, _tasks: tasks })
    }

    /// The address it listens at.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL to subscribe with.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

struct Service {
    config: ReceiverConfig,
    on_delivery: mpsc::Sender<Received>,
    seen: Mutex<HashSet<String>>,
}

impl Service {
    async fn answer(State(this): State<Arc<Self>>, request: Request) -> StatusCode {
        let (head, body) = request.into_parts();
        let Ok(body) = server::read_body(body, MAX_BODY_BYTES).await else {
            return StatusCode::PAYLOAD_TOO_LARGE;
        };
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let received = this.check(Received {
            at: SystemTime::now(),
            method: head.method.to_string(),
            path: head
                .uri
                .path_and_query()
                .map_or_else(|| "/".into(), ToString::to_string),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            body,
            body_signature: Check::Absent,
            message_signature: Check::Absent,
            repeated: false,
        });
        let refused = !this.config.secrets.is_empty() && !received.is_verified();
        let status = this.config.status.unwrap_or(if refused {
            StatusCode::UNAUTHORIZED
        } else {
            StatusCode::OK
        });
        let _ = this.on_delivery.send(received).await;
        tokio::time::sleep(this.config.delay).await;
        status
    }

    fn check(&self, mut received: Received) -> Received {
        let secrets = &self.config.secrets;
        let judge = |result: Option<Result<(), VerifyError>>| match result {
            None => Check::Absent,
            Some(_) if secrets.is_empty() => Check::NotChecked,
            Some(Ok(())) => Check::Valid,
            Some(Err(error)) => Check::Invalid(error),
        };
        let now = received
            .at
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        received.body_signature = judge(
            received
                .header("x-mcp-signature")
                .map(|header| signature::verify_body(secrets, header, &received.body)),
        );
        received.message_signature = judge(received.header("webhook-signature").map(|header| {
            let signed = signature::Received {
                id: received.header("webhook-id").unwrap_or_default(),
                timestamp: received.header("webhook-timestamp").unwrap_or_default(),
                signature: header,
            };
            let now = i64::try_from(now).unwrap_or(i64::MAX);
            signature::verify_message(secrets, signed, &received.body, now, signature::DEFAULT_TOLERANCE)
        }));
        if let Some(id) = received.header("webhook-id").map(str::to_owned) {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.len() >= MAX_IDS {
                seen.clear();
            }
            received.repeated = !seen.insert(id);
        }
        received
    }
}
