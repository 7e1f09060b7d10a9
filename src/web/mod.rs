//! Pages for machines: `/healthz`, `/readyz`, `/metrics`. Off unless `listen_http` names an address.
//!
//! `/healthz` asks whether a restart would help: 503 when the service hangs. `/readyz` asks whether events get to their receivers: 503
//! when not, with the reasons. Neither page nor metrics show a secret, a URL or a record; all the same there is no
//! authentication, so the address is one on loopback unless another is named.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use crate::http::crowd::{Crowd, Member};
use crate::worker::vitals::board::Board;
use crate::{Error, Result};

/// Connections served at once; Prometheus and a few probes need one each. Whoever has been silent for longest goes for another.
const MOST_CONNECTIONS: usize = 64;

/// How long a client may take to say what it wants, between requests too.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// How long a connection may last: whoever reads slowly is cut off.
const CONNECTION_WITHIN: Duration = Duration::from_secs(300);

/// Reads `listen_http`: `ADDRESS:PORT`, or a port alone for loopback.
///
/// # Errors
/// [`Error::is_usage`] if it is neither.
pub fn parse_address(text: &str) -> Result<SocketAddr> {
    let given = text.trim();
    if let Ok(port) = given.trim_start_matches(':').parse() {
        return Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    given.parse().map_err(|e: std::net::AddrParseError| {
        Error::usage(format!("listen_http is \"{given}\", which is no address with a port"))
            .with_source(e)
            .with_hint("for example 127.0.0.1:9464, [::1]:9464, or 9464 for loopback")
    })
}

/// Begins to listen.
///
/// # Errors
/// When the address cannot be had.
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address).await.map_err(|e| {
        Error::other(format!("cannot listen at {address}"))
            .with_source(e)
            .with_hint("choose another listen_http, or end what listens there")
    })?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "health and metrics can be read by whoever reaches this address: there is no password");
    }
    Ok(listener)
}

/// Serves until dropped.
pub async fn serve(listener: TcpListener, board: Arc<Board>) {
    let mut connections = Crowd::new(MOST_CONNECTIONS);
    loop {
        tokio::select! {
            () = connections.left() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connections.admit(|member| connection(stream, Arc::clone(&board), member)),
                Err(error) => {
                    // Out of file descriptors, mostly: it passes.
                    tracing::warn!(error = %error, "cannot take a connection for health and metrics");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            },
        }
    }
}

async fn connection(stream: TcpStream, board: Arc<Board>, member: Arc<Member>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let _heard = member.answering();
        let answer = answer(&request, &board);
        async move { Ok::<_, Infallible>(answer) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_WITHIN)
        .serve_connection(TokioIo::new(stream), service);
    // Who goes away in the middle of it is nobody's failure.
    let _ = tokio::time::timeout(CONNECTION_WITHIN, served).await;
}

fn answer(request: &Request<Incoming>, board: &Board) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
        refused
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/healthz" if board.is_alive() => page(StatusCode::OK, TEXT, "ok\n"),
        "/healthz" => page(
            StatusCode::SERVICE_UNAVAILABLE,
            TEXT,
            format!("it hangs: nothing was done for {} s\n", board.idle_for().as_secs()),
        ),
        "/readyz" => {
            let readiness = board.readiness();
            let status = if readiness.is_ready() {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            let mut body = serde_json::to_string(&readiness).unwrap_or_default();
            body.push('\n');
            page(status, "application/json", body)
        }
        "/metrics" => page(StatusCode::OK, OPEN_METRICS, board.encode()),
        _ => page(
            StatusCode::NOT_FOUND,
            TEXT,
            "there are /healthz, /readyz and /metrics\n",
        ),
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn page(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_means_loopback() {
        for text in ["9464", ":9464", "127.0.0.1:9464"] {
            assert_eq!(parse_address(text).unwrap().to_string(), "127.0.0.1:9464");
        }
        assert_eq!(parse_address("[::1]:1").unwrap().to_string(), "[::1]:1");
        for wrong in ["localhost:9464", "127.0.0.1", "", "99999"] {
            assert!(parse_address(wrong).unwrap_err().is_usage(), "{wrong}");
        }
    }
}
