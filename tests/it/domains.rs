//! Domains against what Odoo itself answered (`../shared/odoo`): right or refused, never wrong.

#![expect(clippy::print_stdout, reason = "the report by tag is what these tests are also for")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use odoo_eventd::cli::domain::matching_ids;
use odoo_eventd::domain::DomainError;
use odoo_eventd::domain::check::{Context, TypedDomain, check_text};
use odoo_eventd::domain::judge::{ImageColumn, Judge};
use odoo_eventd::odoo::registry::Registry;
use serde::Deserialize;
use tokio_postgres::Client;

use crate::support::Database;

#[derive(Debug, Deserialize)]
struct Case {
    model: String,
    domain: String,
    ids: Vec<i64>,
    tags: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
struct Invalid {
    kind: String,
    model: String,
    domain: String,
    verdict: String,
    ids: Option<Vec<i64>>,
}

/// The oracle's files; none where this checkout stands alone.
fn oracle(file: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../shared/odoo")
        .join(file);
    let text = std::fs::read_to_string(&path).ok();
    if text.is_none() {
        println!("skipped: {} is not there", path.display());
    }
    text
}

struct Oracle {
    client: Client,
    /// Dropped with the last look into it.
    _database: Database,
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
            _database: database,
            registry,
            context,
        })
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
    let mut judged = 0;
    for (model, domains) in &by_model {
        // The subscription's id is the place in the list.
        let subscriptions: Vec<(i64, &TypedDomain)> = (0..).zip(domains.iter().map(|(_, typed)| typed)).collect();
        let judge = Judge::new(&subscriptions, &oracle.registry).expect("one model");
        let prepared = judge.prepare(&oracle.client).await.expect("the domains are prepared");
        let (ids, values) = images(
            &oracle.client,
            domains[0].1.table(),
            judge.columns(),
            &oracle.registry,
            model,
        )
        .await;
        let matches = prepared
            .judge(&oracle.client, ids.len(), &values)
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
