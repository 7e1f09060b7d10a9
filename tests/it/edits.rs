//! Edits among many subscriptions: each costs what one costs, takes effect at once, and changes nothing for the others.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;

use odoo_eventd::demo::scratch::Scratch;
use odoo_eventd::domain::check::{Context, TypedDomain, check_text};
use odoo_eventd::domain::judge::Judge;
use odoo_eventd::pg;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::delivery::{subscribe, wait_true};
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd_ok, program, wait_until_leading};
use crate::support::{Database, eventually};

/// How many subscriptions each look of the service went through.
fn looked_at(log: &std::path::Path) -> Vec<u64> {
    let log = std::fs::read_to_string(log).unwrap();
    log.lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|line| line["looked_at"].as_u64())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_among_hundreds_is_looked_at_alone_and_holds_for_the_next_event() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let receiver = Receiver::start().await;
    let insert = |name: &str, domain: &str| {
        format!(
            "insert into mcp_event_subscription (name, model, event_type, fields, domain, webhook_url)
               values ('{name}', 'crm.tag', 'write', '{{color}}', '{domain}', '{}')",
            receiver.url(&format!("/{name}"))
        )
    };
    let mut many = String::new();
    for number in 1..=600 {
        many += &format!(
            "{};",
            insert(
                &format!("no{number}"),
                &format!("[(''color'', ''='', {})]", 1_000_000 + number)
            )
        );
    }
    database.client().await.batch_execute(&many).await.unwrap();
    database.psql(&insert("all", "[]")).await;
    let scratch = Scratch::new(None).unwrap();
    let log = scratch.path().join("service.log");
    let mut command = program();
    command.args(["--database-url", &database.url(), "--log-format", "json", "run"]);
    let _service = Service::logging_to(File::create(&log).unwrap(), command);
    wait_until_leading(&database).await;
    let settled = "(select count(*) = 0 from mcp_event_subscription where active and state is distinct from 'ready')";
    wait_true(&database, settled).await;
    let looked_at_all = "(select count(*) = 0 from mcp_event_subscription where active and state is null)";
    let first = eventually("the first look to be told", SOON, async || {
        Some(looked_at(&log).len()).filter(|looks| *looks > 0)
    })
    .await;
    let edit = "update mcp_event_subscription set";
    let mut color = 100;
    let mut heard: BTreeSet<String> = BTreeSet::new();
    let (mut matching, mut sent) = (BTreeSet::from(["/all".to_owned()]), 0);
    for (sql, path, is_heard) in [
        (insert("new", "[]"), "/new", true),
        (insert("one", "[(''color'', ''>'', 0)]"), "/one", true),
        (
            format!("{edit} domain = '[(''color'', ''<'', 0)]' where name = 'one'"),
            "/one",
            false,
        ),
        (
            format!("{edit} domain = '[(''name'', ''!='', ''x'')]' where name = 'no7'"),
            "/no7",
            true,
        ),
        (format!("{edit} active = false where name = 'no7'"), "/no7", false),
        (format!("{edit} active = true where name = 'no7'"), "/no7", true),
        (
            "delete from mcp_event_subscription where name = 'new'".to_owned(),
            "/new",
            false,
        ),
        (format!("{edit} fields = '{{}}' where name = 'all'"), "/all", true),
        (format!("{edit} domain = '[(' where name = 'no7'"), "/no7", false),
        (format!("{edit} domain = '[]' where name = 'no7'"), "/no7", true),
    ] {
        database.psql(&sql).await;
        // What one needs that was not captured yet counts from when it is.
        wait_true(&database, looked_at_all).await;
        color += 1;
        database
            .psql(&format!("update crm_tag set color = {color} where id = 1"))
            .await;
        if is_heard {
            matching.insert(path.to_owned());
        } else {
            matching.remove(path);
        }
        sent += matching.len();
        let requests = receiver.wait_for(sent, SOON).await;
        heard = requests[sent - matching.len()..]
            .iter()
            .map(|request| request.path.clone())
            .collect();
        assert_eq!(heard, matching, "after {sql}");
    }
    assert!(!heard.is_empty());
    let edits = looked_at(&log).split_off(first);
    assert!(edits.len() >= 8, "{edits:?}");
    assert!(edits.iter().all(|count| *count <= 3), "each for itself: {edits:?}");
}

#[tokio::test]
async fn a_judge_that_was_changed_a_hundred_times_answers_as_one_that_was_made_at_once() {
    let database = Database::fixture().await;
    let client = database.client().await;
    let registry = pg::registry::load(&client).await.unwrap();
    let context = Context::at(jiff::Timestamp::now());
    let pool: Vec<TypedDomain> = (0..40)
        .map(|number| match number % 4 {
            0 => format!("[('id', '=', {number})]"),
            1 => format!("[('id', '<', {number}), ('color', '!=', {number})]"),
            2 => format!("['|', ('color', '=', {number}), ('name', 'ilike', '{number}')]"),
            _ => format!("[('id', 'in', [{number}, 1, 2])]"),
        })
        .map(|text| check_text(&text, "crm.tag", &registry, &context).unwrap())
        .collect();
    let mut rng = StdRng::seed_from_u64(16);
    let mut domains: BTreeMap<i64, usize> = (0..300).map(|id| (id, rng.random_range(0..pool.len()))).collect();
    let of = |domains: &BTreeMap<i64, usize>| -> Vec<(i64, &TypedDomain)> {
        domains.iter().map(|(id, of)| (*id, &pool[*of])).collect()
    };
    let mut kept = Judge::new(&of(&domains), &registry).unwrap();
    let images = 20;
    let pooled = pg::connect::Database::parse(&database.url()).unwrap();
    let pooled = pooled.pool(1).unwrap().get().await.unwrap();
    let answers = async |judge: &Judge| {
        let columns = judge
            .columns()
            .iter()
            .map(|column| {
                (1..=images)
                    .map(|image| {
                        Some(if column.column == "name" {
                            format!("{{\"en_US\": \"n{image}\"}}")
                        } else {
                            image.to_string()
                        })
                    })
                    .collect()
            })
            .collect();
        let found = pg::judge::judge(&pooled, judge, images, &columns).await.unwrap();
        found
            .into_iter()
            .map(|ids| ids.into_iter().collect::<BTreeSet<i64>>())
            .collect::<Vec<_>>()
    };
    let mut anew = 0;
    for round in 0..100 {
        let mut gone: HashSet<i64> = HashSet::new();
        let mut new: HashMap<i64, usize> = HashMap::new();
        for _ in 0..rng.random_range(1..6) {
            let id = rng.random_range(0..320);
            gone.insert(id);
            domains.remove(&id);
            new.remove(&id);
            if rng.random_bool(0.6) {
                let domain = rng.random_range(0..pool.len());
                domains.insert(id, domain);
                new.insert(id, domain);
            }
        }
        let all: HashMap<i64, &TypedDomain> = of(&domains).into_iter().collect();
        let new: Vec<(i64, &TypedDomain)> = new.iter().map(|(id, domain)| (*id, &pool[*domain])).collect();
        let whole = Judge::new(&of(&domains), &registry).unwrap();
        kept = kept.changed(&gone, &new, &all, &registry).unwrap().unwrap_or_else(|| {
            anew += 1;
            Judge::new(&of(&domains), &registry).unwrap()
        });
        if round % 5 == 0 {
            assert_eq!(answers(&kept).await, answers(&whole).await, "round {round}");
        }
        assert!(kept.chunks().count() <= 9, "round {round}: {}", kept.chunks().count());
    }
    assert!(anew <= 5, "{anew} times of 100 everything was made anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_edit_is_looked_at_events_of_other_models_go_on_and_its_own_wait() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let of_tags = ["--event", "write", "--fields", "color"];
    subscribe(&database, "crm.tag", &receiver.url("/tags"), &of_tags).await;
    let of_partners = ["--event", "write", "--fields", "ref"];
    subscribe(&database, "res.partner", &receiver.url("/partners"), &of_partners).await;
    let _service = Service::leading(&database).await;
    // The first look of all is over.
    database.psql("update crm_tag set color = 8 where id = 1").await;
    receiver.wait_for(1, SOON).await;

    // What a look records cannot be written: it lasts as long as this transaction.
    let mut holding = database.client().await;
    let held = holding.transaction().await.unwrap();
    held.batch_execute("lock table odoo_eventd.subscription_need in share mode")
        .await
        .unwrap();
    let url = receiver.url("/new");
    database
        .psql(&format!(
            "insert into mcp_event_subscription (model, event_type, fields, webhook_url)
               values ('res.partner', 'write', '{{ref}}', '{url}')"
        ))
        .await;
    database.psql("update crm_tag set color = 9 where id = 1").await;
    assert_eq!(receiver.wait_for(2, SOON).await[1].path, "/tags");
    database.psql("update res_partner set ref = 'x' where id = 8").await;
    held.rollback().await.unwrap();
    let mut paths: Vec<_> = receiver
        .wait_for(4, SOON)
        .await
        .into_iter()
        .map(|request| request.path)
        .collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        ["/new", "/partners", "/tags", "/tags"],
        "nothing was passed over"
    );
}
