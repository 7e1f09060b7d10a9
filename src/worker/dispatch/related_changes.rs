//! Brings changes that showed in other tables home to the records they are about: links of many2many fields, children of one2many
//! fields, parents of `_inherits`.
//!
//! Which records those are is [`crate::relations`]'; here are the questions that only the database answers, each asked once for all
//! transactions of a batch: who inherits from these parents, and what do records look like of which no row of their own was captured.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::pg::{GenericClient, Transaction};

use crate::Result;
use crate::event::{self, Change, RowChange};
use crate::matching::TransactionFacts;
use crate::pg::outbox::Layouts;
use crate::pg::relations::{self as asked, Asked};
use crate::relations::{AtHome, ChangedElsewhere, Derivations, Touched, attach};
use crate::worker::dispatch::judging::Judging;
use crate::worker::dispatch::large::{Pieces, by_table};
use crate::worker::upkeep::subscription_set::SubscriptionSet;

/// Ids in one question at most.
const MOST_IDS: usize = 10_000;

/// Links of a large transaction read at once.
const LINKS_AT_ONCE: i32 = 10_000;

/// A transaction, folded.
#[derive(Debug)]
pub(in crate::worker) struct Folded {
    pub(in crate::worker) facts: TransactionFacts,
    pub(in crate::worker) changes: Vec<Change>,
    /// Of a part of a large transaction: what it did to records that those in `changes` inherit from.
    pub(in crate::worker) parents: Vec<Change>,
    touched: Touched,
    /// The largest outbox id of its rows.
    newest: i64,
}

impl Folded {
    pub(in crate::worker) fn new(facts: TransactionFacts) -> Self {
        Self {
            facts,
            changes: Vec::new(),
            parents: Vec::new(),
            touched: Touched::default(),
            newest: 0,
        }
    }

    /// Takes in what the transaction did to one table.
    pub(in crate::worker) fn add_table(&mut self, rows: Vec<RowChange>, derivations: &Derivations) {
        let Some(model) = rows.first().map(|row| Arc::clone(&row.layout.model)) else {
            return;
        };
        self.newest = self.newest.max(newest(&rows));
        if derivations.is_relation(&model) {
            self.touched.add_links(&rows, derivations);
            return;
        }
        let changes = event::fold_table(rows);
        if derivations.is_source(&model) {
            self.touched.add_changes(&changes, derivations);
        }
        self.changes.extend(changes);
    }
}

/// Completes the changes of a batch's transactions with what showed in other tables; void ones are left out.
pub(in crate::worker) async fn bring_home(
    client: &impl GenericClient,
    judging: &Judging,
    subscription_set: &SubscriptionSet,
    transactions: &mut [Folded],
) -> Result<()> {
    let touched: Vec<_> = transactions
        .iter_mut()
        .map(|t| std::mem::take(&mut t.touched).finish())
        .collect();
    let mut pending: HashMap<Arc<str>, Vec<(usize, Asked)>> = HashMap::new();
    if touched.iter().any(|touched| !touched.is_empty()) {
        let touched = follow_paths(client, judging, subscription_set, touched).await?;
        for (of_transaction, (transaction, touched)) in transactions.iter_mut().zip(touched).enumerate() {
            let mut at_home = AtHome::new(&subscription_set.derivations, touched);
            for model in at_home.models() {
                let elsewhere = at_home.take(&model, i64::MAX, usize::MAX);
                let unknown = attach(&mut transaction.changes, &model, elsewhere);
                let unknown = unknown
                    .into_iter()
                    .map(|record| (of_transaction, question(&transaction.facts, transaction.newest, record)));
                pending.entry(model).or_default().extend(unknown);
            }
        }
    }
    for transaction in transactions.iter_mut() {
        transaction.changes.retain(|change| !change.is_void());
    }
    for (model, pending) in pending {
        let (of_transactions, questions): (Vec<usize>, Vec<Asked>) = pending.into_iter().unzip();
        for (place, change) in ask(client, judging, subscription_set, &model, &questions).await? {
            transactions[of_transactions[place]].changes.push(change);
        }
    }
    for transaction in transactions {
        // Assemblies take a model's records in ascending order.
        transaction
            .changes
            .sort_by(|a, b| (&a.layout.model, a.record_id).cmp(&(&b.layout.model, b.record_id)));
    }
    Ok(())
}

/// Completes a part of one model's changes, ascending and one a record, with the records in `elsewhere`.
pub(in crate::worker) async fn complete(
    client: &impl GenericClient,
    judging: &Judging,
    subscription_set: &SubscriptionSet,
    (facts, newest): (&TransactionFacts, i64),
    model: &str,
    mut changes: Vec<Change>,
    elsewhere: ChangedElsewhere,
) -> Result<Vec<Change>> {
    let unknown = attach(&mut changes, model, elsewhere);
    changes.retain(|change| !change.is_void());
    let questions: Vec<Asked> = unknown
        .into_iter()
        .map(|record| question(facts, newest, record))
        .collect();
    let found = ask(client, judging, subscription_set, model, &questions).await?;
    changes.extend(found.into_iter().map(|(_, change)| change));
    changes.sort_by_key(|change| change.record_id);
    Ok(changes)
}

/// The largest outbox id of rows.
pub(in crate::worker) fn newest(rows: &[RowChange]) -> i64 {
    rows.iter().map(|row| row.id).max().unwrap_or(0)
}

fn question(facts: &TransactionFacts, newest: i64, (record_id, mut fields): (i64, Vec<Arc<str>>)) -> Asked {
    // Two ways may lead to one field.
    fields.sort();
    fields.dedup();
    Asked {
        record_id,
        xid: facts.xid,
        at: facts.at,
        outbox_id: newest,
        fields,
    }
}

async fn ask(
    client: &impl GenericClient,
    judging: &Judging,
    subscription_set: &SubscriptionSet,
    model: &str,
    questions: &[Asked],
) -> Result<Vec<(usize, Change)>> {
    let Some(of_model) = subscription_set.of_model(model) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::with_capacity(questions.len());
    for (number, part) in questions.chunks(MOST_IDS).enumerate() {
        let writes = asked::writes_as_of_now(client, model, part, &of_model.whole).await;
        let fields: BTreeSet<&str> = part.iter().flat_map(|asked| &asked.fields).map(AsRef::as_ref).collect();
        let concerned = of_model.subscriptions.iter();
        let concerned = concerned.filter(|s| s.derived.iter().any(|watch| fields.contains(&*watch.field)));
        let writes = judging.unless_refused(writes, concerned)?;
        found.extend(
            writes
                .into_iter()
                .flatten()
                .map(|(place, change)| (number * MOST_IDS + place, change)),
        );
    }
    Ok(found)
}

/// From parents to the records that inherit from them, step by step; one question a step for all transactions.
async fn follow_paths(
    client: &impl GenericClient,
    judging: &Judging,
    subscription_set: &SubscriptionSet,
    mut touched: Vec<BTreeMap<usize, BTreeSet<i64>>>,
) -> Result<Vec<BTreeMap<usize, BTreeSet<i64>>>> {
    for (place, derivation) in subscription_set.derivations.all().iter().enumerate() {
        for step in &derivation.watch.path {
            let parents: BTreeSet<i64> = touched
                .iter()
                .filter_map(|t| t.get(&place))
                .flatten()
                .copied()
                .collect();
            if parents.is_empty() {
                break;
            }
            let parents: Vec<i64> = parents.into_iter().collect();
            let mut heirs: HashMap<i64, Vec<i64>> = HashMap::new();
            for part in parents.chunks(MOST_IDS) {
                let found = asked::inheriting(client, step, part).await;
                let of_model = subscription_set.of_model(&derivation.model);
                let concerned = of_model.iter().flat_map(|of_model| &of_model.subscriptions);
                let concerned = concerned.filter(|s| s.derived.contains(&derivation.watch));
                let found = judging.unless_refused(found, concerned)?;
                for (parent, id) in found.into_iter().flatten() {
                    heirs.entry(parent).or_default().push(id);
                }
            }
            for records in touched.iter_mut().filter_map(|t| t.get_mut(&place)) {
                *records = records
                    .iter()
                    .filter_map(|parent| heirs.get(parent))
                    .flatten()
                    .copied()
                    .collect();
            }
        }
    }
    Ok(touched)
}

/// What a transaction that is larger than a page touched through other tables: a first reading of those tables, so that the
/// second can go over the records in their order. Held are ids, and links until they are known to cancel each other or not.
pub(in crate::worker) async fn touched_by_large(
    transaction: &Transaction<'_>,
    // Odoo's own tables are asked outside the transaction, which may last: each answer lets go of them.
    asking: &impl GenericClient,
    judging: &Judging,
    subscription_set: &SubscriptionSet,
    xid: u64,
    layouts: &mut Layouts,
) -> Result<AtHome> {
    let derivations = &subscription_set.derivations;
    if derivations.all().is_empty() {
        return Ok(AtHome::default());
    }
    *layouts = Layouts::load(transaction).await?;
    let mut touched = Touched::default();
    let mut has_sources = false;
    for (capture_id, model) in layouts.captures() {
        if !derivations.is_relation(&model) {
            has_sources |= derivations.is_source(&model);
        } else {
            let mut after = i64::MIN;
            loop {
                let links = asked::read_links(transaction, xid, capture_id, after, LINKS_AT_ONCE, layouts).await?;
                touched.add_links(&links, derivations);
                match links.last() {
                    Some(last) if !is_short(&links, LINKS_AT_ONCE) => after = last.id,
                    _ => break,
                }
            }
        }
    }
    if has_sources {
        let mut pieces = Pieces::of(transaction, xid).await?;
        while let Some(rows) = pieces.next(transaction, layouts).await? {
            for mut rows in by_table(rows) {
                let model = &rows[0].layout.model;
                if derivations.is_source(model) && !derivations.is_relation(model) {
                    rows.retain(|row| row.op != b'T');
                    touched.add_changes(&event::fold_table(rows), derivations);
                }
            }
        }
    }
    let mut records = follow_paths(asking, judging, subscription_set, vec![touched.finish()]).await?;
    Ok(AtHome::new(derivations, records.pop().unwrap_or_default()))
}

fn is_short(rows: &[RowChange], page: i32) -> bool {
    rows.len() < usize::try_from(page).unwrap_or(usize::MAX)
}

/// What a large transaction did to the parents of these records, as far as domains or payloads read them.
pub(in crate::worker) async fn parents_in_large(
    client: &impl GenericClient,
    subscription_set: &SubscriptionSet,
    xid: u64,
    model: &str,
    changes: &[Change],
    layouts: &mut Layouts,
) -> Result<Vec<Change>> {
    let mut parents = Vec::new();
    let of_model = subscription_set.of_model(model);
    let judged = of_model.iter().flat_map(|of_model| &of_model.judge);
    let judged = judged
        .flat_map(|judge| judge.columns())
        .filter_map(|column| Some((column.link.as_deref()?, column.parent.as_deref()?)));
    let sent = of_model.iter().flat_map(|of_model| &of_model.subscriptions);
    let sent = sent
        .flat_map(|subscription| &subscription.inherited)
        .map(|inherited| (inherited.link.as_str(), inherited.parent.as_str()));
    let links: BTreeSet<(&str, &str)> = judged.chain(sent).collect();
    for (link, parent) in links {
        let images = changes
            .iter()
            .flat_map(|change| [&change.old, &change.new].map(|image| (change, image)));
        let ids: BTreeSet<i64> = images
            .filter_map(|(change, image)| {
                let linked = image.as_ref()?.get(change.layout.index_of(link)?)?;
                linked.as_deref()?.parse().ok()
            })
            .collect();
        let ids: Vec<i64> = ids.into_iter().collect();
        let rows = asked::rows_of(client, xid, parent, &ids, layouts).await?;
        parents.extend(event::fold_table(rows));
    }
    Ok(parents)
}
