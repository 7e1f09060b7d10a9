//! One subscription: read, changed, deleted, and what else can be done to it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::listed::{Listed, Shown};
use super::subscriptions::page_of;
use crate::api::Shared;
use crate::api::ask::{self, MaybeBody, Place, Query, shaped};
use crate::api::caller::{Caller, ReadsSubscriptions, WritesSubscriptions};
use crate::api::condition::{Tags, tagged};
use crate::api::problem::{Problem, in_query};
use crate::ops::error::Version;
use crate::ops::subscriptions::history::Change;
use crate::ops::subscriptions::secret::Rotated;
use crate::ops::test_event::Tested;
use crate::signature::Secret;
use crate::subscription::{Draft, Patch};

/// Its routes.
pub fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(get, patch, delete))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(enable))
        .routes(routes!(test))
        .routes(routes!(rotate_secret))
        .routes(routes!(history))
}

/// Which subscription.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct Id {
    /// Its id.
    id: i32,
}

/// The version that is to be changed.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents the header; it is read from the headers")]
pub struct IfMatch {
    /// Only while it is this version: an `ETag`, several, or `*`.
    #[param(rename = "If-Match", value_type = String, required = false)]
    if_match: Option<String>,
}

/// The version that is known.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents the header; it is read from the headers")]
pub struct IfNoneMatch {
    /// Only if it is another version than this: an `ETag`, several, or `*`.
    #[param(rename = "If-None-Match", value_type = String, required = false)]
    if_none_match: Option<String>,
}

/// One subscription.
#[utoipa::path(get, path = "/subscriptions/{id}", params(Id, IfNoneMatch), security(("token" = ["subscriptions:read"])),
    responses(
        (status = 200, description = "The subscription", body = Shown, headers(("ETag" = String, description = "Its version"))),
        (status = 304, description = "It is the version that is known"),
    ))]
async fn get(
    caller: Caller<ReadsSubscriptions>,
    Place(at): Place<Id>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let known = Tags::if_none_match(&headers);
    let row = caller.service.subscription(&caller.operator, at.id).await?;
    let tag = tagged(&row.version);
    if known.is_some_and(|known| known.include(&row.version)) {
        return Ok((StatusCode::NOT_MODIFIED, tag).into_response());
    }
    Ok((tag, Json(Shown::from(row))).into_response())
}

/// The one version that a change is for, if it is for one.
async fn expected<N>(caller: &Caller<N>, id: i32, headers: &HeaderMap) -> Result<Option<Version>, Problem> {
    match Tags::if_match(headers) {
        None | Some(Tags::Any) => Ok(None),
        Some(Tags::These(tags)) if tags.len() == 1 => Ok(tags.into_iter().next()),
        Some(tags) => {
            let now = caller.service.subscription_version(&caller.operator, id).await?;
            match tags.include(&now) {
                true => Ok(Some(now)),
                false => Err(Problem::changed(format!("subscription {id} is another version"))
                    .with_header(axum::http::header::ETAG, crate::api::condition::etag(&now))),
            }
        }
    }
}

/// Changes columns; null clears one, a list or an object replaces what is there, `********` and `***` leave what they stand for.
#[utoipa::path(patch, path = "/subscriptions/{id}", params(Id, IfMatch), security(("token" = ["subscriptions:write"])),
    request_body = Draft,
    responses((status = 200, description = "The subscription as it is now", body = Shown,
        headers(("ETag" = String, description = "Its version")))))]
async fn patch(
    caller: Caller<WritesSubscriptions>,
    Place(at): Place<Id>,
    headers: HeaderMap,
    body: ask::Json,
) -> Result<Response, Problem> {
    shaped::<Draft>(body.value.clone())?;
    let patch = Patch::parse(body.value).map_err(crate::ops::Error::from)?;
    let expected = expected(&caller, at.id, &headers).await?;
    let changed = caller
        .service
        .update_subscription(&caller.operator, at.id, &patch, expected.as_ref());
    let row = Box::pin(changed).await?;
    Ok((tagged(&row.version), Json(Shown::from(row))).into_response())
}

/// Deletes it; the log of its deliveries stays.
#[utoipa::path(delete, path = "/subscriptions/{id}", params(Id, IfMatch), security(("token" = ["subscriptions:write"])),
    responses((status = 204, description = "It is gone")))]
async fn delete(
    caller: Caller<WritesSubscriptions>,
    Place(at): Place<Id>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let expected = expected(&caller, at.id, &headers).await?;
    let deleted = caller
        .service
        .delete_subscription(&caller.operator, at.id, expected.as_ref());
    Box::pin(deleted).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets its deliveries wait.
#[utoipa::path(post, path = "/subscriptions/{id}/pause", params(Id), security(("token" = ["subscriptions:write"])),
    responses((status = 200, description = "The subscription as it is now", body = Shown)))]
async fn pause(caller: Caller<WritesSubscriptions>, Place(at): Place<Id>) -> Result<Json<Shown>, Problem> {
    let row = Box::pin(caller.service.set_paused(&caller.operator, at.id, true)).await?;
    Ok(Json(row.into()))
}

/// Sends what has waited, and goes on.
#[utoipa::path(post, path = "/subscriptions/{id}/resume", params(Id), security(("token" = ["subscriptions:write"])),
    responses((status = 200, description = "The subscription as it is now", body = Shown)))]
async fn resume(caller: Caller<WritesSubscriptions>, Place(at): Place<Id>) -> Result<Json<Shown>, Problem> {
    let row = Box::pin(caller.service.set_paused(&caller.operator, at.id, false)).await?;
    Ok(Json(row.into()))
}

/// An endpoint that is sent to again.
#[derive(Debug, Serialize, ToSchema)]
pub struct Enabled {
    /// The subscription.
    id: i32,
    /// Since when it had been given up (UTC); null = it had not.
    disabled_since: Option<String>,
}

/// Sends to an endpoint again that was given up.
#[utoipa::path(post, path = "/subscriptions/{id}/enable", params(Id), security(("token" = ["subscriptions:write"])),
    responses((status = 200, description = "Since when it had been given up", body = Enabled)))]
async fn enable(caller: Caller<WritesSubscriptions>, Place(at): Place<Id>) -> Result<Json<Enabled>, Problem> {
    let since = caller.service.enable_subscription(&caller.operator, at.id).await?;
    Ok(Json(Enabled {
        id: at.id,
        disabled_since: since.map(|since| since.to_string()),
    }))
}

/// Sends a test event to its endpoint, and tells what came of it.
#[utoipa::path(post, path = "/subscriptions/{id}/test", params(Id), security(("token" = ["subscriptions:write"])),
    responses((status = 200, description = "Request and response; `success` says whether it arrived", body = Tested)))]
async fn test(caller: Caller<WritesSubscriptions>, Place(at): Place<Id>) -> Result<Json<Tested>, Problem> {
    Ok(Json(
        Box::pin(caller.service.test_subscription(&caller.operator, at.id)).await?,
    ))
}

/// Which secret, and for how long the old one signs beside it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// The new one; without it one is made and told this once.
    secret: Option<String>,
    /// How long both sign, in seconds.
    #[schema(minimum = 0, maximum = 31_622_400, default = 86_400)]
    overlap_s: Option<u32>,
}

/// Gives it another secret; for a while the old one signs too.
#[utoipa::path(post, path = "/subscriptions/{id}/rotate-secret", params(Id), security(("token" = ["subscriptions:write"])),
    request_body = inline(Option<NewSecret>),
    responses((status = 200, description = "The secret, where it was made here, and until when the old one signs", body = Rotated)))]
async fn rotate_secret(
    caller: Caller<WritesSubscriptions>,
    Place(at): Place<Id>,
    MaybeBody(asked): MaybeBody<Option<NewSecret>>,
) -> Result<Json<Rotated>, Problem> {
    let asked = asked.flatten();
    let overlap = asked.as_ref().and_then(|asked| asked.overlap_s).unwrap_or(86_400);
    let secret = asked
        .and_then(|asked| asked.secret)
        .map(|text| Secret::parse(&text))
        .transpose();
    let secret = secret.map_err(|error| {
        let detail = error.to_string();
        Problem::refused("#/secret", detail)
    })?;
    let overlap = Duration::from_secs(overlap.into());
    let rotated = caller
        .service
        .rotate_secret(&caller.operator, at.id, secret.as_ref(), overlap)
        .await?;
    Ok(Json(rotated))
}

/// Which page of a history.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// How many on a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// Where the last page ended: its `next_cursor`.
    cursor: Option<String>,
}

/// Who changed it, when and how; the newest first.
#[utoipa::path(get, path = "/subscriptions/{id}/history", params(Id, HistoryQuery), security(("token" = ["subscriptions:read"])),
    responses((status = 200, description = "A page of changes", body = inline(Listed<Change>))))]
async fn history(
    caller: Caller<ReadsSubscriptions>,
    Place(at): Place<Id>,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<Listed<Change>>, Problem> {
    let request = page_of(query.limit, query.cursor)?;
    let page = caller
        .service
        .history(&caller.operator, Some(at.id), &request)
        .await
        .map_err(in_query)?;
    Ok(Json(page.into()))
}
