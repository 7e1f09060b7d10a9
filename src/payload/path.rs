//! The paths of `payload_fields` and `enrich_fields`: which fields of a record are sent, and of what it points to.
//!
//! ```text
//! paths = item { "," item }
//! item  = [ name ":" ] path { "|" transformation [ "(" [ value { "," value } ] ")" ] }
//! path  = field { "." field } [ "{" paths "}" ]
//! field = a letter or "_", then letters, digits and "_"; a name may have "." and "-" too
//! ```
//!
//! | path | gives | under the name |
//! | --- | --- | --- |
//! | `name`, `partner_id`, `order_line` | the value, an id, a list of ids | the field |
//! | `order_line{name,price_unit}` | a list of objects; of a many2one a list of one | the field |
//! | `partner_id.email`, `user_ids.name` | the value at the end; through an x2many a list of them | the whole path |
//! | `customer: partner_id.name` | the same | `customer` |
//! | `amount_total\|round(2)` | the value, changed: see [`transform`](super::transform) | the field |
//!
//! The same field mentioned twice is sent once; where it is asked for both plainly and with braces, the braces say more and stand.
//! However often a relation is mentioned it is read once, which [`plan`](super::plan) sees to.
//!
//! Pure: whether the fields exist, and may be sent, is decided against Odoo's metadata elsewhere.

use std::fmt;

use serde_json::Value;

use super::transform::Transform;
use crate::{Error, Result};

/// The longest text of one path list, in bytes. The widest Odoo models have some 400 fields.
const MAX_TEXT_BYTES: usize = 32 * 1024;

/// How many relations deep a path may lead. Each level is a read of its own.
const MAX_DEPTH: usize = 8;

/// How many fields may be asked for altogether.
const MAX_FIELDS: usize = 500;

/// What is asked of a model's records, in the order of the first mention.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// Each name once.
    pub items: Vec<Item>,
}

/// One value that is sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The name it is sent under; the path's own text unless another was given.
    pub name: String,
    /// Fields, from the record on. Never empty.
    pub path: Vec<String>,
    /// The fields of each record at the path's end, where braces ask for them. Never empty.
    pub records: Option<Selection>,
    /// What becomes of the value, one after the other.
    pub transforms: Vec<Transform>,
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
        self.items.is_empty()
    }

    /// The number of fields at all levels.
    fn count(&self) -> usize {
        let beneath = |item: &Item| item.records.as_ref().map_or(0, Self::count);
        self.items.iter().map(|item| item.path.len() + beneath(item)).sum()
    }

    /// Adds an item, or merges it with the one of that name; false where they are different things.
    fn add(&mut self, item: Item) -> bool {
        let Some(known) = self.items.iter_mut().find(|known| known.name == item.name) else {
            self.items.push(item);
            return true;
        };
        if known.path != item.path || known.transforms != item.transforms {
            return false;
        }
        match (&mut known.records, item.records) {
            (Some(known), Some(more)) => more.items.into_iter().all(|item| known.add(item)),
            (known @ None, more) => {
                *known = more;
                true
            }
            (Some(_), None) => true,
        }
    }
}

/// The shortest text that reads back as the same selection.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let path = item.path.join(".");
            if item.name != path {
                write!(f, "{}:", item.name)?;
            }
            f.write_str(&path)?;
            if let Some(selection) = &item.records {
                write!(f, "{{{selection}}}")?;
            }
            for transform in &item.transforms {
                write!(f, "|{transform}")?;
            }
        }
        Ok(())
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
            self.skip_whitespace();
            let start = self.position;
            let item = self.item(depth)?;
            let name = item.name.clone();
            if !into.add(item) {
                return Err(self
                    .wrong_at(start, &format!("\"{name}\" is the name of something else already"))
                    .with_hint("give one of them another name: other_name: path"));
            }
            if !self.takes(',') {
                return Ok(());
            }
        }
    }

    fn item(&mut self, depth: usize) -> Result<Item> {
        let name = self.name();
        let start = self.position;
        let mut path = vec![self.field()?.to_owned()];
        while self.takes('.') {
            path.push(self.field()?.to_owned());
        }
        let depth = depth + path.len() - 1;
        if depth > MAX_DEPTH {
            return Err(self.wrong_at(start, &format!("this leads more than {MAX_DEPTH} relations deep")));
        }
        let records = if self.takes('{') {
            let opened = self.position - 1;
            let mut records = Selection::default();
            self.paths(&mut records, depth + 1)?;
            if !self.takes('}') {
                return Err(if self.peek().is_none() {
                    self.wrong_at(opened, "this brace is never closed")
                } else {
                    self.wrong("a comma or a closing brace is expected here")
                });
            }
            Some(records)
        } else {
            None
        };
        let mut transforms = Vec::new();
        while self.takes('|') {
            transforms.push(self.transform()?);
        }
        Ok(Item {
            name: name.unwrap_or_else(|| path.join(".")),
            path,
            records,
            transforms,
        })
    }

    /// The name before a colon, if there is one.
    fn name(&mut self) -> Option<String> {
        self.skip_whitespace();
        let rest = &self.text[self.position..];
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')))?;
        let after = rest[length..].trim_start();
        if length == 0 || !after.starts_with(':') {
            return None;
        }
        self.position = self.text.len() - after.len() + 1;
        Some(rest[..length].to_owned())
    }

    fn transform(&mut self) -> Result<Transform> {
        self.skip_whitespace();
        let start = self.position;
        let name = self.field()?;
        let mut arguments = Vec::new();
        if self.takes('(') && !self.takes(')') {
            loop {
                arguments.push(self.literal()?);
                if self.takes(')') {
                    break;
                }
                if !self.takes(',') {
                    return Err(self.wrong("a comma or a closing parenthesis is expected here"));
                }
            }
        }
        Transform::new(name, &arguments).map_err(|what| self.wrong_at(start, &what))
    }

    /// A text in double or single quotes, a number, `true`, `false` or `null`.
    fn literal(&mut self) -> Result<Value> {
        let start = match self.peek() {
            Some(quote @ ('"' | '\'')) => return self.quoted(quote),
            _ => self.position,
        };
        let rest = &self.text[start..];
        let length = rest.find([',', ')']).unwrap_or(rest.len());
        let value: Option<Value> = serde_json::from_str(rest[..length].trim()).ok();
        match value {
            Some(value @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => {
                self.position += length;
                Ok(value)
            }
            _ => Err(self.wrong("a text in quotes, a number, true, false or null is expected here")),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Value> {
        let opened = self.position;
        let mut text = String::new();
        let mut chars = self.text[opened + 1..].char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.position = opened + 1 + at + 1;
                    return Ok(Value::String(text));
                }
                '\\' => text.extend(chars.next().map(|(_, c)| if c == 'n' { '\n' } else { c })),
                c => text.push(c),
            }
        }
        Err(self.wrong_at(opened, "this text is never closed"))
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
        let names: Vec<_> = selection.items.iter().map(|item| item.name.as_str()).collect();
        assert_eq!(names, ["name", "partner_id.email", "order_line"]);
        assert_eq!(selection.items[1].path, ["partner_id", "email"]);
        assert_eq!(selection.items[2].records, Some(parse("product_id{name},price_unit")));
    }

    #[test]
    fn values_are_renamed_and_changed() {
        let selection = parse(
            r#"customer : partner_id.name | upper|default('no "one",'), x-1.y:order_line{p:product_id.name|truncate(3)}|first, n|times(-1.5)|round"#,
        );
        assert_eq!(selection.items[0].name, "customer");
        assert_eq!(
            selection.items[0].transforms,
            [Transform::Upper, Transform::Default("no \"one\",".into())]
        );
        assert_eq!((&*selection.items[1].name, selection.items[1].path.len()), ("x-1.y", 1));
        assert_eq!(
            selection.to_string(),
            r#"customer:partner_id.name|upper|default("no \"one\","),x-1.y:order_line{p:product_id.name|truncate(3)}|first,n|times(-1.5)|round(0)"#
        );
        assert_eq!(parse(&selection.to_string()), selection);
    }

    #[test]
    fn paths_that_begin_alike_are_merged() {
        for (text, merged) in [
            ("a,a", "a"),
            ("a.b,c,a.d", "a.b,c,a.d"),
            ("a{b},a{c},a{b}", "a{b,c}"),
            ("a,a{b}", "a{b}"),
            ("a{b},a", "a{b}"),
            ("a.b,a{c},a", "a.b,a{c}"),
            ("a.b.c,a.b,a.b{d}", "a.b.c,a.b{d}"),
            ("a{b.c,b{d}},a{b.e}", "a{b.c,b{d},b.e}"),
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
            (
                "a, a:b",
                "\"a\" is the name of something else already\n  a, a:b\n     ^",
            ),
            ("a|nope(1)", "there is no transformation \"nope\"\n  a|nope(1)\n    ^"),
            (
                "a|default('b)",
                "this text is never closed\n  a|default('b)\n            ^",
            ),
            (
                "a|default(b)",
                "a text in quotes, a number, true, false or null is expected here\n  a|default(b)\n            ^",
            ),
        ] {
            assert_eq!(refusal(text), format!("cannot read the fields: {said}"), "{text:?}");
        }
    }

    #[test]
    fn limits_are_enforced_by_name() {
        assert!(refusal("a.b.c.d.e.f.g.h.i").contains("more than 8 relations deep\n  a.b.c.d.e.f.g.h.i\n  ^"));
        assert!(refusal(&"a{".repeat(10_000)).contains("more than 8 relations deep"));
        let many: Vec<String> = (0..501).map(|index| format!("f{index}")).collect();
        assert_eq!(
            Selection::parse(&many).unwrap_err().chain(),
            "501 fields are asked for; at most 500 are allowed"
        );
        assert!(refusal(&"a".repeat(40_000)).contains("longer than 32768 bytes"));
    }

    fn selections() -> impl Strategy<Value = Selection> {
        let transforms = || {
            let one = prop_oneof![
                Just(Transform::Upper),
                (1_usize..9).prop_map(Transform::Truncate),
                "[ -~ä]{0,6}".prop_map(|text| Transform::Default(text.into())),
                "[ -~ä]{0,6}".prop_map(Transform::Join),
            ];
            proptest::collection::vec(one, 0..3)
        };
        let path = || proptest::collection::vec("[a-d]", 1..3);
        let name = || proptest::option::of("[a-d][a-d.-]{0,3}");
        let item = |records: Option<Selection>, name: Option<String>, path: Vec<String>, transforms| Item {
            name: name.unwrap_or_else(|| path.join(".")),
            path,
            records,
            transforms,
        };
        let leaf = (name(), path(), transforms()).prop_map(move |(name, path, then)| item(None, name, path, then));
        let tree = leaf.prop_recursive(3, 24, 4, move |inner| {
            let children = proptest::option::of(proptest::collection::vec(inner, 1..4).prop_map(distinct));
            (children, name(), path(), transforms())
                .prop_map(move |(records, name, path, then)| item(records, name, path, then))
        });
        proptest::collection::vec(tree, 0..4).prop_map(distinct)
    }

    fn distinct(items: Vec<Item>) -> Selection {
        let mut selection = Selection::default();
        for item in items {
            if selection.items.iter().all(|known| known.name != item.name) {
                selection.items.push(item);
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
        fn no_text_makes_the_parser_panic(text in "[ab.,{}:|()'\" \\n0ä]{0,40}") {
            if let Ok(selection) = Selection::parse(&[&text]) {
                prop_assert_eq!(Selection::parse(&[selection.to_string()]).unwrap(), selection);
            }
        }
    }
}
