//! What the tests stand on: databases, a scripted receiver, other processes, and waiting.

pub mod bouncer;
pub mod client;
pub(crate) mod db;
pub mod delivery;
pub mod documents;
pub mod http2;
pub mod pages;
pub(crate) mod process;
pub mod program;
pub mod proxy;
pub mod receiver;
pub mod service;
pub mod tmpfs;
pub(crate) mod wait;

pub(crate) use db::{Database, Server, odoo_data};
pub(crate) use wait::eventually;
