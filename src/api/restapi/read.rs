//! Webhooks: all, these, one, how many.

use std::sync::Arc;

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::{CountQuery, FieldsQuery, ListQuery, filter, is_set, number, properties, sort};
use super::webhook::selected;
use crate::api::Shared;
use crate::api::ask::{Place, Query};
use crate::api::caller::{Caller, ReadsSubscriptions};
use crate::api::problem::{Problem, in_query};

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(count))
        .routes(routes!(get))
}

/// A webhook in the properties that were asked for, the id always.
#[derive(Debug, Serialize, ToSchema)]
#[schema(value_type = Object)]
pub(super) struct Webhook(pub(super) Map<String, Value>);

/// One webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct One {
    /// It.
    pub(super) webhook: Webhook,
}

/// What a list answers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Listed {
    /// The webhooks.
    Webhooks {
        /// In their order.
        webhook: Vec<Webhook>,
    },
    /// With `count=True`.
    Count {
        /// How many there are.
        count: i64,
    },
}

/// Lists webhooks.
#[utoipa::path(get, path = "/webhooks", params(ListQuery),
    security(("token" = ["subscriptions:read"])),
    responses((status = 200, description = "The webhooks", content((Listed = "application/json"), (String = "application/xml; charset=utf-8")))))]
async fn list(caller: Caller<ReadsSubscriptions>, Query(query): Query<ListQuery>) -> Result<Json<Listed>, Problem> {
    let fields = properties(query.fields.as_deref())?;
    let (offset, limit) = (number("offset", query.offset)?, number("limit", query.limit)?);
    // As in Odoo, 0 is no limit.
    let limit = limit.filter(|limit| *limit > 0);
    let wants_count = is_set("count", query.count.as_deref())?;
    let named = query.ids.clone();
    let wanted = filter(query.ids, query.domain.as_deref())?;
    // An order that there is not is told whether or not there is anything to order.
    sort(&mut [], query.order.as_deref())?;
    if wants_count {
        let count = caller
            .service
            .count_subscriptions(&caller.operator, &wanted)
            .await
            .map_err(in_query)?;
        return Ok(Json(Listed::Count { count }));
    }
    let mut rows = caller
        .service
        .all_subscriptions(&caller.operator, &wanted)
        .await
        .map_err(in_query)?;
    if rows.is_empty() && named.is_some_and(|ids| !ids.is_empty()) && query.domain.is_none() {
        return Err(Problem::not_found("there are no webhooks with these ids"));
    }
    sort(&mut rows, query.order.as_deref())?;
    let page = rows.iter().skip(offset.unwrap_or(0)).take(limit.unwrap_or(usize::MAX));
    let webhook = page.map(|row| Webhook(selected(row, fields.as_deref()))).collect();
    Ok(Json(Listed::Webhooks { webhook }))
}

/// How many.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Count {
    /// So many.
    count: i64,
}

/// Counts webhooks.
#[utoipa::path(get, path = "/webhooks/count", params(CountQuery),
    security(("token" = ["subscriptions:read"])),
    responses((status = 200, description = "How many", content((Count = "application/json"), (String = "application/xml; charset=utf-8")))))]
async fn count(caller: Caller<ReadsSubscriptions>, Query(query): Query<CountQuery>) -> Result<Json<Count>, Problem> {
    let wanted = filter(None, query.domain.as_deref())?;
    let count = caller
        .service
        .count_subscriptions(&caller.operator, &wanted)
        .await
        .map_err(in_query)?;
    Ok(Json(Count { count }))
}

/// Which webhook.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct Id {
    /// Its id.
    pub(super) id: i32,
}

/// One webhook.
#[utoipa::path(get, path = "/webhooks/{id}", params(Id, FieldsQuery),
    security(("token" = ["subscriptions:read"])),
    responses((status = 200, description = "The webhook", content((One = "application/json"), (String = "application/xml; charset=utf-8")))))]
async fn get(
    caller: Caller<ReadsSubscriptions>,
    Place(at): Place<Id>,
    Query(query): Query<FieldsQuery>,
) -> Result<Json<One>, Problem> {
    let fields = properties(query.fields.as_deref())?;
    let row = caller.service.subscription(&caller.operator, at.id).await?;
    let webhook = Webhook(selected(&row.subscription, fields.as_deref()));
    Ok(Json(One { webhook }))
}
