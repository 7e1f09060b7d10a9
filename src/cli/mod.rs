//! The command line: one file per command.

pub mod receive;
pub mod secret;
pub mod verify;
