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
#[path = "path_tests.rs"]
mod tests;
