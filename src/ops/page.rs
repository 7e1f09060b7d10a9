//! Lists that come in pages: a page ends with a cursor, and the next one begins behind it, whatever was added or deleted meanwhile.
//!
//! A cursor is a place in the order and never a number of rows: nothing is skipped over, and nothing is counted.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::civil::DateTime;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::error::{Error, Result};
use crate::subscription::Refusal;

/// More on one page would be more than is held at once.
pub const LIMIT_AT_MOST: u32 = 1_000;

/// Which page, and how large.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageRequest {
    /// At most so many, 1 to [`LIMIT_AT_MOST`].
    pub limit: u32,
    /// Where the last page ended; none = from the beginning.
    pub cursor: Option<String>,
}

impl PageRequest {
    /// The first page.
    pub fn first(limit: u32) -> Self {
        Self { limit, cursor: None }
    }

    /// The page behind this cursor.
    pub fn after(limit: u32, cursor: String) -> Self {
        Self {
            limit,
            cursor: Some(cursor),
        }
    }

    /// One row more than fits shows whether there is another page.
    pub(super) fn fetched(&self) -> Result<i32> {
        if !(1..=LIMIT_AT_MOST).contains(&self.limit) {
            return Err(Error::refused(Refusal::of(
                "limit",
                format!("a page has 1 to {LIMIT_AT_MOST} entries"),
            )));
        }
        Ok(i32::try_from(self.limit).unwrap_or(i32::MAX - 1) + 1)
    }

    /// The place that the cursor names.
    pub(super) fn place<P: DeserializeOwned>(&self) -> Result<Option<P>> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
        let place = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        place.map(Some).ok_or_else(unknown_cursor)
    }
}

/// A time in a cursor, as PostgreSQL can have one.
///
/// # Errors
/// Where it is none, or of a year before 1.
pub(super) fn time_of(text: &str) -> Result<DateTime> {
    let at: Option<DateTime> = text.parse().ok();
    at.filter(|at| at.year() >= 1).ok_or_else(unknown_cursor)
}

/// It was made by somebody else, or for another list.
pub(super) fn unknown_cursor() -> Error {
    Error::refused(
        Refusal::of("cursor", "the cursor is not one of this list")
            .with_hint("begin without one, and take next_cursor of each page for the next"),
    )
}

/// A page.
#[derive(Debug, Clone, Serialize)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next page begins; none = this was the last.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// A page of what was fetched; `place` says where in the order an item stands.
    pub(super) fn of<P: Serialize>(mut items: Vec<T>, request: &PageRequest, place: impl Fn(&T) -> P) -> Self {
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = items.last().filter(|_| has_more).map(|last| {
            let place = serde_json::to_vec(&place(last)).expect("a place is made of plain values");
            URL_SAFE_NO_PAD.encode(place)
        });
        Self { items, next_cursor }
    }

    /// The same page with other items on it.
    pub fn map<U>(self, made: impl FnMut(T) -> U) -> Page<U> {
        Page {
            items: self.items.into_iter().map(made).collect(),
            next_cursor: self.next_cursor,
        }
    }
}
