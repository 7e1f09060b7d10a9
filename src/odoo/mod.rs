//! What Odoo says about its own data: models and fields ([`registry`]) and what only its Python code knows ([`known`]).

pub mod known;
pub mod registry;
