//! Holds the lead and runs the tasks of one term; stands by while another instance leads.
//!
//! One instance leads a database at a time: who holds an advisory lock on its listening connection. Others assist it meanwhile. A term ends when any of its tasks
//! fails; then all are stopped, what is under way may end, and everything begins again after a pause. What a task had in memory is
//! either in the database or was never begun, but for results that could not be written: those are kept and written first.
//!
//! Stop is in two phases: first nothing new is begun, then what is under way has [`Options::grace`] to end.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::lead::{behind_a_pooler, refuse_a_pooler, stand_by, take_lead, try_to_lead, wait_for_fence};
use super::tasks::{END_WITHIN, Tasks};
use crate::endpoint::guard::Guard;
use crate::http::client::Client;
use crate::pg::connect::{Database, Notifications, server_start};
use crate::pg::connections::{self, Connections};
use crate::pg::feed::Keeping;
use crate::pg::outbox::Lead;
use crate::pg::sessions::{self, Session};
use crate::pg::sqlstate::{NEEDS_SOMEBODY, POOLER};
use crate::pg::subscriptions::GiveUp;
use crate::pg::{pooler, schema, troubles};
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

/// Pauses between tries to connect.
const RECONNECT_FIRST: Duration = Duration::from_millis(200);
const RECONNECT_MOST: Duration = Duration::from_secs(10);

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
pub(super) struct Kept {
    pub(super) unrecorded: Unrecorded,
    pub(super) in_flight: InFlight,
    pub(super) high_water: HighWater,
    /// Sessions that held the lead or the bell, newest last.
    sessions: Vec<Session>,
    /// When the server was started that served the last term.
    server_start: Option<Timestamp>,
    /// Since when this term has its session.
    session_since: Option<Instant>,
    /// No pooler was found in between.
    pub(super) is_direct: bool,
    pub(super) has_led: bool,
}

impl Kept {
    /// A session holds the lead, or the bell.
    pub(super) fn remember(&mut self, session: Session) {
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
    let mut beginning = Beginning {
        options,
        budget,
        kept,
        vitals,
        stop,
        connections: &connections,
    };
    let (lead, doorbell) = match Box::pin(beginning.lead(&mut tasks)).await {
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
    beginning.spawn_all(&mut tasks, lead, doorbell, notifications);
    let ended = tasks.join(options.grace + END_WITHIN).await;
    beginning.kept.high_water.write().await;
    if ended.is_ok() {
        // Another process may be the next to lead, and cannot know what was not sent.
        let given = beginning.kept.in_flight.give_back_all(connections.lead(), term);
        within(ANSWER_WITHIN, "give back what was not sent", given).await?;
    }
    ended
}

/// What a term begins with.
struct Beginning<'t> {
    options: &'t Options,
    budget: &'t Budget,
    kept: &'t mut Kept,
    vitals: &'t Arc<Vitals>,
    stop: &'t CancellationToken,
    connections: &'t Connections,
}

impl Beginning<'_> {
    /// Takes the lead, having assisted until it was free; `None` when stopped before.
    async fn lead(&mut self, tasks: &mut Tasks) -> Result<Option<(Lead, Option<Doorbell>)>> {
        let session = self.connections.lead();
        if !self.kept.is_direct {
            refuse_a_pooler(&self.options.database).await?;
        }
        if !try_to_lead(session).await? {
            let assistant = Assistant {
                options: self.options.clone(),
                budget: self.budget.clone(),
                connections: self.connections.clone(),
                unrecorded: self.kept.unrecorded.clone(),
                in_flight: self.kept.in_flight.clone(),
                vitals: Arc::clone(self.vitals),
            };
            if !stand_by(session, assistant, tasks, self.vitals, self.stop).await? {
                return Ok(None);
            }
        }
        if !wait_for_fence(session, self.vitals, self.stop).await? {
            return Ok(None);
        }
        self.kept.is_direct = true;
        take_lead(self.connections, self.kept, self.vitals, self.options)
            .await
            .map(Some)
    }

    /// Begins everything that a leader does.
    fn spawn_all(&self, tasks: &mut Tasks, lead: Lead, doorbell: Option<Doorbell>, notifications: Notifications) {
        let cancel = tasks.cancel.clone();
        let (set_sender, subscription_set) = watch::channel(Arc::new(SubscriptionSet::default()));
        let (handed_sender, handed) = mpsc::unbounded_channel();
        let slots = Slots::below(self.budget.in_flight(), self.options.limits);
        let (rang, changed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let quarantine = Quarantine::default();

        tasks.spawn("connections", self.connections.clone().keep(cancel.clone()));
        let listener = Listener {
            connections: self.connections.clone(),
            notifications,
            notify: lead.notify,
            rang: Arc::clone(&rang),
            changed: Arc::clone(&changed),
            vitals: Arc::clone(self.vitals),
        };
        tasks.spawn("listener", listener.run(cancel.clone(), self.stop.clone()));
        tasks.spawn("memory", self.kept.high_water.clone().keep_writing(cancel.clone()));
        tasks.spawn(
            "monitor",
            monitor::run(self.connections.clone(), Arc::clone(self.vitals), cancel.clone()),
        );
        let awaited = Awaited::default();
        let keeper = Keeper {
            connections: self.connections.clone(),
            database: self.options.database.clone(),
            budget: self.budget.clone(),
            rules: ServiceRules {
                guard: self.options.guard.clone(),
                keyring: self.options.keyring.clone(),
            },
            term: lead.term,
            subscription_set: set_sender,
            changed: Arc::clone(&changed),
            awaited: awaited.clone(),
            quarantine: quarantine.clone(),
            give_up: self.options.give_up,
            slots: slots.clone(),
        };
        tasks.spawn("roster", keeper.run(cancel.clone()));
        tasks.spawn(
            "sweeper",
            sweeper::run(
                self.connections.clone(),
                (self.budget.clone(), self.options.database.clone()),
                (lead.term, self.kept.in_flight.clone()),
                Retention::new(self.options.log_retention_days),
                cancel.clone(),
            ),
        );
        let fed = Growth::below(self.options.feed.max_bytes);
        let tender = Tender {
            connections: self.connections.clone(),
            term: lead.term,
            keeping: self.options.feed,
            fed: fed.clone(),
        };
        tasks.spawn("feed", tender.run(cancel.clone()));
        let deliverer = Deliverer {
            log: Log {
                connections: self.connections.clone(),
                term: lead.term,
                unrecorded: self.kept.unrecorded.clone(),
                in_flight: self.kept.in_flight.clone(),
                subscription_set: subscription_set.clone(),
                vitals: Arc::clone(self.vitals),
            },
            client: self.options.client.clone(),
            slots: slots.clone(),
            handed,
            grace: self.options.grace,
            duties: Duties::All,
        };
        tasks.spawn(Tasks::HAS_GRACE, deliverer.run(cancel.clone()));
        let dispatcher = Dispatcher {
            connections: self.connections.clone(),
            doorbell,
            rang,
            judging: Judging {
                quarantine,
                subscriptions_changed: changed,
                connections: self.connections.clone(),
            },
            lead,
            awaited,
            edited: None,
            high_water: self.kept.high_water.clone(),
            fed,
            subscription_set,
            slots,
            handed: handed_sender,
            poll_interval: self.options.poll_interval,
            vitals: Arc::clone(self.vitals),
        };
        tasks.spawn("dispatcher", dispatcher.run(cancel));
    }
}
