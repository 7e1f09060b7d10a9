//! Makes one HTTP attempt and tells what came of it.
//!
//! What an attempt is:
//!
//! * **One request.** No redirect is followed, nothing is sent again behind the caller's back, no proxy is taken from the environment.
//! * **A total time.** Resolving, connecting, sending, the answer's head and its body share one budget; a receiver that drips bytes is cut
//!   off when it is used up.
//! * **A bounded answer.** The body is read up to a cap and not a byte further: the rest is neither collected nor waited for, the connection
//!   is closed. Nothing is decompressed, so what arrives is what is counted.
//!
//! An attempt succeeds when within its time a 2xx status and the body (or as much of it as is kept) have arrived. An answer that
//! begins with 2xx but breaks off or stays unfinished is a failure like any other, with its status recorded: whether the receiver's
//! work was done cannot be known, and the delivery's id lets it recognise a repetition. A status that is not 2xx stands whatever
//! becomes of its body.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use reqwest::dns::Resolve;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Method, Url};
use rustls::pki_types::CertificateDer;

use super::guard::{Blocked, Guard, Reach};
use super::mask::mask_url;
use super::resolver::{GuardedResolver, SystemResolver};
use super::tls::{self, HostIdentity};
use crate::backoff::parse_retry_after;
use crate::delivery::{Failure, Outcome, Verdict};
use crate::{Error, Result};

/// How much of an answer's body is kept when nobody says otherwise: 16 KiB, enough for any error message meant for people.
pub const DEFAULT_RESPONSE_CAP_BYTES: usize = 16 * 1024;

/// The `User-Agent` of every request.
pub const USER_AGENT_VALUE: &str = concat!("odoo-eventd/", env!("CARGO_PKG_VERSION"));

/// How long an unused connection is kept: below the 5 s after which Node, Apache and uvicorn close theirs.
///
/// A request written at the moment the other side hangs up fails although the receiver is well, and a one-shot is then over.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// Unused connections kept for one host.
const POOL_IDLE_PER_HOST: usize = 32;

/// The longest wait for a connection, TLS included, whatever the request's budget: more time is for slow answers, not for hosts that are away.
///
/// Also ends connections that are still being opened when their request has given up or found another.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How often an HTTP/2 connection in use is asked whether it is alive, and how long it may take to answer.
///
/// All requests to a host share one such connection: without this, a silently dropped one would fail each of them by timeout.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(10);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(5);

/// What the client needs to know beforehand.
#[derive(Clone)]
pub struct ClientConfig {
    /// Which addresses may be called.
    pub guard: Guard,
    /// Which addresses may be called on the word of a stranger: [`Audience::Callback`].
    pub callback_guard: Guard,
    /// Certificates of authorities to trust besides the system's.
    pub authorities: Vec<CertificateDer<'static>>,
    /// What is particular to single hosts; the first that fits counts. Never for callbacks.
    pub hosts: Vec<HostIdentity>,
    /// How many bytes of an answer's body are read and kept.
    pub response_cap_bytes: usize,
    /// Who resolves names. What it returns passes through the guard.
    pub resolver: Arc<dyn Resolve>,
}

impl ClientConfig {
    /// These rules, the system's authorities and resolver, and [`DEFAULT_RESPONSE_CAP_BYTES`].
    #[must_use]
    pub fn new(guard: Guard) -> Self {
        Self {
            callback_guard: Guard::public(&guard).for_networks_named_in("allow_callback_networks"),
            guard,
            authorities: Vec::new(),
            hosts: Vec::new(),
            response_cap_bytes: DEFAULT_RESPONSE_CAP_BYTES,
            resolver: Arc::new(SystemResolver::default()),
        }
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("guard", &self.guard)
            .field("callback_guard", &self.callback_guard)
            .field("authorities", &self.authorities.len())
            .field("hosts", &self.hosts.len())
            .finish_non_exhaustive()
    }
}

/// Who named the URL; decides which rules hold for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Audience {
    /// A subscription.
    #[default]
    Endpoint,
    /// Data: it came from outside with some record. No client certificate is shown, and networks have to be allowed for it apart, or
    /// anybody could have the operator's own hosts called.
    Callback,
}

/// One request, complete but for the `User-Agent`.
#[derive(Clone)]
pub struct Request {
    /// The method; any may carry the body.
    pub method: Method,
    /// Where to. Checked by the guard when it is sent.
    pub url: Url,
    /// On whose word.
    pub audience: Audience,
    /// The headers, signatures included.
    pub headers: HeaderMap,
    /// The body as it was signed.
    pub body: Bytes,
    /// The total time of the attempt.
    pub timeout: Duration,
}

impl fmt::Debug for Request {
    /// Without header values and body: both may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("url", &mask_url(&self.url))
            .field("body_bytes", &self.body.len())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The beginning of an answer's body, as text that PostgreSQL can store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snippet {
    /// UTF-8 without NUL; a byte that is neither is written `\x1f`.
    pub text: String,
    /// True when the body went on after this: it was longer than the cap, or broke off.
    pub truncated: bool,
}

/// What came of one request.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// What it means for the delivery.
    pub outcome: Outcome,
    /// The status, when one arrived; also of an answer whose body then failed.
    pub status: Option<u16>,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
    /// The body of the answer; empty when none arrived.
    pub response: Snippet,
    /// A sentence for the log when the attempt failed otherwise than by its status. Names addresses, never the URL.
    pub detail: Option<String>,
    /// From the call to the last byte read.
    pub duration: Duration,
}

/// Sends requests; one for the whole process. Cheap to clone: clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    response_cap_bytes: usize,
    endpoints: Pools,
    callbacks: Pools,
    hosts: Arc<[(HostIdentity, Pools)]>,
}

/// Connections that share an audience and a TLS identity; none is used for another.
#[derive(Debug, Clone)]
struct Pools {
    guard: Guard,
    public: reqwest::Client,
    allow_listed: reqwest::Client,
}

impl Pools {
    fn new(config: &ClientConfig, guard: &Guard, host: Option<&HostIdentity>) -> Result<Self> {
        let mut authorities = config.authorities.clone();
        authorities.extend(host.iter().flat_map(|host| host.authorities.iter().cloned()));
        let tls = tls::client_config(&authorities, host.and_then(|host| host.identity.clone()))?;
        let build = |reach| {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .dns_resolver(GuardedResolver::new(Arc::clone(&config.resolver), guard.clone(), reach))
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .no_proxy()
                .referer(false)
                .tcp_nodelay(true)
                .tcp_keepalive(Duration::from_secs(15))
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(POOL_IDLE)
                .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
                .http2_keep_alive_interval(HTTP2_PING_EVERY)
                .http2_keep_alive_timeout(HTTP2_PING_TIMEOUT)
                .default_headers(HeaderMap::from_iter([(
                    USER_AGENT,
                    HeaderValue::from_static(USER_AGENT_VALUE),
                )]))
                .build()
                .map_err(|error| Error::other("cannot set up the HTTP client").with_source(error))
        };
        Ok(Self {
            guard: guard.clone(),
            public: build(Reach::Public)?,
            allow_listed: build(Reach::AllowListed)?,
        })
    }
}

impl Client {
    /// Sets up TLS and the connection pools: two, one for each [`Reach`], for every audience and TLS identity. Connects to nothing.
    ///
    /// # Errors
    /// When the system has no certificates to trust (the hint says how to mend it), or a client certificate's key is another's.
    pub fn new(config: ClientConfig) -> Result<Self> {
        let hosts = config
            .hosts
            .iter()
            .map(|host| Ok((host.clone(), Pools::new(&config, &config.guard, Some(host))?)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            response_cap_bytes: config.response_cap_bytes,
            endpoints: Pools::new(&config, &config.guard, None)?,
            callbacks: Pools::new(&config, &config.callback_guard, None)?,
            hosts: hosts.into(),
        })
    }

    fn pools_for(&self, request: &Request) -> &Pools {
        match request.audience {
            Audience::Callback => &self.callbacks,
            Audience::Endpoint => self
                .hosts
                .iter()
                .find(|(host, _)| host.is_for(&request.url))
                .map_or(&self.endpoints, |(_, pools)| pools),
        }
    }

    /// Makes one attempt. Never fails: whatever happens is its [`Attempt::outcome`].
    ///
    /// Dropping the future closes the connection; whether the receiver has taken the request by then cannot be known.
    pub async fn send(&self, request: Request) -> Attempt {
        let started = Instant::now();
        let mut answer = Answer::default();
        let (timeout, audience) = (request.timeout, request.audience);
        let ended = match tokio::time::timeout(timeout, Box::pin(self.exchange(request, &mut answer))).await {
            Ok(ended) => ended,
            Err(_) => Err(Trouble::new(
                Failure::Timeout,
                format!("not finished after {} ms", timeout.as_millis()),
            )),
        };
        let mut attempt = answer.into_attempt(ended, started.elapsed());
        if audience == Audience::Callback && attempt.outcome.verdict == Verdict::Disable {
            // One record's receiver speaks for its own URL, not for the subscription of all records.
            attempt.outcome.verdict = Verdict::Fail;
        }
        attempt
    }

    /// Sends and reads, noting in `answer` what has arrived so far: the caller may run out of time at any point.
    async fn exchange(&self, request: Request, answer: &mut Answer) -> Result<(), Trouble> {
        let pools = self.pools_for(&request);
        let client = match pools.guard.check_url(&request.url)? {
            Reach::Public => &pools.public,
            Reach::AllowListed => &pools.allow_listed,
        };
        let mut asked = reqwest::Request::new(request.method, request.url);
        // Put in as they are: the builder would copy them one by one.
        *asked.headers_mut() = request.headers;
        *asked.body_mut() = Some(request.body.into());
        let mut response = client.execute(asked).await?;
        answer.status = Some(response.status().as_u16());
        answer.retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .map(Into::into);
        answer.truncated = true;
        while answer.body.len() <= self.response_cap_bytes {
            let Some(chunk) = response.chunk().await? else {
                answer.truncated = false;
                return Ok(());
            };
            // One byte more than is kept tells whether there was more.
            let room = (self.response_cap_bytes + 1).saturating_sub(answer.body.len());
            answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        answer.body.truncate(self.response_cap_bytes);
        Ok(())
    }
}

/// What has arrived so far.
#[derive(Default)]
struct Answer {
    status: Option<u16>,
    retry_after: Option<String>,
    body: Vec<u8>,
    truncated: bool,
}

impl Answer {
    fn into_attempt(self, ended: Result<(), Trouble>, duration: Duration) -> Attempt {
        let (outcome, detail) = match (self.status, ended) {
            (Some(status), Ok(())) => (Outcome::of_status(status), None),
            (Some(status), Err(trouble)) if !Outcome::of_status(status).is_success() => {
                (Outcome::of_status(status), Some(trouble.detail))
            }
            (_, Err(trouble)) => (Outcome::of_failure(trouble.failure), Some(trouble.detail)),
            (None, Ok(())) => unreachable!("an exchange ends well only after a status"),
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Attempt {
            outcome,
            status: self.status,
            retry_after: self
                .retry_after
                .and_then(|value| parse_retry_after(&value, now.try_into().unwrap_or(i64::MAX))),
            response: Snippet {
                text: printable(&self.body, self.truncated),
                truncated: self.truncated,
            },
            detail,
            duration,
        }
    }
}

/// So many characters of what went wrong are kept.
const DETAIL_AT_MOST: usize = 1_000;

/// Why an exchange ended early.
#[derive(Debug)]
struct Trouble {
    failure: Failure,
    detail: String,
}

impl Trouble {
    fn new(failure: Failure, detail: String) -> Self {
        // It goes into the log, and PostgreSQL's text holds anything but this.
        // Some of it is in the receiver's words.
        let detail = detail
            .chars()
            .take(DETAIL_AT_MOST)
            .collect::<String>()
            .replace('\0', "\\x00");
        Self { failure, detail }
    }
}

impl From<Blocked> for Trouble {
    fn from(blocked: Blocked) -> Self {
        Self::new(Failure::BlockedAddress, blocked.to_string())
    }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        Self::new(classify(&error), chain(&error))
    }
}

/// Sorts an error by the types among its causes; no text is looked at.
fn classify(error: &reqwest::Error) -> Failure {
    if error.is_builder() {
        return Failure::InvalidRequest;
    }
    let causes = causes(error);
    // The innermost cause that is understood decides: the layers above only say where it happened.
    if let Some(failure) = causes.iter().rev().find_map(|cause| of_cause(*cause)) {
        return failure;
    }
    if error.is_dns() {
        Failure::Dns
    } else if error.is_timeout() {
        Failure::Timeout
    } else if error.is_connect() {
        Failure::Unreachable
    } else {
        Failure::Protocol
    }
}

fn of_cause(cause: &(dyn StdError + 'static)) -> Option<Failure> {
    if cause.is::<Blocked>() {
        return Some(Failure::BlockedAddress);
    }
    if cause.is::<rustls::Error>() {
        return Some(Failure::Tls);
    }
    if let Some(hyper) = cause.downcast_ref::<hyper::Error>() {
        return if hyper.is_timeout() {
            Some(Failure::Timeout)
        } else if hyper.is_parse() {
            Some(Failure::Protocol)
        } else if hyper.is_incomplete_message() || hyper.is_canceled() || hyper.is_closed() {
            Some(Failure::ConnectionReset)
        } else {
            None
        };
    }
    if let Some(h2) = cause.downcast_ref::<h2::Error>() {
        // The receiver ended the stream or the connection. What we ended, we ended because it was not HTTP/2.
        let ended = h2.is_remote() && (h2.is_reset() || h2.is_go_away());
        return (!h2.is_io()).then_some(if ended {
            Failure::ConnectionReset
        } else {
            Failure::Protocol
        });
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionRefused => Some(Failure::ConnectionRefused),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => Some(Failure::ConnectionReset),
        io::ErrorKind::TimedOut => Some(Failure::Timeout),
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::PermissionDenied => Some(Failure::Unreachable),
        // Malformed chunks and the like.
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Some(Failure::Protocol),
        _ => None,
    }
}

/// The error and its causes, outermost first.
///
/// An `io::Error` made from another error hides it from `source`, which goes on below it; rustls' errors travel in such ones.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> Vec<&'a (dyn StdError + 'static)> {
    let mut list = Vec::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        list.push(cause);
        next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => cause.source(),
        };
    }
    list
}

/// All causes in one line, each said once.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let said = cause.to_string();
        if text.is_empty() {
            text = said;
        } else if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
    }
    text
}

/// Bytes as text for PostgreSQL, which takes neither NUL nor invalid UTF-8; nothing is lost.
///
/// A character cut in two by the cap is left out.
fn printable(bytes: &[u8], truncated: bool) -> String {
    use fmt::Write;
    let mut text = String::with_capacity(bytes.len());
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        for character in chunk.valid().chars() {
            if character == '\0' {
                text.push_str("\\x00")
            } else {
                text.push(character)
            }
        }
        let cut = truncated && chunks.peek().is_none() && is_beginning_of_character(chunk.invalid());
        for byte in chunk.invalid().iter().filter(|_| !cut) {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn is_beginning_of_character(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_become_text_that_postgresql_takes() {
        for (bytes, truncated, text) in [
            (&b"plain"[..], false, "plain"),
            ("Größe €".as_bytes(), false, "Größe €"),
            (b"a\0b", false, "a\\x00b"),
            (b"\x1f\x8b\x08", false, "\u{1f}\\x8b\u{8}"),
            (b"cut \xe2\x82", true, "cut "),
            (b"cut \xe2\x82", false, "cut \\xe2\\x82"),
            (b"\xe2\x82 in the middle", true, "\\xe2\\x82 in the middle"),
            (b"", true, ""),
        ] {
            assert_eq!(printable(bytes, truncated), text, "{bytes:?}");
        }
    }

    #[test]
    fn a_request_shows_neither_headers_nor_body_nor_query() {
        let request = Request {
            method: Method::POST,
            url: Url::parse("https://example.com/?key=s3cret").unwrap(),
            audience: Audience::Endpoint,
            headers: HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static("s3cret"))]),
            body: Bytes::from_static(b"s3cret"),
            timeout: Duration::from_secs(5),
        };
        assert!(!format!("{request:?}").contains("s3cret"));
    }
}
