//! Images in outbox rows, and the folding of a record's rows: any order of any operations over any texts.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use odoo_eventd::event::{Image, Layout, RowChange, fold_record, fold_table, restore_images};
use odoo_eventd_fuzz::text;

fuzz_target!(|bytes: &[u8]| {
    let layout = Arc::new(Layout {
        capture_id: 1,
        model: "x".into(),
        columns: vec!["a".to_owned(), "write_date".to_owned()],
        types: vec!["text".to_owned(), "timestamp without time zone".to_owned()],
    });
    let image = |bytes: &[u8]| -> Option<Image> {
        let (first, values) = bytes.split_first()?;
        let half = values.len() / 2;
        let value = |bit: u8, bytes: &[u8]| (first & bit != 0).then(|| text(bytes).into_owned());
        (first & 4 == 0).then(|| vec![value(1, &values[..half]), value(2, &values[half..])])
    };
    let rows: Vec<RowChange> = bytes
        .split(|byte| *byte == b'\n')
        .take(64)
        .zip(1..)
        .filter_map(|(line, id)| {
            let (head, rest) = line.split_first()?;
            let op = b"IUDiud"[usize::from(head % 6)];
            let (old, new) = rest.split_at(rest.len() / 2);
            let (mut old, mut new) = (image(old), image(new));
            restore_images(op, &mut old, &mut new);
            Some(RowChange {
                id,
                op,
                record_id: i64::from(head >> 6),
                user_id: None,
                old,
                new,
                layout: Arc::clone(&layout),
            })
        })
        .collect();
    let _ = fold_record(rows.iter().filter(|row| row.record_id == 0).cloned().collect());
    let _ = fold_table(rows);
});
