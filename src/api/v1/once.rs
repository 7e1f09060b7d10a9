//! `Idempotency-Key`: a request that comes again is answered again, and not done again.

use axum::http::{HeaderMap, HeaderName, StatusCode};
use sha2::{Digest, Sha256};
use utoipa::IntoParams;

use crate::api::caller::{Caller, WritesSubscriptions};
use crate::api::problem::{Fault, Problem};
use crate::ops::subscriptions::once::Once;
use crate::ops::subscriptions::read::Versioned;
use crate::pg::answered_requests::RequestKey;
use crate::subscription::Draft;

/// Says that an answer is one that was given before.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The header.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents the header; it is read from the headers")]
pub struct KeyHeader {
    /// 1 to 255 visible characters of your choice: the same request with the same key makes one subscription within 24 hours.
    #[param(rename = "Idempotency-Key", value_type = String, required = false, min_length = 1, max_length = 255, pattern = "^[!-~]+$")]
    idempotency_key: Option<String>,
}

/// Adds a subscription, once for a key where the request has one. Also says whether it was there before.
///
/// # Errors
/// 409 while the first request with the key is under way; 422 where the key belongs to another request.
pub async fn create(
    caller: &Caller<WritesSubscriptions>,
    headers: &HeaderMap,
    body: &[u8],
    draft: Draft,
) -> Result<(Versioned, bool), Problem> {
    let Some(key) = headers.get(KEY) else {
        let created = Box::pin(caller.service.create_subscription(&caller.operator, draft)).await?;
        return Ok((created.row, false));
    };
    let about_key = |detail: &str| Fault::at("header:idempotency-key", detail);
    let key = key.to_str().unwrap_or_default();
    if !(1..=255).contains(&key.len()) || !key.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Problem::unreadable(about_key(
            "a key has 1 to 255 visible characters of ASCII",
        )));
    }
    let request = RequestKey {
        token: caller.token,
        key,
        digest: &Sha256::digest(body),
    };
    let once = Box::pin(
        caller
            .service
            .create_subscription_once(&caller.operator, request, draft),
    );
    match once.await? {
        Once::Made(row) => Ok((row, false)),
        Once::Repeated(row) => Ok((row, true)),
        Once::UnderWay => Err(Problem::new(
            StatusCode::CONFLICT,
            "under-way",
            "the first request with this key is not answered yet",
        )
        .retry_after(1)),
        Once::OtherRequest => {
            let detail = "this key was used for another request";
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", detail).with(vec![about_key(detail)]))
        }
    }
}
