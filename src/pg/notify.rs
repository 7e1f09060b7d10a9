//! The channel on which writers ring and the service hears itself.

use tokio_postgres::Client;

use crate::{Error, Result};

/// Hears what is sent to the channel from now on, in this session.
///
/// # Errors
/// Database errors.
pub async fn listen(client: &Client) -> Result<()> {
    client
        .batch_execute("listen odoo_eventd")
        .await
        .map_err(|e| Error::database("listen", e))
}

/// Sends to the channel; without a `payload` it only asks the session for an answer.
///
/// # Errors
/// Database errors.
pub async fn beat(client: &Client, payload: Option<&str>) -> Result<()> {
    let sent = match payload {
        Some(payload) => {
            client
                .execute("select pg_catalog.pg_notify('odoo_eventd', $1)", &[&payload])
                .await
        }
        None => client.execute("select 1", &[]).await,
    };
    sent.map(drop).map_err(|e| Error::database("send a heartbeat", e))
}
