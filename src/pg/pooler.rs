//! Finds out whether something between us and the server hands sessions around.
//!
//! A pooler in transaction mode gives each transaction whichever server session is free: locks, LISTEN, settings and prepared statements
//! are then somebody else's. It does not say so. Three things give it away: a setting of one connection is seen by another; a
//! connection loses its own setting while another is in a transaction; a notification to oneself does not arrive.

use std::time::Duration;

use super::connect::Database;
use super::sqlstate::POOLER;
use crate::{Error, Result};

/// How long a notification to oneself may take.
const NOTIFICATION_WITHIN: Duration = Duration::from_secs(5);

/// Sessions that are held at once. A pool has few that are free.
const HOLDERS: usize = 4;

/// A setting of ours that nothing reads.
const PROBE: &str = "odoo_eventd.pooler_probe";

/// What was found between us and the server, in a sentence; `None` = sessions are sessions.
///
/// # Errors
/// Database errors; those that only a pooler causes are a finding.
pub async fn find(database: &Database) -> Result<Option<&'static str>> {
    match look(database).await {
        Err(error) if error.means(POOLER) => Ok(Some(TRANSACTION_MODE)),
        found => found,
    }
}

/// What [`find`] says of it.
pub const TRANSACTION_MODE: &str = "a pooler in transaction mode is in between: connections do not keep their sessions";

async fn look(database: &Database) -> Result<Option<&'static str>> {
    let first = database.connect().await?;
    let failed = |e| Error::database("look for a pooler", e);
    let seen = async |client: &tokio_postgres::Client| -> Result<Option<String>> {
        let rows = client
            .simple_query(&format!("select pg_catalog.current_setting('{PROBE}', true)"))
            .await
            .map_err(failed)?;
        Ok(rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                row.get(0).filter(|value| !value.is_empty()).map(str::to_owned)
            }
            _ => None,
        }))
    };
    let mark = uuid::Uuid::new_v4().to_string();
    first
        .batch_execute(&format!("set {PROBE} = '{mark}'"))
        .await
        .map_err(failed)?;
    // While these transactions are open they hold server sessions; one of them the one that was free last, which is the first's.
    let mut holders = Vec::new();
    let mut leaked = false;
    for _ in 0..HOLDERS {
        let holder = database.connect().await?;
        holder.batch_execute("begin").await.map_err(failed)?;
        leaked |= seen(&holder).await?.as_ref() == Some(&mark);
        holders.push(holder);
    }
    let lost = seen(&first).await?.as_ref() != Some(&mark);
    for holder in &holders {
        holder
            .batch_execute(&format!("commit; reset {PROBE}"))
            .await
            .map_err(failed)?;
    }
    if leaked || lost {
        return Ok(Some(TRANSACTION_MODE));
    }
    drop((first, holders));
    let (session, mut notifications) = database.connect_lead().await?;
    // A channel of its own: nobody else is woken.
    session
        .batch_execute("listen odoo_eventd_doctor; notify odoo_eventd_doctor, 'probe'")
        .await
        .map_err(|e| Error::database("listen", e))?;
    match tokio::time::timeout(NOTIFICATION_WITHIN, notifications.recv()).await {
        Ok(Some(Ok(_))) => Ok(None),
        Ok(Some(Err(error))) => Err(error),
        Ok(None) | Err(_) => Ok(Some(
            "a notification to ourselves did not arrive: something in between swallows them",
        )),
    }
}
