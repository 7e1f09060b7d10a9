//! odoo-eventd: signed webhooks for every create, write and unlink in an Odoo database.

pub mod demo;
pub mod error;

pub use error::{Error, Result};
