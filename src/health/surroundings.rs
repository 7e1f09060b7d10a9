//! Who else is on the server: listeners, transactions that nobody ends, the notification queue, connections.

use super::facts::Examination;
use super::{Facts, Finding, Level, add, limits};

/// Judges the surroundings.
pub(super) fn judge(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let told = facts.database;
    other_listeners(told, findings);
    transactions(told, findings);
    notify_queue(told, findings);
    connections(facts, findings);
}

fn other_listeners(told: &Examination, findings: &mut Vec<Finding>) {
    if told.other_listeners.is_empty() {
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
            format!("others listen in this database: {}", told.other_listeners.join(", ")),
            "every NOTIFY wakes all of them (until PostgreSQL 19); with hundreds, set notify = false in odoo_eventd.installation",
        );
    }
}

fn transactions(told: &Examination, findings: &mut Vec<Finding>) {
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    let long: Vec<String> = told
        .long_transactions
        .iter()
        .map(|t| {
            format!(
                "pid {} ({} {}, {}) for {:.0} min",
                t.pid,
                known(&t.login),
                known(&t.application),
                known(&t.state),
                t.age_s / 60.0
            )
        })
        .collect();
    let prepared: Vec<String> = told
        .prepared
        .iter()
        .map(|p| format!("prepared '{}' for {:.0} min", p.gid, p.age_s / 60.0))
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

fn notify_queue(told: &Examination, findings: &mut Vec<Finding>) {
    let queue = told.measured.notify_queue_ratio;
    let level = limits::level(queue, limits::NOTIFY_QUEUE_WARNING, limits::NOTIFY_QUEUE_WRONG);
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

fn connections(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let (connections, needed) = (&facts.database.connections, facts.connections_needed);
    let room = connections.room();
    let found = format!(
        "{} of {} connections are in use, {room} more can be made",
        connections.used, connections.most
    );
    if room < i64::try_from(needed).unwrap_or(i64::MAX) {
        add(
            findings,
            "connections",
            Level::Warning,
            found,
            format!("a service that has work needs {needed}: raise max_connections, or lower db_maxconn of Odoo"),
        );
    } else {
        add(findings, "connections", Level::Ok, found, "");
    }
}
