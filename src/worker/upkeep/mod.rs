//! Which subscriptions are served, and what has to be cleaned up.
//!
//! [`keeper`] has subscriptions looked at ([`admission`], `readable`, [`known_rows`]) and publishes them ([`subscription_set`]);
//! [`quarantine`] has those whose domain failed on a record's data, [`stats`] what their deliveries came to, [`secrets`] encrypts theirs.
//! [`sweeper`] and [`retention`] clear what is over; [`feed_tender`] keeps the feed within its limits.

pub mod admission;
pub mod feed_tender;
pub mod keeper;
pub mod known_rows;
pub mod quarantine;
mod readable;
pub mod retention;
pub mod secrets;
pub mod stats;
pub mod subscription_set;
pub mod sweeper;
