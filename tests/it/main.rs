//! The integration tests: one binary.

mod domains;
