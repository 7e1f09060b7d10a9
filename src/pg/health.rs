//! What the database tells about an installation's health.

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_postgres::{Client, Row};

use crate::health::facts::{Examination, Measurement};
use crate::{Error, Result};

/// Looks at the database; cheap enough for every few seconds.
///
/// # Errors
/// Database errors.
pub async fn measure(client: &Client) -> Result<Measurement> {
    let row = client
        .query_one("select odoo_eventd.health()", &[])
        .await
        .map_err(|e| Error::database("measure the installation's health", e))?;
    told(&row)
}

/// Looks at everything that `doctor` judges.
///
/// # Errors
/// Database errors.
pub async fn examine(client: &Client) -> Result<Examination> {
    let row = client
        .query_one("select odoo_eventd.examine()", &[])
        .await
        .map_err(|e| Error::database("examine the installation", e))?;
    told(&row)
}

fn told<T: DeserializeOwned>(row: &Row) -> Result<T> {
    serde_json::from_value(row.get::<_, Value>(0))
        .map_err(|e| Error::other("the database told its health in an unknown way").with_source(e))
}
