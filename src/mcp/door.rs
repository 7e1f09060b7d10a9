//! `/mcp`: what is looked at before a request reaches the protocol.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Extension, Router};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::Full;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio_util::sync::CancellationToken;

use super::assistant::Assistant;
use super::origin;
use super::sessions::{Full as NoRoom, MOST, MOST_OF_ONE, Sessions};
use super::visitor::Visitor;
use crate::api::layers::Mount;
use crate::api::problem::Problem;
use crate::api::{Annex, Shared};
use crate::config::McpSettings;
use crate::http::server::{BodyFault, read_body};

/// Where assistants come in.
pub const PATH: &str = "/mcp";

/// A message may have so many bytes.
const MESSAGE_AT_MOST: usize = 1024 * 1024;

/// What all requests share.
#[derive(Debug)]
struct Mcp {
    settings: McpSettings,
    sessions: Arc<Sessions>,
}

/// The door, to be put beside the API. What waits ends with `stop`.
pub fn annex(settings: McpSettings, stop: CancellationToken) -> Annex {
    let idle = Duration::from_secs(settings.session_idle_s);
    let sessions = Arc::new(Sessions::new(idle, stop));
    let mcp = Arc::new(Mcp {
        settings,
        sessions: Arc::clone(&sessions),
    });
    Annex {
        routes: Router::new().route(PATH, any(answer)).layer(Extension(mcp)),
        tidy: Arc::new(move || {
            let sessions = Arc::clone(&sessions);
            async move { sessions.end_idle().await }.boxed()
        }),
    }
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Extension(mcp): Extension<Arc<Mcp>>,
    Extension(mount): Extension<Mount>,
    request: Request,
) -> Response {
    match answered(&shared, &mcp, &mount, request).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

async fn answered(shared: &Shared, mcp: &Mcp, mount: &Mount, request: Request) -> Result<Response, Problem> {
    if !origin::is_allowed(request.headers(), &shared.settings, &mcp.settings) {
        let told = "pages of this origin may not come; it would belong into mcp.allowed_origins";
        return Err(Problem::new(StatusCode::FORBIDDEN, "origin", told));
    }
    let (mut parts, body) = request.into_parts();
    let metadata = format!("{}/.well-known/oauth-protected-resource", mount.0);
    let visitor = Arc::new(Visitor::of_request(shared, &parts, &metadata).await?);
    let message = message(body).await?;
    parts.extensions.insert(Arc::clone(&visitor));
    let own = mcp.sessions.of(visitor.principal.clone());
    let stop = shared.stop.clone();
    let service = StreamableHttpService::new(
        move || Ok(Assistant::new(Arc::clone(&visitor), stop.clone())),
        Arc::clone(&own),
        protocol(),
    );
    let response = service.handle(Request::from_parts(parts, Full::new(message))).await;
    match own.full() {
        Some(full) => Err(no_room(full)),
        None => Ok(response.map(Body::new)),
    }
}

/// How the protocol is spoken. Host and Origin were looked at before, and what waits ends by itself when the server stops.
fn protocol() -> StreamableHttpServerConfig {
    let mut config = StreamableHttpServerConfig::default()
        .disable_allowed_hosts()
        .disable_allowed_origins()
        .with_json_response(true);
    config.max_request_body_bytes = MESSAGE_AT_MOST;
    config
}

async fn message(body: Body) -> Result<Bytes, Problem> {
    read_body(body, MESSAGE_AT_MOST).await.map_err(|fault| match fault {
        BodyFault::TooLarge => {
            let told = format!("a message has {MESSAGE_AT_MOST} bytes at most");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", told)
        }
        BodyFault::Broken => Problem::new(StatusCode::BAD_REQUEST, "unreadable", "the message ended too early"),
    })
}

fn no_room(full: NoRoom) -> Problem {
    let (status, told) = match full {
        NoRoom::OfOne => (
            StatusCode::TOO_MANY_REQUESTS,
            format!("{MOST_OF_ONE} sessions of this token are in use, and no more are allowed; end one of them first"),
        ),
        NoRoom::OfAll => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{MOST} sessions are in use, and no more are allowed"),
        ),
    };
    Problem::new(status, "too-many-sessions", told).retry_after(10)
}
