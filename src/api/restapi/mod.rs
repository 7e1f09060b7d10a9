//! The API that document 003 describes, `/restapi/1.0/webhooks`, over the same verbs: its names, its Python literals, its answers.
//!
//! A webhook of its own is a subscription of ours. Its tokens are ours, in the place of its OAuth. Every error that it knows no status for
//! is a 403, as it says; a body may be JSON where its query has Python.

mod asked;
mod documented;
mod read;
mod webhook;
mod write;

use std::sync::Arc;

use axum::middleware;
use utoipa_axum::router::OpenApiRouter;

use super::Shared;

/// Where it begins.
pub const BASE: &str = "/restapi/1.0";

/// All of its routes.
pub fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .merge(read::routes())
        .merge(write::routes())
        .layer(middleware::from_fn(documented::answers))
}
