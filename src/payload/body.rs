//! The default body: the envelope of an event and, where asked for, the values of its records.
//!
//! Compact JSON in UTF-8, its keys in the order of the documentation, rendered once: the same bytes are signed, sent, logged and
//! sent again.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use uuid::Uuid;

use super::decimal::Decimal;
use super::xml::to_xml;
use crate::delivery::Failure;

/// The body's size at most when a subscription says nothing else, in bytes: 256 KiB, the limit of Amazon SNS and SQS, and of many
/// receivers' servers.
pub const DEFAULT_MAX_BODY_BYTES: usize = 256 * 1024;

/// One delivery's content.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Body<'a> {
    /// The event's id, the same in every delivery of it.
    pub event_id: Uuid,
    /// The Odoo model.
    pub model: &'a str,
    /// `create`, `write` or `unlink`.
    pub event_type: &'a str,
    /// The records of this delivery, ascending.
    pub record_ids: &'a [i64],
    /// The Odoo user; `None` when unknown or when there were several.
    pub user_id: Option<i64>,
    /// The transaction's time.
    #[serde(serialize_with = "timestamp")]
    pub timestamp: Timestamp,
    /// The database's name.
    pub database: &'a str,
    /// The subscription that asked for this.
    pub subscription_id: i64,
    /// For a write: which of the watched fields changed. Otherwise empty.
    pub changed_fields: &'a [String],
    /// The records' values, in the order of `record_ids`; `None` when none were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<Vec<Record>>,
}

/// One record's values.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Record {
    /// Its id.
    pub id: i64,
    /// Who changed this record; only where several users are behind one event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<i64>,
    /// After the change; before it for an unlink.
    pub values: Values,
    /// For a write: the values before, of the fields that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Values>,
}

/// Field names and their values, in the order they were asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Values(pub Vec<(String, Value)>);

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (field, value) in &self.0 {
            map.serialize_entry(field, &Told(value))?;
        }
        map.end()
    }
}

/// A value whose numbers are written as numbers of Rust where one is the same: what is no JSON text, a template, knows no others.
struct Told<'a>(&'a Value);

impl Serialize for Told<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Number(number) => {
                if let Some(whole) = number.as_i64() {
                    return serializer.serialize_i64(whole);
                }
                if let Some(whole) = number.as_i128() {
                    return serializer.serialize_i128(whole);
                }
                match Decimal::parse(&number.to_string()).and_then(|n| n.double()) {
                    Some(double) => serializer.serialize_f64(double),
                    None => number.serialize(serializer),
                }
            }
            Value::Array(items) => serializer.collect_seq(items.iter().map(Told)),
            Value::Object(fields) => serializer.collect_map(fields.iter().map(|(name, value)| (name, Told(value)))),
            other => other.serialize(serializer),
        }
    }
}

/// A rendered body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The bytes to sign and send.
    pub bytes: Bytes,
    /// True when `records` were left out because of the size; the body then says `"thin": true`.
    pub thin: bool,
}

/// The body is too large even without its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body has {bytes} bytes even without records; at most {max} are allowed")]
pub struct TooLarge {
    /// Its size without records.
    pub bytes: usize,
    /// The subscription's limit.
    pub max: usize,
}

impl From<TooLarge> for Failure {
    fn from(_: TooLarge) -> Self {
        Self::BodyTooLarge
    }
}

impl Body<'_> {
    /// Renders the body as JSON in at most `max_bytes`, without its records where it would be larger.
    ///
    /// A receiver of a thin body reads the records itself, by `record_ids`. Source: Standard Webhooks, "Thin vs full payloads".
    ///
    /// # Errors
    /// When it is too large without records too.
    pub fn render(&self, max_bytes: usize) -> Result<Rendered, TooLarge> {
        self.render_within(max_bytes, to_json)
    }

    /// As [`Body::render`] in the form of [`xml`](super::xml), with `event` as the root element.
    ///
    /// # Errors
    /// When it is too large without records too.
    pub fn render_xml(&self, max_bytes: usize) -> Result<Rendered, TooLarge> {
        self.render_within(max_bytes, xml_of)
    }

    /// Renders the body without its records, marked, whatever its size.
    #[must_use]
    pub fn render_thin(&self, as_xml: bool) -> Bytes {
        let thin = Self { records: None, ..*self };
        let content = Content {
            body: &thin,
            thin: true,
        };
        if as_xml { xml_of(&content) } else { to_json(&content) }.into()
    }

    fn render_within(&self, max: usize, write: impl Fn(&Content<'_>) -> Vec<u8>) -> Result<Rendered, TooLarge> {
        let full = write(&Content {
            body: self,
            thin: false,
        });
        if full.len() <= max {
            return Ok(Rendered {
                bytes: full.into(),
                thin: false,
            });
        }
        if self.records.is_none() {
            return Err(TooLarge { bytes: full.len(), max });
        }
        let thin = write(&Content {
            body: &Self { records: None, ..*self },
            thin: true,
        });
        if thin.len() <= max {
            return Ok(Rendered {
                bytes: thin.into(),
                thin: true,
            });
        }
        Err(TooLarge { bytes: thin.len(), max })
    }
}

/// What is written: the body, and the mark of a thin one at its end.
#[derive(serde::Serialize)]
struct Content<'a> {
    #[serde(flatten)]
    body: &'a Body<'a>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    thin: bool,
}

fn to_json(content: &Content<'_>) -> Vec<u8> {
    serde_json::to_vec(content).expect("every key is a string and every value is JSON already")
}

fn xml_of(content: &Content<'_>) -> Vec<u8> {
    let value = serde_json::to_value(content).expect("what is written as JSON text is a JSON value");
    to_xml("event", &value).into_bytes()
}

/// As SPEC section 7: UTC, always six digits. Odoo's `write_date` has microseconds too.
fn timestamp<S: Serializer>(timestamp: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Micros(*timestamp))
}

/// Shows a time as the payload does: `2026-11-20T12:00:00.123456Z`.
#[derive(Debug, Clone, Copy)]
pub struct Micros(pub Timestamp);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn body<'a>(ids: &'a [i64], changed: &'a [String]) -> Body<'a> {
        Body {
            event_id: Uuid::from_u128(0x0198_f2a4_0f3e_7c11_8a77_1b2c_3d4e_5f60),
            model: "sale.order",
            event_type: "write",
            record_ids: ids,
            user_id: Some(2),
            timestamp: Timestamp::from_microsecond(1_795_176_000_123_456).unwrap(),
            database: "odoo",
            subscription_id: 7,
            changed_fields: changed,
            records: None,
        }
    }

    fn text(rendered: &Rendered) -> &str {
        std::str::from_utf8(&rendered.bytes).unwrap()
    }

    const ENVELOPE: &str = r#"{"event_id":"0198f2a4-0f3e-7c11-8a77-1b2c3d4e5f60","model":"sale.order","event_type":"write","record_ids":[1,2],"user_id":2,"timestamp":"2026-11-20T12:00:00.123456Z","database":"odoo","subscription_id":7,"changed_fields":["state"]"#;

    #[test]
    fn the_envelope_is_exactly_the_documented_one() {
        let changed = ["state".to_owned()];
        let rendered = body(&[1, 2], &changed).render(DEFAULT_MAX_BODY_BYTES).unwrap();
        assert_eq!(text(&rendered), format!("{ENVELOPE}}}"));
        assert!(!rendered.thin);
    }

    #[test]
    fn an_unknown_user_is_null_and_no_change_an_empty_list() {
        let rendered = Body {
            user_id: None,
            ..body(&[1], &[])
        }
        .render(DEFAULT_MAX_BODY_BYTES)
        .unwrap();
        assert!(text(&rendered).contains(r#""user_id":null,"#) && text(&rendered).ends_with(r#""changed_fields":[]}"#));
    }

    #[test]
    fn records_keep_the_order_in_which_fields_were_asked_for() {
        let changed = ["state".to_owned()];
        let record = Record {
            id: 1,
            user_id: None,
            values: Values(vec![
                ("state".into(), json!("sale")),
                ("name".into(), json!("S1")),
                ("partner_id".into(), json!(null)),
            ]),
            old: Some(Values(vec![("state".into(), json!("draft"))])),
        };
        let full = Body {
            records: Some(vec![record]),
            ..body(&[1, 2], &changed)
        };
        assert_eq!(
            text(&full.render(DEFAULT_MAX_BODY_BYTES).unwrap()),
            format!(
                r#"{ENVELOPE},"records":[{{"id":1,"values":{{"state":"sale","name":"S1","partner_id":null}},"old":{{"state":"draft"}}}}]}}"#
            )
        );
    }

    #[test]
    fn a_body_over_its_limit_is_sent_thin_and_marked() {
        let changed = ["state".to_owned()];
        let record = Record {
            id: 1,
            user_id: Some(5),
            values: Values(vec![("note".into(), json!("x".repeat(5_000)))]),
            old: None,
        };
        let full = Body {
            records: Some(vec![record]),
            ..body(&[1, 2], &changed)
        };
        let thin = full.render(1_000).unwrap();
        assert_eq!(text(&thin), format!(r#"{ENVELOPE},"thin":true}}"#));
        assert!(thin.thin);
        assert!(
            !full.render(full.render(usize::MAX).unwrap().bytes.len()).unwrap().thin,
            "exactly the limit fits"
        );
        assert_eq!(Failure::from(full.render(100).unwrap_err()), Failure::BodyTooLarge);
    }

    #[test]
    fn xml_has_the_same_content_and_the_same_limit() {
        let record = Record {
            id: 1,
            user_id: None,
            values: Values(vec![("note".into(), json!("<b>"))]),
            old: None,
        };
        let full = Body {
            records: Some(vec![record]),
            ..body(&[1], &[])
        };
        let rendered = full.render_xml(DEFAULT_MAX_BODY_BYTES).unwrap();
        let end = "<changed_fields></changed_fields><records><item><id>1</id><values><note>&lt;b&gt;</note></values></item></records></event>";
        assert!(text(&rendered).ends_with(end), "{}", text(&rendered));
        let thin = full.render_xml(rendered.bytes.len() - 1).unwrap();
        assert!(
            text(&thin).ends_with("<changed_fields></changed_fields><thin>true</thin></event>"),
            "{}",
            text(&thin)
        );
    }

    #[test]
    fn times_always_have_six_digits() {
        for (micros, shown) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (1_795_176_000_000_000, "2026-11-20T12:00:00.000000Z"),
            (1_795_176_000_100_000, "2026-11-20T12:00:00.100000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(Micros(Timestamp::from_microsecond(micros).unwrap()).to_string(), shown);
        }
    }
}
