//! What the tests stand on: databases and waiting.

pub(crate) mod db;
pub(crate) mod wait;

pub(crate) use db::{Database, Server};
pub(crate) use wait::eventually;
