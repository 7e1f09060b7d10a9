//! Asks the domains of a batch: which subscriptions the images of its changes satisfy, before and after.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::Result;
use crate::matching::{Answers, Assembly, ImageNumbers};
use crate::payload::fill::Parents;
use crate::pg;
use crate::pg::connections::Connections;
use crate::pg::domain::judge::{Chunk, ImageColumns, Judge};
use crate::pg::sqlstate::OF_THE_DATA;
use crate::subscription::{ResolvedSubscription, Subscription};
use crate::worker::dispatch::parents::{self, ImageAt, Inherited};
use crate::worker::dispatch::related_changes::Folded;
use crate::worker::upkeep::quarantine::Quarantine;
use crate::worker::upkeep::subscription_set::{OfModel, SubscriptionSet};

/// What judging needs beside the roster: where to leave a subscription that cannot be judged.
#[derive(Debug)]
pub struct Judging {
    /// Whose domain failed on a record's data.
    pub quarantine: Quarantine,
    /// Tells the keeper of the roster that it is behind.
    pub subscriptions_changed: Arc<Notify>,
    /// For domains that look at other records.
    pub connections: Connections,
}

impl Judging {
    /// Serves a subscription no more until somebody has changed it.
    pub(in crate::worker) fn give_up(&self, subscription: &Subscription, reason: String) {
        self.quarantine.add(subscription, reason);
        self.subscriptions_changed.notify_one();
    }

    /// What came of a question about one model's records; `None` where the database refused it, as it would again: whom it concerns is
    /// served no more until somebody changes the subscription, and everything else goes on.
    pub(super) fn unless_refused<'s, T>(
        &self,
        asked: Result<T>,
        concerned: impl IntoIterator<Item = &'s Arc<ResolvedSubscription>>,
    ) -> Result<Option<T>> {
        let error = match asked {
            Err(error) if error.is_lasting_refusal() => error,
            asked => return asked.map(Some),
        };
        let reason = error.chain();
        tracing::error!(
            error = reason,
            "the database refuses what a change elsewhere asks for: whom it concerns is not served until changed"
        );
        for subscription in concerned {
            self.give_up(&subscription.row, format!("what it watches cannot be read: {reason}"));
        }
        Ok(None)
    }

    /// Asks PostgreSQL what the domains say of the images of these transactions: one statement for each model, however many
    /// subscriptions and changes there are.
    pub(in crate::worker) async fn judge(
        &self,
        client: &crate::pg::Pooled,
        subscription_set: &SubscriptionSet,
        transactions: &[Folded],
    ) -> Result<Vec<(Vec<ImageNumbers>, Answers)>> {
        let mut numbered: Vec<(Vec<ImageNumbers>, Answers)> = transactions
            .iter()
            .map(|t| (vec![ImageNumbers::default(); t.changes.len()], Answers::default()))
            .collect();
        let mut by_model: HashMap<&str, Vec<(usize, usize)>> = HashMap::new();
        for (of_transaction, transaction) in transactions.iter().enumerate() {
            for (of_change, change) in transaction.changes.iter().enumerate() {
                by_model
                    .entry(&change.layout.model)
                    .or_default()
                    .push((of_transaction, of_change));
            }
        }
        for (model, places) in by_model {
            let Some(of_model) = subscription_set.of_model(model) else {
                continue;
            };
            let Some(all) = of_model.judge_now()? else { continue };
            let mut images: Vec<ImageAt<'_>> = Vec::new();
            for (transaction, of_change) in places {
                let change = &transactions[transaction].changes[of_change];
                let numbers = &mut numbered[transaction].0[of_change];
                for (image, number, is_before) in [
                    (&change.old, &mut numbers.before, true),
                    (&change.new, &mut numbers.after, false),
                ] {
                    if let Some(image) = image {
                        *number = Some(images.len());
                        images.push(ImageAt {
                            transaction,
                            change,
                            image,
                            is_before,
                        });
                    }
                }
            }
            self.give_up_unjudged(of_model, &all, &images, transactions);
            let inherited = parents::inherited(client, self, of_model, all.columns(), &images, transactions).await?;
            let values = columns_of(&all, &images, &inherited);
            let matches = match self.ask(client, &all, images.len(), &values).await {
                Err(error) if error.means(OF_THE_DATA) => {
                    self.judge_alone(client, of_model, &images, &inherited).await?
                }
                judged => judged?,
            };
            // Not judged by halves: one image of a change whose parent is not known makes both of no use.
            let unknown: HashSet<(usize, i64)> = images
                .iter()
                .enumerate()
                .filter(|(number, _)| inherited.is_unknown(*number))
                .map(|(_, at)| (at.transaction, at.change.record_id))
                .collect();
            for (number, (at, subscriptions)) in images.iter().zip(matches).enumerate() {
                let is_unknown = unknown.contains(&(at.transaction, at.change.record_id));
                for subscription in subscriptions {
                    if !(is_unknown && of_model.inheriting.contains(&subscription)) {
                        numbered[at.transaction].1.insert(number, subscription);
                    }
                }
            }
        }
        Ok(numbered)
    }

    /// A value that was too long to be kept is not there to be judged by, and what is in the table now may be another: whose domain
    /// reads it is told so, rather than left without the event and without a word.
    fn give_up_unjudged(&self, of_model: &OfModel, judge: &Judge, images: &[ImageAt<'_>], transactions: &[Folded]) {
        for column in judge.columns().iter().filter(|column| column.link.is_none()) {
            let name = &column.column;
            for at in images {
                let index = at.change.layout.index_of(name);
                if !index.is_some_and(|index| at.image.is_unknown(index)) {
                    continue;
                }
                let xid = transactions[at.transaction].facts.xid;
                let reads = |s: &&Arc<ResolvedSubscription>| {
                    s.domain
                        .as_ref()
                        .is_some_and(|domain| domain.own_columns().contains(name))
                        && s.watches(at.change)
                        && s.row.captured_from.is_some_and(|from| xid >= from)
                };
                for subscription in of_model.subscriptions.iter().filter(reads) {
                    let (id, record) = (subscription.row.id, at.change.record_id);
                    tracing::error!(
                        subscription.id = id,
                        record,
                        field = name,
                        "a domain reads a value that was too long to be kept: its subscription is not served until it is changed"
                    );
                    self.give_up(
                        &subscription.row,
                        format!("the domain reads \"{name}\", which was longer than what is kept of a value in record {record}"),
                    );
                }
            }
        }
    }

    /// Asks a judge, on a connection of its own where other records are looked at: there it waits for nobody's lock.
    async fn ask(
        &self,
        client: &crate::pg::Pooled,
        judge: &Judge,
        count: usize,
        values: &ImageColumns,
    ) -> Result<Vec<Vec<i64>>> {
        if judge.chunks().any(Chunk::reads_related)
            && let Ok(mut own) = self.connections.own().await
        {
            return pg::domain::ask::judge_waiting_for_no_lock(&mut own, judge, count, values).await;
        }
        pg::domain::ask::judge(client, judge, count, values).await
    }

    /// Each domain alone: the one that fails is put in quarantine and matches nothing, the others go on.
    async fn judge_alone(
        &self,
        client: &crate::pg::Pooled,
        of_model: &OfModel,
        images: &[ImageAt<'_>],
        inherited: &Inherited,
    ) -> Result<Vec<Vec<i64>>> {
        let mut matches = vec![Vec::new(); images.len()];
        for alone in of_model.alone() {
            let (subscription, judge) = alone?;
            let values = columns_of(&judge, images, inherited);
            match self.ask(client, &judge, images.len(), &values).await {
                Ok(found) => matches.iter_mut().zip(found).for_each(|(all, found)| all.extend(found)),
                Err(error) if error.means(OF_THE_DATA) => {
                    tracing::error!(
                        subscription.id = subscription.row.id, error = %error.chain(),
                        "a domain failed on a record's data: its subscription is not served until it is changed"
                    );
                    self.give_up(
                        &subscription.row,
                        format!("the domain failed on a record's data: {}", error.chain()),
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok(matches)
    }
}

/// The columns that a judge asks for; what an image does not hold reads as NULL, and its subscriptions are not covered.
fn columns_of(judge: &Judge, images: &[ImageAt<'_>], inherited: &Inherited) -> ImageColumns {
    judge
        .columns()
        .iter()
        .map(|column| {
            images
                .iter()
                .enumerate()
                .map(|(number, at)| match column.column.as_str() {
                    _ if column.link.is_some() => inherited.value(&column.name, number),
                    "id" => Some(at.change.record_id.to_string()),
                    name => at
                        .change
                        .layout
                        .index_of(name)
                        .and_then(|index| at.image.get(index).cloned().flatten()),
                })
                .collect()
        })
        .collect()
}

/// Offers the changes of a transaction that were judged to the subscriptions of their models.
pub(in crate::worker) fn offer_all(
    assembly: &mut Assembly,
    subscription_set: &SubscriptionSet,
    transaction: &Folded,
    numbers: &[ImageNumbers],
    answers: &Answers,
) {
    let parents = Parents::of(
        &subscription_set.parents_sent,
        transaction.changes.iter().chain(&transaction.parents),
    );
    for (change, numbers) in transaction.changes.iter().zip(numbers) {
        let Some(of_model) = subscription_set.of_model(&change.layout.model) else {
            continue;
        };
        for subscription in &of_model.subscriptions {
            assembly.offer(change, subscription, &parents, *numbers, answers);
        }
    }
}
