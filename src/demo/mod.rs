//! Everything the demonstration and the tests stand on: a throw-away PostgreSQL with Odoo-shaped tables.
//!
//! Nothing here runs in production. It lives in the library so that `odoo-eventd demo`, the tests and the benches start
//! the same server in the same way, and so that a stranger's `make test` needs no running database.

pub mod cluster;
pub mod programs;
pub mod scratch;

mod account;

pub use cluster::{Cluster, Durability, Options};

/// A small database that looks to a program as one of Odoo 18 does: the same metadata, types and relations, data of our own.
///
/// Runs as an ordinary role in an empty database, with psql or as one batch.
pub const ODOO_SHAPED: &str = include_str!("odoo_shaped.sql");
