//! What is sent: the default body, which fields travel with it, and other shapes.
//!
//! Pure: values have been read before, the text that comes out is what is signed.

pub mod body;
pub mod path;
pub mod transform;
mod sandbox;
pub mod template;
pub mod xml;
