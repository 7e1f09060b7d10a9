//! From the outbox to deliveries.
//!
//! [`dispatcher`] reads the outbox and commits deliveries: `related_changes` brings it what showed in other tables, [`judging`] asks the
//! domains, [`payload_loader`] makes what is carried, [`feeding`] takes out what readers get, [`large`] goes through a transaction that is larger than a page. [`behind`] tells
//! what can be matched with a set of subscriptions that is older than an edit, and [`wake`] is the doorbell between writers and the
//! dispatcher.

pub mod behind;
pub mod dispatcher;
pub mod feeding;
pub mod judging;
pub mod large;
pub(in crate::worker) mod parents;
pub mod payload_loader;
pub(in crate::worker) mod related_changes;
pub mod wake;
