//! What is wrong with a subscription, in a form that a door can put beside the field that it is about.

use serde::Serialize;

use crate::Error;
use crate::error::Passage;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Refusal {
    /// The column that it is about, if it is about one.
    pub column: Option<&'static str>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where in the column's text it is, in bytes: from, and up to.
    #[schema(value_type = Option<Vec<usize>>)]
    pub span: Option<(usize, usize)>,
    /// That text.
    #[serde(skip)]
    text: Option<String>,
}

impl Refusal {
    /// Something about a column.
    pub fn of(column: &'static str, message: impl Into<String>) -> Self {
        Self {
            column: Some(column),
            message: message.into(),
            hint: None,
            span: None,
            text: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Everything that an error of wrong use says is wrong.
    pub fn all_of(error: &Error) -> Vec<Self> {
        let one = |error: &Error| {
            let place = error.passage();
            Self {
                column: error.column(),
                message: error.causes(),
                hint: error.hint().map(str::to_owned),
                span: place.map(|place| (place.span.start, place.span.end)),
                text: place.map(|place| place.text.clone()),
            }
        };
        error.refusals().map(one).collect()
    }

    /// The same as an error of wrong use, for those who print one.
    pub fn into_error(self) -> Error {
        let mut error = Error::usage(self.message);
        if let Some(hint) = self.hint {
            error = error.with_hint(hint);
        }
        match (self.column, self.span, self.text) {
            (Some(column), Some((start, end)), Some(text)) => error.at(Passage {
                column,
                text,
                span: start..end,
            }),
            (Some(column), _, _) => error.of(column),
            (None, _, _) => error,
        }
    }
}
