//! What a harmful receiver does with a connection, byte by byte, and the listeners that do it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::support::receiver::{Receiver, Reply};

/// What is done with a connection.
pub(super) type Trap = Arc<dyn Fn(TcpStream) -> BoxFuture<'static, ()> + Send + Sync>;

pub(super) fn trap<F: Future<Output = ()> + Send + 'static>(
    act: impl Fn(TcpStream) -> F + Send + Sync + 'static,
) -> Trap {
    Arc::new(move |stream| act(stream).boxed())
}

/// Reads the request, answers with these bytes, and closes in good order.
pub(super) fn says(bytes: impl Into<Vec<u8>>) -> Trap {
    let bytes: Arc<[u8]> = bytes.into().into();
    trap(move |mut stream| {
        let bytes = Arc::clone(&bytes);
        async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            until_closed(&mut stream).await;
        }
    })
}

/// As [`says`], then the connection is aborted.
pub(super) fn says_and_resets(bytes: &'static str) -> Trap {
    trap(move |mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(bytes.as_bytes()).await;
        // What was said must have been heard: a reset takes what is still on its way with it.
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.set_zero_linger().unwrap();
    })
}

/// Says the first, and then the second for as long as anybody listens.
pub(super) fn goes_on(first: &'static str, then: String) -> Trap {
    let then: Arc<str> = then.into();
    trap(move |mut stream| {
        let then = Arc::clone(&then);
        async move {
            read_request(&mut stream).await;
            let mut going = stream.write_all(first.as_bytes()).await;
            while going.is_ok() {
                going = stream.write_all(then.as_bytes()).await;
            }
        }
    })
}

/// Says the first, then the second one byte at a time, then nothing, and does not hang up.
pub(super) fn drips(first: String, then: String) -> Trap {
    let (first, then): (Arc<str>, Arc<str>) = (first.into(), then.into());
    trap(move |mut stream| {
        let (first, then) = (Arc::clone(&first), Arc::clone(&then));
        async move {
            read_request(&mut stream).await;
            if stream.write_all(first.as_bytes()).await.is_err() {
                return;
            }
            for byte in then.bytes() {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            until_closed(&mut stream).await;
        }
    })
}

/// A handshake with this acceptor, then `act`.
pub(super) fn tls<F: Future<Output = ()> + Send + 'static>(
    acceptor: TlsAcceptor,
    act: impl Fn(tokio_rustls::server::TlsStream<TcpStream>) -> F + Clone + Send + Sync + 'static,
) -> Trap {
    trap(move |stream| {
        let (acceptor, act) = (acceptor.clone(), act.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                act(stream).await;
            }
        }
    })
}

pub(super) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) {
    let mut seen = Vec::new();
    while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {
            continue;
        }
        return;
    }
}

/// The same for HTTP/2: up to a HEADERS frame. What is answered before that ends a connection that no request is on yet.
pub(super) async fn read_http2_request(stream: &mut (impl AsyncRead + Unpin)) {
    const PREFACE: usize = 24;
    const FRAME_HEADER: usize = 9;
    const HEADERS: u8 = 1;
    let mut seen = Vec::new();
    let mut frame = PREFACE;
    loop {
        while let Some(header) = seen.get(frame..frame + FRAME_HEADER) {
            if header[3] == HEADERS {
                return;
            }
            frame +=
                FRAME_HEADER + usize::from(header[0]) * 65_536 + usize::from(header[1]) * 256 + usize::from(header[2]);
        }
        if !stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {
            return;
        }
    }
}

pub(super) async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut ignored = [0; 4096];
    while stream.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
}

pub(super) async fn answers_ok(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    read_request(&mut stream).await;
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    until_closed(&mut stream).await;
}

/// Where a case's requests go.
pub(super) enum Server {
    Plain(Trap),
    Tls(Trap),
    Scripted(Reply),
    /// Listens and never accepts.
    Deaf,
}

/// The receivers of all cases; gone when dropped.
#[derive(Default)]
pub(super) struct Receivers {
    tasks: JoinSet<()>,
    pub(super) scripted: Vec<Receiver>,
    deaf: Vec<TcpListener>,
}

impl Receivers {
    /// Starts one; returns its URL.
    pub(super) async fn start(&mut self, server: Server) -> String {
        let (scheme, act) = match server {
            Server::Plain(act) => ("http", act),
            Server::Tls(act) => ("https", act),
            Server::Scripted(reply) => {
                let receiver = Receiver::start().await;
                receiver.otherwise(reply);
                let url = receiver.url("/hook");
                self.scripted.push(receiver);
                return url;
            }
            Server::Deaf => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let url = format!("http://{}/hook", listener.local_addr().unwrap());
                self.deaf.push(listener);
                return url;
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}/hook", listener.local_addr().unwrap());
        self.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(act(stream));
            }
        });
        url
    }
}
