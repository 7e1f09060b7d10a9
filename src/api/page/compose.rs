//! Conditions that are chosen in place of typed: field, comparison and value become a leaf of the domain.

use super::fields::Fields;
use crate::ops::catalog::FieldInfo;

/// The comparisons that one can choose from: the word in the form, what people read, and the operator.
pub const COMPARISONS: [(&str, &str, &str); 9] = [
    ("is", "is", "="),
    ("is_not", "is not", "!="),
    ("in", "is one of (commas)", "in"),
    ("contains", "contains", "ilike"),
    ("more", "is more than", ">"),
    ("less", "is less than", "<"),
    ("set", "is set", "!="),
    ("unset", "is not set", "="),
    ("becomes", "becomes", "="),
];

/// Adds the chosen condition to the domain of a form; `becomes` also says that only the change into it counts.
///
/// # Errors
/// A sentence on what is missing.
pub fn add_condition(fields: &mut Fields, known: &[FieldInfo]) -> Result<(), String> {
    let name = fields.get("condition_field").to_owned();
    let word = fields.get("condition_is").to_owned();
    let field = known
        .iter()
        .find(|field| field.field == name)
        .ok_or("choose a field of the model first")?;
    let (_, _, operator) = COMPARISONS
        .iter()
        .find(|(known, _, _)| *known == word)
        .ok_or("choose how to compare")?;
    let value = match word.as_str() {
        "set" | "unset" => "False".to_owned(),
        "in" => {
            let items = fields
                .get("condition_value")
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            let items: Vec<String> = items.map(|item| literal(item, field.kind)).collect::<Result<_, _>>()?;
            format!("[{}]", items.join(", "))
        }
        "contains" => quoted(fields.get("condition_value")),
        _ => literal(fields.get("condition_value"), field.kind)?,
    };
    let leaf = format!("('{name}', '{operator}', {value})");
    let domain = with_leaf(fields.get("domain"), &leaf)?;
    fields.set("domain", domain);
    if word == "becomes" {
        fields.set("trigger_mode", "enter");
        if !fields.has("fields", &name) && field.unusable.is_none() {
            fields.add("fields", name);
        }
    }
    for used in ["condition_field", "condition_is", "condition_value"] {
        fields.set(used, "");
    }
    Ok(())
}

/// The domain with one condition more, which has to hold beside the others.
fn with_leaf(domain: &str, leaf: &str) -> Result<String, String> {
    let inner = match domain.trim() {
        "" => "",
        text => text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .ok_or("the domain is no list to which a condition could be added")?
            .trim(),
    };
    let inner = inner.trim_end_matches(',');
    Ok(if inner.is_empty() {
        format!("[{leaf}]")
    } else {
        format!("[{inner}, {leaf}]")
    })
}

/// A value as Python writes it, by the type of its field.
fn literal(text: &str, kind: &str) -> Result<String, String> {
    match kind {
        "boolean" => match text.to_lowercase().as_str() {
            "true" | "yes" | "1" => Ok("True".to_owned()),
            "false" | "no" | "0" => Ok("False".to_owned()),
            _ => Err("a field that is true or false is compared with True or False".to_owned()),
        },
        "integer" | "float" | "monetary" => text
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite())
            .map(|_| text.to_owned())
            .ok_or_else(|| format!("\"{text}\" is no number")),
        // By id, or by name.
        "many2one" | "many2many" | "one2many" if text.parse::<i64>().is_ok() => Ok(text.to_owned()),
        _ if text.is_empty() => Err("say what to compare with".to_owned()),
        _ => Ok(quoted(text)),
    }
}

fn quoted(text: &str) -> String {
    format!(
        "'{}'",
        text.replace('\\', "\\\\").replace('\'', "\\'").replace('\n', "\\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<FieldInfo> {
        [
            ("state", "selection"),
            ("amount", "monetary"),
            ("active", "boolean"),
            ("partner_id", "many2one"),
        ]
        .map(|(field, kind)| FieldInfo {
            field: field.to_owned(),
            kind,
            relation: None,
            stored: true,
            translated: false,
            unusable: None,
        })
        .into()
    }

    fn composed(domain: &str, field: &str, is: &str, value: &str) -> Result<Fields, String> {
        let mut fields = Fields::default();
        for (name, value) in [
            ("domain", domain),
            ("condition_field", field),
            ("condition_is", is),
            ("condition_value", value),
        ] {
            fields.set(name, value);
        }
        add_condition(&mut fields, &known()).map(|()| fields)
    }

    #[test]
    fn a_chosen_condition_is_written_as_odoo_writes_it() {
        let domain = |domain, field, is, value| composed(domain, field, is, value).unwrap().get("domain").to_owned();
        assert_eq!(domain("", "state", "is", "sale"), "[('state', '=', 'sale')]");
        assert_eq!(
            domain("[('a', '=', 1)]", "amount", "more", "100"),
            "[('a', '=', 1), ('amount', '>', 100)]"
        );
        assert_eq!(
            domain("[]", "partner_id", "in", "7, Azure"),
            "[('partner_id', 'in', [7, 'Azure'])]"
        );
        assert_eq!(domain("[]", "active", "is", "yes"), "[('active', '=', True)]");
        assert_eq!(domain("[]", "state", "is", "it's \\"), r"[('state', '=', 'it\'s \\')]");
        let becomes = composed("[]", "state", "becomes", "done").unwrap();
        assert_eq!((becomes.get("trigger_mode"), becomes.get("fields")), ("enter", "state"));
    }

    #[test]
    fn what_is_missing_is_said() {
        for (domain, field, is, value) in [
            ("[]", "other", "is", "1"),
            ("[]", "state", "", "1"),
            ("[]", "amount", "is", "much"),
            ("x", "state", "is", "a"),
            ("[]", "state", "is", ""),
        ] {
            assert!(
                composed(domain, field, is, value).is_err(),
                "{domain} {field} {is} {value}"
            );
        }
    }
}
