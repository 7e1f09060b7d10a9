//! Who else is on the server: listeners, transactions that nobody ends, the notification queue, connections.

use serde_json::Value;

use super::told::{list, number, text};
use super::{Facts, Finding, Level, add};
use crate::pg::connections;

/// Judges the surroundings.
pub(super) fn judge(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let told = facts.database;
    other_listeners(told, findings);
    transactions(told, findings);
    notify_queue(told, findings);
    connections(told, findings);
}

fn other_listeners(told: &Value, findings: &mut Vec<Finding>) {
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
}

fn transactions(told: &Value, findings: &mut Vec<Finding>) {
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
}

fn notify_queue(told: &Value, findings: &mut Vec<Finding>) {
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
    if room < i64::try_from(connections::MOST).unwrap_or(i64::MAX) {
        add(
            findings,
            "connections",
            Level::Warning,
            found,
            format!(
                "a service that has work needs {}: raise max_connections, or lower db_maxconn of Odoo",
                connections::MOST
            ),
        );
    } else {
        add(findings, "connections", Level::Ok, found, "");
    }
}
