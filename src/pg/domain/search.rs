//! Which records satisfy a domain now: a plain read of the model's table.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::params::Params;
use super::sql::{Row, compile};
use crate::domain::check::TypedDomain;
use crate::{Error, Result};

/// The ids of the records that match now, ascending.
///
/// # Errors
/// A database error: the connection broke, the caller may not read the tables, or the evaluation was cut short.
pub async fn matching_ids(client: &Client, domain: &TypedDomain) -> Result<Vec<i64>> {
    let (sql, params) = statement(domain);
    let typed: Vec<(&(dyn ToSql + Sync), Type)> = params.as_sql().into_iter().zip(params.types()).collect();
    let rows = client
        .query_typed(&sql, &typed)
        .await
        .map_err(|e| Error::database(format!("evaluate the domain on {}", domain.model()), e))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How many records match now.
///
/// # Errors
/// As [`matching_ids`].
pub async fn count_matching(client: &Client, domain: &TypedDomain) -> Result<i64> {
    let (sql, params) = statement(domain);
    let typed: Vec<(&(dyn ToSql + Sync), Type)> = params.as_sql().into_iter().zip(params.types()).collect();
    let rows = client
        .query_typed(&format!("select pg_catalog.count(*) from ({sql}) matching"), &typed)
        .await
        .map_err(|e| Error::database(format!("count the records of {} that match", domain.model()), e))?;
    Ok(rows.first().map_or(0, |row| row.get(0)))
}

/// The newest of the records that match now, by its id.
///
/// # Errors
/// As [`matching_ids`].
pub async fn newest_matching(client: &Client, domain: &TypedDomain) -> Result<Option<i64>> {
    let (sql, params) = statement(domain);
    let typed: Vec<(&(dyn ToSql + Sync), Type)> = params.as_sql().into_iter().zip(params.types()).collect();
    let newest = format!("select matching.id from ({sql} desc limit 1) matching");
    let rows = client
        .query_typed(&newest, &typed)
        .await
        .map_err(|e| Error::database(format!("look for a record of {} that matches", domain.model()), e))?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// The statement that finds the matching ids, ascending, and its parameters.
pub(crate) fn statement(domain: &TypedDomain) -> (String, Params) {
    let mut params = Params::new();
    let condition = compile(domain, "record", &mut params, Row::Table);
    let table = domain.table().replace('"', "\"\"");
    (
        format!(
            "select record.id::pg_catalog.int8 from public.\"{table}\" record where {condition} order by record.id"
        ),
        params,
    )
}
