//! What Odoo told about its fields over RPC (`fields_get`), reduced to what no table of the database tells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::known::{Digits, FieldDomain};
use crate::domain::ast::{Domain, Leaf, Operator, Value as Term};
use crate::domain::parse::parse;

/// The facts of all models asked, by model and field.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pulled {
    models: BTreeMap<String, BTreeMap<String, Facts>>,
}

/// The facts of one field; what does not apply is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Facts {
    /// one2many and many2many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    domain: Option<Declared>,
    /// one2many and many2many: what the field's own context says of archived records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    active_test: Option<bool>,
    /// Stored floats with a numeric column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digits: Option<Rounding>,
    /// Fields that are not stored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    depends: Vec<String>,
}

/// The domain in a field's declaration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Declared {
    /// None, or one for the web client alone.
    None,
    /// One that the ORM applies: as JSON, or a text as Python writes it.
    Applied(Value),
    /// It cannot be told which of both it is.
    Unclear,
}

/// How values are rounded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Rounding {
    Unrounded,
    Decimals(u32),
}

/// The attributes of a field to ask `fields_get` for.
pub const ATTRIBUTES: [&str; 6] = ["type", "domain", "context", "digits", "depends", "store"];

impl Pulled {
    /// Takes in the answer of `fields_get` for one model.
    pub fn add(&mut self, model: &str, answer: &Value) {
        let fields = answer.as_object().into_iter().flatten();
        let facts: BTreeMap<String, Facts> = fields
            .filter_map(|(name, field)| Some((name.clone(), Facts::of(field, model)?)))
            .collect();
        self.models.insert(model.to_owned(), facts);
    }

    /// How many models were asked.
    pub fn len(&self) -> usize {
        self.models.len()
    }

    /// True before the first.
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    fn field(&self, model: &str, field: &str) -> Option<&Facts> {
        self.models.get(model)?.get(field)
    }

    /// The domain of an x2many field; none if Odoo was not asked about it.
    pub fn x2many_domain(&self, model: &str, field: &str) -> Option<FieldDomain> {
        self.field(model, field)?
            .domain
            .as_ref()
            .map(|declared| match declared {
                Declared::None => FieldDomain::None,
                Declared::Applied(Value::String(text)) => FieldDomain::Json(text.clone()),
                Declared::Applied(domain) => FieldDomain::Json(domain.to_string()),
                Declared::Unclear => FieldDomain::Unknown,
            })
    }

    /// What an x2many field's own context says of archived records; none if nothing, or if Odoo was not asked about it.
    pub fn active_test(&self, model: &str, field: &str) -> Option<bool> {
        self.field(model, field)?.active_test
    }

    /// How a float field rounds; none if Odoo was not asked about it.
    pub fn digits(&self, model: &str, field: &str) -> Option<Digits> {
        self.field(model, field)?.digits.map(|rounding| match rounding {
            Rounding::Unrounded => Digits::Unrounded,
            Rounding::Decimals(scale) => Digits::Scale(scale),
        })
    }

    /// What a field that is not stored is computed from; none if Odoo was not asked about it.
    pub fn depends(&self, model: &str, field: &str) -> Option<&[String]> {
        self.field(model, field)
            .map(|facts| facts.depends.as_slice())
            .filter(|paths| !paths.is_empty())
    }
}

impl Facts {
    /// The facts of one field of an answer; none if the database tells all there is.
    fn of(field: &Value, model: &str) -> Option<Self> {
        let mut facts = Self::default();
        let is_stored = field.get("store") == Some(&Value::Bool(true));
        match field.get("type").and_then(Value::as_str)? {
            "one2many" | "many2many" => {
                facts.domain = Some(declared(field.get("domain"), model));
                let context = field.get("context").and_then(|context| context.get("active_test"));
                facts.active_test = context.and_then(Value::as_bool);
            }
            "float" if is_stored => facts.digits = rounding(field.get("digits")?),
            _ => {}
        }
        if !is_stored {
            let paths = field.get("depends").and_then(Value::as_array).into_iter().flatten();
            facts.depends = paths.filter_map(|path| path.as_str().map(str::to_owned)).collect();
        }
        (facts != Self::default()).then_some(facts)
    }
}

/// A list is a domain the ORM applies; a text is one for the web client, unless Odoo put it together, `(..) + (..)`:
///
/// * up to 19 from a condition on the company and the declared domain, where a declared list can no longer be told from a declared
///   text, but for one that names fields: that is a text;
/// * from 19 on, where the field that leads back is a bare number, from the declared domain, mostly a list that a Python function
///   makes for the model, and what names the model. Whoever lists by such a field asks for the model anyway.
fn declared(domain: Option<&Value>, model: &str) -> Declared {
    let text = match domain {
        Some(Value::Array(terms)) if !terms.is_empty() => return Declared::Applied(Value::Array(terms.clone())),
        Some(Value::String(text)) => text,
        _ => return Declared::None,
    };
    let Some((before, last)) = text.strip_suffix(')').and_then(|text| text.rsplit_once(") + (")) else {
        return Declared::None;
    };
    let before = before.strip_prefix('(').unwrap_or(before);
    if last == "[]" {
        return Declared::None;
    }
    match (written_out(before), written_out(last)) {
        // It names fields of the record: a text for the web client.
        (_, None) => Declared::None,
        (Some(Domain::Const(true)), Some(last)) if names_the_model(&last, model) => Declared::None,
        (Some(_), Some(last)) if names_the_model(&last, model) => Declared::Applied(before.into()),
        _ => Declared::Unclear,
    }
}

/// A domain that is written out in Python, without a name in it that only a record or a user gives a value.
fn written_out(text: &str) -> Option<Domain> {
    fn is_plain(value: &Term) -> bool {
        match value {
            Term::Expr(_) => false,
            Term::List(items) => items.iter().all(is_plain),
            Term::Domain(domain) => is_written_out(domain),
            _ => true,
        }
    }
    fn is_written_out(domain: &Domain) -> bool {
        match domain {
            Domain::Const(_) => true,
            Domain::Leaf(leaf) => is_plain(&leaf.value),
            Domain::Not(domain) => is_written_out(domain),
            Domain::And(domains) | Domain::Or(domains) => domains.iter().all(is_written_out),
        }
    }
    parse(text).ok().filter(is_written_out)
}

/// The one leaf that Odoo adds where the field that leads back is a bare number.
fn names_the_model(domain: &Domain, model: &str) -> bool {
    let is_it = |leaf: &Leaf| leaf.operator == Operator::Eq && leaf.value == Term::Str(model.to_owned());
    matches!(domain, Domain::Leaf(leaf) if is_it(leaf))
}

/// `digits` of a float: `[16, 2]`, or 0 for a numeric column that does not round.
fn rounding(digits: &Value) -> Option<Rounding> {
    match digits {
        Value::Array(pair) => pair
            .get(1)
            .and_then(Value::as_u64)
            .and_then(|n| u32::try_from(n).ok())
            .map(Rounding::Decimals),
        Value::Number(_) => Some(Rounding::Unrounded),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulled(field: Value) -> Pulled {
        let mut pulled = Pulled::default();
        pulled.add("x_model", &serde_json::json!({ "x_field": field }));
        pulled
    }

    #[test]
    fn a_list_is_applied_a_text_is_not_and_a_mixture_is_unclear() {
        let domain = |domain: Value| {
            let field = serde_json::json!({"type": "one2many", "store": true, "domain": domain});
            pulled(field).x2many_domain("x_model", "x_field")
        };
        assert_eq!(domain(serde_json::json!([])), Some(FieldDomain::None));
        assert_eq!(domain("[('active', '=', True)]".into()), Some(FieldDomain::None));
        assert_eq!(
            domain(serde_json::json!([["a", "=", 1]])),
            Some(FieldDomain::Json(r#"[["a","=",1]]"#.to_owned()))
        );
        assert_eq!(
            domain("(company_id) + ([('type', '=', 'bank')])".into()),
            Some(FieldDomain::Unknown)
        );
        assert_eq!(domain("(company_id) + ([])".into()), Some(FieldDomain::None));
        // Names of fields: declared as a text.
        let of_record = "(company_id) + ([('type_tax_use', '=', 'sale'), ('country_id', '=', tax_country_id)])";
        assert_eq!(domain(of_record.into()), Some(FieldDomain::None));
        assert_eq!(Pulled::default().x2many_domain("x_model", "x_field"), None);
    }

    #[test]
    fn odoo_19_adds_what_names_the_model_to_a_domain_and_makes_it_a_text() {
        let domain = |domain: &str| {
            let field = serde_json::json!({"type": "one2many", "store": true, "domain": domain});
            pulled(field).x2many_domain("x_model", "x_field")
        };
        assert_eq!(
            domain("([]) + ([('res_model', '=', 'x_model')])"),
            Some(FieldDomain::None)
        );
        assert_eq!(
            domain("([('message_type', '!=', 'user_notification')]) + ([('model', '=', 'x_model')])"),
            Some(FieldDomain::Json(
                "[('message_type', '!=', 'user_notification')]".to_owned()
            ))
        );
        assert_eq!(
            domain("([('a', '=', 1)]) + ([('model', '=', 'x_other')])"),
            Some(FieldDomain::Unknown)
        );
        assert_eq!(domain("[('is_closed', '=', False)]"), Some(FieldDomain::None));
    }

    #[test]
    fn the_context_of_a_field_says_whether_archived_records_are_listed() {
        let field =
            serde_json::json!({"type": "many2many", "store": true, "domain": [], "context": {"active_test": false}});
        assert_eq!(pulled(field).active_test("x_model", "x_field"), Some(false));
    }

    #[test]
    fn what_is_stored_reads_back() {
        let mut all = pulled(serde_json::json!({"type": "float", "store": true, "digits": [16, 3]}));
        all.add(
            "x_other",
            &serde_json::json!({"x_sum": {"type": "float", "store": false, "depends": ["line_ids.x"]}}),
        );
        let back: Pulled = serde_json::from_str(&serde_json::to_string(&all).unwrap()).unwrap();
        assert_eq!(back, all);
        assert_eq!(back.digits("x_model", "x_field"), Some(Digits::Scale(3)));
        assert_eq!(back.depends("x_other", "x_sum"), Some(&["line_ids.x".to_owned()][..]));
    }
}
