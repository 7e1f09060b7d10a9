//! Several subscriptions changed or deleted at once.

use std::sync::Arc;

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::ask::{Body, shaped};
use crate::api::caller::{Caller, WritesSubscriptions};
use crate::api::problem::Problem;
use crate::ops::Error;
use crate::ops::subscriptions::bulk::{BulkResult, Target, refuse_too_many};
use crate::ops::subscriptions::read::Filter;
use crate::subscription::{Draft, Patch};

/// Its routes.
pub fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(change)).routes(routes!(delete))
}

/// What is changed of which.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BulkChange {
    /// These; this or `domain`.
    #[schema(max_items = 500)]
    ids: Option<Vec<i32>>,
    /// Those that satisfy this Odoo domain over their own columns; this or `ids`.
    domain: Option<String>,
    /// The columns and their new values; null clears one.
    #[schema(value_type = Draft)]
    set: Value,
}

/// Which are deleted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BulkDelete {
    /// These; this or `domain`.
    #[schema(max_items = 500)]
    ids: Option<Vec<i32>>,
    /// Those that satisfy this Odoo domain over their own columns; this or `ids`.
    domain: Option<String>,
}

/// What became of each.
#[derive(Serialize, ToSchema)]
struct BulkResults {
    /// In the order of their ids.
    results: Vec<BulkResult>,
}

async fn targets(
    caller: &Caller<WritesSubscriptions>,
    ids: Option<Vec<i32>>,
    domain: Option<String>,
) -> Result<Vec<Target>, Problem> {
    match (ids, domain) {
        (Some(ids), None) => {
            let targets: Vec<Target> = ids.into_iter().map(Target::any).collect();
            refuse_too_many(&targets)?;
            Ok(targets)
        }
        (None, Some(domain)) => {
            let filter = Filter {
                domain: Some(domain),
                ..Filter::default()
            };
            Ok(caller.service.targets(&caller.operator, &filter).await?)
        }
        _ => {
            let detail = "either ids or a domain says which";
            Err(Problem::refused("#/ids", detail))
        }
    }
}

/// Writes the same columns of up to 500 subscriptions, in one transaction; an answer for each.
#[utoipa::path(patch, path = "/subscriptions", request_body = inline(BulkChange), security(("token" = ["subscriptions:write"])),
    responses((status = 200, description = "What became of each", body = inline(BulkResults))))]
async fn change(
    caller: Caller<WritesSubscriptions>,
    Body(asked): Body<BulkChange>,
) -> Result<Json<BulkResults>, Problem> {
    let set = shaped::<Draft>(asked.set.clone()).map_err(|problem| problem.below("/set"))?;
    // Told also where none of them is there.
    let outside = set.out_of_bounds();
    if !outside.is_empty() {
        return Err(Problem::from(Error::Refused(outside)).below("/set"));
    }
    let patch = Patch::parse(asked.set).map_err(|error| Problem::from(Error::from(error)).below("/set"))?;
    let targets = targets(&caller, asked.ids, asked.domain).await?;
    let results = Box::pin(caller.service.update_subscriptions(&caller.operator, &targets, &patch)).await;
    let results = results.map_err(|error| Problem::from(error).below("/set"))?;
    Ok(Json(BulkResults { results }))
}

/// Deletes up to 500 subscriptions, in one transaction; an answer for each.
#[utoipa::path(post, path = "/subscriptions/delete", request_body = inline(BulkDelete), security(("token" = ["subscriptions:write"])),
    responses((status = 200, description = "What became of each", body = inline(BulkResults))))]
async fn delete(
    caller: Caller<WritesSubscriptions>,
    Body(asked): Body<BulkDelete>,
) -> Result<Json<BulkResults>, Problem> {
    let targets = targets(&caller, asked.ids, asked.domain).await?;
    let results = Box::pin(caller.service.delete_subscriptions(&caller.operator, &targets)).await?;
    Ok(Json(BulkResults { results }))
}
