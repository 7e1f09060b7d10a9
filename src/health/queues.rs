//! What waits: in the outbox, among the deliveries, for a subscription to be mended, for a service to run.

use super::backlog::Backlog;
use super::facts::{Examination, Refused};
use super::{Facts, Finding, Level, add};

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
    let measured = &facts.database.measured;
    let backlog = Backlog::from(measured);
    let level = backlog.outbox_level(facts.alarm_after);
    let found = format!(
        "the outbox holds {} unread rows, the oldest for {:.0} s, in {:.1} % of its cap",
        measured.outbox_unread,
        backlog.unread_age_s,
        backlog.outbox_fill * 100.0
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
    let measured = &facts.database.measured;
    let backlog = Backlog::from(measured);
    let level = backlog.due_level(facts.alarm_after);
    let found = format!(
        "{} deliveries have not ended; the oldest could have been sent {:.0} s ago",
        measured.unfinished, backlog.due_age_s
    );
    if level > Level::Ok {
        add(
            findings,
            "deliveries",
            level,
            found,
            "see `odoo-eventd status` for the subscription that fails and `odoo-eventd deliveries --status failed` for why; with slow \
             receivers raise max_in_flight_per_subscription",
        );
    } else {
        add(findings, "deliveries", Level::Ok, found, "");
    }
}

fn subscriptions(told: &Examination, findings: &mut Vec<Finding>) {
    let sentences = |of_state: &[Refused]| -> Vec<String> {
        let sentence = |s: &Refused| format!("{}: {}", s.id, s.error.as_deref().unwrap_or("?"));
        of_state.iter().map(sentence).collect()
    };
    let (invalid, disabled) = (sentences(&told.invalid), sentences(&told.disabled));
    let mut found = Vec::new();
    if !invalid.is_empty() {
        found.push(format!("not served: {}", invalid.join("; ")));
    }
    if !disabled.is_empty() {
        found.push(format!("their endpoints were given up: {}", disabled.join("; ")));
    }
    let (level, advice) = match (invalid.is_empty(), disabled.is_empty()) {
        (true, true) => {
            found.push(format!("{} are served", told.measured.subscriptions.ready));
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
fn troubles(told: &Examination, findings: &mut Vec<Finding>) {
    let waits = |s: &Refused| format!("subscription {} waits: {}", s.id, s.error.as_deref().unwrap_or("?"));
    let failing: Vec<String> = told
        .troubles
        .iter()
        .map(|trouble| trouble.sentence())
        .chain(told.waiting.iter().map(waits))
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
fn strangers(told: &Examination, findings: &mut Vec<Finding>) {
    let held: Vec<String> = told
        .strangers
        .iter()
        .map(|s| {
            format!(
                "the lock of the {} is held by pid {} (role {}, application {})",
                s.lock,
                s.pid,
                s.role.as_deref().unwrap_or("?"),
                s.application.as_deref().unwrap_or("?")
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

fn service(told: &Examination, findings: &mut Vec<Finding>) {
    let subscriptions = &told.measured.subscriptions;
    match told.leader_pid {
        Some(pid) => add(
            findings,
            "service",
            Level::Ok,
            format!("a service leads (pid {pid} of the server)"),
            "",
        ),
        None if subscriptions.ready + subscriptions.pending > 0 => add(
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
