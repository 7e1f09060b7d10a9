//! Edits among many subscriptions: each costs what one costs, takes effect at once, and changes nothing for the others.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;

use odoo_eventd::demo::Options;
use odoo_eventd::demo::scratch::Scratch;
use odoo_eventd::domain::check::{Context, TypedDomain, check_text};
use odoo_eventd::pg;
use odoo_eventd::pg::domain::judge::Judge;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::delivery::{subscribe, wait_true};
use crate::support::process::signal;
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd_ok, program, wait_until_leading};
use crate::support::{Database, Server, eventually};

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
        let found = pg::domain::ask::judge(&pooled, judge, images, &columns).await.unwrap();
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

/// A service with a subscription to tags and one to partners, whose first look of all is over: one event of tags has arrived.
async fn serving_tags_and_partners(database: &Database, receiver: &Receiver) -> Service {
    eventd_ok(&database.url(), &["install"]).await;
    let of_tags = ["--event", "write", "--fields", "color"];
    subscribe(database, "crm.tag", &receiver.url("/tags"), &of_tags).await;
    let of_partners = ["--event", "write", "--fields", "ref"];
    subscribe(database, "res.partner", &receiver.url("/partners"), &of_partners).await;
    let service = Service::leading(database).await;
    database.psql("update crm_tag set color = 8 where id = 1").await;
    receiver.wait_for(1, SOON).await;
    service
}

async fn subscribe_partners_anew(database: &Database, receiver: &Receiver) {
    let url = receiver.url("/new");
    database
        .psql(&format!(
            "insert into mcp_event_subscription (model, event_type, fields, webhook_url)
               values ('res.partner', 'write', '{{ref}}', '{url}')"
        ))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_edit_is_looked_at_events_of_other_models_go_on_and_its_own_wait() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    let _service = serving_tags_and_partners(&database, &receiver).await;

    // What a look records cannot be written: it lasts as long as this transaction.
    let mut holding = database.client().await;
    let held = holding.transaction().await.unwrap();
    held.batch_execute("lock table odoo_eventd.subscription_need in share mode")
        .await
        .unwrap();
    subscribe_partners_anew(&database, &receiver).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn events_before_one_that_waits_for_a_look_do_not_wait_with_it() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    let service = serving_tags_and_partners(&database, &receiver).await;

    let mut holding = database.client().await;
    let held = holding.transaction().await.unwrap();
    held.batch_execute("lock table odoo_eventd.subscription_need in share mode")
        .await
        .unwrap();
    // It finds all of this at once.
    signal(service.pid(), "STOP");
    subscribe_partners_anew(&database, &receiver).await;
    database.psql("update crm_tag set color = 9 where id = 1").await;
    database.psql("update res_partner set ref = 'x' where id = 8").await;
    database.psql("update crm_tag set color = 10 where id = 1").await;
    signal(service.pid(), "CONT");
    assert_eq!(receiver.wait_for(2, SOON).await[1].path, "/tags");
    held.rollback().await.unwrap();
    let mut paths: Vec<_> = receiver.wait_for(5, SOON).await.into_iter().map(|r| r.path).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/new", "/partners", "/tags", "/tags", "/tags"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_are_looked_at_in_parts_and_each_part_is_served_before_the_next() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let service = Service::leading(&database).await;
    let of_tags = ["--event", "write", "--fields", "color"];
    subscribe(&database, "crm.tag", &receiver.url("/tags"), &of_tags).await;
    database.psql("update crm_tag set color = 8 where id = 1").await;
    receiver.wait_for(1, SOON).await;

    signal(service.pid(), "STOP");
    database
        .psql(&format!(
            "insert into mcp_event_subscription (name, model, event_type, fields, domain, webhook_url)
             select 'many', 'res.partner', 'write', '{{ref}}', format('[(''id'', ''='', %s)]', 1000000 + n), '{0}'
               from generate_series(1, 1200) n;
             insert into mcp_event_subscription (name, model, event_type, fields, webhook_url)
             select 'few', 'crm.tag', 'write', '{{color}}', '{0}' from generate_series(1, 5) n",
            receiver.url("/new")
        ))
        .await;
    // What is found of this one cannot be recorded: it is the last of the model that has most.
    let mut holding = database.client().await;
    let held = holding.transaction().await.unwrap();
    held.batch_execute(
        "select from mcp_event_subscription where id = (select max(id) from mcp_event_subscription where name = 'many') for update",
    )
    .await
    .unwrap();
    signal(service.pid(), "CONT");
    let few_are_ready = "(select bool_and(state = 'ready') from mcp_event_subscription where name = 'few')";
    wait_true(&database, few_are_ready).await;
    database.psql("update crm_tag set color = 9 where id = 1").await;
    let requests = receiver.wait_for(7, SOON).await;
    let new = requests.iter().filter(|request| request.path == "/new").count();
    assert_eq!(new, 5, "both those that were there and those that are new hear of it");
    let waiting = "(select count(*) > 0 from mcp_event_subscription where name = 'many' and state is null)";
    assert_eq!(database.psql(&format!("select {waiting}")).await.trim(), "t");
    held.rollback().await.unwrap();
    wait_true(
        &database,
        "(select bool_and(state = 'ready') from mcp_event_subscription)",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_look_at_other_records_only_those_that_may_not_are_refused() {
    let server = Server::private(Options::new());
    let database = server.fixture().await;
    eventd_ok(&database.admin_url(), &["install"]).await;
    let insert = |name: &str, domain: &str| {
        format!(
            "insert into mcp_event_subscription (name, model, event_type, domain)
             select '{name}', 'sale.order', 'write', format('{domain}', n) from generate_series(1, 3) n"
        )
    };
    database
        .psql(&insert("partner", "[(''partner_id.name'', ''='', ''p%s'')]"))
        .await;
    database
        .psql(&insert("country", "[(''partner_id.country_id.code'', ''='', ''c%s'')]"))
        .await;
    database
        .admin_client()
        .await
        .batch_execute("alter role odoo_eventd_listener login; grant select on res_partner to odoo_eventd_listener")
        .await
        .unwrap();
    let _service = Service::start(&database.url_as("odoo_eventd_listener"), &[]);
    wait_true(
        &database,
        "(select bool_and(state is not null) from mcp_event_subscription)",
    )
    .await;
    let states = database
        .psql("select string_agg(distinct name || ' ' || state, ', ' order by name || ' ' || state) from mcp_event_subscription")
        .await;
    assert_eq!(states.trim(), "country invalid, partner ready");
}
