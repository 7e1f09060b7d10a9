//! Whether an installation is well, and what to do where it is not: the one judge behind `status`, `doctor`, `/readyz` and the alerts.
//!
//! Pure: [`judge`] takes facts and returns findings. What counts as too much or too long stands in [`limits`] alone, and what waits is
//! judged in [`backlog`] alone. Each finding's code is a heading of the runbook
//! (in `.packaging/OPERATE.md`), where the same trouble is explained at more length. Each group of findings is a file of its own.

pub mod backlog;
mod capture;
mod connection;
pub mod facts;
mod identity;
pub mod limits;
mod queues;
mod server;
mod storage;
mod surroundings;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Serialize;

use self::facts::Examination;

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
pub const CODES: [&str; 26] = [
    "server-version",
    "odoo-version",
    "read-only",
    "temp-files",
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
    "troubles",
    "strangers",
    "other-listeners",
    "transactions",
    "notify-queue",
    "connections",
    "log",
    "feed",
    "vacuum",
];

/// What the judgement is made from.
#[derive(Debug)]
pub struct Facts<'a> {
    /// What `odoo_eventd.examine()` told.
    pub database: &'a Examination,
    /// This host's clock minus the server's, in seconds; and how exact that is.
    pub clock: (f64, f64),
    /// How connections are protected, as the database URL says it.
    pub sslmode: String,
    /// Whether that makes sure of who the server is.
    pub server_is_verified: bool,
    /// How many connections a service that has work needs.
    pub connections_needed: usize,
    /// What is between us and the server: `None` = nothing that matters.
    pub pooler: Option<&'a str>,
    /// After how long a waiting event is an alarm.
    pub alarm_after: Duration,
}

/// Judges everything, in the order of [`CODES`].
pub fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    server::judge(facts, &mut findings);
    connection::judge(facts, &mut findings);
    identity::judge(facts, &mut findings);
    capture::judge(facts, &mut findings);
    queues::judge(facts, &mut findings);
    surroundings::judge(facts, &mut findings);
    storage::judge(facts, &mut findings);
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
