//! The connection: what is between us and the server, who can read along, and whether both have the same time.

use super::{Facts, Finding, Level, add, limits};

/// Judges the connection.
pub(super) fn judge(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    pooler(facts, findings);
    tls(facts, findings);
    clock(facts, findings);
}

fn pooler(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
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
}

fn tls(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    if facts.database.remote && !facts.server_is_verified {
        add(
            findings,
            "tls",
            Level::Warning,
            format!(
                "the server is another host, and sslmode is {}{}",
                facts.sslmode,
                if facts.database.tls == Some(true) {
                    ""
                } else {
                    ": nothing is encrypted"
                }
            ),
            "sslmode=verify-full&sslrootcert=FILE in the database URL",
        );
    } else {
        add(findings, "tls", Level::Ok, format!("sslmode is {}", facts.sslmode), "");
    }
}

fn clock(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let (skew, exact_to) = facts.clock;
    let off = (skew.abs() - exact_to).max(0.0);
    let level = limits::level(off, limits::CLOCK_WARNING_S, limits::CLOCK_WRONG_S);
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
