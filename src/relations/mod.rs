//! Fields that are kept elsewhere than in a column of their own: many2many, one2many, and those inherited through `_inherits`.
//!
//! Pure. A [`Watch`] tells where changes of such a field show and how a changed row there names the records; [`Touched`] gathers,
//! over the rows of one transaction, which records had such a field changed. What is left to the caller is what only the database
//! knows: which records inherit from a parent, and what the records look like.
//!
//! | field | shows in | is changed when |
//! | --- | --- | --- |
//! | many2many | its relation table | the transaction added a link or removed one, all its statements taken together |
//! | one2many | the children's table | a child joined (also by its creation), left (also by its unlink) or changed its parent: both parents' |
//! | inherited | the parent's table, or where the parent's own field shows | the parent's field is |
//!
//! The domain in an x2many field's own declaration narrows nothing here: a line of any kind that joins an order changes `order_line`
//! and every other one2many with the same inverse. A record that is linked to another parent of `_inherits` has its link
//! changed, not the fields that come through it.

mod touched;
mod watch;

#[cfg(test)]
mod tests;

pub use touched::{AtHome, ChangedElsewhere, Derivation, Derivations, Touched, attach};
pub use watch::{Need, Rule, Source, Step, Watch};
