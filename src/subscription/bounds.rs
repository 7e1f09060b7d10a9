//! The numbers that a subscription may have, for whoever asks before there is a row to hold against the table's own rules.
//!
//! The table's CHECK constraints say the same; `tests/it/api/subscriptions.rs` compares them.

use serde_json::Value;

use super::draft::Draft;
use super::refusal::Refusal;

/// Columns with the least and the most that they may be.
pub const BOUNDS: [(&str, f64, f64); 6] = [
    ("timeout_ms", 1.0, 600_000.0),
    ("max_attempts", 1.0, 100.0),
    ("retry_first_ms", 1_000.0, 86_400_000.0),
    ("retry_max_ms", 1_000.0, 86_400_000.0),
    ("rate_limit", 0.000_001, 1_000_000.0),
    ("max_body_bytes", 1_024.0, 16_777_216.0),
];

impl Draft {
    /// The numbers in it that no subscription may have.
    pub fn out_of_bounds(&self) -> Vec<Refusal> {
        let columns = self.to_json();
        let is_outside = |(column, least, most): &(&str, f64, f64)| {
            let number = columns.get(*column).and_then(Value::as_f64);
            number.is_some_and(|number| !(*least..=*most).contains(&number))
        };
        let outside = BOUNDS.into_iter().filter(is_outside);
        outside
            .map(|(column, least, most)| Refusal::of(column, format!("{column} must be between {least} and {most}")))
            .collect()
    }
}
