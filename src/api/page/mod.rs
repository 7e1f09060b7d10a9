//! The door for people: five pages, made here and complete without a script.
//!
//! ```text
//!  request ─ dress: headers, what went wrong as a page ─▶ Visitor: session, pace ─ Posted: origin, form token ─▶ a verb of ops ─▶ template
//! ```
//!
//! A page reads what a request brings, calls verbs and fills a template; it has neither SQL nor judgement of its own. Names, payloads and
//! answers come from strangers: templates escape them, and the policy of the page's headers lets nothing but our own script run.

pub mod assets;
pub mod chart;
pub mod compose;
pub mod dashboard;
pub mod deliveries;
pub mod delivery;
pub mod dress;
pub mod entry;
pub mod fields;
pub mod form;
pub mod frame;
pub mod health;
pub mod live;
pub mod login;
pub mod models;
pub mod origin;
pub mod picker;
pub mod redeliver;
pub mod session;
pub mod shown;
pub mod subscription;
pub mod subscriptions;
pub mod visitor;

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

use super::Shared;

/// Its routes.
pub fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(subscriptions::at_the_root))
        .route("/login", get(login::ask).post(login::log_in))
        .route("/logout", post(login::log_out))
        .route("/assets/{name}", get(assets::asset))
        .route("/subscriptions", get(subscriptions::list))
        .route("/subscriptions/bulk", post(subscriptions::bulk))
        .route("/subscriptions/new", get(form::new).post(form::create))
        .route("/subscriptions/{id}", get(form::edit).post(form::save))
        .route("/subscriptions/{id}/do", post(subscription::act))
        .route("/subscriptions/{id}/history", get(subscription::history))
        .route("/deliveries", get(deliveries::list))
        .route(
            "/deliveries/redeliver",
            get(redeliver::ask).post(redeliver::redeliver_all),
        )
        .route("/deliveries/{id}", get(delivery::show))
        .route("/deliveries/{id}/redeliver", post(redeliver::redeliver_one))
        .route("/dashboard", get(dashboard::show))
        .route("/health", get(health::show))
        .route("/live/domain", get(live::domain))
        .route("/live/sample", post(live::sample))
        .layer(middleware::from_fn(dress::dress))
}
