//! Requests with an Idempotency-Key: `sql/functions/answered_requests.sql`.

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Client;

use crate::{Error, Result};

/// Whose key, which, and what was asked with it.
#[derive(Debug, Clone, Copy)]
pub struct RequestKey<'a> {
    /// The token.
    pub token: i32,
    /// The key.
    pub key: &'a str,
    /// SHA-256 of the request.
    pub digest: &'a [u8],
}

/// A request that was claimed: nobody else does it, until that was so long ago that whoever claimed it must have died.
#[derive(Debug, Clone, Copy)]
pub struct Claimed<'a> {
    /// The request.
    pub request: RequestKey<'a>,
    /// When it was claimed, which tells this claim from a later one.
    pub at: Timestamp,
}

/// What is known of a request.
#[derive(Debug)]
pub enum Claim {
    /// Nothing: it is the caller's to do, and to settle by this.
    Claimed(Timestamp),
    /// It was done.
    Answered {
        /// The subscription that it made.
        subscription: Option<i32>,
        /// What was answered; none where whoever did it died before he could.
        answer: Option<Value>,
    },
    /// Somebody does it.
    UnderWay,
    /// Its key belongs to another request.
    Other,
}

/// Claims a request, or tells what became of it.
///
/// # Errors
/// Database errors.
pub async fn claim(client: &Client, request: RequestKey<'_>) -> Result<Claim> {
    let row = client
        .query_one(
            "select outcome, claim, subscription_id, answer from odoo_eventd.claim_request($1, $2, $3)",
            &[&request.token, &request.key, &request.digest],
        )
        .await
        .map_err(|e| Error::database("look whether the request was answered already", e))?;
    match row.get::<_, &str>(0) {
        "claimed" => Ok(Claim::Claimed(row.get(1))),
        "answered" => Ok(Claim::Answered {
            subscription: row.get(2),
            answer: row.get(3),
        }),
        "under_way" => Ok(Claim::UnderWay),
        "other" => Ok(Claim::Other),
        other => Err(Error::other(format!("the database answered \"{other}\""))),
    }
}

/// Keeps the answer of a claimed request; with none its key is free again, unless it has made something.
///
/// # Errors
/// Database errors.
pub async fn settle(client: &Client, claimed: Claimed<'_>, answer: Option<&Value>) -> Result<()> {
    client
        .execute(
            "select odoo_eventd.settle_request($1, $2, $3, $4)",
            &[&claimed.request.token, &claimed.request.key, &claimed.at, &answer],
        )
        .await
        .map_err(|e| Error::database("keep the answer of the request", e))?;
    Ok(())
}
