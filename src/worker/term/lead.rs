//! Taking the lead of a database, or standing by while another instance has it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::assistant::Assistant;
use super::supervisor::{Kept, Options};
use super::tasks::Tasks;
use super::timeout::{ANSWER_WITHIN, within};
use crate::pg::connect::Database;
use crate::pg::connections::Connections;
use crate::pg::outbox::Lead;
use crate::pg::sqlstate::OUT_OF_CONNECTIONS;
use crate::pg::{Client, deliveries, locks, notify, outbox, pooler};
use crate::worker::deliver::recorder::Unrecorded;
use crate::worker::dispatch::wake::Doorbell;
use crate::worker::vitals::{Phase, Vitals};
use crate::{Error, Result};

/// How often a standby asks for the lead. A try, not a wait: a waiting statement would hold vacuum back.
const STANDBY_TRY_EVERY: Duration = Duration::from_secs(1);

/// How often a database that must not deliver is looked at again.
const FENCED_LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long taking the lead may take: it waits for a predecessor's last commit.
const LEAD_WITHIN: Duration = Duration::from_secs(60);

/// Begins a term on the session that holds the lead's lock: ends what nobody recorded, listens, and hangs the doorbell up.
pub(super) async fn take_lead(
    connections: &Connections,
    kept: &mut Kept,
    vitals: &Vitals,
    options: &Options,
) -> Result<(Lead, Option<Doorbell>)> {
    let session = connections.lead();
    let lead = within(LEAD_WITHIN, "take the lead", async {
        write_what_was_kept(connections, &kept.unrecorded).await?;
        let lead = outbox::take_lead(session).await?;
        if kept.high_water.is_beyond(&lead).await {
            outbox::note_forgetful(session, lead.term).await?;
            return Err(Error::unfit(
                "the database has forgotten what this service had committed",
            ));
        }
        kept.high_water.lead(&lead).await;
        // Before those that nobody recorded: what was not sent was not interrupted.
        kept.in_flight.give_back_before(session, lead.term).await?;
        kept.in_flight.lead(lead.term);
        let interrupted = deliveries::recover_interrupted(session, lead.term).await?;
        if interrupted > 0 {
            tracing::warn!(
                attempts = interrupted,
                "ended attempts that nobody recorded: interrupted"
            );
        }
        Ok(lead)
    })
    .await?;
    kept.has_led = true;
    vitals.enter(Phase::Leading);
    vitals.metrics.set_term(lead.term);
    tracing::info!(database = %options.database, term = lead.term, "leading");
    notify::listen(session).await?;

    let doorbell = if lead.notify {
        let doorbell = Doorbell::connect(&options.database).await?;
        kept.remember(doorbell.session());
        Some(doorbell)
    } else {
        None
    };
    Ok((lead, doorbell))
}

/// A session that others use too cannot hold the lead, and hears only some of what it listens for.
///
/// # Errors
/// What cannot heal by itself, when one is in between; database errors.
pub(super) async fn refuse_a_pooler(database: &Database) -> Result<()> {
    match pooler::find(database).await {
        Ok(None) => Ok(()),
        Ok(Some(found)) => Err(behind_a_pooler(found)),
        // It takes some connections for a moment, which are not needed otherwise.
        Err(error) if error.means(OUT_OF_CONNECTIONS) => {
            tracing::debug!(error = %error.chain(), "cannot look for a pooler");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

pub(super) fn behind_a_pooler(found: &str) -> Error {
    Error::unfit(found).with_hint(
        "connect to PostgreSQL itself, or through a pool in session mode (pool_mode = session in the [databases] section of PgBouncer)",
    )
}

pub(super) async fn try_to_lead(session: &Client) -> Result<bool> {
    within(ANSWER_WITHIN, "ask for the lead", async {
        locks::try_to_lead(session).await
    })
    .await
}

/// Assists until the lead is free, and takes it: `true`. Then what was under way goes on, beside the new term, until it ends.
pub(super) async fn stand_by(
    session: &Client,
    assistant: Assistant,
    tasks: &mut Tasks,
    vitals: &Vitals,
    stop: &CancellationToken,
) -> Result<bool> {
    vitals.enter(Phase::Standby);
    tracing::info!("another instance leads: standing by");
    let assist = stop.child_token();
    let (failed, until_term_ends) = (CancellationToken::new(), tasks.cancel.clone());
    let (run, failing) = (Box::pin(assistant.run(assist.clone())), failed.clone());
    tasks.spawn("assistant", async move {
        let ended = run.await;
        if ended.is_err() {
            failing.cancel();
        } else {
            // The first task that ends is the end of a term.
            until_term_ends.cancelled().await;
        }
        ended
    });
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(false),
            // Its error is found where tasks are waited for.
            () = failed.cancelled() => return Ok(false),
            () = tokio::time::sleep(STANDBY_TRY_EVERY) => {}
        }
        if try_to_lead(session).await? {
            assist.cancel();
            return Ok(true);
        }
    }
}

pub(super) async fn wait_for_fence(session: &Client, vitals: &Vitals, stop: &CancellationToken) -> Result<bool> {
    let mut said = None;
    while let Some(reason) = within(ANSWER_WITHIN, "look for signs of a copy", outbox::fence(session)).await? {
        vitals.enter(Phase::Fenced);
        if said.as_ref() != Some(&reason) {
            tracing::error!(
                reason,
                "nothing is delivered from this database: run `odoo-eventd adopt` if it should be"
            );
            said = Some(reason);
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(false),
            () = tokio::time::sleep(FENCED_LOOK_EVERY) => {}
        }
    }
    Ok(true)
}

/// Results from before the connection was lost: still ours to write if nobody led meanwhile.
///
/// # Errors
/// When they cannot be written although nobody did. To lead now would end them as interrupted.
async fn write_what_was_kept(connections: &Connections, unrecorded: &Unrecorded) -> Result<()> {
    let mut failed = None;
    for (term, finished) in unrecorded.take() {
        match deliveries::record(&*connections.at_once().await, term, &finished).await {
            Ok(written) => tracing::info!(attempts = written, "recorded what ended while the database was away"),
            Err(error) if error.is_lease_lost() => {
                tracing::warn!(
                    attempts = finished.len(),
                    "another instance led meanwhile and has ended these attempts as interrupted"
                );
            }
            Err(error) => {
                unrecorded.push(term, finished);
                failed = Some(error);
            }
        }
    }
    failed.map_or(Ok(()), Err)
}
