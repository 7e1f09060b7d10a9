//! Subscriptions: those that fit, how many they are, a new one.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{Array, ArrayBuilder, Object, ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::listed::{LIMIT, Listed, Selected, Shown, column_names, require_columns};
use crate::api::Shared;
use crate::api::ask::{self, Query, comma_separated, shaped};
use crate::api::caller::{Caller, ReadsSubscriptions, WritesSubscriptions};
use crate::api::condition::tagged;
use crate::api::layers::Mount;
use crate::api::problem::{Fault, Problem, in_query};
use crate::api::v1::once;
use crate::ops::page::PageRequest;
use crate::ops::subscriptions::preview::Preview;
use crate::ops::subscriptions::read::{Filter, ListedState, Order, OrderBy};
use crate::subscription::Draft;
use crate::subscription::choices::CreatedFrom;

/// Its routes.
pub fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(count))
}

/// Which subscriptions, and how they are listed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// That satisfy this Odoo domain over their own columns: `[('model', '=', 'sale.order'), ('failure_count', '>', 0)]`.
    domain: Option<String>,
    /// With one of these ids, with commas in between.
    #[serde(deserialize_with = "comma_separated")]
    #[param(value_type = Option<Vec<i32>>, style = Form, explode = false)]
    ids: Option<Vec<i32>>,
    /// Of one of these models.
    #[serde(deserialize_with = "comma_separated")]
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false)]
    model: Option<Vec<String>>,
    /// In one of these states.
    #[serde(deserialize_with = "comma_separated")]
    #[param(value_type = Option<Vec<ListedState>>, style = Form, explode = false)]
    state: Option<Vec<ListedState>>,
    /// Made by a person, or by an assistant.
    created_from: Option<CreatedFrom>,
    /// Active, or not.
    active: Option<bool>,
    /// Paused, or not.
    paused: Option<bool>,
    /// With this text in the name, model, connection, domain or error.
    q: Option<String>,
    /// The columns that are answered, with commas in between; the id always.
    #[serde(deserialize_with = "comma_separated")]
    #[param(value_type = Option<Vec<String>>, style = Form, explode = false, schema_with = columns)]
    fields: Option<Vec<String>>,
    /// By which column, with a minus before it for the largest first.
    #[param(value_type = Option<String>, schema_with = orders)]
    order: Option<String>,
    /// How many on a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// Where the last page ended: its `next_cursor`.
    cursor: Option<String>,
}

fn orders() -> Object {
    let names = OrderBy::ALL.map(OrderBy::column);
    let both = names
        .into_iter()
        .map(str::to_owned)
        .chain(names.map(|name| format!("-{name}")));
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(both))
        .build()
}

fn columns() -> Array {
    let column = ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(column_names()));
    ArrayBuilder::new().items(column).build()
}

/// A page of a list, as its query asks for it.
///
/// # Errors
/// 400 for a page that is too large.
pub(super) fn page_of(limit: Option<u32>, cursor: Option<String>) -> Result<PageRequest, Problem> {
    let limit = limit.unwrap_or(50);
    if !(1..=LIMIT).contains(&limit) {
        return Err(Problem::unreadable(Fault::at(
            "?limit",
            format!("a page has 1 to {LIMIT} entries"),
        )));
    }
    Ok(PageRequest { limit, cursor })
}

/// Subscriptions that fit, page by page.
#[utoipa::path(get, path = "/subscriptions", params(ListQuery), security(("token" = ["subscriptions:read"])),
    responses((status = 200, description = "A page of them", body = inline(Listed<Selected>))))]
async fn list(
    caller: Caller<ReadsSubscriptions>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Listed<Selected>>, Problem> {
    let request = page_of(query.limit, query.cursor)?;
    let order = match query.order {
        Some(text) => text
            .parse::<Order>()
            .map_err(|error| Problem::unreadable(Fault::at("?order", error.to_string())))?,
        None => Order::default(),
    };
    let fields: Option<BTreeSet<String>> = query.fields.map(|fields| fields.into_iter().collect());
    require_columns(fields.as_ref())?;
    let filter = Filter {
        domain: query.domain,
        ids: query.ids,
        models: query.model,
        states: query.state,
        active: query.active,
        paused: query.paused,
        created_from: query.created_from,
        text: query.q,
        user_id: None,
    };
    let found = caller
        .service
        .subscriptions(&caller.operator, &filter, order, &request)
        .await;
    let page = found.map_err(in_query)?;
    let items = page.items.into_iter().map(|row| Selected::of(row, fields.as_ref()));
    Ok(Json(Listed {
        items: items.collect::<Result<_, _>>()?,
        next_cursor: page.next_cursor,
    }))
}

/// Which subscriptions to count.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct CountQuery {
    /// That satisfy this Odoo domain over their own columns.
    domain: Option<String>,
}

/// How many.
#[derive(Debug, Serialize, ToSchema)]
pub struct Count {
    /// So many.
    count: i64,
}

/// How many subscriptions satisfy a domain.
#[utoipa::path(get, path = "/subscriptions/count", params(CountQuery), security(("token" = ["subscriptions:read"])),
    responses((status = 200, description = "So many", body = Count)))]
async fn count(caller: Caller<ReadsSubscriptions>, Query(query): Query<CountQuery>) -> Result<Json<Count>, Problem> {
    let filter = Filter {
        domain: query.domain,
        ..Filter::default()
    };
    let counted = caller.service.count_subscriptions(&caller.operator, &filter).await;
    Ok(Json(Count {
        count: counted.map_err(in_query)?,
    }))
}

/// How a subscription is made.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct CreateQuery {
    /// Only tells what it would be, how many records match now, and what would be captured.
    dry_run: bool,
}

/// Adds a subscription; no change after the answer is missed.
#[utoipa::path(post, path = "/subscriptions", params(CreateQuery, once::KeyHeader), request_body = inline(Draft),
    security(("token" = ["subscriptions:write"])),
    responses(
        (status = 200, description = "With `dry_run`: what it would be", body = Preview),
        (status = 201, description = "It is there", body = Shown, headers(
            ("Location" = String, description = "Where it is"),
            ("ETag" = String, description = "Its version"),
        )),
    ))]
async fn create(
    State(shared): State<Arc<Shared>>,
    caller: Caller<WritesSubscriptions>,
    Extension(mount): Extension<Mount>,
    Query(query): Query<CreateQuery>,
    headers: HeaderMap,
    body: ask::Json,
) -> Result<Response, Problem> {
    let draft: Draft = shaped(body.value)?;
    if query.dry_run {
        let preview = Box::pin(caller.service.preview_subscription(&caller.operator, draft)).await?;
        return Ok(Json(preview).into_response());
    }
    let (row, is_repeated) = once::create(&caller, &headers, &body.bytes, draft).await?;
    let location = format!("{}/api/v1/subscriptions/{}", shared.root(&mount), row.subscription.id);
    let location =
        HeaderValue::try_from(location).map_err(|_| Problem::unavailable("the path of this API is no header"))?;
    let repeated = is_repeated.then_some([(once::REPLAYED, HeaderValue::from_static("true"))]);
    let version = tagged(&row.version);
    let mut answer = (
        StatusCode::CREATED,
        [(LOCATION, location)],
        version,
        Json(Shown::from(row)),
    )
        .into_response();
    answer.headers_mut().extend(repeated.into_iter().flatten());
    Ok(answer)
}
