use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Selection {
    Selection::parse(&[text]).unwrap()
}

fn refusal(text: &str) -> String {
    let error = Selection::parse(&[text]).unwrap_err();
    assert!(error.is_usage());
    error.chain()
}

#[test]
fn the_documented_paths_are_read() {
    let selection = Selection::parse(&["name", "partner_id.email", "order_line{product_id{name},price_unit}"]).unwrap();
    let names: Vec<_> = selection.items.iter().map(|item| item.name.as_str()).collect();
    assert_eq!(names, ["name", "partner_id.email", "order_line"]);
    assert_eq!(selection.items[1].path, ["partner_id", "email"]);
    assert_eq!(selection.items[2].records, Some(parse("product_id{name},price_unit")));
}

#[test]
fn values_are_renamed_and_changed() {
    let selection = parse(
        r#"customer : partner_id.name | upper|default('no "one",'), x-1.y:order_line{p:product_id.name|truncate(3)}|first, n|times(-1.5)|round"#,
    );
    assert_eq!(selection.items[0].name, "customer");
    assert_eq!(
        selection.items[0].transforms,
        [Transform::Upper, Transform::Default("no \"one\",".into())]
    );
    assert_eq!((&*selection.items[1].name, selection.items[1].path.len()), ("x-1.y", 1));
    assert_eq!(
        selection.to_string(),
        r#"customer:partner_id.name|upper|default("no \"one\","),x-1.y:order_line{p:product_id.name|truncate(3)}|first,n|times(-1.5)|round(0)"#
    );
    assert_eq!(parse(&selection.to_string()), selection);
}

#[test]
fn paths_that_begin_alike_are_merged() {
    for (text, merged) in [
        ("a,a", "a"),
        ("a.b,c,a.d", "a.b,c,a.d"),
        ("a{b},a{c},a{b}", "a{b,c}"),
        ("a,a{b}", "a{b}"),
        ("a{b},a", "a{b}"),
        ("a.b,a{c},a", "a.b,a{c}"),
        ("a.b.c,a.b,a.b{d}", "a.b.c,a.b{d}"),
        ("a{b.c,b{d}},a{b.e}", "a{b.c,b{d},b.e}"),
        (" a . b , c { d , e } ", "a.b,c{d,e}"),
    ] {
        assert_eq!(parse(text).to_string(), merged, "{text}");
    }
    assert_eq!(Selection::parse(&["a.b", "a.c,d"]).unwrap().to_string(), "a.b,a.c,d");
    assert!(Selection::parse::<&str>(&[]).unwrap().is_empty());
}

#[test]
fn what_cannot_be_read_is_shown_with_a_caret() {
    for (text, said) in [
        ("", "a field's name is expected here\n  \n  ^"),
        ("a,", "a field's name is expected here\n  a,\n    ^"),
        ("a..b", "a field's name is expected here\n  a..b\n    ^"),
        ("a{}", "a field's name is expected here\n  a{}\n    ^"),
        ("a{b", "this brace is never closed\n  a{b\n   ^"),
        ("a}", "this brace was never opened\n  a}\n   ^"),
        ("a b", "a comma is expected here\n  a b\n    ^"),
        ("a{b}.c", "a comma is expected here\n  a{b}.c\n      ^"),
        (
            "a{b c}",
            "a comma or a closing brace is expected here\n  a{b c}\n      ^",
        ),
        ("1a", "a field's name does not begin with a digit\n  1a\n  ^"),
        ("ä\n,b", "a field's name is expected here\n  ä ,b\n  ^"),
        ("a;drop", "a comma is expected here\n  a;drop\n   ^"),
        (
            "a, a:b",
            "\"a\" is the name of something else already\n  a, a:b\n     ^",
        ),
        ("a|nope(1)", "there is no transformation \"nope\"\n  a|nope(1)\n    ^"),
        (
            "a|default('b)",
            "this text is never closed\n  a|default('b)\n            ^",
        ),
        (
            "a|default(b)",
            "a text in quotes, a number, true, false or null is expected here\n  a|default(b)\n            ^",
        ),
    ] {
        assert_eq!(refusal(text), format!("cannot read the fields: {said}"), "{text:?}");
    }
}

#[test]
fn limits_are_enforced_by_name() {
    assert!(refusal("a.b.c.d.e.f.g.h.i").contains("more than 8 relations deep\n  a.b.c.d.e.f.g.h.i\n  ^"));
    assert!(refusal(&"a{".repeat(10_000)).contains("more than 8 relations deep"));
    let many: Vec<String> = (0..501).map(|index| format!("f{index}")).collect();
    assert_eq!(
        Selection::parse(&many).unwrap_err().chain(),
        "501 fields are asked for; at most 500 are allowed"
    );
    assert!(refusal(&"a".repeat(40_000)).contains("longer than 32768 bytes"));
}

fn selections() -> impl Strategy<Value = Selection> {
    let transforms = || {
        let one = prop_oneof![
            Just(Transform::Upper),
            (1_usize..9).prop_map(Transform::Truncate),
            "[ -~ä]{0,6}".prop_map(|text| Transform::Default(text.into())),
            "[ -~ä]{0,6}".prop_map(Transform::Join),
        ];
        proptest::collection::vec(one, 0..3)
    };
    let path = || proptest::collection::vec("[a-d]", 1..3);
    let name = || proptest::option::of("[a-d][a-d.-]{0,3}");
    let item = |records: Option<Selection>, name: Option<String>, path: Vec<String>, transforms| Item {
        name: name.unwrap_or_else(|| path.join(".")),
        path,
        records,
        transforms,
    };
    let leaf = (name(), path(), transforms()).prop_map(move |(name, path, then)| item(None, name, path, then));
    let tree = leaf.prop_recursive(3, 24, 4, move |inner| {
        let children = proptest::option::of(proptest::collection::vec(inner, 1..4).prop_map(distinct));
        (children, name(), path(), transforms())
            .prop_map(move |(records, name, path, then)| item(records, name, path, then))
    });
    proptest::collection::vec(tree, 0..4).prop_map(distinct)
}

fn distinct(items: Vec<Item>) -> Selection {
    let mut selection = Selection::default();
    for item in items {
        if selection.items.iter().all(|known| known.name != item.name) {
            selection.items.push(item);
        }
    }
    selection
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(selection in selections()) {
        let text = selection.to_string();
        let paths: &[&str] = if text.is_empty() { &[] } else { &[&text] };
        prop_assert_eq!(Selection::parse(paths).unwrap(), selection, "{}", text);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[ab.,{}:|()'\" \\n0ä]{0,40}") {
        if let Ok(selection) = Selection::parse(&[&text]) {
            prop_assert_eq!(Selection::parse(&[selection.to_string()]).unwrap(), selection);
        }
    }
}
