//! What would go wrong here, and what to do about it: the judgement behind `odoo-eventd doctor`.
//!
//! Pure: [`judge`] takes what the database told ([`Facts`]) and returns findings. Each finding's code is a heading of the runbook
//! (`.packaging/RUNBOOK.md`), where the same trouble is explained at more length.

use serde::Serialize;
use serde_json::Value;

use crate::pg::tls::Mode;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Looked at and found good.
    Ok,
    /// To be known; nothing to do.
    Note,
    /// It may become wrong.
    Warning,
    /// Events are not captured or not delivered, or soon will not be.
    Wrong,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// A word for it, the same in every release.
    pub code: &'static str,
    /// What was found.
    pub found: String,
    /// What to do about it; empty when there is nothing to do.
    pub advice: String,
}

/// Every code that [`judge`] can return.
pub const CODES: [&str; 22] = [
    "server-version",
    "odoo-version",
    "read-only",
    "rights",
    "pooler",
    "tls",
    "clock",
    "copy",
    "physical-clone",
    "capture-off",
    "drift",
    "gaps",
    "outbox",
    "deliveries",
    "subscriptions",
    "service",
    "other-listeners",
    "transactions",
    "notify-queue",
    "connections",
    "log",
    "vacuum",
];

/// What the judgement is made from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// What `odoo_eventd.examine()` told.
    pub database: &'a Value,
    /// This host's clock minus the server's, in seconds; and how exact that is.
    pub clock: (f64, f64),
    /// How connections are protected.
    pub tls: Mode,
    /// What is between us and the server: `None` = nothing that matters.
    pub pooler: Option<&'a str>,
    /// After how many seconds a waiting event is an alarm.
    pub alarm_after_s: f64,
}

/// Part of the outbox's cap above which somebody is told: well before capture stops.
const OUTBOX_WARNING: f64 = 0.25;
/// Part of the outbox's cap above which it counts as wrong.
const OUTBOX_WRONG: f64 = 0.5;

/// Seconds that clocks may differ: receivers refuse signatures that are off by 5 minutes.
const CLOCK_WARNING_S: f64 = 5.0;
const CLOCK_WRONG_S: f64 = 120.0;

/// Connections that the service makes: listener, doorbell, roster's own, and a pool of five.
const CONNECTIONS_OF_THE_SERVICE: i64 = 8;

/// Judges everything, in the order of [`CODES`].
pub fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    server(facts, &mut findings);
    connection(facts, &mut findings);
    identity(facts, &mut findings);
    capture(facts, &mut findings);
    queues(facts, &mut findings);
    surroundings(facts, &mut findings);
    findings
}

/// Adds a finding: good, or of a level with advice.
fn add(
    findings: &mut Vec<Finding>,
    code: &'static str,
    level: Level,
    found: impl Into<String>,
    advice: impl Into<String>,
) {
    findings.push(Finding {
        level,
        code,
        found: found.into(),
        advice: advice.into(),
    });
}

fn server(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let told = facts.database;
    let version = text(&told["server_version"]);
    match told["server_version_num"].as_i64().unwrap_or(0) / 10_000 {
        13 => add(
            findings,
            "server-version",
            Level::Warning,
            format!("PostgreSQL {version} is supported by odoo-eventd, but by PostgreSQL no longer"),
            "plan an upgrade with pg_upgrade; afterwards `odoo-eventd adopt --pending keep`",
        ),
        14..=18 => add(
            findings,
            "server-version",
            Level::Ok,
            format!("PostgreSQL {version}"),
            "",
        ),
        _ => add(
            findings,
            "server-version",
            Level::Warning,
            format!("PostgreSQL {version} was not tested with this release"),
            "look for a newer odoo-eventd",
        ),
    }
    let odoo = text(&told["odoo_version"]);
    match odoo.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
        Some(16..=19) => add(findings, "odoo-version", Level::Ok, format!("Odoo {odoo}"), ""),
        Some(_) => add(
            findings,
            "odoo-version",
            Level::Warning,
            format!("Odoo {odoo}: what domains mean is known for 16 to 19"),
            "compare a few domains with `odoo-eventd domain eval`",
        ),
        None => add(
            findings,
            "odoo-version",
            Level::Warning,
            "Odoo's version is not in the database",
            "check that this is Odoo's own database and that its base module is installed",
        ),
    }
    if told["read_only"] == true {
        add(
            findings,
            "read-only",
            Level::Wrong,
            "the server is a standby or read-only: the service can write nothing here",
            "name the primary in the database URL, for example with target_session_attrs=read-write and all hosts",
        );
    } else {
        add(findings, "read-only", Level::Ok, "the server can be written to", "");
    }
    rights(told, findings);
}

fn rights(told: &Value, findings: &mut Vec<Finding>) {
    let login = text(&told["login"]);
    if told["listener_role"].is_string() && told["listener_exists"] == false {
        add(
            findings,
            "rights",
            Level::Wrong,
            format!(
                "the listener's role \"{}\" is not on this cluster",
                text(&told["listener_role"])
            ),
            "run `odoo-eventd install` again as a superuser, or let the service log in as the owner",
        );
    } else if told["owner_may_end_listener"] == false {
        add(
            findings,
            "rights",
            Level::Warning,
            format!(
                "Odoo's role \"{}\" may not end the listener's sessions: its manager cannot drop or duplicate the database while the \
                 service runs",
                text(&told["owner"])
            ),
            format!(
                "GRANT \"{}\" TO \"{}\"",
                text(&told["listener_role"]),
                text(&told["owner"])
            ),
        );
    } else if told["login_is_superuser"] == true {
        add(
            findings,
            "rights",
            Level::Note,
            format!("\"{login}\" is a superuser, which the service should not be"),
            "let the service log in as the listener's role",
        );
    } else {
        add(
            findings,
            "rights",
            Level::Ok,
            format!("\"{login}\" may call the functions"),
            "",
        );
    }
}

fn connection(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    match facts.pooler {
        Some(found) => add(
            findings,
            "pooler",
            Level::Wrong,
            found,
            "connect to PostgreSQL itself, or to a pool in session mode: the lead, LISTEN and prepared statements live in a session",
        ),
        None => add(
            findings,
            "pooler",
            Level::Ok,
            "sessions keep their state and hear their notifications",
            "",
        ),
    }
    let remote = facts.database["remote"] == true;
    if remote && facts.tls < Mode::VerifyFull {
        add(
            findings,
            "tls",
            Level::Warning,
            format!(
                "the server is another host, and sslmode is {}{}",
                facts.tls,
                if facts.database["tls"] == true {
                    ""
                } else {
                    ": nothing is encrypted"
                }
            ),
            "sslmode=verify-full&sslrootcert=FILE in the database URL",
        );
    } else {
        add(findings, "tls", Level::Ok, format!("sslmode is {}", facts.tls), "");
    }
    let (skew, exact_to) = facts.clock;
    let off = (skew.abs() - exact_to).max(0.0);
    let level = match off {
        off if off > CLOCK_WRONG_S => Level::Wrong,
        off if off > CLOCK_WARNING_S => Level::Warning,
        _ => Level::Ok,
    };
    let advice = if level == Level::Ok {
        ""
    } else {
        "let both hosts keep time by NTP: signatures carry this host's time, and receivers refuse what is 5 minutes off"
    };
    add(
        findings,
        "clock",
        level,
        format!("this host's clock is {skew:+.1} s from the server's"),
        advice,
    );
}

fn identity(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let told = facts.database;
    match told["fence"].as_str() {
        Some(reason) => add(
            findings,
            "copy",
            Level::Wrong,
            format!("nothing is delivered: {reason}"),
            "if this database should deliver: `odoo-eventd adopt --pending drop` (or keep, after pg_upgrade)",
        ),
        None => add(
            findings,
            "copy",
            Level::Ok,
            "this is the database that was installed",
            "",
        ),
    }
    add(
        findings,
        "physical-clone",
        Level::Note,
        format!(
            "a physical copy of this server (system identifier {}) cannot be told from it from inside",
            text(&told["system_identifier"])
        ),
        "where a base backup or a snapshot is started as a server of its own, make sure that no service reaches it, or neutralize it first",
    );
}

fn capture(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let told = facts.database;
    let models: Vec<&Value> = list(&told["models"]).collect();
    let off: Vec<String> = models
        .iter()
        .filter(|m| m["switched_off"] == true)
        .map(|m| text(&m["model"]))
        .collect();
    let for_replicas: Vec<String> = list(&told["replica_role_for"]).map(text).collect();
    if told["capture"] == false {
        add(
            findings,
            "capture-off",
            Level::Wrong,
            "capture is switched off",
            "`odoo-eventd capture on`",
        );
    } else if !off.is_empty() {
        let advice = format!("`odoo-eventd capture on --model {}`", off[0]);
        add(
            findings,
            "capture-off",
            Level::Wrong,
            format!("capture is switched off for {}", off.join(", ")),
            advice,
        );
    } else if !for_replicas.is_empty() {
        add(
            findings,
            "capture-off",
            Level::Warning,
            format!(
                "session_replication_role is replica for {}: what they write fires no trigger",
                for_replicas.join(", ")
            ),
            "ALTER ROLE .. RESET session_replication_role, unless these writes are meant to be unseen",
        );
    } else {
        add(
            findings,
            "capture-off",
            Level::Ok,
            format!("{} models are captured", models.len()),
            "",
        );
    }
    let drifted: Vec<String> = models
        .iter()
        .filter_map(|m| {
            let reason = match (m["drift"].as_str(), m["asleep"].as_i64()) {
                (Some(reason), _) => reason.to_owned(),
                (None, Some(asleep)) if asleep > 0 => format!("{asleep} triggers are disabled"),
                _ => return None,
            };
            Some(format!("{}: {reason}", text(&m["model"])))
        })
        .collect();
    if drifted.is_empty() {
        add(
            findings,
            "drift",
            Level::Ok,
            "triggers and columns are as they should be",
            "",
        );
    } else {
        add(
            findings,
            "drift",
            Level::Wrong,
            drifted.join("; "),
            "a running service mends what it can within seconds: start it; ENABLE TRIGGER what was disabled; a subscription that watches a \
             field that is gone has to be changed",
        );
    }
    let gaps: Vec<&Value> = list(&told["gaps"]).collect();
    let full = gaps
        .iter()
        .any(|gap| gap["reason"].as_str().is_some_and(|r| r.contains("full")));
    if gaps.is_empty() {
        add(
            findings,
            "gaps",
            Level::Ok,
            "nothing was left uncaptured in the last 7 days",
            "",
        );
    } else {
        let told: Vec<String> = gaps
            .iter()
            .take(5)
            .map(|gap| {
                let to = gap["to"].as_str().unwrap_or("now");
                format!(
                    "{} from {} to {to}: {}",
                    text(&gap["model"]),
                    text(&gap["from"]),
                    text(&gap["reason"])
                )
            })
            .collect();
        let open = facts.database["gaps_open"].as_i64().unwrap_or(0) > 0;
        add(
            findings,
            "gaps",
            if open || full { Level::Wrong } else { Level::Warning },
            format!("{} gaps in capture: {}", gaps.len(), told.join("; ")),
            "what changed then was not told to anybody: compare the receivers with Odoo for these times",
        );
    }
}

fn queues(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let told = facts.database;
    let (bytes, most) = (
        number(&told["outbox_bytes"]),
        number(&told["outbox_max_bytes"]).max(1.0),
    );
    let (part, age) = (bytes / most, number(&told["outbox_oldest_unread_age_s"]));
    let level = match (part, age) {
        (part, age) if part > OUTBOX_WRONG || age > facts.alarm_after_s => Level::Wrong,
        (part, _) if part > OUTBOX_WARNING => Level::Warning,
        _ => Level::Ok,
    };
    let found = format!(
        "the outbox holds {} unread rows, the oldest for {age:.0} s, in {:.1} % of its cap",
        told["outbox_unread"],
        part * 100.0
    );
    let advice = if level == Level::Ok {
        ""
    } else {
        "beyond the cap capture stops: let the service run and reach the database, and end transactions that have been open for long; the \
         cap is outbox_max_bytes in odoo_eventd.installation"
    };
    add(findings, "outbox", level, found, advice);

    let due = number(&told["oldest_due_age_s"]);
    let found = format!(
        "{} deliveries have not ended; the oldest could have been sent {due:.0} s ago",
        told["unfinished"]
    );
    if due > facts.alarm_after_s {
        add(
            findings,
            "deliveries",
            Level::Wrong,
            found,
            "see `odoo-eventd status` for the subscription that fails and `odoo-eventd deliveries --status failed` for why; with slow \
             receivers raise max_in_flight_per_subscription",
        );
    } else {
        add(findings, "deliveries", Level::Ok, found, "");
    }
    let invalid: Vec<String> = list(&told["invalid"])
        .map(|s| format!("{}: {}", s["id"], text(&s["error"])))
        .collect();
    if invalid.is_empty() {
        add(
            findings,
            "subscriptions",
            Level::Ok,
            format!("{} are served", told["subscriptions"]["ready"]),
            "",
        );
    } else {
        add(
            findings,
            "subscriptions",
            Level::Wrong,
            format!("not served: {}", invalid.join("; ")),
            "mend or deactivate them",
        );
    }
    let served = number(&told["subscriptions"]["ready"]) + number(&told["subscriptions"]["pending"]);
    match told["leader_pid"].as_i64() {
        Some(pid) => add(
            findings,
            "service",
            Level::Ok,
            format!("a service leads (pid {pid} of the server)"),
            "",
        ),
        None if served > 0.0 => add(
            findings,
            "service",
            Level::Wrong,
            "no service leads this database: events are captured and not delivered",
            "systemctl start odoo-eventd, or `odoo-eventd run`",
        ),
        None => add(
            findings,
            "service",
            Level::Note,
            "no service runs, and nobody is subscribed",
            "",
        ),
    }
}

fn surroundings(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let told = facts.database;
    let others: Vec<String> = list(&told["other_listeners"]).map(text).collect();
    if others.is_empty() {
        add(
            findings,
            "other-listeners",
            Level::Ok,
            "nobody else listens in this database",
            "",
        );
    } else {
        add(
            findings,
            "other-listeners",
            Level::Note,
            format!("others listen in this database: {}", others.join(", ")),
            "every NOTIFY wakes all of them (until PostgreSQL 19); with hundreds, set notify = false in odoo_eventd.installation",
        );
    }
    let long: Vec<String> = list(&told["long_transactions"])
        .map(|t| {
            format!(
                "pid {} ({} {}, {}) for {:.0} min",
                t["pid"],
                text(&t["login"]),
                text(&t["application"]),
                text(&t["state"]),
                number(&t["age_s"]) / 60.0
            )
        })
        .collect();
    let prepared: Vec<String> = list(&told["prepared"])
        .map(|p| {
            format!(
                "prepared '{}' for {:.0} min",
                text(&p["gid"]),
                number(&p["age_s"]) / 60.0
            )
        })
        .collect();
    if long.is_empty() && prepared.is_empty() {
        add(findings, "transactions", Level::Ok, "none has been open for long", "");
    } else {
        add(
            findings,
            "transactions",
            Level::Warning,
            [long, prepared.clone()].concat().join("; "),
            if prepared.is_empty() {
                "vacuum and the emptying of the outbox wait for them: SELECT pg_terminate_backend(pid), if nobody needs them"
            } else {
                "nobody but you ends a prepared transaction: COMMIT PREPARED or ROLLBACK PREPARED it. It holds vacuum back for ever"
            },
        );
    }
    let queue = number(&told["notify_queue_ratio"]);
    let level = match queue {
        queue if queue > 0.5 => Level::Wrong,
        queue if queue > 0.1 => Level::Warning,
        _ => Level::Ok,
    };
    add(
        findings,
        "notify-queue",
        level,
        format!("{:.1} % of the notification queue is used", queue * 100.0),
        if level == Level::Ok {
            ""
        } else {
            "a session that listens sits in a transaction (PostgreSQL's log names it); when the queue is full, commits that notify fail"
        },
    );
    connections(told, findings);
    log(told, findings);
    let (rows, dead) = (number(&told["delivery"]["rows"]), number(&told["delivery"]["dead"]));
    if dead > 100_000.0 && dead > rows {
        add(
            findings,
            "vacuum",
            Level::Warning,
            format!("odoo_eventd.delivery has {dead:.0} dead rows beside {rows:.0}"),
            "autovacuum does not get through: look for open transactions, then VACUUM odoo_eventd.delivery",
        );
    } else {
        add(findings, "vacuum", Level::Ok, "odoo_eventd.delivery is vacuumed", "");
    }
}

fn connections(told: &Value, findings: &mut Vec<Finding>) {
    let told = &told["connections"];
    let of = |name: &str| told[name].as_i64().unwrap_or(0);
    // A limit of -1 is none.
    let room = [
        of("most") - of("used"),
        if of("of_login") >= 0 {
            of("of_login") - of("used_by_login")
        } else {
            i64::MAX
        },
        if of("of_database") >= 0 {
            of("of_database") - of("used_in_database")
        } else {
            i64::MAX
        },
    ]
    .into_iter()
    .min()
    .unwrap_or(0);
    let found = format!(
        "{} of {} connections are in use, {room} more can be made",
        of("used"),
        of("most")
    );
    if room < CONNECTIONS_OF_THE_SERVICE {
        add(
            findings,
            "connections",
            Level::Warning,
            found,
            format!("a service needs {CONNECTIONS_OF_THE_SERVICE}: raise max_connections, or lower db_maxconn of Odoo"),
        );
    } else {
        add(findings, "connections", Level::Ok, found, "");
    }
}

fn log(told: &Value, findings: &mut Vec<Finding>) {
    let log = &told["log"];
    let found = format!(
        "the log has {} days in {:.1} MB, the oldest of {}",
        log["days"],
        number(&log["bytes"]) / 1e6,
        text(&log["oldest"])
    );
    if log["today"] != true {
        add(
            findings,
            "log",
            Level::Wrong,
            "the log has no partition for today: no attempt can be logged, so none is made",
            "the service makes it: start it, or `select odoo_eventd.ensure_log_days(2)`",
        );
    } else if log["tomorrow"] != true {
        add(
            findings,
            "log",
            Level::Warning,
            "the log has no partition for tomorrow",
            "the service makes it: start it, or `select odoo_eventd.ensure_log_days(2)`",
        );
    } else {
        add(findings, "log", Level::Ok, found, "");
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "?".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn healthy() -> Value {
        json!({
            "server_version": "15.8", "server_version_num": 150_008, "odoo_version": "18.0.1.3", "read_only": false,
            "login": "odoo_eventd_listener", "owner": "odoo", "listener_role": "odoo_eventd_listener", "listener_exists": true,
            "login_is_superuser": false, "owner_may_end_listener": true, "tls": false, "remote": false, "system_identifier": "7",
            "fence": null, "capture": true, "notify": true, "gaps_open": 0, "models": [{"model": "sale.order", "drift": null, "switched_off": false, "asleep": 0}],
            "gaps": [], "invalid": [], "replica_role_for": [], "leader_pid": 1, "other_listeners": [], "long_transactions": [], "prepared": [],
            "outbox_bytes": 0, "outbox_max_bytes": 100, "outbox_unread": 0, "outbox_oldest_unread_age_s": 0.0,
            "unfinished": 0, "oldest_due_age_s": 0.0, "subscriptions": {"ready": 1, "pending": 0, "invalid": 0, "inactive": 0},
            "notify_queue_ratio": 0.0, "delivery": {"rows": 1, "dead": 0},
            "connections": {"used": 10, "most": 97, "of_login": -1, "of_database": -1, "used_by_login": 1, "used_in_database": 5},
            "log": {"days": 3, "bytes": 0, "today": true, "tomorrow": true, "oldest": "2026-11-21"}
        })
    }

    fn judged(database: &Value, tls: Mode, clock: f64) -> Vec<Finding> {
        judge(&Facts {
            database,
            clock: (clock, 0.1),
            tls,
            pooler: None,
            alarm_after_s: 300.0,
        })
    }

    /// The level of a code once one fact is changed.
    fn level_with(path: &str, value: Value, code: &str) -> Level {
        let mut database = healthy();
        *database.pointer_mut(path).unwrap() = value;
        let findings = judged(&database, Mode::Prefer, 0.0);
        findings.iter().find(|f| f.code == code).unwrap().level
    }

    #[test]
    fn a_healthy_installation_has_nothing_wrong_and_everything_is_looked_at() {
        let findings = judged(&healthy(), Mode::Prefer, 0.0);
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
            ("/server_version_num", json!(190_000), "server-version", Level::Warning),
            ("/odoo_version", json!("12.0.1.3"), "odoo-version", Level::Warning),
            ("/odoo_version", json!(null), "odoo-version", Level::Warning),
            ("/read_only", json!(true), "read-only", Level::Wrong),
            ("/listener_exists", json!(false), "rights", Level::Wrong),
            ("/owner_may_end_listener", json!(false), "rights", Level::Warning),
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
            ("/delivery/dead", json!(200_000), "vacuum", Level::Warning),
        ] {
            assert_eq!(level_with(path, value.clone(), code), level, "{path} {value}");
            let mut database = healthy();
            *database.pointer_mut(path).unwrap() = value;
            let findings = judged(&database, Mode::Prefer, 0.0);
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
            let database = healthy();
            let facts = Facts {
                database: &database,
                clock: (skew, exact_to),
                tls: Mode::Prefer,
                pooler: None,
                alarm_after_s: 300.0,
            };
            judge(&facts).iter().find(|f| f.code == "clock").unwrap().level
        };
        assert_eq!(level(-4.0, 0.1), Level::Ok);
        assert_eq!(level(-6.0, 0.1), Level::Warning);
        assert_eq!(level(6.0, 3.0), Level::Ok);
        assert_eq!(level(130.0, 1.0), Level::Wrong);
    }
}
