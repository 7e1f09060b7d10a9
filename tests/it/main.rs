//! The integration tests: one binary, so one process, so one PostgreSQL server for all of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking, in its helpers too")]

mod cluster;
