//! The integration tests: one binary, so one process, so one PostgreSQL server for all of them.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking, in its helpers too"
)]
#![allow(
    clippy::print_stderr,
    reason = "a skipped test says why; cargo keeps the output with the test"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test's tasks end with its runtime; no supervisor watches them"
)]
#![allow(unreachable_pub, reason = "the modules of one test binary have no outside")]

mod capture;
mod capture_upgrades;
mod cluster;
mod doctor;
mod domains;
mod fixture;
mod harness;
mod http;
mod install;
mod liveness;
mod main_job;
mod packaging;
mod payload;
mod pg_tls;
mod receive;
mod registry;
mod retention;
mod signature;
mod support;
mod tls;
mod traces;
