//! Transactions larger than anything that is read at once: complete, and in bounded memory.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd_ok};
use crate::support::{Database, eventually};

/// What the issue promises for a million rows. Most of what the service takes does not depend on how many there are.
const RESIDENT_AT_MOST_KB: u64 = 200 * 1024;

/// The most that a process has ever had in memory; `None` where the system does not tell.
fn peak_resident_kb(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

async fn subscribe(database: &Database, receiver: &Receiver, options: &[&str]) {
    let url = receiver.url("/");
    let mut arguments = vec!["subscribe", "--url", &url];
    arguments.extend(options);
    eventd_ok(&database.url(), &arguments).await;
}

/// What is done to a table at the same moment, an ANALYZE of the server itself say, may have kept its triggers from being made.
async fn captured(database: &Database) {
    eventually("everything to be captured", SOON, async || {
        let waiting = "select count(*) from mcp_event_subscription where state is distinct from 'ready'";
        (database.psql(waiting).await == "0").then_some(())
    })
    .await;
}

/// One transaction changes so many partners, of which every stored field is watched and one is in a domain.
async fn arrives_in_bounded_memory(rows: usize, silence: Duration) {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql(&format!(
            "insert into res_partner (name, complete_name, email, street, comment, active, lang, tz)
             select 'Partner ' || n, 'Company, Partner ' || n, n || '@example.com', 'Street ' || n, repeat('words ', 30), true, 'en_US', 'UTC'
               from generate_series(1, {rows}) n"
        ))
        .await;
    let existing: usize = database.psql("select count(*) from res_partner").await.parse().unwrap();
    subscribe(
        &database,
        &receiver,
        &[
            "--model",
            "res.partner",
            "--event",
            "write",
            "--domain",
            "[('name', '!=', 'x')]",
        ],
    )
    .await;
    let service = Service::leading(&database).await;
    captured(&database).await;
    let idle = peak_resident_kb(service.pid());
    let began = Instant::now();
    database
        .psql("update res_partner set comment = 'all', street = street || '!'")
        .await;
    let written = began.elapsed();
    let requests = receiver.wait_for(existing.div_ceil(1_000), silence).await;
    let arrived = began.elapsed();
    let mut ids: Vec<i64> = requests
        .iter()
        .flat_map(|r| r.json()["record_ids"].as_array().unwrap().clone())
        .map(|id| id.as_i64().unwrap())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), existing, "every record once");
    let peak = peak_resident_kb(service.pid());
    eprintln!(
        "{existing} rows: written in {written:.1?}, arrived {:.1?} later; resident at most {peak:?} kB, {idle:?} kB when idle",
        arrived.saturating_sub(written)
    );
    match peak {
        Some(peak) => assert!(peak < RESIDENT_AT_MOST_KB, "{peak} kB resident"),
        None => eprintln!("skipped: without /proc/PID/status nobody tells what a process had in memory"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_rows_of_one_transaction_arrive_in_less_than_200_mb() {
    arrives_in_bounded_memory(100_000, SOON * 5).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes and gigabytes: make soak"]
async fn a_million_rows_of_one_transaction_arrive_in_less_than_200_mb() {
    arrives_in_bounded_memory(1_000_000, Duration::from_secs(1_800)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_a_large_transaction_writes_twenty_thousand_times_has_one_change_from_first_to_last() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("insert into project_tags (id, name, color) select n, '{}', 0 from generate_series(1001, 4000) n")
        .await;
    // Only what is before the first write and after the last tells these apart.
    for (name, mode, domain) in [
        ("first", "leave", "[('color', '=', 0)]"),
        ("last", "enter", "[('color', '=', 20000)]"),
        ("between", "enter", "[('color', '=', 10000)]"),
    ] {
        let options = [
            "--model",
            "project.tags",
            "--event",
            "write",
            "--fields",
            "color",
            "--name",
            name,
            "--trigger-mode",
            mode,
            "--domain",
            domain,
        ];
        subscribe(&database, &receiver, &options).await;
    }
    subscribe(&database, &receiver, &["--model", "project.tags", "--event", "create"]).await;
    subscribe(&database, &receiver, &["--model", "project.tags", "--event", "unlink"]).await;
    let _service = Service::leading(&database).await;
    captured(&database).await;
    database
        .psql(
            "do $$ begin
               update project_tags set color = 1 where id in (1001, 4000);
               insert into project_tags (id, name, color) values (5000, '{}', 0), (5001, '{}', 0);
               for n in 2..20000 loop
                 update project_tags set color = n where id = 2000;
                 if n % 20 = 0 then update project_tags set color = n where id in (3000, 5000, 5001); end if;
               end loop;
               update project_tags set color = 20000 where id = 3000;
               update project_tags set color = 0 where id = 1001;
               delete from project_tags where id in (4000, 5001);
             end $$",
        )
        .await;
    let requests = receiver.wait_for(4, SOON).await;
    let mut arrived: HashMap<(i64, String), String> = HashMap::new();
    for request in &requests {
        let body = request.json();
        let key = (
            body["subscription_id"].as_i64().unwrap(),
            body["event_type"].as_str().unwrap().to_owned(),
        );
        assert!(arrived.insert(key, body["record_ids"].to_string()).is_none(), "{body}");
    }
    let expected = [
        ((1, "write"), "[2000,3000]"),
        ((2, "write"), "[2000,3000]"),
        ((4, "create"), "[5000]"),
        ((5, "unlink"), "[4000]"),
    ];
    let expected: HashMap<(i64, String), String> = expected
        .map(|((id, of), ids)| ((id, of.to_owned()), ids.to_owned()))
        .into();
    assert_eq!(arrived, expected);
}
