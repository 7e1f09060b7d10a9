//! Makes one HTTP attempt and tells what came of it.
//!
//! What an attempt is:
//!
//! * **One request.** No redirect is followed, no proxy is taken from the environment. Nothing is sent again but what was not a
//!   request: what the receiver itself says it never processed (HTTP/2: a stream above the last that GOAWAY names, REFUSED_STREAM), and
//!   what never left here. That is sent on another connection, a bounded number of times.
//! * **A total time.** Resolving, connecting, sending, the answer's head and its body share one budget; a receiver that drips bytes is cut
//!   off when it is used up.
//! * **A bounded answer.** The body is read up to a cap and not a byte further: the rest is neither collected nor waited for, the connection
//!   is closed. Nothing is decompressed, so what arrives is what is counted.
//! * **None of its secrets.** What the receiver says is kept without the secrets that it was sent.
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
use http_body_util::{BodyExt, Full};
use reqwest::dns::Resolve;
use reqwest::header::{ACCEPT, HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use reqwest::{Method, Url};
use rustls::pki_types::CertificateDer;
use url::Position;

use super::dial::{Broken, Dialer, Place};
pub use super::pool::Reuse;
use super::pool::{self, NotSent, Pool};
use super::resolver::{GuardedResolver, SystemResolver};
use super::tls::{self, HostIdentity};
use crate::Result;
use crate::backoff::parse_retry_after;
use crate::delivery::{Failure, Outcome, Verdict};
use crate::endpoint::guard::{Blocked, Guard, Reach};
use crate::endpoint::mask::{Concealed, mask_url};
use crate::signature::Secret;

/// How much of an answer's body is kept when nobody says otherwise: 16 KiB, enough for any error message meant for people.
pub const DEFAULT_RESPONSE_CAP_BYTES: usize = 16 * 1024;

/// The `User-Agent` of every request.
pub const USER_AGENT_VALUE: &str = concat!("odoo-eventd/", env!("CARGO_PKG_VERSION"));

/// How often what was not a request is sent again. A receiver that ends its connections after a few requests each refuses one of many
/// that are made at once several times, until its turn comes.
const RESENDS_AT_MOST: u32 = 30;

/// How often what was the only request on a new connection, and never left, is sent again: nobody is well who closes those.
const NEW_RESENDS_AT_MOST: u32 = 2;

/// So many are sent again at once; before those that follow there is a pause that grows.
const RESENDS_AT_ONCE: u32 = 2;
const RESEND_PAUSE_FIRST: Duration = Duration::from_millis(5);
const RESEND_PAUSE_LAST: Duration = Duration::from_millis(100);

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
    /// Which connections it may use: one that must not be lost, as it is made once, does not use an old one.
    pub reuse: Reuse,
    /// What it was signed with: nobody sends that, but whoever knows it may say it.
    pub secrets: Vec<Secret>,
}

impl Request {
    /// All that is secret of it.
    fn concealed(&self) -> Concealed {
        let mut concealed = Concealed::of(&self.url, &self.headers);
        for secret in &self.secrets {
            secret.forms().for_each(|form| concealed.add(form));
        }
        concealed
    }
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
#[derive(Clone)]
struct Pools {
    guard: Guard,
    public: Pool,
    allow_listed: Pool,
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools")
            .field("guard", &self.guard)
            .finish_non_exhaustive()
    }
}

impl Pools {
    fn new(config: &ClientConfig, guard: &Guard, host: Option<&HostIdentity>) -> Result<Self> {
        let mut authorities = config.authorities.clone();
        authorities.extend(host.iter().flat_map(|host| host.authorities.iter().cloned()));
        let tls = tls::client_config(&authorities, host.and_then(|host| host.identity.clone()))?;
        let pool = |reach| {
            let resolver = GuardedResolver::new(Arc::clone(&config.resolver), guard.clone(), reach);
            Pool::new(Dialer::new(resolver, tls.clone()))
        };
        Ok(Self {
            guard: guard.clone(),
            public: pool(Reach::Public),
            allow_listed: pool(Reach::AllowListed),
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
        let ended = match tokio::time::timeout(timeout, Box::pin(self.exchange(&request, &mut answer))).await {
            Ok(ended) => ended,
            Err(_) => Err(Trouble::new(
                Failure::Timeout,
                format!("not finished after {} ms", timeout.as_millis()),
            )),
        };
        let mut attempt = answer.into_attempt(ended, started.elapsed());
        if !attempt.response.text.is_empty() || attempt.detail.is_some() {
            let concealed = request.concealed();
            attempt.response.text = concealed.hide(&attempt.response.text, attempt.response.truncated);
            attempt.detail = attempt.detail.map(|detail| concealed.hide(&detail, true));
        }
        if audience == Audience::Callback && attempt.outcome.verdict == Verdict::Disable {
            // One record's receiver speaks for its own URL, not for the subscription of all records.
            attempt.outcome.verdict = Verdict::Fail;
        }
        attempt
    }

    /// Sends and reads, noting in `answer` what has arrived so far: the caller may run out of time at any point.
    async fn exchange(&self, request: &Request, answer: &mut Answer) -> Result<(), Trouble> {
        let pools = self.pools_for(request);
        let pool = match pools.guard.check_url(&request.url)? {
            Reach::Public => &pools.public,
            Reach::AllowListed => &pools.allow_listed,
        };
        let place = Place::of(&request.url)
            .ok_or_else(|| Trouble::new(Failure::InvalidRequest, "the URL names no host".to_owned()))?;
        let mut reuse = request.reuse;
        let (mut resends, mut new_resends) = (0, 0);
        loop {
            let mut connection = pool.connection(&place, reuse).await?;
            let message = message(request, connection.is_http2())?;
            let failed = match connection.send(message).await {
                Ok(response) => {
                    let kept_for = pool::kept_for(response.headers());
                    if self.read(response, &mut connection, answer).await? {
                        pool.give_back(&place, connection, kept_for);
                    }
                    return Ok(());
                }
                Err(failed) => failed,
            };
            let NotSent { error, is_unprocessed } = failed;
            pool.failed(&place, &connection, is_unprocessed);
            if !is_unprocessed {
                return Err(error.into());
            }
            resends += 1;
            new_resends += u32::from(!connection.is_reused());
            if resends > RESENDS_AT_MOST || new_resends > NEW_RESENDS_AT_MOST {
                let mut trouble = Trouble::from(error);
                trouble.detail = format!("never processed, {resends} times: {}", trouble.detail);
                return Err(trouble);
            }
            drop(connection);
            reuse = Reuse::New;
            if let Some(nth) = resends.checked_sub(RESENDS_AT_ONCE + 1) {
                let pause = RESEND_PAUSE_FIRST * 2_u32.saturating_pow(nth.min(16));
                tokio::time::sleep(pause.min(RESEND_PAUSE_LAST)).await;
            }
        }
    }

    /// Reads an answer as far as it is kept; true when it was read to its end.
    async fn read(
        &self,
        response: hyper::Response<hyper::body::Incoming>,
        connection: &mut pool::Connection,
        answer: &mut Answer,
    ) -> Result<bool, Trouble> {
        answer.status = Some(response.status().as_u16());
        answer.retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .map(Into::into);
        answer.truncated = true;
        let mut body = response.into_body();
        while answer.body.len() <= self.response_cap_bytes {
            let Some(frame) = connection.drive(body.frame()).await.transpose().map_err(Broken::from)? else {
                answer.truncated = false;
                return Ok(true);
            };
            // Trailers say nothing to us.
            let Ok(chunk) = frame.into_data() else { continue };
            connection.gauge().taken(chunk.len());
            // One byte more than is kept tells whether there was more.
            let room = (self.response_cap_bytes + 1).saturating_sub(answer.body.len());
            answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        answer.body.truncate(self.response_cap_bytes);
        Ok(false)
    }
}

/// The request as it is written on a connection.
fn message(request: &Request, is_http2: bool) -> Result<hyper::Request<Full<Bytes>>, Trouble> {
    let cannot = |error: Box<dyn StdError + Send + Sync>| Trouble::from(Broken::Request(error));
    // Neither user name and password nor the fragment are part of it.
    let path = &request.url[Position::BeforePath..Position::AfterQuery];
    let authority = &request.url[Position::BeforeHost..Position::AfterPort];
    let mut message = hyper::Request::new(Full::new(request.body.clone()));
    *message.method_mut() = request.method.clone();
    *message.uri_mut() = if is_http2 {
        hyper::Uri::builder()
            .scheme(request.url.scheme())
            .authority(authority)
            .path_and_query(path)
            .build()
            .map_err(|error| cannot(error.into()))?
    } else {
        path.parse()
            .map_err(|error: hyper::http::uri::InvalidUri| cannot(error.into()))?
    };
    *message.headers_mut() = request.headers.clone();
    let headers = message.headers_mut();
    headers
        .entry(USER_AGENT)
        .or_insert(HeaderValue::from_static(USER_AGENT_VALUE));
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
    if !is_http2 {
        let host = HeaderValue::try_from(authority).map_err(|error| cannot(error.into()))?;
        headers.insert(HOST, host);
    }
    Ok(message)
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

impl From<Broken> for Trouble {
    fn from(error: Broken) -> Self {
        Self::new(classify(&error), chain(&error))
    }
}

/// Sorts an error by the types among its causes; no text is looked at.
fn classify(error: &Broken) -> Failure {
    // The innermost cause that is understood decides: the layers above only say where it happened.
    let understood = causes(error).into_iter().rev().find_map(of_cause);
    match (error, understood) {
        (Broken::Request(_), _) => Failure::InvalidRequest,
        (Broken::SpokeFirst(_), _) => Failure::Protocol,
        (_, Some(failure)) => failure,
        (Broken::Ended, None) => Failure::ConnectionReset,
        (Broken::Name(_), None) => Failure::Dns,
        (Broken::Connect(_), None) => Failure::Unreachable,
        (Broken::Tls(_), None) => Failure::Tls,
        (Broken::Exchange(_), None) => Failure::Protocol,
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
fn chain(error: &Broken) -> String {
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
            reuse: Reuse::Any,
            secrets: vec![Secret::parse("s3cret").unwrap()],
        };
        assert!(!format!("{request:?}").contains("s3cret"));
    }
}
