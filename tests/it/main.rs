//! The integration tests: one binary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(clippy::print_stderr, reason = "a test that was skipped says so")]
#![allow(unreachable_pub, reason = "the modules of one test binary have no outside")]

mod http;
mod receive;
mod signature;
mod support;
