use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::*;
use crate::payload::body::{DEFAULT_MAX_BODY_BYTES, Record};

fn values(value: Json) -> Values {
    Values(value.as_object().unwrap().clone().into_iter().collect())
}

fn records() -> Vec<Record> {
    vec![Record {
        id: 42,
        user_id: None,
        values: values(json!({
            "name": "S00042 \"Größe\" <b>",
            "state": "sale",
            "amount_total": 1250.5,
            "note": null,
            "partner_id.email": "a@b.example",
            "date_order": "2026-11-20 12:00:00",
            "order_line": [{"product_id": 5, "price_unit": 500.0}, {"product_id": 6, "price_unit": 250.5}],
        })),
        old: Some(values(json!({"state": "draft"}))),
    }]
}

fn with_body<T>(records: Option<Vec<Record>>, use_body: impl FnOnce(Context<'_>) -> T) -> T {
    let changed = ["state".to_owned()];
    let body = Body {
        event_id: Uuid::from_u128(1),
        model: "sale.order",
        event_type: "write",
        record_ids: &[42],
        user_id: Some(2),
        timestamp: Timestamp::from_microsecond(1_795_176_000_123_456).unwrap(),
        database: "odoo",
        subscription_id: 7,
        changed_fields: &changed,
        records,
    };
    use_body(Context {
        body: &body,
        subscription_name: None,
    })
}

fn try_render(template: &str) -> Result<String, RenderError> {
    let template = Template::parse(template).unwrap();
    let bytes = with_body(Some(records()), |context| {
        template.render(context, DEFAULT_MAX_BODY_BYTES)
    })?;
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

fn render(template: &str) -> Json {
    serde_json::from_str(&try_render(template).unwrap()).unwrap()
}

#[test]
fn inside_a_string_a_value_is_text_and_outside_it_is_json() {
    assert_eq!(
        render(
            r#"{"a": "<{{ record.name }}>", "b": {{ record.name }}, "c": {{ record.amount_total }}, "d": "{{ record.amount_total }}",
                   "e": {{ record.note }}, "f": "[{{ record.note }}]", "g": {{ record.order_line }}, "h": "{{ record.order_line[0] }}"}"#
        ),
        json!({
            "a": "<S00042 \"Größe\" <b>>",
            "b": "S00042 \"Größe\" <b>",
            "c": 1250.5,
            "d": "1250.5",
            "e": null,
            "f": "[]",
            "g": [{"product_id": 5, "price_unit": 500.0}, {"product_id": 6, "price_unit": 250.5}],
            "h": "{\"product_id\":5,\"price_unit\":500.0}",
        })
    );
}

#[test]
fn quotes_braces_and_marks_in_code_do_not_confuse_the_text_around_it() {
    assert_eq!(
        render(
            r#"{"a\"": "{{ record["partner_id.email"] }}", "b": "{{- "}}" -}} x", "c": "{# " #}{% if record.state == "sale" %}yes{% else %}no{% endif %}",
                   "d": {% if "a" in ["a", '"'] %}"{{ {"k": 1}["k"] }}"{% else %}"b"{% endif %}}"#
        ),
        json!({"a\"": "a@b.example", "b": "}}x", "c": "yes", "d": "1"})
    );
}

#[test]
fn loops_conditions_and_filters_work() {
    assert_eq!(
        render(
            r#"{"lines": [{% for line in record.order_line %}{{ line.price_unit|times(100)|int }}{% if not loop.last %},{% endif %}{% endfor %}],
                   "sum": {{ record.order_line|map(attribute="price_unit")|sum }},
                   "ids": "{{ record.order_line|map(attribute="product_id")|join("/") }}",
                   "date": "{{ record.date_order|date("%d/%m/%Y %H:%M") }}", "at": "{{ timestamp|date("%Y") }}",
                   "changed": "{{ old.state|upper }} → {{ record.state|replace("s", "S")|truncate(3) }}",
                   "none": "{{ record.note|default("none", true) }}"}"#
        ),
        json!({
            "lines": [50000, 25050],
            "sum": 750.5,
            "ids": "5/6",
            "date": "20/11/2026 12:00",
            "at": "2026",
            "changed": "DRAFT → Sa…",
            "none": "none",
        })
    );
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_line() {
    for (template, said) in [
        ("{\n{{ a b }}}", "wrong in line 2: "),
        ("{\n\n{% if a %}}", "wrong in line 3: "),
        ("{{ a", "wrong in line 1: "),
        ("{% set x = 1 %}", "line 1: templates have if and for only, not \"set\""),
        (
            "{%- macro m() %}{% endmacro %}",
            "templates have if and for only, not \"macro\"",
        ),
        (
            "\n{% include 'x' %}",
            "line 2: templates have if and for only, not \"include\"",
        ),
        ("{{ a ~ b }}", "templates do not have \"~\""),
        ("{{ a * 2 }}", "templates do not have \"*\""),
        ("{% for x in [a + a] %}{% endfor %}", "\"+\" is not allowed in its head"),
        ("{{ a|nope }}", "wrong in line 1: there is no filter \"nope\""),
        ("slak", "there is no ready-made payload \"slak\""),
    ] {
        match Template::parse(template) {
            Err(error) => assert!(
                error.is_usage() && error.chain().contains(said),
                "{template}: {error:?}"
            ),
            // Unknown filters are found when they are met.
            Ok(_) => assert!(
                matches!(try_render(template), Err(RenderError::Failed { .. })),
                "{template}"
            ),
        }
    }
    assert!(Template::parse(&" ".repeat(70_000)).is_err());
}

#[test]
fn what_is_not_there_fails_and_names_no_value() {
    for (template, said) in [
        ("{\"a\":\n {{ record.nope }}}", "the template failed in line 2: "),
        ("{\"a\": \"{{ nope }}\"}", "the template failed in line 1: "),
        ("{\"a\": {{ record.name|date('%Y') }}}", "date is for dates and times"),
        ("{\"a\": {{ record.name }}", "the template did not give JSON: "),
        ("{\"a\": {{ record.name }}}, {}", "the template did not give JSON: "),
        ("", "the template did not give JSON: "),
        ("{\"a\": {{ record.name - 1 }}}", "the template failed in line 1: "),
    ] {
        let error = try_render(template).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(said), "{template}: {text}");
        assert!(!text.contains("S00042"), "{text}");
        assert_eq!(Failure::from(&error), Failure::Template);
    }
}

#[test]
fn no_template_takes_more_than_its_budget() {
    let loops = "{% for a in record.order_line %}".repeat(18) + &"{% endfor %}".repeat(18);
    let doubling = format!(
        "{{{{ {}(record.name){} }}}}",
        "",
        r#"|replace("", "aaaaaaaaaaaaaaaa")"#.repeat(8)
    );
    let escaping = format!("{{{{ record.name{} }}}}", "|tojson".repeat(40));
    for template in [loops.as_str(), &doubling, &escaping] {
        let started = std::time::Instant::now();
        let error = try_render(template).unwrap_err();
        assert!(matches!(error, RenderError::Failed { .. }), "{error}");
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }
    let wide = format!(
        "[{}1]",
        "{% for a in record.order_line %}1111111111,{% endfor %}".repeat(100)
    );
    let small = with_body(Some(records()), |context| {
        Template::parse(&wide).unwrap().render(context, 1_000)
    });
    assert_eq!(Failure::from(&small.unwrap_err()), Failure::BodyTooLarge);
}

#[test]
fn a_loop_over_a_thousand_lines_is_within_the_budget() {
    let mut records = records();
    let lines: Vec<Json> = (0..1_000)
        .map(|id| json!({"id": id, "name": format!("Line {id}"), "price_unit": 1.5}))
        .collect();
    records[0].values = values(json!({"order_line": lines}));
    let template = r#"[{% for line in record.order_line %}{"name": "{{ line.name|upper }}", "price": {{ line.price_unit|round(2) }}}{% if not loop.last %},{% endif %}{% endfor %}]"#;
    let bytes = with_body(Some(records), |context| {
        Template::parse(template)
            .unwrap()
            .render(context, DEFAULT_MAX_BODY_BYTES)
    })
    .unwrap();
    assert_eq!(serde_json::from_slice::<Vec<Json>>(&bytes).unwrap().len(), 1_000);
}

#[test]
fn a_large_integer_keeps_its_digits() {
    assert_eq!(try_render("[{{ 9007199254740993 }}]").unwrap(), "[9007199254740993]");
}

fn shape(name: &str, records: Option<Vec<Record>>) -> Json {
    let template = Template::parse(name).unwrap();
    let bytes = with_body(records, |context| template.render(context, DEFAULT_MAX_BODY_BYTES)).unwrap();
    serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{name}: {error}: {bytes:?}"))
}

fn short() -> Option<Vec<Record>> {
    let mut records = records();
    records[0].values = values(json!({"name": "S00042 <b>", "state": "sale", "note": null}));
    Some(records)
}

#[test]
fn slack_gets_a_text_that_cannot_mention_anybody() {
    assert_eq!(
        shape("slack", short()),
        json!({"text": "*sale.order* write: S00042 &lt;b&gt;\n• state: draft → sale\n• note: "})
    );
    assert_eq!(shape("slack", None), json!({"text": "*sale.order* write: #42"}));
}

#[test]
fn teams_gets_an_adaptive_card() {
    let card = shape("teams", short());
    let body = &card["attachments"][0]["content"]["body"];
    assert_eq!(body[0]["text"], "sale.order write: S00042 <b>");
    assert_eq!(
        body[1]["facts"],
        json!([
            {"title": "Record", "value": "42"},
            {"title": "state", "value": "draft → sale"},
            {"title": "note", "value": ""},
        ])
    );
    assert_eq!(
        shape("teams", None)["attachments"][0]["content"]["body"][1]["facts"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn discord_gets_fields_and_no_mentions() {
    let message = shape("discord", short());
    assert_eq!(message["content"], "**sale.order** write: S00042 <b>");
    assert_eq!(message["allowed_mentions"], json!({"parse": []}));
    assert_eq!(
        message["embeds"][0]["fields"],
        json!([
            {"name": "state", "inline": true, "value": "draft → sale"},
            {"name": "note", "inline": true, "value": "–"},
        ])
    );
    assert_eq!(shape("discord", None)["content"], "**sale.order** write: #42");
}

#[test]
fn odoo_gets_what_its_own_webhook_action_sends() {
    assert_eq!(
        serde_json::to_string(&shape("odoo", short())).unwrap(),
        r#"{"_action":"subscription 7(#7)","_id":42,"_model":"sale.order","id":42,"name":"S00042 <b>","note":null,"state":"sale"}"#
    );
    assert_eq!(
        shape("odoo", None),
        json!({"_action": "subscription 7(#7)", "_id": 42, "_model": "sale.order"})
    );
}

#[test]
fn cloudevents_carry_the_default_body() {
    let event = shape("cloudevents", short());
    assert_eq!(event["id"], "00000000-0000-0000-0000-000000000001/42");
    assert_eq!(event["type"], "com.odoo.sale.order.write");
    assert_eq!(event["time"], "2026-11-20T12:00:00.123456Z");
    assert_eq!(event["data"]["records"][0]["values"]["state"], "sale");
    assert_eq!(
        Template::parse("cloudevents").unwrap().content_type(),
        "application/cloudevents+json"
    );
}

proptest! {
    #[test]
    fn any_text_survives_both_places(text in any::<String>()) {
        let mut records = records();
        records[0].values = Values(vec![("x".into(), text.clone().into())]);
        let template = Template::parse(r#"{"in": "{{ record.x }}", "out": {{ record.x }}}"#).unwrap();
        let bytes = with_body(Some(records), |context| template.render(context, usize::MAX)).unwrap();
        let read: Json = serde_json::from_slice(&bytes).unwrap();
        prop_assert_eq!(read, json!({"in": text, "out": text}));
    }

    #[test]
    fn no_source_makes_the_preparation_panic(text in r#"[{}%#"'\\a\[\]()+~ -]{0,40}"#) {
        let _ = Template::parse(&text);
    }
}

/// A record with more than any chat takes: many fields, and texts that escapes make longer.
fn large(text: &str) -> Option<Vec<Record>> {
    let mut records = records();
    let fields = (0..300).map(|number| (format!("x_field_{number}"), Json::from(text.repeat(300))));
    let named = [("display_name".to_owned(), Json::from(text.repeat(5_000)))];
    records[0].values = values(Json::Object(named.into_iter().chain(fields).collect()));
    Some(records)
}

#[test]
fn every_message_for_people_fits_what_its_service_takes_and_says_what_is_left_out() {
    for text in ["a", "é", "🔑", "*", "<", "\u{1}", "\\\"\n"] {
        let teams = shape("teams", large(text));
        assert!(
            teams.to_string().len() <= 28_000,
            "{text:?}: {}",
            teams.to_string().len()
        );
        let facts = teams["attachments"][0]["content"]["body"][1]["facts"]
            .as_array()
            .unwrap();
        assert!(facts.len() > 3, "{text:?}: {facts:?}");
        assert_eq!(facts.last().unwrap()["title"], "…");

        let slack = shape("slack", large(text));
        let said = slack["text"].as_str().unwrap();
        assert!(said.chars().count() <= 40_000, "{text:?}: {}", said.chars().count());
        assert!(said.ends_with('…'));

        let discord = shape("discord", large(text));
        let fields = discord["embeds"][0]["fields"].as_array().unwrap();
        let units = |text: &Json| text.as_str().unwrap().encode_utf16().count();
        assert!(
            fields
                .iter()
                .map(|f| units(&f["name"]) + units(&f["value"]))
                .sum::<usize>()
                <= 6_000
        );
        assert!(
            fields.len() <= 25 && fields.iter().all(|f| units(&f["value"]) <= 1_024),
            "{text:?}"
        );
        assert!(units(&discord["content"]) <= 2_000, "{text:?}");
    }
}

#[test]
fn what_a_record_holds_is_no_markup_in_teams_and_discord() {
    let mut hostile = records();
    hostile[0].values = values(json!({"name": "[pay](https://evil.example) **now**", "note": "_x_"}));
    hostile[0].old = None;
    let card = shape("teams", Some(hostile.clone()));
    let body = &card["attachments"][0]["content"]["body"];
    assert_eq!(
        body[0]["text"],
        "sale.order write: \\[pay\\](https://evil.example) \\*\\*now\\*\\*"
    );
    assert_eq!(body[1]["facts"][1]["value"], "\\_x\\_");
    let message = shape("discord", Some(hostile));
    assert_eq!(
        message["content"],
        "**sale.order** write: \\[pay\\](https://evil.example) \\*\\*now\\*\\*"
    );
}
