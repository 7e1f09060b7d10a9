//! Who comes: a request's token to an operator, and for how long he may stay.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};

use crate::api::Shared;
use crate::api::door::Door;
use crate::api::gate::{Gate, Refused};
use crate::api::problem::{Problem, in_query};
use crate::ops::{Operator, Service};

/// How often it is looked whether somebody may stay.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Whom a session belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Principal {
    /// A login of the database.
    Database,
    /// A token of this database.
    Token {
        /// Which database.
        database: String,
        /// Its id.
        id: i32,
    },
}

/// Somebody who was let in.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// Whose sessions are his.
    pub principal: Principal,
    /// Who he is.
    pub operator: Operator,
    /// The verbs of the database that he asks.
    pub service: Service,
    gate: Option<(Arc<Gate>, i32)>,
}

impl Visitor {
    /// Who has logged in to the database.
    pub fn of_database(service: Service, operator: Operator) -> Self {
        Self {
            principal: Principal::Database,
            operator,
            service,
            gate: None,
        }
    }

    /// Who brings this token.
    ///
    /// # Errors
    /// As [`Gate::admit`].
    pub async fn with_token(
        service: Service,
        gate: &Arc<Gate>,
        database: &str,
        token: &str,
    ) -> std::result::Result<Self, Refused> {
        let admitted = gate.admit(&service, token).await?;
        Ok(Self {
            principal: Principal::Token {
                database: database.to_owned(),
                id: admitted.token,
            },
            operator: admitted.operator,
            service,
            gate: Some((Arc::clone(gate), admitted.token)),
        })
    }

    /// Who sends a request.
    ///
    /// # Errors
    /// 401 without a token, or with a wrong one; 404, 429 and 503 as elsewhere.
    pub async fn of_request(shared: &Shared, parts: &Parts, metadata: &str) -> Result<Self, Problem> {
        let door = parts.extensions.get::<Arc<Door>>().cloned();
        let door = door.ok_or_else(|| Problem::not_found("there is no such database"))?;
        let Some(token) = bearer(&parts.headers) else {
            let told = "a token is needed: Authorization: Bearer oet_..";
            return Err(challenge(told, metadata, None));
        };
        let service = door.service().await?;
        match Self::with_token(service, &door.gate, door.name(), token).await {
            Ok(visitor) => Ok(visitor),
            Err(Refused::Wrong) => {
                tokio::time::sleep(shared.strangers.pause(Instant::now())).await;
                let told = "the token is none, or it was revoked, or its time is over";
                Err(challenge(told, metadata, Some("invalid_token")))
            }
            Err(Refused::TooFast(wait)) => {
                let told = "too many requests with this token";
                let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too-fast", told);
                Err(problem.retry_after(wait.as_secs() + 1))
            }
            Err(Refused::Unknown(error)) => Err(in_query(error)),
        }
    }

    /// Waits until his token lets nobody in any more: who has come in for long is shown out.
    pub async fn dismissed(&self) {
        let Some((gate, token)) = &self.gate else {
            return std::future::pending().await;
        };
        while gate.is_live(&self.service, *token).await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

/// Says where it is written who gives tokens (RFC 9728, section 5.1).
fn challenge(told: &str, metadata: &str, error: Option<&str>) -> Problem {
    let error = error.map(|error| format!(", error=\"{error}\"")).unwrap_or_default();
    let scopes = "subscriptions:read subscriptions:write events:read";
    Problem::unauthorized_with(
        told,
        &format!("Bearer realm=\"odoo-eventd\"{error}, scope=\"{scopes}\", resource_metadata=\"{metadata}\""),
    )
}

/// The token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let said = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = said.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
