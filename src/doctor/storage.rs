//! What is stored: the log's days, and the rows of deliveries.

use serde_json::Value;

use super::told::{number, text};
use super::{Facts, Finding, Level, add};

/// Judges what is stored.
pub(super) fn judge(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let told = facts.database;
    log(told, findings);
    vacuum(told, findings);
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

fn vacuum(told: &Value, findings: &mut Vec<Finding>) {
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
