//! What is tried in vain: one failing thing of the database's ends nothing else of the service's, and is told until it succeeds.

use std::collections::HashSet;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::{Error, Result};

/// Classes of SQLSTATE that say nothing of the statement: the connection, the login, the server's resources or its end, a server that has
/// become a standby, and our own, of a term that is over.
const OF_THE_SESSION: [&str; 8] = ["08", "28", "3D", "53", "57", "58", "OE", "F0"];

/// Whether the database refused this one statement and would answer others.
pub fn is_of_the_statement(error: &Error) -> bool {
    error.sql_state().is_some_and(|state| {
        !OF_THE_SESSION.contains(&&state.code()[..2]) && *state != SqlState::READ_ONLY_SQL_TRANSACTION
    })
}

/// Whether a lock could not be had in the time that was left for it: somebody is altering a table.
pub fn is_of_a_lock(error: &Error) -> bool {
    error.sql_state() == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// Notes that something was tried in vain.
///
/// # Errors
/// Database errors.
pub async fn note(client: &Client, what: &str, why: &str) -> Result<()> {
    client
        .execute("select odoo_eventd.note_trouble($1, $2)", &[&what, &why])
        .await
        .map_err(|e| Error::database("note what fails", e))?;
    Ok(())
}

/// Notes that it has succeeded.
///
/// # Errors
/// Database errors.
pub async fn end(client: &Client, what: &str) -> Result<()> {
    client
        .execute("select odoo_eventd.end_trouble($1)", &[&what])
        .await
        .map_err(|e| Error::database("note what fails no more", e))?;
    Ok(())
}

/// What a task tries again and again.
#[derive(Debug, Default)]
pub struct Troubles {
    /// What has succeeded the last time.
    well: HashSet<String>,
}

impl Troubles {
    /// Whether it failed the last time, or is not known to have succeeded ever.
    pub fn is_failing(&self, what: &str) -> bool {
        !self.well.contains(what)
    }

    /// Takes note of how it went, and hands on what came of it: `None` when the statement was refused, to be tried again later.
    ///
    /// # Errors
    /// Those that are not of the one statement.
    pub async fn settle<T>(&mut self, client: &Client, what: &str, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(done) => {
                // An earlier term, or another process, may have left it in trouble.
                if self.well.insert(what.to_owned()) {
                    end(client, what).await?;
                }
                Ok(Some(done))
            }
            Err(error) if is_of_the_statement(&error) => {
                if is_of_a_lock(&error) {
                    // Odoo upgrades its modules, for one: it takes as long as it takes, and nobody has to do anything.
                    self.well.remove(what);
                    tracing::warn!(what, error = %error.chain(), "waits for a lock and is tried again; everything else goes on");
                } else if self.well.remove(what) {
                    tracing::error!(what, error = %error.chain(), "something fails and is tried again; everything else goes on");
                } else {
                    tracing::warn!(what, error = %error.chain(), "still fails");
                }
                note(client, what, &error.chain()).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
