//! Pages for machines: `/healthz`, `/readyz`, `/metrics`. Off unless `listen_http` names an address.
//!
//! `/healthz` asks whether a restart would help: 503 when the service hangs. `/readyz` asks whether events get to their receivers: 503
//! when not, with the reasons. Neither page nor metrics show a secret, a URL or a record; all the same there is no
//! authentication, so the address is one on loopback unless another is named.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::http::{Method, Response, StatusCode};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::http::server::{self, Limits};
use crate::worker::vitals::board::Board;

/// Prometheus and a few probes need a connection each.
const LIMITS: Limits = Limits {
    connections: 64,
    request_within: Duration::from_secs(10),
    reads_within: Duration::from_secs(30),
    connection_within: Some(Duration::from_secs(300)),
    head_bytes: 16 * 1024,
};

/// Begins to listen.
///
/// # Errors
/// When the address cannot be had.
pub async fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listener = server::listen("listen_http", address).await?;
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "health and metrics can be read by whoever reaches this address: there is no password");
    }
    Ok(listener)
}

/// Serves until dropped.
pub async fn serve(listener: TcpListener, board: Arc<Board>) {
    let router = Router::new().fallback(answer).with_state(board);
    server::serve(listener, router, LIMITS, CancellationToken::new()).await;
}

async fn answer(State(board): State<Arc<Board>>, request: Request) -> Response<Body> {
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

fn page(status: StatusCode, content_type: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
