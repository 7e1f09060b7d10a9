//! What waits: in the outbox, among the deliveries, for a subscription to be mended, for a service to run.

use serde_json::Value;

use super::told::{list, number, text};
use super::{Facts, Finding, Level, add};
use crate::pg::troubles::sentence;

/// Part of the outbox's cap above which somebody is told: well before capture stops.
const OUTBOX_WARNING: f64 = 0.25;
/// Part of the outbox's cap above which it counts as wrong.
const OUTBOX_WRONG: f64 = 0.5;

/// Judges the queues and who serves them.
pub(super) fn judge(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    outbox(facts, findings);
    deliveries(facts, findings);
    subscriptions(facts.database, findings);
    service(facts.database, findings);
    troubles(facts.database, findings);
    strangers(facts.database, findings);
}

fn outbox(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
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
}

fn deliveries(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let told = facts.database;
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
}

fn subscriptions(told: &Value, findings: &mut Vec<Finding>) {
    let of_state = |state: &str| -> Vec<String> {
        list(&told[state])
            .map(|s| format!("{}: {}", s["id"], text(&s["error"])))
            .collect()
    };
    let (invalid, disabled) = (of_state("invalid"), of_state("disabled"));
    let mut found = Vec::new();
    if !invalid.is_empty() {
        found.push(format!("not served: {}", invalid.join("; ")));
    }
    if !disabled.is_empty() {
        found.push(format!("their endpoints were given up: {}", disabled.join("; ")));
    }
    let (level, advice) = match (invalid.is_empty(), disabled.is_empty()) {
        (true, true) => {
            found.push(format!("{} are served", told["subscriptions"]["ready"]));
            (Level::Ok, "")
        }
        (true, false) => (
            Level::Warning,
            "mend the endpoint, then `odoo-eventd subscriptions enable ID`; what waited meanwhile is a dead letter: `odoo-eventd redeliver`",
        ),
        (false, _) => (Level::Wrong, "mend or deactivate them"),
    };
    add(findings, "subscriptions", level, found.join("; "), advice);
}

/// What the service tries again and again.
fn troubles(told: &Value, findings: &mut Vec<Finding>) {
    let failing: Vec<String> = list(&told["troubles"])
        .map(sentence)
        .chain(list(&told["waiting"]).map(|s| format!("subscription {} waits: {}", s["id"], text(&s["error"]))))
        .collect();
    if failing.is_empty() {
        add(findings, "troubles", Level::Ok, "nothing is tried in vain", "");
    } else {
        add(
            findings,
            "troubles",
            Level::Wrong,
            failing.join("; "),
            "everything else goes on, and these are tried again: take away what the errors name, an event trigger for one \
             (select evtname, evtfoid::regproc from pg_event_trigger)",
        );
    }
}

/// Who holds a lock that is the service's.
fn strangers(told: &Value, findings: &mut Vec<Finding>) {
    let held: Vec<String> = list(&told["strangers"])
        .map(|s| {
            format!(
                "the lock of the {} is held by pid {} (role {}, application {})",
                text(&s["lock"]),
                s["pid"],
                text(&s["role"]),
                text(&s["application"])
            )
        })
        .collect();
    if held.is_empty() {
        add(
            findings,
            "strangers",
            Level::Ok,
            "nobody else holds the service's locks",
            "",
        );
    } else {
        add(
            findings,
            "strangers",
            Level::Warning,
            held.join("; "),
            "deliveries go on without it, and may be slower; end whoever it is with pg_terminate_backend and ask why",
        );
    }
}

fn service(told: &Value, findings: &mut Vec<Finding>) {
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
