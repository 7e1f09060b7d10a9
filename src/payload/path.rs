//! The paths of `payload_fields` and `enrich_fields`: which fields of a record are sent, and of what it points to.
//!
//! ```text
//! paths = path { "," path }
//! path  = field [ "." path | "{" paths "}" ]
//! field = a letter or "_", then letters, digits and "_"
//! ```
//!
//! | path | gives | under the key |
//! | --- | --- | --- |
//! | `name`, `partner_id`, `order_line` | the value, an id, a list of ids | the field |
//! | `order_line{name,price_unit}` | a list of objects; of a many2one a list of one | the field |
//! | `partner_id.email`, `user_ids.name` | the value at the end; through an x2many a list of them | the whole path |
//!
//! Paths that begin alike are merged, so that each relation is read once however often it is mentioned. Where a field is asked
//! for both plainly and with braces, the braces say more and stand.
//!
//! Pure: whether the fields exist, and may be sent, is decided against Odoo's metadata elsewhere.

use std::fmt;

use crate::{Error, Result};

/// The longest text of one path list, in bytes. The widest Odoo models have some 400 fields.
const MAX_TEXT_BYTES: usize = 32 * 1024;

/// How many relations deep a path may lead. Each level is a read of its own.
const MAX_DEPTH: usize = 8;

/// How many fields may be asked for altogether.
const MAX_FIELDS: usize = 500;

/// What is asked of a model's records: fields in the order of their first mention, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The fields.
    pub fields: Vec<Node>,
}

/// What is asked of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The field's name.
    pub field: String,
    /// What is sent under the field's own name.
    pub own: Own,
    /// What is reached through it by dots, each sent under its whole path.
    pub dots: Selection,
}

/// What is sent under a field's own name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Own {
    /// Nothing: only what is reached by dots was asked for.
    Nothing,
    /// The value; of a relation its ids.
    Value,
    /// These fields of each related record. Never empty.
    Records(Selection),
}

impl Selection {
    /// Reads paths, each element one path or several separated by commas, and merges them.
    ///
    /// # Errors
    /// [`Error::is_usage`] with the text and a caret under the place that is wrong, or with the limit that is exceeded.
    pub fn parse<S: AsRef<str>>(paths: &[S]) -> Result<Self> {
        let mut selection = Self::default();
        for text in paths.iter().map(AsRef::as_ref) {
            if text.len() > MAX_TEXT_BYTES {
                return Err(Error::usage(format!(
                    "a list of fields is longer than {MAX_TEXT_BYTES} bytes"
                )));
            }
            let mut parser = Parser { text, position: 0 };
            parser.paths(&mut selection, 1)?;
            parser.end()?;
        }
        let count = selection.count();
        if count > MAX_FIELDS {
            return Err(Error::usage(format!(
                "{count} fields are asked for; at most {MAX_FIELDS} are allowed"
            )));
        }
        Ok(selection)
    }

    /// True when nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The number of fields at all levels.
    fn count(&self) -> usize {
        let beneath = |node: &Node| match &node.own {
            Own::Records(selection) => selection.count() + node.dots.count(),
            Own::Nothing | Own::Value => node.dots.count(),
        };
        self.fields.iter().map(|node| 1 + beneath(node)).sum()
    }

    /// The node of this field, made where it is not there yet.
    fn node(&mut self, field: &str) -> &mut Node {
        let index = self
            .fields
            .iter()
            .position(|node| node.field == field)
            .unwrap_or_else(|| {
                self.fields.push(Node {
                    field: field.into(),
                    own: Own::Nothing,
                    dots: Self::default(),
                });
                self.fields.len() - 1
            });
        &mut self.fields[index]
    }

    /// Writes every path, each behind `prefix`, all separated by commas.
    fn write(&self, f: &mut fmt::Formatter<'_>, prefix: &str, first: &mut bool) -> fmt::Result {
        for node in &self.fields {
            let path = format!("{prefix}{}", node.field);
            if node.own != Own::Nothing {
                f.write_str(if std::mem::take(first) { "" } else { "," })?;
                f.write_str(&path)?;
            }
            if let Own::Records(selection) = &node.own {
                write!(f, "{{{selection}}}")?;
            }
            node.dots.write(f, &format!("{path}."), first)?;
        }
        Ok(())
    }
}

/// The shortest text that reads back as the same selection.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "", &mut true)
    }
}

struct Parser<'a> {
    text: &'a str,
    /// In bytes; always between two characters.
    position: usize,
}

impl<'a> Parser<'a> {
    fn paths(&mut self, into: &mut Selection, depth: usize) -> Result<()> {
        loop {
            self.path(into, depth)?;
            if !self.takes(',') {
                return Ok(());
            }
        }
    }

    fn path(&mut self, into: &mut Selection, depth: usize) -> Result<()> {
        let start = self.position;
        let field = self.field()?;
        if depth > MAX_DEPTH {
            return Err(self.wrong_at(start, &format!("this leads more than {MAX_DEPTH} relations deep")));
        }
        let node = into.node(field);
        if self.takes('.') {
            return self.path(&mut node.dots, depth + 1);
        }
        if !self.takes('{') {
            if node.own == Own::Nothing {
                node.own = Own::Value;
            }
            return Ok(());
        }
        let opened = self.position - 1;
        let mut records = match std::mem::replace(&mut node.own, Own::Nothing) {
            Own::Records(selection) => selection,
            Own::Nothing | Own::Value => Selection::default(),
        };
        self.paths(&mut records, depth + 1)?;
        node.own = Own::Records(records);
        if self.takes('}') {
            Ok(())
        } else if self.peek().is_none() {
            Err(self.wrong_at(opened, "this brace is never closed"))
        } else {
            Err(self.wrong("a comma or a closing brace is expected here"))
        }
    }

    fn field(&mut self) -> Result<&'a str> {
        self.skip_whitespace();
        let rest = &self.text[self.position..];
        let length = rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let field = &rest[..length];
        if field.is_empty() {
            return Err(self.wrong("a field's name is expected here"));
        }
        if field.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.wrong("a field's name does not begin with a digit"));
        }
        self.position += length;
        Ok(field)
    }

    fn end(&mut self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some('}') => Err(self.wrong("this brace was never opened")),
            Some(_) => Err(self.wrong("a comma is expected here")),
        }
    }

    fn takes(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.position += wanted.len_utf8();
        }
        found
    }

    fn peek(&mut self) -> Option<char> {
        self.skip_whitespace();
        self.text[self.position..].chars().next()
    }

    fn skip_whitespace(&mut self) {
        let rest = &self.text[self.position..];
        self.position += rest.len() - rest.trim_start().len();
    }

    fn wrong(&self, what: &str) -> Error {
        self.wrong_at(self.position, what)
    }

    /// The sentence, then the text around the place with a caret under it.
    fn wrong_at(&self, position: usize, what: &str) -> Error {
        /// Characters shown on either side of the place; a line of a terminal altogether.
        const AROUND: usize = 35;
        let before: Vec<char> = self.text[..position].chars().rev().take(AROUND).collect();
        // Line breaks and tabs would move the caret away from its place.
        let plain = |c: char| if c.is_whitespace() || c.is_control() { ' ' } else { c };
        let shown: String = before
            .iter()
            .rev()
            .copied()
            .chain(self.text[position..].chars().take(AROUND))
            .map(plain)
            .collect();
        Error::usage(format!(
            "cannot read the fields: {what}\n  {}\n  {}^",
            shown.trim_end(),
            " ".repeat(before.len())
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Selection {
        Selection::parse(&[text]).unwrap()
    }

    fn refusal(text: &str) -> String {
        let error = Selection::parse(&[text]).unwrap_err();
        assert!(error.is_usage());
        error.chain()
    }

    #[test]
    fn the_documented_paths_are_read() {
        let selection =
            Selection::parse(&["name", "partner_id.email", "order_line{product_id{name},price_unit}"]).unwrap();
        let fields: Vec<_> = selection.fields.iter().map(|node| node.field.as_str()).collect();
        assert_eq!(fields, ["name", "partner_id", "order_line"]);
        assert_eq!(selection.fields[0].own, Own::Value);
        assert_eq!(
            (&selection.fields[1].own, &selection.fields[1].dots),
            (&Own::Nothing, &parse("email"))
        );
        assert_eq!(
            selection.fields[2].own,
            Own::Records(parse("product_id{name},price_unit"))
        );
    }

    #[test]
    fn paths_that_begin_alike_are_merged() {
        for (text, merged) in [
            ("a,a", "a"),
            ("a.b,c,a.d", "a.b,a.d,c"),
            ("a{b},a{c},a{b}", "a{b,c}"),
            ("a,a{b}", "a{b}"),
            ("a{b},a", "a{b}"),
            ("a.b,a{c},a", "a{c},a.b"),
            ("a.b.c,a.b,a.b{d}", "a.b{d},a.b.c"),
            ("a{b.c,b{d}},a{b.e}", "a{b{d},b.c,b.e}"),
            (" a . b , c { d , e } ", "a.b,c{d,e}"),
        ] {
            assert_eq!(parse(text).to_string(), merged, "{text}");
        }
        assert_eq!(Selection::parse(&["a.b", "a.c,d"]).unwrap().to_string(), "a.b,a.c,d");
        assert!(Selection::parse::<&str>(&[]).unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_shown_with_a_caret() {
        for (text, said) in [
            ("", "a field's name is expected here\n  \n  ^"),
            ("a,", "a field's name is expected here\n  a,\n    ^"),
            ("a..b", "a field's name is expected here\n  a..b\n    ^"),
            ("a{}", "a field's name is expected here\n  a{}\n    ^"),
            ("a{b", "this brace is never closed\n  a{b\n   ^"),
            ("a}", "this brace was never opened\n  a}\n   ^"),
            ("a b", "a comma is expected here\n  a b\n    ^"),
            ("a{b}.c", "a comma is expected here\n  a{b}.c\n      ^"),
            (
                "a{b c}",
                "a comma or a closing brace is expected here\n  a{b c}\n      ^",
            ),
            ("1a", "a field's name does not begin with a digit\n  1a\n  ^"),
            ("ä\n,b", "a field's name is expected here\n  ä ,b\n  ^"),
            ("a;drop", "a comma is expected here\n  a;drop\n   ^"),
        ] {
            assert_eq!(refusal(text), format!("cannot read the fields: {said}"), "{text:?}");
        }
    }

    #[test]
    fn limits_are_enforced_by_name() {
        assert!(
            refusal("a.b.c.d.e.f.g.h.i")
                .contains("more than 8 relations deep\n  a.b.c.d.e.f.g.h.i\n                  ^")
        );
        assert!(refusal(&"a{".repeat(10_000)).contains("more than 8 relations deep"));
        let many: Vec<String> = (0..501).map(|index| format!("f{index}")).collect();
        assert_eq!(
            Selection::parse(&many).unwrap_err().chain(),
            "501 fields are asked for; at most 500 are allowed"
        );
        assert!(refusal(&"a".repeat(40_000)).contains("longer than 32768 bytes"));
    }

    fn selections() -> impl Strategy<Value = Selection> {
        let leaf = "[a-d]".prop_map(|field| Node {
            field,
            own: Own::Value,
            dots: Selection::default(),
        });
        let node = leaf.prop_recursive(3, 24, 4, |inner| {
            let children = || proptest::collection::vec(inner.clone(), 1..4).prop_map(distinct);
            let own = prop_oneof![Just(Own::Nothing), Just(Own::Value), children().prop_map(Own::Records)];
            let dots = prop_oneof![Just(Selection::default()), children()];
            ("[a-d]", own, dots).prop_map(|(field, own, dots)| {
                // A node that asks for nothing at all has no text.
                let own = if own == Own::Nothing && dots.is_empty() {
                    Own::Value
                } else {
                    own
                };
                Node { field, own, dots }
            })
        });
        proptest::collection::vec(node, 0..4).prop_map(distinct)
    }

    fn distinct(nodes: Vec<Node>) -> Selection {
        let mut selection = Selection::default();
        for node in nodes {
            if selection.fields.iter().all(|known| known.field != node.field) {
                selection.fields.push(node);
            }
        }
        selection
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(selection in selections()) {
            let text = selection.to_string();
            let paths: &[&str] = if text.is_empty() { &[] } else { &[&text] };
            prop_assert_eq!(Selection::parse(paths).unwrap(), selection, "{}", text);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "[ab.,{} \\n0ä]{0,40}") {
            if let Ok(selection) = Selection::parse(&[&text]) {
                prop_assert_eq!(Selection::parse(&[selection.to_string()]).unwrap(), selection);
            }
        }
    }
}
