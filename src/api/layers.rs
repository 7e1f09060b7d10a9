//! What happens to every request before it is routed: an id, a line in the log, the Host check, and which database it is for.

use std::any::Any;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, HOST};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tracing::Instrument;

use super::problem::Problem;
use super::{Shared, restapi};
use crate::http::server::Peer;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long an answer may take to begin. Longer than a reader may wait for events, and than a statement may last.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Where a request's own path begins: what was before it, the database's part included. An extension of the request.
#[derive(Debug, Clone)]
pub struct Mount(pub String);

/// Puts them around the routes, which are those of one database.
pub fn around(shared: Arc<Shared>, routes: Router) -> Router {
    let databases = Databases {
        shared: Arc::clone(&shared),
        routes,
    };
    Router::new()
        .fallback(to_a_database)
        .with_state(Arc::new(databases))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), check_host))
        .layer(middleware::from_fn_with_state(shared, log))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(middleware::from_fn(own_request_id))
}

struct Databases {
    shared: Arc<Shared>,
    routes: Router,
}

/// `/d/NAME/..` is the database of that name; with one database the rest is that one's.
async fn to_a_database(State(databases): State<Arc<Databases>>, mut request: Request) -> Response {
    let path = request.uri().path();
    let base = databases.shared.settings.base_path.as_str();
    let Some(below) = path.strip_prefix(base).filter(|below| below.starts_with('/')) else {
        return nothing_here();
    };
    let doors = databases.shared.doors();
    let (door, own) = match below.strip_prefix("/d/") {
        Some(named) => {
            let (name, _) = named.split_once('/').unwrap_or((named, ""));
            let own = &named[name.len()..];
            let door = url_decoded(name).and_then(|name| doors.get(&name).cloned());
            (door, if own.is_empty() { "/" } else { own })
        }
        None if doors.len() == 1 => (doors.values().next().cloned(), below),
        None => return nothing_here(),
    };
    let whole = own;
    // Document 003 writes its paths with a slash at the end too.
    let own = match own.strip_suffix('/') {
        Some(plain) if plain.starts_with(restapi::BASE) => plain,
        _ => own,
    };
    let Some(door) = door else {
        return nothing_here();
    };
    let mount = Mount(path[..path.len() - whole.len().min(path.len())].to_owned());
    let target = match request.uri().query() {
        Some(query) => format!("{own}?{query}"),
        None => own.to_owned(),
    };
    let Ok(target) = target.parse::<Uri>() else {
        return nothing_here();
    };
    request.extensions_mut().insert(door);
    request.extensions_mut().insert(mount);
    *request.uri_mut() = target;
    let Ok(_place) = databases.shared.places.try_acquire() else {
        let problem = Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "too much is being asked at once",
        );
        return problem.retry_after(1).into_response();
    };
    let only_reads = request.method().is_safe();
    let answer = answered(&databases, request, only_reads);
    match tokio::time::timeout(ANSWER_WITHIN, answer).await {
        Ok(answer) => answer,
        Err(_) if only_reads => Problem::unavailable("it took too long").into_response(),
        // Nobody is asked to try again: it would be done twice.
        Err(_) => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "under-way",
            "it takes long and goes on: look what came of it before you ask for it again",
        )
        .into_response(),
    }
}

/// What changes something is done to its end, also when nobody waits for the answer any more: cut off, it would be half done.
async fn answered(databases: &Databases, request: Request, only_reads: bool) -> Response {
    let routes = databases.routes.clone();
    let answer = async move {
        match routes.oneshot(request).await {
            Ok(answer) => answer,
            Err(never) => match never {},
        }
    };
    if only_reads {
        return answer.await;
    }
    // It ends with its own work, which is bounded by the limits of a session's statements; a stop waits for it.
    let done = databases.shared.changes.spawn(answer.in_current_span());
    match done.await {
        Ok(answer) => answer,
        Err(died) => match died.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Problem::unavailable("the service is stopping").into_response(),
        },
    }
}

fn nothing_here() -> Response {
    Problem::not_found("there is nothing here; what there is, is in openapi.json").into_response()
}

fn url_decoded(part: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(part.as_bytes());
    // A plus is a plus in a path.
    if part.contains(['+', '&', '=']) {
        return Some(part.to_owned());
    }
    pairs.next().map(|(name, _)| name.into_owned())
}

fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let said = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    let said = said
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    tracing::error!(
        panic = said,
        "a request was not answered: this is a mistake in this program"
    );
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "mistake",
        "this is a mistake in odoo-eventd; its log says more",
    )
    .into_response()
}

/// A page of somebody else's cannot be made to ask here under a name of its own: whoever knows us by a name was told of it in the settings.
async fn check_host(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let from_uri = request.uri().host().map(str::to_owned);
    let from_header = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .map(host_of);
    let host = from_uri.or(from_header).unwrap_or_default().to_ascii_lowercase();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_ours =
        bare == "localhost" || bare.parse::<IpAddr>().is_ok() || shared.settings.allowed_hosts.contains(&host);
    if is_ours {
        return next.run(request).await;
    }
    Problem::new(
        StatusCode::MISDIRECTED_REQUEST,
        "host",
        "this server is not called so; its name belongs into api.public_url or api.allowed_hosts",
    )
    .into_response()
}

/// The host of a Host header, without the port.
pub(in crate::api) fn host_of(header: &str) -> String {
    let end = match header.rfind(':') {
        Some(colon) if !header[colon..].contains(']') => colon,
        _ => header.len(),
    };
    header[..end].to_owned()
}

/// An id from outside is taken where it is one, and short: it is written to logs.
async fn own_request_id(mut request: Request, next: Next) -> Response {
    let is_fine = |id: &HeaderValue| {
        let id = id.as_bytes();
        id.len() <= 64 && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
    };
    if request.headers().get(REQUEST_ID).is_some_and(|id| !is_fine(id)) {
        request.headers_mut().remove(REQUEST_ID);
    }
    next.run(request).await
}

/// One line for each request. Never the query, which may hold what nobody else should read.
async fn log(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let client = client_of(&shared, &request);
    let id = request
        .headers()
        .get(REQUEST_ID)
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let span = tracing::info_span!("request", id);
    let mut response = next.run(request).instrument(span).await;
    response
        .headers_mut()
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(
        request.id = id, %method, path, status = response.status().as_u16(), duration_ms,
        client = client.map(tracing::field::display), "answered"
    );
    response
}

/// From where it came: the last address before proxies that are believed.
fn client_of(shared: &Shared, request: &Request) -> Option<IpAddr> {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip())?;
    let is_trusted = |address: &IpAddr| {
        shared
            .settings
            .trusted_proxies
            .iter()
            .any(|network| network.contains(address))
    };
    if !is_trusted(&peer) {
        return Some(peer);
    }
    let told: Vec<IpAddr> = request
        .headers()
        .get_all("x-forwarded-for")
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|address| address.trim().parse().ok())
        .collect();
    told.iter()
        .rev()
        .find(|address| !is_trusted(address))
        .copied()
        .or(Some(peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_from_its_port() {
        for (header, host) in [
            ("localhost", "localhost"),
            ("localhost:8075", "localhost"),
            ("[::1]:8075", "[::1]"),
            ("[::1]", "[::1]"),
            ("127.0.0.1:1", "127.0.0.1"),
        ] {
            assert_eq!(host_of(header), host);
        }
    }
}
