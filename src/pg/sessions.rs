//! Sessions of this process by the server's book, so that one that died without the server's knowledge can be ended.
//!
//! A connection that goes silent is given up here after seconds; the server may keep its side for hours, and with it the session's
//! advisory locks: the lead would be held by nobody, and everybody stand by. Keepalive on the server's side ([`super::connect`])
//! finds that out within half a minute, unless something in between answers it.

use jiff::Timestamp;
use tokio_postgres::Client;

use crate::{Error, Result};

/// A session, told from later ones of the same process id by its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    pid: i32,
    started_at: Timestamp,
}

impl Session {
    /// The server process.
    pub fn pid(self) -> i32 {
        self.pid
    }

    /// The session that this connection has.
    ///
    /// # Errors
    /// Database errors.
    pub async fn of(client: &Client) -> Result<Self> {
        let row = client
            .query_one(
                "select a.pid, a.backend_start from pg_catalog.pg_stat_activity a where a.pid operator(pg_catalog.=) pg_catalog.pg_backend_pid()",
                &[],
            )
            .await
            .map_err(|e| Error::database("identify the session", e))?;
        Ok(Self {
            pid: row.get(0),
            started_at: row.get(1),
        })
    }
}

/// Ends those of these sessions that still hold, or wait for, an advisory lock of ours. Returns how many there were. One that holds
/// none is left alone: a pooler may have given it to somebody else.
///
/// # Errors
/// Database errors.
pub async fn end_holders(client: &Client, sessions: &[Session]) -> Result<u64> {
    let pids: Vec<i32> = sessions.iter().map(|session| session.pid).collect();
    let starts: Vec<Timestamp> = sessions.iter().map(|session| session.started_at).collect();
    client
        .execute(
            "select pg_catalog.pg_terminate_backend(a.pid)
               from rows from (pg_catalog.unnest($1::integer[]), pg_catalog.unnest($2::pg_catalog.timestamptz[])) s (pid, started_at)
               join pg_catalog.pg_stat_activity a
                 on a.pid operator(pg_catalog.=) s.pid and a.backend_start operator(pg_catalog.=) s.started_at
              where a.pid operator(pg_catalog.<>) pg_catalog.pg_backend_pid()
                and a.datname operator(pg_catalog.=) pg_catalog.current_database()
                and exists (select from pg_catalog.pg_locks l
                             where l.pid operator(pg_catalog.=) a.pid and l.locktype operator(pg_catalog.=) 'advisory'
                               and l.classid operator(pg_catalog.=) $3::integer::pg_catalog.oid)",
            &[&pids, &starts, &super::locks::CLASS],
        )
        .await
        .map_err(|e| Error::database("end the sessions that were lost", e))
}
