//! odoo-eventd: signed webhooks for every create, write and unlink in an Odoo database.

pub mod backoff;
pub mod cli;
pub mod delivery;
pub mod error;
pub mod http;
pub mod payload;
pub mod signature;

pub use error::{Error, Result};
