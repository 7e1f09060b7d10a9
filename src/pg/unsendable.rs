//! Deliveries for which there is no body: made, logged as failed, and over.

use deadpool_postgres::GenericClient;

use super::deliveries::{NewDelivery, array_text, failed};
use crate::Result;
use crate::payload::content::Unsendable;

/// Makes deliveries that failed before there was anything to send. One that was made already stays as it is.
///
/// # Errors
/// [`crate::Error::is_lease_lost`] when another instance leads; database errors.
pub async fn fail(client: &impl GenericClient, term: i64, deliveries: &[(NewDelivery, Unsendable)]) -> Result<()> {
    let of = |text: fn(&NewDelivery) -> &str| deliveries.iter().map(|(d, _)| text(d)).collect::<Vec<_>>();
    let statement = client
        .prepare_cached("select odoo_eventd.fail_unsendable($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
        .await
        .map_err(|e| failed("prepare noting what cannot be sent", e))?;
    client
        .execute(
            &statement,
            &[
                &term,
                &deliveries.iter().map(|(d, _)| d.event_id).collect::<Vec<_>>(),
                &deliveries.iter().map(|(d, _)| d.subscription_id).collect::<Vec<_>>(),
                &deliveries.iter().map(|(d, _)| d.part).collect::<Vec<_>>(),
                &deliveries.iter().map(|(d, _)| d.delivery_id).collect::<Vec<_>>(),
                &of(|d| &d.model),
                &of(|d| d.event_type),
                &deliveries
                    .iter()
                    .map(|(d, _)| array_text(&d.record_ids))
                    .collect::<Vec<_>>(),
                &deliveries.iter().map(|(_, u)| u.failure.as_str()).collect::<Vec<_>>(),
                &deliveries.iter().map(|(_, u)| u.detail.as_str()).collect::<Vec<_>>(),
            ],
        )
        .await
        .map_err(|e| failed("note what cannot be sent", e))?;
    Ok(())
}
