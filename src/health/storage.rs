//! What is stored: the log's days, the events that are kept for readers, and the rows of deliveries.

use super::facts::Examination;
use super::limits::DEAD_ROWS;
use super::{Facts, Finding, Level, add};

/// Judges what is stored.
pub(super) fn judge(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let told = facts.database;
    log(told, findings);
    feed(told, findings);
    vacuum(told, findings);
}

fn log(told: &Examination, findings: &mut Vec<Finding>) {
    let log = &told.measured.log;
    let found = format!(
        "the log has {} days in {:.1} MB, the oldest of {}",
        log.days,
        megabytes(log.bytes),
        log.oldest.as_deref().unwrap_or("?")
    );
    if log.today != Some(true) {
        add(
            findings,
            "log",
            Level::Wrong,
            "the log has no partition for today: no attempt can be logged, so none is made",
            "the service makes it: start it, or `select odoo_eventd.ensure_log_days(2)`",
        );
    } else if log.tomorrow != Some(true) {
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

fn feed(told: &Examination, findings: &mut Vec<Finding>) {
    let feed = &told.measured.feed;
    let found = format!(
        "the feed holds {:.1} MB of {:.1} MB, the oldest for {:.1} of {:.1} hours",
        megabytes(feed.bytes),
        megabytes(feed.max_bytes),
        feed.oldest_age_s / 3_600.0,
        hours(feed.keep_s),
    );
    if feed.bytes > feed.max_bytes {
        let advice = "somebody reads a block of it without a pause, and it cannot be emptied: look at `transactions`, or raise feed_max_bytes";
        add(findings, "feed", Level::Wrong, found, advice);
    } else if feed.is_shortened {
        let found = format!("{found}; events had to go before their time");
        let advice = "readers that were away are told `truncated`: raise feed_max_bytes, or subscribe to less";
        add(findings, "feed", Level::Warning, found, advice);
    } else {
        add(findings, "feed", Level::Ok, found, "");
    }
}

fn vacuum(told: &Examination, findings: &mut Vec<Finding>) {
    let Some(delivery) = &told.delivery else {
        return add(
            findings,
            "vacuum",
            Level::Note,
            "the server has no statistics of odoo_eventd.delivery",
            "",
        );
    };
    let (rows, dead) = (delivery.rows, delivery.dead);
    if dead > DEAD_ROWS && dead > rows {
        add(
            findings,
            "vacuum",
            Level::Warning,
            format!("odoo_eventd.delivery has {dead} dead rows beside {rows}"),
            "autovacuum does not get through: look for open transactions, then VACUUM odoo_eventd.delivery",
        );
    } else {
        add(findings, "vacuum", Level::Ok, "odoo_eventd.delivery is vacuumed", "");
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn megabytes(bytes: i64) -> f64 {
    bytes as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn hours(seconds: i64) -> f64 {
    seconds as f64 / 3_600.0
}
