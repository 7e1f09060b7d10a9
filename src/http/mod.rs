//! The outbound side: how a request is made to an endpoint whose address may be called; and a receiver to develop against.
//!
//! [`resolver`] enforces the [guard](crate::endpoint::guard) on every name that is resolved, [`client`] makes one attempt over connections
//! that `pool` keeps, `dial` opens and `wire` counts, [`tls`] says whom it trusts. [`server`] is what this program listens
//! with, [`crowd`] whom that lets in, and [`receiver`] the other end of a request.

pub mod client;
pub mod crowd;
mod dial;
pub mod odoo;
mod pool;
pub mod receiver;
pub mod resolver;
pub mod server;
pub mod tls;
mod wire;
