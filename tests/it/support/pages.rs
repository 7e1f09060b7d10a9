//! The service's own pages.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Asks the service's own pages; `None` while nobody listens.
pub async fn page(port: u16, path: &str) -> Option<(StatusCode, String)> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::get(path)
        .header("host", "localhost")
        .body(Empty::<Bytes>::new())
        .unwrap();
    let response = sender.send_request(request).await.ok()?;
    let status = response.status();
    let body = response.into_body().collect().await.ok()?.to_bytes();
    Some((status, String::from_utf8(body.to_vec()).unwrap()))
}

/// A port that nobody else has, and nobody gets by chance before it is listened to: below those that systems give to whoever asks for any,
/// and each once in this process.
pub async fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new((std::process::id() % 16_000) as u16));
    loop {
        let port = 12_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 16_000;
        if tokio::net::TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
}
