//! The advisory locks of the service, all of them, and who waits for whom.
//!
//! Each is a pair of numbers: the class [`CLASS`] and one of these. The SQL side says the same at the top of `sql/functions/locks.sql`; a
//! test compares the numbers.
//!
//! | number | lock | taken by | waits |
//! | --- | --- | --- | --- |
//! | [`FIRST_LEAD`], or a random one from 1,100,000,000 on once a stranger holds it (`odoo_eventd.lead.lock_key`) | lead | the instance that leads, for as long as its session lives | nobody: it is tried |
//! | [`BELL`] | doorbell | the dispatcher alone, while it sleeps; every writer that captures shares it until its commit | the dispatcher, for writers that shared it before; a writer never: it tries, and rings when it cannot |
//! | [`INSTALLATION`] | installation | `install` and `uninstall --purge`, for their transaction | another of them, 60 seconds at most |
//! | 1,000,000 to 1,001,000,000 | assistant | an instance that assists, by its number, for as long as it does | nobody: it is tried |
//!
//! Whoever changes the capture locks a table, `odoo_eventd.capture_lock`, which only its owner may: one waits for the other, 10 seconds at
//! most, and no writer of Odoo's waits for either.

use std::collections::HashSet;

use tokio_postgres::Client;

use super::sqlstate::CANCELLED;
use crate::{Error, Result};

/// `classid` of every advisory lock of ours: "odoo" in ASCII.
pub const CLASS: i32 = 1_868_853_103;
/// `objid` of the lead's lock in a new installation.
pub const FIRST_LEAD: i32 = 1;
/// `objid` of the doorbell.
pub const BELL: i32 = 2;
/// `objid` of the lock of whoever installs.
pub const INSTALLATION: i32 = 4;

/// One installation at a time; within a transaction whose `search_path` is the catalogue's.
pub(super) const LOCK_INSTALLATION: &str = "select pg_advisory_xact_lock(1868853103, 4)";

/// Takes the lead for this session, if no other has it.
///
/// # Errors
/// Database errors.
pub async fn try_to_lead(client: &Client) -> Result<bool> {
    let row = client
        .query_one("select odoo_eventd.try_to_lead()", &[])
        .await
        .map_err(|e| Error::database("ask for the lead", e))?;
    Ok(row.get(0))
}

/// Waits for the doorbell and takes it, for this session.
///
/// # Errors
/// Database errors; [`CANCELLED`] when somebody asked for that.
pub async fn lock_bell(client: &Client) -> Result<()> {
    client
        .execute("select pg_catalog.pg_advisory_lock($1, $2)", &[&CLASS, &BELL])
        .await
        .map(drop)
        .map_err(|e| Error::database("arm the doorbell", e))
}

/// Gives the doorbell back.
///
/// # Errors
/// Database errors.
pub async fn unlock_bell(client: &Client) -> Result<()> {
    const UNLOCK: &str = "select pg_catalog.pg_advisory_unlock($1, $2)";
    let mut unlocked = client.execute(UNLOCK, &[&CLASS, &BELL]).await;
    if unlocked.as_ref().is_err_and(|error| CANCELLED.of(error)) {
        // A cancel names a session, not a statement: it was meant for a request for the bell that was taken back.
        unlocked = client.execute(UNLOCK, &[&CLASS, &BELL]).await;
    }
    unlocked
        .map(drop)
        .map_err(|e| Error::database("disarm the doorbell", e))
}

/// Whether the session of that process holds the doorbell or queues for it.
///
/// # Errors
/// Database errors.
pub async fn is_bell_asked_for(client: &Client, pid: i32) -> Result<bool> {
    let row = client
        .query_one(
            "select exists (select from pg_catalog.pg_locks l
                             where l.pid operator(pg_catalog.=) $1 and l.locktype operator(pg_catalog.=) 'advisory'
                               and l.objid operator(pg_catalog.=) $2::integer::pg_catalog.oid)",
            &[&pid, &BELL],
        )
        .await
        .map_err(|e| Error::database("ask whether the doorbell is armed", e))?;
    Ok(row.get(0))
}

/// The virtual transactions that share the doorbell, prepared ones among them.
///
/// # Errors
/// Database errors.
pub async fn bell_sharers(client: &Client) -> Result<HashSet<String>> {
    let rows = client
        .query(
            "select l.virtualtransaction from pg_catalog.pg_locks l
              where l.locktype operator(pg_catalog.=) 'advisory' and l.classid operator(pg_catalog.=) $1::integer::pg_catalog.oid
                and l.objid operator(pg_catalog.=) $2::integer::pg_catalog.oid and l.objsubid operator(pg_catalog.=) 2
                and l.granted and l.mode operator(pg_catalog.=) 'ShareLock'
                and l.database operator(pg_catalog.=) (
                      select d.oid from pg_catalog.pg_database d where d.datname operator(pg_catalog.=) pg_catalog.current_database())",
            &[&CLASS, &BELL],
        )
        .await
        .map_err(|e| Error::database("ask who writes behind the doorbell", e))?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// Who holds the installation's lock, as a hint: anybody who can log in can.
///
/// # Errors
/// Database errors.
pub async fn who_holds_the_installation(client: &Client) -> Result<String> {
    let holders: Option<String> = client
        .query_one(
            "select string_agg(format('pid %s (role %s, application %s)', a.pid, a.usename, quote_literal(a.application_name)), ', ')
               from pg_locks l join pg_stat_activity a on a.pid = l.pid
              where l.locktype = 'advisory' and l.classid = $1::integer::oid and l.objid = $2::integer::oid and l.granted
                and a.datname = current_database()",
            &[&CLASS, &INSTALLATION],
        )
        .await
        .map_err(|e| Error::database("ask who installs", e))?
        .get(0);
    Ok(match holders {
        Some(holders) => {
            format!("its lock is held by {holders}: if that is no installation, end it with pg_terminate_backend")
        }
        None => "nobody holds its lock any more: try again".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The second numbers of all pairs of ours in code, comments aside.
    fn numbers_in(folder: &Path) -> BTreeSet<i32> {
        let class = format!("{CLASS}, ");
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(numbers_in(&path));
            } else if path.extension().is_some_and(|extension| extension == "sql") {
                let text = std::fs::read_to_string(&path).unwrap();
                for code in text.lines().filter_map(|line| line.split("--").next()) {
                    let behind = code.split(&class).skip(1);
                    found.extend(behind.filter_map(|rest| rest.split(')').next()?.parse::<i32>().ok()));
                }
            }
        }
        found
    }

    #[test]
    fn sql_takes_no_lock_that_is_not_in_the_table() {
        let found = numbers_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("sql"));
        assert_eq!(found, BTreeSet::from([BELL, INSTALLATION]));
        assert!(LOCK_INSTALLATION.ends_with(&format!("({CLASS}, {INSTALLATION})")));
        let first = format!("lock_key  integer not null default {FIRST_LEAD}");
        let outbox = include_str!("../../sql/migrations/000003_outbox.sql");
        assert!(outbox.contains(&first));
    }
}
