//! What is sent: the default body, which fields travel with it, and other shapes.
//!
//! ```text
//!  paths --path--> Selection --plan(registry)--> Plan --worker::bodies reads--> fill --> body --template, xml--> bytes
//! ```
//!
//! Pure: values have been read before, the text that comes out is what is signed.

pub mod body;
mod build;
mod chat;
pub mod content;
mod decimal;
pub mod fill;
pub mod path;
pub mod plan;
mod sandbox;
pub mod template;
pub mod transform;
pub mod value;
pub mod xml;
