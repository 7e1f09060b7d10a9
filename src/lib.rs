//! odoo-eventd: signed webhooks for every create, write and unlink in an Odoo database.

pub mod backoff;
pub mod delivery;
pub mod demo;
pub mod error;
pub mod event;
pub mod http;
pub mod pg;
pub mod signature;
pub mod worker;

pub use error::{Error, Result};
