//! Who comes: a request's token to an operator, and for how long he may stay.

use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;
use axum::http::request::Parts;

use tokio::sync::OwnedSemaphorePermit;

use crate::api::Shared;
use crate::api::caller::bearer;
use crate::api::door::Door;
use crate::api::gate::{Gate, Refused};
use crate::api::problem::{Problem, in_query};
use crate::http::crowd::Member;
use crate::mcp::oauth::metadata::SCOPES;
use crate::mcp::oauth::{self, ResourceServer};
use crate::ops::{Operator, Scope, Service};

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
    /// Somebody with a token of another server.
    Subject {
        /// Which database.
        database: String,
        /// Who he is there.
        subject: String,
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
    stays: Stays,
}

/// How long somebody may stay.
#[derive(Debug, Clone)]
enum Stays {
    /// As long as he likes.
    Always,
    /// While this token lets him in.
    WhileLive(Arc<Gate>, i32),
    /// Until his token ends.
    Until(Instant),
}

impl Visitor {
    /// Who has logged in to the database.
    pub fn of_database(service: Service, operator: Operator) -> Self {
        Self {
            principal: Principal::Database,
            operator,
            service,
            stays: Stays::Always,
        }
    }

    /// Who brings this token, and his place among those with it whose requests are under way.
    ///
    /// # Errors
    /// As [`Gate::admit`].
    pub async fn with_token(
        service: Service,
        gate: &Arc<Gate>,
        database: &str,
        token: &str,
    ) -> std::result::Result<(Self, OwnedSemaphorePermit), Refused> {
        let admitted = gate.admit(&service, token).await?;
        let visitor = Self {
            principal: Principal::Token {
                database: database.to_owned(),
                id: admitted.token,
            },
            operator: admitted.operator,
            service,
            stays: Stays::WhileLive(Arc::clone(gate), admitted.token),
        };
        Ok((visitor, admitted.place))
    }

    /// Who sends a request: with a token of ours, or of the other server that is believed; and his place, until it is answered.
    ///
    /// # Errors
    /// 401 without a token, or with a wrong one; 403 with one that lets him do nothing; 404, 429 and 503 as elsewhere.
    pub async fn of_request(
        shared: &Shared,
        oauth: Option<&ResourceServer>,
        parts: &Parts,
        metadata: &str,
    ) -> Result<(Self, Option<OwnedSemaphorePermit>), Problem> {
        let door = parts.extensions.get::<Arc<Door>>().cloned();
        let door = door.ok_or_else(|| Problem::not_found("there is no such database"))?;
        let challenge = Challenge { metadata };
        let Some(token) = bearer(&parts.headers) else {
            return Err(challenge.unauthorized("a token is needed: Authorization: Bearer ..", None));
        };
        let service = door.service().await?;
        match oauth {
            Some(oauth) if ResourceServer::is_meant(token) => {
                let admitted = oauth.admit(&service, token).await;
                let admitted = match admitted {
                    Ok(admitted) => admitted,
                    Err(refused) => return Err(challenge.of_other(shared, refused).await),
                };
                let visitor = Self {
                    principal: Principal::Subject {
                        database: door.name().to_owned(),
                        subject: admitted.subject,
                    },
                    operator: admitted.operator,
                    service,
                    stays: Stays::Until(admitted.until),
                };
                Ok((visitor, None))
            }
            _ => match Self::with_token(service, &door.gate, door.name(), token).await {
                Ok((visitor, place)) => {
                    if let Some(connection) = parts.extensions.get::<Arc<Member>>() {
                        connection.is_known();
                    }
                    Ok((visitor, Some(place)))
                }
                Err(Refused::TooMany) => Err(Problem::too_many()),
                Err(Refused::Wrong) => {
                    tokio::time::sleep(shared.strangers.pause(Instant::now())).await;
                    let told = "the token is none, or it was revoked, or its time is over";
                    Err(challenge.unauthorized(told, Some("invalid_token")))
                }
                Err(Refused::TooFast(wait)) => Err(Problem::too_fast(wait)),
                Err(Refused::Unknown(error)) => Err(in_query(*error)),
            },
        }
    }

    /// Whether his client could get him a token with another scope, if it is told to.
    pub fn can_step_up(&self) -> bool {
        matches!(self.principal, Principal::Subject { .. })
    }

    /// Waits until his token lets nobody in any more: who has come in for long is shown out.
    pub async fn dismissed(&self) {
        match &self.stays {
            Stays::Always => std::future::pending().await,
            Stays::Until(end) => tokio::time::sleep_until((*end).into()).await,
            Stays::WhileLive(gate, token) => gate.dismissed(&self.service, *token).await,
        }
    }
}

/// Says where it is written who gives tokens (RFC 9728, section 5.1), and for what one is needed (RFC 6750, section 3).
#[derive(Debug, Clone, Copy)]
pub struct Challenge<'a> {
    /// The URL of the metadata.
    pub metadata: &'a str,
}

impl Challenge<'_> {
    fn unauthorized(self, told: &str, error: Option<&str>) -> Problem {
        let scopes: Vec<&str> = SCOPES.iter().map(|scope| scope.as_str()).collect();
        Problem::unauthorized_with(told, &self.header(error, &scopes.join(" ")))
    }

    /// A token with this scope would be let do it.
    pub fn needs(self, scope: Scope) -> Problem {
        let header = self.header(Some("insufficient_scope"), scope.as_str());
        Problem::forbidden(scope).challenging(&header)
    }

    fn header(self, error: Option<&str>, scopes: &str) -> String {
        let error = error.map(|error| format!(", error=\"{error}\"")).unwrap_or_default();
        let metadata = self.metadata;
        format!("Bearer realm=\"odoo-eventd\"{error}, scope=\"{scopes}\", resource_metadata=\"{metadata}\"")
    }

    async fn of_other(self, shared: &Shared, refused: oauth::Refused) -> Problem {
        match refused {
            oauth::Refused::Wrong(told) => {
                tokio::time::sleep(shared.strangers.pause(Instant::now())).await;
                self.unauthorized(&told, Some("invalid_token"))
            }
            oauth::Refused::MayNothing(told) => {
                let scopes: Vec<&str> = SCOPES.iter().map(|scope| scope.as_str()).collect();
                let header = self.header(Some("insufficient_scope"), &scopes.join(" "));
                Problem::new(StatusCode::FORBIDDEN, "forbidden", told).challenging(&header)
            }
            oauth::Refused::TooFast(wait) => Problem::too_fast(wait),
            oauth::Refused::Unknown => {
                Problem::unavailable("whether this token is right cannot be told now; the log of the service says why")
            }
        }
    }
}
