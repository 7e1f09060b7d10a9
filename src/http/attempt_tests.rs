use super::*;

#[test]
fn any_bytes_become_text_that_postgresql_takes() {
    for (bytes, truncated, text) in [
        (&b"plain"[..], false, "plain"),
        ("Größe €".as_bytes(), false, "Größe €"),
        (b"a\0b", false, "a\\x00b"),
        (b"\x1f\x8b\x08", false, "\u{1f}\\x8b\u{8}"),
        (b"cut \xe2\x82", true, "cut "),
        (b"cut \xe2\x82", false, "cut \\xe2\\x82"),
        (b"\xe2\x82 in the middle", true, "\\xe2\\x82 in the middle"),
        (b"", true, ""),
    ] {
        assert_eq!(printable(bytes, truncated), text, "{bytes:?}");
    }
}
