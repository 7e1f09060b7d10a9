use proptest::prelude::*;

use super::super::ast::{Operator, Value};
use super::super::expr::{Clock, Outcome};
use super::*;

fn printed(text: &str) -> String {
    parse(text).unwrap().to_string()
}

fn refused(text: &str) -> String {
    parse(text).unwrap_err().render(text)
}

#[test]
fn python_and_json_say_the_same() {
    let python = "['|', ('active', '=', True), ('parent_id', '=', None), ('name', 'in', ('a', 'é\\n',))]";
    let json = r#"["|", ["active", "=", true], ["parent_id", "=", null], ["name", "in", ["a", "\u00e9\n"]]]"#;
    assert_eq!(parse(python).unwrap(), parse(json).unwrap());
}

#[test]
fn strings_are_read_as_python_reads_them() {
    let cases = [
        (r"'O\'Reilly'", "O'Reilly"),
        (r"'\x41\u00e9\U0001F680\101'", "Aé\u{1f680}A"),
        (r"r'\d'", r"\d"),
        (r"'\d'", r"\d"),
        ("'a' 'b'", "ab"),
        ("u'x'", "x"),
        ("'''it's \n fine'''", "it's \n fine"),
    ];
    for (literal, text) in cases {
        let parsed = parse(&format!("[('name', '=', {literal})]"));
        let Ok(Domain::Leaf(leaf)) = parsed else {
            panic!("{literal}: {parsed:?}")
        };
        assert_eq!(leaf.value, Value::Str(text.to_owned()), "{literal}");
    }
}

#[test]
fn numbers_are_read_as_python_reads_them() {
    assert_eq!(
        printed("[('a', 'in', [1_0, 0x20, 1e2, -1, - 1, .5, 9223372036854775808, -9223372036854775808])]"),
        { "[('a', 'in', [10, 32, 100.0, -1, -1, 0.5, 9223372036854775808, -9223372036854775808])]" }
    );
    for bad in ["01", "1__0", "1_", "1j", "1e400", "0x", "2abc"] {
        assert!(parse(&format!("[('a', '=', {bad})]")).is_err(), "{bad}");
    }
}

#[test]
fn juxtaposed_terms_are_all_required() {
    assert_eq!(printed("[('a','=',1), '|', ('b','=',2), ('c','=',3)]"), {
        "['&', ('a', '=', 1), '|', ('b', '=', 2), ('c', '=', 3)]"
    });
    assert_eq!(printed("[]"), "[(1, '=', 1)]");
    assert_eq!(printed("([])"), "[(1, '=', 1)]");
    assert_eq!(printed("[(0, '=', 1)]"), "[(0, '=', 1)]");
}

#[test]
fn the_caret_shows_where() {
    assert_eq!(
        refused("[('name', '==', 'x')]"),
        "unknown operator '=='\n  [('name', '==', 'x')]\n            ^^^^\nhint: write '='"
    );
    assert!(refused("['&', ('a','=',1)]").starts_with("'&' needs two terms to its right\n"));
    assert!(refused("[('a','=',true)]").contains("hint: Python writes True"));
    assert!(refused("[('a','=',1) ('b','=',2)]").contains("a comma may be missing"));
    assert!(refused("['a','=',1]").contains("a domain holds leaves"));
    assert!(refused("[('a','=',os.system('x'))]").contains("the name os.system is not known"));
    assert!(refused("").contains("ends too early"));
}

#[test]
fn size_and_depth_are_bounded() {
    let deep = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
    assert!(refused(&deep(100_000)).contains("levels deep"));
    assert!(refused(&format!("[{}('a','=',1)]", "'!',".repeat(5_000))).contains("above each other"));
    let ladder = format!(
        "[{}('a','=',1){}]",
        "'&','|',".repeat(2_000),
        ",('a','=',1)".repeat(4_000)
    );
    assert!(parse(&ladder).is_err());
    let sums = format!("[('a','=',{}1)]", "1+".repeat(50_000));
    assert!(refused(&sums).contains("parts"));
    let names = format!("[('a','=',a{})]", ".a".repeat(50_000));
    assert!(refused(&names).contains("parts"));
    let long = format!("[('a','=','{}')]", "x".repeat(300_000));
    assert!(refused(&long).contains("too long"));
    let many = format!("[{}]", "('a','=',1),".repeat(3_000));
    assert!(refused(&many).contains("too many leaves"));
    let chain = format!("[{}('a','=',1){}]", "'&',".repeat(1_000), ",('a','=',1)".repeat(1_000));
    assert!(parse(&chain).is_ok(), "a long chain of one operator is flat");
}

/// What `value` comes to on Friday, 20 November 2026, 23:30 in UTC, for a user in Brussels.
fn evaluated(value: &str) -> Outcome {
    let clock = Clock {
        now: "2026-11-20T23:30:00Z".parse().unwrap(),
        zone: jiff::tz::TimeZone::get("Europe/Brussels").unwrap(),
        uid: Some(7),
        company: 3,
    };
    let Ok(Domain::Leaf(leaf)) = parse(&format!("[('a', '=', {value})]")) else {
        panic!("{value}")
    };
    let Value::Expr(expr) = leaf.value else {
        panic!("{value} is no expression")
    };
    expr.evaluate(&clock).unwrap()
}

#[test]
fn the_names_of_stored_filters_are_evaluated_for_the_user_and_the_moment() {
    let text = |value: &str| match evaluated(value) {
        Outcome::Str(text) => text,
        other => panic!("{value}: {other:?}"),
    };
    assert_eq!(evaluated("uid"), Outcome::Int(7));
    assert_eq!(evaluated("user.id"), Outcome::Int(7));
    assert_eq!(evaluated("company_ids"), Outcome::Ints(vec![3]));
    // In Brussels it is already the 21st.
    assert_eq!(text("context_today().strftime('%Y-%m-%d')"), "2026-11-21");
    assert_eq!(
        text("(context_today() - datetime.timedelta(days=30)).strftime('%Y-%m-%d')"),
        "2026-10-22"
    );
    assert_eq!(
        text("(context_today() + relativedelta(months=1, day=31)).strftime('%Y-%m-%d')"),
        "2026-12-31"
    );
    assert_eq!(
        text("(context_today() + relativedelta(months=3, day=31)).strftime('%Y-%m-%d')"),
        "2027-02-28"
    );
    assert_eq!(
        text("(context_today() + relativedelta(weeks=-1, weekday=0)).strftime('%Y-%m-%d')"),
        "2026-11-16"
    );
    assert_eq!(text("time.strftime('%Y-%m-01')"), "2026-11-01");
    assert_eq!(
        text("datetime.datetime.combine(context_today(), datetime.time(0,0,0)).to_utc().strftime('%Y-%m-%d %H:%M:%S')"),
        "2026-11-20 23:00:00"
    );
    assert_eq!(
        text("(datetime.datetime.now() - relativedelta(hours=1)).strftime('%H:%M')"),
        "22:30"
    );
}

#[test]
fn expressions_outside_the_grammar_are_refused_by_name() {
    for (value, reason) in [
        ("env.cr", "env.cr"),
        ("user.partner_id.id", "user.partner_id.id"),
        ("context_today(1)", "no arguments"),
        ("context_today() + 1", "can be added"),
        ("relativedelta(days='x')", "whole number"),
        ("relativedelta(foo=1)", "foo"),
        ("context_today().strftime('%s')", "strftime"),
        ("context_today().__class__()", "__class__"),
        ("datetime.date(2026, 2, 30)", "out of range"),
        ("context_today() + relativedelta(years=99999999999)", "out of range"),
    ] {
        let shown = refused(&format!("[('a', '=', {value})]"));
        assert!(shown.contains(reason), "{value}: {shown}");
    }
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        "[1-9][0-9]{19,40}".prop_map(Value::BigInt),
        any::<f64>()
            .prop_filter("finite", |number| number.is_finite())
            .prop_map(Value::Float),
        text().prop_map(Value::Str),
    ];
    scalar.prop_recursive(2, 12, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(Value::List)
    })
}

/// Texts full of what quoting gets wrong.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![r#"['"\\$1;\-/* \n\t\r%_a-zéß🚀{}()\[\],]{0,12}"#, "[^\0]{0,8}"]
}

fn domain() -> impl Strategy<Value = Domain> {
    let taking_values: Vec<Operator> = Operator::ALL
        .iter()
        .map(|(operator, _)| *operator)
        .filter(|operator| !matches!(operator, Operator::Any | Operator::NotAny))
        .collect();
    let operator = prop::sample::select(taking_values);
    let leaf = (text(), operator, value()).prop_map(|(path, operator, value)| Domain::leaf(path, operator, value));
    let term = prop_oneof![9 => leaf, 1 => any::<bool>().prop_map(Domain::Const)];
    term.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Domain::Not(Box::new(inner))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Domain::and),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Domain::or),
            (text(), any::<bool>(), inner).prop_map(|(path, any, inner)| {
                let operator = if any { Operator::Any } else { Operator::NotAny };
                Domain::leaf(path, operator, Value::Domain(Box::new(inner)))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_printed_reads_back_as_the_same(domain in domain()) {
        let text = domain.to_string();
        prop_assert_eq!(parse(&text).map_err(|error| error.render(&text)), Ok(domain));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}") {
        if let Err(error) = parse(&text) {
            error.render(&text);
        }
    }

    #[test]
    fn no_almost_domain_makes_the_parser_panic(text in r#"[\[\](),.'"\\!&|=+\-0-9a-z_ \n]{0,80}"#) {
        if let Err(error) = parse(&text) {
            error.render(&text);
        }
    }
}

/// A small generator of its own: the inputs must be the same wherever the run is repeated.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % limit.max(1)
    }
}

/// The fuzz target: `PARSER_INPUTS=10000000 cargo test --release --lib parser_survives` for a long run.
#[test]
fn the_parser_survives_mutated_domains_in_bounded_time() {
    const SEEDS: [&str; 8] = [
        "[('name', '=', 'x'), ('id', 'in', [1, 2.5, -3])]",
        "['|', '&', ('a.b', 'any', [('c', '!=', False)]), ('d', '=', None), '!', ('e', 'ilike', \"é%\")]",
        r#"[["name", "in", ["a\u00e9", null, true, 1e5]]]"#,
        "[('d', '>=', (context_today() - relativedelta(months=1, day=1)).strftime('%Y-%m-%d'))]",
        "[('d', '<', datetime.datetime.combine(context_today(), datetime.time(0,0,0)).to_utc())]",
        r"[('a', '=like', r'\d\'' 'b' '''c''')] # d",
        "[(1, '=', 1), (0, '=', 1), ('uid', '=?', uid)]",
        "((((([('a','=',0x1F),('b','in',(1_0,))])))))",
    ];
    const PIECES: [&str; 24] = [
        "[", "]", "(", ")", ",", "'", "\"", "\\", "'!',", "'&',", "'|',", "-", "+", ".", "'''", "\\u", "1e", "0x",
        "\0", "\n", "uid", "é", "()", "{",
    ];
    let count = std::env::var("PARSER_INPUTS")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(30_000);
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    let mut slowest = std::time::Duration::ZERO;
    for _ in 0..count {
        let mut text: Vec<char> = SEEDS[random.below(SEEDS.len())].chars().collect();
        for _ in 0..=random.below(6) {
            let at = random.below(text.len() + 1);
            match random.below(4) {
                0 => drop(text.splice(at..at, PIECES[random.below(PIECES.len())].chars())),
                1 => drop(text.drain(at..(at + random.below(5)).min(text.len()))),
                2 => text.truncate(at),
                _ => {
                    let part: Vec<char> = text[..at].to_vec();
                    text.splice(at..at, part);
                }
            }
        }
        let text: String = text.into_iter().collect();
        let started = std::time::Instant::now();
        match parse(&text) {
            Ok(domain) => assert_eq!(parse(&domain.to_string()), Ok(domain), "{text}"),
            Err(error) => drop(error.render(&text)),
        }
        slowest = slowest.max(started.elapsed());
    }
    assert!(slowest < std::time::Duration::from_secs(1), "{slowest:?}");
}
