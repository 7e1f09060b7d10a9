//! Webhooks: a new one, changed ones, deleted ones.

use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::asked::{filter, python};
use super::read::{Id, One, Webhook};
use super::webhook::{columns, shown, watched, watched_after};
use crate::api::Shared;
use crate::api::ask::{MaybeBody, Place, Query, comma_separated, shaped};
use crate::api::caller::{Caller, WritesSubscriptions};
use crate::api::problem::{Fault, Problem};
use crate::ops::subscriptions::bulk::Target;
use crate::subscription::choices::WantedEvents;
use crate::subscription::{Draft, Patch, View};

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(create, update_these, delete_these))
        .routes(routes!(update, delete))
}

/// The values of a webhook.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct ValsQuery {
    /// Its values, a Python dictionary: `{'name': 'Product Creation', 'model': 'product.product', 'kind': 'on_create'}`; or else they are the
    /// body, as JSON.
    vals: Option<String>,
}

/// The values of these webhooks.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct TheseQuery {
    /// Which: `7,12`.
    #[serde(deserialize_with = "comma_separated")]
    #[param(value_type = Vec<i32>, style = Form, explode = false, min_items = 1, max_items = 500)]
    ids: Option<Vec<i32>>,
    /// Their new values, a Python dictionary; or else they are the body, as JSON.
    vals: Option<String>,
}

/// Which webhooks.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct IdsQuery {
    /// These: `7,12`.
    #[serde(deserialize_with = "comma_separated")]
    #[param(value_type = Vec<i32>, style = Form, explode = false, min_items = 1, max_items = 500)]
    ids: Option<Vec<i32>>,
}

/// Several webhooks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Several {
    /// They.
    webhook: Vec<Webhook>,
}

/// Nothing.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Nothing {}

/// The values, from the query or from the body.
fn values(vals: Option<&str>, body: Option<Value>, is_new: bool) -> Result<Map<String, Value>, Problem> {
    let vals = match (vals, body) {
        (Some(text), _) => python("vals", text)?,
        (None, Some(body)) => body,
        (None, None) => {
            return Err(Problem::unreadable(Fault::at(
                "?vals",
                "vals is missing: {'name': 'Product Creation'}",
            )));
        }
    };
    columns(&vals, is_new)
}

fn ids_of(ids: Option<Vec<i32>>) -> Result<Vec<i32>, Problem> {
    ids.filter(|ids| !ids.is_empty())
        .ok_or_else(|| Problem::unreadable(Fault::at("?ids", "ids is missing: 7,12")))
}

/// Creates a webhook.
#[utoipa::path(post, path = "/webhooks", params(ValsQuery), request_body = inline(Option<std::collections::BTreeMap<String, Value>>),
    security(("token" = ["subscriptions:write"])),
    responses((status = 200, description = "The webhook", content((One = "application/json"), (String = "application/xml; charset=utf-8")))))]
async fn create(
    caller: Caller<WritesSubscriptions>,
    Query(query): Query<ValsQuery>,
    MaybeBody(body): MaybeBody<Value>,
) -> Result<Json<One>, Problem> {
    let mut columns = values(query.vals.as_deref(), body, true)?;
    if columns.get("event_type") == Some(&Value::from(WantedEvents::Write.as_str()))
        && let Some(Value::Array(paths)) = columns.get("payload_fields")
    {
        let paths: Vec<&str> = paths.iter().filter_map(Value::as_str).collect();
        columns.insert("fields".to_owned(), json!(watched(&paths)));
    }
    for needed in ["model", "event_type", "webhook_url"] {
        if columns.get(needed).is_none_or(Value::is_null) {
            let name = super::webhook::PROPERTIES
                .iter()
                .find(|(_, column)| *column == needed)
                .map_or(needed, |(name, _)| name);
            return Err(Problem::unreadable(Fault::at(
                "?vals",
                format!("a webhook needs {name}"),
            )));
        }
    }
    let draft: Draft = shaped(Value::Object(columns))?;
    let created = Box::pin(caller.service.create_subscription(&caller.operator, draft)).await;
    let created = created.map_err(in_vals)?;
    let webhook = Webhook(shown(&created.row.subscription));
    Ok(Json(One { webhook }))
}

/// Writes the same values to webhooks that are there, to all or to none; each keeps what is sent and what is watched in step.
async fn write(
    caller: &Caller<WritesSubscriptions>,
    rows: &[View],
    columns: Map<String, Value>,
) -> Result<(), Problem> {
    let mut groups: Vec<(Map<String, Value>, Vec<Target>)> = Vec::new();
    for row in rows {
        let mut own = columns.clone();
        if let Some(fields) = watched_after(row, &columns) {
            own.insert("fields".to_owned(), fields);
        }
        match groups.iter_mut().find(|(same, _)| *same == own) {
            Some((_, targets)) => targets.push(Target::any(row.id)),
            None => groups.push((own, vec![Target::any(row.id)])),
        }
    }
    let mut changes = Vec::new();
    for (columns, targets) in groups {
        shaped::<Draft>(Value::Object(columns.clone()))?;
        let patch = Patch::parse(Value::Object(columns)).map_err(crate::ops::Error::from)?;
        changes.push((targets, patch));
    }
    let written = Box::pin(caller.service.update_together(&caller.operator, &changes)).await;
    written.map_err(in_vals)
}

/// What a verb did not do, by the names that a webhook's values have here.
fn in_vals(error: crate::ops::Error) -> Problem {
    Problem::from(error).pointing(|pointer| {
        let column = pointer.strip_prefix("#/")?.split('/').next()?;
        let (name, _) = super::webhook::PROPERTIES.iter().find(|(_, known)| *known == column)?;
        Some(format!("?vals/{name}"))
    })
}

/// The webhooks with these ids, in the order of the ids; all of them, or none.
async fn these(caller: &Caller<WritesSubscriptions>, ids: &[i32]) -> Result<Vec<View>, Problem> {
    let found = caller
        .service
        .subscriptions_to_write(&caller.operator, &filter(Some(ids.to_vec()), None)?)
        .await?;
    match ids.iter().find(|id| !found.iter().any(|row| row.id == **id)) {
        None => Ok(found),
        Some(missing) => Err(Problem::not_found(format!("there is no webhook {missing}"))),
    }
}

/// Changes one webhook.
#[utoipa::path(put, path = "/webhooks/{id}", params(Id, ValsQuery),
    request_body = inline(Option<std::collections::BTreeMap<String, Value>>), security(("token" = ["subscriptions:write"])),
    responses((status = 200, description = "The webhook as it is now", content((One = "application/json"), (String = "application/xml; charset=utf-8")))))]
async fn update(
    caller: Caller<WritesSubscriptions>,
    Place(at): Place<Id>,
    Query(query): Query<ValsQuery>,
    MaybeBody(body): MaybeBody<Value>,
) -> Result<Json<One>, Problem> {
    let columns = values(query.vals.as_deref(), body, false)?;
    write(&caller, &these(&caller, &[at.id]).await?, columns).await?;
    let now = these(&caller, &[at.id]).await?;
    let webhook = now.first().map(shown).unwrap_or_default();
    Ok(Json(One {
        webhook: Webhook(webhook),
    }))
}

/// Writes the same values to several webhooks.
#[utoipa::path(put, path = "/webhooks", params(TheseQuery),
    request_body = inline(Option<std::collections::BTreeMap<String, Value>>), security(("token" = ["subscriptions:write"])),
    responses((status = 200, description = "The webhooks as they are now", content((Several = "application/json"), (String = "application/xml; charset=utf-8")))))]
async fn update_these(
    caller: Caller<WritesSubscriptions>,
    Query(query): Query<TheseQuery>,
    MaybeBody(body): MaybeBody<Value>,
) -> Result<Json<Several>, Problem> {
    let ids = ids_of(query.ids)?;
    let columns = values(query.vals.as_deref(), body, false)?;
    write(&caller, &these(&caller, &ids).await?, columns).await?;
    let webhook = these(&caller, &ids)
        .await?
        .iter()
        .map(|row| Webhook(shown(row)))
        .collect();
    Ok(Json(Several { webhook }))
}

/// Deletes one webhook.
#[utoipa::path(delete, path = "/webhooks/{id}", params(Id),
    security(("token" = ["subscriptions:write"])),
    responses((status = 200, description = "It is gone", content((Nothing = "application/json"), (String = "application/xml; charset=utf-8")))))]
async fn delete(
    caller: Caller<WritesSubscriptions>,
    Place(at): Place<Id>,
) -> Result<(StatusCode, Json<Nothing>), Problem> {
    Box::pin(caller.service.delete_subscription(&caller.operator, at.id, None)).await?;
    Ok((StatusCode::OK, Json(Nothing {})))
}

/// Deletes several webhooks.
#[utoipa::path(delete, path = "/webhooks", params(IdsQuery),
    security(("token" = ["subscriptions:write"])),
    responses((status = 200, description = "They are gone", content((Nothing = "application/json"), (String = "application/xml; charset=utf-8")))))]
async fn delete_these(
    caller: Caller<WritesSubscriptions>,
    Query(query): Query<IdsQuery>,
) -> Result<Json<Nothing>, Problem> {
    let ids = ids_of(query.ids)?;
    these(&caller, &ids).await?;
    let targets: Vec<Target> = ids.into_iter().map(Target::any).collect();
    Box::pin(caller.service.delete_together(&caller.operator, &targets)).await?;
    Ok(Json(Nothing {}))
}
