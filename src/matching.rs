//! From changes to deliveries: which subscription hears of which change, and in what pieces.
//!
//! Pure, but for the domains' answers, which come from PostgreSQL and are handed in as [`Answers`]. One [`Assembly`] stands for one
//! transaction; it holds at most one unfinished block of ids for each subscription and event type, so a transaction of a million
//! records passes through it in bounded memory.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use uuid::Uuid;

use crate::event::{self, Change, EventType};
use crate::payload::fill::{Parents, Subject};
use crate::subscription::ResolvedSubscription;

/// How many records one delivery names at most (SPEC section 2, delivery).
pub const RECORDS_A_PART: usize = 1_000;

/// What the domains say of a batch of images: which subscriptions an image satisfies.
#[derive(Debug, Default)]
pub struct Answers(HashSet<(usize, i64)>);

impl Answers {
    /// Notes that an image satisfies a subscription's domain.
    pub fn insert(&mut self, image: usize, subscription: i64) {
        self.0.insert((image, subscription));
    }

    fn contains(&self, image: usize, subscription: i32) -> bool {
        self.0.contains(&(image, i64::from(subscription)))
    }
}

/// Where a change's images are in the batch that was judged.
#[derive(Debug, Clone, Copy, Default)]
pub struct ImageNumbers {
    /// Before.
    pub before: Option<usize>,
    /// After.
    pub after: Option<usize>,
}

/// The transaction that is being matched.
#[derive(Debug, Clone)]
pub struct TransactionFacts {
    /// Its id.
    pub xid: u64,
    /// When it began.
    pub at: Timestamp,
    /// The install epoch.
    pub epoch: Uuid,
    /// The database's name.
    pub database: Arc<str>,
}

/// One delivery's content.
#[derive(Debug, Clone)]
pub struct Assembled {
    /// To whom.
    pub subscription: Arc<ResolvedSubscription>,
    /// The event.
    pub event_id: Uuid,
    /// What happened.
    pub event_type: EventType,
    /// The record id, or the number of the block.
    pub part: i64,
    /// The records, ascending.
    pub record_ids: Vec<i64>,
    /// The outbox id of the newest change in it: its place in the lane of an ordered subscription.
    pub outbox_id: i64,
    /// The user behind all of it; none where there were several, or none is known.
    pub user_id: Option<i32>,
    /// Several users are behind it, each named with the record.
    pub has_several_users: bool,
    /// The transaction's time.
    pub at: Timestamp,
    /// The database's name.
    pub database: Arc<str>,
    /// Which watched fields changed, over all records.
    pub changed: Vec<String>,
    /// The records with what was captured of them, where their values are sent.
    pub subjects: Vec<Subject>,
}

impl Assembled {
    /// Existing records as they are now, without a change of theirs; [`crate::worker::dispatch::payload_loader::make`] reads their values.
    pub fn of_existing(
        subscription: Arc<ResolvedSubscription>,
        (event_id, event_type, part): (Uuid, EventType, i64),
        record_ids: Vec<i64>,
        at: Timestamp,
        database: Arc<str>,
    ) -> Self {
        let subjects = match &subscription.content.plan {
            Some(_) => record_ids.iter().copied().map(Subject::now).collect(),
            None => Vec::new(),
        };
        Self {
            subscription,
            event_id,
            event_type,
            part,
            record_ids,
            user_id: None,
            has_several_users: false,
            at,
            database,
            changed: Vec::new(),
            subjects,
            outbox_id: 0,
        }
    }
}

/// Collects the changes of one transaction for each subscription.
#[derive(Debug)]
pub struct Assembly {
    facts: TransactionFacts,
    blocks: BTreeMap<(i32, EventType), Block>,
    done: Vec<Assembled>,
}

#[derive(Debug)]
struct Block {
    subscription: Arc<ResolvedSubscription>,
    number: i64,
    ids: Vec<i64>,
    newest: i64,
    users: BTreeSet<Option<i32>>,
    changed: BTreeSet<String>,
    subjects: Vec<Subject>,
}

impl Assembly {
    /// Begins a transaction.
    pub fn new(facts: TransactionFacts) -> Self {
        Self {
            facts,
            blocks: BTreeMap::new(),
            done: Vec::new(),
        }
    }

    /// Offers a change to a subscription. Changes of a model come by ascending record id.
    pub fn offer(
        &mut self,
        change: &Change,
        subscription: &Arc<ResolvedSubscription>,
        parents: &Parents<'_>,
        images: ImageNumbers,
        answers: &Answers,
    ) {
        if !self.is_for(change, subscription, images, answers) {
            return;
        }
        let key = (subscription.row.id, change.event_type);
        let block = self.blocks.entry(key).or_insert_with(|| Block {
            subscription: Arc::clone(subscription),
            number: 0,
            ids: Vec::new(),
            newest: 0,
            users: BTreeSet::new(),
            changed: BTreeSet::new(),
            subjects: Vec::new(),
        });
        if let Some(plan) = &subscription.content.plan {
            block
                .subjects
                .push(Subject::of(change, plan, &subscription.inherited, parents));
        }
        block.ids.push(change.record_id);
        block.newest = block.newest.max(change.outbox_id);
        block.users.insert(change.user_id);
        block
            .changed
            .extend(subscription.changed_fields(change).map(str::to_owned));
        if block.ids.len() >= RECORDS_A_PART || subscription.is_per_record() {
            self.done.push(block.cut(change.event_type, &self.facts));
        }
    }

    fn is_for(
        &self,
        change: &Change,
        subscription: &ResolvedSubscription,
        images: ImageNumbers,
        answers: &Answers,
    ) -> bool {
        let seen_from_the_start = subscription
            .row
            .captured_from
            .is_some_and(|from| self.facts.xid >= from);
        if !seen_from_the_start || !subscription.is_covered_by(change) || !subscription.watches(change) {
            return false;
        }
        let answer = |image: Option<usize>, exists: bool| match (&subscription.domain, image) {
            (None, _) => exists.then_some(true),
            (Some(_), Some(image)) => Some(answers.contains(image, subscription.row.id)),
            (Some(_), None) => None,
        };
        subscription.decides(
            answer(images.before, change.old.is_some()),
            answer(images.after, change.new.is_some()),
        )
    }

    /// Takes what is complete so far.
    pub fn take_complete(&mut self) -> Vec<Assembled> {
        std::mem::take(&mut self.done)
    }

    /// Ends the transaction: everything that is left.
    pub fn finish(mut self) -> Vec<Assembled> {
        for ((_, event_type), mut block) in std::mem::take(&mut self.blocks) {
            if !block.ids.is_empty() {
                self.done.push(block.cut(event_type, &self.facts));
            }
        }
        self.done
    }
}

impl Block {
    fn cut(&mut self, event_type: EventType, facts: &TransactionFacts) -> Assembled {
        let record_ids = std::mem::take(&mut self.ids);
        let users = std::mem::take(&mut self.users);
        let changed = std::mem::take(&mut self.changed);
        let subjects = std::mem::take(&mut self.subjects);
        let part = if self.subscription.is_per_record() {
            record_ids[0]
        } else {
            self.number
        };
        self.number += 1;
        let model = &self.subscription.row.model;
        Assembled {
            event_id: event::event_id(facts.epoch, facts.xid, model, event_type, facts.at),
            subscription: Arc::clone(&self.subscription),
            event_type,
            part,
            record_ids,
            // Several users in one event: nobody is named.
            user_id: if users.len() == 1 {
                users.first().copied().flatten()
            } else {
                None
            },
            has_several_users: users.len() > 1,
            at: facts.at,
            database: Arc::clone(&facts.database),
            changed: changed.into_iter().collect(),
            subjects,
            outbox_id: std::mem::take(&mut self.newest),
        }
    }
}
