//! The verbs on subscriptions.

pub mod assisted;
pub mod bulk;
pub mod change;
pub mod create;
pub mod history;
mod masks;
pub mod once;
pub mod preview;
pub mod read;
pub mod remove;
pub mod sample;
pub mod search;
pub mod secret;
pub mod test;
