//! What Odoo answers to `fields_get`: whatever it is, the registry can be asked about it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use odoo_eventd::odoo::pulled::Pulled;

fuzz_target!(|bytes: &[u8]| {
    let Ok(answer) = serde_json::from_slice::<serde_json::Value>(bytes) else {
        return;
    };
    let mut pulled = Pulled::default();
    pulled.add("x", &answer);
    for name in answer.as_object().into_iter().flatten().map(|(name, _)| name) {
        let _ = (
            pulled.x2many_domain("x", name),
            pulled.digits("x", name),
            pulled.depends("x", name),
        );
    }
    let kept = serde_json::to_value(&pulled).expect("what was read can be kept");
    let again: Pulled = serde_json::from_value(kept).expect("what was kept can be read");
    assert_eq!(again, pulled);
});
