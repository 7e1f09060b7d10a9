//! The socket under a connection, and what is counted there.
//!
//! What a library does with bytes cannot be bounded from above it: it swallows interim answers without a word, and writes into connections that
//! the other side has closed. Here every byte passes, so here it is decided
//!
//! * **how much a connection may bring** that is no part of an answer: interim answers, pings, settings, whatever the protocol knows;
//! * **how long it may be read from at a stretch**: a receiver that sends without end has its turn, and then others have theirs;
//! * **whether it is still open**, and not left alone for too long, asked right before the first byte of a request that reuses it;
//! * **whether anything left**, which is what makes a failed request one that was never made.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Interim answers (1xx) to one request. A receiver that reports its progress every second of a long timeout stays below.
const INTERIM_AT_MOST: u32 = 100;

/// What a connection may bring beside answers: TLS, settings, pings.
const ASIDE_BYTES: u64 = 256 * 1024;

/// What each request allows more: its answer's head, and as much of its body as is on its way before anybody takes it.
const BYTES_PER_REQUEST: u64 = 128 * 1024;

/// So much is read at a stretch; then it is the turn of others.
const TURN_BYTES: usize = 64 * 1024;

/// Why a connection was given up here.
#[derive(Debug, thiserror::Error)]
enum GivenUp {
    #[error("the receiver sent more than {INTERIM_AT_MOST} interim answers (1xx) and no final one")]
    Interim,
    #[error("the receiver sent more than {0} bytes that are no part of an answer")]
    Aside(u64),
    #[error("the receiver had closed the connection before anything was written")]
    Closed,
    #[error("the connection had been left alone for too long before anything was written")]
    Stale,
}

/// What is counted on one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Gauge(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    read: AtomicU64,
    written: AtomicU64,
    allowed: AtomicU64,
    interim: AtomicU32,
    look: Mutex<Option<Look>>,
    is_stale: AtomicBool,
    was_spoken_to: AtomicBool,
    spoke_first: AtomicBool,
}

/// What has to hold before the first byte of a request leaves.
#[derive(Debug, Clone, Copy)]
struct Look {
    /// Later than this the receiver may be about to close.
    until: Option<Instant>,
}

impl Gauge {
    /// A request is about to be made.
    pub(super) fn request(&self) {
        self.0.interim.store(0, Ordering::Relaxed);
        self.0.allowed.fetch_add(BYTES_PER_REQUEST, Ordering::Relaxed);
    }

    /// So many bytes of an answer's body were taken.
    pub(super) fn taken(&self, bytes: usize) {
        // Chunks have frames.
        self.0.allowed.fetch_add(2 * bytes as u64, Ordering::Relaxed);
    }

    /// An interim answer came.
    pub(super) fn interim(&self) {
        self.0.interim.fetch_add(1, Ordering::Relaxed);
    }

    /// Before the next byte is written it is looked whether the other side has closed, or said something that nobody asked for; and
    /// whether it is not later than this. Whoever chose the connection may have been held up since.
    pub(super) fn look_before_writing(&self, until: Option<Instant>) {
        self.set_look(Some(Look { until }));
    }

    /// Whether nothing was written because it was too late.
    pub(super) fn is_stale(&self) -> bool {
        self.0.is_stale.load(Ordering::Relaxed)
    }

    /// Whether the receiver said something (what TLS says does not count) before anything was said to it. Over HTTP/1.1 nobody does.
    pub(super) fn spoke_first(&self) -> bool {
        self.0.spoke_first.load(Ordering::Relaxed)
    }

    fn heard(&self) {
        if !self.0.was_spoken_to.load(Ordering::Relaxed) {
            self.0.spoke_first.store(true, Ordering::Relaxed);
        }
    }

    fn said(&self) {
        self.0.was_spoken_to.store(true, Ordering::Relaxed);
    }

    fn look(&self) -> Option<Look> {
        *self.0.look.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_look(&self, look: Option<Look>) {
        *self.0.look.lock().unwrap_or_else(PoisonError::into_inner) = look;
    }

    /// Bytes written so far, TLS included.
    pub(super) fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    fn excess(&self) -> Option<GivenUp> {
        if self.0.interim.load(Ordering::Relaxed) > INTERIM_AT_MOST {
            return Some(GivenUp::Interim);
        }
        let allowed = ASIDE_BYTES + self.0.allowed.load(Ordering::Relaxed);
        (self.0.read.load(Ordering::Relaxed) > allowed).then_some(GivenUp::Aside(allowed))
    }
}

/// A TCP connection whose bytes are counted.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    gauge: Gauge,
    at_a_stretch: usize,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, gauge: Gauge) -> Self {
        Self {
            stream,
            gauge,
            at_a_stretch: 0,
        }
    }

    fn may_write(&self) -> io::Result<()> {
        // It stands until something was written: a write that has to wait is looked at anew when its turn comes.
        let Some(look) = self.gauge.look() else { return Ok(()) };
        // Not `TcpStream::poll_peek`: that asks what the runtime has heard of so far, this asks the system.
        let given_up = match SockRef::from(&self.stream).peek(&mut [MaybeUninit::uninit()]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            // Who speaks first on a new connection does not speak HTTP: its answer will say so, another connection would not help.
            Ok(bytes) if bytes > 0 && self.gauge.written() == 0 => None,
            _ => Some(GivenUp::Closed),
        };
        // The clock last, so that nothing but the write itself comes after it.
        let given_up = given_up.or_else(|| {
            look.until
                .filter(|until| Instant::now() > *until)
                .map(|_| GivenUp::Stale)
        });
        match given_up {
            None => Ok(()),
            Some(reason) => {
                self.gauge
                    .0
                    .is_stale
                    .store(matches!(reason, GivenUp::Stale), Ordering::Relaxed);
                Err(io::Error::new(io::ErrorKind::NotConnected, reason))
            }
        }
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = written {
            self.gauge.0.written.fetch_add(count as u64, Ordering::Relaxed);
            if count > 0 {
                self.gauge.set_look(None);
            }
        }
        written
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(excess) = self.gauge.excess() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, excess)));
        }
        if self.at_a_stretch >= TURN_BYTES {
            self.at_a_stretch = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let count = buffer.filled().len() - before;
        if polled.is_pending() {
            self.at_a_stretch = 0;
        } else {
            self.at_a_stretch += count;
            self.gauge.0.read.fetch_add(count as u64, Ordering::Relaxed);
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.may_write()?;
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.may_write()?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What HTTP is spoken over.
#[derive(Debug)]
pub(super) enum Wire {
    /// http.
    Plain(Socket),
    /// https.
    Tls(Box<TlsStream<Socket>>),
}

impl Wire {
    /// Whether HTTP/2 was agreed on.
    pub(super) fn is_http2(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.get_ref().1.alpn_protocol() == Some(b"h2"))
    }

    fn gauge(&self) -> &Gauge {
        match self {
            Self::Plain(socket) => &socket.gauge,
            Self::Tls(stream) => &stream.get_ref().0.gauge,
        }
    }

    fn said(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(count)) if *count > 0) {
            self.gauge().said();
        }
    }
}

/// Passes a call on to whichever stream there is.
macro_rules! either {
    ($wire:expr, $stream:ident => $call:expr) => {
        match $wire.as_mut().get_mut() {
            Wire::Plain($stream) => {
                let $stream = Pin::new($stream);
                $call
            }
            Wire::Tls($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $call
            }
        }
    };
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = either!(self, stream => stream.poll_read(cx, buffer));
        if buffer.filled().len() > before {
            self.gauge().heard();
        }
        polled
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = either!(self, stream => stream.poll_write(cx, bytes));
        self.said(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = either!(self, stream => stream.poll_write_vectored(cx, slices));
        self.said(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}
