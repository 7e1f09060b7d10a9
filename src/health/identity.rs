//! Which database this is: the one that was installed, or a copy of it.

use super::facts::Examination;
use super::{Facts, Finding, Level, add};

/// Judges the identity.
pub(super) fn judge(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let told = facts.database;
    copy(told, findings);
    physical_clone(told, findings);
}

fn copy(told: &Examination, findings: &mut Vec<Finding>) {
    match &told.measured.fence {
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
}

fn physical_clone(told: &Examination, findings: &mut Vec<Finding>) {
    add(
        findings,
        "physical-clone",
        Level::Note,
        format!(
            "a physical copy of this server (system identifier {}) cannot be told from it from inside",
            told.system_identifier
        ),
        "where a base backup or a snapshot is started as a server of its own, make sure that no service reaches it, or neutralize it first",
    );
}
