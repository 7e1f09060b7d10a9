//! Payload paths.
#![no_main]

use libfuzzer_sys::fuzz_target;
use odoo_eventd::payload::path::Selection;
use odoo_eventd_fuzz::text;

fuzz_target!(|bytes: &[u8]| {
    let text = text(bytes);
    let paths: Vec<&str> = text.lines().collect();
    let _ = Selection::parse(&paths);
});
