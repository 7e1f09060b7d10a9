//! odoo-eventd: signed webhooks for every create, write and unlink in an Odoo database.

pub mod cli;
pub mod domain;
pub mod error;
pub mod odoo;
pub mod pg;

pub use error::{Error, Result};
