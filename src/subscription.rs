//! Subscriptions: who wants to hear of which changes, and where to.
//!
//! Pure. [`Subscription`] is the row as it was stored; [`Draft`] is what somebody says of one; [`ResolvedSubscription`] is what came out of looking at
//! a row against Odoo's metadata: the columns that have to be captured for it and the domain in a form that can be judged. What cannot be
//! done exactly is refused with a sentence (SPEC 3.9).

pub mod bounds;
mod check;
pub mod choices;
pub mod draft;
pub mod patch;
mod reach;
pub mod refusal;
mod resolved;
mod row;
pub mod view;

pub use check::{known_model, refused_domain, why_not_watched};
pub use choices::TriggerMode;
pub use draft::Draft;
pub use patch::Patch;
pub use reach::Reach;
pub use refusal::Refusal;
pub use resolved::ResolvedSubscription;
pub use row::{MASK, Redacted, Subscription};
pub use view::View;
