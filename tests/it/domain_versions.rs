//! Domains on Odoo 16, 17, 18 and 19, against what that version itself answered (`../shared/odoo`): right or refused, never wrong.

#![expect(clippy::print_stdout, reason = "the table by version is what this test is also for")]

use std::collections::BTreeMap;

use odoo_eventd::cli::domain::matching_ids;
use odoo_eventd::domain::check::{Context, check_text};
use odoo_eventd::odoo::registry::Registry;
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::Client;

use crate::domains::Case;
use crate::support::{Database, odoo_data};

/// Of a hundred cases that Odoo answers, so many may be refused.
const REFUSED_AT_MOST: usize = 5;

#[derive(Debug, Deserialize)]
struct Invalid {
    model: String,
    domain: String,
    /// Where it is given, only `raises` is an error of Odoo's.
    verdict: Option<String>,
}

/// What a version's cases came to.
#[derive(Default)]
struct Stats {
    cases: usize,
    right: usize,
    /// Odoo answers and this program does not, by what it says.
    refused: BTreeMap<String, usize>,
    /// Odoo has no search for a field, logs an error and takes every record for a match: refusing is right.
    unsearchable: usize,
    wrong: Vec<String>,
    invalid: usize,
    accepted: Vec<String>,
}

struct Oracle {
    client: Client,
    _database: Database,
    registry: Registry,
    context: Context,
    /// What `fields_get` says of each field, where it is at hand.
    fields: Value,
}

impl Oracle {
    async fn open(version: u16) -> Option<Self> {
        let database = Database::dump_of(version).await?;
        let client = database.client().await;
        let registry = odoo_eventd::pg::registry::load(&client)
            .await
            .expect("the dump is an Odoo database");
        assert_eq!(
            registry.facts().version,
            version,
            "the version is found in the database"
        );
        Some(Self {
            client,
            _database: database,
            registry,
            context: Context::at("2026-11-30T04:30:00Z".parse().expect("a timestamp")),
            fields: fields_get(version),
        })
    }

    /// Whether a refusal names a field that Odoo cannot search either. Some fields are hidden from `fields_get`: the tag tells.
    fn is_unsearchable(&self, refusal: &str, case: &Case) -> bool {
        let is_tagged = case.tags.contains("nonstored");
        refusal.split([' ', ':', ';']).any(|word| {
            word.rsplit_once('.').is_some_and(|(model, field)| {
                let searchable = &self.fields[model][field]["searchable"];
                *searchable == Value::Bool(false)
                    || (is_tagged && searchable.is_null() && self.fields.get(model).is_some())
            })
        })
    }

    async fn tally(&self, version: u16) -> Stats {
        let mut tally = Stats::default();
        for case in read::<Case>(version, "domain_cases.json") {
            // These were true of the moment at which Odoo was asked.
            if case.tags.contains("clock") {
                continue;
            }
            tally.cases += 1;
            let typed = match check_text(&case.domain, &case.model, &self.registry, &self.context) {
                Ok(typed) => typed,
                Err(refused) => {
                    let refusal = refused.to_string();
                    match self.is_unsearchable(&refusal, &case) {
                        true => tally.unsearchable += 1,
                        false => *tally.refused.entry(class_of(&refusal)).or_default() += 1,
                    }
                    continue;
                }
            };
            match matching_ids(&self.client, &typed).await {
                Ok(ids) if ids == case.ids => tally.right += 1,
                Ok(ids) => tally.wrong.push(format!(
                    "{} {}: {} ids instead of {}",
                    case.model,
                    case.domain,
                    ids.len(),
                    case.ids.len()
                )),
                Err(error) => tally
                    .wrong
                    .push(format!("{} {}: {}", case.model, case.domain, error.chain())),
            }
        }
        for case in read::<Invalid>(version, "domain_invalid.json") {
            if case.verdict.as_deref().is_some_and(|verdict| verdict != "raises") {
                continue;
            }
            tally.invalid += 1;
            if check_text(&case.domain, &case.model, &self.registry, &self.context).is_ok() {
                tally.accepted.push(format!("{} {}", case.model, case.domain));
            }
        }
        tally
    }
}

fn read<T: serde::de::DeserializeOwned>(version: u16, file: &str) -> Vec<T> {
    let path = odoo_data(version).join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).expect("the cases are JSON")
}

fn fields_get(version: u16) -> Value {
    let path = odoo_data(version).join("fields_get.json.gz");
    let unzipped = std::process::Command::new("gzip")
        .arg("-dc")
        .arg(&path)
        .output()
        .expect("gzip runs");
    serde_json::from_slice(&unzipped.stdout).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A refusal without what is particular to the case.
fn class_of(refusal: &str) -> String {
    let words: Vec<&str> = refusal
        .split(' ')
        .map(|word| match word.contains(['.', '_', '"', '\'']) {
            true => "..",
            false => word,
        })
        .collect();
    words.join(" ").split(':').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn every_case_of_every_version_is_right_or_refused() {
    let mut failures = Vec::new();
    println!(
        "{:7} {:>5} {:>5} {:>12} {:>7} {:>5} {:>7} {:>8}",
        "version", "cases", "right", "unsearchable", "refused", "wrong", "invalid", "accepted"
    );
    for version in [16, 17, 18, 19] {
        let Some(oracle) = Oracle::open(version).await else {
            return;
        };
        let tally = oracle.tally(version).await;
        let refused: usize = tally.refused.values().sum();
        println!(
            "{version:7} {:>5} {:>5} {:>12} {refused:>7} {:>5} {:>7} {:>8}",
            tally.cases,
            tally.right,
            tally.unsearchable,
            tally.wrong.len(),
            tally.invalid,
            tally.accepted.len()
        );
        let mut classes: Vec<_> = tally.refused.iter().collect();
        classes.sort_by_key(|(class, count)| (std::cmp::Reverse(**count), *class));
        for (class, count) in classes {
            println!("        {count:>4} {class}");
        }
        if refused * 100 > (tally.cases - tally.unsearchable) * REFUSED_AT_MOST {
            failures.push(format!("{version}: {refused} refused"));
        }
        failures.extend(tally.wrong.iter().map(|case| format!("{version} WRONG {case}")));
        failures.extend(tally.accepted.iter().map(|case| format!("{version} ACCEPTED {case}")));
    }
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[tokio::test]
async fn a_newer_odoo_follows_the_newest_rules_and_refuses_what_a_list_would_tell() {
    let Some(oracle) = Oracle::open(19).await else { return };
    oracle
        .client
        .batch_execute("update ir_module_module set latest_version = '20.0.1.3' where name = 'base'")
        .await
        .expect("the version is changed");
    let registry = odoo_eventd::pg::registry::load(&oracle.client)
        .await
        .expect("a newer database is read");
    assert_eq!((registry.facts().version, registry.facts().rules()), (20, 19));
    let asked = |registry: &Registry, model: &str, domain: &str| {
        check_text(domain, model, registry, &oracle.context).map_err(|refused| refused.to_string())
    };
    for (model, domain) in [
        ("res.partner", "[('create_date', '>', 'today -3d')]"),
        (
            "res.partner",
            "[('name', 'not =ilike', 'a%'), ('country_id.code', '=', 'BE')]",
        ),
    ] {
        asked(&registry, model, domain).expect("a stored field needs no list");
    }
    for (model, domain) in [
        ("res.partner", "[('child_ids.name', '=', 'x')]"),
        ("sale.order", "[('partner_id', 'ilike', 'x')]"),
        ("hr.employee", "[('version_id', '!=', False)]"),
        ("sale.order.line", "[('price_unit', '>', 0.5)]"),
    ] {
        asked(&oracle.registry, model, domain).expect("19 knows it");
        asked(&registry, model, domain).expect_err("20 does not");
    }
}

#[tokio::test]
async fn what_asks_who_is_logged_in_means_odoobot_or_the_user_that_is_named() {
    for version in [16, 17, 18, 19] {
        let Some(oracle) = Oracle::open(version).await else {
            return;
        };
        oracle
            .client
            .batch_execute(
                "delete from mail_followers where res_model = 'res.partner';
                 insert into mail_followers (res_model, res_id, partner_id)
                 select 'res.partner', w.record, u.partner_id from (values (1, 1), (1, 3), (2, 3), (2, 5)) w (uid, record)
                   join res_users u on u.id = w.uid",
            )
            .await
            .expect("partners are followed");
        let matching = async |uid: Option<i32>, domain: &str| {
            let context = Context {
                uid,
                ..oracle.context.clone()
            };
            let typed = check_text(domain, "res.partner", &oracle.registry, &context)
                .unwrap_or_else(|refused| panic!("{version} {domain}: {refused}"));
            matching_ids(&oracle.client, &typed).await.expect("a search")
        };
        let among = "('id', 'in', [1, 3, 5])";
        let followed = format!("[('message_is_follower', '=', True), {among}]");
        let not_followed = format!("[('message_is_follower', '!=', True), {among}]");
        assert_eq!(matching(None, &followed).await, [1, 3], "{version}");
        assert_eq!(matching(None, &not_followed).await, [5], "{version}");
        assert_eq!(matching(Some(2), &followed).await, [3, 5], "{version}");
    }
}

#[tokio::test]
async fn a_category_has_the_routes_of_all_above_it_in_19_and_no_search_before() {
    for version in [16, 17, 18, 19] {
        let Some(oracle) = Oracle::open(version).await else {
            return;
        };
        let asked = |model: &str, domain: &str| check_text(domain, model, &oracle.registry, &oracle.context);
        let behind = asked("product.template", "[('route_from_categ_ids', '!=', False)]");
        if version < 19 {
            let refused = behind.expect_err("Odoo takes every record for a match").to_string();
            assert!(refused.contains("product.category.total_route_ids"), "{refused}");
            continue;
        }
        let behind = behind.expect("19 has a search");
        oracle
            .client
            .batch_execute(
                "delete from stock_route_categ;
                 insert into stock_route_categ (categ_id, route_id) select 4, min(id) from stock_route",
            )
            .await
            .expect("a category gets a route");
        let ids = async |sql: &str| -> Vec<i64> {
            let rows = oracle.client.query(sql, &[]).await.expect("a read");
            rows.iter().map(|row| row.get::<_, i32>(0).into()).collect()
        };
        let below = ids("select id from product_category where parent_path like '4/%' order by id").await;
        assert!(below.len() > 1, "category 4 has some below it");
        let found = |domain: &str| {
            let typed = asked("product.category", domain).unwrap_or_else(|refused| panic!("{domain}: {refused}"));
            let client = &oracle.client;
            async move { matching_ids(client, &typed).await.expect("a search") }
        };
        assert_eq!(found("[('total_route_ids', '!=', False)]").await, below);
        assert_eq!(found("[('total_route_ids.name', 'ilike', '')]").await, below);
        let others = ids("select id from product_category where parent_path not like '4/%' order by id").await;
        assert_eq!(found("[('total_route_ids', '=', False)]").await, others);
        let templates = matching_ids(&oracle.client, &behind).await.expect("a search");
        let wanted = ids(
            "select t.id from product_template t join product_category c on c.id = t.categ_id
              where c.parent_path like '4/%' order by t.id",
        );
        assert_eq!(templates, wanted.await);
    }
}
