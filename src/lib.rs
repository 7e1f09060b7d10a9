//! odoo-eventd: signed webhooks for every create, write and unlink in an Odoo database.

pub mod backoff;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod demo;
pub mod domain;
pub mod error;
pub mod event;
pub mod http;
pub mod matching;
pub mod odoo;
pub mod ops;
pub mod payload;
pub mod pg;
pub mod signature;
pub mod subscription;
pub mod telemetry;
pub mod worker;

pub use error::{Error, Result};
