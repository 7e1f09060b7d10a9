//! What was sent in the last days, in figures.

use std::sync::Arc;

use axum::Json;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::ask::Query;
use crate::api::caller::{Caller, ReadsDeliveries};
use crate::api::problem::{Problem, in_query};
use crate::ops::dashboard::Dashboard;

/// Its route.
pub fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(figures))
}

/// The same where document 004 has it.
pub fn documented() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(figures_as_documented))
}

/// Of which days.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct DashboardQuery {
    /// How many days, today included.
    #[param(minimum = 1, maximum = 90, default = 30)]
    days: Option<u32>,
    /// The time zone whose days they are: `Europe/Paris`.
    #[param(default = "UTC")]
    tz: Option<String>,
}

/// Attempts of the last days by day, model, endpoint, event and error; from counts by the hour, never from the log.
#[utoipa::path(get, path = "/dashboard", params(DashboardQuery), security(("token" = ["deliveries:read"])),
    responses((status = 200, description = "The figures", body = Dashboard)))]
async fn figures(
    caller: Caller<ReadsDeliveries>,
    Query(query): Query<DashboardQuery>,
) -> Result<Json<Dashboard>, Problem> {
    let (days, tz) = (query.days.unwrap_or(30), query.tz.as_deref().unwrap_or("UTC"));
    Ok(Json(
        caller
            .service
            .dashboard(&caller.operator, days, tz)
            .await
            .map_err(in_query)?,
    ))
}

/// The same as `/api/v1/dashboard`.
#[utoipa::path(get, path = "/dashboard/data", params(DashboardQuery), security(("token" = ["deliveries:read"])),
    responses((status = 200, description = "The figures", body = Dashboard)))]
async fn figures_as_documented(
    caller: Caller<ReadsDeliveries>,
    query: Query<DashboardQuery>,
) -> Result<Json<Dashboard>, Problem> {
    figures(caller, query).await
}
