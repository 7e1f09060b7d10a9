//! Events, and the folding of a transaction's row changes into them.
//!
//! Pure: rows come in as capture wrote them, changes come out as SPEC section 5 defines them. One record has at most one change
//! in a transaction, however many statements Odoo needed. Nothing here knows subscriptions.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

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

/// Captured columns as text, in the order of the [`Layout`]; `None` = SQL NULL.
pub type Image = Vec<Option<String>>;

/// What capture keeps in place of a value begins with this character; a text that begins with it is kept as its digest.
const MARKER: char = '\u{1}';

/// The column was dropped or renamed: nothing is known of its value.
const GONE: &str = "\u{1}gone";

/// A file, or a text too long to be copied: its digest tells whether it changed.
const DIGEST: &str = "\u{1}sha256:";

/// Whether a captured value was too long to be kept, or a file.
pub fn is_digest(value: &str) -> bool {
    value.starts_with(DIGEST)
}

/// In the old image of an update: the value was NULL. There NULL says that it is what it was.
const WAS_NULL: &str = "\u{1}null";

/// Before a text that begins with the marker itself.
const ESCAPED: &str = "\u{1}=";

/// Brings the images of an outbox row to what they mean: of an update (`U`) the old one holds only what changed.
pub fn restore_images(op: u8, old: &mut Option<Image>, new: &mut Option<Image>) {
    if let (b'U', Some(old), Some(new)) = (op, old.as_mut(), new.as_ref()) {
        for (before, after) in old.iter_mut().zip(new) {
            match before.as_deref() {
                None => before.clone_from(after),
                Some(WAS_NULL) => *before = None,
                Some(_) => {}
            }
        }
    }
    for value in [old, new].into_iter().flatten().flatten().flatten() {
        if let Some(text) = value.strip_prefix(ESCAPED) {
            *value = text.to_owned();
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

/// Folds the rows of one record in one transaction, in order of their ids; `None` when it neither was there before nor is after.
///
/// | rows | change |
/// | --- | --- |
/// | insert, updates | create, with the last values |
/// | updates | write: before the first, after the last; [void](Change::is_void) if they are the same |
/// | updates, delete | unlink, with the values before the transaction |
/// | insert, delete | none |
/// | delete, insert of the same id | write: the record was there before and is there after |
pub fn fold_record(mut rows: Vec<RowChange>) -> Option<Change> {
    if rows
        .windows(2)
        .any(|pair| !Arc::ptr_eq(&pair[0].layout, &pair[1].layout))
        || rows.iter().any(has_gone_columns)
    {
        rows = project_to_common_columns(rows);
    }
    let (last_op, outbox_id) = (rows.last()?.op, rows.last()?.id);
    let (record_id, layout) = (rows[0].record_id, Arc::clone(&rows[0].layout));
    let was_there = !rows[0].op.eq_ignore_ascii_case(&b'I');
    let is_there = !last_op.eq_ignore_ascii_case(&b'D');
    let event_type = match (was_there, is_there) {
        (false, true) => EventType::Create,
        (true, true) => EventType::Write,
        (true, false) => EventType::Unlink,
        (false, false) => return None,
    };
    // The record's creator made it; later statements of the transaction only complete it.
    let user_id = if event_type == EventType::Create {
        rows[0].user_id
    } else {
        rows.last()?.user_id
    };
    let old = if was_there { rows[0].old.take() } else { None };
    let new = if is_there { rows.last_mut()?.new.take() } else { None };
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

/// Leaves of the rows of one record as many as are needed for [`fold_record`] to make the same of them and of what follows: the first,
/// the last, and one of each kind in between, since columns that a row lacks are not compared.
pub fn compact_record(rows: &mut Vec<RowChange>) {
    let mut kinds: Vec<(Arc<Layout>, Vec<usize>)> = Vec::new();
    let last = rows.len().saturating_sub(1);
    let mut place = 0;
    rows.retain_mut(|row| {
        let gone = (0..row.layout.columns.len())
            .filter(|index| is_gone(row, *index))
            .collect();
        let is_known = kinds
            .iter()
            .any(|(layout, known)| *layout == row.layout && *known == gone);
        if !is_known {
            kinds.push((Arc::clone(&row.layout), gone));
        }
        place += 1;
        !is_known || place == 1 || place == last + 1
    });
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

fn has_gone_columns(row: &RowChange) -> bool {
    [&row.old, &row.new]
        .into_iter()
        .flatten()
        .flatten()
        .any(|value| value.as_deref() == Some(GONE))
}

fn is_gone(row: &RowChange, index: usize) -> bool {
    [&row.old, &row.new]
        .into_iter()
        .flatten()
        .any(|image| image.get(index).is_some_and(|value| value.as_deref() == Some(GONE)))
}

/// Rows from before and after a change of the capture or of the table, in one transaction: only what all of them hold can be
/// compared. A subscription that needs more is not judged on them.
fn project_to_common_columns(rows: Vec<RowChange>) -> Vec<RowChange> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for row in &rows {
        for (index, column) in row.layout.columns.iter().enumerate() {
            *counts.entry(column).or_default() += usize::from(!is_gone(row, index));
        }
    }
    let Some(last) = rows.last() else { return rows };
    let (columns, types) = last
        .layout
        .columns
        .iter()
        .zip(&last.layout.types)
        .filter(|(column, _)| counts.get(column.as_str()) == Some(&rows.len()))
        .map(|(column, of_type)| (column.clone(), of_type.clone()))
        .unzip();
    let common = Arc::new(Layout {
        capture_id: last.layout.capture_id,
        model: Arc::clone(&last.layout.model),
        columns,
        types,
    });
    rows.into_iter()
        .map(|row| {
            let project = |image: Option<Image>| {
                image.map(|image| {
                    common
                        .columns
                        .iter()
                        .map(|column| {
                            row.layout
                                .index_of(column)
                                .and_then(|i| image.get(i).cloned().flatten())
                        })
                        .collect()
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

fn changed_columns(layout: &Layout, old: &Image, new: &Image) -> Vec<usize> {
    old.iter()
        .zip(new)
        .enumerate()
        .filter(|(index, (before, after))| {
            !AUDIT_COLUMNS.contains(&layout.columns[*index].as_str()) && differs(&layout.types[*index], before, after)
        })
        .map(|(index, _)| index)
        .collect()
}

/// Whether two captured values are different values, not only different texts: `1.0` and `1.00` are one numeric.
fn differs(of_type: &str, before: &Option<String>, after: &Option<String>) -> bool {
    let (Some(before), Some(after)) = (before, after) else {
        return before != after;
    };
    if before == after {
        return false;
    }
    if before.starts_with(MARKER) || after.starts_with(MARKER) {
        // One from before and one from after a subscription came to need the value itself.
        return digest_of(before) != digest_of(after);
    }
    if of_type.starts_with("numeric") {
        return without_trailing_zeros(before) != without_trailing_zeros(after);
    }
    if of_type.starts_with("timestamp") {
        // A value from a drifted capture went through JSON and has a T.
        return before.replacen('T', " ", 1) != after.replacen('T', " ", 1);
    }
    if of_type == "jsonb" {
        return match (
            serde_json::from_str::<serde_json::Value>(before),
            serde_json::from_str::<serde_json::Value>(after),
        ) {
            (Ok(before), Ok(after)) => before != after,
            _ => true,
        };
    }
    true
}

fn digest_of(kept: &str) -> String {
    kept.strip_prefix(DIGEST)
        .map_or_else(|| hex::encode(Sha256::digest(kept)), str::to_owned)
}

fn without_trailing_zeros(numeric: &str) -> &str {
    if numeric.contains('.') {
        numeric.trim_end_matches('0').trim_end_matches('.')
    } else {
        numeric
    }
}

/// The id of an event: derived, so that reading the outbox again gives the same one.
///
/// A UUID of version 8 (RFC 9562): the transaction's time in milliseconds in the first 48 bits, so that ids sort by time and the
/// index of deliveries grows at one end; behind it a digest of install epoch, transaction id, model and type.
pub fn event_id(epoch: Uuid, xid: u64, model: &str, event_type: EventType, at: Timestamp) -> Uuid {
    let mut digest = Sha256::new();
    digest.update(epoch.as_bytes());
    digest.update(xid.to_be_bytes());
    digest.update([event_type as u8]);
    digest.update(model.as_bytes());
    timed_id(&at.as_millisecond().to_be_bytes()[2..], &digest.finalize())
}

/// The id of a delivery: of one event to one subscription, in one part. Derived like [`event_id`].
pub fn delivery_id(event_id: Uuid, subscription_id: i32, part: i64) -> Uuid {
    let mut digest = Sha256::new();
    digest.update(event_id.as_bytes());
    digest.update(subscription_id.to_be_bytes());
    digest.update(part.to_be_bytes());
    timed_id(&event_id.as_bytes()[..6], &digest.finalize())
}

/// The time in an id made by [`event_id`]: when the transaction began, by the database's clock, in milliseconds since 1970.
pub fn time_of_id(event_id: Uuid) -> i64 {
    let mut millisecond = [0_u8; 8];
    millisecond[2..].copy_from_slice(&event_id.as_bytes()[..6]);
    i64::from_be_bytes(millisecond)
}

/// The id of what a run of `odoo-eventd emit` sends through a subscription; derived like [`event_id`], and equal to none of those.
pub fn emitted_event_id(epoch: Uuid, subscription_id: i32, run: &str, started_at: Timestamp) -> Uuid {
    let mut digest = Sha256::new();
    digest.update(epoch.as_bytes());
    digest.update(b"emit");
    digest.update(subscription_id.to_be_bytes());
    digest.update(run.as_bytes());
    timed_id(&started_at.as_millisecond().to_be_bytes()[2..], &digest.finalize())
}

fn timed_id(time: &[u8], digest: &[u8]) -> Uuid {
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(time);
    bytes[6..].copy_from_slice(&digest[..10]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(columns: &[(&str, &str)]) -> Arc<Layout> {
        Arc::new(Layout {
            capture_id: 1,
            model: "sale.order".into(),
            columns: columns.iter().map(|c| c.0.to_owned()).collect(),
            types: columns.iter().map(|c| c.1.to_owned()).collect(),
        })
    }

    /// What came of the rows, if anything did.
    fn outcome(rows: Vec<RowChange>) -> Option<Change> {
        fold_record(rows).filter(|change| !change.is_void())
    }

    fn row(id: i64, op: u8, old: Option<&[&str]>, new: Option<&[&str]>, layout: &Arc<Layout>) -> RowChange {
        let image = |values: &[&str]| values.iter().map(|v| (*v != "NULL").then(|| (*v).to_owned())).collect();
        RowChange {
            id,
            op,
            record_id: 7,
            user_id: Some(2),
            old: old.map(image),
            new: new.map(image),
            layout: Arc::clone(layout),
        }
    }

    #[test]
    fn an_insert_and_its_updates_are_one_create_with_the_last_values() {
        let l = layout(&[("state", "character varying")]);
        let change = outcome(vec![
            row(1, b'I', None, Some(&["draft"]), &l),
            row(2, b'U', Some(&["draft"]), Some(&["sale"]), &l),
        ])
        .unwrap();
        assert_eq!(change.event_type, EventType::Create);
        assert_eq!(change.new.unwrap(), vec![Some("sale".to_owned())]);
        assert!(change.old.is_none());
    }

    #[test]
    fn updates_that_end_where_they_began_are_no_change() {
        let l = layout(&[("state", "character varying"), ("amount", "numeric")]);
        assert!(
            outcome(vec![
                row(1, b'U', Some(&["draft", "1.0"]), Some(&["sale", "2.5"]), &l),
                row(2, b'U', Some(&["sale", "2.5"]), Some(&["draft", "1.00"]), &l),
            ])
            .is_none()
        );
    }

    #[test]
    fn an_insert_that_is_deleted_again_is_no_change() {
        let l = layout(&[("state", "character varying")]);
        assert!(
            outcome(vec![
                row(1, b'I', None, Some(&["a"]), &l),
                row(2, b'D', Some(&["a"]), None, &l)
            ])
            .is_none()
        );
    }

    #[test]
    fn an_unlink_has_the_values_from_before_the_transaction() {
        let l = layout(&[("state", "character varying")]);
        let change = outcome(vec![
            row(1, b'U', Some(&["draft"]), Some(&["cancel"]), &l),
            row(2, b'D', Some(&["cancel"]), None, &l),
        ])
        .unwrap();
        assert_eq!(change.event_type, EventType::Unlink);
        assert_eq!(change.old.unwrap(), vec![Some("draft".to_owned())]);
    }

    #[test]
    fn the_audit_columns_alone_are_no_change() {
        let l = layout(&[
            ("write_date", "timestamp without time zone"),
            ("state", "character varying"),
        ]);
        assert!(
            outcome(vec![row(
                1,
                b'U',
                Some(&["2026-01-01 00:00:00", "a"]),
                Some(&["2026-01-02 00:00:00", "a"]),
                &l
            )])
            .is_none()
        );
    }

    #[test]
    fn rows_of_two_generations_are_compared_by_what_both_hold() {
        let narrow = layout(&[("state", "character varying")]);
        let wide = layout(&[("name", "character varying"), ("state", "character varying")]);
        let change = outcome(vec![
            row(1, b'U', Some(&["draft"]), Some(&["sent"]), &narrow),
            row(2, b'U', Some(&["A", "sent"]), Some(&["B", "sale"]), &wide),
        ])
        .unwrap();
        assert_eq!(change.layout.columns, vec!["state"]);
        assert_eq!(change.old.unwrap(), vec![Some("draft".to_owned())]);
        assert_eq!(change.new.unwrap(), vec![Some("sale".to_owned())]);
    }

    #[test]
    fn the_old_image_of_an_update_is_restored_from_what_changed() {
        let image = |values: &[Option<&str>]| Some(values.iter().map(|v| v.map(str::to_owned)).collect::<Image>());
        let mut old = image(&[None, Some("draft"), Some(WAS_NULL), None]);
        let mut new = image(&[Some("same"), Some("sale"), Some("\u{1}=\u{1}odd"), None]);
        restore_images(b'U', &mut old, &mut new);
        assert_eq!(old, image(&[Some("same"), Some("draft"), None, None]));
        assert_eq!(new, image(&[Some("same"), Some("sale"), Some("\u{1}odd"), None]));
        let mut deleted = image(&[None]);
        restore_images(b'D', &mut deleted, &mut None);
        assert_eq!(deleted, image(&[None]));
    }

    #[test]
    fn a_column_that_is_gone_is_in_no_image_and_never_changed() {
        let l = layout(&[("name", "character varying"), ("state", "character varying")]);
        let change = outcome(vec![
            row(1, b'U', Some(&["A", "draft"]), Some(&["A", "sent"]), &l),
            row(2, b'u', Some(&[GONE, "sent"]), Some(&[GONE, "sale"]), &l),
        ])
        .unwrap();
        assert_eq!(change.layout.columns, vec!["state"]);
        assert_eq!(change.old.unwrap(), vec![Some("draft".to_owned())]);
        let create = outcome(vec![row(1, b'i', None, Some(&[GONE, "sale"]), &l)]).unwrap();
        assert_eq!(create.layout.columns, vec!["state"]);
        let unseen = vec![row(1, b'u', Some(&[GONE, "sale"]), Some(&[GONE, "sale"]), &l)];
        assert!(outcome(unseen).is_none());
    }

    proptest::proptest! {
        /// Each row: its kind, and a value. Folded as they come, or what there is folded down after every few.
        #[test]
        fn rows_that_are_folded_down_on_the_way_make_the_same_change(
            kinds in proptest::collection::vec((0..5_usize, 0..3_u8), 1..60), every in 1..7_usize
        ) {
            let narrow = layout(&[("state", "character varying"), ("amount", "numeric")]);
            let wide = layout(&[("amount", "numeric"), ("name", "text"), ("state", "character varying")]);
            let mut was = "0".to_owned();
            let count = kinds.len();
            let rows: Vec<RowChange> = kinds.into_iter().enumerate().map(|(index, (kind, value))| {
                let is = value.to_string();
                let id = i64::try_from(index).unwrap();
                let made = match kind {
                    0 if index == 0 => row(id, b'I', None, Some(&[&is, "1.0"]), &narrow),
                    0 | 1 if index == count - 1 => row(id, b'D', Some(&[&was, "1.0"]), None, &narrow),
                    0 | 1 => row(id, b'U', Some(&[&was, "1.0"]), Some(&[&is, "1.00"]), &narrow),
                    2 => row(id, b'U', Some(&["1", "n", &was]), Some(&["1", &is, &is]), &wide),
                    3 => row(id, b'u', Some(&["1", GONE, &was]), Some(&["1", GONE, &is]), &wide),
                    _ => row(id, b'u', Some(&[&was, GONE]), Some(&[&is, GONE]), &narrow),
                };
                was = is;
                made
            }).collect();
            let mut kept = Vec::new();
            for piece in rows.chunks(every) {
                kept.extend_from_slice(piece);
                compact_record(&mut kept);
                // The first, the last, and one of each of four kinds.
                proptest::prop_assert!(kept.len() <= 6);
            }
            proptest::prop_assert_eq!(format!("{:?}", fold_record(kept)), format!("{:?}", fold_record(rows)));
        }
    }

    #[test]
    fn a_long_value_is_compared_by_its_digest_also_with_the_value_itself() {
        let l = layout(&[("note", "text")]);
        let digest = |text: &str| format!("{DIGEST}{}", hex::encode(Sha256::digest(text)));
        let change = |old: &str, new: &str| outcome(vec![row(1, b'U', Some(&[old]), Some(&[new]), &l)]);
        assert!(change(&digest("a"), &digest("a")).is_none());
        assert!(change(&digest("a"), &digest("b")).is_some());
        assert!(change(&digest("a"), "a").is_none());
        assert!(change("b", &digest("a")).is_some());
    }

    #[test]
    fn event_ids_are_derived_and_sort_by_time() {
        let epoch = Uuid::from_u128(1);
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        let first = event_id(epoch, 10, "sale.order", EventType::Write, at(1_000));
        assert_eq!(first, event_id(epoch, 10, "sale.order", EventType::Write, at(1_000)));
        assert_ne!(
            first,
            event_id(Uuid::from_u128(2), 10, "sale.order", EventType::Write, at(1_000))
        );
        assert_ne!(first, event_id(epoch, 10, "sale.order", EventType::Create, at(1_000)));
        assert!(first < event_id(epoch, 9, "sale.order", EventType::Write, at(1_001)));
        assert_eq!(first.get_version_num(), 8);
    }
}
