//! The guard of webhook URLs: an address inside a private network never passes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use odoo_eventd::endpoint::guard::{Guard, parse_network, special_range};
use odoo_eventd::endpoint::mask::mask_url_text;
use odoo_eventd_fuzz::text;

fuzz_target!(|bytes: &[u8]| {
    let text = text(bytes);
    let _ = parse_network(&text);
    let _ = mask_url_text(&text);
    let guard = Guard::new::<&str>(&[], &[]).expect("no networks are no error");
    if let Ok(url) = guard.validate_url(&text) {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if let Ok(address) = host.parse::<std::net::IpAddr>() {
            assert_eq!(special_range(address), None, "{url}");
        }
    }
});
