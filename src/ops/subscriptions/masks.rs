//! What somebody was shown and writes back: a mask stands for what it hides, and changes nothing.
//!
//! Of a secret `********` is shown, and the table itself takes it back. Of a URL and of headers a part is hidden by `***`; headers are put
//! back by the statement that writes them (`patched_subscription` in `sql/functions/subscription_writes.sql`).

use std::borrow::Cow;

use crate::endpoint::mask::HIDDEN;
use crate::ops::error::{Error, Result};
use crate::ops::operator::Operator;
use crate::ops::service::Service;
use crate::subscription::{Patch, Refusal};

impl Service {
    /// The patch without a URL that is written as it was shown.
    ///
    /// # Errors
    /// [`Error::Refused`] for another URL with a mask in it; [`Error::NotFound`].
    pub(super) async fn unmasked<'a>(
        &self,
        operator: &Operator,
        ids: &[i32],
        patch: &'a Patch,
    ) -> Result<Cow<'a, Patch>> {
        let Some(url) = patch.set.webhook_url.as_deref().filter(|url| url.contains(HIDDEN)) else {
            return Ok(Cow::Borrowed(patch));
        };
        let session = self.session().await?;
        for id in ids {
            let shown = Self::versioned(&session, operator, *id).await?.subscription.webhook_url;
            if shown.as_deref() != Some(url) {
                let refusal = Refusal::of(
                    "webhook_url",
                    format!("it has {HIDDEN} in it, which stands for what is not shown"),
                );
                return Err(Error::refused(
                    refusal.with_hint("write all of the URL, or leave webhook_url out"),
                ));
            }
        }
        let mut without = patch.clone();
        without.set.webhook_url = None;
        Ok(Cow::Owned(without))
    }
}
