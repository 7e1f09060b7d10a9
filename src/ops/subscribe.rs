//! Adding a subscription: looked at first, then written, so that nobody ever sees a row that is about to be refused.

use serde::Serialize;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::subscriptions;
use crate::http::guard::Guard;
use crate::preview;
use crate::subscription::draft::{self, Draft};
use crate::worker::admission;
use crate::worker::quarantine::Quarantine;
use crate::{Error, Result};

/// What became of a new subscription.
#[derive(Debug, Serialize)]
pub struct Subscribed {
    /// Its id.
    pub id: i32,
    /// Whether everything it needs is captured already; else its table is busy and the service goes on trying.
    pub captured: bool,
}

/// Adds a subscription and sets up capture for it, so that no change after this call is missed, whether the service runs or not.
///
/// # Errors
/// [`Error::is_usage`] when it cannot be served: then nothing was written. Database errors.
pub async fn subscribe(client: &Client, guard: &Guard, draft: &Draft) -> Result<Subscribed> {
    preview::resolve(client, guard, draft).await.map_err(not_added)?;
    let id: i32 = client
        .query_one("select odoo_eventd.add_subscription($1)", &[&draft.to_json()])
        .await
        .map_err(|e| not_added(refused_values(e, "add the subscription")))?
        .get(0);
    let looked = admission::refresh(client, None, &Quarantine::default()).await;
    let rows = subscriptions(client).await?;
    let row = rows.iter().find(|row| row["id"] == id);
    let text = |column: &str| row.and_then(|row| row[column].as_str());
    match (text("state"), looked) {
        (Some("ready"), _) => Ok(Subscribed { id, captured: true }),
        // What only making the triggers shows.
        (Some("invalid"), _) => {
            let reason = text("error").unwrap_or("it cannot be served").to_owned();
            remove(client, id).await?;
            Err(not_added(Error::usage(reason)))
        }
        (_, Ok(_)) => Ok(Subscribed { id, captured: false }),
        (_, Err(error)) => {
            remove(client, id).await?;
            Err(error)
        }
    }
}

pub(crate) fn not_added(error: Error) -> Error {
    match error.is_usage() {
        true => error.before("the subscription was not added"),
        false => error,
    }
}

/// CHECK constraints say what a column takes; their names read as facts, and their columns are the flags' names.
pub(crate) fn refused_values(error: tokio_postgres::Error, tried: &str) -> Error {
    let by_value = error.code().is_some_and(|code| {
        [
            &SqlState::CHECK_VIOLATION,
            &SqlState::INVALID_TEXT_REPRESENTATION,
            &SqlState::NOT_NULL_VIOLATION,
            &SqlState::INVALID_DATETIME_FORMAT,
        ]
        .contains(&code)
    });
    if !by_value {
        return Error::database(tried, error);
    }
    let Some(said) = error.as_db_error() else {
        return Error::usage(format!("cannot {tried}")).with_source(error);
    };
    let refused = match said.constraint() {
        None => Error::usage(said.message()),
        Some(constraint) => {
            let refused = Error::usage(format!("it must hold that {}", constraint.replace('_', " ")));
            match said.detail() {
                Some(rule) => refused.with_hint(format!("the table's rule is {rule}")),
                None => refused,
            }
        }
    };
    match said.column().and_then(draft::column) {
        Some(column) => refused.of(column),
        None => refused,
    }
}

async fn remove(client: &Client, id: i32) -> Result<()> {
    client
        .execute("select odoo_eventd.remove_subscription($1)", &[&id])
        .await
        .map_err(|e| Error::database(format_args!("remove subscription {id}"), e))?;
    Ok(())
}
