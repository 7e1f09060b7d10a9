//! REST, `/api/v1`: one file for each kind of thing.

pub mod bulk;
pub mod catalog;
pub mod dashboard;
pub mod deliveries;
pub mod listed;
pub mod once;
pub mod subscription;
pub mod subscriptions;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use super::Shared;

/// All of its routes.
pub fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .merge(subscriptions::routes())
        .merge(subscription::routes())
        .merge(bulk::routes())
        .merge(deliveries::routes())
        .merge(catalog::routes())
        .merge(dashboard::routes())
}
