//! Domains against what Odoo itself answered (`../shared/odoo`): right or refused, never wrong.

#![expect(clippy::print_stdout, reason = "the report by tag is what these tests are also for")]

use std::collections::{BTreeMap, BTreeSet};

use odoo_eventd::cli::domain::{Asking, eval_batch, matching_ids};
use odoo_eventd::domain::DomainError;
use odoo_eventd::domain::ast::{Domain, Operator, Value};
use odoo_eventd::domain::check::{Context, TypedDomain, check, check_text};
use odoo_eventd::domain::image::ImageColumn;
use odoo_eventd::odoo::registry::{Field, FieldType, Model, Registry};
use odoo_eventd::pg::domain::judge::Judge;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde::Deserialize;
use tokio_postgres::Client;

use crate::support::{self, Database};

#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) model: String,
    pub(crate) domain: String,
    pub(crate) ids: Vec<i64>,
    pub(crate) tags: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Invalid {
    kind: String,
    model: String,
    domain: String,
    verdict: String,
    ids: Option<Vec<i64>>,
}

/// A file of the oracle of 18; none where this checkout stands alone.
fn oracle(file: &str) -> Option<String> {
    let path = support::db::oracle(18, file)?;
    Some(std::fs::read_to_string(path).expect("the file can be read"))
}

struct Oracle {
    client: Client,
    /// Dropped with the last look into it.
    database: Database,
    registry: Registry,
    context: Context,
}

impl Oracle {
    async fn open() -> Option<Self> {
        let database = Database::dump().await?;
        let client = database.client().await;
        let registry = odoo_eventd::pg::registry::load(&client)
            .await
            .expect("the dump is an Odoo database");
        let context = Context::at("2026-11-20T16:00:00Z".parse().expect("a timestamp"));
        Some(Self {
            client,
            database,
            registry,
            context,
        })
    }

    /// A connection with a statement cache, as the service has.
    async fn pooled(&self) -> deadpool_postgres::Object {
        let database = odoo_eventd::pg::connect::Database::parse(&self.database.url()).expect("a database URL");
        database.pool(1).expect("a pool").get().await.expect("a connection")
    }

    fn check(&self, model: &str, domain: &str) -> Result<TypedDomain, DomainError> {
        check_text(domain, model, &self.registry, &self.context)
    }
}

/// How one case came out.
enum Outcome {
    Right,
    Refused(String),
    Wrong(String),
}

async fn judge(oracle: &Oracle, model: &str, domain: &str, wanted: &[i64]) -> Outcome {
    let typed = match oracle.check(model, domain) {
        Ok(typed) => typed,
        Err(refused) => return Outcome::Refused(refused.render(domain)),
    };
    match matching_ids(&oracle.client, &typed).await {
        Ok(ids) if ids == wanted => Outcome::Right,
        Ok(ids) => Outcome::Wrong(format!("{} ids instead of {}", ids.len(), wanted.len())),
        Err(error) => Outcome::Wrong(error.chain()),
    }
}

#[tokio::test]
async fn every_core_case_gives_exactly_odoos_ids_and_the_others_are_right_or_refused() {
    let Some(text) = oracle("domain_cases.json") else {
        return;
    };
    let Some(oracle) = Oracle::open().await else { return };
    let cases: Vec<Case> = serde_json::from_str(&text).expect("the cases are JSON");
    let mut by_tag: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut failures = Vec::new();
    let (mut others, mut others_right) = (0, 0);
    for case in &cases {
        let outcome = judge(&oracle, &case.model, &case.domain, &case.ids).await;
        let is_core = case.tags.contains("core");
        let column = match &outcome {
            Outcome::Right => 0,
            Outcome::Refused(_) => 1,
            Outcome::Wrong(_) => 2,
        };
        for tag in &case.tags {
            by_tag.entry(tag).or_default()[column] += 1;
        }
        others += usize::from(!is_core);
        others_right += usize::from(!is_core && column == 0);
        match outcome {
            Outcome::Wrong(why) => failures.push(format!("WRONG {} {}: {why}", case.model, case.domain)),
            Outcome::Refused(why) if is_core => failures.push(format!("REFUSED {} {}: {why}", case.model, case.domain)),
            Outcome::Refused(why) => println!("refused {} {}: {why}", case.model, case.domain),
            Outcome::Right => {}
        }
    }
    println!("{:32} {:>6} {:>8} {:>6}", "tag", "right", "refused", "wrong");
    for (tag, [right, refused, wrong]) in &by_tag {
        println!("{tag:32} {right:>6} {refused:>8} {wrong:>6}");
    }
    println!("not core: {others_right} of {others} right");
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert!(others_right * 2 >= others, "at least half of the others");
}

#[tokio::test]
async fn what_odoo_refuses_is_refused_and_what_it_accepts_is_right_or_refused() {
    let Some(text) = oracle("domain_invalid.json") else {
        return;
    };
    let Some(oracle) = Oracle::open().await else { return };
    let cases: Vec<Invalid> = serde_json::from_str(&text).expect("the cases are JSON");
    let mut failures = Vec::new();
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for case in &cases {
        // The oracle read domains without the names Odoo offers to stored filters; those are meant to work here.
        if case.verdict == "does-not-parse" && case.domain.contains("datetime.") {
            continue;
        }
        let wanted = case.ids.as_deref().filter(|_| case.verdict == "accepted");
        let outcome = match wanted {
            Some(ids) => judge(&oracle, &case.model, &case.domain, ids).await,
            None => match oracle.check(&case.model, &case.domain) {
                Ok(_) => Outcome::Wrong("accepted".to_owned()),
                Err(refused) => Outcome::Refused(refused.render(&case.domain)),
            },
        };
        let column = match outcome {
            Outcome::Right => "right",
            Outcome::Refused(why) => {
                println!(
                    "{} {} {}\n  {}",
                    case.verdict,
                    case.kind,
                    case.model,
                    why.replace('\n', "\n  ")
                );
                "refused"
            }
            Outcome::Wrong(why) => {
                failures.push(format!(
                    "{} {} {} {}: {why}",
                    case.verdict, case.kind, case.model, case.domain
                ));
                "wrong"
            }
        };
        *counts.entry((case.verdict.as_str(), column)).or_default() += 1;
    }
    println!("{counts:?}");
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Every record of a model as an image, and its id.
async fn images(
    client: &Client,
    table: &str,
    columns: &[ImageColumn],
    registry: &Registry,
    model: &str,
) -> (Vec<i64>, Vec<Vec<Option<String>>>) {
    let mut joins: BTreeMap<&str, String> = BTreeMap::new();
    let mut outputs = Vec::new();
    for column in columns {
        let source = match &column.link {
            None => "record".to_owned(),
            Some(link) => {
                let parent = registry
                    .model(model)
                    .and_then(|model| model.field(link))
                    .and_then(|field| field.relation.as_deref());
                let parent = registry
                    .model(parent.expect("a link leads to a model"))
                    .and_then(|parent| parent.table.name());
                let parent = parent.expect("a parent has a table");
                joins.insert(
                    link,
                    format!("left join {parent} {link}_parent on {link}_parent.id = record.{link}"),
                );
                format!("{link}_parent")
            }
        };
        outputs.push(format!("{source}.\"{}\"::text", column.column));
    }
    let joins: Vec<String> = joins.into_values().collect();
    let sql = format!(
        "select record.id::int8, {} from {table} record {} order by 1",
        outputs.join(", "),
        joins.join(" ")
    );
    let rows = client.query(&sql, &[]).await.expect("the records are read");
    let ids = rows.iter().map(|row| row.get(0)).collect();
    let values = (1..=columns.len())
        .map(|at| rows.iter().map(|row| row.get(at)).collect())
        .collect();
    (ids, values)
}

#[tokio::test]
async fn captured_rows_are_judged_as_the_table_is() {
    let Some(text) = oracle("domain_cases.json") else {
        return;
    };
    let Some(oracle) = Oracle::open().await else { return };
    let cases: Vec<Case> = serde_json::from_str(&text).expect("the cases are JSON");
    let mut by_model: BTreeMap<&str, Vec<(&Case, TypedDomain)>> = BTreeMap::new();
    for case in &cases {
        if let Ok(typed) = oracle.check(&case.model, &case.domain) {
            by_model.entry(&case.model).or_default().push((case, typed));
        }
    }
    let pooled = oracle.pooled().await;
    let mut judged = 0;
    for (model, domains) in &by_model {
        // The subscription's id is the place in the list.
        let subscriptions: Vec<(i64, &TypedDomain)> = (0..).zip(domains.iter().map(|(_, typed)| typed)).collect();
        let judge = Judge::new(&subscriptions, &oracle.registry).expect("one model");
        let (ids, values) = images(
            &oracle.client,
            domains[0].1.table(),
            judge.columns(),
            &oracle.registry,
            model,
        )
        .await;
        let matches = odoo_eventd::pg::domain::ask::judge(&pooled, &judge, ids.len(), &values)
            .await
            .expect("the images are judged");
        for (place, (case, _)) in (0..).zip(domains) {
            let found: Vec<i64> = ids
                .iter()
                .zip(&matches)
                .filter(|(_, found)| found.contains(&place))
                .map(|(id, _)| *id)
                .collect();
            assert_eq!(found, case.ids, "{model} {}", case.domain);
            judged += 1;
        }
    }
    assert!(judged > 1600, "{judged} domains");
}

/// A stream of choices, from which a domain about real models and fields is made.
struct Dice<'d> {
    throws: std::slice::Iter<'d, u32>,
    registry: &'d Registry,
}

impl Dice<'_> {
    fn below(&mut self, limit: usize) -> usize {
        let throw = self.throws.next().copied().unwrap_or(0);
        usize::try_from(throw).unwrap_or(0) % limit.max(1)
    }

    fn of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    fn domain(&mut self, model: &Model, depth: usize) -> Domain {
        match self.below(if depth == 0 { 4 } else { 8 }) {
            4 => Domain::Not(Box::new(self.domain(model, depth - 1))),
            5 | 6 => Domain::and([self.domain(model, depth - 1), self.domain(model, depth - 1)]),
            7 => Domain::or([self.domain(model, depth - 1), self.domain(model, depth - 1)]),
            _ => self.leaf(model, depth),
        }
    }

    fn leaf(&mut self, model: &Model, depth: usize) -> Domain {
        let fields: Vec<&Field> = model.fields().collect();
        let field = self.of(&fields);
        let related = field
            .relation
            .as_deref()
            .and_then(|relation| self.registry.model(relation));
        if let (Some(related), true) = (related, field.kind.is_relational()) {
            match self.below(4) {
                0 if depth > 0 => {
                    let operator = self.of(&[Operator::Any, Operator::NotAny]);
                    let inner = self.domain(related, depth - 1);
                    return Domain::leaf(&field.name, operator, Value::Domain(Box::new(inner)));
                }
                1 => {
                    let Domain::Leaf(mut leaf) = self.leaf(related, 0) else {
                        unreachable!("a leaf is a leaf")
                    };
                    leaf.path = format!("{}.{}", field.name, leaf.path);
                    return Domain::Leaf(leaf);
                }
                _ => {}
            }
        }
        let operators: Vec<Operator> = Operator::ALL.iter().map(|(operator, _)| *operator).collect();
        let mut operator = self.of(&operators);
        while matches!(operator, Operator::Any | Operator::NotAny) {
            operator = self.of(&[Operator::Eq, Operator::In]);
        }
        let value = match operator {
            Operator::In | Operator::NotIn => Value::List((0..self.below(4)).map(|_| self.value(field.kind)).collect()),
            _ => self.value(field.kind),
        };
        Domain::leaf(&field.name, operator, value)
    }

    /// Mostly a value of the field's type, now and then anything.
    fn value(&mut self, kind: FieldType) -> Value {
        let text = |text: &str| Value::Str(text.to_owned());
        let numbers = [
            Value::Int(0),
            Value::Int(3),
            Value::Int(-1),
            Value::Int(171),
            Value::Float(2.5),
            Value::Float(-0.125),
        ];
        let texts = [
            text(""),
            text("a"),
            text("50%"),
            text("A_e"),
            text("'; $1 --\\\\"),
            text("\"x\""),
            text("<p>a</p>"),
        ];
        let dates = [text("2026-11-20"), text("2026-11-20 15:12:49"), text("2026-1-5")];
        let odd = [
            Value::None,
            Value::Bool(true),
            Value::Bool(false),
            Value::BigInt("99999999999999999999999".to_owned()),
            Value::Int(i64::MAX),
            Value::Float(1e300),
            Value::List(vec![Value::Int(1)]),
            text("infinity"),
            text("\\"),
        ];
        if self.below(5) == 0 {
            return self.of(&odd);
        }
        match kind {
            FieldType::Boolean => self.of(&[Value::Bool(true), Value::Bool(false), Value::None]),
            FieldType::Date | FieldType::Datetime => self.of(&dates),
            kind if kind.is_number() || kind.is_relational() || kind == FieldType::Many2oneReference => {
                self.of(&numbers)
            }
            _ => self.of(&texts),
        }
    }
}

/// The ids a domain matches, or none if it is refused; a PostgreSQL error fails the test.
async fn evaluate(oracle: &Oracle, model: &str, domain: &Domain) -> Result<Option<Vec<i64>>, TestCaseError> {
    let Ok(typed) = check(domain, model, &oracle.registry, &oracle.context) else {
        return Ok(None);
    };
    let ids = matching_ids(&oracle.client, &typed).await;
    ids.map(Some)
        .map_err(|error| TestCaseError::fail(format!("{model} {domain}: {}", error.chain())))
}

#[test]
fn generated_domains_run_or_are_refused_and_obey_de_morgan_and_double_negation() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let Some(mut oracle) = runtime.block_on(Oracle::open()) else {
        return;
    };
    // The dump is 18's; the SQL of the other versions must run on it all the same.
    for version in [16, 17, 19, 18] {
        oracle.registry.facts_mut().version = version;
        generated_domains_hold(&runtime, &oracle);
    }
}

fn generated_domains_hold(runtime: &tokio::runtime::Runtime, oracle: &Oracle) {
    let mut models: Vec<&str> = oracle
        .registry
        .models()
        .filter(|model| model.table.name().is_some())
        .map(|model| model.name.as_str())
        .collect();
    models.sort_unstable();
    // The models people filter on come up half of the time.
    let busy = [
        "sale.order",
        "res.partner",
        "account.move",
        "project.task",
        "crm.lead",
        "stock.picking",
        "product.product",
    ];
    let cases = std::env::var("DOMAIN_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(600);
    let mut runner = TestRunner::new(Config {
        cases,
        max_shrink_iters: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let strategy = (
        any::<bool>(),
        any::<prop::sample::Index>(),
        prop::collection::vec(any::<u32>(), 64),
    );
    let accepted = std::cell::Cell::new(0);
    let outcome = runner.run(&strategy, |(is_busy, index, throws)| {
        let name = if is_busy {
            *index.get(&busy)
        } else {
            *index.get(&models)
        };
        let Some(model) = oracle.registry.model(name) else {
            return Ok(());
        };
        let mut dice = Dice {
            throws: throws.iter(),
            registry: &oracle.registry,
        };
        let (left, right) = (dice.domain(model, 2), dice.domain(model, 1));
        let not = |domain: &Domain| Domain::Not(Box::new(domain.clone()));
        runtime.block_on(async {
            let Some(ids) = evaluate(oracle, name, &left).await? else {
                return Ok(());
            };
            accepted.set(accepted.get() + 1);
            prop_assert_eq!(
                evaluate(oracle, name, &not(&not(&left))).await?,
                Some(ids),
                "{} {}",
                name,
                left
            );
            let apart = not(&Domain::and([left.clone(), right.clone()]));
            let inside = Domain::or([not(&left), not(&right)]);
            let (apart_ids, inside_ids) = (
                evaluate(oracle, name, &apart).await?,
                evaluate(oracle, name, &inside).await?,
            );
            // Either may be refused: a part that another part makes idle is not looked at in both.
            if let (Some(apart_ids), Some(inside_ids)) = (apart_ids, inside_ids) {
                prop_assert_eq!(apart_ids, inside_ids, "{} {}", name, apart);
            }
            Ok(())
        })
    });
    println!(
        "Odoo {}: {} of {cases} generated domains were accepted",
        oracle.registry.facts().version,
        accepted.get()
    );
    assert!(outcome.is_ok(), "{}", outcome.expect_err("not ok"));
    assert!(
        accepted.get() * 10 > cases,
        "too few domains are accepted for this to prove anything"
    );
}

#[tokio::test]
async fn a_batch_answers_every_line_in_order_and_goes_on_after_a_refusal() {
    if oracle("domain_cases.json").is_none() {
        return;
    }
    let Some(oracle) = Oracle::open().await else { return };
    let mut input = Vec::from(concat!(
        r#"{"model": "res.partner", "domain": "[('id', 'in', [1, 2])]", "tags": ["kept", "by its writer"]}"#,
        "\n",
        r#"{"model": "res.partner", "domain": "[('nme', '=', 'x')]"}"#,
        "\n",
        "\n",
        "not json\n",
        r#"{"model": "res.users", "domain": "[(\"api_key_ids.key\", \"like\", \"a\")]"}"#,
        "\n",
        r#"{"model": "res.company", "domain": "[[\"id\", \"=\", 1]]"}"#,
        "\n",
        r#"{"model": "res.company", "domain": [["id", "=", 1]], "context": null}"#,
        "\n",
        r#"{"model": "res.users", "domain": "[('id', '=', uid)]", "uid": 2}"#,
        "\n",
        r#"{"model": "res.users", "domain": "[('id', '=', uid)]", "context": {"uid": 2, "lang": "fr_FR", "bin_size": true}}"#,
        "\n",
        r#"{"model": "res.users", "domain": "[]", "context": {"active_test": true}}"#,
        "\n",
        r#"{"model": "res.company"}"#,
        "\n",
        r#"{"model": "res.company", "domain": 5}"#,
        "\n[]\n",
    ));
    let asking = Asking {
        client: &oracle.client,
        registry: &oracle.registry,
        context: &oracle.context,
    };
    input.extend(b"\xff\xfe\n");
    input.extend(std::iter::repeat_n(b'x', 3_000_000));
    input.extend(b"\n{\"model\": \"res.company\", \"domain\": \"[('id', '=', 1)]\"}\r\n");
    let mut out = Vec::new();
    eval_batch(asking, input.as_slice(), &mut out)
        .await
        .expect("the batch is answered");
    let out = String::from_utf8(out).expect("text");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 16, "{out}");
    assert_eq!(lines[0], r#"{"ids":[1,2]}"#);
    assert_eq!(
        lines[1],
        r#"{"error":"model res.partner has no field \"nme\"; did you mean name?"}"#
    );
    assert_eq!(lines[2], r#"{"error":"the line is empty"}"#);
    assert!(lines[3].starts_with(r#"{"error":"the line is not"#));
    assert!(lines[4].starts_with(r#"{"error":"model res.users.apikeys has no field"#));
    assert_eq!(lines[5], r#"{"ids":[1]}"#);
    assert_eq!(lines[6], r#"{"ids":[1]}"#);
    assert_eq!(lines[7], r#"{"ids":[2]}"#);
    assert_eq!(lines[8], r#"{"ids":[2]}"#);
    assert!(lines[9].contains("active_test"), "{}", lines[9]);
    for line in &lines[10..14] {
        assert!(line.starts_with(r#"{"error":"the line is not"#), "{line}");
    }
    assert!(lines[14].contains("longer than"), "{}", lines[14]);
    assert_eq!(lines[15], r#"{"ids":[1]}"#);
}
