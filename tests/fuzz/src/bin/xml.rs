//! The XML writer: whatever JSON comes in, no character that XML forbids goes out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use odoo_eventd::payload::xml::to_xml;

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = serde_json::from_slice(bytes) else { return };
    let xml = to_xml("event", &value);
    let is_allowed = |c: char| matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(xml.chars().all(is_allowed), "{xml:?}");
    assert_eq!(xml.matches("<event").count(), xml.matches("</event>").count() + xml.matches("<event/>").count());
});
