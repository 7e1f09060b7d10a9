//! Odoo's models and fields, and domains before they are used.

use std::sync::Arc;

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::ask::{Body, Place};
use crate::api::caller::{Caller, ReadsSubscriptions};
use crate::api::problem::Problem;
use crate::ops::catalog::{FieldInfo, ModelInfo};
use crate::ops::domains::{DomainAnswer, DomainQuestion};

/// Its routes.
pub fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(models))
        .routes(routes!(fields))
        .routes(routes!(check_domain))
}

/// All models that the token may use.
#[derive(Debug, Serialize, ToSchema)]
pub struct Models {
    /// By their names.
    models: Vec<ModelInfo>,
}

/// Odoo's models, and why one of them cannot be subscribed to.
#[utoipa::path(get, path = "/models", security(("token" = ["subscriptions:read"])),
    responses((status = 200, description = "The models", body = inline(Models))))]
async fn models(caller: Caller<ReadsSubscriptions>) -> Result<Json<Models>, Problem> {
    let models = caller.service.models(&caller.operator).await?;
    Ok(Json(Models { models }))
}

/// Which model.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct Model {
    /// Its name: `sale.order`.
    model: String,
}

/// All fields of a model.
#[derive(Debug, Serialize, ToSchema)]
pub struct Fields {
    /// By their names.
    fields: Vec<FieldInfo>,
}

/// A model's fields with their types, and why one of them cannot be watched.
#[utoipa::path(get, path = "/models/{model}/fields", params(Model), security(("token" = ["subscriptions:read"])),
    responses((status = 200, description = "The fields", body = inline(Fields))))]
async fn fields(caller: Caller<ReadsSubscriptions>, Place(at): Place<Model>) -> Result<Json<Fields>, Problem> {
    let fields = caller.service.fields(&caller.operator, &at.model).await?;
    Ok(Json(Fields { fields }))
}

/// Checks a domain, and counts the records that match now.
#[utoipa::path(post, path = "/domains/check", request_body = DomainQuestion, security(("token" = ["subscriptions:read"])),
    responses((status = 200, description = "It can be judged", body = DomainAnswer)))]
async fn check_domain(
    caller: Caller<ReadsSubscriptions>,
    Body(question): Body<DomainQuestion>,
) -> Result<Json<DomainAnswer>, Problem> {
    Ok(Json(
        Box::pin(caller.service.check_domain(&caller.operator, &question)).await?,
    ))
}
