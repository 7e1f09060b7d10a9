//! `/mcp`: what is looked at before a request reaches the protocol.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Extension, Json, Router};
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::Full;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::assistant::Assistant;
use super::oauth::ResourceServer;
use super::oauth::metadata::{Metadata, WELL_KNOWN, url_of};
use super::origin;
use super::sessions::{Full as NoRoom, MOST, MOST_OF_ONE, Sessions};
use super::tools;
use super::visitor::{Challenge, Visitor};
use crate::Result;
use crate::api::layers::Mount;
use crate::api::problem::Problem;
use crate::api::{Annex, Shared};
use crate::config::McpSettings;
use crate::http::client::ClientConfig;
use crate::http::crowd::Member;
use crate::http::server::{BodyFault, read_body};
use crate::ops::Scope;

/// Where assistants come in.
pub const PATH: &str = "/mcp";

/// A message may have so many bytes.
const MESSAGE_AT_MOST: usize = 1024 * 1024;

/// What all requests share.
#[derive(Debug)]
struct Mcp {
    settings: McpSettings,
    sessions: Arc<Sessions>,
    oauth: Option<ResourceServer>,
}

/// The door, to be put beside the API, whose settings these are. Keys of another server's tokens are fetched as `client` says. What waits
/// ends with `stop`.
///
/// # Errors
/// As [`ResourceServer::new`].
pub fn annex(
    settings: McpSettings,
    client: &ClientConfig,
    requests_per_second: u32,
    stop: CancellationToken,
) -> Result<Annex> {
    let idle = Duration::from_secs(settings.session_idle_s);
    let sessions = Arc::new(Sessions::new(idle, stop));
    let oauth = settings.oauth.clone();
    let oauth = oauth.map(|oauth| ResourceServer::new(oauth, client.clone(), requests_per_second));
    let mcp = Arc::new(Mcp {
        settings,
        sessions: Arc::clone(&sessions),
        oauth: oauth.transpose()?,
    });
    let routes = Router::new()
        .route(PATH, any(answer))
        .route(WELL_KNOWN, get(metadata))
        .route(&format!("{WELL_KNOWN}{PATH}"), get(metadata))
        .layer(Extension(mcp));
    Ok(Annex {
        routes,
        tidy: Arc::new(move || {
            let sessions = Arc::clone(&sessions);
            async move { sessions.end_idle().await }.boxed()
        }),
    })
}

async fn metadata(
    State(shared): State<Arc<Shared>>,
    Extension(mcp): Extension<Arc<Mcp>>,
    Extension(mount): Extension<Mount>,
    headers: HeaderMap,
) -> Json<Metadata> {
    let here = url_of(&shared.settings, &mount, &headers);
    Metadata::of(&here, mcp.oauth.as_ref().map(ResourceServer::issuer))
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
    let metadata = format!("{}{WELL_KNOWN}", url_of(&shared.settings, mount, &parts.headers));
    // His place is given back with the answer: a stream is no request any more once it has begun.
    let (visitor, _place) = Visitor::of_request(shared, mcp.oauth.as_ref(), &parts, &metadata).await?;
    if let Some(connection) = parts.extensions.get::<Arc<Member>>() {
        connection.is_known();
    }
    let visitor = Arc::new(visitor);
    let message = message(body).await?;
    if visitor.can_step_up()
        && let Some(scope) = needed(&message).filter(|scope| !visitor.operator.may(*scope))
    {
        return Err(Challenge { metadata: &metadata }.needs(scope));
    }
    parts.extensions.insert(Arc::clone(&visitor));
    let own = mcp.sessions.of(visitor.principal.clone());
    let stop = shared.stop.clone();
    let service = StreamableHttpService::new(
        move || Ok(Assistant::new(Arc::clone(&visitor), stop.clone())),
        Arc::clone(&own),
        protocol(),
    );
    let ends_session = parts.method == Method::DELETE;
    let mut response = service.handle(Request::from_parts(parts, Full::new(message))).await;
    if ends_session && response.status() == StatusCode::ACCEPTED {
        // It has ended, and is not about to: clients warn of anything else.
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
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

/// The scope that a message cannot do without, so far as one can tell before it is understood.
fn needed(message: &[u8]) -> Option<Scope> {
    #[derive(Deserialize)]
    struct Call {
        method: String,
        #[serde(default)]
        params: Named,
    }
    #[derive(Deserialize, Default)]
    struct Named {
        name: Option<String>,
    }
    let call: Call = serde_json::from_slice(message).ok()?;
    match call.method.as_str() {
        "tools/call" => tools::scope_of(&call.params.name?),
        "resources/list" => Some(Scope::SubscriptionsRead),
        "resources/read" | "resources/subscribe" | "subscriptions/listen" => Some(Scope::EventsRead),
        _ => None,
    }
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
