//! The last line of defence against a row that ends the process: what is looked at is noted before, so that the next process knows what
//! the last one died of.
//!
//! Usually all rows that changed are noted together, which costs one commit however many there are. What a process that died has left is
//! looked at one at a time; what it left alone is put aside until somebody writes the row.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use tokio_postgres::Client;
use uuid::Uuid;

use crate::subscription::Subscription;
use crate::{Error, Result};

/// This process, to tell its own notes from those of one that died: a term that ended in the middle is no death.
static PROCESS: LazyLock<Uuid> = LazyLock::new(Uuid::new_v4);

/// What was left, and what has to be noted.
#[derive(Debug, Default)]
pub struct Looking {
    suspects: HashSet<i32>,
    aside: HashMap<i32, String>,
}

impl Looking {
    /// Finds out what was left by whoever died, puts aside what was looked at alone, and notes the others of these rows together.
    /// `survived` tells which versions of them this process has looked at before.
    ///
    /// # Errors
    /// Database errors.
    pub async fn begin(
        client: &Client,
        rows: &[Subscription],
        survived: impl Fn(&Subscription) -> bool,
    ) -> Result<Self> {
        let left = client
            .query("select * from odoo_eventd.left_looking()", &[])
            .await
            .map_err(|e| Error::database("ask what was looked at last", e))?;
        let mut looking = Self::default();
        let mut died_of = Vec::new();
        for row in left {
            let (id, stamp): (i32, String) = (row.get(0), row.get(1));
            match (row.get(3), row.get::<_, Uuid>(2) == *PROCESS) {
                ("aside", _) => drop(looking.aside.insert(id, stamp)),
                (_, true) => {}
                ("alone", false) => {
                    died_of.push((id, stamp.clone()));
                    looking.aside.insert(id, stamp);
                }
                (_, false) => drop(looking.suspects.insert(id)),
            }
        }
        if !died_of.is_empty() {
            tracing::error!(subscriptions = ?died_of.iter().map(|(id, _)| id).collect::<Vec<_>>(), "the service died while looking at these: put aside");
            note(client, &died_of, "aside").await?;
        }
        let together: Vec<_> = rows
            .iter()
            .filter(|row| row.active && !looking.suspects.contains(&row.id) && !looking.is_aside(row) && !survived(row))
            .map(|row| (row.id, row.write_stamp.clone()))
            .collect();
        if !together.is_empty() {
            note(client, &together, "together").await?;
        }
        Ok(looking)
    }

    /// Whether a process died of this version of a row.
    pub fn is_aside(&self, row: &Subscription) -> bool {
        self.aside.get(&row.id) == Some(&row.write_stamp)
    }

    /// Whether a process may have died of this row: it is to be looked at alone.
    pub fn is_suspect(&self, row: &Subscription) -> bool {
        self.suspects.contains(&row.id)
    }

    /// Notes a row that is suspected, alone.
    ///
    /// # Errors
    /// Database errors.
    pub async fn at(&self, client: &Client, row: &Subscription) -> Result<()> {
        note(client, &[(row.id, row.write_stamp.clone())], "alone").await
    }

    /// A suspect was looked at, and nobody died.
    ///
    /// # Errors
    /// Database errors.
    pub async fn survived(&self, client: &Client, row: &Subscription) -> Result<()> {
        note(client, &[(row.id, row.write_stamp.clone())], "together").await
    }

    /// All were looked at.
    ///
    /// # Errors
    /// Database errors.
    pub async fn end(client: &Client) -> Result<()> {
        client
            .execute("select odoo_eventd.note_looked()", &[])
            .await
            .map_err(|e| Error::database("note what was looked at", e))?;
        Ok(())
    }
}

async fn note(client: &Client, rows: &[(i32, String)], how: &str) -> Result<()> {
    let (ids, stamps): (Vec<i32>, Vec<&str>) = rows.iter().map(|(id, stamp)| (*id, stamp.as_str())).unzip();
    client
        .execute(
            "select odoo_eventd.note_looking($1, $2, $3, $4)",
            &[&*PROCESS, &ids, &stamps, &how],
        )
        .await
        .map_err(|e| Error::database("note what is looked at", e))?;
    Ok(())
}
