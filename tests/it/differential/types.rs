//! Types of columns, and values of them: ordinary ones mostly, so that statements succeed and values come again, and hostile ones.

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::script::literal;

/// Types that need no more than PostgreSQL, with how Odoo would call such a field.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("integer", "integer"),
    ("integer", "integer"),
    ("bigint", "integer"),
    ("smallint", "integer"),
    ("numeric", "float"),
    ("numeric", "monetary"),
    ("numeric(12,2)", "float"),
    ("double precision", "float"),
    ("real", "float"),
    ("text", "text"),
    ("text", "html"),
    ("character varying", "char"),
    ("character varying", "char"),
    ("character varying", "selection"),
    ("character varying(20)", "char"),
    ("character(5)", "char"),
    ("character(1)", "char"),
    ("\"char\"", "char"),
    ("name", "char"),
    ("boolean", "boolean"),
    ("date", "date"),
    ("timestamp without time zone", "datetime"),
    ("timestamp(0) without time zone", "datetime"),
    ("timestamp with time zone", "datetime"),
    ("time without time zone", "char"),
    ("time with time zone", "char"),
    ("interval", "char"),
    ("json", "json"),
    ("jsonb", "json"),
    ("jsonb", "properties"),
    ("bytea", "binary"),
    ("text[]", "char"),
    ("character varying[]", "char"),
    ("character(3)[]", "char"),
    ("integer[]", "char"),
    ("numeric[]", "char"),
    ("jsonb[]", "char"),
    ("date[]", "char"),
    ("boolean[]", "char"),
    ("bytea[]", "char"),
    ("int4range", "char"),
    ("numrange", "char"),
    ("tsrange", "char"),
    ("daterange", "char"),
    ("int4multirange", "char"),
    ("uuid", "char"),
    ("inet", "char"),
    ("cidr", "char"),
    ("macaddr", "char"),
    ("xml", "text"),
    ("money", "char"),
    ("bit(4)", "char"),
    ("bit varying", "char"),
    ("point", "char"),
    ("box", "char"),
    ("polygon", "char"),
    ("circle", "char"),
    ("tsvector", "char"),
    ("tsquery", "char"),
    ("oid", "integer"),
    ("regtype", "char"),
    ("pg_lsn", "char"),
    ("macaddr8", "char"),
    ("path", "char"),
    ("lseg", "char"),
    ("line", "char"),
    ("jsonpath", "char"),
    ("xid8", "char"),
    ("tid", "char"),
    ("pg_snapshot", "char"),
    ("int8range", "char"),
    ("tstzrange", "char"),
    ("datemultirange", "char"),
    ("character varying(20)[]", "char"),
    ("numeric(12,2)[]", "char"),
    ("double precision[]", "char"),
    ("timestamp with time zone[]", "char"),
    ("time without time zone[]", "char"),
    ("interval[]", "char"),
    ("json[]", "char"),
    ("xml[]", "char"),
    ("uuid[]", "char"),
    ("money[]", "char"),
    ("point[]", "char"),
    ("int4range[]", "char"),
    ("\"char\"[]", "char"),
    ("name[]", "char"),
    ("bit(4)[]", "char"),
];

/// Types that Odoo gives its fields.
pub const ODOOS: &[(&str, &str)] = &[
    ("integer", "integer"),
    ("numeric", "float"),
    ("numeric", "monetary"),
    ("double precision", "float"),
    ("text", "text"),
    ("character varying", "char"),
    ("character varying", "selection"),
    ("character varying(20)", "char"),
    ("boolean", "boolean"),
    ("date", "date"),
    ("timestamp without time zone", "datetime"),
    ("jsonb", "json"),
    ("jsonb", "char"),
    ("bytea", "binary"),
];

/// Types that the round's catalogue makes.
pub const MADE: &[(&str, &str)] = &[
    ("dom_text", "char"),
    ("dom_int", "integer"),
    ("\"Dom \"\"of\"\" jsonb\"", "json"),
    ("dom_text[]", "char"),
    ("mood", "selection"),
    ("mood[]", "char"),
    ("pair", "char"),
    ("pair[]", "char"),
    ("float8span", "char"),
    ("dom_integers", "char"),
    ("dom_dom", "char"),
    ("dom_mood", "selection"),
    ("dom_pair", "char"),
    ("mood_span", "char"),
    ("others.kind", "selection"),
    ("others.\"Kind of\"", "char"),
    ("character varying collate public.folded", "char"),
    ("text collate public.folded", "text"),
    ("character varying[] collate public.folded", "char"),
    ("text collate \"C\"", "text"),
];

/// What makes them.
pub const MAKE_TYPES: &[&str] = &[
    "create domain dom_text as text check (value is null or length(value) < 3000000)",
    "create domain dom_int as integer check (value > -1000)",
    "create domain \"Dom \"\"of\"\" jsonb\" as jsonb",
    "create type mood as enum ('sad', 'ok', 'happy', 'select', 'a b', '')",
    "create type pair as (a integer, \"B b\" text)",
    "create type float8span as range (subtype = float8)",
    "create domain dom_integers as integer[] check (value is null or cardinality(value) < 100)",
    "create domain dom_dom as dom_text check (value is distinct from 'refused')",
    "create domain dom_mood as mood",
    "create domain dom_pair as pair",
    "create type mood_span as range (subtype = mood)",
    "create schema others; create type others.kind as enum ('a', 'b'); create domain others.\"Kind of\" as others.kind",
    // Two texts of it are equal and not the same.
    "create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
];

/// Types of extensions, with the extension.
pub const OF_EXTENSIONS: &[(&str, &str)] = &[
    ("citext", "citext"),
    ("hstore", "hstore"),
    ("ltree", "ltree"),
    ("citext[]", "citext"),
];

const TEXTS: &[&str] = &["a", "b", "c", "x y", "Ünï 漢字 🙂", "A"];

const HOSTILE: &[&str] = &[
    "",
    " ",
    "\u{1}",
    "\u{1}gone",
    "\u{1}null",
    "\u{1}=",
    "\u{1}=a",
    "\u{1}sha256:",
    "\u{1}sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4f72b9807785afee48bb",
    "=",
    "=a",
    "null",
    "NULL",
    "\\N",
    "\\",
    "'",
    "\"",
    "{}",
    "{a,b}",
    "$$",
    "$body$",
    "%s %I %L %%",
    "-- x",
    "line\nnext\ttab\r",
    "gone",
    "\u{7f}\u{2}\u{3}",
    "2026-01-01",
    "1.00",
    "t",
];

const JSONS: &[&str] = &[
    r#"{"en_US": "a"}"#,
    r#"{"en_US": "a", "fr_FR": "b"}"#,
    r#"{"fr_FR": "b"}"#,
    "{}",
    "[]",
    "null",
    "1",
    "1.0",
    "1.00",
    r#""a""#,
    r#"{"a": {"b": [1, 2.50, null, true]}}"#,
    "123456789012345678901234567890",
    "123456789012345678901234567891",
    "1e400",
    "0.1000000000000000000001",
    r#"{"a": "\u0001gone"}"#,
    r#"{"\u0001gone": 1}"#,
    r#"{"id": 5, "op": "D"}"#,
];

/// A value of a type as an SQL expression without a cast; it may be NULL.
pub fn value(random: &mut StdRng, type_name: &str) -> String {
    match random.random_range(0..100) {
        0..8 => "NULL".to_owned(),
        // Of some types nothing is said to be too long.
        8..10 if is_text(type_name) => format!("repeat('xyz ', {})", long(random)),
        10 if matches!(type_name, "jsonb" | "json") => {
            let text = format!(
                "'{{\"en_US\": \"' || repeat('j', {}) || '\"}}'",
                long(random).min(1_000_000)
            );
            format!("({text})::{type_name}")
        }
        10 if type_name == "bytea" => format!("convert_to(repeat('b', {}), 'UTF8')", long(random)),
        _ => plain_value(random, type_name).map_or_else(|| "NULL".to_owned(), |text| literal(&text)),
    }
}

/// Lengths, mostly around those that matter.
fn long(random: &mut StdRng) -> u32 {
    match random.random_range(0..60) {
        0..20 => 1_200,
        20..40 => 4_096,
        40..50 => 5_000,
        50..59 => 20_000,
        _ => 250_000,
    }
}

fn is_text(type_name: &str) -> bool {
    matches!(type_name, "text" | "character varying" | "dom_text" | "citext")
}

/// A value as text in PostgreSQL's input form; none for a type that is not known here.
pub fn plain_value(random: &mut StdRng, type_name: &str) -> Option<String> {
    if type_name == "dom_integers" {
        return plain_value(random, "integer[]");
    }
    if let Some(element) = type_name.strip_suffix("[]") {
        let count = random.random_range(0..4);
        let elements: Vec<String> = (0..count)
            .map(|_| match plain_value(random, element) {
                Some(text) if random.random_ratio(9, 10) => {
                    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
                }
                _ => "NULL".to_owned(),
            })
            .collect();
        return Some(format!("{{{}}}", elements.join(",")));
    }
    let (base, length) = match type_name.split_once('(') {
        Some((base, rest)) => (
            format!("{base}{}", rest.split_once(')').map_or("", |(_, tail)| tail)),
            rest.split([',', ')']).next().and_then(|n| n.parse::<usize>().ok()),
        ),
        None => (type_name.to_owned(), None),
    };
    let text = match base.as_str() {
        "integer" | "bigint" | "smallint" | "oid" | "dom_int" => return Some(integer(random, &base)),
        "numeric" => pick(
            random,
            if length.is_some() {
                &["0", "1", "1.00", "2.50", "-3", "NaN", "9999999999.99"]
            } else {
                &[
                    "0",
                    "1",
                    "1.0",
                    "1.00",
                    "2.5",
                    "2.50",
                    "-3",
                    "NaN",
                    "Infinity",
                    "-Infinity",
                    "123456789012345678901234567890.123456789",
                    "123456789012345678901234567890.123456788",
                    "1e-30",
                    "1e300",
                    "100",
                ]
            },
        ),
        "double precision" | "real" => pick(
            random,
            &[
                "0",
                "-0",
                "1",
                "1.5",
                "0.1",
                "0.30000000000000004",
                "NaN",
                "Infinity",
                "-Infinity",
                "1e30",
                "1e-30",
            ],
        ),
        "text" | "character varying" | "character" | "name" | "citext" | "dom_text" | "dom_dom" => {
            let pool = if random.random_ratio(1, 5) { HOSTILE } else { TEXTS };
            let text = pick(random, pool);
            match length {
                Some(length) if random.random_ratio(19, 20) => text.chars().take(length).collect(),
                _ => text,
            }
        }
        "\"char\"" => pick(random, &["a", "b", "", "="]),
        "boolean" => pick(random, &["t", "f"]),
        "date" => pick(
            random,
            &[
                "2020-01-02",
                "2020-01-03",
                "0044-03-15 BC",
                "12020-01-01",
                "infinity",
                "-infinity",
                "1999-12-31",
                "0001-01-01",
            ],
        ),
        "timestamp without time zone" | "timestamp with time zone" => pick(
            random,
            &[
                "2020-01-02 03:04:05",
                "2020-01-02 03:04:05.6",
                "2020-01-02 03:04:05.123456",
                "2021-06-01 00:00:00",
                "0044-03-15 12:00:00 BC",
                "12020-01-01 00:00:00",
                "infinity",
                "-infinity",
                "1883-11-18 12:03:57",
            ],
        ),
        "time without time zone" => pick(random, &["00:00:00", "12:34:56", "23:59:59.999999", "24:00:00"]),
        "time with time zone" => pick(random, &["00:00:00+00", "12:34:56+02", "10:34:56+00"]),
        "interval" => pick(
            random,
            &[
                "1 day",
                "24:00:00",
                "1 mon",
                "30 days",
                "-1 year 2 days 03:00",
                "0",
                "1.5 seconds",
            ],
        ),
        "json" | "jsonb" | "\"Dom \"\"of\"\" jsonb\"" => pick(random, JSONS),
        "bytea" => pick(random, &["\\x", "\\x00", "\\x01676f6e65", "\\xff00ff", "abc"]),
        "int8range" | "int4range" => pick(random, &["[1,5)", "(1,5]", "empty", "(,)", "[2,6)"]),
        "numrange" => pick(random, &["[1,5)", "[1.0,5)", "empty", "(,2.5]"]),
        "float8span" => pick(random, &["[1,5)", "[0.1,0.30000000000000004]", "empty"]),
        "tsrange" | "tstzrange" => pick(
            random,
            &["[2020-01-01,2021-01-01)", "(,)", "[2020-01-01 12:00,infinity]"],
        ),
        "daterange" => pick(random, &["[2020-01-01,2021-01-01)", "(,)", "empty"]),
        "datemultirange" => pick(random, &["{}", "{[2020-01-01,2020-02-01),[2021-01-01,infinity)}"]),
        "macaddr8" => pick(random, &["08:00:2b:01:02:03:04:05", "ff:ff:ff:ff:ff:ff:ff:ff"]),
        "path" => pick(random, &["[(0,0),(1,1)]", "((0,0),(1,1))"]),
        "lseg" => pick(random, &["[(0,0),(1,1)]", "[(1,1),(0,0)]"]),
        "line" => pick(random, &["{1,2,3}", "{2,4,6}"]),
        "jsonpath" => pick(random, &["$.a", "$.b[*] ? (@ > 1)"]),
        "xid8" => pick(random, &["0", "18446744073709551615"]),
        "tid" => pick(random, &["(0,1)", "(4294967295,65535)"]),
        "pg_snapshot" => pick(random, &["10:20:10,14", "10:10:"]),
        "regclass" => pick(random, &["pg_class", "pg_type"]),
        "int4multirange" => pick(random, &["{}", "{[1,3),[5,7)}", "{[1,3)}"]),
        "uuid" => pick(
            random,
            &[
                "00000000-0000-0000-0000-000000000001",
                "ffffffff-ffff-ffff-ffff-ffffffffffff",
            ],
        ),
        "inet" => pick(random, &["127.0.0.1", "10.0.0.1/8", "::1", "192.168.1.5/24"]),
        "cidr" => pick(random, &["10.0.0.0/8", "::/0"]),
        "macaddr" => pick(random, &["08:00:2b:01:02:03", "ff:ff:ff:ff:ff:ff"]),
        "xml" => pick(random, &["<a/>", "<a b=\"c\">d</a>", "<a></a>", "x"]),
        "money" => pick(random, &["1.00", "-2.50", "0"]),
        "bit" => pick(random, &["0000", "1010"]),
        "bit varying" => pick(random, &["", "1", "101"]),
        "point" => pick(random, &["(1,2)", "(0,0)", "(1.5,-2)"]),
        "box" => pick(random, &["(1,2),(0,0)", "(3,3),(1,1)"]),
        "polygon" => pick(random, &["((0,0),(1,1),(1,0))", "((0,0),(2,2),(2,0))"]),
        "circle" => pick(random, &["<(0,0),1>", "<(1,1),2>"]),
        "tsvector" => pick(random, &["a b", "'fat':2 'cat':3", ""]),
        "tsquery" => pick(random, &["a & b", "'fat' | 'cat'"]),
        "regtype" => pick(random, &["integer", "text", "jsonb[]"]),
        "pg_lsn" => pick(random, &["0/0", "16/B374D848"]),
        "mood_span" => pick(random, &["[sad,happy)", "empty", "[ok,ok]"]),
        "others.kind" | "others.\"Kind of\"" => pick(random, &["a", "b"]),
        "mood" | "dom_mood" => pick(random, &["sad", "ok", "happy", "select", "a b", ""]),
        "pair" | "dom_pair" => pick(random, &["(1,a)", "(,)", "(2,\"x, \"\"y\"\"\")", "(1,\u{1}gone)"]),
        "hstore" => pick(random, &["", "a=>1", "a=>1, b=>NULL", "\"x y\"=>\"\u{1}gone\""]),
        "ltree" => pick(random, &["a", "a.b.c", ""]),
        _ => return None,
    };
    Some(text)
}

/// Small numbers mostly: they are ids, and come again.
fn integer(random: &mut StdRng, type_name: &str) -> String {
    match random.random_range(0..40) {
        0 => "0".to_owned(),
        1 => "-1".to_owned(),
        2 => match type_name {
            "smallint" => "32767",
            "bigint" => "9223372036854775807",
            _ => "2147483647",
        }
        .to_owned(),
        _ => random.random_range(1..9).to_string(),
    }
}

fn pick(random: &mut StdRng, pool: &[&str]) -> String {
    (*pool.choose(random).expect("pools are not empty")).to_owned()
}
