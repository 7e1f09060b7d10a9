//! Deliveries: attempts page by page, one delivery with everything that is known of it, and sending ended ones once more.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::listed::Listed;
use super::subscriptions::page_of;
use crate::api::Shared;
use crate::api::ask::{Body, Place, Query, comma_separated, instant};
use crate::api::caller::{Caller, ReadsDeliveries, Redelivers};
use crate::api::problem::{Problem, in_query};
use crate::ops::deliveries::read::{Attempt, AttemptFilter, Code, Delivery, Status};
use crate::ops::deliveries::redeliver::{DeadFilter, Redelivered, RedeliveredCount};

/// Its routes.
pub fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(redeliver_one))
        .routes(routes!(redeliver))
}

/// Which attempts, and how they are listed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct AttemptsQuery {
    /// To this subscription.
    subscription: Option<i32>,
    /// That ended so, with commas in between.
    #[serde(deserialize_with = "comma_separated")]
    #[param(value_type = Option<Vec<Status>>, style = Form, explode = false)]
    status: Option<Vec<Status>>,
    /// That were answered with one of these: `404,5xx`.
    #[serde(deserialize_with = "comma_separated")]
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false, schema_with = codes)]
    code: Option<Vec<Code>>,
    /// That failed with one of these words: `timeout,interrupted`.
    #[serde(deserialize_with = "comma_separated")]
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    error: Option<Vec<String>>,
    /// Of this model.
    model: Option<String>,
    /// With this record.
    record_id: Option<i64>,
    /// Of this event.
    event_id: Option<Uuid>,
    /// Begun since then (RFC 3339).
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Begun before then (RFC 3339).
    #[serde(deserialize_with = "instant")]
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// With this text in body, answer or detail: reads all of them, so name a time too.
    q: Option<String>,
    /// Only the last attempts of deliveries that ended without success.
    dead: bool,
    /// How many on a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// Where the last page ended: its `next_cursor`.
    cursor: Option<String>,
}

fn codes() -> utoipa::openapi::schema::Array {
    let code = utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .pattern(Some("^([1-5][0-9]{2}|[1-5]xx)$"));
    utoipa::openapi::schema::ArrayBuilder::new().items(code).build()
}

/// Attempts that fit, the newest first; without bodies and answers, which one delivery has. The log is never counted.
#[utoipa::path(get, path = "/deliveries", params(AttemptsQuery), security(("token" = ["deliveries:read"])),
    responses((status = 200, description = "A page of attempts", body = inline(Listed<Attempt>))))]
async fn list(
    caller: Caller<ReadsDeliveries>,
    Query(query): Query<AttemptsQuery>,
) -> Result<Json<Listed<Attempt>>, Problem> {
    let request = page_of(query.limit, query.cursor)?;
    let filter = AttemptFilter {
        subscription: query.subscription,
        statuses: query.status,
        codes: query.code,
        errors: query.error,
        model: query.model,
        record_id: query.record_id,
        event_id: query.event_id,
        delivery_id: None,
        since: query.since,
        until: query.until,
        text: query.q,
        dead: query.dead,
        without_bodies: true,
    };
    let page = caller
        .service
        .attempts(&caller.operator, &filter, &request)
        .await
        .map_err(in_query)?;
    Ok(Json(page.into()))
}

/// Which delivery.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct Id {
    /// Its id, which is the `webhook-id` of its requests.
    delivery_id: Uuid,
}

/// One delivery with all of its attempts: the exact payload, and the answer to each.
#[utoipa::path(get, path = "/deliveries/{delivery_id}", params(Id), security(("token" = ["deliveries:read"])),
    responses((status = 200, description = "The delivery", body = Delivery)))]
async fn get(caller: Caller<ReadsDeliveries>, Place(at): Place<Id>) -> Result<Json<Delivery>, Problem> {
    Ok(Json(caller.service.delivery(&caller.operator, at.delivery_id).await?))
}

/// How many are sent once more.
#[derive(Debug, Serialize, ToSchema)]
pub struct Sent {
    /// That many.
    count: usize,
}

/// Sends an ended delivery once more, under the same ids.
#[utoipa::path(post, path = "/deliveries/{delivery_id}/redeliver", params(Id), security(("token" = ["deliveries:redeliver"])),
    responses((status = 202, description = "It is sent", body = Sent)))]
async fn redeliver_one(caller: Caller<Redelivers>, Place(at): Place<Id>) -> Result<(StatusCode, Json<Sent>), Problem> {
    let _: Redelivered = caller
        .service
        .redeliver_one(&caller.operator, at.delivery_id, false)
        .await
        .map_err(|error| {
            let in_path = |pointer: &str| (pointer == "#/delivery_id").then(|| "path:delivery_id".to_owned());
            Problem::from(error).pointing(in_path)
        })?;
    Ok((StatusCode::ACCEPTED, Json(Sent { count: 1 })))
}

/// Which deliveries are sent once more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Redelivery {
    /// Those that ended without success and fit this.
    filter: RedeliveryFilter,
    /// Only counts them.
    #[serde(default)]
    #[schema(default = false)]
    dry_run: bool,
}

/// Which of those that ended without success.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeliveryFilter {
    /// To this subscription.
    subscription: Option<i32>,
    /// Of this model.
    model: Option<String>,
    /// With this record.
    record_id: Option<i64>,
    /// Whose last attempt was begun since then (RFC 3339).
    #[serde(deserialize_with = "instant")]
    #[schema(value_type = String, format = DateTime)]
    since: Option<Timestamp>,
    /// Whose last attempt was begun before then (RFC 3339).
    #[serde(default, deserialize_with = "instant")]
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
}

fn no_beginning() -> Problem {
    let detail = "since says where to begin, and must not be null";
    Problem::refused("#/filter/since", detail)
}

/// Sends the deliveries that ended without success and fit a filter once more; with `dry_run` only counts them.
#[utoipa::path(post, path = "/deliveries/redeliver", request_body = inline(Redelivery), security(("token" = ["deliveries:redeliver"])),
    responses(
        (status = 200, description = "With `dry_run`: how many would be sent", body = RedeliveredCount),
        (status = 202, description = "How many are sent", body = RedeliveredCount),
    ))]
async fn redeliver(
    caller: Caller<Redelivers>,
    Body(asked): Body<Redelivery>,
) -> Result<(StatusCode, Json<RedeliveredCount>), Problem> {
    let filter = DeadFilter {
        subscription: asked.filter.subscription,
        model: asked.filter.model,
        record_id: asked.filter.record_id,
        since: asked.filter.since.ok_or_else(no_beginning)?,
        until: asked.filter.until,
    };
    let counted = caller
        .service
        .redeliver_dead(&caller.operator, &filter, asked.dry_run)
        .await?;
    let status = if asked.dry_run {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok((status, Json(counted)))
}
