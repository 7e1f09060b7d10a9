//! The event feed: a page of events at once, after a wait, or as a stream.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::ACCEPT;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::ask::Query;
use crate::api::caller::{Caller, ReadsEvents};
use crate::api::problem::{Fault, Problem, in_query};
use crate::ops::Error;
use crate::ops::feed::{FEED_LIMIT_AT_MOST, FeedEvent, FeedPage};

/// How long a page may be waited for.
const WAIT_AT_MOST_S: u32 = 30;

/// So many events are read at once for a stream.
const STREAM_PAGE: u32 = 50;

/// A stream that has nothing to tell says so as often: proxies close what is silent.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(15);

/// A stream that cannot be read for tries again after this, and up to as long more.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// A client that was cut off is asked to wait so long before it connects again.
const CONNECT_AGAIN: Duration = Duration::from_secs(3);

/// Its routes.
pub fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(read))
}

/// Which events.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Of this subscription, which has no `webhook_url`, or `in_session`.
    subscription: i32,
    /// After this place: the `cursor` of the last page, or of an event. Without one reading begins at the oldest event that is kept.
    cursor: Option<String>,
    /// How many on a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// Where there are none, how many seconds to wait for the first.
    #[param(minimum = 0, maximum = 30, default = 0)]
    wait_s: Option<u32>,
}

/// The place of the last event that a stream has had.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents the header; it is read from the headers")]
pub struct LastEventId {
    /// Of a stream: the `id` of the last event that was had. It goes before `cursor`.
    #[param(rename = "Last-Event-ID", value_type = String, required = false)]
    last_event_id: Option<String>,
}

/// Events of a subscription, in their order. With `Accept: text/event-stream` they come as a stream that goes on: each is an `event` whose `id` is
/// the cursor behind it; `truncated` says that events before the next are not kept any more, and `end` why the stream ends.
#[utoipa::path(get, path = "/events", params(EventsQuery, LastEventId), security(("token" = ["events:read"])),
    responses((status = 200, description = "A page of events, or a stream",
        content((FeedPage = "application/json"), (String = "text/event-stream")))))]
async fn read(
    State(shared): State<Arc<Shared>>,
    caller: Caller<ReadsEvents>,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(50);
    if !(1..=FEED_LIMIT_AT_MOST).contains(&limit) {
        let detail = format!("a page has 1 to {FEED_LIMIT_AT_MOST} events");
        return Err(Problem::unreadable(Fault::at("?limit", detail)));
    }
    let wait_s = query.wait_s.unwrap_or(0);
    if wait_s > WAIT_AT_MOST_S {
        let detail = format!("a page is waited for {WAIT_AT_MOST_S} seconds at most");
        return Err(Problem::unreadable(Fault::at("?wait_s", detail)));
    }
    let wants_stream = headers
        .get(ACCEPT)
        .is_some_and(|said| said.to_str().unwrap_or_default().contains("text/event-stream"));
    if wants_stream {
        let last = headers
            .get("last-event-id")
            .and_then(|id| id.to_str().ok())
            .filter(|id| !id.is_empty());
        let cursor = last.map(str::to_owned).or(query.cursor);
        return stream_of(caller, query.subscription, cursor, shared.stop.clone()).await;
    }
    let (of, cursor) = (query.subscription, query.cursor.as_deref());
    let page = match wait_s {
        0 => caller.service.read_feed(&caller.operator, of, cursor, limit).await,
        wait_s => {
            let wait = Duration::from_secs(wait_s.into());
            let waited = Box::pin(caller.service.wait_feed(&caller.operator, of, cursor, limit, wait));
            tokio::select! {
                page = waited => page,
                () = caller.dismissed() => return Err(Problem::dismissed()),
                // Whoever waits is told that there is nothing, and not cut off.
                () = shared.stop.cancelled() => caller.service.read_feed(&caller.operator, of, cursor, limit).await,
            }
        }
    };
    Ok(Json(page.map_err(in_query)?).into_response())
}

/// A stream, whose first page is read before it is answered: what is refused is a problem.
async fn stream_of(
    mut caller: Caller<ReadsEvents>,
    of: i32,
    cursor: Option<String>,
    stop: CancellationToken,
) -> Result<Response, Problem> {
    let first = caller
        .service
        .read_feed(&caller.operator, of, cursor.as_deref(), STREAM_PAGE)
        .await
        .map_err(in_query)?;
    caller.goes_on();
    let mut reading = Reading {
        caller,
        of,
        cursor: first.cursor.clone(),
        told: VecDeque::from([Told::Retry]),
        is_over: false,
        stop,
    };
    reading.tell(first);
    let alive = KeepAlive::new().interval(SIGN_OF_LIFE_EVERY);
    Ok(Sse::new(reading.events()).keep_alive(alive).into_response())
}

/// What a stream has still to say. The text is made when it is sent: until then all streams share the events.
enum Told {
    /// How long to wait before connecting again.
    Retry,
    /// Events before the next are not kept any more.
    Truncated,
    Event(FeedEvent),
    /// Why it ends.
    End(String),
}

struct Reading {
    caller: Caller<ReadsEvents>,
    of: i32,
    cursor: String,
    told: VecDeque<Told>,
    is_over: bool,
    stop: CancellationToken,
}

impl Reading {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, async |mut reading| {
            loop {
                if let Some(event) = reading.told.pop_front() {
                    return Some((Ok(event.into()), reading));
                }
                if reading.is_over {
                    return None;
                }
                reading.read_on().await;
            }
        })
    }

    fn tell(&mut self, page: FeedPage) {
        if page.truncated {
            self.told.push_back(Told::Truncated);
        }
        self.told.extend(page.events.into_iter().map(Told::Event));
        self.cursor = page.cursor;
    }

    fn end(&mut self, reason: &str) {
        self.told.push_back(Told::End(reason.to_owned()));
        self.is_over = true;
    }

    /// Waits for the next events, or for the end.
    async fn read_on(&mut self) {
        let next = self.caller.service.wait_feed(
            &self.caller.operator,
            self.of,
            Some(&self.cursor),
            STREAM_PAGE,
            SIGN_OF_LIFE_EVERY,
        );
        let read = tokio::select! {
            read = Box::pin(next) => read,
            () = self.stop.cancelled() => return self.end("the server stops: connect again with Last-Event-ID"),
            () = self.caller.dismissed() => return self.end("the token lets nobody in any more"),
        };
        match read {
            Ok(page) => self.tell(page),
            // It passes: a stream that ended for it would only be asked for again, by everybody at once.
            Err(error @ (Error::Busy(_) | Error::Unavailable(_))) => {
                tracing::debug!(%error, "a stream waits for the database");
                tokio::select! {
                    () = tokio::time::sleep(TRY_AGAIN + rand::random_range(Duration::ZERO..TRY_AGAIN)) => {}
                    () = self.stop.cancelled() => {}
                    () = self.caller.dismissed() => {}
                }
            }
            Err(error) => {
                let problem = in_query(error);
                self.end(problem.detail());
            }
        }
    }
}

impl From<Told> for Event {
    fn from(told: Told) -> Self {
        match told {
            Told::Retry => Self::default().retry(CONNECT_AGAIN),
            Told::Truncated => Self::default().event("truncated").data("{}"),
            Told::Event(event) => of_event(&event),
            Told::End(reason) => Self::default()
                .event("end")
                .data(serde_json::json!({ "reason": reason }).to_string()),
        }
    }
}

/// Its id is never missing: a stream goes on after the last one.
fn of_event(event: &FeedEvent) -> Event {
    // Line breaks of a body are white space between its tokens, or escaped.
    let data = serde_json::to_string(event)
        .unwrap_or_default()
        .replace(['\r', '\n'], " ");
    Event::default().event("event").id(event.cursor.clone()).data(data)
}
