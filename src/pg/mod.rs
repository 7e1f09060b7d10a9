//! The PostgreSQL edge.

pub mod registry;
