//! What is in the table is what is sent: values of every type, at and beyond the ends of what Odoo and JSON know, through a real
//! PostgreSQL, captured and read later, judged by PostgreSQL itself.

use std::fmt::Write as _;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::Database;
use crate::support::delivery::subscribe;
use crate::support::receiver::{Receiver, Recorded};
use crate::support::service::{SOON, Service, eventd, eventd_ok};

/// A stored field, the type of its column, and what PostgreSQL is asked: is `told`, the payload's jsonb, what the column `x` holds?
struct Kind {
    ttype: &'static str,
    column: &'static str,
    is_told: &'static str,
    /// A column that is NULL.
    empty: &'static str,
    values: &'static [&'static str],
}

const NUMBER: &str = "case when x::text in ('NaN', 'Infinity', '-Infinity') then told = 'null' else told::numeric = x::text::numeric end";
const TEXT: &str = "told #>> '{}' = x::text";
const DATES: &[&str] = &[
    "2026-11-20",
    "0001-01-01",
    "9999-12-31",
    "10000-01-01",
    "5874897-12-31",
    "0044-03-15 BC",
    "4713-01-01 BC",
    "infinity",
    "-infinity",
];
const TIMES: &[&str] = &[
    "2026-11-20 12:00:00.123456",
    "9999-12-31 23:59:59.999999",
    "10000-01-01 00:00:00",
    "294276-12-31 23:59:59.5",
    "0044-03-15 12:00:00.75 BC",
    "infinity",
    "-infinity",
];

const KINDS: &[Kind] = &[
    Kind {
        ttype: "char",
        column: "varchar",
        is_told: TEXT,
        empty: "null",
        values: &[
            "",
            "Größe",
            "\u{1}gone",
            "\u{1}=x",
            "\u{1}null",
            "\u{1}sha256:00",
            "\"\\\n\u{1f600}",
        ],
    },
    Kind {
        ttype: "html",
        column: "text",
        is_told: TEXT,
        empty: "null",
        values: &["<p>a &amp; b</p>", "\u{1}"],
    },
    Kind {
        ttype: "integer",
        column: "integer",
        is_told: NUMBER,
        empty: "0",
        values: &["0", "-2147483648", "2147483647"],
    },
    Kind {
        ttype: "float",
        column: "double precision",
        is_told: "case when x in ('NaN', 'Infinity', '-Infinity') then told = 'null' else (told #>> '{}')::float8 = x end",
        empty: "0",
        values: &[
            "0.1",
            "1e22",
            "1e23",
            "9007199254740993",
            "1.7976931348623157e308",
            "5e-324",
            "-0.30000000000000004",
            "NaN",
            "Infinity",
            "-Infinity",
        ],
    },
    Kind {
        ttype: "float",
        column: "numeric",
        is_told: NUMBER,
        empty: "0",
        values: &[
            "1250.50",
            "12345678901234567890.123",
            "0.1000000000000000000000000001",
            "99999999999999999999999999999999999999",
            "1e400",
            "1e-400",
            "NaN",
        ],
    },
    Kind {
        ttype: "monetary",
        column: "numeric",
        is_told: NUMBER,
        empty: "0",
        values: &["-0.01", "9007199254740993.01"],
    },
    Kind {
        ttype: "boolean",
        column: "boolean",
        is_told: "told::boolean = x",
        empty: "false",
        values: &["true", "false"],
    },
    Kind {
        ttype: "date",
        column: "date",
        is_told: "(told #>> '{}')::date = x",
        empty: "null",
        values: DATES,
    },
    Kind {
        ttype: "datetime",
        column: "timestamp",
        is_told: "(told #>> '{}')::timestamp = date_trunc('second', x)",
        empty: "null",
        values: TIMES,
    },
    Kind {
        ttype: "selection",
        column: "varchar",
        is_told: TEXT,
        empty: "null",
        values: &["draft", "not one of them"],
    },
    Kind {
        ttype: "json",
        column: "jsonb",
        is_told: "told = x",
        empty: "null",
        values: &[
            r#"{"a": 12345678901234567890.123, "b": [1e400, -1e-400, 0.1, 1.50]}"#,
            r#"[9007199254740993, 123456789012345678901234567890]"#,
            r#""text""#,
            "0.30000000000000004",
            r#"{"$serde_json::private::Number": "1"}"#,
            r#"{"$serde_json::private::RawValue": "[1]"}"#,
        ],
    },
];

/// The fields are `x_0`, `x_1`, .. of `crm.tag`.
async fn with_fields(database: &Database) {
    let mut sql = String::from("alter table crm_tag alter column name drop not null;");
    for (number, kind) in KINDS.iter().enumerate() {
        let Kind { ttype, column, .. } = kind;
        write!(
            sql,
            "alter table crm_tag add column x_{number} {column};
             insert into ir_model_fields (model, model_id, name, ttype, state, store, field_description)
               select 'crm.tag', id, 'x_{number}', '{ttype}', 'manual', true, '{{\"en_US\": \"X\"}}' from ir_model where model = 'crm.tag';"
        )
        .unwrap();
    }
    database.psql(&sql).await;
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

/// A value in SQL: one of those that are known to be difficult, a random one, or none.
fn value_of(kind: &Kind, rng: &mut StdRng) -> String {
    let choice = rng.random_range(0..8);
    if choice == 0 {
        return "null".to_owned();
    }
    let listed = kind.values[rng.random_range(0..kind.values.len())].to_owned();
    if choice < 5 {
        return quoted(&listed);
    }
    let digits = |rng: &mut StdRng, most: usize| -> String {
        (0..rng.random_range(1..=most))
            .map(|_| char::from(b'0' + rng.random_range(0..10_u8)))
            .collect()
    };
    let random = match kind.column {
        "integer" => rng.random::<i32>().to_string(),
        "double precision" => f64::from_bits(rng.random()).to_string().replace("inf", "Infinity"),
        "numeric" => format!("{}.{}", digits(rng, 40), digits(rng, 40)),
        "jsonb" => format!(
            "{{\"n\": {}.{}}}",
            digits(rng, 30).parse::<u128>().unwrap(),
            digits(rng, 30)
        ),
        "date" => format!(
            "{:04}-{:02}-{:02}",
            rng.random_range(1..20_000),
            rng.random_range(1..13),
            rng.random_range(1..29)
        ),
        "timestamp" => format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}",
            rng.random_range(1..20_000),
            rng.random_range(1..13),
            rng.random_range(1..29),
            rng.random_range(0..24),
            rng.random_range(0..60),
            rng.random_range(0..60),
            rng.random_range(0..1_000_000)
        ),
        "varchar" | "text" => (0..rng.random_range(0..20))
            .map(|_| char::from_u32(rng.random_range(1..0xD800)).unwrap())
            .collect(),
        _ => listed,
    };
    quoted(&random)
}

/// Whose values in a payload are not those in the table, by PostgreSQL's own comparison.
async fn untold(database: &Database, request: &Recorded) -> Vec<String> {
    let body = String::from_utf8(request.body.clone()).unwrap();
    let client = database.client().await;
    let mut wrong = Vec::new();
    for (number, kind) in KINDS.iter().enumerate() {
        let Kind {
            is_told,
            empty,
            ttype,
            column,
            ..
        } = kind;
        let sql = format!(
            "select format('%s %s of record %s: %s is told as %s', '{ttype}', '{column}', id, x, told)
               from jsonb_array_elements($1::text::jsonb -> 'records') r
               cross join lateral (select r -> 'values' -> 'x_{number}' as told, t.id, t.x_{number} as x
                                     from crm_tag t where t.id = (r ->> 'id')::int) v
              where not coalesce(case when x is null then told = '{empty}' else {is_told} end, false)"
        );
        let rows = client.query(&sql, &[&body]).await.unwrap();
        wrong.extend(rows.iter().map(|row| row.get::<_, String>(0)));
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_of_every_type_is_told_as_the_table_holds_it_captured_or_read() {
    let database = Database::fixture().await;
    with_fields(&database).await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let fields: Vec<String> = (0..KINDS.len()).map(|number| format!("x_{number}")).collect();
    let id = subscribe(
        &database,
        "crm.tag",
        &receiver.url("/"),
        &["--payload-fields", &fields.join(","), "--max-body-bytes", "8388608"],
    )
    .await;
    let _service = Service::leading(&database).await;
    let mut rng = StdRng::seed_from_u64(10);
    let columns = fields.join(", ");
    let rows: Vec<String> = (0..300)
        .map(|row| {
            let values: Vec<String> = KINDS.iter().map(|kind| value_of(kind, &mut rng)).collect();
            format!("({}, {})", 10_000 + row, values.join(", "))
        })
        .collect();
    let insert = format!("insert into crm_tag (id, {columns}) values {}", rows.join(", "));
    database.client().await.batch_execute(&insert).await.unwrap();
    let created = receiver.wait_for(1, SOON).await.remove(0);
    assert_eq!(created.json()["records"].as_array().unwrap().len(), 300);
    let wrong = untold(&database, &created).await;
    assert!(
        wrong.is_empty(),
        "captured: {} wrong\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // As they are now: read from the table.
    eventd_ok(
        &database.url(),
        &[
            "emit",
            "--subscription",
            &id.to_string(),
            "--domain",
            "[('id', '>=', 10000)]",
        ],
    )
    .await;
    let read = receiver.wait_for(2, SOON).await.remove(1);
    let wrong = untold(&database, &read).await;
    assert!(wrong.is_empty(), "read: {} wrong\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changed_in_another_language_is_not_told_as_a_change_in_this_one() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let options = ["--event", "write", "--payload-fields", "name,code,currency_id.name"];
    subscribe(&database, "res.country", &receiver.url("/"), &options).await;
    let _service = Service::leading(&database).await;
    let translate = |lang: &str, to: &str, more: &str| {
        format!("update res_country set name = name || '{{\"{lang}\": \"{to}\"}}'{more} where id = 1")
    };
    let mut requests = Vec::new();
    for sql in [
        translate("en_US", "Land", ""),
        translate("fr_FR", "Pays", ""),
        translate("fr_FR", "Terre", ", code = 'ZZ'"),
        translate("en_US", "New Land", ""),
    ] {
        database.psql(&sql).await;
        requests = receiver.wait_for(requests.len() + 1, SOON).await;
    }
    let told: Vec<_> = requests
        .iter()
        .map(Recorded::json)
        .map(|body| {
            let record = &body["records"][0];
            let (values, old) = (&record["values"], &record["old"]);
            assert!(
                body["changed_fields"].as_array().unwrap().contains(&"name".into()),
                "it did change"
            );
            assert!(
                old.as_object().unwrap().iter().all(|(name, was)| values[name] != *was),
                "{record}"
            );
            (
                values["name"].clone(),
                old.as_object().unwrap().keys().cloned().collect::<Vec<_>>(),
            )
        })
        .collect();
    assert_eq!(told[1], ("Land".into(), vec![]));
    assert_eq!(told[2], ("Land".into(), vec!["code".to_owned()]));
    assert_eq!(told[3], ("New Land".into(), vec!["name".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_too_long_to_be_kept_is_told_whole_or_not_at_all() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    for options in [["--max-body-bytes", "8388608"], ["--max-body-bytes", "65536"]] {
        let options = [&["--event", "write", "--payload-fields", "comment,ref"][..], &options].concat();
        subscribe(&database, "res.partner", &receiver.url("/"), &options).await;
    }
    let _service = Service::leading(&database).await;
    database
        .psql("update res_partner set comment = repeat('long ', 500000), ref = 'x' where id = 1")
        .await;
    for request in receiver.wait_for(2, SOON).await {
        let body = request.json();
        let comment = &body["records"][0]["values"]["comment"];
        let is_whole = comment.as_str().is_some_and(|text| text.len() == 2_500_000);
        assert!(
            is_whole || body["thin"] == true && body.get("records").is_none(),
            "{} bytes",
            request.body.len()
        );
        assert!(body["changed_fields"].as_array().unwrap().contains(&"comment".into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_quotes_all_names_is_served_like_any_other() {
    let database = Database::fixture().await;
    database
        .psql(&format!(
            "alter database \"{}\" set quote_all_identifiers = on",
            database.name()
        ))
        .await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let options = [
        "--payload-fields",
        "name,phone_code,code",
        "--domain",
        "[('name', 'ilike', 'land')]",
    ];
    subscribe(&database, "res.country", &receiver.url("/"), &options).await;
    let _service = Service::leading(&database).await;
    database
        .psql("update res_country set name = jsonb_set(name, '{en_US}', '\"Newland\"') where id = 1")
        .await;
    let request = receiver.wait_for(1, SOON).await.remove(0);
    assert_eq!(request.json()["records"][0]["values"]["name"], "Newland");
    let doctor = eventd_ok(&database.url(), &["status"]).await;
    assert!(!doctor.contains("another type"), "{doctor}");
    assert_eq!(
        database
            .psql("select count(*) from odoo_eventd.note_drift()")
            .await
            .trim(),
        "0"
    );
}

#[tokio::test]
async fn numbers_that_no_column_holds_are_compared_as_what_they_are() {
    let database = Database::fixture().await;
    let url = database.url();
    let all = eventd_ok(&url, &["domain", "eval", "--model", "crm.tag", "[]"]).await;
    let none = "[]";
    for (domain, wanted) in [
        ("[('id', '>', 3000000000)]", none),
        ("[('id', '<', 3000000000)]", &all),
        ("[('id', '<=', -3000000000)]", none),
        ("[('id', '>=', -99999999999999999999)]", &all),
        ("[('id', '<', 99999999999999999999)]", &all),
        ("[('id', 'in', [3000000000, 99999999999999999999])]", none),
        ("[('id', 'not in', [3000000000, 99999999999999999999])]", &all),
        ("[('color', '=', 3000000000)]", none),
        ("[('color', '!=', 99999999999999999999)]", &all),
        ("[('color', '<', 1e30)]", &all),
        ("[('color', '>', '99999999999999999999')]", none),
        ("[('color', 'in', [99999999999999999999, -99999999999999999999])]", none),
        ("[('color', 'not in', [99999999999999999999])]", &all),
        ("[('create_uid', '=', 99999999999999999999)]", none),
        ("[('create_uid', 'in', [99999999999999999999])]", none),
    ] {
        let found = eventd(&url, &["domain", "eval", "--model", "crm.tag", domain]).await;
        let said = String::from_utf8_lossy(&found.stdout).into_owned() + &String::from_utf8_lossy(&found.stderr);
        assert_eq!(said.trim(), wanted.trim(), "{domain}");
    }
    // Odoo asks PostgreSQL for it, which says that there can be none.
    let refused = eventd(
        &url,
        &["domain", "eval", "--model", "crm.tag", "[('id', '=', 3000000000)]"],
    )
    .await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("out of range for an id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outbox_is_read_by_bytes_too_and_every_long_text_arrives() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let options = [
        "--event",
        "write",
        "--payload-fields",
        "comment",
        "--domain",
        "[('comment', 'ilike', 'x')]",
    ];
    subscribe(&database, "res.partner", &receiver.url("/"), &options).await;
    database
        .psql("insert into res_partner (id, name) select n, 'P' || n from generate_series(10001, 10200) n")
        .await;
    // A megabyte each that compresses to nothing: one page would hold hundreds of them.
    let write = async |ids: &str| {
        let sql = format!(
            "update res_partner set comment = repeat('x', 1000000) where id in (select n from generate_series({ids}) n)"
        );
        database.psql(&sql).await;
    };
    // One transaction that is larger than a page; small ones that together are; and some that were open all the while.
    let across = database.client().await;
    across
        .batch_execute("begin; update res_partner set comment = repeat('x', 1000000) where id in (10190, 10191)")
        .await
        .unwrap();
    write("10001, 10060").await;
    for id in 10061..=10090 {
        write(&format!("{id}, {id}")).await;
    }
    let client = database.admin_client().await;
    let pages = "select count(*), coalesce(bool_or(r.is_cut), false), coalesce(max(length(array_to_string(r.old || r.new, ''))), 0)
                   from odoo_eventd.position p, odoo_eventd.read_outbox(p.done, null, '0', 0, 2000, 16777216) r where r.id is not null";
    let row = client.query_one(pages, &[]).await.unwrap();
    let (rows, is_cut): (i64, bool) = (row.get(0), row.get(1));
    assert!(
        is_cut && (208..=234).contains(&rows),
        "{rows} rows: the new records, and some of a megabyte or two"
    );
    let service = Service::leading(&database).await;
    across.batch_execute("commit").await.unwrap();
    let wanted: std::collections::BTreeSet<i64> = (10001..=10090).chain([10190, 10191]).collect();
    let told = crate::support::eventually("every record", SOON * 4, async || {
        let told: std::collections::BTreeSet<i64> = receiver
            .requests()
            .iter()
            .flat_map(|request| serde_json::from_value::<Vec<i64>>(request.json()["record_ids"].clone()).unwrap())
            .collect();
        (told.len() >= wanted.len()).then_some(told)
    })
    .await;
    assert_eq!(told, wanted);
    if let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", service.pid())) {
        let peak = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        let peak: u64 = peak.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(peak < 400 * 1024, "{peak} kB");
    }
}
