//! What a search does to a domain before and after its leaves: hidden records, and domains that are false at a glance.

use super::super::ast::{Domain, Leaf, Operator, Spans, Value};
use super::super::error::DomainError;
use super::super::plan::{Plan, Scalar};
use super::Checker;
use crate::odoo::known;
use crate::odoo::registry::Model;

impl Checker<'_> {
    /// A whole domain as Odoo's `_search` asks it of a model.
    pub(super) fn search(&self, model: &Model, domain: &Domain, depth: usize) -> Result<Plan, DomainError> {
        if is_refused_constant(self.version, &model.name, domain) {
            return Err(DomainError::new(format!(
                "Odoo {} fails on a constant in a domain of {}",
                self.version, model.name
            ))
            .hint("leave (0, '=', 1) and (1, '=', 1) out"));
        }
        let plan = self.lower(model, domain, false, depth)?;
        let plan = self.visible(model, mentions(domain, &["id", "res_field"]), plan, Spans::default())?;
        // Up to 18 a look at the operators alone may say that nothing can match, and then nothing does.
        Ok(match self.version < 19 && truth_at_a_glance(domain) < 0 {
            true => Plan::FALSE,
            false => plan,
        })
    }

    /// 19 makes one list of all lists about a field that stand side by side, by set operations in which the empty text and False are two
    /// values, and only then takes both for none.
    pub(super) fn expect_unmerged(&self, model: &Model, domain: &Domain) -> Result<(), DomainError> {
        let (Domain::And(items) | Domain::Or(items)) = domain else {
            return Ok(());
        };
        if self.version < 19 {
            return Ok(());
        }
        let lists: Vec<(&Leaf, bool, bool)> = items.iter().filter_map(as_list).collect();
        for (leaf, has_empty, _) in &lists {
            let other = lists.iter().find(|(other, _, has_false)| {
                *has_empty && *has_false && other.path == leaf.path && !std::ptr::eq(*other, *leaf)
            });
            if other.is_some() {
                return Err(DomainError::new(format!(
                    "Odoo 19 joins what is asked of {} of {}, and takes '' and False for two values there",
                    leaf.path, model.name
                ))
                .at(leaf.spans.value)
                .hint("write False in both places"));
            }
        }
        Ok(())
    }

    /// Which of the records of `plan` a search on the model shows; `is_asked` says that the domain speaks of the fields by which
    /// the model hides records.
    pub(super) fn visible(&self, model: &Model, is_asked: bool, plan: Plan, spans: Spans) -> Result<Plan, DomainError> {
        if !known::has_hidden_records(&model.name) {
            return Ok(plan);
        }
        // Files of binary fields are left out, unless the domain speaks of `id` or `res_field`.
        let marker = model
            .field("res_field")
            .filter(|_| model.name == "ir.attachment")
            .ok_or_else(|| {
                DomainError::new(format!(
                    "searching {} is not supported: Odoo hides some of its records",
                    model.name
                ))
                .at(spans.path)
                .hint("compare with ids")
            })?;
        if is_asked {
            return Ok(plan);
        }
        let Scalar::Column(column) = self.scalar(model, marker, spans)? else {
            return Ok(plan);
        };
        let marker = Scalar::Column(column);
        let mut shown = Plan::IsNull(marker.clone());
        if self.version >= 18 {
            shown = Plan::any(vec![shown, empty(marker)]);
        }
        Ok(Plan::all(vec![shown, plan]))
    }
}

fn empty(left: Scalar) -> Plan {
    Plan::Compare {
        left,
        operator: super::super::plan::Comparison::Eq,
        right: super::super::plan::Bound::Text(String::new()),
    }
}

/// Whether a leaf of the domain itself, not of a sub-domain, is about one of these fields.
pub(super) fn mentions(domain: &Domain, fields: &[&str]) -> bool {
    match domain {
        Domain::Const(_) => false,
        Domain::Leaf(leaf) => fields.contains(&leaf.path.as_str()),
        Domain::Not(inner) => mentions(inner, fields),
        Domain::And(items) | Domain::Or(items) => items.iter().any(|item| mentions(item, fields)),
    }
}

/// Whether a leaf of the domain itself compares `id` with 0.
pub(super) fn mentions_zero_id(domain: &Domain) -> bool {
    match domain {
        Domain::Const(_) => false,
        Domain::Leaf(leaf) if leaf.path == "id" => match &leaf.value {
            Value::List(items) => items.contains(&Value::Int(0)),
            value => *value == Value::Int(0),
        },
        Domain::Leaf(_) => false,
        Domain::Not(inner) => mentions_zero_id(inner),
        Domain::And(items) | Domain::Or(items) => items.iter().any(mentions_zero_id),
    }
}

/// A leaf that becomes a list in 19, and whether the empty text and False are in it.
fn as_list(domain: &Domain) -> Option<(&Leaf, bool, bool)> {
    let leaf = match domain {
        Domain::Leaf(leaf) => leaf,
        Domain::Not(inner) => return as_list(inner),
        _ => return None,
    };
    let is_empty = |value: &Value| matches!(value, Value::Str(text) if text.is_empty());
    let is_false = |value: &Value| matches!(value, Value::Bool(false) | Value::None);
    Some(match (&leaf.value, leaf.operator) {
        (Value::List(items), _) => (
            leaf,
            items.iter().any(is_empty),
            items.iter().any(is_false) || items.is_empty(),
        ),
        // A pattern of nothing asks for False.
        (value, operator) if operator.is_pattern() => (leaf, false, is_empty(value) || is_false(value)),
        (value, _) => (leaf, is_empty(value), is_false(value)),
    })
}

/// Odoo's `is_false` up to 18, in three values: 1 is true, -1 false, 0 unknown. `in []` is false and `not in []` true, whatever
/// the path; `!` turns both round, although records without a link satisfy neither `a.b in []` nor its negation.
fn truth_at_a_glance(domain: &Domain) -> i8 {
    match domain {
        Domain::Const(true) => 1,
        Domain::Const(false) => -1,
        Domain::Not(inner) => -truth_at_a_glance(inner),
        Domain::And(items) => items.iter().map(truth_at_a_glance).min().unwrap_or(1),
        Domain::Or(items) => items.iter().map(truth_at_a_glance).max().unwrap_or(-1),
        Domain::Leaf(leaf) => match (leaf.operator, &leaf.value) {
            (Operator::In, Value::List(items)) if items.is_empty() => -1,
            (Operator::NotIn, Value::List(items)) if items.is_empty() => 1,
            _ => 0,
        },
    }
}

/// `stock.quant` of 17 and 18 looks for a dot in the field of each leaf, and a constant has a number there.
fn is_refused_constant(version: u16, model: &str, domain: &Domain) -> bool {
    fn has_constant(domain: &Domain) -> bool {
        match domain {
            Domain::Const(_) => true,
            Domain::Leaf(_) => false,
            Domain::Not(inner) => has_constant(inner),
            Domain::And(items) | Domain::Or(items) => items.iter().any(has_constant),
        }
    }
    // The empty domain is no constant.
    matches!(version, 17 | 18) && model == "stock.quant" && *domain != Domain::Const(true) && has_constant(domain)
}
