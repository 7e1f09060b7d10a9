//! Deliveries to the callback URLs of single records: which records have one, and what it is at each attempt.
//!
//! A callback URL is a stranger's word: it came in from outside with the request that made the record. What follows from that is in
//! [`request`](crate::worker::deliver::request) (no headers and credentials of the subscription's, no signature with its secret) and in
//! [`Audience::Callback`](crate::http::client::Audience) (rules of its own for addresses, no client certificate).

use crate::pg::GenericClient;

use crate::Result;
use crate::matching::Assembled;
use crate::pg::callbacks::{self, Callback};
use crate::pg::deliveries::Claimed;
use crate::worker::upkeep::subscription_set::SubscriptionSet;

/// Leaves out what would go to the callback of a record that has none, unless it is fed to readers; the others come with theirs, in the
/// same order.
///
/// # Errors
/// Database errors.
pub async fn deliverable(
    client: &impl GenericClient,
    subscription_set: &SubscriptionSet,
    assembled: Vec<Assembled>,
) -> Result<Vec<(Assembled, Option<Callback>)>> {
    let wanted: Vec<(&str, i64)> = assembled
        .iter()
        .filter(|delivery| delivery.subscription.sends_to_callbacks())
        .map(|delivery| (delivery.subscription.row.model.as_str(), delivery.part))
        .collect();
    if wanted.is_empty() {
        return Ok(assembled.into_iter().map(|delivery| (delivery, None)).collect());
    }
    let found = callbacks::of_records(client, &wanted, subscription_set.keyring.as_deref()).await?;
    Ok(assembled
        .into_iter()
        .filter_map(|delivery| {
            if !delivery.subscription.sends_to_callbacks() {
                return Some((delivery, None));
            }
            let record = (delivery.subscription.row.model.clone(), delivery.part);
            // Several subscriptions, or several events, may tell of one record.
            let callback = found.get(&record).cloned();
            (callback.is_some() || delivery.subscription.is_fed()).then_some((delivery, callback))
        })
        .collect())
}

/// Gives attempts that go to callbacks the URL as it is now.
///
/// # Errors
/// Database errors.
pub async fn attach(
    client: &impl GenericClient,
    subscription_set: &SubscriptionSet,
    claimed: &mut [Claimed],
) -> Result<()> {
    let mut wanted = Vec::new();
    for (index, attempt) in claimed.iter().enumerate() {
        let subscription = subscription_set.sendable(attempt.subscription_id);
        // One that was made for several records, before its subscription sent to callbacks, is for nobody's callback.
        if let ([record], Some(true)) = (
            attempt.record_ids.as_slice(),
            subscription.map(|s| s.sends_to_callbacks()),
        ) {
            wanted.push((index, *record));
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let records: Vec<(&str, i64)> = wanted
        .iter()
        .map(|(index, record)| (claimed[*index].model.as_str(), *record))
        .collect();
    let found = callbacks::of_records(client, &records, subscription_set.keyring.as_deref()).await?;
    for (index, record) in wanted {
        let attempt = &mut claimed[index];
        attempt.callback = found.get(&(attempt.model.clone(), record)).cloned();
    }
    Ok(())
}
