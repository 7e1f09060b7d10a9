//! What somebody was shown and writes back: a mask stands for what it hides, and changes nothing.
//!
//! Of a secret `********` is shown, and the table itself takes it back. Of a URL and of headers a part is hidden by `***`; headers are put
//! back by the statement that writes them (`patched_subscription` in `sql/functions/subscription_writes.sql`), and URLs here, whichever
//! verb writes them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::bulk::{Outcome, Wanted};
use crate::endpoint::mask::HIDDEN;
use crate::ops::error::{Error, Result};
use crate::ops::operator::Operator;
use crate::ops::service::Service;
use crate::pg::session_pool::Session;
use crate::subscription::{Patch, Refusal};

/// Why a URL is no URL to send to: it is what is shown of one.
pub(super) fn refused_as_masked(url: Option<&str>) -> Option<Refusal> {
    url.filter(|url| url.contains(HIDDEN)).map(|_| {
        let said = format!("it has {HIDDEN} in it, which stands for what is not shown");
        Refusal::of("webhook_url", said).with_hint("write all of the URL, or leave webhook_url out")
    })
}

impl Service {
    /// Takes URLs that are written as they were shown out of what is to be written. Says what became of the rows to which nothing is left
    /// to be written, or that have another URL than the one that was shown.
    pub(super) async fn unmask(
        &self,
        session: &Session,
        operator: &Operator,
        wanted: &mut Wanted<'_>,
    ) -> Result<BTreeMap<i32, Outcome>> {
        let mut results = BTreeMap::new();
        let masked: Vec<usize> = (0..wanted.patches.len())
            .filter(|place| refused_as_masked(wanted.patches[*place].set.webhook_url.as_deref()).is_some())
            .collect();
        for place in masked {
            let given = wanted.patches[place].set.webhook_url.clone();
            let rows = wanted.rows.iter().filter(|(_, row)| row.patch == place);
            let ids: Vec<i32> = rows.map(|(id, _)| *id).collect();
            let mut without = wanted.patches[place].clone().into_owned();
            without.set.webhook_url = None;
            let writes_nothing = without.columns().next().is_none();
            for id in ids {
                let outcome = match Self::versioned(session, operator, id).await {
                    Ok(row) if row.subscription.webhook_url != given => {
                        refused_as_masked(given.as_deref()).map(|refusal| Outcome::Refused {
                            refusals: vec![refusal],
                        })
                    }
                    Ok(row) => writes_nothing.then(|| {
                        let expected = wanted.rows.get(&id).and_then(|row| row.expected.as_ref());
                        match expected.is_some_and(|expected| *expected != row.version) {
                            true => Outcome::Conflict { version: row.version },
                            false => Outcome::Done { version: row.version },
                        }
                    }),
                    Err(Error::NotFound(_)) => Some(Outcome::NotFound),
                    Err(error) => return Err(error),
                };
                if let Some(outcome) = outcome {
                    wanted.rows.remove(&id);
                    results.insert(id, outcome);
                }
            }
            wanted.patches[place] = Cow::Owned(without);
        }
        Ok(results)
    }

    /// The same of one row, of which nothing is written.
    pub(super) async fn unmasked(session: &Session, operator: &Operator, id: i32, patch: &Patch) -> Result<Patch> {
        let mut patch = patch.clone();
        let given = patch.set.webhook_url.as_deref();
        if let Some(refusal) = refused_as_masked(given) {
            let row = Self::versioned(session, operator, id).await?;
            if row.subscription.webhook_url.as_deref() != given {
                return Err(Error::refused(refusal));
            }
            patch.set.webhook_url = None;
        }
        Ok(patch)
    }
}
