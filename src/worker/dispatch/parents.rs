//! Values that a record inherits through `_inherits`, for domains that read them: as they were in the event where the parent changed in
//! the same transaction, else as they are when the event is processed.

use std::collections::{BTreeMap, HashMap};

use crate::pg::GenericClient;

use crate::Result;
use crate::domain::image::ImageColumn;
use crate::event::{Change, Image};
use crate::pg::relations::{self as asked, Asked};
use crate::worker::dispatch::judging::Judging;
use crate::worker::dispatch::related_changes::Folded;
use crate::worker::upkeep::subscription_set::OfModel;

/// An image that is to be judged.
#[derive(Debug, Clone, Copy)]
pub(in crate::worker) struct ImageAt<'a> {
    /// The number of its transaction in the batch.
    pub(in crate::worker) transaction: usize,
    pub(in crate::worker) change: &'a Change,
    pub(in crate::worker) image: &'a Image,
    pub(in crate::worker) is_before: bool,
}

/// The inherited columns of a batch of images.
#[derive(Debug, Default)]
pub(in crate::worker) struct Inherited {
    /// By the column's name in the image: its value in every image.
    by_column: HashMap<String, Vec<Option<String>>>,
    /// Images of which the parent is not known: it is gone, or may have been captured in part.
    unknown: Vec<bool>,
}

impl Inherited {
    /// An inherited column's value in an image.
    pub(in crate::worker) fn value(&self, column: &str, image: usize) -> Option<String> {
        self.by_column.get(column)?.get(image)?.clone()
    }

    /// Whether an image's parent is not known, so that no domain that reads it can be judged.
    pub(in crate::worker) fn is_unknown(&self, image: usize) -> bool {
        self.unknown.get(image).copied().unwrap_or_default()
    }
}

/// A parent's column: its name in an image, and in the parent's table.
type Columns<'a> = Vec<(&'a str, &'a str)>;

/// Finds the values of inherited columns; one question for each link, however many images there are.
///
/// # Errors
/// Database errors.
pub(in crate::worker) async fn inherited(
    client: &impl GenericClient,
    judging: &Judging,
    of_model: &OfModel,
    columns: &[ImageColumn],
    images: &[ImageAt<'_>],
    transactions: &[Folded],
) -> Result<Inherited> {
    let mut links: BTreeMap<(&str, &str), Columns<'_>> = BTreeMap::new();
    for column in columns {
        if let (Some(link), Some(parent)) = (&column.link, &column.parent) {
            links
                .entry((link, parent))
                .or_default()
                .push((&column.name, &column.column));
        }
    }
    let mut found = Inherited::default();
    if links.is_empty() {
        return Ok(found);
    }
    found.unknown = vec![false; images.len()];
    for ((link, parent), columns) in links {
        let changed = changed_parents(transactions, parent);
        let mut values: Vec<Option<Vec<Option<String>>>> = vec![None; images.len()];
        let mut questions: Vec<Asked> = Vec::new();
        let mut places: HashMap<(usize, i64), usize> = HashMap::new();
        let mut open: Vec<(usize, usize)> = Vec::new();
        for (number, at) in images.iter().enumerate() {
            let Some(linked) = at.change.layout.index_of(link).and_then(|index| at.image.get(index)) else {
                // Its link was not captured: it is as good as not known.
                continue;
            };
            let Some(id) = linked.as_deref().and_then(|id| id.parse::<i64>().ok()) else {
                values[number] = Some(vec![None; columns.len()]);
                continue;
            };
            let in_event = changed
                .get(&(at.transaction, id))
                .and_then(|parent| in_event(parent, at.is_before, &columns));
            if let Some(in_event) = in_event {
                values[number] = Some(in_event);
                continue;
            }
            let facts = &transactions[at.transaction].facts;
            let place = *places.entry((at.transaction, id)).or_insert_with(|| {
                questions.push(Asked {
                    record_id: id,
                    xid: facts.xid,
                    at: facts.at,
                    outbox_id: 0,
                    fields: Vec::new(),
                });
                questions.len() - 1
            });
            open.push((number, place));
        }
        if !questions.is_empty() {
            let wanted: Vec<String> = columns.iter().map(|(_, column)| (*column).to_owned()).collect();
            let now = asked::writes_as_of_now(client, parent, &questions, &wanted).await;
            // Who is not told is not known.
            let concerned = of_model.subscriptions.iter().filter(|subscription| {
                let domain = subscription.domain.as_ref();
                domain.is_some_and(|domain| domain.inherited().iter().any(|read| read.link == link))
            });
            let now: HashMap<usize, Change> = judging.unless_refused(now, concerned)?.into_iter().flatten().collect();
            for (number, place) in open {
                values[number] = now.get(&place).and_then(|parent| in_event(parent, false, &columns));
            }
        }
        for (number, values) in values.iter().enumerate() {
            found.unknown[number] |= values.is_none();
        }
        for (at, (name, _)) in columns.iter().enumerate() {
            let of_column = values.iter().map(|values| values.as_ref()?.get(at).cloned().flatten());
            found.by_column.insert((*name).to_owned(), of_column.collect());
        }
    }
    Ok(found)
}

/// Changes of a parent model, by transaction and record.
fn changed_parents<'a>(transactions: &'a [Folded], model: &str) -> HashMap<(usize, i64), &'a Change> {
    let mut changed = HashMap::new();
    for (number, transaction) in transactions.iter().enumerate() {
        for change in transaction.changes.iter().chain(&transaction.parents) {
            if &*change.layout.model == model {
                changed.insert((number, change.record_id), change);
            }
        }
    }
    changed
}

/// A parent's columns before or after; `None` where they were not all captured.
fn in_event(parent: &Change, is_before: bool, columns: &Columns<'_>) -> Option<Vec<Option<String>>> {
    // A parent that was made or unlinked has one image only, and its heir may have been there before or after.
    let image = match is_before {
        true => parent.old.as_ref().or(parent.new.as_ref()),
        false => parent.new.as_ref().or(parent.old.as_ref()),
    }?;
    columns
        .iter()
        .map(|(_, column)| {
            let index = match *column {
                "id" => return Some(Some(parent.record_id.to_string())),
                column => parent.layout.index_of(column)?,
            };
            image.get(index).cloned()
        })
        .collect()
}
