//! The outbound side: which addresses may be called, and how a request is made.
//!
//! [`guard`] decides, [`resolver`] enforces it on every name that is resolved, [`client`] makes one attempt, [`tls`] says whom it
//! trusts, [`headers`] what a subscription may add, [`mask`] how a URL is shown to people.

pub mod client;
pub mod guard;
pub mod headers;
pub mod mask;
pub mod resolver;
pub mod tls;
