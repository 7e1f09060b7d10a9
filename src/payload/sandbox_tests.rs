use super::*;

fn unknown(code: &str) -> bool {
    let env = environment();
    let rendered = env.render_str(code, ());
    rendered.is_err_and(|error| matches!(error.kind(), ErrorKind::UnknownFilter | ErrorKind::UnknownTest))
}

#[test]
fn what_is_announced_exists_and_nothing_else() {
    for filter in FILTERS.split(' ') {
        assert!(!unknown(&format!("{{{{ 1|{filter} }}}}")), "{filter}");
    }
    for test in TESTS.split(' ') {
        assert!(!unknown(&format!("{{{{ 1 is {test} }}}}")), "{test}");
    }
    for code in ["{{ 1|safe }}", "{{ 1|indent }}", "{{ 1|e }}", "{{ 1 is filter }}"] {
        assert!(unknown(code), "{code}");
    }
}

#[test]
fn names_that_do_not_exist_are_found_before_anything_runs() {
    for (code, said) in [
        ("{{ a|b }}", Some("there is no filter \"b\"")),
        (
            "{% if a | upper|Lower == 'x|y' %}",
            Some("there is no filter \"Lower\""),
        ),
        ("{{ a|upper|default('|x')|truncate(3) }}", None),
        ("{{ a is b }}", Some("nothing can be asked with \"is b\"")),
        (
            "{{ a is not nothing }}",
            Some("nothing can be asked with \"is nothing\""),
        ),
        ("{{ a is not none and b is defined and not c }}", None),
    ] {
        assert_eq!(
            prepare(code).err().map(|refused| refused.what).as_deref(),
            said,
            "{code}"
        );
    }
}
