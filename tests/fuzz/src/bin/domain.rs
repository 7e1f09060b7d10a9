//! Domain text: parsing never panics, ends within the limits, and printing reads back as the same tree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use odoo_eventd::domain::parse::parse;
use odoo_eventd_fuzz::text;

fuzz_target!(|bytes: &[u8]| {
    let text = text(bytes);
    match parse(&text) {
        Ok(domain) => {
            let printed = domain.to_string();
            assert_eq!(parse(&printed).as_ref(), Ok(&domain), "{printed}");
        }
        Err(refused) => {
            let _ = refused.render(&text);
        }
    }
});
