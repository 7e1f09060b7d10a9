//! The `odoo-eventd` program.

fn main() {}
