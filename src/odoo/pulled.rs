//! What Odoo told about its fields over RPC (`fields_get`), reduced to what no table of the database tells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::known::{Digits, FieldDomain};

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
    /// One that the ORM applies.
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
pub const ATTRIBUTES: [&str; 5] = ["type", "domain", "digits", "depends", "store"];

impl Pulled {
    /// Takes in the answer of `fields_get` for one model.
    pub fn add(&mut self, model: &str, answer: &Value) {
        let fields = answer.as_object().into_iter().flatten();
        let facts: BTreeMap<String, Facts> = fields
            .filter_map(|(name, field)| Some((name.clone(), Facts::of(field)?)))
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
                Declared::Applied(domain) => FieldDomain::Json(domain.to_string()),
                Declared::Unclear => FieldDomain::Unknown,
            })
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
    fn of(field: &Value) -> Option<Self> {
        let mut facts = Self::default();
        let is_stored = field.get("store") == Some(&Value::Bool(true));
        match field.get("type").and_then(Value::as_str)? {
            "one2many" | "many2many" => facts.domain = Some(declared(field.get("domain"))),
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

/// A list is a domain the ORM applies. A text is one for the web client, unless Odoo put it together from a condition of its
/// own and the declared domain: `(..) + (declared)`, where a declared list can no longer be told from a text.
fn declared(domain: Option<&Value>) -> Declared {
    match domain {
        Some(Value::Array(terms)) if !terms.is_empty() => Declared::Applied(Value::Array(terms.clone())),
        Some(Value::String(text)) if text.contains(") + (") && !text.ends_with(") + ([])") => Declared::Unclear,
        _ => Declared::None,
    }
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
        assert_eq!(Pulled::default().x2many_domain("x_model", "x_field"), None);
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
