//! The events of a transaction against what is true of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use odoo_eventd::event::{AUDIT_COLUMNS, Change, EventType};

use super::oracle::{Contents, Fate, Rows, Sameness, compare, fates};
use super::runner::Difference;

/// What DDL has changed of a table since the service looked last: of this nothing is asked.
#[derive(Clone, Debug, Default)]
pub struct Unsure {
    /// It was dropped, renamed or made anew, or its id is another.
    pub all: bool,
    /// It has more columns.
    pub added: bool,
    /// These columns were dropped, renamed or retyped.
    pub columns: BTreeSet<String>,
}

impl Unsure {
    /// What is unsure by either.
    pub fn add(&mut self, more: &Self) {
        self.all |= more.all;
        self.added |= more.added;
        self.columns.extend(more.columns.iter().cloned());
    }
}

/// A committed transaction.
pub struct Transaction<'a> {
    /// All tables before it.
    pub before: &'a Contents,
    /// And after.
    pub after: &'a Contents,
    /// What DDL has changed, by table.
    pub unsure: &'a BTreeMap<String, Unsure>,
    /// It emptied a table: of what was in any before, nothing is asked.
    pub truncated: bool,
    /// It was one statement.
    pub is_one_statement: bool,
    /// The look that was the last when it began.
    pub since: usize,
}

impl Transaction<'_> {
    /// What it did to the records of a table; `None` where nobody can say.
    pub fn fates(&self, table: &str, watched: &BTreeSet<String>) -> Option<BTreeMap<String, Fate>> {
        let unsure = self.unsure.get(table).cloned().unwrap_or_default();
        if unsure.all {
            return None;
        }
        let (before, after) = (self.before.get(table)?, self.after.get(table)?);
        Some(fates(before, after, watched, &unsure.columns))
    }

    /// Columns of a table of which nothing is asked.
    pub fn unsure_columns(&self, table: &str) -> BTreeSet<String> {
        self.unsure.get(table).map(|u| u.columns.clone()).unwrap_or_default()
    }

    /// Whether a column of some record held this before the transaction.
    fn stood_there(&self, table: &str, column: &str, value: &str) -> bool {
        let Some(rows) = self.before.get(table) else {
            return false;
        };
        let Some(place) = rows.columns.iter().position(|(name, _)| name == column) else {
            return false;
        };
        rows.by_id
            .values()
            .any(|values| values[place].as_deref() == Some(value))
    }

    /// Whether a record of a table is no longer there, or not by its id.
    fn has_one_gone(&self, table: &str) -> bool {
        let (Some(before), Some(after)) = (self.before.get(table), self.after.get(table)) else {
            return false;
        };
        before.by_id.keys().any(|id| !after.by_id.contains_key(id))
    }

    /// Whether nothing is asked of a record.
    pub fn is_free(&self, table: &str, id: &str) -> bool {
        let is_there = |contents: &Contents| contents.get(table).is_some_and(|rows| rows.by_id.contains_key(id));
        // Of one that was made and has gone with the table too: nobody has seen it go.
        self.truncated && (is_there(self.before) || !is_there(self.after))
    }
}

/// What is told of a record.
#[derive(Clone, Debug)]
pub struct Told {
    /// What happened.
    pub event_type: EventType,
    /// Which columns differ.
    pub changed: BTreeSet<String>,
}

/// Compares what is told of a table's records with what happened to them.
pub fn compare_records(
    transaction: &Transaction<'_>,
    table: &str,
    truth: &BTreeMap<String, Fate>,
    told: &BTreeMap<String, Told>,
) -> Result<(), Difference> {
    let ids: BTreeSet<&String> = truth.keys().chain(told.keys()).collect();
    for id in ids {
        if transaction.is_free(table, id) {
            continue;
        }
        let is_right = match (truth.get(id), told.get(id)) {
            (None, None) => true,
            (Some(Fate::Create), Some(told)) => told.event_type == EventType::Create,
            (Some(Fate::Unlink), Some(told)) => told.event_type == EventType::Unlink,
            (Some(Fate::Write { surely, .. }), None) => surely.is_empty(),
            (Some(Fate::Write { surely, perhaps }), Some(told)) => {
                told.event_type == EventType::Write
                    && surely.is_subset(&told.changed)
                    && told.changed.iter().all(|c| surely.contains(c) || perhaps.contains(c))
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        if !is_right {
            let (kind, was) = match truth.get(id) {
                None => ("extra event", "nothing".to_owned()),
                Some(Fate::Create) => ("create", "create".to_owned()),
                Some(Fate::Unlink) => ("unlink", "unlink".to_owned()),
                Some(Fate::Write { surely, perhaps }) => {
                    ("write", format!("write of {surely:?}, perhaps of {perhaps:?}"))
                }
            };
            let is = match told.get(id) {
                None => "nothing".to_owned(),
                Some(told) => format!("{} of {:?}", told.event_type.as_str(), told.changed),
            };
            let row = |contents: &Contents| contents.get(table).and_then(|rows| rows.by_id.get(id).cloned());
            let text = format!(
                "{is} was told of \"{table}\" {id}, and it was {was}\n  before {:?}\n  after  {:?}",
                row(transaction.before),
                row(transaction.after)
            );
            return Err(Difference::new(kind, text));
        }
    }
    Ok(())
}

/// What a change keeps of its record is what was there.
pub fn compare_images(transaction: &Transaction<'_>, table: &str, change: &Change) -> Result<(), Difference> {
    let id = change.record_id.to_string();
    if transaction.is_free(table, &id) {
        return Ok(());
    }
    let unsure = transaction.unsure_columns(table);
    let sides = [(&change.old, transaction.before), (&change.new, transaction.after)];
    for (image, contents) in sides {
        let (Some(image), Some(rows)) = (image, contents.get(table)) else {
            continue;
        };
        let Some(truth) = rows.by_id.get(&id) else { continue };
        for (index, column) in change.layout.columns.iter().enumerate() {
            let kept = &image[index];
            // Of a long one a digest is kept.
            if image.is_unknown(index) {
                continue;
            }
            let Some(place) = rows.columns.iter().position(|(name, _)| name == column) else {
                continue;
            };
            let type_name = &rows.columns[place].1;
            // A stamp that is written alone is no change, and then nobody looks at it.
            if unsure.contains(column) || AUDIT_COLUMNS.contains(&column.as_str()) {
                continue;
            }
            if !is_kept(type_name, kept.as_deref(), truth[place].as_deref()) {
                let text = format!(
                    "of \"{column}\" of \"{table}\" {id} ({type_name}) {kept:?} was kept, and it was {:?}",
                    truth[place]
                );
                return Err(Difference::new("value", text));
            }
        }
    }
    Ok(())
}

/// Who is told to have written a record stands in its row, with the time at which this transaction began; nobody else ever did it. Of a
/// record of which the outbox has one row only. The rows are those of the other database, where it began a moment before or after.
pub fn compare_user(
    transaction: &Transaction<'_>,
    table: &str,
    change: &Change,
    at: Timestamp,
) -> Result<(), Difference> {
    let id = change.record_id.to_string();
    let (user, date) = match change.event_type {
        EventType::Create => ("create_uid", "create_date"),
        EventType::Write => ("write_uid", "write_date"),
        EventType::Unlink => return Ok(()),
    };
    if transaction.is_free(table, &id) || transaction.unsure.contains_key(table) {
        return Ok(());
    }
    let value = |contents: &Contents, column: &str, type_name: &str| {
        let rows = contents.get(table)?;
        let place = rows
            .columns
            .iter()
            .position(|(name, is)| name == column && is == type_name)?;
        rows.by_id.get(&id)?[place].clone()
    };
    let date_type = "timestamp without time zone";
    let is = value(transaction.after, date, date_type);
    let written_at = is
        .as_ref()
        .and_then(|text| format!("{}Z", text.replacen(' ', "T", 1)).parse::<Timestamp>().ok());
    let may_be_now = written_at.is_some_and(|written_at| written_at.duration_since(at).abs() < MOMENT);
    let written_by: Option<i32> = value(transaction.after, user, "integer").and_then(|text| text.parse().ok());
    // Two transactions do not begin in one microsecond: a time that stood there was written earlier, also where the row that has it goes
    // by another id now (two ids exchanged).
    let is_old = is.as_ref().is_none_or(|is| transaction.stood_there(table, date, is));
    let is_right = match change.user_id {
        // Where another statement of the transaction wrote these columns alone, nothing tells of it; nor who made a record that had
        // another id before.
        None => {
            !may_be_now
                || is_old
                || written_by.is_none()
                || !transaction.is_one_statement
                || (change.event_type == EventType::Create && transaction.has_one_gone(table))
        }
        // So such a statement may have taken away the time too that the one that is told of had written.
        told => !transaction.is_one_statement || (may_be_now && told == written_by),
    };
    if is_right {
        return Ok(());
    }
    let text = format!(
        "{:?} is told to have written \"{table}\" {id} at {at}, and it was {written_by:?} at {is:?}",
        change.user_id
    );
    Err(Difference::new("user", text))
}

/// The two databases do the same at once.
const MOMENT: SignedDuration = SignedDuration::from_secs(2);

fn is_kept(type_name: &str, kept: Option<&str>, truth: Option<&str>) -> bool {
    let (Some(kept), Some(truth)) = (kept, truth) else {
        return kept == truth;
    };
    if super::runner::is_of_today(kept) && super::runner::is_of_today(truth) {
        return true;
    }
    // Of a long one the truth is a digest.
    if truth.len() > 300 || truth.contains("..") {
        return true;
    }
    let kept = if type_name.starts_with("timestamp") {
        kept.replacen('T', " ", 1)
    } else {
        kept.to_owned()
    };
    compare(type_name, Some(&kept), Some(truth)) != Sameness::Different
}

/// The pairs of a many2many table with how often each was added, less how often it was removed.
pub fn net_pairs(before: &Rows, after: &Rows, columns: &[String]) -> BTreeMap<Vec<Option<String>>, i64> {
    let mut net = BTreeMap::new();
    for (rows, by) in [(before, -1), (after, 1)] {
        for values in rows.by_id.values() {
            let pair = columns
                .iter()
                .map(|column| {
                    let place = rows.columns.iter().position(|(name, _)| name == column);
                    place.and_then(|place| values[place].clone())
                })
                .collect();
            *net.entry(pair).or_insert(0) += by;
        }
    }
    net.retain(|_, count| *count != 0);
    net
}
