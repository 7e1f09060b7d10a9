//! Leading a database, or standing by: from connecting to the end of a term.
//!
//! [`supervisor`] runs the `tasks` of one term, having taken the `lead`; [`listener`] is the session that holds it; an [`assistant`] delivers beside
//! another process that leads. [`high_water`] tells that the database has forgotten what was committed, [`eviction`] that somebody wants
//! it for himself, and [`fleet`] serves several within one [`budget`].

pub mod assistant;
pub mod budget;
pub(in crate::worker) mod eviction;
pub mod fleet;
pub mod high_water;
mod lead;
pub mod listener;
pub mod supervisor;
mod tasks;
pub(in crate::worker) mod timeout;
