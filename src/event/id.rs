//! Ids of events and deliveries: derived, so that reading the outbox again gives the same ones.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::EventType;

/// The id of an event: derived, so that reading the outbox again gives the same one.
///
/// A UUID of version 8 (RFC 9562): the transaction's time in milliseconds in the first 48 bits, so that ids sort by time and the
/// index of deliveries grows at one end; behind it a digest of install epoch, transaction id, model and type.
pub fn event_id(epoch: Uuid, xid: u64, model: &str, event_type: EventType, at: Timestamp) -> Uuid {
    let mut digest = Sha256::new();
    digest.update(epoch.as_bytes());
    digest.update(xid.to_be_bytes());
    digest.update([event_type as u8]);
    digest.update(model.as_bytes());
    timed_id(&at.as_millisecond().to_be_bytes()[2..], &digest.finalize())
}

/// The id of a delivery: of one event to one subscription, in one part. Derived like [`event_id`].
pub fn delivery_id(event_id: Uuid, subscription_id: i32, part: i64) -> Uuid {
    let mut digest = Sha256::new();
    digest.update(event_id.as_bytes());
    digest.update(subscription_id.to_be_bytes());
    digest.update(part.to_be_bytes());
    timed_id(&event_id.as_bytes()[..6], &digest.finalize())
}

/// The time in an id made by [`event_id`]: when the transaction began, by the database's clock, in milliseconds since 1970.
pub fn time_of_id(event_id: Uuid) -> i64 {
    let mut millisecond = [0_u8; 8];
    millisecond[2..].copy_from_slice(&event_id.as_bytes()[..6]);
    i64::from_be_bytes(millisecond)
}

/// The id of what a run of `odoo-eventd emit` sends through a subscription; derived like [`event_id`], and equal to none of those.
pub fn emitted_event_id(epoch: Uuid, subscription_id: i32, run: &str, started_at: Timestamp) -> Uuid {
    let mut digest = Sha256::new();
    digest.update(epoch.as_bytes());
    digest.update(b"emit");
    digest.update(subscription_id.to_be_bytes());
    digest.update(run.as_bytes());
    timed_id(&started_at.as_millisecond().to_be_bytes()[2..], &digest.finalize())
}

fn timed_id(time: &[u8], digest: &[u8]) -> Uuid {
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(time);
    bytes[6..].copy_from_slice(&digest[..10]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_are_derived_and_sort_by_time() {
        let epoch = Uuid::from_u128(1);
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let first = event_id(epoch, 10, "sale.order", EventType::Write, at(1_000));
        assert_eq!(first, event_id(epoch, 10, "sale.order", EventType::Write, at(1_000)));
        assert_ne!(
            first,
            event_id(Uuid::from_u128(2), 10, "sale.order", EventType::Write, at(1_000))
        );
        assert_ne!(first, event_id(epoch, 10, "sale.order", EventType::Create, at(1_000)));
        assert!(first < event_id(epoch, 9, "sale.order", EventType::Write, at(1_001)));
        assert_eq!(first.get_version_num(), 8);
    }
}
