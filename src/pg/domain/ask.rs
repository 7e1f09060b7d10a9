//! Asks PostgreSQL what the domains of a model say of captured images.

use deadpool_postgres::GenericClient;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::judge::{Chunk, ImageColumns, Judge};
use crate::{Error, Result};

/// Judges `count` images: for each, the ids of the subscriptions whose domain it satisfies, ascending.
///
/// The statements are prepared once on each connection: their text depends on the subscriptions alone.
///
/// # Errors
/// A database error: the connection broke, a value is not of its column's type, a table changed, or may not be read.
pub async fn judge(
    client: &impl GenericClient,
    judge: &Judge,
    count: usize,
    images: &ImageColumns,
) -> Result<Vec<Vec<i64>>> {
    let mut matches = vec![Vec::new(); count];
    if count == 0 {
        return Ok(matches);
    }
    for chunk in judge.chunks() {
        for row in ask(client, judge, chunk, images).await? {
            let image = usize::try_from(row.get::<_, i64>(0)).unwrap_or_default();
            let Some(found) = matches.get_mut(image.wrapping_sub(1)) else {
                continue;
            };
            for place in row.get::<_, Vec<i32>>(1) {
                found.extend(chunk.subscriptions_at(place));
            }
        }
    }
    for found in &mut matches {
        found.sort_unstable();
    }
    Ok(matches)
}

async fn ask(
    client: &impl GenericClient,
    judge: &Judge,
    chunk: &Chunk,
    images: &ImageColumns,
) -> Result<Vec<tokio_postgres::Row>> {
    let statement = client
        .prepare_typed_cached(chunk.sql(), &judge.parameter_types(chunk))
        .await
        .map_err(|e| Error::database("prepare the domains of a model", e))?;
    let mut params: Vec<&(dyn ToSql + Sync)> = images.iter().map(|column| column as _).collect();
    params.extend(chunk.params().as_sql());
    client
        .query(&statement, &params)
        .await
        .map_err(|e| Error::database("judge captured rows", e))
}

/// The same, waiting for no lock. A statement that reads two tables waits for the second while it has the first: an upgrade of Odoo that
/// alters both the other way round would be a deadlock, of which PostgreSQL may choose Odoo's transaction to end.
///
/// # Errors
/// As [`judge`], and SQLSTATE 55P03 while somebody is altering a table that a domain looks at.
pub async fn judge_waiting_for_no_lock(
    client: &mut deadpool_postgres::Object,
    of: &Judge,
    count: usize,
    images: &ImageColumns,
) -> Result<Vec<Vec<i64>>> {
    let failed = |e| Error::database("begin to judge captured rows", e);
    // For the one transaction, which ends however this does.
    let transaction = client.transaction().await.map_err(failed)?;
    transaction
        .batch_execute("set local lock_timeout = '10ms'")
        .await
        .map_err(failed)?;
    let judged = judge(&transaction, of, count, images).await?;
    transaction.rollback().await.map_err(failed)?;
    Ok(judged)
}

/// Whether the session may read what the domains look at, beside the images themselves: runs the statements over no image.
///
/// # Errors
/// A database error; SQLSTATE 42501 names the table that may not be read; 55P03 while somebody is altering one.
pub async fn rehearse(client: &Client, judge: &Judge) -> Result<()> {
    let no_images: ImageColumns = vec![Vec::new(); judge.columns().len()];
    for chunk in judge.chunks() {
        let reading = async {
            let statement = client
                .prepare_typed(chunk.sql(), &judge.parameter_types(chunk))
                .await
                .map_err(|e| Error::database("prepare the domain", e))?;
            let mut params: Vec<&(dyn ToSql + Sync)> = no_images.iter().map(|column| column as _).collect();
            params.extend(chunk.params().as_sql());
            client
                .query(&statement, &params)
                .await
                .map_err(|e| Error::database("read what the domain looks at", e))
        };
        // The caller's own session: nobody else's statement runs between these.
        let failed = |e| Error::database("bound the wait for locks", e);
        client
            .batch_execute("set lock_timeout = '10ms'")
            .await
            .map_err(failed)?;
        let read = reading.await;
        client.batch_execute("reset lock_timeout").await.map_err(failed)?;
        read?;
    }
    Ok(())
}
