//! From deliveries to attempts, and what came of them.
//!
//! [`deliverer`] sends what [`slots`] has room for: what is handed to it, and what waits in the database ([`backlog`]); [`request`] makes
//! the request, [`callbacks`] knows the URLs of single records, [`recorder`] writes the results. [`in_flight`] tells what was sent from what
//! was only claimed, when a term ends in between.

pub mod backlog;
pub mod callbacks;
pub mod deliverer;
pub mod in_flight;
pub mod recorder;
pub mod request;
pub mod slots;
