//! Who asks: an extractor that needs a scope, so that nothing of a request is looked at before it is known that he may ask it.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use tokio::sync::OwnedSemaphorePermit;

use super::Shared;
use super::door::Door;
use super::gate::Refused;
use super::problem::{Problem, in_query};
use crate::http::crowd::Member;
use crate::ops::Service;
use crate::ops::operator::{Operator, Scope};

/// What a caller needs.
pub trait Needs: Send + Sync + 'static {
    /// The scope.
    const SCOPE: Scope;
}

macro_rules! needs {
    ($($(#[$about:meta])* $name:ident = $scope:ident,)+) => {
        $(
            $(#[$about])*
            #[derive(Debug)]
            pub struct $name;

            impl Needs for $name {
                const SCOPE: Scope = Scope::$scope;
            }
        )+
    };
}

needs! {
    /// `subscriptions:read`.
    ReadsSubscriptions = SubscriptionsRead,
    /// `subscriptions:write`.
    WritesSubscriptions = SubscriptionsWrite,
    /// `deliveries:read`.
    ReadsDeliveries = DeliveriesRead,
    /// `deliveries:redeliver`.
    Redelivers = DeliveriesRedeliver,
    /// `events:read`.
    ReadsEvents = EventsRead,
}

/// Somebody who was let in, and may do what `N` is for.
#[derive(Debug)]
pub struct Caller<N> {
    /// His token's id.
    pub token: i32,
    /// Who he is.
    pub operator: Operator,
    /// The verbs of the database that he asks.
    pub service: Service,
    door: Arc<Door>,
    place: Option<OwnedSemaphorePermit>,
    needs: PhantomData<N>,
}

impl<N: Needs> FromRequestParts<Arc<Shared>> for Caller<N> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let token = bearer(&parts.headers).ok_or_else(|| {
            Problem::unauthorized(
                "a token is needed: Authorization: Bearer oet_..",
                "Bearer realm=\"odoo-eventd\"",
            )
        })?;
        let door = parts.extensions.get::<Arc<Door>>().cloned();
        let door = door.ok_or_else(|| Problem::not_found("there is no such database"))?;
        let service = door.service().await?;
        let admitted = match door.gate.admit(&service, token).await {
            Ok(admitted) => admitted,
            Err(Refused::Wrong) => {
                tokio::time::sleep(shared.strangers.pause(Instant::now())).await;
                return Err(Problem::dismissed());
            }
            Err(Refused::TooFast(wait)) => return Err(Problem::too_fast(wait)),
            Err(Refused::TooMany) => return Err(Problem::too_many()),
            Err(Refused::Unknown(error)) => return Err(in_query(*error)),
        };
        if let Some(connection) = parts.extensions.get::<Arc<Member>>() {
            connection.is_known();
        }
        if !admitted.operator.may(N::SCOPE) {
            return Err(Problem::forbidden(N::SCOPE));
        }
        Ok(Self {
            token: admitted.token,
            operator: admitted.operator,
            service,
            door,
            place: Some(admitted.place),
            needs: PhantomData,
        })
    }
}

impl<N> Caller<N> {
    /// As [`super::gate::Gate::dismissed`], with his token.
    pub async fn dismissed(&self) {
        self.door.gate.dismissed(&self.service, self.token).await;
    }

    /// His request has become a stream, which may last: it is counted as a connection, and not as a request any more.
    pub fn goes_on(&mut self) {
        self.place = None;
    }
}

/// The token of a request (RFC 6750, section 2.1); none where there is no header that has one.
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let said = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = said.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
