//! The `odoo-eventd` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    odoo_eventd::cli::main()
}
