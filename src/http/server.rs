//! The one HTTP server of this program: connections are bounded in number, and each in what it may cost.
//!
//! It serves an [`axum::Router`] over HTTP/1.1 and over HTTP/2 without TLS. Whoever says nothing, or reads nothing, is cut off; a new
//! connection is always let in ([`super::crowd`]). It stops in two phases: what was asked is answered, then the rest is cut off.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::crowd::{Answering, Crowd, Member};
use crate::{Error, Result};

/// Streams at once in one HTTP/2 connection.
const STREAMS: u32 = 100;

/// What a connection may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; whoever has been silent for longest goes for another.
    pub connections: usize,
    /// How long a client may take to say what it wants, between requests too.
    pub request_within: Duration,
    /// How long a client may read nothing of an answer that waits for it.
    pub reads_within: Duration,
    /// How long a connection may last; none = as long as it is used.
    pub connection_within: Option<Duration>,
    /// Bytes of a request's line and headers.
    pub head_bytes: usize,
}

/// From where a request came: an extension of it.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Reads a setting that says where to listen: `ADDRESS:PORT`, or a port alone for loopback.
///
/// # Errors
/// [`Error::is_usage`] if it is neither.
pub fn parse_address(setting: &str, text: &str) -> Result<SocketAddr> {
    let given = text.trim();
    if let Ok(port) = given.trim_start_matches(':').parse() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    given.parse().map_err(|e: std::net::AddrParseError| {
        Error::usage(format!("{setting} is \"{given}\", which is no address with a port"))
            .with_source(e)
            .with_hint("for example 127.0.0.1:9464, [::1]:9464, or 9464 for loopback")
    })
}

/// Begins to listen.
///
/// # Errors
/// When the address cannot be had; `setting` says who wants it.
pub async fn listen(setting: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|e| {
        Error::other(format!("cannot listen at {address}"))
            .with_source(e)
            .with_hint(format!("choose another {setting}, or end what listens there"))
    })
}

/// Serves until stopped, and then until everything that was asked is answered. Whoever drops it cuts off what is left.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let mut connections = Crowd::new(limits.connections);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = connections.left() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let (router, stop) = (router.clone(), stop.clone());
                    connections.admit(|member| connection(stream, Peer(peer), router, limits, member, stop));
                }
                Err(error) => {
                    // Out of file descriptors, mostly: it passes.
                    tracing::warn!(error = %error, "cannot take a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
        }
    }
    drop(listener);
    connections.drained().await;
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    router: Router,
    limits: Limits,
    member: Arc<Member>,
    stop: CancellationToken,
) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.reads_within));
    let heard = Arc::new(Notify::new());
    let hears = Arc::clone(&heard);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        hears.notify_one();
        let answering = member.answering();
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(Arc::clone(&member));
        let answered = router.clone().oneshot(request.map(Body::new));
        async move {
            let answered = answered.await?;
            Ok::<_, Infallible>(answered.map(|body| Held {
                body,
                _answering: answering,
            }))
        }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.request_within)
        .max_buf_size(limits.head_bytes);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
        .keep_alive_interval(limits.request_within)
        .keep_alive_timeout(limits.request_within);
    let mut served = pin!(server.serve_connection(TokioIo::new(Box::pin(stream)), answer));
    let expired = async {
        match limits.connection_within {
            Some(within) => tokio::time::sleep(within).await,
            None => std::future::pending().await,
        }
    };
    let mut expired = pin!(expired);
    // Before the first request it is not known yet which protocol is spoken, and whose limits would hold.
    let silent = async {
        if tokio::time::timeout(limits.request_within, heard.notified())
            .await
            .is_ok()
        {
            std::future::pending::<()>().await;
        }
    };
    // Who goes away in the middle of it is nobody's failure.
    tokio::select! {
        _ = served.as_mut() => return,
        () = expired.as_mut() => return,
        () = silent => return,
        () = stop.cancelled() => {}
    }
    served.as_mut().graceful_shutdown();
    tokio::select! {
        _ = served => {}
        () = expired => {}
    }
}

/// A body that is being answered until its last byte has gone.
struct Held {
    body: Body,
    _answering: Answering,
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFault {
    /// It is larger than was allowed.
    TooLarge,
    /// It ended too early.
    Broken,
}

/// The whole of a request's body.
///
/// # Errors
/// Where it is larger, or ends too early.
pub async fn read_body(body: Body, at_most: usize) -> Result<Bytes, BodyFault> {
    let limited = http_body_util::Limited::new(body, at_most);
    let collected = limited
        .collect()
        .await
        .map_err(|error| match error.is::<http_body_util::LengthLimitError>() {
            true => BodyFault::TooLarge,
            false => BodyFault::Broken,
        })?;
    Ok(collected.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_loopback() {
        let read = |text| parse_address("listen_http", text);
        for text in ["9464", ":9464", "127.0.0.1:9464"] {
            assert_eq!(read(text).unwrap().to_string(), "127.0.0.1:9464");
        }
        assert_eq!(read("[::1]:1").unwrap().to_string(), "[::1]:1");
        for wrong in ["localhost:9464", "127.0.0.1", "", "99999"] {
            assert!(read(wrong).unwrap_err().is_usage(), "{wrong}");
        }
    }
}
