//! Domains as SQL: the printer, one statement for many domains, and asking PostgreSQL.
//!
//! * [`sql`] prints the plan of a domain that was checked. Identifiers come from the registry and are quoted; every value of the text is
//!   bound ([`params`]).
//! * [`judge`] puts many domains of one model into one statement over captured rows; [`ask`] runs it.
//! * [`search`] finds the records that satisfy a domain now.

pub mod ask;
pub mod judge;
pub mod params;
pub mod search;
pub mod sql;
