use super::image::digest_of;
use super::*;

pub(super) fn layout(columns: &[(&str, &str)]) -> Arc<Layout> {
    Arc::new(Layout {
        capture_id: 1,
        model: "sale.order".into(),
        columns: columns.iter().map(|c| c.0.to_owned()).collect(),
        types: columns.iter().map(|c| c.1.to_owned()).collect(),
        format: 2,
    })
}

/// What came of the rows, if anything did.
fn outcome(rows: Vec<RowChange>) -> Option<Change> {
    fold_record(rows).filter(|change| !change.is_void())
}

/// `NULL`, and the marks as the outbox tags them.
pub(super) const GONE: &str = "-";

pub(super) fn image(values: &[&str]) -> Image {
    let mut image = Image::default();
    for value in values {
        match *value {
            "NULL" => image.push(None, None),
            GONE => image.push(None, Some(Mark::Gone)),
            "?" => image.push(None, Some(Mark::Unreadable)),
            digest if digest.starts_with('#') => image.push(None, Some(Mark::Digest(digest.to_owned()))),
            value => image.push(Some(value.to_owned()), None),
        }
    }
    image
}

fn row(id: i64, op: u8, old: Option<&[&str]>, new: Option<&[&str]>, layout: &Arc<Layout>) -> RowChange {
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
    assert_eq!(change.new.unwrap(), image(&["sale"]));
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
    assert_eq!(change.old.unwrap(), image(&["draft"]));
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
    assert_eq!(change.old.unwrap(), image(&["draft"]));
    assert_eq!(change.new.unwrap(), image(&["sale"]));
}

#[test]
fn rows_of_nested_statements_fold_alike_in_any_order() {
    let l = layout(&[("state", "text")]);
    let rows = |of: &[(u8, Option<&str>, Option<&str>)]| -> Vec<RowChange> {
        let place = of.iter().zip(1..);
        place
            .map(|((op, old, new), id)| {
                row(
                    id,
                    *op,
                    old.as_ref().map(std::slice::from_ref),
                    new.as_ref().map(std::slice::from_ref),
                    &l,
                )
            })
            .collect()
    };
    let kind = |of: &[(u8, Option<&str>, Option<&str>)]| {
        outcome(rows(of)).map(|change| {
            let value = |image: Option<Image>| image.and_then(|image| image[0].clone());
            (change.event_type, value(change.old), value(change.new))
        })
    };
    let text = |text: &str| Some(text.to_owned());
    // What an inner statement did is written first.
    let made = [(b'U', Some("a"), Some("b")), (b'I', None, Some("a"))];
    assert_eq!(kind(&made), Some((EventType::Create, None, text("b"))));
    let removed = [(b'D', Some("b"), None), (b'U', Some("a"), Some("b"))];
    assert_eq!(kind(&removed), Some((EventType::Unlink, text("a"), None)));
    let written = [(b'U', Some("b"), Some("c")), (b'U', Some("a"), Some("b"))];
    assert_eq!(kind(&written), Some((EventType::Write, text("a"), text("c"))));
    assert_eq!(
        kind(&[(b'U', Some("b"), Some("a")), (b'U', Some("a"), Some("b"))]),
        None
    );
    assert_eq!(kind(&[(b'D', Some("a"), None), (b'I', None, Some("a"))]), None);
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
    assert_eq!(change.old.unwrap(), image(&["draft"]));
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
                0 | 1 => row(id, b'U', Some(&[&was, "1.0"]), Some(&[&is, "1.0"]), &narrow),
                2 => row(id, b'U', Some(&["1.0", "n", &was]), Some(&["1.0", &is, &is]), &wide),
                3 => row(id, b'u', Some(&["1.0", GONE, &was]), Some(&["1.0", GONE, &is]), &wide),
                _ => row(id, b'u', Some(&[&was, GONE]), Some(&[&is, GONE]), &narrow),
            };
            was = is;
            made
        }).collect();
        let mut kept = Vec::new();
        for piece in rows.chunks(every) {
            kept.extend_from_slice(piece);
            compact_record(&mut kept);
        }
        proptest::prop_assert_eq!(format!("{:?}", fold_record(kept)), format!("{:?}", fold_record(rows)));
    }
}

#[test]
fn a_record_that_is_written_a_million_times_by_turns_takes_no_room() {
    let narrow = layout(&[("state", "text")]);
    let wide = layout(&[("name", "text"), ("state", "text")]);
    let mut kept = Vec::new();
    for id in 0..5_000_i64 {
        let (was, is) = (id.to_string(), (id + 1).to_string());
        kept.push(if id % 2 == 0 {
            row(id, b'U', Some(&[&was]), Some(&[&is]), &narrow)
        } else {
            row(id, b'U', Some(&["n", &was]), Some(&["n", &is]), &wide)
        });
        if kept.len() > 500 {
            compact_record(&mut kept);
            assert!(kept.len() <= 2 * (2 + 2 * 64), "{}", kept.len());
        }
    }
    let change = outcome(kept).unwrap();
    assert_eq!(
        (change.old.unwrap(), change.new.unwrap()),
        (image(&["0"]), image(&["5000"]))
    );
}

#[test]
fn a_long_value_is_compared_by_its_digest_also_with_the_value_itself() {
    let l = layout(&[("note", "text")]);
    let digest = |text: &str| digest_of(text);
    let change = |old: &str, new: &str| outcome(vec![row(1, b'U', Some(&[old]), Some(&[new]), &l)]);
    assert!(change(&digest("a"), &digest("a")).is_none());
    assert!(change(&digest("a"), &digest("b")).is_some());
    assert!(change(&digest("a"), "a").is_none());
    assert!(change("b", &digest("a")).is_some());
}
