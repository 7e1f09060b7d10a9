//! The verbs on deliveries.

pub mod read;
pub mod redeliver;
