//! Turns the outbox into deliveries: reads by snapshot, folds each transaction, judges all domains of a batch at once, and commits
//! deliveries and position together.
//!
//! A batch is as large as what has come together while the last one was committed: one row when idle, [`MOST_ROWS`] behind a backlog.
//! Transactions are never split between batches; one that is larger than a batch is read record by record and committed alone.

mod commit;

use self::commit::Written;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::event::{self, Change, RowChange};
use crate::failpoint::{self, Step};
use crate::matching::{Assembly, TransactionFacts};
use crate::pg::GenericClient;
use crate::pg::connections::{Connection, Connections};
use crate::pg::outbox::{self, Layouts, Lead, OutboxRow, Position, Target};
use crate::pg::troubles::Troubles;
use crate::relations::{AtHome, Derivations};
use crate::worker::deliver::deliverer::Handed;
use crate::worker::deliver::slots::Slots;
use crate::worker::dispatch::behind::{Awaited, Edited};
use crate::worker::dispatch::feeding::Growth;
use crate::worker::dispatch::judging::{self, Judging};
use crate::worker::dispatch::large::{self, Pieces};
use crate::worker::dispatch::related_changes::{self, Folded};
use crate::worker::dispatch::wake::{Doorbell, Wake};
use crate::worker::term::high_water::HighWater;
use crate::worker::term::timeout::within;
use crate::worker::upkeep::subscription_set::SubscriptionSet;
use crate::worker::vitals::Vitals;
use crate::{Error, Result};

/// Rows read at once at most. 2,000 rows of a wide model with both images are some megabytes.
const MOST_ROWS: usize = 2_000;

/// And no more rows once they hold so many bytes: a hundred long texts are more than all else.
const MOST_BYTES: i64 = 16 * 1024 * 1024;

/// So many rows in a batch say that writers are busy: the next batch is left some time to come together, because a batch of one costs
/// as much as one of twenty.
const BUSY_ROWS: usize = 16;

/// From one look of a busy dispatcher to the next, at least.
const BUSY_PAUSE: Duration = Duration::from_millis(16);

/// Reading or committing a page takes milliseconds; who is not answered for so long has a dead connection that nobody has closed.
const PAGE_WITHIN: Duration = Duration::from_secs(60);

/// What is told while events wait for a table.
const READING: &str = "read what waiting events need";

/// From one try to the next while a table is being altered.
const LOCKED_PAUSE: Duration = Duration::from_millis(250);

/// Records of a large transaction that changed in other tables only, taken in at once.
const MOST_ELSEWHERE: usize = 10_000;

/// What a dispatcher needs.
#[derive(Debug)]
pub struct Dispatcher {
    /// Connections.
    pub connections: Connections,
    /// The doorbell; `None` = polling only.
    pub doorbell: Option<Doorbell>,
    /// Somebody rang.
    pub rang: Arc<Notify>,
    /// Asks the domains.
    pub judging: Judging,
    /// Term, position, epoch.
    pub lead: Lead,
    /// The subscriptions as they are now.
    pub subscription_set: watch::Receiver<Arc<SubscriptionSet>>,
    /// What has been edited since that was made, if it was asked.
    pub edited: Option<Edited>,
    /// Which of it events wait for.
    pub awaited: Awaited,
    /// Which deliveries may be sent at once.
    pub slots: Slots,
    /// Those go here.
    pub handed: mpsc::UnboundedSender<Handed>,
    /// Told how far it has got.
    pub high_water: HighWater,
    /// Told what was written to the feed.
    pub fed: Growth,
    /// How long to sleep at most.
    pub poll_interval: Duration,
    /// Told of every look that succeeded.
    pub vitals: Arc<Vitals>,
}

/// A transaction that is larger than a batch, on its way.
struct Large<'a> {
    facts: TransactionFacts,
    subscription_set: &'a SubscriptionSet,
    judging: &'a crate::pg::Pooled,
    assembly: Assembly,
    /// The largest outbox id seen of it.
    newest: i64,
}

impl Dispatcher {
    /// Runs until cancelled.
    ///
    /// # Errors
    /// When the database fails or another instance leads.
    pub async fn run(mut self, cancel: CancellationToken) -> Result<()> {
        let mut layouts = Layouts::default();
        let mut position = self.lead.position.clone();
        let mut troubles = Troubles::default();
        let mut wake = Wake::new(
            self.doorbell.take(),
            self.connections.clone(),
            Arc::clone(&self.rang),
            self.poll_interval,
        );
        while !cancel.is_cancelled() {
            let looked_at = Instant::now();
            let client = self.connections.at_once().await;
            let page = outbox::read(&*client, &position, MOST_ROWS, MOST_BYTES, &mut layouts);
            let mut page = within(PAGE_WITHIN, "read the outbox", page).await?;
            let subscription_set = Arc::clone(&self.subscription_set.borrow());
            let ready = if page.rows.is_empty() || subscription_set.version == Some(page.subscriptions) {
                page.rows.len()
            } else {
                self.ready(&client, &subscription_set, &page).await?
            };
            if ready < page.rows.len() && ready > 0 {
                page.leave(ready);
            } else if ready < page.rows.len() {
                // Somebody subscribed before these were written: the position must not move past them without their subscription.
                drop(client);
                tokio::select! {
                    () = cancel.cancelled() => {}
                    changed = self.subscription_set.changed() => if changed.is_err() { return Ok(()) },
                    () = tokio::time::sleep(self.poll_interval) => {}
                }
                continue;
            }
            if page.rows.is_empty() {
                let was_reading = position.target.is_some();
                position = Position {
                    done: position.target.map_or(page.snapshot, |target| target.snapshot),
                    target: None,
                };
                if was_reading {
                    // Else the outbox would not know until the next event that it may be emptied.
                    self.commit(&*client, &position, Vec::new()).await?;
                }
                drop(client);
                self.vitals.scanned(0);
                if let Some(rang) = wake.nothing_found(&cancel).await? {
                    self.vitals.metrics.woke(rang);
                }
            } else {
                failpoint::reach(Step::AfterCapture);
                wake.found().await?;
                let rows = page.rows.len();
                let processed = self
                    .process(client, position.clone(), page, &mut layouts, &cancel)
                    .await;
                let Some(next) = self.unless_locked(&mut troubles, processed).await? else {
                    self.vitals.scanned(0);
                    tokio::select! {
                        () = cancel.cancelled() => {}
                        () = tokio::time::sleep(LOCKED_PAUSE) => {}
                    }
                    continue;
                };
                position = next;
                self.vitals.scanned(rows);
                if (BUSY_ROWS..MOST_ROWS).contains(&rows) {
                    tokio::time::sleep_until((looked_at + BUSY_PAUSE).into()).await;
                }
            }
        }
        Ok(())
    }

    /// What came of a page; `None` where a table that must be read for it is being altered: then nothing was committed, and the page is
    /// read again later. An upgrade of Odoo holds tables for as long as it takes.
    async fn unless_locked(&self, troubles: &mut Troubles, processed: Result<Position>) -> Result<Option<Position>> {
        match processed {
            Err(error) if !error.is_lock_timeout() => Err(error),
            Ok(position) if !troubles.is_failing(READING) => Ok(Some(position)),
            processed => {
                let client = self.connections.at_once().await;
                troubles.settle(&client, READING, processed).await
            }
        }
    }

    /// How many of a page's first rows can be matched before the keeper has looked at what was edited; it is told to do so now, and what
    /// the next ones wait for.
    async fn ready(
        &mut self,
        client: &Connection,
        subscription_set: &Arc<SubscriptionSet>,
        page: &outbox::Page,
    ) -> Result<usize> {
        let whole = page.whole();
        let kept = self
            .edited
            .take()
            .filter(|edited| edited.is_of(subscription_set, page.subscriptions));
        let edited = match kept {
            Some(edited) => Some(edited),
            None => Edited::since(client, subscription_set, page.subscriptions).await?,
        };
        let mut ready = page.rows.len();
        let mut awaited = HashSet::new();
        if whole.is_empty() {
            // It is not known whose changes come with the rest of this transaction.
            ready = 0;
        } else if let Some(edited) = &edited {
            let mut begins = 0;
            for (at, row) in whole.iter().enumerate() {
                if whole[begins].xid != row.xid {
                    begins = at;
                }
                awaited.extend(edited.concerning(&row.change.layout.model));
                if !awaited.is_empty() {
                    ready = begins;
                    break;
                }
            }
        } else {
            ready = 0;
        }
        self.edited = edited;
        self.awaited.tell(awaited);
        self.judging.subscriptions_changed.notify_one();
        Ok(ready)
    }

    /// Makes deliveries of a page, commits them with the position behind it, and hands on those that may be sent at once.
    async fn process(
        &self,
        client: Connection,
        position: Position,
        mut page: outbox::Page,
        layouts: &mut Layouts,
        cancel: &CancellationToken,
    ) -> Result<Position> {
        let is_full = page.is_full && !page.is_left;
        let (Some(first), Some(last)) = (page.rows.first(), page.rows.last()) else {
            return Ok(position);
        };
        if is_full {
            // The last transaction may go on beyond the page.
            let (first_xid, last_xid) = (first.xid, last.xid);
            if first_xid == last_xid {
                let at = first.at;
                drop(client);
                // A page of wide rows would otherwise lie in memory beside the pieces.
                drop(std::mem::take(&mut page.rows));
                return self
                    .process_large(position, page.snapshot, self.facts(first_xid, at), layouts, cancel)
                    .await;
            }
            page.rows.retain(|row| row.xid != last_xid);
        }
        let Some(last) = page.rows.last() else {
            return Ok(position);
        };
        let next = if is_full || page.is_left {
            let (last_xid, last_id) = (last.xid, last.change.id);
            Position {
                done: position.done,
                target: Some(Target {
                    snapshot: page.snapshot,
                    last_xid,
                    last_id,
                }),
            }
        } else {
            // It was read to the snapshot's end.
            Position {
                done: page.snapshot,
                target: None,
            }
        };
        let subscription_set = Arc::clone(&self.subscription_set.borrow());
        let mut transactions = self.fold(page.rows, &subscription_set.derivations);
        related_changes::bring_home(&*client, &self.judging, &subscription_set, &mut transactions).await?;
        let answers = self.judging.judge(&client, &subscription_set, &transactions).await?;
        let mut assembled = Vec::new();
        for (transaction, (numbers, answers)) in transactions.iter().zip(&answers) {
            let mut assembly = Assembly::new(transaction.facts.clone());
            judging::offer_all(&mut assembly, &subscription_set, transaction, numbers, answers);
            assembled.extend(assembly.finish());
        }
        let made = self.make(&*client, &subscription_set, assembled).await?;
        self.commit(&*client, &next, made).await?;
        Ok(next)
    }

    fn facts(&self, xid: u64, at: jiff::Timestamp) -> TransactionFacts {
        TransactionFacts {
            xid,
            at,
            epoch: self.lead.epoch,
            database: self.lead.database.as_str().into(),
        }
    }

    fn fold(&self, rows: Vec<OutboxRow>, derivations: &Derivations) -> Vec<Folded> {
        let mut transactions: Vec<Folded> = Vec::new();
        let mut tables: HashMap<i32, Vec<RowChange>> = HashMap::new();
        let mut rows = rows.into_iter().peekable();
        while let Some(row) = rows.next() {
            let facts = self.facts(row.xid, row.at);
            note_truncate(&row.change);
            tables.entry(row.change.layout.capture_id).or_default().push(row.change);
            if rows.peek().is_none_or(|next| next.xid != facts.xid) {
                let mut by_table: Vec<_> = tables.drain().collect();
                by_table.sort_by_key(|(capture_id, _)| *capture_id);
                let mut folded = Folded::new(facts);
                for (_, rows) in by_table {
                    folded.add_table(without_truncates(rows), derivations);
                }
                transactions.push(folded);
            }
        }
        transactions
    }

    /// One transaction that is larger than a page: record by record, in one commit, nothing of it sent before.
    async fn process_large(
        &self,
        position: Position,
        snapshot: String,
        facts: TransactionFacts,
        layouts: &mut Layouts,
        cancel: &CancellationToken,
    ) -> Result<Position> {
        let xid = facts.xid;
        let Some(mut client) = self.connections.own_until(cancel).await? else {
            return Ok(position);
        };
        // A domain that fails must not take the transaction with it.
        let Some(judging) = self.connections.own_until(cancel).await? else {
            return Ok(position);
        };
        let next = Position {
            done: position.done,
            target: Some(Target {
                snapshot,
                last_xid: xid,
                last_id: i64::MAX,
            }),
        };
        tracing::info!(xid, "a large transaction is read record by record");
        let subscription_set = Arc::clone(&self.subscription_set.borrow());
        let transaction = client
            .transaction()
            .await
            .map_err(|e| Error::database("begin a batch", e))?;
        let mut at_home =
            related_changes::touched_by_large(&transaction, &judging, &self.judging, &subscription_set, xid, layouts)
                .await?;
        let mut large = Large {
            facts: facts.clone(),
            subscription_set: &subscription_set,
            judging: &judging,
            assembly: Assembly::new(facts),
            newest: 0,
        };
        let mut pieces = Pieces::of(&transaction, xid).await?;
        let mut written = Written::default();
        while let Some(rows) = pieces.next(&transaction, layouts).await? {
            rows.iter().for_each(note_truncate);
            large.newest = large.newest.max(related_changes::newest(&rows));
            let mut tables = large::by_table(rows).into_iter().peekable();
            while let Some(rows) = tables.next() {
                let Some((model, last)) = rows.last().map(|row| (Arc::clone(&row.layout.model), row.record_id)) else {
                    continue;
                };
                if subscription_set.derivations.is_relation(&model) {
                    continue;
                }
                let changes = event::fold_table(without_truncates(rows));
                // The last table of a piece may go on in the next one.
                let upto = if tables.peek().is_none() && !pieces.is_at_end() {
                    last
                } else {
                    i64::MAX
                };
                self.feed(&mut large, &model, changes, &mut at_home, upto, layouts)
                    .await?;
            }
            self.vitals.progressed();
            let made = self
                .make(&judging, &subscription_set, large.assembly.take_complete())
                .await?;
            self.commit_waiting(&transaction, &next, made, &mut written).await?;
        }
        for model in at_home.models() {
            self.feed(&mut large, &model, Vec::new(), &mut at_home, i64::MAX, layouts)
                .await?;
            let made = self
                .make(&judging, &subscription_set, large.assembly.take_complete())
                .await?;
            self.commit_waiting(&transaction, &next, made, &mut written).await?;
        }
        let made = self.make(&judging, &subscription_set, large.assembly.finish()).await?;
        self.commit_waiting(&transaction, &next, made, &mut written).await?;
        transaction
            .commit()
            .await
            .map_err(|e| Error::database("commit a batch", e))?;
        self.note(&written);
        let _ = self.handed.send(Handed::Backlog);
        self.high_water.moved(&next);
        Ok(next)
    }

    /// Judges changes of one model of a large transaction and offers them, together with those of the records up to the id `upto`
    /// that changed elsewhere.
    async fn feed(
        &self,
        large: &mut Large<'_>,
        model: &str,
        mut changes: Vec<Change>,
        at_home: &mut AtHome,
        upto: i64,
        layouts: &mut Layouts,
    ) -> Result<()> {
        let most = MOST_ELSEWHERE;
        loop {
            let elsewhere = at_home.take(model, upto, most);
            // Ascending: what lies behind the last of them waits for the next ones.
            let rest = match elsewhere.last_key_value() {
                Some((last, _)) if elsewhere.len() == most => {
                    changes.split_off(changes.partition_point(|change| change.record_id <= *last))
                }
                _ => Vec::new(),
            };
            let is_last = elsewhere.len() < most;
            let changes_now = std::mem::replace(&mut changes, rest);
            let changes_now = related_changes::complete(
                large.judging,
                &self.judging,
                large.subscription_set,
                (&large.facts, large.newest),
                model,
                changes_now,
                elsewhere,
            )
            .await?;
            let mut folded = Folded::new(large.facts.clone());
            folded.parents = related_changes::parents_in_large(
                large.judging,
                large.subscription_set,
                large.facts.xid,
                model,
                &changes_now,
                layouts,
            )
            .await?;
            folded.changes = changes_now;
            let folded = [folded];
            let answers = self
                .judging
                .judge(large.judging, large.subscription_set, &folded)
                .await?;
            if let ([folded], [(numbers, answers)]) = (&folded, answers.as_slice()) {
                judging::offer_all(&mut large.assembly, large.subscription_set, folded, numbers, answers);
            }
            if is_last {
                return Ok(());
            }
        }
    }
}

fn note_truncate(row: &RowChange) {
    if row.op == b'T' {
        tracing::error!(
            model = &*row.layout.model,
            "a table was truncated: its records went without unlink events"
        );
    }
}

fn without_truncates(rows: Vec<RowChange>) -> Vec<RowChange> {
    rows.into_iter().filter(|row| row.op != b'T').collect()
}
