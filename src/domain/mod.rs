//! Odoo's filter language: text to tree to plan, exactly as Odoo's own ORM means it on the database at hand.
//!
//! ```text
//!  text --parse--> ast::Domain --check(registry, context)--> check::TypedDomain --pg::domain--> boolean SQL over a row + bound values
//! ```
//!
//! * [`parse`] reads Python literals and JSON, with the few names Odoo allows in stored filters ([`expr`]); nothing is ever
//!   executed, and [`parse::Limits`] bound size and depth.
//! * [`check`] resolves every name against the registry and lowers each leaf to what Odoo's SQL would do ([`plan`]); what
//!   cannot be decided exactly is refused with a [`DomainError`], a caret and a hint. Right or refused.
//! * [`image`] tells which columns of a captured row domains look at.
//!
//! PostgreSQL evaluates the plan; [`crate::pg::domain`] prints it as SQL.

pub mod ast;
mod build;
pub mod check;
mod error;
pub mod expr;
pub mod image;
mod lexer;
pub mod parse;
pub mod plan;
pub mod python;
mod tables;

pub use error::{DomainError, Span};
