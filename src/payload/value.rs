//! A column's text as the value that Odoo shows.
//!
//! | field | value |
//! | --- | --- |
//! | char, text, html, selection (its key), reference | text |
//! | integer, float, monetary | a number, with all its digits; 0 where the column is NULL, as Odoo reads it; null for NaN and infinity, which JSON has not |
//! | boolean | true or false; false where the column is NULL |
//! | date, datetime | `2026-11-20`, `2026-11-20 12:00:00` (UTC), as Odoo prints them. What Odoo cannot read, as PostgreSQL prints it: `10000-01-01`, `0044-03-15 BC`, `infinity` |
//! | many2one, many2one_reference | the id |
//! | translated | in the subscription's language, else in `en_US` |
//! | company-dependent (from 18 on) | of company 1, or the field's default |
//! | json | as it is; null where it is nested deeper than 128 levels |
//! | binary with a column | base64, if the column holds at most 64 KiB |
//!
//! Everything else that is empty is null.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::decimal;
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

    /// It holds several values, one for each language or company: another of them than the one that is told may have changed.
    pub fn is_shared(&self) -> bool {
        self.per != Per::Record
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
                let by_language = text.and_then(|text| json(text, MOST_NESTED));
                let chosen = by_language
                    .as_ref()
                    .and_then(|all| [lang, "en_US"].iter().find_map(|lang| all.get(*lang)?.as_str()));
                self.plain(chosen)
            }
            Per::Company => {
                let by_company = text.and_then(|text| json(text, MOST_NESTED));
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
                // A column that somebody retyped may hold decimals.
                text.parse::<i64>().map_or_else(|_| number(text), Value::from)
            }
            FieldType::Float | FieldType::Monetary => number(text),
            FieldType::Date => Moment::read(text).map_or_else(|| text.into(), |moment| moment.date().into()),
            FieldType::Datetime => Moment::read(text).map_or_else(|| text.into(), |moment| moment.second().into()),
            FieldType::Json => json(text, MOST_NESTED).unwrap_or(Value::Null),
            FieldType::Binary => file(text),
            _ => text.into(),
        }
    }
}

/// Levels of JSON, at most.
const MOST_NESTED: usize = 128;

/// Reads JSON as it is written. `serde_json`'s own reading takes an object with one key of its own, which users could write as well, for a
/// number or for JSON in a text.
fn json(text: &str, deeper: usize) -> Option<Value> {
    /// An object's keys and values, in their order.
    struct Entries<'a>(Vec<(String, &'a RawValue)>);

    impl<'de> Deserialize<'de> for Entries<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Reader;
            impl<'de> Visitor<'de> for Reader {
                type Value = Entries<'de>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }

                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                    let mut entries = Vec::new();
                    while let Some(entry) = map.next_entry()? {
                        entries.push(entry);
                    }
                    Ok(Entries(entries))
                }
            }
            deserializer.deserialize_map(Reader)
        }
    }

    let deeper = deeper.checked_sub(1)?;
    let text = text.trim_ascii();
    Some(match text.bytes().next()? {
        b'{' => {
            let Entries(entries) = serde_json::from_str(text).ok()?;
            let entries = entries
                .into_iter()
                .map(|(key, value)| Some((key, json(value.get(), deeper)?)));
            Value::Object(entries.collect::<Option<_>>()?)
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            Value::Array(
                items
                    .into_iter()
                    .map(|item| json(item.get(), deeper))
                    .collect::<Option<_>>()?,
            )
        }
        b'"' => Value::String(serde_json::from_str(text).ok()?),
        b'n' => Value::Null,
        b't' | b'f' => Value::Bool(text == "true"),
        _ => Value::Number(text.parse().ok()?),
    })
}

fn number(text: &str) -> Value {
    decimal::number(text).map_or(Value::Null, Value::Number)
}

/// A date or a time as PostgreSQL writes it: years have four digits or more, and some are before Christ.
struct Moment<'a> {
    date: &'a str,
    time: Option<&'a str>,
    is_bc: bool,
}

impl<'a> Moment<'a> {
    /// None for `infinity`, and for what is none.
    fn read(text: &'a str) -> Option<Self> {
        let (rest, is_bc) = text.strip_suffix(" BC").map_or((text, false), |rest| (rest, true));
        // A value from a drifted capture has a T.
        let (date, time) = rest
            .split_once([' ', 'T'])
            .map_or((rest, None), |(date, time)| (date, Some(time)));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let is_date = date.splitn(3, '-').filter(|part| digits(part)).count() == 3;
        is_date.then_some(Self { date, time, is_bc })
    }

    fn era(&self) -> &'static str {
        if self.is_bc { " BC" } else { "" }
    }

    fn date(&self) -> String {
        format!("{}{}", self.date, self.era())
    }

    /// To the second, as Odoo's RPC.
    fn second(&self) -> String {
        let Some(time) = self.time else {
            return self.date();
        };
        // Only a column that somebody retyped has a zone. It is captured and read in UTC; another is told as it stands.
        let (clock, zone) = match time.find(['+', '-']) {
            Some(at) => time.split_at(at),
            None => (time, ""),
        };
        let zone = if zone == "+00" { "" } else { zone };
        let clock = clock.split_once('.').map_or(clock, |(whole, _)| whole);
        format!("{} {clock}{zone}{}", self.date, self.era())
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
            (Date, Some("10000-01-01"), json!("10000-01-01")),
            (Date, Some("0044-03-15 BC"), json!("0044-03-15 BC")),
            (Date, Some("-infinity"), json!("-infinity")),
            (Datetime, Some("infinity"), json!("infinity")),
            (
                Datetime,
                Some("294276-12-31 23:59:59.999999"),
                json!("294276-12-31 23:59:59"),
            ),
            (
                Datetime,
                Some("0044-03-15 12:00:00.5 BC"),
                json!("0044-03-15 12:00:00 BC"),
            ),
            (
                Datetime,
                Some("0044-03-15T12:00:00 BC"),
                json!("0044-03-15 12:00:00 BC"),
            ),
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
