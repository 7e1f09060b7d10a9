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

mod api;
mod architecture;
mod assistants;
mod attachments;
mod callbacks;
mod capture;
mod capture_upgrades;
mod cluster;
mod command_line;
mod contract;
mod deep;
mod delivery_options;
mod differential;
mod doctor;
mod documented;
mod domain_clock;
mod domain_properties;
mod domain_versions;
mod domains;
mod doorbell;
mod drift;
mod dry_run;
mod edits;
mod emit;
mod fairness;
mod faults;
mod feed;
mod fence;
mod fields_that_come;
mod fixture;
mod floods;
mod floor;
mod half_open;
mod harness;
mod hostile;
mod http;
mod install;
mod lanes;
mod large;
mod liveness;
mod looking;
mod main_job;
mod many_databases;
mod mcp;
mod odoo_values;
mod outbox;
mod outcomes;
mod packaging;
mod payload;
mod payload_failures;
mod payload_reads;
mod payloads;
mod pg_tls;
mod readme;
mod receive;
mod registry;
mod relations;
mod relations_gone;
mod requests;
mod retention;
mod rewritten;
mod rights;
mod safe_ddl;
mod secrets;
mod signature;
mod strangers;
mod support;
mod tls;
mod traces;
mod traffic;
mod troubles;
mod unprintable;
mod unprocessed;
mod unsent;
mod upgrade;
mod values;
mod views;
