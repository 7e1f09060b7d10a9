//! The integration tests: one binary, so one process, so one PostgreSQL server for all of them.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking, in its helpers too"
)]
#![allow(clippy::print_stderr, reason = "a test that was skipped says so")]
#![allow(unreachable_pub, reason = "the modules of one test binary have no outside")]

mod http;
mod receive;
mod signature;
mod support;
mod tls;
