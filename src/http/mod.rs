//! The outbound side, which addresses may be called and how a request is made; and a receiver to develop against.
//!
//! [`guard`] decides, [`resolver`] enforces it on every name that is resolved, [`client`] makes one attempt over connections that `pool` keeps,
//! `dial` opens and `wire` counts, [`tls`] says whom it trusts, [`headers`] and [`auth`] what a subscription may add, [`mask`] how a URL is shown to people. [`server`] is what this program listens with, [`crowd`] whom it
//! lets in, and [`receiver`] a receiver to develop against.

pub mod auth;
pub mod client;
pub mod crowd;
mod dial;
pub mod guard;
pub mod headers;
pub mod mask;
pub mod odoo;
mod pool;
pub mod receiver;
pub mod resolver;
pub mod server;
pub mod tls;
mod wire;
