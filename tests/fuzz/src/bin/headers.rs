//! Credentials and headers of subscriptions: no line end passes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use odoo_eventd::endpoint::auth::parse_auth;
use odoo_eventd::endpoint::headers::parse_header;
use odoo_eventd_fuzz::{halves, text};

fuzz_target!(|bytes: &[u8]| {
    let (name, value) = halves(bytes);
    let found = [parse_auth(&text(bytes)), parse_header(&text(name), &text(value))];
    for (_, value) in found.into_iter().flatten() {
        assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
});
