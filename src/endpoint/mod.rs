//! Where deliveries go: what a subscription may name, before anything is sent.
//!
//! [`guard`] decides which addresses may be called, [`headers`] and [`auth`] read what a subscription adds to a request, [`mask`] tells how
//! a URL is shown to people. Pure: [`crate::http`] sends.

pub mod auth;
pub mod guard;
pub mod headers;
pub mod mask;
