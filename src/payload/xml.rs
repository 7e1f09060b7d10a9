//! The payload as XML, for receivers that know nothing else.
//!
//! ```xml
//! <?xml version="1.0" encoding="UTF-8"?>
//! <event><model>sale.order</model><record_ids><item>1</item></record_ids><user_id nil="true"/>..</event>
//! ```
//!
//! The same content as the JSON: an object's keys are elements in their order, a list's members are `item` elements, null is an
//! empty element with `nil="true"`, numbers and booleans are written as in JSON. A key that is no XML name (XML names do not begin
//! with a digit) becomes `<value key="..">`. Characters that XML 1.0 has no way to write, most control characters, are replaced by U+FFFD.

use std::fmt::Write;

use serde_json::Value;

/// The `Content-Type` of what is rendered here.
pub const CONTENT_TYPE: &str = "application/xml; charset=utf-8";

/// Writes a JSON value as an XML document with this root element, whose name must be an XML name.
#[must_use]
pub fn to_xml(root: &str, value: &Value) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    element(&mut out, root, value);
    out
}

fn element(out: &mut String, key: &str, value: &Value) {
    let name = if is_name(key) { key } else { "value" };
    out.push('<');
    out.push_str(name);
    if name != key {
        out.push_str(" key=\"");
        escape(out, key);
        out.push('"');
    }
    match value {
        Value::Null => {
            out.push_str(" nil=\"true\"/>");
            return;
        }
        Value::Object(members) => {
            out.push('>');
            for (key, value) in members {
                element(out, key, value);
            }
        }
        Value::Array(items) => {
            out.push('>');
            for item in items {
                element(out, "item", item);
            }
        }
        Value::String(text) => {
            out.push('>');
            escape(out, text);
        }
        Value::Bool(_) | Value::Number(_) => {
            let _ = write!(out, ">{value}");
        }
    }
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

/// A name every parser agrees on: ASCII, no colon (that is a namespace), not reserved.
fn is_name(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        && !key.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("xml"))
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // Written as they are, a parser turns them into line breaks and spaces.
            '\r' => out.push_str("&#13;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            // XML 1.0, section 2.2: these are no characters of it, not even escaped.
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn inner(value: &Value) -> String {
        let document = to_xml("event", value);
        document
            .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
            .unwrap()
            .to_owned()
    }

    #[test]
    fn every_kind_of_value_has_its_form() {
        let value = json!({
            "model": "sale.order", "record_ids": [1, 2], "user_id": null, "ok": true, "amount": 12.5, "partner_id.email": "a@b.example",
            "changed_fields": [], "values": {"lines": [{"id": 1}, null]}, "1st": "x", "xmlns": "y", "a:b": {},
        });
        assert_eq!(
            inner(&value),
            "<event><model>sale.order</model><record_ids><item>1</item><item>2</item></record_ids><user_id nil=\"true\"/>\
             <ok>true</ok><amount>12.5</amount><partner_id.email>a@b.example</partner_id.email><changed_fields></changed_fields>\
             <values><lines><item><id>1</id></item><item nil=\"true\"/></lines></values>\
             <value key=\"1st\">x</value><value key=\"xmlns\">y</value><value key=\"a:b\"></value></event>"
        );
    }

    #[test]
    fn nothing_in_a_value_can_become_markup() {
        assert_eq!(
            inner(&json!("]]> <b>&amp;\"'\r\n\t\u{0}\u{1b}\u{ffff} Größe €")),
            "<event>]]&gt; &lt;b&gt;&amp;amp;&quot;'&#13;&#10;&#9;\u{fffd}\u{fffd}\u{fffd} Größe €</event>"
        );
        assert_eq!(
            inner(&json!({"\"><x y=\"": 1})),
            "<event><value key=\"&quot;&gt;&lt;x y=&quot;\">1</value></event>"
        );
    }

    proptest! {
        #[test]
        fn only_our_own_brackets_are_left(text in any::<String>()) {
            let written = inner(&json!({ text.as_str(): text.as_str() }));
            prop_assert_eq!(written.matches('<').count(), 4);
            prop_assert_eq!(written.matches('>').count(), 4);
            let control = written.chars().find(|&c| c < ' ');
            prop_assert_eq!(control, None);
        }
    }
}
