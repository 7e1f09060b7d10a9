//! No text ends the process, however deep: each grammar is given what nests, chains and repeats in every way it has, on a stack that is
//! smaller than a thread's of the service.
//!
//! A stack that overflows aborts the whole test binary: that is what these tests look like when they fail.

use std::collections::BTreeMap;

use odoo_eventd::config::RawConfig;
use odoo_eventd::domain::check::{Context, check_text};
use odoo_eventd::domain::parse::parse;
use odoo_eventd::odoo::registry::{Column, Facts, Field, FieldType, Inherit, Model, Registry, Table};
use odoo_eventd::payload::body::{Body, Record, Values};
use odoo_eventd::payload::path::Selection;
use odoo_eventd::payload::template::{self, Template};
use odoo_eventd::payload::xml::to_xml;
use odoo_eventd::pg::domain::judge::Judge;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

/// Tokio gives its threads 2 MiB. What leads to a parser there takes some of it: a quarter is left for that.
const STACK_BYTES: usize = 1536 * 1024;

/// What may stand around a text, and what of it: `(before, behind)`.
type Layer = (&'static str, &'static str);

/// The text within so many of these layers, the last one outermost.
fn wrapped(core: &str, layers: &[(Layer, usize)]) -> String {
    let mut before = String::new();
    for ((left, _), times) in layers.iter().rev() {
        before.push_str(&left.repeat(*times));
    }
    let mut text = before + core;
    for ((_, right), times) in layers {
        text.push_str(&right.repeat(*times));
    }
    text
}

/// Each layer alone, in all numbers; then all of them in any order.
fn try_all(core: &str, known: &'static [Layer], look: impl Fn(&str) + Copy + Send + 'static) {
    let core = core.to_owned();
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        for layer in known {
            for times in [1, 20, 25, 49, 70, 99, 150, 5_000] {
                look(&wrapped(&core, &[(*layer, times)]));
            }
        }
        for (one, other) in known.iter().flat_map(|one| known.iter().map(move |other| (one, other))) {
            for (times, rounds) in [(1, 24), (24, 2)] {
                let layers: Vec<_> = (0..rounds).flat_map(|_| [(*one, times), (*other, times)]).collect();
                look(&wrapped(&core, &layers));
            }
        }
        let layers = prop::collection::vec((prop::sample::select(known), 1_usize..60), 1..60);
        let mut runner = TestRunner::new(Config::with_cases(20));
        runner
            .run(&layers, |layers| {
                look(&wrapped(&core, &layers));
                Ok(())
            })
            .unwrap();
    });
    thread.unwrap().join().unwrap();
}

/// Parses it and, where it is accepted, renders it.
fn look_at_template(text: &str) {
    let Ok(template) = Template::parse(text) else { return };
    let record = Record {
        id: 42,
        user_id: None,
        values: Values(vec![("a".to_owned(), json!([1, [2, [3]]]))]),
        old: None,
    };
    let body = Body {
        event_id: uuid::Uuid::from_u128(1),
        model: "sale.order",
        event_type: "write",
        record_ids: &[42],
        user_id: None,
        timestamp: jiff::Timestamp::UNIX_EPOCH,
        database: "odoo",
        subscription_id: 7,
        changed_fields: &[],
        records: Some(vec![record]),
    };
    let context = template::Context {
        body: &body,
        subscription_name: None,
    };
    let _ = template.render(context, 65_536);
}

const EXPRESSIONS: &[Layer] = &[
    ("-", ""),
    ("- ", ""),
    ("not ", ""),
    ("(", ")"),
    ("[", "]"),
    ("[1, ", "]"),
    ("{'a': ", "}"),
    ("{", ": 1}"),
    ("record(", ")"),
    ("record[", "]"),
    ("record|default(", ")"),
    ("record|default(a=", ")"),
    ("1 is eq(", ")"),
    ("1 is eq ", ""),
    ("1 if ", " else 2"),
    ("1 if 2 else ", ""),
    ("", " if 1 else 2"),
    ("", " if 1"),
    ("", " and 1"),
    ("1 and ", ""),
    ("", " or 1"),
    ("", " - 1"),
    ("", " + 1"),
    ("", " / 2"),
    ("", " // 2"),
    ("", " % 2"),
    ("", " == 1"),
    ("", " in [1]"),
    ("", " not in [1]"),
    ("1 in ", ""),
    ("", ".a"),
    ("", ".0"),
    ("", "[0]"),
    ("", "[1:2]"),
    ("record[:", "]"),
    ("", "(1)"),
    ("", "|string"),
    ("", "|default(1)"),
    ("", " is defined"),
    ("", " is not defined"),
    ("", ", 1"),
    ("'a' ", ""),
    (" ", "\n"),
];

#[test]
fn no_expression_of_a_template_is_too_deep_for_the_process() {
    try_all("record.a", EXPRESSIONS, |text| {
        look_at_template(&format!("{{\"a\": {{{{ {text} }}}}}}"));
        look_at_template(&format!("{{\"a\": \"{{{{ {text} }}}}\"}}"));
    });
    try_all("record.a", EXPRESSIONS, |text| {
        look_at_template(&format!("{{% if {text} %}}1{{% else %}}2{{% endif %}}"));
        look_at_template(&format!("{{% for x in {text} %}}{{% endfor %}}"));
        look_at_template(&format!("{{% for {text} in record.a %}}{{% endfor %}}"));
    });
}

#[test]
fn no_statement_of_a_template_is_too_deep_for_the_process() {
    const STATEMENTS: &[Layer] = &[
        ("{% if 1 %}", "{% endif %}"),
        ("{% if 1 %}", ""),
        ("{% if 1 %}{% else %}", "{% endif %}"),
        ("{% if not 1 %}2{% elif 1 %}", "{% endif %}"),
        ("", "{% elif 1 %}"),
        ("{% elif 1 %}", ""),
        ("{% for x in record.a %}", "{% endfor %}"),
        ("{% for x in record.a %}{% else %}", "{% endfor %}"),
        ("{% for x in record.a recursive %}", "{% endfor %}"),
        ("{%- if 1 -%}{# {% if 1 %} #}", "{%- endif -%}"),
        ("{{ (((((1", "))))) }}"),
        ("{% endif %}", "{% endfor %}"),
        ("\"", "\""),
        ("{{ '{% if 1 %}' }}", "{{ 1 }}"),
    ];
    try_all("{{ ((((((((1)))))))) }}", STATEMENTS, |text| {
        look_at_template(text);
        look_at_template(&format!("{{% if 1 %}}{text}{{% endif %}}"));
    });
}

#[test]
fn templates_that_people_write_are_as_deep_as_they_like() {
    let many = (0..40)
        .map(|n| format!("{{% elif record.a == {n} %}}{n}"))
        .collect::<String>();
    let listed = (0..2_000).map(|n| format!("{n}, ")).collect::<String>();
    for text in [
        &format!("{{% if record.a == 'x' %}}0{many}{{% else %}}1{{% endif %}}"),
        &format!("{{% if record.a in [{listed}] %}}1{{% endif %}}"),
        &format!(
            "[{}1]",
            "{% if record.a and (record.a.b or not record['a.b']) %}1,{% endif %}".repeat(500)
        ),
        &format!(
            "[{}1]",
            "{{ record.a|default('')|string|trim|truncate(3) }},".repeat(500)
        ),
        "{% for a in record.a %}{% for b in a.b %}{% for c in b.c %}{% if c.x is defined and c.y > -1 %}{{ c }}{% endif %}{% endfor %}{% endfor %}{% endfor %}",
    ] {
        Template::parse(text).unwrap_or_else(|error| panic!("{}: {text:.200}", error.chain()));
    }
    for (text, line) in [
        ("\n{{ ".to_owned() + &"-".repeat(5_000) + "1 }}", 2),
        ("{{ 1\n".to_owned() + &" and 1".repeat(5_000) + " }}", 2),
    ] {
        let refused = Template::parse(&text).unwrap_err();
        assert!(refused.is_usage());
        assert_eq!(
            refused.to_string(),
            format!(
                "the payload template is wrong in line {line}: more than 100 blocks, brackets and operators stand within or upon each other"
            )
        );
    }
}

fn stored(name: &str, kind: FieldType, type_name: &str) -> Field {
    let mut field = Field::new(name, kind);
    field.column = Some(Column {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
    });
    field
}

/// Two models that inherit from each other, lead to each other, and declare a field by itself: nothing that Odoo would load, and nothing
/// that a database cannot hold.
fn circular() -> Registry {
    let mut registry = Registry::new(Facts {
        version: 18,
        ..Facts::default()
    });
    for (name, other) in [("a", "b"), ("b", "a")] {
        let mut model = Model::new(name, Table::Plain(name.to_owned()));
        model.insert(stored("id", FieldType::Integer, "integer"));
        model.insert(stored("n", FieldType::Integer, "integer"));
        model.insert(stored("d", FieldType::Date, "date"));
        let mut link = stored("o", FieldType::Many2one, "integer");
        link.relation = Some(other.to_owned());
        model.insert(link);
        model.inherits.push(Inherit {
            parent: other.to_owned(),
            link: "o".to_owned(),
        });
        let mut inherited = Field::new("h", FieldType::Many2one);
        inherited.stored = false;
        inherited.relation = Some(name.to_owned());
        inherited.related = Some(vec!["o".to_owned(), "h".to_owned()]);
        model.insert(inherited);
        let mut related = Field::new("r", FieldType::Integer);
        related.stored = false;
        related.related = Some(vec!["o".to_owned(), "o".to_owned(), "r".to_owned()]);
        model.insert(related);
        let mut children = Field::new("c", FieldType::One2many);
        children.relation = Some(other.to_owned());
        children.inverse = Some("o".to_owned());
        children.manual = true;
        children.domain = Some("[('o.c', 'any', [('n', '=', 1)]), ('o.c.n', '=', 1)]".to_owned());
        model.insert(children);
        registry.insert(model);
    }
    registry
}

/// Reads a domain and, where it is one, does all that the service does with it.
fn look_at_domain(text: &str) {
    match parse(text) {
        Err(refused) => drop(refused.render(text)),
        Ok(domain) => {
            let printed = domain.to_string();
            assert_eq!(parse(&printed).as_ref(), Ok(&domain), "{printed:.300}");
        }
    }
    let registry = circular();
    let mut context = Context::at(jiff::Timestamp::UNIX_EPOCH);
    context.uid = Some(1);
    if let Ok(typed) = check_text(text, "a", &registry, &context) {
        let _ = format!("{:?}", Judge::new(&[(1, &typed)], &registry));
    }
}

#[test]
fn no_domain_is_too_deep_for_the_process() {
    const TERMS: &[Layer] = &[
        ("'!', ", ""),
        ("'&', ", ", ('n', '=', 1)"),
        ("'|', ", ", ('n', '=', 1)"),
        ("'|', ('n', '=', 1), ", ""),
        ("'&', '!', ", ", ('n', '=', 1)"),
        ("('o', 'any', [", "])"),
        ("('c', 'not any', [", "])"),
        ("'!', ('o', 'any', ['!', ", "])"),
        ("\"!\", ", ""),
        ("[\"o\", \"any\", [", "]]"),
        ("[", "]"),
        ("(", ")"),
        ("'a' ", ""),
        ("{", "}"),
    ];
    for core in [
        "('n', '=', 1)",
        "[\"n\", \"=\", 1]",
        "('r', '=', 1)",
        "('h.h.n', '=', 1)",
        "('c.n', '=', 1)",
    ] {
        try_all(core, TERMS, |text| look_at_domain(&format!("[{text}]")));
    }
    const VALUES: &[Layer] = &[
        ("[", "]"),
        ("(", ")"),
        ("(", ",)"),
        ("-", ""),
        ("+ ", ""),
        ("{'a': ", "}"),
        ("", ".a"),
        ("", ".strftime('%Y')"),
        ("", ".replace(day=1)"),
        ("", " + datetime.timedelta(days=1)"),
        ("datetime.timedelta(days=1) + ", ""),
        ("relativedelta(", ")"),
        ("relativedelta(days=", ")"),
        ("", "()"),
        ("", "[0]"),
        ("f(", ")"),
        ("f(1, a=", ")"),
        ("'a' ", ""),
        ("", " - f(1)"),
    ];
    try_all("context_today()", VALUES, |text| {
        look_at_domain(&format!("[('d', '=', {text})]"));
        look_at_domain(text);
    });
    const PATHS: &[Layer] = &[("o.", ""), ("c.", ""), ("h.", ""), ("", ".o"), ("", ".n"), ("r.", "")];
    try_all("n", PATHS, |text| look_at_domain(&format!("[('{text}', '=', 1)]")));
    try_all("id", PATHS, |text| {
        look_at_domain(&format!("['!', ('{text}', 'child_of', [1])]"))
    });
}

#[test]
fn no_path_of_a_payload_is_too_deep_for_the_process() {
    const PATHS: &[Layer] = &[
        ("a{", "}"),
        ("a.", ""),
        ("", ".a"),
        ("a:", ""),
        ("", "|upper"),
        ("", "|round(1)"),
        ("", "|default([[1]])"),
        ("a,", ""),
        ("a|f(", ")"),
        ("{", "}"),
        ("(", ")"),
        ("[", "]"),
        (" ", " "),
    ];
    try_all("b", PATHS, |text| {
        if let Ok(selection) = Selection::parse(&[text]) {
            assert_eq!(Selection::parse(&[selection.to_string()]).unwrap(), selection);
        }
    });
}

#[test]
fn no_json_and_no_xml_is_too_deep_for_the_process() {
    const VALUES: &[Layer] = &[
        ("[", "]"),
        ("{\"a\":", "}"),
        ("[1,", ",1]"),
        ("{\"a\":1,\"b\":", ",\"c\":2}"),
        ("\"", "\""),
        ("-", ""),
    ];
    try_all("1", VALUES, |text| {
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            let _ = to_xml("event", &value);
            let _ = value.to_string();
        }
        let _ = serde_json::from_str::<BTreeMap<String, Value>>(&format!("{{\"x\":{text}}}"));
    });
}

#[test]
fn no_configuration_is_too_deep_for_the_process() {
    const VALUES: &[Layer] = &[("[", "]"), ("{a = ", "}"), ("[{a = [", "]}]"), ("\"", "\""), ("-", "")];
    try_all("1", VALUES, |text| {
        let _ = toml::from_str::<RawConfig>(&format!("log = {text}"));
        let _ = toml::from_str::<RawConfig>(&format!("allow_networks = {text}\n[[database]]\nurl = {text}"));
    });
    const KEYS: &[Layer] = &[("a.", ""), ("", ".a"), ("\"a\".", ""), ("[", "]")];
    try_all("a", KEYS, |text| {
        let _ = toml::from_str::<RawConfig>(&format!("{text} = 1"));
        let _ = toml::from_str::<RawConfig>(&format!("[{text}]\na = 1"));
    });
}
