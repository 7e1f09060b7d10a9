//! All readers of a process: who waits, who is to be read for, and the one query at a time that reads for them.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::FeedPage;
use super::ear::{Ear, Heard};
use super::noted::{Note, Noted};
use crate::ops::error::{Error, Result};
use crate::pg::feed::{self, Asked, Found, Place};
use crate::pg::session_pool::SessionPool;

/// Readers that are read for in one query at most.
const MOST_AT_ONCE: usize = 256;

/// And no more events than have so many bytes, one at least: whatever readers there are, so much of their bodies is in memory twice.
const MOST_BYTES: i64 = 4 * 1024 * 1024;

/// How often new events are looked for that nobody told of, for all that wait at once: a notification may be lost ..
const POLL_LISTENING: Duration = Duration::from_secs(5);

/// .. and where nobody listens nothing is told.
const POLL_DEAF: Duration = Duration::from_secs(1);

/// How long nobody must have waited before the session that listens is closed.
const IDLE: Duration = Duration::from_secs(60);

/// See the [module documentation](self). Clones are the same ones.
#[derive(Debug, Clone)]
pub(in crate::ops) struct Readers(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sessions: SessionPool,
    /// To the task that serves them; none was needed yet.
    asks: Mutex<Option<mpsc::UnboundedSender<Ask>>>,
}

/// What is asked for. Readers that ask for the same are answered alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Question {
    /// The operator, as the database takes him.
    operator: Arc<str>,
    subscription: i32,
    after: Option<Place>,
    most: i32,
}

/// Somebody who asks.
#[derive(Debug)]
struct Ask {
    question: Question,
    /// None = he does not wait.
    until: Option<Instant>,
    reply: oneshot::Sender<Result<FeedPage>>,
}

impl Ask {
    fn waits(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }
}

impl Readers {
    pub(in crate::ops) fn new(sessions: SessionPool) -> Self {
        Self(Arc::new(Inner {
            sessions,
            asks: Mutex::new(None),
        }))
    }

    /// # Errors
    /// [`Error::NotFound`] where the operator sees no such subscription; [`Error::Busy`], [`Error::Unavailable`].
    pub(super) async fn ask(
        &self,
        operator: Value,
        subscription: i32,
        after: Option<Place>,
        most: i32,
        until: Option<Instant>,
    ) -> Result<FeedPage> {
        let (reply, answer) = oneshot::channel();
        let question = Question {
            operator: operator.to_string().into(),
            subscription,
            after,
            most,
        };
        self.send(Ask { question, until, reply });
        answer
            .await
            .unwrap_or_else(|_| Err(crate::Error::other("reading the feed ended early").into()))
    }

    /// The task ends with the last of the readers, and is begun anew should it have ended otherwise.
    fn send(&self, ask: Ask) {
        let mut asks = self.0.asks.lock().unwrap_or_else(PoisonError::into_inner);
        let unsent = match asks.as_ref() {
            Some(task) => match task.send(ask) {
                Ok(()) => return,
                Err(unsent) => unsent.0,
            },
            None => ask,
        };
        let (sender, receiver) = mpsc::unbounded_channel();
        #[expect(
            clippy::disallowed_methods,
            reason = "ends with the last of the readers; whoever asks is told when it ended before"
        )]
        tokio::spawn(Serving::new(self.0.sessions.clone(), receiver).run());
        // The receiver is there: it has just been made.
        let _ = sender.send(unsent);
        *asks = Some(sender);
    }
}

/// The newest event of each of some subscriptions.
type Newest = Vec<(i32, i64)>;

/// What one query came to, and which readers were noted with it.
enum Done {
    Read(Vec<(Question, Vec<Ask>)>, crate::Result<(Vec<Found>, Option<Note>)>),
    Looked(crate::Result<(Newest, Option<Note>)>),
}

/// The task that serves all readers.
struct Serving {
    sessions: SessionPool,
    asks: mpsc::UnboundedReceiver<Ask>,
    ear: Ear,
    /// Who is read for next.
    ready: Vec<Ask>,
    /// Who waits, by subscription.
    parked: HashMap<i32, Vec<Ask>>,
    /// Up to where each subscription was read, or was told to have events, since the ear listens.
    known: HashMap<i32, i64>,
    /// The same when the query under way began, of those that it reads.
    known_then: HashMap<i32, i64>,
    epoch: Option<Uuid>,
    under_way: Option<BoxFuture<'static, Done>>,
    look_at: Instant,
    noted: Noted,
    idle_since: Instant,
}

impl Serving {
    fn new(sessions: SessionPool, asks: mpsc::UnboundedReceiver<Ask>) -> Self {
        let ear = Ear::new(sessions.database().clone());
        Self {
            sessions,
            asks,
            ear,
            ready: Vec::new(),
            parked: HashMap::new(),
            known: HashMap::new(),
            known_then: HashMap::new(),
            epoch: None,
            under_way: None,
            look_at: Instant::now(),
            noted: Noted::default(),
            idle_since: Instant::now(),
        }
    }

    async fn run(mut self) {
        loop {
            if self.under_way.is_none() {
                self.begin();
            }
            let next = self.next_deadline();
            let under_way = async {
                match self.under_way.as_mut() {
                    Some(query) => query.await,
                    None => std::future::pending().await,
                }
            };
            let sleep = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.take(ask),
                    None => return,
                },
                done = under_way => {
                    self.under_way = None;
                    match done {
                        Done::Read(asked, found) => self.answer(asked, found),
                        Done::Looked(looked) => self.looked(looked),
                    }
                }
                heard = self.ear.hear() => self.heard(heard),
                () = sleep => self.expire(),
            }
        }
    }

    /// Somebody asks. He is read for at once, unless it is known that there is nothing for him.
    fn take(&mut self, ask: Ask) {
        let question = &ask.question;
        let has_nothing = self.ear.is_listening()
            && question.after.is_some_and(|after| {
                self.epoch == Some(after.epoch)
                    && self
                        .known
                        .get(&question.subscription)
                        .is_some_and(|seq| *seq <= after.seq)
            });
        if has_nothing && ask.waits(Instant::now()) {
            self.park(ask);
        } else {
            self.ready.push(ask);
        }
    }

    fn park(&mut self, ask: Ask) {
        if self.parked.is_empty() {
            self.look_at = Instant::now() + self.look_every();
        }
        self.ear.listen();
        self.parked.entry(ask.question.subscription).or_default().push(ask);
    }

    fn look_every(&self) -> Duration {
        if self.ear.is_listening() {
            POLL_LISTENING
        } else {
            POLL_DEAF
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        if self.parked.is_empty() {
            return (!self.ear.is_off()).then(|| self.idle_since + IDLE);
        }
        let ends = self.parked.values().flatten().filter_map(|ask| ask.until).min();
        let looks = self.under_way.is_none().then_some(self.look_at);
        ends.into_iter().chain(looks).min()
    }

    /// Whoever has waited long enough is read for once more: he may not see the subscription any more.
    fn expire(&mut self) {
        let now = Instant::now();
        if self.parked.is_empty() && self.idle_since + IDLE <= now {
            self.ear.stop();
            self.known.clear();
        }
        for asks in self.parked.values_mut() {
            self.ready
                .extend(asks.extract_if(.., |ask| !ask.waits(now) || ask.reply.is_closed()));
        }
        self.forget_empty();
    }

    fn forget_empty(&mut self) {
        self.parked.retain(|_, asks| !asks.is_empty());
        self.ready.retain(|ask| !ask.reply.is_closed());
        if !self.parked.is_empty() || !self.ready.is_empty() {
            self.idle_since = Instant::now();
        }
    }

    fn heard(&mut self, heard: Heard) {
        match heard {
            Heard::New(newest) => newest
                .into_iter()
                .for_each(|(subscription, seq)| self.wake(subscription, seq)),
            Heard::Something => self.look_at = Instant::now(),
            Heard::Listening | Heard::Lost => {
                self.known.clear();
                self.look_at = Instant::now();
            }
        }
        self.forget_empty();
    }

    fn wake(&mut self, subscription: i32, seq: i64) {
        let known = self.known.entry(subscription).or_insert(seq);
        *known = seq.max(*known);
        if let Some(asks) = self.parked.get_mut(&subscription) {
            let is_behind = |ask: &mut Ask| ask.question.after.is_none_or(|after| after.seq < seq);
            self.ready.extend(asks.extract_if(.., is_behind));
        }
    }

    fn looked(&mut self, looked: crate::Result<(Newest, Option<Note>)>) {
        self.look_at = Instant::now() + self.look_every();
        match looked {
            Ok((newest, note)) => {
                note.into_iter().for_each(|note| self.noted.add(note));
                newest
                    .into_iter()
                    .for_each(|(subscription, seq)| self.wake(subscription, seq));
            }
            Err(error) => tracing::debug!(error = %error.chain(), "cannot look for new events"),
        }
        self.forget_empty();
    }

    /// Begins the next query, if there is one to be made.
    fn begin(&mut self) {
        let sessions = self.sessions.clone();
        self.ready.retain(|ask| !ask.reply.is_closed());
        if !self.ready.is_empty() {
            let mut asked: HashMap<Question, Vec<Ask>> = HashMap::new();
            let mut left = Vec::new();
            for ask in self.ready.drain(..) {
                if asked.len() < MOST_AT_ONCE || asked.contains_key(&ask.question) {
                    asked.entry(ask.question.clone()).or_default().push(ask);
                } else {
                    left.push(ask);
                }
            }
            self.ready = left;
            let asked: Vec<_> = asked.into_iter().collect();
            let subscriptions = asked.iter().map(|(question, _)| question.subscription);
            self.known_then = subscriptions
                .filter_map(|id| Some((id, *self.known.get(&id)?)))
                .collect();
            let due = self.noted.due(asked.iter().map(|(question, _)| question.subscription));
            let reading = async move {
                let found = read(&sessions, &asked, due).await;
                Done::Read(asked, found)
            };
            self.under_way = Some(reading.boxed());
        } else if !self.parked.is_empty() && self.look_at <= Instant::now() {
            let subscriptions: Vec<i32> = self.parked.keys().copied().collect();
            let due = self.noted.due(subscriptions.iter().copied());
            let looking = async move {
                let session = sessions.get().await?;
                let newest = feed::newest(&session, &subscriptions).await?;
                Ok((newest, Note::make(&session, due).await?))
            };
            self.under_way = Some(looking.map(Done::Looked).boxed());
        }
    }

    fn answer(&mut self, asked: Vec<(Question, Vec<Ask>)>, found: crate::Result<(Vec<Found>, Option<Note>)>) {
        let now = Instant::now();
        let found = match found {
            Ok((found, note)) => {
                note.into_iter().for_each(|note| self.noted.add(note));
                found
            }
            Err(error) => {
                for ask in asked.into_iter().flat_map(|(_, asks)| asks) {
                    let _ = ask.reply.send(Err(the_same(&error)));
                }
                return;
            }
        };
        for ((question, asks), found) in asked.into_iter().zip(found) {
            self.answer_one(&question, asks, found, now);
        }
        self.forget_empty();
    }

    fn answer_one(&mut self, question: &Question, asks: Vec<Ask>, found: Found, now: Instant) {
        let subscription = question.subscription;
        if !found.is_seen {
            for ask in asks {
                let _ = ask.reply.send(Err(Error::no_subscription(subscription)));
            }
            return;
        }
        let (end, has_more, is_empty) = (found.end, found.has_more, found.events.is_empty());
        if self.epoch.replace(end.epoch) != Some(end.epoch) {
            self.known.clear();
        }
        // What was told before the query began, the query has seen, whether or not it is this reader's to see.
        let was_told = self.known.get(&subscription) > self.known_then.get(&subscription);
        if !has_more {
            let known = self.known.entry(subscription).or_insert(end.seq);
            *known = end.seq.max(*known);
        }
        if is_empty && has_more {
            // Others' bodies were so large that there was no room for his.
            self.ready.extend(asks);
            return;
        }
        let is_news = !is_empty || found.is_truncated;
        let page = FeedPage::of(found);
        for mut ask in asks {
            if is_news || !ask.waits(now) {
                let _ = ask.reply.send(Ok(page.clone()));
                continue;
            }
            ask.question.after = Some(end);
            if was_told {
                self.ready.push(ask);
            } else {
                self.park(ask);
            }
        }
    }
}

/// Reads for all of them, and notes those of `due` that are really read.
async fn read(
    sessions: &SessionPool,
    asked: &[(Question, Vec<Ask>)],
    due: BTreeSet<i32>,
) -> crate::Result<(Vec<Found>, Option<Note>)> {
    let operators: Vec<Value> = asked
        .iter()
        .map(|(question, _)| serde_json::from_str(&question.operator).expect("it was written as JSON"))
        .collect();
    let questions = asked.iter().zip(&operators).map(|((question, _), operator)| Asked {
        operator,
        subscription: question.subscription,
        after: question.after,
        most: question.most,
    });
    let questions: Vec<Asked<'_>> = questions.collect();
    let session = sessions.get().await?;
    let found = feed::read(&session, &questions, MOST_BYTES).await?;
    let seen = questions.iter().zip(&found).filter(|(_, found)| found.is_seen);
    let seen: BTreeSet<i32> = seen.map(|(question, _)| question.subscription).collect();
    // What was read stands, whether or not the readers could be noted.
    let note = Note::make(&session, &due & &seen).await.unwrap_or_else(|error| {
        tracing::debug!(error = %error.chain(), "readers cannot be noted");
        None
    });
    Ok((found, note))
}

/// One error for each of those who asked together.
fn the_same(error: &crate::Error) -> Error {
    let told = error.chain();
    if error.is_busy() {
        crate::Error::busy(told).into()
    } else {
        crate::Error::database("read the feed", told).into()
    }
}
