//! Signature headers and secrets: nothing that was not signed is verified.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use odoo_eventd::signature::{Received, Secret, verify_body, verify_message};
use odoo_eventd_fuzz::{halves, text};

fuzz_target!(|bytes: &[u8]| {
    let (header, body) = halves(bytes);
    let header = text(header);
    let _ = Secret::parse(header.as_ref());
    let secret = Secret::parse("a secret that no input knows of").expect("a good secret");
    assert!(verify_body(std::slice::from_ref(&secret), &header, body).is_err());
    let received = Received {
        id: &header,
        timestamp: "1795222135",
        signature: &header,
    };
    assert!(verify_message(&[secret], received, body, 1_795_222_135, Duration::from_secs(300)).is_err());
});
