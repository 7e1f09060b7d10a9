//! Connections that are kept, and which request may use which.
//!
//! **HTTP/1.1.** A receiver may close a connection that nothing goes over, after a time or a number of requests of its own; a request that crosses
//! the close is lost, and nobody can tell whether it was taken. So a request that must not be made twice uses a connection
//! only if it is *fresh*: long enough after the last answer for a close that came with it to have arrived, and not longer than any
//! receiver keeps an idle connection. With a receiver that closes nevertheless, it gets a new one each time. What the
//! receiver itself says (`Keep-Alive: timeout=5`) is heeded for all. A connection belongs to one request at a time and is driven by it: it ends
//! with it, and one that is kept does nothing at all.
//!
//! **HTTP/2.** All requests to a place share a connection. A close is announced there (GOAWAY), and says what was not processed.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use reqwest::header::HeaderMap;
use tokio::task::JoinSet;

use super::dial::{Broken, Dialer, Place};
use super::wire::{Gauge, Wire};

/// How long an unused connection is kept: below the 5 s after which Node, Apache and uvicorn close theirs.
const KEPT_FOR: Duration = Duration::from_secs(4);

/// Unused connections kept for one place: as many as there may be requests to it at once.
const KEPT_PER_PLACE: usize = 64;

/// A close that comes with an answer has arrived by then.
const SETTLED_AFTER: Duration = Duration::from_millis(20);

/// No receiver closes an idle connection earlier.
const FRESH_FOR: Duration = Duration::from_millis(100);

/// A connection that was closed within that time was not closed for being idle.
const QUIET_WITHIN: Duration = Duration::from_secs(1);

/// How long a receiver is remembered for closing connections without a word.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);

/// How often it is looked what has been kept for too long.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// How much of an answer's head is read.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// How often an HTTP/2 connection in use is asked whether it is alive, and how long it may take to answer.
///
/// All requests to a place share one such connection: without this, a silently dropped one would fail each of them by timeout.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(10);
const HTTP2_PING_TIMEOUT: Duration = Duration::from_secs(5);

/// How much of one answer, and of all on a connection, may be on its way before anybody takes it.
const HTTP2_STREAM_WINDOW: u32 = 64 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Which connections a request may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reuse {
    /// Any that is open: what is lost is sent again.
    #[default]
    Any,
    /// One that is certainly open: the request is made once at most.
    Fresh,
    /// None that was used before, but for HTTP/2.
    New,
}

/// A body as it is sent.
type Body = Full<Bytes>;

/// What a connection needs to be polled for anything to happen on it.
type Driver = Pin<Box<http1::Connection<TokioIo<Wire>, Body>>>;

/// The connections of one reach and one TLS identity. Clones share them.
#[derive(Clone)]
pub(super) struct Pool {
    dialer: Dialer,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    places: Mutex<HashMap<Place, Kept>>,
    /// What drives HTTP/2, and what sweeps; ends with the pool.
    tasks: Mutex<JoinSet<()>>,
    is_swept: Mutex<bool>,
}

/// What is kept of one place.
#[derive(Default)]
struct Kept {
    /// The last used last.
    idle: Vec<Http1>,
    http2: Option<Arc<Http2>>,
    /// Whoever connects to a place that speaks HTTP/2 does it for all.
    connecting: Option<Arc<tokio::sync::Mutex<()>>>,
    closes_quietly_until: Option<Instant>,
}

/// A connection for one request.
pub(super) enum Connection {
    /// This request's own.
    Http1(Box<Http1>),
    /// Shared.
    Http2(Arc<Http2>),
}

pub(super) struct Http1 {
    sender: http1::SendRequest<Body>,
    /// `None` once it has ended.
    driver: Option<Driver>,
    gauge: Gauge,
    idle_since: Option<Instant>,
    kept_for: Duration,
}

pub(super) struct Http2 {
    /// `None` once the connection has ended. A request that is handed over while that happens may be left in the queue (tokio's channel:
    /// a message may be pushed after the receiver was drained); it is given back when nobody holds the queue's end any more, and its
    /// request would wait for ever for as long as somebody does.
    sender: Mutex<Option<http2::SendRequest<Body>>>,
    gauge: Gauge,
    used_at: Mutex<Instant>,
}

/// Why no answer came.
pub(super) struct NotSent {
    pub(super) error: Broken,
    /// The receiver said that it never processed the request, or nothing of it left.
    pub(super) is_unprocessed: bool,
}

impl From<Broken> for NotSent {
    fn from(error: Broken) -> Self {
        Self {
            error,
            is_unprocessed: false,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is kept is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self {
            dialer,
            shared: Arc::default(),
        }
    }

    /// A connection that this request may use: a kept one, or a new one.
    pub(super) async fn connection(&self, place: &Place, reuse: Reuse) -> Result<Connection, Broken> {
        let connecting = {
            let mut places = lock(&self.shared.places);
            let kept = places.entry(place.clone()).or_default();
            if let Some(found) = kept.take(reuse, Instant::now()) {
                return Ok(found);
            }
            kept.connecting.clone()
        };
        let _turn = match connecting {
            Some(connecting) => Some(connecting.lock_owned().await),
            None => None,
        };
        if let Some(shared) = self.http2_of(place) {
            return Ok(Connection::Http2(shared));
        }
        let (wire, gauge) = self.dialer.dial(place).await?;
        if wire.is_http2() {
            self.connect_http2(place, wire, gauge).await
        } else {
            let (sender, driver) = http1::Builder::new()
                .max_buf_size(MAX_HEAD_BYTES)
                .handshake(TokioIo::new(wire))
                .await?;
            Ok(Connection::Http1(Box::new(Http1 {
                sender,
                driver: Some(Box::pin(driver)),
                gauge,
                idle_since: None,
                kept_for: KEPT_FOR,
            })))
        }
    }

    fn http2_of(&self, place: &Place) -> Option<Arc<Http2>> {
        lock(&self.shared.places).get(place)?.open_http2()
    }

    async fn connect_http2(&self, place: &Place, wire: Wire, gauge: Gauge) -> Result<Connection, Broken> {
        let (sender, driver) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(HTTP2_PING_EVERY)
            .keep_alive_timeout(HTTP2_PING_TIMEOUT)
            .initial_stream_window_size(HTTP2_STREAM_WINDOW)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
            .handshake(TokioIo::new(wire))
            .await?;
        let connected = Arc::new(Http2 {
            sender: Mutex::new(Some(sender)),
            gauge,
            used_at: Mutex::new(Instant::now()),
        });
        let ending = Arc::downgrade(&connected);
        {
            let mut tasks = lock(&self.shared.tasks);
            while tasks.try_join_next().is_some() {}
            tasks.spawn(async move {
                if let Err(error) = driver.await {
                    // Each request on it is told; this is for whoever looks at connections.
                    tracing::debug!(error = %error, "an HTTP/2 connection ended");
                }
                if let Some(ended) = ending.upgrade() {
                    lock(&ended.sender).take();
                }
            });
        }
        let mut places = lock(&self.shared.places);
        let kept = places.entry(place.clone()).or_default();
        kept.connecting.get_or_insert_default();
        // Before it was known that the place speaks HTTP/2, several may have connected at once.
        let shared = kept.open_http2().unwrap_or(connected);
        kept.http2 = Some(Arc::clone(&shared));
        drop(places);
        self.sweep_later();
        Ok(Connection::Http2(shared))
    }

    /// Takes a connection back after an answer with these headers was read to its end.
    pub(super) fn give_back(&self, place: &Place, connection: Connection, kept_for: Duration) {
        let now = Instant::now();
        match connection {
            Connection::Http2(shared) => *lock(&shared.used_at) = now,
            Connection::Http1(mut connection) => {
                if kept_for.is_zero() || !connection.is_open() {
                    return;
                }
                connection.idle_since = Some(now);
                connection.kept_for = kept_for;
                let mut places = lock(&self.shared.places);
                let kept = places.entry(place.clone()).or_default();
                kept.sweep(now);
                if kept.idle.len() < KEPT_PER_PLACE {
                    kept.idle.push(*connection);
                }
                drop(places);
                self.sweep_later();
            }
        }
    }

    /// A request failed on this connection. Where it was not processed no other uses the connection; what is under way on it goes on.
    pub(super) fn failed(&self, place: &Place, connection: &Connection, is_unprocessed: bool) {
        let mut places = lock(&self.shared.places);
        let Some(kept) = places.get_mut(place) else { return };
        match connection {
            Connection::Http2(shared) => {
                kept.http2
                    .take_if(|current| is_unprocessed && Arc::ptr_eq(current, shared));
            }
            Connection::Http1(connection) => {
                let idle_for = connection.idle_since.map(|since| since.elapsed());
                if idle_for.is_some_and(|idle_for| idle_for < QUIET_WITHIN) && !connection.gauge.is_stale() {
                    kept.closes_quietly_until = Some(Instant::now() + REMEMBERED_FOR);
                }
            }
        }
    }

    /// Closes in time what nobody uses, also when nothing is sent any more.
    fn sweep_later(&self) {
        if std::mem::replace(&mut *lock(&self.shared.is_swept), true) {
            return;
        }
        let pool = Arc::downgrade(&self.shared);
        lock(&self.shared.tasks).spawn(async move {
            loop {
                tokio::time::sleep(SWEEP_EVERY).await;
                let Some(pool) = pool.upgrade() else { return };
                let now = Instant::now();
                let mut places = lock(&pool.places);
                places.retain(|_, kept| {
                    kept.sweep(now);
                    !kept.is_forgettable()
                });
                if places.is_empty() {
                    *lock(&pool.is_swept) = false;
                    return;
                }
            }
        });
    }
}

impl Kept {
    fn take(&mut self, reuse: Reuse, now: Instant) -> Option<Connection> {
        if let Some(shared) = self.open_http2() {
            return Some(Connection::Http2(shared));
        }
        self.sweep(now);
        let found = match reuse {
            Reuse::New => None,
            Reuse::Any => self.idle.pop(),
            Reuse::Fresh if self.closes_quietly_until.is_some() => None,
            Reuse::Fresh => {
                // Where this is none, those before it have been idle for longer still.
                let settled = self.idle.iter().rposition(|idle| is_settled(idle.idle_for(now)))?;
                is_fresh(self.idle[settled].idle_for(now)).then(|| self.idle.remove(settled))
            }
        };
        found.map(|idle| {
            let until = idle
                .idle_since
                .filter(|_| reuse == Reuse::Fresh)
                .map(|since| since + FRESH_FOR);
            idle.gauge.look_before_writing(until);
            Connection::Http1(Box::new(idle))
        })
    }

    fn open_http2(&self) -> Option<Arc<Http2>> {
        self.http2.as_ref().filter(|shared| shared.is_open()).cloned()
    }

    fn sweep(&mut self, now: Instant) {
        self.idle.retain(|idle| idle.idle_for(now) < idle.kept_for);
        self.http2.take_if(|shared| {
            let is_unused = Arc::strong_count(shared) == 1 && now.duration_since(*lock(&shared.used_at)) >= KEPT_FOR;
            is_unused || !shared.is_open()
        });
        self.closes_quietly_until.take_if(|until| *until <= now);
    }

    /// That a place speaks HTTP/2 is found out anew.
    fn is_forgettable(&self) -> bool {
        self.idle.is_empty() && self.http2.is_none() && self.closes_quietly_until.is_none()
    }
}

fn is_settled(idle_for: Duration) -> bool {
    idle_for >= SETTLED_AFTER
}

fn is_fresh(idle_for: Duration) -> bool {
    is_settled(idle_for) && idle_for <= FRESH_FOR
}

impl Http2 {
    fn is_open(&self) -> bool {
        lock(&self.sender).as_ref().is_some_and(|sender| !sender.is_closed())
    }
}

impl Http1 {
    fn idle_for(&self, now: Instant) -> Duration {
        self.idle_since
            .map_or(Duration::ZERO, |since| now.duration_since(since))
    }

    /// Whether it can take another request: the answer was whole, the request too, and nobody closes.
    fn is_open(&mut self) -> bool {
        let mut nobody = std::task::Context::from_waker(std::task::Waker::noop());
        self.poll(&mut nobody);
        self.driver.is_some() && self.sender.is_ready()
    }

    fn poll(&mut self, cx: &mut std::task::Context<'_>) {
        if let Some(driver) = &mut self.driver
            && driver.as_mut().poll(cx).is_ready()
        {
            // Its error, if it is one, was given to whoever waits for the answer.
            self.driver = None;
        }
    }
}

impl Connection {
    /// Waits for something that comes over this connection.
    pub(super) async fn drive<F: Future>(&mut self, awaited: F) -> F::Output {
        let mut awaited = pin!(awaited);
        poll_fn(|cx| {
            if let Self::Http1(connection) = self {
                connection.poll(cx);
            }
            awaited.as_mut().poll(cx)
        })
        .await
    }

    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Whether another request was made over it before.
    pub(super) fn is_reused(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.idle_since.is_some(),
            Self::Http2(_) => true,
        }
    }

    pub(super) fn gauge(&self) -> &Gauge {
        match self {
            Self::Http1(connection) => &connection.gauge,
            Self::Http2(shared) => &shared.gauge,
        }
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(&mut self, mut request: Request<Body>) -> Result<Response<Incoming>, NotSent> {
        let gauge = self.gauge().clone();
        gauge.request();
        let before = gauge.written();
        match self {
            Self::Http1(connection) => {
                let counted = gauge.clone();
                hyper::ext::on_informational(&mut request, move |_| counted.interim());
                let answered = connection.sender.try_send_request(request);
                self.drive(answered)
                    .await
                    .map_err(|mut failed| match gauge.spoke_first() {
                        // Another connection would begin like that too, and whether hyper met it before the request left or after is chance.
                        true => Broken::SpokeFirst(failed.into_error()).into(),
                        false => NotSent {
                            is_unprocessed: failed.take_message().is_some() || gauge.written() == before,
                            error: failed.into_error().into(),
                        },
                    })
            }
            Self::Http2(shared) => {
                let Some(mut sender) = lock(&shared.sender).clone() else {
                    return Err(NotSent {
                        error: Broken::Ended,
                        is_unprocessed: true,
                    });
                };
                let answered = sender.try_send_request(request);
                drop(sender);
                answered.await.map_err(|mut failed| NotSent {
                    is_unprocessed: failed.take_message().is_some() || was_never_processed(&failed),
                    error: failed.into_error().into(),
                })
            }
        }
    }
}

/// Whether the receiver said so. Source: RFC 9113, section 8.7.
///
/// GOAWAY is an error of those streams only that lie above the last one it names; those below go on until they end or break.
fn was_never_processed(failed: &TrySendError<Request<Body>>) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(failed.error());
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            return error.is_remote() && (error.is_go_away() || is_refused);
        }
        cause = error.source();
    }
    false
}

/// How long a connection may be kept for what an answer over HTTP/1.1 says: not at all, until shortly before the time that the receiver
/// announces, or as long as any.
pub(super) fn kept_for(headers: &HeaderMap) -> Duration {
    let said = headers
        .get_all("keep-alive")
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut kept_for = KEPT_FOR;
    for (name, number) in said
        .flat_map(|value| value.split(','))
        .filter_map(|part| part.split_once('='))
    {
        let Ok(number) = number.trim().trim_matches('"').parse::<u64>() else {
            continue;
        };
        if name.trim().eq_ignore_ascii_case("timeout") {
            // The receiver's clock began earlier, and the request has a way to go.
            let seconds = Duration::from_secs(number);
            kept_for = kept_for.min(seconds.saturating_sub(Duration::from_secs(1)).max(seconds / 2));
        } else if name.trim().eq_ignore_ascii_case("max") && number == 0 {
            kept_for = Duration::ZERO;
        }
    }
    kept_for
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
