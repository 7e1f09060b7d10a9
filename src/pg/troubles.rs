//! What is tried in vain: one failing thing of the database's ends nothing else of the service's, and is told until it succeeds.

use std::collections::HashSet;

use tokio_postgres::Client;

use crate::{Error, Result};

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
            Err(error) if error.is_of_the_statement() => {
                if error.is_lock_timeout() {
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
