//! The XML writer: whatever JSON comes in, no character that XML forbids goes out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use odoo_eventd::payload::xml::to_xml;

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice(bytes) else {
        return;
    };
    let xml = to_xml("event", &value);
    let is_allowed =
        |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(xml.chars().all(is_allowed), "{xml:?}");
    assert!(is_balanced(&xml), "{xml}");
});

/// Every element is closed by its own name; quoted attributes may hold anything but a quote.
fn is_balanced(xml: &str) -> bool {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = xml.split_once("?>").map_or(xml, |(_, rest)| rest);
    while let Some((_, tag)) = rest.split_once('<') {
        let mut is_quoted = false;
        let end = tag.find(|c| {
            is_quoted ^= c == '"';
            c == '>' && !is_quoted
        });
        let Some(end) = end else { return false };
        let name = tag[..end].split([' ', '/']).next().unwrap_or_default();
        if let Some(closed) = tag[..end].strip_prefix('/') {
            if open.pop() != Some(closed) {
                return false;
            }
        } else if !tag[..end].ends_with('/') {
            open.push(name);
        }
        rest = &tag[end + 1..];
    }
    open.is_empty()
}
