//! The wall of models: what an operator who is bound to some may have read for him.
//!
//! Odoo's record rules do not apply to what a trigger tells, so this is the only wall there is. A model's own fields are its columns, the
//! ids of its relations, and what it inherits through `_inherits`; a path that leads on, or a condition on related records, reads another
//! model. What is refused never names it: whoever checks a domain or a path is told by [`crate::domain::check::Context::models`] how far he
//! may go, and says nothing of what lies beyond. Which subscriptions are his to see is decided by what they read, in
//! `sql/functions/operators.sql`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::operator::Operator;
use crate::odoo::registry::Registry;

impl Operator {
    /// The models whose records may be read for him: his own and those that they inherit from; none = all.
    pub(super) fn readable_models(&self, registry: &Registry) -> Option<Arc<BTreeSet<String>>> {
        let mut models = self.models()?.clone();
        let mut left: Vec<String> = models.iter().cloned().collect();
        while let Some(name) = left.pop() {
            for parent in registry.model(&name).into_iter().flat_map(|model| &model.inherits) {
                if models.insert(parent.parent.clone()) {
                    left.push(parent.parent.clone());
                }
            }
        }
        Some(Arc::new(models))
    }
}
