//! How many requests may be under way: in all, to each endpoint, and for each subscription; and how many a second.
//!
//! A slot is taken before an attempt is logged as pending and given back after its result was recorded, so what is pending in the
//! log is what is under way. Its share of the endpoint and of the subscription is given back earlier, when the request has ended: while
//! results are being written the next requests are made. Nobody waits for a slot: what gets none waits in the database, and memory
//! stays bounded whatever the backlog.
//!
//! # Fairness
//!
//! * An endpoint (host and port) gets a further slot only while more are free than it holds. However many endpoints hang, some slots
//!   always stay free for the others, without a share that is fixed beforehand. Source: Choudhury and Hahne, "Dynamic Queue Length
//!   Thresholds for Shared-Memory Packet Switches", 1998, with a factor of one.
//! * An endpoint begins with a few requests and gets one more for each that succeeds, as TCP's slow start; a failure halves that. So
//!   one that never answers has never held many, from the first second on.
//! * An endpoint that only fails is tried with few requests at once, and only where somebody looks anyway ([`Patience::Everybody`]),
//!   so that its failures cost the others neither slots nor much work.
//! * The databases of one process share its slots by the same rule: an endpoint of one gets a further slot only while more are free in
//!   the process than it holds.
//! * A rate limit is a bucket of tokens that holds a tenth of a second's worth, one at least.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// An endpoint whose last so many requests failed is taken for one that only fails.
const FAILING_AFTER: u32 = 5;

/// Requests under way to an endpoint of which nothing is known yet.
const WINDOW_FIRST: usize = 4;

/// Requests under way to an endpoint that only fails: enough to notice when it is back, and to burn down what waits for it in time.
const FAILING_AT_MOST: usize = 8;

/// How much of a second's tokens a bucket holds. More would let bursts through that a receiver's own limit refuses.
const BURST_S: f64 = 0.1;

/// How long at least until somebody looks for new tokens: looking costs a query.
const TOKENS_EVERY: Duration = Duration::from_millis(50);

/// Limits that hold for everybody.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests under way in all.
    pub total: usize,
    /// To one endpoint.
    pub per_endpoint: usize,
    /// For one subscription.
    pub per_subscription: usize,
}

/// How many requests may be under way in the whole process, whatever the number of its databases. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Ceiling(Arc<(usize, AtomicUsize)>);

impl Ceiling {
    /// At most so many.
    pub fn new(most: usize) -> Self {
        Self(Arc::new((most, AtomicUsize::new(0))))
    }

    fn free(&self) -> usize {
        self.0.0.saturating_sub(self.0.1.load(Ordering::Relaxed))
    }

    /// Takes up to so many; returns how many there were.
    fn take(&self, wanted: usize) -> usize {
        let (most, under_way) = (self.0.0, &self.0.1);
        let before = under_way.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            Some(taken + wanted.min(most.saturating_sub(taken)))
        });
        // It never refuses.
        wanted.min(most.saturating_sub(before.unwrap_or_else(|taken| taken)))
    }

    fn give_back(&self, count: usize) {
        self.0.1.fetch_sub(count, Ordering::Relaxed);
    }
}

/// Who wants slots.
#[derive(Debug, Clone, Copy)]
pub struct Claimant<'a> {
    /// The subscription.
    pub subscription: i32,
    /// Host and port that it sends to.
    pub endpoint: &'a Arc<str>,
    /// Requests a second at most.
    pub rate: Option<f64>,
}

/// Whether endpoints that only fail get slots now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It is a regular look at all that waits.
    Everybody,
    /// Only for endpoints that answer.
    OnlyWell,
}

/// The counters; clones share them.
#[derive(Debug, Clone)]
pub struct Slots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    ceiling: Ceiling,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_subscription: HashMap<i32, usize>,
    endpoints: HashMap<Arc<str>, Endpoint>,
    buckets: HashMap<i32, Bucket>,
    behind: HashSet<i32>,
}

#[derive(Debug)]
struct Endpoint {
    under_way: usize,
    failed_in_a_row: u32,
    window: usize,
}

impl Endpoint {
    /// Whether its last requests all failed: it is tried with few at once.
    fn only_fails(&self) -> bool {
        self.failed_in_a_row >= FAILING_AFTER
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Self {
            under_way: 0,
            failed_in_a_row: 0,
            window: WINDOW_FIRST,
        }
    }
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn refill(&mut self, rate: f64, now: Instant) {
        let more = now.saturating_duration_since(self.at).as_secs_f64() * rate;
        self.tokens = (self.tokens + more).min(capacity(rate));
        self.at = now;
    }
}

fn capacity(rate: f64) -> f64 {
    (rate * BURST_S).max(1.0)
}

/// The right to make one request; given back when dropped.
#[derive(Debug)]
pub struct Slot {
    shared: Arc<Shared>,
    subscription: i32,
    endpoint: Arc<str>,
    is_limited: bool,
    is_requesting: bool,
}

impl Slot {
    /// Whose it is.
    pub fn subscription(&self) -> i32 {
        self.subscription
    }

    /// Notes how the request ended.
    pub fn note(&self, succeeded: bool) {
        let most = self.shared.limits.per_endpoint;
        if let Some(endpoint) = self.shared.taken().endpoints.get_mut(&self.endpoint) {
            if succeeded {
                endpoint.failed_in_a_row = 0;
                endpoint.window = (endpoint.window + 1).min(most);
            } else {
                endpoint.failed_in_a_row = endpoint.failed_in_a_row.saturating_add(1);
                endpoint.window = (endpoint.window / 2).max(WINDOW_FIRST);
            }
        }
    }

    /// The request has ended: others may be made to the endpoint. What came of it is still to be recorded.
    pub fn request_ended(&mut self) {
        if std::mem::take(&mut self.is_requesting) {
            let mut taken = self.shared.taken();
            taken.requests_ended(self.subscription, &self.endpoint);
        }
    }

    /// Nothing was sent: the rate limit is not touched.
    pub fn refund(self) {
        if self.is_limited
            && let Some(bucket) = self.shared.taken().buckets.get_mut(&self.subscription)
        {
            bucket.tokens += 1.0;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.request_ended();
        self.shared.ceiling.give_back(1);
        let mut taken = self.shared.taken();
        taken.total = taken.total.saturating_sub(1);
    }
}

impl Taken {
    fn requests_ended(&mut self, subscription: i32, endpoint: &str) {
        if let Some(count) = self.by_subscription.get_mut(&subscription) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_subscription.remove(&subscription);
            }
        }
        // What is known of it is kept while a subscription has it.
        if let Some(endpoint) = self.endpoints.get_mut(endpoint) {
            endpoint.under_way = endpoint.under_way.saturating_sub(1);
        }
    }
}

impl Shared {
    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Counters are whole after every statement, so a panic elsewhere leaves nothing half done.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one claimant may have, rate limits aside.
struct Room {
    /// How many more now.
    free: usize,
    /// How many if nobody had any.
    most: usize,
}

impl Shared {
    fn room(&self, taken: &Taken, claimant: Claimant<'_>, patience: Patience) -> Room {
        let limits = self.limits;
        let of_subscription = taken.by_subscription.get(&claimant.subscription).copied().unwrap_or(0);
        let (under_way, fails, window) = taken
            .endpoints
            .get(claimant.endpoint)
            .map_or((0, false, WINDOW_FIRST), |endpoint| {
                (endpoint.under_way, endpoint.only_fails(), endpoint.window)
            });
        let of_endpoint = match (fails, patience) {
            (false, _) => limits.per_endpoint.min(window),
            (true, Patience::Everybody) => limits.per_endpoint.min(FAILING_AT_MOST),
            (true, Patience::OnlyWell) => 0,
        };
        let free = limits.total.saturating_sub(taken.total).min(self.ceiling.free());
        // Each further one leaves one less free and is one more held: so many until they meet.
        let fair = free.saturating_sub(under_way).div_ceil(2);
        Room {
            free: fair
                .min(limits.per_subscription.saturating_sub(of_subscription))
                .min(of_endpoint.saturating_sub(under_way)),
            most: of_endpoint.min(limits.per_subscription).min(limits.total.div_ceil(2)),
        }
    }
}

impl Slots {
    /// Those of the only database of a process.
    pub fn new(limits: Limits) -> Self {
        Self::below(Ceiling::new(limits.total), limits)
    }

    /// Those of one database of several, which have no more than `ceiling` together.
    pub fn below(ceiling: Ceiling, limits: Limits) -> Self {
        Self(Arc::new(Shared {
            limits,
            ceiling,
            taken: Mutex::default(),
        }))
    }

    /// Takes up to `wanted` slots, as many as are free for this claimant `now`.
    pub fn take(&self, claimant: Claimant<'_>, wanted: usize, patience: Patience, now: Instant) -> Vec<Slot> {
        let mut taken = self.0.taken();
        let mut granted = wanted.min(self.0.room(&taken, claimant, patience).free);
        granted = self.0.ceiling.take(granted);
        if let Some(rate) = claimant.rate {
            let reserved = granted;
            let bucket = taken.buckets.entry(claimant.subscription).or_insert_with(|| Bucket {
                tokens: capacity(rate),
                at: now,
            });
            bucket.refill(rate, now);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a count of tokens, not negative"
            )]
            let whole = bucket.tokens.max(0.0) as usize;
            granted = granted.min(whole);
            self.0.ceiling.give_back(reserved - granted);
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let used = granted as f64;
            bucket.tokens -= used;
        }
        if granted == 0 {
            return Vec::new();
        }
        taken.total += granted;
        *taken.by_subscription.entry(claimant.subscription).or_default() += granted;
        taken
            .endpoints
            .entry(Arc::clone(claimant.endpoint))
            .or_default()
            .under_way += granted;
        drop(taken);
        (0..granted)
            .map(|_| Slot {
                shared: Arc::clone(&self.0),
                subscription: claimant.subscription,
                endpoint: Arc::clone(claimant.endpoint),
                is_limited: claimant.rate.is_some(),
                is_requesting: true,
            })
            .collect()
    }

    /// How many slots each of so many subscriptions of an endpoint may ask for. One that only fails has few, and whoever came first
    /// would take them all for what may be one delivery; the next would then have its turn a second later.
    pub fn share(&self, claimant: Claimant<'_>, sharers: usize) -> usize {
        let taken = self.0.taken();
        let endpoint = taken.endpoints.get(claimant.endpoint);
        if endpoint.is_some_and(Endpoint::only_fails) {
            FAILING_AT_MOST.div_ceil(sharers.max(1))
        } else {
            usize::MAX
        }
    }

    /// Whether the claimant may have half of what it could have if nobody had any: so many are worth a statement of their own.
    pub fn has_room(&self, claimant: Claimant<'_>) -> bool {
        let room = self.0.room(&self.0.taken(), claimant, Patience::OnlyWell);
        room.free > 0 && 2 * room.free >= room.most
    }

    /// When the next token comes, if it is the rate limit that leaves this claimant without a slot.
    pub fn next_token(&self, claimant: Claimant<'_>, now: Instant) -> Option<Instant> {
        let rate = claimant.rate?;
        let mut taken = self.0.taken();
        let bucket = taken.buckets.get_mut(&claimant.subscription)?;
        bucket.refill(rate, now);
        let missing = 1.0 - bucket.tokens;
        (missing > 0.0).then(|| now + Duration::from_secs_f64((missing / rate).min(3_600.0)).max(TOKENS_EVERY))
    }

    /// Notes that a subscription has more waiting in the database than it had slots for.
    pub fn note_behind(&self, subscription: i32) {
        self.0.taken().behind.insert(subscription);
    }

    /// Replaces what is known of who is behind.
    pub fn set_behind(&self, subscriptions: HashSet<i32>) {
        self.0.taken().behind = subscriptions;
    }

    /// Everything that waited for a subscription was taken up.
    pub fn caught_up(&self, subscription: i32) {
        self.0.taken().behind.remove(&subscription);
    }

    /// Who has something waiting.
    pub fn behind(&self) -> Vec<i32> {
        self.0.taken().behind.iter().copied().collect()
    }

    /// Whether a subscription has something waiting.
    pub fn is_behind(&self, subscription: i32) -> bool {
        self.0.taken().behind.contains(&subscription)
    }

    /// Forgets endpoints and buckets that no subscription has any more.
    pub fn retain(&self, subscriptions: &HashSet<i32>, endpoints: &HashSet<Arc<str>>) {
        let mut taken = self.0.taken();
        taken.buckets.retain(|id, _| subscriptions.contains(id));
        taken
            .endpoints
            .retain(|name, endpoint| endpoint.under_way > 0 || endpoints.contains(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(total: usize, per_endpoint: usize, per_subscription: usize) -> Slots {
        Slots::new(Limits {
            total,
            per_endpoint,
            per_subscription,
        })
    }

    fn take(slots: &Slots, subscription: i32, endpoint: &str, wanted: usize) -> Vec<Slot> {
        let endpoint = Arc::from(endpoint);
        slots.take(
            Claimant {
                subscription,
                endpoint: &endpoint,
                rate: None,
            },
            wanted,
            Patience::OnlyWell,
            Instant::now(),
        )
    }

    /// Lets an endpoint answer so often that it may have as many as its limit.
    fn answers(slots: &Slots, endpoint: &str) {
        for _ in 0..100 {
            take(slots, -1, endpoint, 1)[0].note(true);
        }
    }

    #[test]
    fn one_subscription_cannot_take_the_slots_of_others() {
        let slots = slots(10, 10, 4);
        answers(&slots, "a");
        let first = take(&slots, 1, "a", 100);
        assert_eq!(first.len(), 4);
        assert_eq!(take(&slots, 2, "b", 2).len(), 2);
        drop(first);
        assert_eq!(take(&slots, 1, "a", 100).len(), 4, "what is dropped is free again");
    }

    #[test]
    fn databases_of_one_process_share_its_slots_and_give_them_back() {
        let limits = Limits {
            total: 10,
            per_endpoint: 10,
            per_subscription: 10,
        };
        let ceiling = Ceiling::new(10);
        let databases = [(); 3].map(|()| Slots::below(ceiling.clone(), limits));
        databases.iter().for_each(|slots| answers(slots, "a"));
        let first = take(&databases[0], 1, "a", 100);
        let second = take(&databases[1], 1, "a", 100);
        let third = take(&databases[2], 1, "a", 100);
        assert_eq!(
            [first.len(), second.len(), third.len()],
            [5, 3, 1],
            "each leaves some for the others"
        );
        drop((first, second));
        assert_eq!(ceiling.free(), 9);
        let limited = Claimant {
            subscription: 2,
            endpoint: &Arc::from("a"),
            rate: Some(10.0),
        };
        let granted = databases[1].take(limited, 100, Patience::OnlyWell, Instant::now());
        assert_eq!(
            (granted.len(), ceiling.free()),
            (1, 8),
            "what a rate limit leaves unused is not taken"
        );
    }

    #[test]
    fn subscriptions_of_one_endpoint_share_its_limit() {
        let slots = slots(100, 6, 4);
        answers(&slots, "dead:443");
        let _first = take(&slots, 1, "dead:443", 100);
        let second = take(&slots, 2, "dead:443", 100);
        assert_eq!(second.len(), 2);
        assert!(take(&slots, 3, "dead:443", 100).is_empty());
        assert_eq!(take(&slots, 4, "well:443", 100).len(), 4);
    }

    #[test]
    fn however_many_endpoints_hang_a_slot_is_left_for_another() {
        let slots = slots(256, 64, 32);
        let mut held = Vec::new();
        for round in 0..100 {
            for endpoint in 0..100 {
                if round == 0 {
                    // They were well once.
                    answers(&slots, &format!("hangs-{endpoint}"));
                }
                held.extend(take(&slots, endpoint, &format!("hangs-{endpoint}"), 1 + round));
            }
        }
        assert!(held.len() < 256, "{}", held.len());
        assert_eq!(take(&slots, 1_000, "well", 1).len(), 1);
    }

    #[test]
    fn an_endpoint_that_only_fails_is_tried_with_few_requests_until_it_answers() {
        let slots = slots(256, 64, 32);
        for _ in 0..FAILING_AFTER {
            take(&slots, 1, "dead", 1)[0].note(false);
        }
        assert!(take(&slots, 1, "dead", 10).is_empty(), "not in between");
        let endpoint: Arc<str> = "dead".into();
        let claimant = Claimant {
            subscription: 1,
            endpoint: &endpoint,
            rate: None,
        };
        let few = slots.take(claimant, 100, Patience::Everybody, Instant::now());
        assert_eq!(few.len(), FAILING_AT_MOST);
        few[0].note(true);
        drop(few);
        assert_eq!(take(&slots, 1, "dead", 100).len(), WINDOW_FIRST + 1);
    }

    #[test]
    fn an_endpoint_gets_more_with_each_answer_and_less_with_each_failure() {
        let slots = slots(256, 64, 32);
        assert_eq!(
            take(&slots, 1, "new", 100).len(),
            WINDOW_FIRST,
            "one that hangs from the start never has more"
        );
        answers(&slots, "new");
        let held = take(&slots, 1, "new", 100);
        assert_eq!(held.len(), 32);
        held[..3].iter().for_each(|slot| slot.note(false));
        drop(held);
        assert_eq!(take(&slots, 1, "new", 100).len(), 8);
    }

    #[test]
    fn a_rate_limit_lets_as_many_through_in_a_second_and_no_burst() {
        let slots = slots(1_000, 1_000, 1_000);
        answers(&slots, "a");
        let endpoint: Arc<str> = "a".into();
        for (rate, in_ten_seconds) in [(5.0, 50), (100.0, 1_000), (0.5, 5)] {
            let claimant = Claimant {
                subscription: i32::try_from(in_ten_seconds).unwrap(),
                endpoint: &endpoint,
                rate: Some(rate),
            };
            let started = Instant::now();
            let mut sent = 0;
            for tick in 0..1_000 {
                let now = started + Duration::from_millis(tick * 10);
                let got = slots.take(claimant, 100, Patience::OnlyWell, now).len();
                assert!(got <= 1 + (rate * BURST_S) as usize, "{rate}: {got} at once");
                sent += got;
            }
            assert!(
                sent.abs_diff(in_ten_seconds) <= 1 + (rate * BURST_S) as usize,
                "{rate} a second: {sent}"
            );
        }
    }

    #[test]
    fn the_next_token_is_known_and_what_was_not_sent_costs_none() {
        let slots = slots(10, 10, 10);
        let endpoint: Arc<str> = "a".into();
        let claimant = Claimant {
            subscription: 1,
            endpoint: &endpoint,
            rate: Some(2.0),
        };
        let now = Instant::now();
        let mut got = slots.take(claimant, 10, Patience::OnlyWell, now);
        assert_eq!(got.len(), 1);
        let next = slots.next_token(claimant, now).unwrap();
        assert_eq!(next - now, Duration::from_millis(500));
        got.pop().unwrap().refund();
        assert_eq!(slots.next_token(claimant, now), None);
        assert_eq!(slots.take(claimant, 10, Patience::OnlyWell, now).len(), 1);
    }
}
