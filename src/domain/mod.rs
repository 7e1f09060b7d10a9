//! Odoo's filter language: text to tree to SQL, exactly as Odoo's own ORM means it on the database at hand.
//!
//! ```text
//!  text --parse--> ast::Domain --check(registry, context)--> check::TypedDomain --sql--> boolean SQL over a row + bound values
//! ```
//!
//! * [`parse`] reads Python literals and JSON, with the few names Odoo allows in stored filters ([`expr`]); nothing is ever
//!   executed, and [`parse::Limits`] bound size and depth.
//! * [`check`] resolves every name against the registry and lowers each leaf to what Odoo's SQL would do ([`plan`]); what
//!   cannot be decided exactly is refused with a [`DomainError`], a caret and a hint. Right or refused.
//! * [`sql`] prints the plan. Identifiers come from the registry and are quoted; every value of the text is bound.
//! * [`judge`] puts many domains of one model into one statement over captured rows.

pub mod ast;
mod build;
pub mod check;
mod error;
pub mod expr;
pub mod judge;
mod lexer;
pub mod params;
pub mod parse;
pub mod plan;
pub mod python;
pub mod sql;
mod tables;

pub use error::{DomainError, Span};
