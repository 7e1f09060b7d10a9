//! Holds the lead and runs the tasks of one term; stands by while another instance leads.
//!
//! One instance leads a database at a time: who holds an advisory lock on its listening connection. Others assist it meanwhile. A term ends when any of its tasks
//! fails; then all are stopped, what is under way may end, and everything begins again after a pause. What a task had in memory is
//! either in the database or was never begun, but for results that could not be written: those are kept and written first.
//!
//! Stop is in two phases: first nothing new is begun, then what is under way has [`Options::grace`] to end.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::endpoint::guard::Guard;
use crate::http::client::Client;
use crate::pg::connect::{Database, server_start};
use crate::pg::connections::{self, Connections};
use crate::pg::feed::Keeping;
use crate::pg::outbox::Lead;
use crate::pg::sessions::{self, Session};
use crate::pg::sqlstate::{NEEDS_SOMEBODY, OUT_OF_CONNECTIONS, POOLER};
use crate::pg::subscriptions::GiveUp;
use crate::pg::{deliveries, locks, notify, outbox, pooler, schema, troubles};
use crate::sealing::Keyring;
use crate::worker::deliver::deliverer::{Deliverer, Duties};
use crate::worker::deliver::in_flight::InFlight;
use crate::worker::deliver::recorder::{Log, Unrecorded};
use crate::worker::deliver::slots::{Limits, Slots};
use crate::worker::dispatch::behind::Awaited;
use crate::worker::dispatch::dispatcher::Dispatcher;
use crate::worker::dispatch::feeding::Growth;
use crate::worker::dispatch::judging::Judging;
use crate::worker::dispatch::wake::Doorbell;
use crate::worker::term::assistant::Assistant;
use crate::worker::term::budget::Budget;
use crate::worker::term::eviction::{self, more_telling, reason};
use crate::worker::term::high_water::HighWater;
use crate::worker::term::listener::Listener;
use crate::worker::term::timeout::{ANSWER_WITHIN, within};
use crate::worker::upkeep::admission::ServiceRules;
use crate::worker::upkeep::feed_tender::Tender;
use crate::worker::upkeep::keeper::{Keeper, TERM_FAILS};
use crate::worker::upkeep::quarantine::Quarantine;
use crate::worker::upkeep::retention::Retention;
use crate::worker::upkeep::subscription_set::SubscriptionSet;
use crate::worker::upkeep::sweeper;
use crate::worker::vitals::monitor;
use crate::worker::vitals::{Phase, Vitals};
use crate::{Error, Result};

/// How often a standby asks for the lead. A try, not a wait: a waiting statement would hold vacuum back.
const STANDBY_TRY_EVERY: Duration = Duration::from_secs(1);

/// How often a database that must not deliver is looked at again.
const FENCED_LOOK_EVERY: Duration = Duration::from_secs(2);

/// Pauses between tries to connect.
const RECONNECT_FIRST: Duration = Duration::from_millis(200);
const RECONNECT_MOST: Duration = Duration::from_secs(10);

/// How long taking the lead may take: it waits for a predecessor's last commit.
const LEAD_WITHIN: Duration = Duration::from_secs(60);

/// How long tasks may take to end beyond the grace time, before they are given up: one that waits for a dead connection's answer
/// never ends.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Of two sessions a term; what has died without the server's knowledge is mostly of the last one.
const REMEMBERED_SESSIONS: usize = 8;

/// A term that lasted so long, and as long as the pause that is due, was a good one: the next pause is short again.
const GOOD_TERM: Duration = Duration::from_secs(5);

/// What the service needs to know.
#[derive(Debug, Clone)]
pub struct Options {
    /// What logs call the database.
    pub name: String,
    /// Which database.
    pub database: Database,
    /// Which addresses subscriptions may name.
    pub guard: Guard,
    /// Sends; other databases of the process may share it.
    pub client: Client,
    /// Opens and seals secrets at rest; `None` = they are kept as they are.
    pub keyring: Option<Arc<Keyring>>,
    /// How long the dispatcher sleeps at most.
    pub poll_interval: Duration,
    /// How many requests may be under way.
    pub limits: Limits,
    /// When an endpoint that fails everything is given up.
    pub give_up: GiveUp,
    /// How long requests under way may go on after a stop.
    pub grace: Duration,
    /// For how many days the log is kept; 0 = for ever.
    pub log_retention_days: u16,
    /// What is kept of events for readers.
    pub feed: Keeping,
    /// Where is kept what must outlive the process; `None` = nowhere. Changes of it count with the next start.
    pub state_directory: Option<PathBuf>,
}

/// What outlives a term.
#[derive(Default)]
struct Kept {
    unrecorded: Unrecorded,
    in_flight: InFlight,
    high_water: HighWater,
    /// Sessions that held the lead or the bell, newest last.
    sessions: Vec<Session>,
    /// When the server was started that served the last term.
    server_start: Option<Timestamp>,
    /// Since when this term has its session.
    session_since: Option<Instant>,
    /// No pooler was found in between.
    is_direct: bool,
    has_led: bool,
}

impl Kept {
    /// A session holds the lead, or the bell.
    fn remember(&mut self, session: Session) {
        self.sessions.push(session);
        let forgotten = self.sessions.len().saturating_sub(REMEMBERED_SESSIONS);
        self.sessions.drain(..forgotten);
    }

    /// Ends what the server has left of them: it may not know that they were given up here, and nobody could lead.
    async fn end_lost_sessions(&self, client: &crate::pg::Client) -> Result<()> {
        let ended = sessions::end_holders(client, &self.sessions).await?;
        if ended > 0 {
            tracing::warn!(
                sessions = ended,
                "ended sessions of ours that the server still held for alive"
            );
        }
        Ok(())
    }
}

/// Runs the service until `stop` is cancelled. When the options change, the term ends as it would for a stop, what is under way
/// included, and the next one begins at once with the new ones.
///
/// # Errors
/// Only what cannot heal by itself: this is no Odoo database, nothing is installed, the installation is of another version, the
/// password is wrong. Everything else is logged and tried again.
pub async fn run(
    mut options: watch::Receiver<Options>,
    budget: Budget,
    vitals: Arc<Vitals>,
    stop: CancellationToken,
) -> Result<()> {
    let mut current = options.borrow_and_update().clone();
    let mut kept = Kept {
        high_water: HighWater::in_directory(current.state_directory.as_deref(), &current.database),
        ..Kept::default()
    };
    let mut pause = RECONNECT_FIRST;
    while !stop.is_cancelled() {
        if options.has_changed().unwrap_or(false) {
            current = options.borrow_and_update().clone();
        }
        kept.session_since = None;
        let until = stop.child_token();
        vitals.enter(Phase::Connecting);
        let ended = {
            let term = term(&current, &budget, &mut kept, &vitals, &until);
            tokio::pin!(term);
            tokio::select! {
                ended = &mut term => ended,
                Ok(()) = options.changed() => {
                    options.mark_changed();
                    until.cancel();
                    term.await
                }
            }
        };
        vitals.enter(Phase::Connecting);
        if kept
            .session_since
            .is_some_and(|since| since.elapsed() > pause.max(GOOD_TERM))
        {
            pause = RECONNECT_FIRST;
        }
        let wait = match ended {
            Ok(()) => continue,
            // The next term says why, and waits until it is settled.
            Err(error) if error.is_fenced() => {
                tracing::warn!(error = %error.chain(), "the term ended: this database may not deliver any more");
                continue;
            }
            Err(error) if !kept.has_led && error.means(POOLER) => {
                return Err(behind_a_pooler(pooler::TRANSACTION_MODE).with_source(error));
            }
            Err(error) if !kept.has_led && !may_heal(&error) => return Err(error),
            Err(error) => {
                vitals.metrics.term_failed();
                let away = match eviction::for_how_long(&error) {
                    Some(away)
                        if kept.session_since.is_some() && !has_restarted(&current.database, &kept, &stop).await =>
                    {
                        away
                    }
                    _ => Duration::ZERO,
                };
                let wait = pause.max(away);
                if away.is_zero() && kept.session_since.is_some() && !error.is_lease_lost() {
                    let told = Box::pin(tell_why_it_ended(&current.database, &error));
                    stop.run_until_cancelled(told).await;
                }
                tracing::warn!(error = %error.chain(), retry_in_ms = wait.as_millis(), stays_away = !away.is_zero(), "the term ended: trying again");
                pause = (pause * 2).min(RECONNECT_MOST);
                wait
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            Ok(()) = options.changed() => options.mark_changed(),
            () = tokio::time::sleep(wait) => {}
        }
    }
    Ok(())
}

/// Whether time alone may mend it. Before the first term a wrong password is a mistake to be told; later it may be a rotation.
fn may_heal(error: &Error) -> bool {
    if error.is_of_the_server() {
        !error.means(NEEDS_SOMEBODY)
    } else {
        error.is_transient()
    }
}

/// Whether the server was gone, and not this service sent away; a stop is not waited with.
async fn has_restarted(database: &Database, kept: &Kept, stop: &CancellationToken) -> bool {
    let asked = Box::pin(database.has_restarted(kept.server_start));
    stop.run_until_cancelled(asked).await.unwrap_or(true)
}

/// Where `status` finds it, which would see no service and no reason. What cannot be told now is in the log.
async fn tell_why_it_ended(database: &Database, error: &Error) {
    let told = within(ANSWER_WITHIN, "tell why the term ended", async {
        let client = database.connect().await?;
        troubles::note(&client, TERM_FAILS, &error.chain()).await
    });
    if let Err(failed) = told.await {
        tracing::debug!(error = %failed.chain(), "cannot tell why the term ended");
    }
}

/// From connecting to the end of the term.
async fn term(
    options: &Options,
    budget: &Budget,
    kept: &mut Kept,
    vitals: &Arc<Vitals>,
    stop: &CancellationToken,
) -> Result<()> {
    let (connections, mut notifications) = Connections::open(&options.database, connections::MORE).await?;
    let session = connections.lead();
    schema::require_installed(session).await?;
    within(ANSWER_WITHIN, "end the sessions that were lost", async {
        kept.end_lost_sessions(session).await?;
        kept.remember(Session::of(session).await?);
        kept.server_start = Some(server_start(session).await?);
        kept.session_since = Some(Instant::now());
        Ok(())
    })
    .await?;
    let cancel = stop.child_token();
    let mut tasks = Tasks::new(cancel.clone());
    let beginning = async {
        if !kept.is_direct {
            refuse_a_pooler(&options.database).await?;
        }
        if !try_to_lead(session).await? {
            let assistant = Assistant {
                options: options.clone(),
                budget: budget.clone(),
                connections: connections.clone(),
                unrecorded: kept.unrecorded.clone(),
                in_flight: kept.in_flight.clone(),
                vitals: Arc::clone(vitals),
            };
            if !stand_by(session, assistant, &mut tasks, vitals, stop).await? {
                return Ok(None);
            }
        }
        if !wait_for_fence(session, vitals, stop).await? {
            return Ok(None);
        }
        kept.is_direct = true;
        take_lead(&connections, kept, vitals, options).await.map(Some)
    };
    let (lead, doorbell) = match beginning.await {
        Ok(Some(led)) => led,
        // What an assistant has under way may end.
        Ok(None) => {
            let Err(error) = tasks.join(options.grace + END_WITHIN).await else {
                return Ok(());
            };
            return Err(reason(error, &mut notifications).await);
        }
        Err(error) => {
            cancel.cancel();
            // What it has under way is recorded, or kept.
            let ended = tasks.join(options.grace + END_WITHIN).await;
            return Err(reason(more_telling(error, ended.err()), &mut notifications).await);
        }
    };
    let term = lead.term;
    let (roster_sender, subscription_set) = watch::channel(Arc::new(SubscriptionSet::default()));
    let (handed_sender, handed) = mpsc::unbounded_channel();
    let slots = Slots::below(budget.in_flight(), options.limits);
    let (rang, changed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let quarantine = Quarantine::default();

    tasks.spawn("connections", connections.clone().keep(cancel.clone()));
    let listener = Listener {
        connections: connections.clone(),
        notifications,
        notify: lead.notify,
        rang: Arc::clone(&rang),
        changed: Arc::clone(&changed),
        vitals: Arc::clone(vitals),
    };
    tasks.spawn("listener", listener.run(cancel.clone(), stop.clone()));
    tasks.spawn("memory", kept.high_water.clone().keep_writing(cancel.clone()));
    tasks.spawn(
        "monitor",
        monitor::run(connections.clone(), Arc::clone(vitals), cancel.clone()),
    );
    let awaited = Awaited::default();
    let keeper = Keeper {
        connections: connections.clone(),
        database: options.database.clone(),
        budget: budget.clone(),
        rules: ServiceRules {
            guard: options.guard.clone(),
            keyring: options.keyring.clone(),
        },
        term: lead.term,
        subscription_set: roster_sender,
        changed: Arc::clone(&changed),
        awaited: awaited.clone(),
        quarantine: quarantine.clone(),
        give_up: options.give_up,
        slots: slots.clone(),
    };
    tasks.spawn("roster", keeper.run(cancel.clone()));
    tasks.spawn(
        "sweeper",
        sweeper::run(
            connections.clone(),
            (budget.clone(), options.database.clone()),
            (lead.term, kept.in_flight.clone()),
            Retention::new(options.log_retention_days),
            cancel.clone(),
        ),
    );
    let fed = Growth::below(options.feed.max_bytes);
    let tender = Tender {
        connections: connections.clone(),
        term: lead.term,
        keeping: options.feed,
        fed: fed.clone(),
    };
    tasks.spawn("feed", tender.run(cancel.clone()));
    let deliverer = Deliverer {
        log: Log {
            connections: connections.clone(),
            term: lead.term,
            unrecorded: kept.unrecorded.clone(),
            in_flight: kept.in_flight.clone(),
            subscription_set: subscription_set.clone(),
            vitals: Arc::clone(vitals),
        },
        client: options.client.clone(),
        slots: slots.clone(),
        handed,
        grace: options.grace,
        duties: Duties::All,
    };
    tasks.spawn(Tasks::HAS_GRACE, deliverer.run(cancel.clone()));
    let dispatcher = Dispatcher {
        connections: connections.clone(),
        doorbell,
        rang,
        judging: Judging {
            quarantine,
            subscriptions_changed: changed,
            connections: connections.clone(),
        },
        lead,
        awaited,
        edited: None,
        high_water: kept.high_water.clone(),
        fed,
        subscription_set,
        slots,
        handed: handed_sender,
        poll_interval: options.poll_interval,
        vitals: Arc::clone(vitals),
    };
    tasks.spawn("dispatcher", dispatcher.run(cancel));
    let ended = tasks.join(options.grace + END_WITHIN).await;
    kept.high_water.write().await;
    if ended.is_ok() {
        // Another process may be the next to lead, and cannot know what was not sent.
        let given = kept.in_flight.give_back_all(connections.lead(), term);
        within(ANSWER_WITHIN, "give back what was not sent", given).await?;
    }
    ended
}

/// Begins a term on the session that holds the lead's lock: ends what nobody recorded, listens, and hangs the doorbell up.
async fn take_lead(
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

/// The tasks of a term: when one ends, all end.
struct Tasks {
    cancel: CancellationToken,
    set: JoinSet<(&'static str, Result<()>)>,
}

impl Tasks {
    /// The task that lets requests end. Whatever goes on without it only waits for answers that may never come.
    const HAS_GRACE: &str = "deliverer";

    fn new(cancel: CancellationToken) -> Self {
        Self {
            cancel,
            set: JoinSet::new(),
        }
    }

    fn spawn(&mut self, name: &'static str, task: impl Future<Output = Result<()>> + Send + 'static) {
        self.set.spawn(async move { (name, task.await) }.in_current_span());
    }

    /// Waits for all; once the first has ended, `limit` for the others. Returns the first failure: what came after it is mostly its
    /// consequence.
    async fn join(mut self, limit: Duration) -> Result<()> {
        let mut first = None;
        let mut deadline = None;
        loop {
            let next = self.set.join_next();
            let ended = match deadline {
                None => next.await,
                Some(at) => match tokio::time::timeout_at(at, next).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        tracing::warn!(tasks = self.set.len(), "gave tasks up that did not end in time");
                        self.set.shutdown().await;
                        break;
                    }
                },
            };
            let Some(ended) = ended else { break };
            let now = tokio::time::Instant::now();
            let end_by = deadline.get_or_insert(now + limit);
            if let Ok((Self::HAS_GRACE, _)) = &ended {
                *end_by = (*end_by).min(now + END_WITHIN);
            }
            let failure = match ended {
                Ok((name, Ok(()))) => {
                    tracing::debug!(task = name, "ended");
                    None
                }
                Ok((name, Err(error))) => {
                    tracing::debug!(task = name, error = %error.chain(), "failed");
                    Some(error)
                }
                Err(error) => {
                    tracing::error!(error = %error, "a task died");
                    Some(Error::database("go on after a task died", error))
                }
            };
            first = match (first, failure) {
                (Some(first), failure) => Some(more_telling(first, failure)),
                (None, failure) => failure,
            };
            self.cancel.cancel();
        }
        first.map_or(Ok(()), Err)
    }
}

/// A session that others use too cannot hold the lead, and hears only some of what it listens for.
///
/// # Errors
/// What cannot heal by itself, when one is in between; database errors.
async fn refuse_a_pooler(database: &Database) -> Result<()> {
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

fn behind_a_pooler(found: &str) -> Error {
    Error::unfit(found).with_hint(
        "connect to PostgreSQL itself, or through a pool in session mode (pool_mode = session in the [databases] section of PgBouncer)",
    )
}

async fn try_to_lead(session: &crate::pg::Client) -> Result<bool> {
    within(ANSWER_WITHIN, "ask for the lead", async {
        locks::try_to_lead(session).await
    })
    .await
}

/// Assists until the lead is free, and takes it: `true`. Then what was under way goes on, beside the new term, until it ends.
async fn stand_by(
    session: &crate::pg::Client,
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

async fn wait_for_fence(session: &crate::pg::Client, vitals: &Vitals, stop: &CancellationToken) -> Result<bool> {
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
