//! What Odoo says about its own data: models and fields ([`registry`]) what only its Python code knows
//! ([`known`]), and what Odoo tells of that when asked ([`pulled`]).

pub mod known;
pub(crate) mod nearest;
pub mod pulled;
pub mod registry;
mod whose_records;
