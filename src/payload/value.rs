//! A column's text as the value that Odoo shows.
//!
//! | field | value |
//! | --- | --- |
//! | char, text, html, selection (its key), reference | text |
//! | integer, float, monetary | a number; 0 where the column is NULL, as Odoo reads it |
//! | boolean | true or false; false where the column is NULL |
//! | date, datetime | `2026-11-20`, `2026-11-20 12:00:00` (UTC), as Odoo prints them |
//! | many2one, many2one_reference | the id |
//! | translated | in the subscription's language, else in `en_US` |
//! | company-dependent (from 18 on) | of company 1, or the field's default |
//! | json | as it is |
//! | binary with a column | base64, if the column holds at most 64 KiB |
//!
//! Everything else that is empty is null.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value};

use crate::odoo::registry::{Field, FieldType};

/// A column to read, and how its text becomes a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name, which is the field's.
    pub name: String,
    kind: FieldType,
    per: Per,
    /// Of a company-dependent field: what holds where nothing is stored, by company or for all.
    defaults: Vec<(Option<i32>, Value)>,
}

/// What a value depends on.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Per {
    Record,
    Language,
    Company,
}

impl Column {
    /// The column of a stored field; none where there is none that can be sent.
    pub fn of(field: &Field) -> Option<Self> {
        let column = field.column.as_ref().filter(|_| field.stored && !field.secret)?;
        if matches!(
            field.kind,
            FieldType::Properties | FieldType::PropertiesDefinition | FieldType::Other
        ) {
            return None;
        }
        let per = match column.type_name.as_str() {
            "jsonb" if field.company_dependent => Per::Company,
            "jsonb" if field.translate => Per::Language,
            _ if field.company_dependent => return None,
            _ => Per::Record,
        };
        Some(Self {
            name: field.name.clone(),
            kind: field.kind,
            per,
            defaults: field.defaults.clone(),
        })
    }

    /// A file: capture holds its digest only, and it is read as base64.
    pub fn is_file(&self) -> bool {
        self.kind == FieldType::Binary
    }

    /// The value behind a column's text, for a language and a company.
    pub fn value(&self, text: Option<&str>, lang: &str, company: i32) -> Value {
        match self.per {
            Per::Record => self.plain(text),
            Per::Language => {
                let by_language = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
                let chosen = by_language
                    .as_ref()
                    .and_then(|all| [lang, "en_US"].iter().find_map(|lang| all.get(*lang)?.as_str()));
                self.plain(chosen)
            }
            Per::Company => {
                let by_company = text.and_then(|text| serde_json::from_str::<Value>(text).ok());
                let stored = by_company.as_ref().and_then(|all| all.get(company.to_string()));
                let chosen = stored.or_else(|| {
                    let default = self
                        .defaults
                        .iter()
                        .find(|(only, _)| only.is_none_or(|only| only == company));
                    default.map(|(_, value)| value)
                });
                match chosen {
                    None | Some(Value::Null | Value::Bool(false)) => self.plain(None),
                    Some(Value::String(text)) => self.plain(Some(text)),
                    Some(other) => self.plain(Some(&other.to_string())),
                }
            }
        }
    }

    /// The id that a many2one's column holds.
    pub fn id(&self, text: Option<&str>, lang: &str, company: i32) -> Option<i64> {
        self.value(text, lang, company).as_i64()
    }

    fn plain(&self, text: Option<&str>) -> Value {
        let Some(text) = text else {
            return match self.kind {
                FieldType::Integer => 0.into(),
                FieldType::Float | FieldType::Monetary => 0.0.into(),
                FieldType::Boolean => false.into(),
                _ => Value::Null,
            };
        };
        match self.kind {
            FieldType::Boolean => matches!(text, "true" | "t").into(),
            FieldType::Integer | FieldType::Many2one | FieldType::Many2oneReference => {
                text.parse::<i64>().map_or(Value::Null, Value::from)
            }
            FieldType::Float | FieldType::Monetary => {
                let number = text.parse::<f64>().ok().and_then(Number::from_f64);
                number.map_or(Value::Null, Value::Number)
            }
            FieldType::Date => text.get(..10).unwrap_or(text).into(),
            // To the second, as Odoo's RPC; a value from a drifted capture has a T.
            FieldType::Datetime => text.get(..19).unwrap_or(text).replacen('T', " ", 1).into(),
            FieldType::Json => serde_json::from_str(text).unwrap_or(Value::Null),
            FieldType::Binary => file(text),
            _ => text.into(),
        }
    }
}

/// Odoo keeps a file in base64 already; what is not, raw SQL wrote.
fn file(encoded: &str) -> Value {
    let encoded = encoded.replace('\n', "");
    let kept = STANDARD
        .decode(&encoded)
        .ok()
        .and_then(|kept| String::from_utf8(kept).ok());
    match kept {
        Some(kept) if STANDARD.decode(&kept).is_ok() => kept.into(),
        _ => encoded.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::odoo::registry::Column as RegistryColumn;

    fn field(kind: FieldType, type_name: &str) -> Field {
        let mut field = Field::new("f", kind);
        field.column = Some(RegistryColumn {
            name: "f".into(),
            type_name: type_name.into(),
        });
        field
    }

    fn value(field: &Field, text: Option<&str>) -> Value {
        Column::of(field).unwrap().value(text, "fr_FR", 1)
    }

    #[test]
    fn each_kind_has_odoos_form() {
        use FieldType::{Binary, Boolean, Char, Date, Datetime, Float, Integer, Json, Many2one, Monetary};
        for (kind, text, shown) in [
            (Char, Some("a"), json!("a")),
            (Char, Some(""), json!("")),
            (Char, None, json!(null)),
            (Integer, Some("-3"), json!(-3)),
            (Integer, None, json!(0)),
            (Float, Some("1250.50"), json!(1250.5)),
            (Monetary, Some("3"), json!(3.0)),
            (Monetary, None, json!(0.0)),
            (Float, Some("NaN"), json!(null)),
            (Boolean, Some("true"), json!(true)),
            (Boolean, None, json!(false)),
            (Date, Some("2026-11-20"), json!("2026-11-20")),
            (
                Datetime,
                Some("2026-11-20 12:00:00.123456"),
                json!("2026-11-20 12:00:00"),
            ),
            (Datetime, Some("2026-11-20T12:00:00"), json!("2026-11-20 12:00:00")),
            (Many2one, Some("7"), json!(7)),
            (Many2one, None, json!(null)),
            (Json, Some(r#"{"a":1}"#), json!({"a": 1})),
            // "aGVsbG8=" is what Odoo stores for hello; the second is four raw bytes.
            (Binary, Some("YUdWc2JHOD0="), json!("aGVsbG8=")),
            (Binary, Some("iVBORw=="), json!("iVBORw==")),
        ] {
            assert_eq!(value(&field(kind, "text"), text), shown, "{kind:?} {text:?}");
        }
    }

    #[test]
    fn a_translated_value_falls_back_to_english() {
        let mut translated = field(FieldType::Char, "jsonb");
        translated.translate = true;
        assert_eq!(
            value(&translated, Some(r#"{"en_US":"Desk","fr_FR":"Bureau"}"#)),
            "Bureau"
        );
        assert_eq!(value(&translated, Some(r#"{"en_US":"Desk"}"#)), "Desk");
        assert_eq!(value(&translated, None), json!(null));
    }

    #[test]
    fn a_value_per_company_falls_back_to_its_default() {
        let mut dependent = field(FieldType::Float, "jsonb");
        dependent.company_dependent = true;
        dependent.defaults = vec![(Some(2), json!(5)), (None, json!(7.5))];
        assert_eq!(value(&dependent, Some(r#"{"1": 3, "2": 4}"#)), json!(3.0));
        assert_eq!(value(&dependent, Some(r#"{"2": 4}"#)), json!(7.5));
        dependent.defaults.clear();
        assert_eq!(value(&dependent, None), json!(0.0));
        // Up to 17 such values are in ir_property, and the column is something else.
        dependent.column = Some(RegistryColumn {
            name: "f".into(),
            type_name: "integer".into(),
        });
        assert_eq!(Column::of(&dependent), None);
    }
}
