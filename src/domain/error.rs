//! Why a domain is refused, and where.

use std::fmt::Write as _;

use crate::caret::excerpt;
use crate::error::Error;

/// A place in a domain's text: byte offsets, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// From `start` up to `end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self {
            start,
            end: end.max(start),
        }
    }

    /// The smallest span that covers both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self::new(self.start.min(other.start), self.end.max(other.end))
    }
}

/// A refused domain: one sentence, the place it is about, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DomainError {
    message: String,
    span: Option<Span>,
    hint: Option<String>,
    /// Odoo comes to it only where the rest of the domain has decided nothing yet.
    late: bool,
}

impl DomainError {
    /// A refusal without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span: None,
            hint: None,
            late: false,
        }
    }

    /// Points at the place, unless an inner cause already pointed at a more exact one.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }

    /// Says what can be done.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert(hint.into());
        self
    }

    /// Marks what 19 finds only once it looks records up: a domain that is decided before does not fail.
    #[must_use]
    pub fn late(mut self) -> Self {
        self.late = true;
        self
    }

    /// Whether it is one of those.
    pub fn is_late(&self) -> bool {
        self.late
    }

    /// Says what was being looked at when this was found.
    #[must_use]
    pub fn within(mut self, whole: &str) -> Self {
        self.message = format!("{whole}: {}", self.message);
        self
    }

    /// The place, if it is known.
    pub fn span(&self) -> Option<Span> {
        self.span
    }

    /// What can be done, if it is known.
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// As the program's error: the message with the place under it.
    pub fn explain(self, text: &str) -> Error {
        let shown = Self {
            hint: None,
            ..self.clone()
        }
        .render(text);
        match self.hint {
            Some(hint) => Error::usage(shown).with_hint(hint),
            None => Error::usage(shown),
        }
    }

    /// The message, the line of `text` it is about with a caret under the place, and the hint.
    pub fn render(&self, text: &str) -> String {
        let mut out = self.message.clone();
        if let Some(span) = self.span {
            let _ = write!(out, "\n{}", excerpt(text, &(span.start..span.end)));
        }
        if let Some(hint) = &self.hint {
            let _ = write!(out, "\nhint: {hint}");
        }
        out
    }
}

impl From<DomainError> for Error {
    fn from(error: DomainError) -> Self {
        let hint = error.hint.clone();
        let refused = Self::usage(error.message);
        match hint {
            Some(hint) => refused.with_hint(hint),
            None => refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_place_also_after_wide_characters() {
        let text = "[('näme', '=', 1)]";
        let at = text.find("'näme'").unwrap();
        let error = DomainError::new("no such field")
            .at(Span::new(at, at + "'näme'".len()))
            .hint("look again");
        assert_eq!(
            error.render(text),
            "no such field\n  [('näme', '=', 1)]\n    ^^^^^^\nhint: look again"
        );
    }
}
