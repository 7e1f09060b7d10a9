//! Captured values: how the outbox keeps them, and when two of them are the same.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{AUDIT_COLUMNS, Layout, row_text};

/// What is known of a captured value that is not the value itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// It was too long to be kept, or a file: a digest tells whether it changed.
    Digest(String),
    /// The column was dropped, or renamed.
    Gone,
    /// It could not be read: what a value over a gigabyte comes to.
    Unreadable,
}

/// Captured columns as text, in the order of the [`Layout`]; `None` = SQL NULL, or the value is not known: see [`Image::mark`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    values: Vec<Option<String>>,
    marks: BTreeMap<usize, Mark>,
}

impl Image {
    /// What is known of a value in place of the value; `None` = the value itself.
    pub fn mark(&self, index: usize) -> Option<&Mark> {
        self.marks.get(&index)
    }

    /// Whether a value is not known.
    pub fn is_unknown(&self, index: usize) -> bool {
        self.marks.contains_key(&index)
    }

    pub(super) fn push(&mut self, value: Option<String>, mark: Option<Mark>) {
        if let Some(mark) = mark {
            self.marks.insert(self.values.len(), mark);
        }
        self.values.push(value);
    }

    pub(super) fn copy(&mut self, from: &Self, index: usize) {
        self.push(from.values.get(index).cloned().flatten(), from.mark(index).cloned());
    }
}

impl std::ops::Deref for Image {
    type Target = [Option<String>];

    fn deref(&self) -> &Self::Target {
        &self.values
    }
}

impl From<Vec<Option<String>>> for Image {
    fn from(values: Vec<Option<String>>) -> Self {
        Self {
            values,
            marks: BTreeMap::new(),
        }
    }
}

/// What the outbox keeps of a row's columns before or after, as it is stored.
pub type StoredImage = Option<Vec<Option<String>>>;

/// How the outbox tells in a value's first character what it keeps of it (`odoo_eventd.kept_value`).
fn tagged(stored: String) -> (Option<String>, Option<Mark>) {
    let mut characters = stored.chars();
    match characters.next() {
        Some('=') => (Some(characters.as_str().to_owned()), None),
        Some('-') => (None, Some(Mark::Gone)),
        Some('?') => (None, Some(Mark::Unreadable)),
        _ => (None, Some(Mark::Digest(stored))),
    }
}

/// The first format's: a text that begins with U+0001 is no value. Rows of it were written before an upgrade.
fn marked(stored: String) -> (Option<String>, Option<Mark>) {
    if let Some(hex) = stored.strip_prefix("\u{1}sha256:") {
        return (None, Some(Mark::Digest(format!("#{hex}"))));
    }
    match stored.as_str() {
        "\u{1}gone" => (None, Some(Mark::Gone)),
        "\u{1}null" => (None, None),
        _ => match stored.strip_prefix("\u{1}=") {
            Some(text) => (Some(text.to_owned()), None),
            None => (Some(stored), None),
        },
    }
}

/// What a row of the outbox says.
#[derive(Debug)]
pub struct Images {
    /// As [`RowChange::op`](super::RowChange::op): what the row was kept as does not matter any more.
    pub op: u8,
    /// Before.
    pub old: Option<Image>,
    /// After.
    pub new: Option<Image>,
    /// What they hold: another than the generation's where the row says that columns were retyped.
    pub layout: Arc<Layout>,
}

/// The images of a row of the outbox.
///
/// | op | old | new |
/// | --- | --- | --- |
/// | `I` | | values as they are |
/// | `U` | null = unchanged, empty = was NULL, else a tagged value | values as they are |
/// | `D` | values as they are | |
/// | `i`, `d` | tagged values | tagged values |
/// | `u` | as with `U` | tagged values |
/// | `R` | null = an insert, else all values as the text of one row | the same |
///
/// A file is tagged everywhere: it is never kept but as its digest.
pub fn read_images(op: u8, layout: &Arc<Layout>, mut old: StoredImage, mut new: StoredImage) -> Images {
    if op == b'R' {
        let (old, new) = (
            old.map(|row| image_of_row(&row, layout)),
            new.map(|row| image_of_row(&row, layout)),
        );
        return Images {
            op: if old.is_some() { b'U' } else { b'I' },
            old,
            new,
            layout: Arc::clone(layout),
        };
    }
    let layout = match (retyped(&mut old, layout), retyped(&mut new, layout)) {
        (Some(layout), _) | (None, Some(layout)) => layout,
        (None, None) => Arc::clone(layout),
    };
    let is_first = layout.format < 2;
    let read = |stored: Vec<Option<String>>, is_tagged: bool| {
        let mut image = Image::default();
        for (index, value) in stored.into_iter().enumerate() {
            let is_file = layout.types.get(index).is_some_and(|of_type| of_type == "bytea");
            let (value, mark) = match value {
                None => (None, None),
                Some(value) if is_first => marked(value),
                Some(value) if is_tagged || is_file => tagged(value),
                Some(value) => (Some(value), None),
            };
            image.push(value, mark);
        }
        image
    };
    let is_tagged = op.is_ascii_lowercase();
    let new = new.map(|stored| read(stored, is_tagged));
    let old = match (old, &new) {
        (Some(stored), Some(new)) if op == b'U' || op == b'u' && !is_first => {
            let mut image = Image::default();
            for (index, value) in stored.into_iter().enumerate() {
                match value {
                    None => image.copy(new, index),
                    Some(value) if value.is_empty() && !is_first => image.push(None, None),
                    Some(value) => {
                        let (value, mark) = if is_first { marked(value) } else { tagged(value) };
                        image.push(value, mark);
                    }
                }
            }
            Some(image)
        }
        (old, _) => old.map(|stored| read(stored, is_tagged)),
    };
    Images { op, old, new, layout }
}

/// All values of a row that is kept as one text. Of a text that is none of the layout's, nothing is known: it counts as changed.
fn image_of_row(stored: &[Option<String>], layout: &Layout) -> Image {
    let row = stored.first().and_then(Option::as_deref);
    if let Some(values) = row.and_then(|row| row_text::values(row, &layout.types)) {
        return values.into();
    }
    let mut image = Image::default();
    for _ in &layout.columns {
        image.push(None, Some(Mark::Unreadable));
    }
    image
}

/// Takes the note of retyped columns off an image, which stands behind its last value: JSON, column to type.
fn retyped(stored: &mut StoredImage, layout: &Arc<Layout>) -> Option<Arc<Layout>> {
    let stored = stored.as_mut().filter(|stored| stored.len() > layout.columns.len())?;
    let note = stored.pop().flatten()?;
    let now: HashMap<String, String> = serde_json::from_str(&note).ok()?;
    let types = layout.columns.iter().zip(&layout.types);
    Some(Arc::new(Layout {
        types: types
            .map(|(column, of_type)| now.get(column).unwrap_or(of_type).clone())
            .collect(),
        columns: layout.columns.clone(),
        model: Arc::clone(&layout.model),
        ..**layout
    }))
}

/// The columns in which two images differ, as indices; those that Odoo stamps are left out.
pub(super) fn changed_columns(layout: &Layout, old: &Image, new: &Image) -> Vec<usize> {
    (0..old.len().min(new.len()))
        .filter(|&index| {
            !AUDIT_COLUMNS.contains(&layout.columns[index].as_str()) && differs(&layout.types[index], old, new, index)
        })
        .collect()
}

/// Whether two captured values are different values, not only different texts: `1.0` and `1.00` are one numeric.
fn differs(of_type: &str, old: &Image, new: &Image, index: usize) -> bool {
    let (before, after) = (old[index].as_deref(), new[index].as_deref());
    match (old.mark(index), new.mark(index)) {
        (None, None) => {}
        // One from before and one from after a subscription came to need the value itself.
        (Some(Mark::Digest(digest)), None) => return after.is_none_or(|text| *digest != digest_of(text)),
        (None, Some(Mark::Digest(digest))) => return before.is_none_or(|text| *digest != digest_of(text)),
        (Some(Mark::Unreadable), _) | (_, Some(Mark::Unreadable)) => return true,
        (before, after) => return before != after,
    }
    let (Some(before), Some(after)) = (before, after) else {
        return before != after;
    };
    if before == after {
        return false;
    }
    if of_type.starts_with("numeric") {
        return without_trailing_zeros(before) != without_trailing_zeros(after);
    }
    if matches!(of_type, "real" | "double precision") && is_zero(before) && is_zero(after) {
        return false;
    }
    if of_type.starts_with("timestamp") {
        // A value that went through JSON, as an older version kept some, has a T.
        return before.replacen('T', " ", 1) != after.replacen('T', " ", 1);
    }
    of_type != "jsonb" || !is_same_jsonb(before, after)
}

/// Whether two texts that PostgreSQL wrote of a jsonb value are of one value: they can differ in the zeros behind a number's point alone.
/// A number is never made a float here, which would make one of two that differ beyond the sixteenth digit.
fn is_same_jsonb(one: &str, other: &str) -> bool {
    jsonb_tokens(one).eq(jsonb_tokens(other))
}

/// Numbers without trailing zeros, strings, and what is between them.
fn jsonb_tokens(text: &str) -> impl Iterator<Item = &str> {
    let is_of_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = if first == '"' {
            let mut is_escaped = false;
            let closing = rest.char_indices().skip(1).find(|(_, c)| {
                let closes = *c == '"' && !is_escaped;
                is_escaped = *c == '\\' && !is_escaped;
                closes
            });
            closing.map_or(rest.len(), |(place, _)| place + 1)
        } else if first == '-' || first.is_ascii_digit() {
            rest.find(|c| !is_of_number(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (token, behind) = rest.split_at(end);
        rest = behind;
        Some(if first == '-' || first.is_ascii_digit() {
            without_trailing_zeros(token)
        } else {
            token
        })
    })
}

/// The digest that capture keeps of a text up to 64 MiB.
pub(super) fn digest_of(text: &str) -> String {
    format!("#{}", hex::encode(Sha256::digest(text)))
}

/// Zero has a sign in text. All other texts of a floating-point number are a value each.
fn is_zero(float: &str) -> bool {
    float.trim_start_matches('-') == "0"
}

fn without_trailing_zeros(numeric: &str) -> &str {
    if numeric.contains('.') {
        numeric.trim_end_matches('0').trim_end_matches('.')
    } else {
        numeric
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{GONE, image, layout};
    use super::*;

    #[test]
    fn no_text_of_a_user_is_taken_for_a_mark() {
        let l = layout(&[("note", "text"), ("state", "text")]);
        let texts = [
            "",
            "=",
            "-",
            "?",
            "#",
            "~1:2",
            "\u{1}gone",
            "\u{1}null",
            "\u{1}sha256:00",
            "\u{1}=x",
            "null",
        ];
        for text in texts {
            let stored = |text: String| Some(vec![Some(text), None]);
            for (op, plain) in [(b'I', true), (b'i', false)] {
                let kept = if plain { text.to_owned() } else { format!("={text}") };
                let Images { old, new, .. } = read_images(op, &l, None, stored(kept));
                assert_eq!((old, new.unwrap()), (None, image(&[text, "NULL"]).unmarked(text)));
            }
            for (op, plain) in [(b'U', true), (b'u', false)] {
                let kept = if plain { text.to_owned() } else { format!("={text}") };
                let Images { old, new, .. } = read_images(
                    op,
                    &l,
                    Some(vec![Some(format!("={text}")), Some(String::new())]),
                    Some(vec![Some(kept), Some("=x".to_owned())]),
                );
                assert_eq!(old.unwrap(), image(&[text, "NULL"]).unmarked(text), "{op}");
                assert_eq!(new.unwrap()[0].as_deref(), Some(text));
            }
        }
    }

    impl Image {
        /// The first value as it is, whatever it looks like.
        fn unmarked(mut self, first: &str) -> Self {
            self.marks.clear();
            self.values[0] = Some(first.to_owned());
            self
        }
    }

    #[test]
    fn the_old_image_of_an_update_is_restored_from_what_changed() {
        let l = layout(&[
            ("a", "text"),
            ("b", "text"),
            ("c", "text"),
            ("d", "text"),
            ("e", "bytea"),
        ]);
        let stored = |values: &[Option<&str>]| Some(values.iter().map(|v| v.map(str::to_owned)).collect::<Vec<_>>());
        let old = stored(&[None, Some("=draft"), Some(""), None, Some("#00")]);
        let new = stored(&[Some("same"), Some("sale"), Some("x"), None, Some("#01")]);
        let Images { old, new, .. } = read_images(b'U', &l, old, new);
        assert_eq!(old.unwrap(), image(&["same", "draft", "NULL", "NULL", "#00"]));
        assert_eq!(new.unwrap(), image(&["same", "sale", "x", "NULL", "#01"]));
    }

    #[test]
    fn a_row_kept_as_one_text_has_all_its_values() {
        let l = layout(&[
            ("a", "text"),
            ("b", "boolean"),
            ("c", "numeric(10,2)"),
            ("d", "double precision"),
        ]);
        let stored = |text: &str| Some(vec![Some(text.to_owned())]);
        let update = read_images(b'R', &l, stored("(=x,t,1.00,0)"), stored("(\"\",f,1.0,-0)"));
        assert_eq!((update.op, update.layout), (b'U', Arc::clone(&l)));
        let (old, new) = (update.old.unwrap(), update.new.unwrap());
        assert_eq!(old, image(&["", "true", "1.00", "0"]).unmarked("=x"));
        assert_eq!(changed_columns(&l, &old, &new), [0, 1]);
        let insert = read_images(b'R', &l, None, stored("(,,,)"));
        assert_eq!((insert.op, insert.old.is_none()), (b'I', true));
        assert_eq!(insert.new.unwrap(), image(&["NULL"; 4]));
        // Of another layout: nothing is known, so it is told as changed.
        let broken = read_images(b'R', &l, stored("(1)"), stored("(1)"));
        assert_eq!(
            changed_columns(&l, &broken.old.unwrap(), &broken.new.unwrap()),
            [0, 1, 2, 3]
        );
    }

    #[test]
    fn rows_from_before_an_upgrade_are_read_as_they_were_written() {
        let l = Arc::new(Layout {
            format: 1,
            ..Arc::into_inner(layout(&[("a", "text"), ("b", "text"), ("c", "text")])).unwrap()
        });
        let stored = |values: &[Option<&str>]| Some(values.iter().map(|v| v.map(str::to_owned)).collect::<Vec<_>>());
        let old = stored(&[None, Some("draft"), Some("\u{1}null")]);
        let new = stored(&[Some("\u{1}=\u{1}odd"), Some("\u{1}sha256:00"), Some("x")]);
        let Images { old, new, .. } = read_images(b'U', &l, old, new);
        assert_eq!(old.unwrap(), image(&["\u{1}odd", "draft", "NULL"]));
        assert_eq!(new.unwrap(), image(&["\u{1}odd", "#00", "x"]));
        let Images { old, .. } = read_images(b'd', &l, stored(&[Some("\u{1}gone"), Some("x"), None]), None);
        assert_eq!(old.unwrap(), image(&[GONE, "x", "NULL"]));
    }

    #[test]
    fn a_column_that_was_retyped_has_its_new_type() {
        let l = layout(&[("name", "character varying"), ("state", "character varying")]);
        let stored = |values: &[&str]| Some(values.iter().map(|v| Some((*v).to_owned())).collect::<Vec<_>>());
        let Images {
            old, new, layout: now, ..
        } = read_images(b'i', &l, None, stored(&["={}", "=x", "{\"name\": \"jsonb\"}"]));
        assert_eq!((old, new.unwrap()), (None, image(&["{}", "x"])));
        assert_eq!(now.types, ["jsonb", "character varying"]);
    }

    #[test]
    fn a_json_value_differs_by_its_last_digit_and_not_by_zeros() {
        for (one, other, same) in [
            ("{\"a\": 1.0}", "{\"a\": 1.00}", true),
            (
                "{\"a\": 12345678901234567890.1}",
                "{\"a\": 12345678901234567890.2}",
                false,
            ),
            ("1e400", "1e401", false),
            ("[\"1.0\"]", "[\"1.00\"]", false),
            ("[\"\\\"1.0\"]", "[\"\\\"1.00\"]", false),
            ("[1, -2.50]", "[1, -2.5]", true),
        ] {
            assert_eq!(is_same_jsonb(one, other), same, "{one} {other}");
        }
    }
}
