//! What has to hold between what was committed, what the log says, and what receivers got, whatever happened meanwhile.
//!
//! Pure: it compares three [`Books`] that were kept apart. [`check`] names every entry that contradicts a promise; a world that has
//! come to rest has none.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::{Duration, Instant};

use uuid::Uuid;

/// A change of one record, as its writer knows it and as a body tells it. Writers write another token each time, so no two are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Item {
    /// `create`, `write`, `unlink`.
    pub event_type: String,
    /// The record.
    pub record: i64,
    /// What was written; empty for an unlink, of which a record has one.
    pub token: String,
}

/// A change that its writer's transaction entered into the writer's own table.
#[derive(Clone, Debug)]
pub struct Committed {
    /// In the order of commits, among the changes of one record.
    pub seq: i64,
    /// The transaction; its changes of one type are one event.
    pub transaction: u64,
    /// What changed.
    pub item: Item,
    /// When its writer was told that it is committed; `None` when the connection went before that.
    pub at: Option<Instant>,
}

/// A row of `mcp_webhook_delivery`.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The delivery.
    pub delivery: Uuid,
    /// The event.
    pub event: Uuid,
    /// The subscription.
    pub subscription: i32,
    /// 1, 2, ..
    pub number: i32,
    /// `pending`, `success`, `failed`.
    pub status: String,
    /// Why it failed.
    pub error: Option<String>,
    /// What the body told.
    pub items: Vec<Item>,
}

/// A request that a receiver has read to its end.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When.
    pub at: Instant,
    /// `webhook-id`.
    pub delivery: Uuid,
    /// `event_id` of the body.
    pub event: Uuid,
    /// `subscription_id` of the body.
    pub subscription: i32,
    /// What the body told.
    pub items: Vec<Item>,
    /// With which status the receiver meant to answer; `None` when it meant harm.
    pub answered: Option<u16>,
}

impl Arrival {
    fn was_welcome(&self) -> bool {
        self.answered.is_some_and(|status| (200..300).contains(&status))
    }
}

/// What a subscription was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// Sent again until it is taken; else at most once.
    pub retried: bool,
    /// One change of a record after the other.
    pub ordered: bool,
}

/// What was written down by those who took part. Every subscription is for every change.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// The subscriptions.
    pub promises: BTreeMap<i32, Promise>,
    /// By the writers.
    pub committed: Vec<Committed>,
    /// By the service.
    pub attempts: Vec<Attempt>,
    /// By the receivers, in the order of arrival.
    pub arrivals: Vec<Arrival>,
}

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Breach {
    /// Neither the log nor the receiver knows what became of a committed change; or it was to be sent until taken, and was not taken.
    Lost,
    /// The log has an attempt without an end.
    Pending,
    /// The log has two successes of one delivery.
    TwoSuccesses,
    /// A one-shot delivery was attempted again, or any after its success was logged.
    SentAgain,
    /// A receiver took a delivery more often than the log's successes and uncertain failures allow.
    Unexplained,
    /// A receiver got more requests of a delivery than the log has attempts.
    Unlogged,
    /// The log has a success that no receiver knows of.
    Invented,
    /// What arrived, or was attempted, was never committed.
    NotCommitted,
    /// What a transaction did went out under two event ids.
    TwoEvents,
    /// One change went out as two deliveries.
    TwoDeliveries,
    /// A change of a record arrived behind a later one.
    OutOfOrder,
}

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which.
    pub breach: Breach,
    /// For which subscription.
    pub subscription: i32,
    /// Words for people.
    pub what: String,
    /// When it concerns something that has a time: its commit or arrival.
    pub at: Option<Instant>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}, subscription {}: {}",
            self.breach, self.subscription, self.what
        )
    }
}

/// What [`check`] found.
#[derive(Debug, Default)]
pub struct Report {
    /// Broken promises.
    pub violations: Vec<Violation>,
    /// When requests arrived that had been taken before, each explained by an attempt whose end the service did not learn.
    pub resent: Vec<Instant>,
    /// One-shots that a crash cut off: when each was committed, if known. The log says so of each.
    pub interrupted: Vec<Option<Instant>>,
    /// Of those, how many the receiver got all the same.
    pub interrupted_yet_arrived: usize,
    /// When each event was committed, if known.
    pub events: Vec<Option<Instant>>,
    /// When each change was committed, and when it first came to a receiver; by the latter. The commit is the earliest of all that came
    /// then or later.
    waits: Vec<(Instant, Instant)>,
    arrivals: Vec<Instant>,
}

impl Report {
    /// How many promises of a kind were broken.
    pub fn count(&self, breach: Breach) -> usize {
        self.violations.iter().filter(|v| v.breach == breach).count()
    }

    /// Nothing was promised in vain.
    ///
    /// # Panics
    /// With the first broken promises of each kind.
    #[track_caller]
    pub fn assert_clean(&self) {
        let mut shown: HashMap<Breach, usize> = HashMap::new();
        let said: Vec<String> = self
            .violations
            .iter()
            .filter(|v| {
                let count = shown.entry(v.breach).or_default();
                *count += 1;
                *count <= 5
            })
            .map(ToString::to_string)
            .collect();
        assert!(
            self.violations.is_empty(),
            "{} promises were broken:\n{}",
            self.violations.len(),
            said.join("\n")
        );
    }

    /// The longest time without any arrival, in `[from, to)`, while some change was committed and had not come anywhere. Counted where
    /// it ends: when deliveries go on.
    pub fn longest_gap(&self, from: Instant, to: Instant) -> Duration {
        let mut longest = Duration::ZERO;
        let mut before: Option<Instant> = None;
        // One more, as a gap begins with the arrival before.
        let first = self.arrivals.partition_point(|at| *at < from).saturating_sub(1);
        for &arrival in self.arrivals[first..].iter().take_while(|at| **at < to) {
            let first_due = self.waits.partition_point(|(_, came)| *came < arrival);
            if (from..to).contains(&arrival)
                && let Some(&(due, _)) = self.waits.get(first_due)
            {
                let began = before.map_or(due, |before| before.max(due));
                longest = longest.max(arrival.saturating_duration_since(began));
            }
            before = Some(arrival);
        }
        longest
    }
}

/// All attempts and arrivals of one delivery.
#[derive(Default)]
struct Story<'a> {
    attempts: Vec<&'a Attempt>,
    arrivals: Vec<&'a Arrival>,
}

impl Story<'_> {
    fn events(&self) -> impl Iterator<Item = Uuid> {
        let logged = self.attempts.iter().map(|a| a.event);
        logged.chain(self.arrivals.iter().map(|a| a.event))
    }
}

impl fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attempts: Vec<String> = self
            .attempts
            .iter()
            .map(|a| format!("{} {} {}", a.number, a.status, a.error.as_deref().unwrap_or_default()))
            .collect();
        let answers: Vec<Option<u16>> = self.arrivals.iter().map(|a| a.answered).collect();
        write!(f, "attempts {attempts:?}, answers {answers:?}")
    }
}

/// Compares the books of a world that has come to rest.
pub fn check(books: &Books) -> Report {
    let mut report = Report::default();
    let committed: HashMap<&Item, &Committed> = books.committed.iter().map(|c| (&c.item, c)).collect();
    assert_eq!(
        committed.len(),
        books.committed.len(),
        "writers write another token each time"
    );

    let mut stories: HashMap<(i32, Uuid), Story<'_>> = HashMap::new();
    for attempt in &books.attempts {
        let story = stories.entry((attempt.subscription, attempt.delivery)).or_default();
        story.attempts.push(attempt);
    }
    for arrival in &books.arrivals {
        let story = stories.entry((arrival.subscription, arrival.delivery)).or_default();
        story.arrivals.push(arrival);
    }

    let mut ids: HashMap<(u64, &str), Uuid> = HashMap::new();
    let mut told: HashMap<(i32, &Item), Vec<(i32, Uuid)>> = HashMap::new();
    for (&key, story) in &stories {
        let items = story.attempts.iter().flat_map(|a| &a.items);
        let items: HashSet<&Item> = items.chain(story.arrivals.iter().flat_map(|a| &a.items)).collect();
        for item in items {
            let at = story.arrivals.first().map(|a| a.at);
            let Some(change) = committed.get(item) else {
                let what = format!("{item:?} in delivery {}", key.1);
                report.add(Breach::NotCommitted, key.0, what, at);
                continue;
            };
            told.entry((key.0, item)).or_default().push(key);
            for event in story.events() {
                let known = *ids.entry((change.transaction, &item.event_type)).or_insert(event);
                if known != event {
                    report.add(Breach::TwoEvents, key.0, format!("{item:?} in {known} and {event}"), at);
                }
            }
        }
        let Some(promise) = books.promises.get(&key.0) else {
            report.add(Breach::NotCommitted, key.0, "nobody subscribed".to_owned(), None);
            continue;
        };
        check_story(key, story, *promise, &mut report);
    }
    for (&subscription, &promise) in &books.promises {
        for change in &books.committed {
            let deliveries = told.get(&(subscription, &change.item)).map_or(&[][..], Vec::as_slice);
            if deliveries.len() > 1 {
                let what = format!("{:?} in {deliveries:?}", change.item);
                report.add(Breach::TwoDeliveries, subscription, what, change.at);
            }
            let stories: Vec<&Story<'_>> = deliveries.iter().map(|key| &stories[key]).collect();
            check_fate(subscription, promise, change, &stories, &mut report);
        }
        if promise.ordered {
            check_order(subscription, &books.arrivals, &committed, &mut report);
        }
    }
    report.waits.sort_unstable_by_key(|(_, came)| *came);
    for i in (1..report.waits.len()).rev() {
        report.waits[i - 1].0 = report.waits[i - 1].0.min(report.waits[i].0);
    }
    report.resent.sort_unstable();
    report.arrivals = books.arrivals.iter().map(|a| a.at).collect();
    report.arrivals.sort_unstable();
    let events: HashMap<(u64, &str), Option<Instant>> = books
        .committed
        .iter()
        .map(|c| ((c.transaction, c.item.event_type.as_str()), c.at))
        .collect();
    report.events = events.into_values().collect();
    report
}

impl Report {
    fn add(&mut self, breach: Breach, subscription: i32, what: String, at: Option<Instant>) {
        self.violations.push(Violation {
            breach,
            subscription,
            what,
            at,
        });
    }
}

/// What a reader of the feed has to have got: every change once, and those of one record in their order.
pub fn check_reading(committed: &[Committed], read: &[Item], report: &mut Report) {
    const READER: i32 = 0;
    let known: HashMap<&Item, &Committed> = committed.iter().map(|change| (&change.item, change)).collect();
    let mut times: HashMap<&Item, usize> = HashMap::new();
    let mut latest: HashMap<i64, i64> = HashMap::new();
    for item in read {
        *times.entry(item).or_default() += 1;
        let Some(change) = known.get(item) else {
            report.add(Breach::NotCommitted, READER, format!("{item:?} was read"), None);
            continue;
        };
        let latest = latest.entry(item.record).or_insert(change.seq);
        if change.seq < *latest {
            let what = format!("{item:?}, number {}, was read behind number {latest}", change.seq);
            report.add(Breach::OutOfOrder, READER, what, change.at);
        }
        *latest = change.seq.max(*latest);
    }
    for change in committed {
        match times.get(&change.item).copied().unwrap_or(0) {
            1 => {}
            0 => report.add(
                Breach::Lost,
                READER,
                format!("{:?} was not read", change.item),
                change.at,
            ),
            many => {
                let what = format!("{:?} was read {many} times", change.item);
                report.add(Breach::TwoDeliveries, READER, what, change.at);
            }
        }
    }
}

/// How an attempt ends of which the service cannot know whether the receiver has taken it.
const UNCERTAIN: [&str; 4] = ["interrupted", "timeout", "connection_reset", "protocol"];

fn is_uncertain(attempt: &Attempt) -> bool {
    attempt.error.as_deref().is_some_and(|error| UNCERTAIN.contains(&error))
}

fn check_story((subscription, delivery): (i32, Uuid), story: &Story<'_>, promise: Promise, report: &mut Report) {
    let arrived = story.arrivals.len();
    let welcome: Vec<&&Arrival> = story.arrivals.iter().filter(|a| a.was_welcome()).collect();
    let successes = story.attempts.iter().filter(|a| a.status == "success").count();
    let uncertain = story.attempts.iter().filter(|a| is_uncertain(a)).count();
    let at = story.arrivals.last().map(|a| a.at);
    let mut add = |breach, what: String| {
        let what = format!("delivery {delivery}: {what}; {story}");
        report.add(breach, subscription, what, at);
    };

    if story.attempts.iter().any(|a| a.status == "pending") {
        add(Breach::Pending, "an attempt has no end".to_owned());
    }
    if successes > 1 {
        add(Breach::TwoSuccesses, format!("{successes} successes in the log"));
    }
    if !promise.retried && (arrived > 1 || story.attempts.len() > 1) {
        let what = format!("{} attempts and {arrived} requests of a one-shot", story.attempts.len());
        add(Breach::SentAgain, what);
    }
    let success = story.attempts.iter().find(|a| a.status == "success");
    if success.is_some_and(|success| story.attempts.iter().any(|a| a.number > success.number)) {
        add(Breach::SentAgain, "attempted again after its success".to_owned());
    }
    if arrived > story.attempts.len() {
        add(
            Breach::Unlogged,
            format!("{arrived} requests, {} attempts in the log", story.attempts.len()),
        );
    }
    if welcome.len() < successes {
        add(
            Breach::Invented,
            format!("{successes} successes, taken {} times", welcome.len()),
        );
    }
    if welcome.len() > successes + uncertain {
        let what = format!(
            "taken {} times; {successes} successes and {uncertain} attempts of unknown end in the log",
            welcome.len()
        );
        add(Breach::Unexplained, what);
    }
    report.resent.extend(welcome.iter().skip(1).map(|a| a.at));
}

/// What became of one committed change.
fn check_fate(subscription: i32, promise: Promise, change: &Committed, stories: &[&Story<'_>], report: &mut Report) {
    let arrivals = || stories.iter().flat_map(|s| &s.arrivals);
    let attempts = || stories.iter().flat_map(|s| &s.attempts);
    let is_known = if promise.retried {
        attempts().any(|a| a.status == "success")
    } else {
        attempts().any(|a| a.status != "pending")
    };
    if !is_known {
        let told: Vec<String> = stories.iter().map(ToString::to_string).collect();
        let what = format!("{:?} of transaction {}: {told:?}", change.item, change.transaction);
        report.add(Breach::Lost, subscription, what, change.at);
    }
    if !promise.retried && attempts().any(|a| a.error.as_deref() == Some("interrupted")) {
        report.interrupted.push(change.at);
        report.interrupted_yet_arrived += usize::from(arrivals().next().is_some());
    }
    if let (Some(committed), Some(came)) = (change.at, arrivals().map(|a| a.at).min()) {
        // It may arrive before its writer is told.
        report.waits.push((committed.min(came), came));
    }
}

fn check_order(subscription: i32, arrivals: &[Arrival], committed: &HashMap<&Item, &Committed>, report: &mut Report) {
    let mut latest: HashMap<i64, i64> = HashMap::new();
    for arrival in arrivals.iter().filter(|a| a.subscription == subscription) {
        for item in &arrival.items {
            let Some(change) = committed.get(item) else { continue };
            let latest = latest.entry(item.record).or_insert(change.seq);
            if change.seq < *latest {
                let what = format!("{item:?}, number {}, arrived behind number {latest}", change.seq);
                report.add(Breach::OutOfOrder, subscription, what, Some(arrival.at));
            }
            *latest = change.seq.max(*latest);
        }
    }
}
