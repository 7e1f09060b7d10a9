//! JSON templates: what is accepted is parsed the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use odoo_eventd::payload::template::Template;
use odoo_eventd_fuzz::text;

fuzz_target!(|bytes: &[u8]| {
    let text = text(bytes);
    if let Ok(template) = Template::parse(&text) {
        assert_eq!(Template::parse(&text).ok(), Some(template));
    }
});
