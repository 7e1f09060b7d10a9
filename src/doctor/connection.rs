//! The connection: what is between us and the server, who can read along, and whether both have the same time.

use super::{Facts, Finding, Level, add};
use crate::pg::tls::Mode;

/// Seconds that clocks may differ: receivers refuse signatures that are off by 5 minutes.
const CLOCK_WARNING_S: f64 = 5.0;
const CLOCK_WRONG_S: f64 = 120.0;

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
}

fn clock(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
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
