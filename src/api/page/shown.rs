//! Small things that all pages show: times, badges, cut texts.

use std::fmt;

use askama::Template;
use jiff::civil::DateTime;

use crate::ops::deliveries::read::Status;
use crate::subscription::View;
use crate::subscription::choices::State;

/// A time: UTC as the server writes it, and in the browser's own zone where the script runs.
#[derive(Debug, Clone, Template)]
#[template(
    source = r#"<time datetime="{{ iso }}" title="{{ shown }} UTC">{{ shown }}</time>"#,
    ext = "html",
    config = ".askama.toml"
)]
pub struct When {
    iso: String,
    shown: String,
}

impl When {
    /// Reads a time without a zone, which is UTC, as the database writes it in JSON.
    pub fn read(text: &str) -> Self {
        match text.trim_end_matches('Z').parse::<DateTime>() {
            Ok(at) => Self {
                iso: format!("{}Z", at.strftime("%Y-%m-%dT%H:%M:%S%.3f")),
                shown: at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            },
            Err(_) => Self {
                iso: text.to_owned(),
                shown: text.to_owned(),
            },
        }
    }

    /// The same of a time that there may not be.
    pub fn maybe(text: Option<&str>) -> Option<Self> {
        text.map(Self::read)
    }
}

/// How good something is; each has a colour and a sign of its own, and always words beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// To be looked at.
    Bad,
    /// It may become bad.
    Warn,
    /// Neither.
    Quiet,
    /// To be told apart.
    Special,
}

impl fmt::Display for Tone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Quiet => "quiet",
            Self::Special => "special",
        })
    }
}

/// A word with a colour.
#[derive(Debug, Clone, Template)]
#[template(
    source = r#"<span class="badge {{ tone }}">{{ text }}</span>"#,
    ext = "html",
    config = ".askama.toml"
)]
pub struct Badge {
    tone: Tone,
    text: String,
}

impl Badge {
    /// One.
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self {
            tone,
            text: text.into(),
        }
    }

    /// What a subscription is.
    pub fn of_subscription(row: &View) -> Self {
        let (tone, text) = match (row.active, row.state) {
            (false, _) => (Tone::Quiet, "Inactive"),
            (_, Some(State::Invalid)) => (Tone::Bad, "Invalid"),
            (_, Some(State::Disabled)) => (Tone::Bad, "Disabled"),
            _ if row.paused => (Tone::Warn, "Paused"),
            (_, Some(State::Waiting)) => (Tone::Warn, "Waiting"),
            (_, Some(State::Ready)) => (Tone::Good, "Active"),
            (_, None) => (Tone::Special, "New"),
        };
        Self::new(tone, text)
    }

    /// How an attempt ended.
    pub fn of_attempt(status: Status) -> Self {
        match status {
            Status::Pending => Self::new(Tone::Warn, "Pending"),
            Status::Success => Self::new(Tone::Good, "Success"),
            Status::Failed => Self::new(Tone::Bad, "Failed"),
        }
    }

    /// How the last delivery ended, by its word.
    pub fn of_last_delivery(status: &str) -> Self {
        match status {
            "success" => Self::new(Tone::Good, "Success"),
            "failed" => Self::new(Tone::Bad, "Failed"),
            other => Self::new(Tone::Quiet, other),
        }
    }
}

/// What a subscription's state means, in a sentence; empty where all is well.
pub fn sentence(row: &View) -> String {
    let error = row.error.as_deref().unwrap_or_default();
    match (row.active, row.state) {
        (false, _) if error.is_empty() => "Kept for audit; nothing is sent.".to_owned(),
        (_, Some(State::Disabled)) => row
            .disabled_reason
            .clone()
            .unwrap_or_else(|| "The endpoint was given up.".to_owned()),
        (true, None) => "The service has not looked at it yet.".to_owned(),
        _ if !error.is_empty() => error.to_owned(),
        _ if row.paused => "Deliveries wait until it is resumed.".to_owned(),
        _ => String::new(),
    }
}

/// Which events a subscription wants, as people say it.
pub fn event_name(event_type: &str) -> &str {
    match event_type {
        "create" => "Create",
        "write" => "Write",
        "unlink" => "Unlink",
        "all" => "All",
        "test" => "Test",
        other => other,
    }
}

/// The first records of a delivery, and how many more there are.
pub fn records(ids: &[i64]) -> String {
    const SHOWN: usize = 3;
    let first: Vec<String> = ids.iter().take(SHOWN).map(i64::to_string).collect();
    match ids.len().saturating_sub(SHOWN) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// The first bytes of a long text, up to the end of a character, and whether something was cut off.
pub fn cut(text: &str, at_most: usize) -> (&str, bool) {
    if text.len() <= at_most {
        return (text, false);
    }
    let end = (0..=at_most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    (&text[..end], true)
}

/// A number with thin spaces between thousands.
pub fn number(n: i64) -> String {
    let digits = n.unsigned_abs().to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push('\u{202f}');
        }
        shown.push(digit);
    }
    if n < 0 { format!("-{shown}") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_and_what_is_no_time_is_shown_as_it_is() {
        let text = When::read("2026-12-01T02:48:40.123456").render().unwrap();
        assert_eq!(
            text,
            "<time datetime=\"2026-12-01T02:48:40.123Z\" title=\"2026-12-01 02:48:40 UTC\">2026-12-01 02:48:40</time>"
        );
        assert!(When::read("<b>").render().unwrap().contains("&#60;b&#62;"));
    }

    #[test]
    fn numbers_and_texts_are_cut_where_people_read() {
        assert_eq!(number(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(number(-12), "-12");
        assert_eq!(cut("aé", 2), ("a", true));
        assert_eq!(cut("ab", 2), ("ab", false));
        assert_eq!(records(&[1, 2, 3, 4, 5]), "1, 2, 3 and 2 more");
    }
}
