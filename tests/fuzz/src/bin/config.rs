//! The TOML file of settings.
#![no_main]

use libfuzzer_sys::fuzz_target;
use odoo_eventd::config::RawConfig;
use odoo_eventd_fuzz::text;

fuzz_target!(|bytes: &[u8]| {
    let _ = toml::from_str::<RawConfig>(&text(bytes));
});
