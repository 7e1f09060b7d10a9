//! Events, and the folding of a transaction's row changes into them.
//!
//! Pure: rows come in as capture wrote them, changes come out as SPEC section 5 defines them. One record has at most one change
//! in a transaction, however many statements Odoo needed. Nothing here knows subscriptions.

mod id;
mod image;
mod row_text;

use std::collections::HashMap;
use std::sync::Arc;

pub use id::{delivery_id, emitted_event_id, event_id, time_of_id};
use image::changed_columns;
pub use image::{Image, Images, Mark, StoredImage, read_images};

/// What happened to a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EventType {
    /// It is there and was not.
    Create,
    /// It was there and is, and differs.
    Write,
    /// It was there and is not.
    Unlink,
}

impl EventType {
    /// Odoo's word for it, as in the payload and the `X-MCP-Event` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Write => "write",
            Self::Unlink => "unlink",
        }
    }
}

/// What the images of one generation of a table's capture hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Layout {
    /// Distinguishes the tables; all generations of one table share it.
    pub capture_id: i32,
    /// The Odoo model.
    pub model: Arc<str>,
    /// Column names.
    pub columns: Vec<String>,
    /// PostgreSQL's names of their types, as `format_type` gives them.
    pub types: Vec<String>,
    /// How the outbox keeps images (`odoo_eventd.capture_generation.format`).
    pub format: i16,
}

impl Layout {
    /// Where a column is in the images.
    pub fn index_of(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|c| c == column)
    }
}

/// What one statement did to one record: a row of the outbox.
#[derive(Debug, Clone)]
pub struct RowChange {
    /// The outbox id; orders the rows of one record.
    pub id: i64,
    /// `I`, `U`, `D`; lower case when some values could not be captured.
    pub op: u8,
    /// The record.
    pub record_id: i64,
    /// Odoo's user, where the transaction itself wrote it.
    pub user_id: Option<i32>,
    /// Before; not for `I`.
    pub old: Option<Image>,
    /// After; not for `D`.
    pub new: Option<Image>,
    /// What the images hold.
    pub layout: Arc<Layout>,
}

/// What one transaction did to one record.
#[derive(Debug, Clone)]
pub struct Change {
    /// The record.
    pub record_id: i64,
    /// The outbox id of the last of its rows: for one record, its order among the changes of all transactions.
    pub outbox_id: i64,
    /// What happened to it.
    pub event_type: EventType,
    /// Odoo's user, if it is known.
    pub user_id: Option<i32>,
    /// Before the transaction; not for a create.
    pub old: Option<Image>,
    /// After the transaction; not for an unlink.
    pub new: Option<Image>,
    /// For a write: which columns differ, as indices into the layout.
    pub changed: Vec<usize>,
    /// For a write: which fields changed that are kept in other tables.
    pub derived: Vec<Arc<str>>,
    /// What the images hold.
    pub layout: Arc<Layout>,
}

impl Change {
    /// Whether nothing came of it: a write that ended where it began.
    pub fn is_void(&self) -> bool {
        self.event_type == EventType::Write && self.changed.is_empty() && self.derived.is_empty()
    }
}

/// Columns that Odoo stamps on every write, and that alone are no change (SPEC section 5).
pub const AUDIT_COLUMNS: [&str; 4] = ["create_uid", "create_date", "write_uid", "write_date"];

/// What a record was before a row of the outbox, or what it was after it.
#[derive(Debug, Clone)]
struct State {
    /// The outbox id of the row.
    id: i64,
    user_id: Option<i32>,
    /// `None`: the record was not there.
    image: Option<Image>,
}

/// The rows of one record in one transaction, as far as they do not cancel each other.
///
/// A row leads from one state of the record to another: what one row left is what the next found. So whatever the order in which the
/// rows were written, a state that one of them left and another found is a state in between; what was found and never left is the state
/// before the transaction, and what was left and never found is the state after it. The rows' own order tells nothing: PostgreSQL
/// fires the statement triggers of a statement inside a trigger, and of some keys that cascade, before those of the outer statement.
#[derive(Debug, Default)]
struct Chain {
    found: Vec<State>,
    left: Vec<State>,
}

impl Chain {
    fn of(rows: impl IntoIterator<Item = RowChange>, layout: &Layout) -> Self {
        let mut chain = Self::default();
        for row in rows {
            let (id, user_id) = (row.id, row.user_id);
            let state = |image| State { id, user_id, image };
            cancel(&mut chain.left, &mut chain.found, state(row.old), layout);
            cancel(&mut chain.found, &mut chain.left, state(row.new), layout);
        }
        chain
    }
}

/// Takes a state's counterpart away, or keeps the state where it has none yet.
fn cancel(counterparts: &mut Vec<State>, kept: &mut Vec<State>, state: State, layout: &Layout) {
    // The newest first: mostly it is the row before.
    match counterparts
        .iter()
        .rposition(|other| is_same(layout, &other.image, &state.image))
    {
        Some(place) => drop(counterparts.remove(place)),
        None => kept.push(state),
    }
}

/// Whether two images are of one state. Columns that Odoo stamps are left out: a change of them alone is not in the outbox.
fn is_same(layout: &Layout, one: &Option<Image>, other: &Option<Image>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => changed_columns(layout, one, other).is_empty(),
        (None, None) => true,
        _ => false,
    }
}

/// Folds the rows of one record in one transaction, in whatever order; `None` when it neither was there before nor is after.
///
/// | rows | change |
/// | --- | --- |
/// | insert, updates | create, with the last values |
/// | updates | write: before the first, after the last; [void](Change::is_void) if they are the same |
/// | updates, delete | unlink, with the values before the transaction |
/// | insert, delete | none |
/// | delete, insert of the same id | write: the record was there before and is there after |
pub fn fold_record(mut rows: Vec<RowChange>) -> Option<Change> {
    if needs_projection(&rows) {
        rows = project_to_common_columns(rows);
    }
    rows.sort_by_key(|row| row.id);
    let outbox_id = rows.last()?.id;
    let (record_id, layout) = (rows[0].record_id, Arc::clone(&rows[0].layout));
    if let [only] = &mut rows[..] {
        let (old, new) = (only.old.take(), only.new.take());
        return change(record_id, outbox_id, layout, (only.user_id, old), (only.user_id, new));
    }
    let (first, last_user) = (rows[0].old.clone(), rows[rows.len() - 1].user_id);
    let Chain { found, left } = Chain::of(rows, &layout);
    // More than one of each are left where rows are missing between others, as where a column was retyped in between. That it was not
    // there is never in doubt; else the first row tells what was, and the last what is.
    let before = found
        .iter()
        .find(|state| state.image.is_none())
        .or(found.first())
        .cloned();
    let after = left.iter().find(|state| state.image.is_none()).or(left.last()).cloned();
    let (Some(before), Some(after)) = (before, after) else {
        // It ended where it began: whether it was there at all the first row tells.
        return change(
            record_id,
            outbox_id,
            layout,
            (last_user, first.clone()),
            (last_user, first),
        );
    };
    change(
        record_id,
        outbox_id,
        layout,
        (before.user_id, before.image),
        (after.user_id, after.image),
    )
}

fn change(
    record_id: i64,
    outbox_id: i64,
    layout: Arc<Layout>,
    (created_by, old): (Option<i32>, Option<Image>),
    (written_by, new): (Option<i32>, Option<Image>),
) -> Option<Change> {
    // The record's creator made it; later statements of the transaction only complete it.
    let (event_type, user_id) = match (&old, &new) {
        (None, Some(_)) => (EventType::Create, created_by),
        (Some(_), Some(_)) => (EventType::Write, written_by),
        (Some(_), None) => (EventType::Unlink, written_by),
        (None, None) => return None,
    };
    let changed = match (&old, &new) {
        (Some(old), Some(new)) => changed_columns(&layout, old, new),
        _ => Vec::new(),
    };
    Some(Change {
        record_id,
        outbox_id,
        event_type,
        user_id,
        old,
        new,
        changed,
        derived: Vec::new(),
        layout,
    })
}

/// Leaves of the rows of one record as many as are needed for [`fold_record`] to make the same of them and of what follows: those that
/// do not cancel each other, the last, and of each kind of them, since columns that a row lacks are not compared, at least one.
pub fn compact_record(rows: &mut Vec<RowChange>) {
    type Kind = (Arc<Layout>, Vec<usize>);
    let mut kinds: Vec<(Kind, Vec<RowChange>)> = Vec::new();
    for row in std::mem::take(rows) {
        let gone: Vec<usize> = (0..row.layout.columns.len())
            .filter(|index| is_gone(&row, *index))
            .collect();
        match kinds
            .iter_mut()
            .find(|((layout, known), _)| *layout == row.layout && *known == gone)
        {
            Some((_, of_kind)) => of_kind.push(row),
            None => kinds.push(((Arc::clone(&row.layout), gone), vec![row])),
        }
    }
    for ((layout, _), of_kind) in kinds {
        let (Some(first), Some(last)) = (of_kind.first().cloned(), of_kind.last().cloned()) else {
            continue;
        };
        let Chain { found, left } = Chain::of(of_kind, &layout);
        let row = |id, user_id, old, new| RowChange {
            id,
            op: b'U',
            user_id,
            old,
            new,
            ..last.clone()
        };
        // One that ends where it begins: it cancels itself, and keeps the first row's word on whether the record was there, and the last id.
        rows.push(row(first.id, first.user_id, first.old.clone(), first.old));
        for (found, left) in a_few(found).into_iter().zip(a_few(left)) {
            // Each half with its own id and user, as far as they matter: a creator's, a remover's.
            if found.image.is_none() {
                rows.push(row(found.id, found.user_id, None, left.image));
            } else if left.image.is_none() || found.id == left.id {
                rows.push(row(left.id, left.user_id, found.image, left.image));
            } else {
                rows.push(row(found.id, found.user_id, found.image, None));
                rows.push(row(left.id, left.user_id, None, left.image));
            }
        }
        if rows.last().is_none_or(|row| row.id != last.id) {
            rows.push(row(last.id, last.user_id, last.new.clone(), last.new.clone()));
        }
    }
    rows.sort_by_key(|row| row.id);
}

/// The first and the last, which are all that counts where states are missing in between.
fn a_few(mut states: Vec<State>) -> Vec<State> {
    const MOST: usize = 32;
    if states.len() > 2 * MOST {
        states.drain(MOST..states.len() - MOST);
    }
    states
}

/// Folds all rows of one transaction and one table, void writes included: the record may have changed in another table.
/// Rows may come in any order of records; the changes are by ascending record id.
pub fn fold_table(mut rows: Vec<RowChange>) -> Vec<Change> {
    rows.sort_by_key(|row| (row.record_id, row.id));
    let mut changes = Vec::new();
    let mut record: Vec<RowChange> = Vec::new();
    for row in rows {
        if record.last().is_some_and(|last| last.record_id != row.record_id) {
            changes.extend(fold_record(std::mem::take(&mut record)));
        }
        record.push(row);
    }
    changes.extend(fold_record(record));
    changes
}

/// Whether not all rows hold the same columns, of the same types.
fn needs_projection(rows: &[RowChange]) -> bool {
    rows.windows(2)
        .any(|pair| !Arc::ptr_eq(&pair[0].layout, &pair[1].layout) && pair[0].layout != pair[1].layout)
        || rows
            .iter()
            .any(|row| (0..row.layout.columns.len()).any(|index| is_gone(row, index)))
}

fn is_gone(row: &RowChange, index: usize) -> bool {
    [&row.old, &row.new]
        .into_iter()
        .flatten()
        .any(|image| image.mark(index) == Some(&Mark::Gone))
}

/// Rows from before and after a change of the capture or of the table, in one transaction: only what all of them hold can be
/// compared. A subscription that needs more is not judged on them.
fn project_to_common_columns(rows: Vec<RowChange>) -> Vec<RowChange> {
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    for row in &rows {
        for (index, column) in row.layout.columns.iter().zip(&row.layout.types).enumerate() {
            *counts.entry((column.0, column.1)).or_default() += usize::from(!is_gone(row, index));
        }
    }
    let Some(last) = rows.last() else { return rows };
    let (columns, types) = last
        .layout
        .columns
        .iter()
        .zip(&last.layout.types)
        .filter(|(column, of_type)| counts.get(&(column.as_str(), of_type.as_str())) == Some(&rows.len()))
        .map(|(column, of_type)| (column.clone(), of_type.clone()))
        .unzip();
    let common = Arc::new(Layout {
        columns,
        types,
        model: Arc::clone(&last.layout.model),
        ..*last.layout
    });
    rows.into_iter()
        .map(|row| {
            let project = |image: Option<Image>| {
                image.map(|image| {
                    let mut projected = Image::default();
                    for column in &common.columns {
                        match row.layout.index_of(column) {
                            Some(index) => projected.copy(&image, index),
                            None => projected.push(None, None),
                        }
                    }
                    projected
                })
            };
            RowChange {
                old: project(row.old),
                new: project(row.new),
                layout: Arc::clone(&common),
                ..row
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
