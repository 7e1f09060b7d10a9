//! Instances that deliver beside the one that leads, as the database knows them.

use tokio_postgres::Client;

use crate::{Error, Result};

/// Makes this session an assistant's, until it ends or [`end`]. Returns what stands for a term in what it claims; negative.
///
/// # Errors
/// Database errors.
pub async fn begin(session: &Client) -> Result<i64> {
    let row = session
        .query_one("select operator(pg_catalog.-) odoo_eventd.begin_assisting()", &[])
        .await
        .map_err(|e| Error::database("begin to assist", e))?;
    Ok(row.get(0))
}

/// Ends what [`begin`] began, on the same session.
///
/// # Errors
/// Database errors.
pub async fn end(session: &Client, term: i64) -> Result<()> {
    session
        .execute(
            "select odoo_eventd.end_assisting(operator(pg_catalog.-) $1::bigint)",
            &[&term],
        )
        .await
        .map_err(|e| Error::database("end assisting", e))?;
    Ok(())
}
