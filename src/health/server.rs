//! The server: its version, Odoo's, whether it can be written to, and who may what.

use super::facts::Examination;
use super::{Facts, Finding, Level, add};
use crate::odoo::known;

/// Judges the server.
pub(super) fn judge(facts: &Facts<'_>, findings: &mut Vec<Finding>) {
    let told = facts.database;
    server_version(told, findings);
    odoo_version(told, findings);
    read_only(told, findings);
    temporary_files(told, findings);
    rights(told, findings);
}

fn server_version(told: &Examination, findings: &mut Vec<Finding>) {
    let version = &told.server_version;
    match told.server_version_num / 10_000 {
        13 => add(
            findings,
            "server-version",
            Level::Warning,
            format!("PostgreSQL {version} is supported by odoo-eventd, but by PostgreSQL no longer"),
            "plan an upgrade with pg_upgrade; afterwards `odoo-eventd adopt --pending keep`",
        ),
        14..=18 => add(
            findings,
            "server-version",
            Level::Ok,
            format!("PostgreSQL {version}"),
            "",
        ),
        _ => add(
            findings,
            "server-version",
            Level::Warning,
            format!("PostgreSQL {version} was not tested with this release"),
            "look for a newer odoo-eventd",
        ),
    }
}

fn odoo_version(told: &Examination, findings: &mut Vec<Finding>) {
    let odoo = told.odoo_version.as_deref().unwrap_or_default();
    if let Some(untried) = known::untried(odoo) {
        return add(
            findings,
            "odoo-version",
            Level::Warning,
            format!("Odoo {untried}"),
            "look for a newer odoo-eventd; until then compare a few domains with `odoo-eventd domain eval`",
        );
    }
    match odoo.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
        Some(16..=19) => add(findings, "odoo-version", Level::Ok, format!("Odoo {odoo}"), ""),
        Some(_) => add(
            findings,
            "odoo-version",
            Level::Warning,
            format!("Odoo {odoo}: what domains mean is known for 16 to 19"),
            "upgrade Odoo: an older one is not read",
        ),
        None => add(
            findings,
            "odoo-version",
            Level::Warning,
            "Odoo's version is not in the database",
            "check that this is Odoo's own database and that its base module is installed",
        ),
    }
}

fn read_only(told: &Examination, findings: &mut Vec<Finding>) {
    if told.read_only {
        add(
            findings,
            "read-only",
            Level::Wrong,
            "the server is a standby or read-only: the service can write nothing here",
            "name the primary in the database URL, for example with target_session_attrs=read-write and all hosts",
        );
    } else {
        add(findings, "read-only", Level::Ok, "the server can be written to", "");
    }
}

/// The rows that a statement changed are handed to its triggers by PostgreSQL, in memory up to `work_mem` and in temporary files beyond.
fn temporary_files(told: &Examination, findings: &mut Vec<Finding>) {
    let Some(limit) = &told.temp_file_limit else {
        add(findings, "temp-files", Level::Ok, "temporary files are not limited", "");
        return;
    };
    add(
        findings,
        "temp-files",
        Level::Warning,
        format!(
            "temp_file_limit is {limit}: one statement that changes more than that of a captured table's rows would fail with the triggers alone"
        ),
        "give Odoo's role more, at least twice the largest captured table: ALTER ROLE .. SET temp_file_limit",
    );
}

fn rights(told: &Examination, findings: &mut Vec<Finding>) {
    let login = &told.login;
    let listener = told.listener_role.as_deref().unwrap_or(login);
    if told.listener_role.is_some() && !told.listener_exists {
        add(
            findings,
            "rights",
            Level::Wrong,
            format!("the listener's role \"{}\" is not on this cluster", listener),
            "run `odoo-eventd install` again as a superuser, or let the service log in as the owner",
        );
    } else if !told.owner_may_end_listener {
        add(
            findings,
            "rights",
            Level::Warning,
            format!(
                "Odoo's role \"{}\" may not end the listener's sessions: its manager cannot drop or duplicate the database while the \
                 service runs",
                told.owner
            ),
            format!("GRANT \"{}\" TO \"{}\"", listener, told.owner),
        );
    } else if told.owner_reads_all {
        add(
            findings,
            "rights",
            Level::Note,
            format!(
                "Odoo's role \"{}\" reads every table of this cluster: it is a member of \"{}\", which has pg_read_all_data",
                told.owner, listener
            ),
            "where others' databases are on this cluster: REVOKE pg_read_all_data, and GRANT SELECT on the tables that domains look at",
        );
    } else if told.login_is_superuser {
        add(
            findings,
            "rights",
            Level::Note,
            format!("\"{login}\" is a superuser, which the service should not be"),
            "let the service log in as the listener's role",
        );
    } else {
        add(
            findings,
            "rights",
            Level::Ok,
            format!("\"{login}\" may call the functions"),
            "",
        );
    }
}
