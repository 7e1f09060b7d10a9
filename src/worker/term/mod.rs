//! Leading a database, or standing by: from connecting to the end of a term.
//!
//! [`supervisor`] holds the lead and runs the tasks of one term; [`listener`] is the session that holds it; an [`assistant`] delivers beside
//! another process that leads. [`high_water`] tells that the database has forgotten what was committed, [`eviction`] that somebody wants
//! it for himself, and [`fleet`] serves several within one [`budget`].

pub mod assistant;
pub mod budget;
pub(in crate::worker) mod eviction;
pub mod fleet;
pub mod high_water;
pub mod listener;
pub mod supervisor;
pub(in crate::worker) mod timeout;
