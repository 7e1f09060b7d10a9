use serde_json::{Value, json};

use super::*;

fn healthy() -> Value {
    let mut facts = json!({
        "server_version": "15.8", "server_version_num": 150_008, "odoo_version": "18.0.1.3", "read_only": false,
        "login": "odoo_eventd_listener", "owner": "odoo", "listener_role": "odoo_eventd_listener", "listener_exists": true,
        "login_is_superuser": false, "owner_may_end_listener": true, "tls": false, "remote": false, "system_identifier": "7",
        "fence": null, "capture": true, "notify": true, "gaps_open": 0, "models": [{"model": "sale.order", "drift": null, "switched_off": false, "asleep": 0}],
        "gaps": [], "invalid": [], "replica_role_for": [], "leader_pid": 1, "other_listeners": [], "long_transactions": [], "prepared": [],
        "outbox_bytes": 0, "outbox_max_bytes": 100, "outbox_unread": 0, "outbox_oldest_unread_age_s": 0.0,
        "unfinished": 0, "oldest_due_age_s": 0.0, "subscriptions": {"ready": 1, "pending": 0, "invalid": 0, "disabled": 0, "inactive": 0},
        "notify_queue_ratio": 0.0, "delivery": {"rows": 1, "dead": 0},
        "connections": {"used": 10, "most": 97, "of_login": -1, "of_database": -1, "used_by_login": 1, "used_in_database": 5},
        "log": {"days": 3, "bytes": 0, "today": true, "tomorrow": true, "oldest": "2026-11-21"}
    });
    facts["feed"] =
        json!({"bytes": 0, "max_bytes": 1_073_741_824, "keep_s": 86_400, "oldest_age_s": 0.0, "is_shortened": false});
    facts["disabled"] = json!([]);
    facts["waiting"] = json!([]);
    facts["troubles"] = json!([]);
    facts["strangers"] = json!([]);
    facts["server_time"] = json!(0.0);
    facts["troubles_open"] = json!(0);
    facts["oldest_transaction_age_s"] = json!(0.0);
    facts["oldest_prepared_age_s"] = json!(0.0);
    facts["log"]["oldest_age_days"] = json!(9);
    facts["owner_reads_all"] = json!(false);
    facts["temp_file_limit"] = Value::Null;
    facts
}

fn judged(database: &Value, clock: f64) -> Vec<Finding> {
    judge(&Facts {
        database: &serde_json::from_value(database.clone()).unwrap(),
        clock: (clock, 0.1),
        sslmode: "prefer".to_owned(),
        server_is_verified: false,
        connections_needed: 7,
        pooler: None,
        alarm_after: limits::ALARM_AFTER,
    })
}

/// The level of a code once one fact is changed.
fn level_with(path: &str, value: Value, code: &str) -> Level {
    let mut database = healthy();
    *database.pointer_mut(path).unwrap() = value;
    let findings = judged(&database, 0.0);
    findings.iter().find(|f| f.code == code).unwrap().level
}

#[test]
fn a_healthy_installation_has_nothing_wrong_and_everything_is_looked_at() {
    let findings = judged(&healthy(), 0.0);
    let codes: Vec<&str> = findings.iter().map(|f| f.code).collect();
    let mut expected = CODES.to_vec();
    let mut sorted = codes.clone();
    sorted.sort_unstable();
    expected.sort_unstable();
    assert_eq!(sorted, expected);
    assert!(findings.iter().all(|f| f.level <= Level::Note), "{findings:?}");
}

#[test]
fn each_pain_is_found_and_comes_with_advice() {
    for (path, value, code, level) in [
        ("/server_version_num", json!(130_001), "server-version", Level::Warning),
        ("/temp_file_limit", json!("1GB"), "temp-files", Level::Warning),
        ("/server_version_num", json!(190_000), "server-version", Level::Warning),
        ("/odoo_version", json!("12.0.1.3"), "odoo-version", Level::Warning),
        ("/odoo_version", json!("20.0.1.3"), "odoo-version", Level::Warning),
        ("/odoo_version", json!(null), "odoo-version", Level::Warning),
        ("/read_only", json!(true), "read-only", Level::Wrong),
        ("/listener_exists", json!(false), "rights", Level::Wrong),
        ("/owner_may_end_listener", json!(false), "rights", Level::Warning),
        ("/owner_reads_all", json!(true), "rights", Level::Note),
        ("/remote", json!(true), "tls", Level::Warning),
        ("/fence", json!("this is a copy"), "copy", Level::Wrong),
        ("/capture", json!(false), "capture-off", Level::Wrong),
        ("/models/0/switched_off", json!(true), "capture-off", Level::Wrong),
        ("/replica_role_for", json!(["etl"]), "capture-off", Level::Warning),
        ("/models/0/drift", json!("the table is gone"), "drift", Level::Wrong),
        ("/models/0/asleep", json!(4), "drift", Level::Wrong),
        (
            "/gaps",
            json!([{"model": "m", "reason": "capture off", "from": "a", "to": "b"}]),
            "gaps",
            Level::Warning,
        ),
        (
            "/gaps",
            json!([{"model": "m", "reason": "the outbox was full", "from": "a", "to": "b"}]),
            "gaps",
            Level::Wrong,
        ),
        ("/outbox_bytes", json!(26), "outbox", Level::Warning),
        ("/outbox_bytes", json!(51), "outbox", Level::Wrong),
        ("/outbox_oldest_unread_age_s", json!(301), "outbox", Level::Wrong),
        ("/oldest_due_age_s", json!(301), "deliveries", Level::Wrong),
        (
            "/invalid",
            json!([{"id": 3, "error": "no such field"}]),
            "subscriptions",
            Level::Wrong,
        ),
        ("/leader_pid", json!(null), "service", Level::Wrong),
        ("/other_listeners", json!(["bus"]), "other-listeners", Level::Note),
        (
            "/long_transactions",
            json!([{"pid": 1, "age_s": 700}]),
            "transactions",
            Level::Warning,
        ),
        (
            "/prepared",
            json!([{"gid": "x", "age_s": 700}]),
            "transactions",
            Level::Warning,
        ),
        ("/notify_queue_ratio", json!(0.2), "notify-queue", Level::Warning),
        ("/notify_queue_ratio", json!(0.6), "notify-queue", Level::Wrong),
        ("/connections/used", json!(95), "connections", Level::Warning),
        ("/connections/of_login", json!(5), "connections", Level::Warning),
        ("/log/today", json!(false), "log", Level::Wrong),
        ("/log/tomorrow", json!(null), "log", Level::Warning),
        ("/feed/is_shortened", json!(true), "feed", Level::Warning),
        ("/feed/bytes", json!(2_000_000_000), "feed", Level::Wrong),
        ("/delivery/dead", json!(200_000), "vacuum", Level::Warning),
    ] {
        assert_eq!(level_with(path, value.clone(), code), level, "{path} {value}");
        let mut database = healthy();
        *database.pointer_mut(path).unwrap() = value;
        let findings = judged(&database, 0.0);
        assert!(
            findings
                .iter()
                .filter(|f| f.level >= Level::Warning)
                .all(|f| !f.advice.is_empty()),
            "{path}: {findings:?}"
        );
    }
}

#[test]
fn clocks_count_only_as_exactly_as_they_were_compared() {
    let level = |skew, exact_to| {
        let database = serde_json::from_value(healthy()).unwrap();
        let facts = Facts {
            database: &database,
            clock: (skew, exact_to),
            sslmode: "prefer".to_owned(),
            server_is_verified: false,
            connections_needed: 7,
            pooler: None,
            alarm_after: limits::ALARM_AFTER,
        };
        judge(&facts).iter().find(|f| f.code == "clock").unwrap().level
    };
    assert_eq!(level(-4.0, 0.1), Level::Ok);
    assert_eq!(level(-6.0, 0.1), Level::Warning);
    assert_eq!(level(6.0, 3.0), Level::Ok);
    assert_eq!(level(130.0, 1.0), Level::Wrong);
}

#[test]
fn what_the_database_does_not_tell_is_an_error_and_no_zero() {
    let whole = healthy();
    for missing in whole.as_object().unwrap().keys() {
        // What may be null may be left out; these are never what an alarm goes by.
        if [
            "fence",
            "temp_file_limit",
            "odoo_version",
            "leader_pid",
            "notify",
            "listener_role",
            "delivery",
            "tls",
        ]
        .contains(&missing.as_str())
        {
            continue;
        }
        let mut database = whole.clone();
        database.as_object_mut().unwrap().remove(missing);
        let read: Result<facts::Examination, _> = serde_json::from_value(database);
        assert!(read.is_err(), "{missing}");
    }
}
