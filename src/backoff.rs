//! When to try again: a doubling schedule with full jitter, and what a receiver asks for in `Retry-After`.
//!
//! Pure: randomness and the current time are arguments, so a schedule is tested without a clock and the service can let the database
//! compute `now() + delay`.

use std::time::{Duration, UNIX_EPOCH};

use crate::{Error, Result};

/// The longest wait between two attempts, whatever the schedule or the receiver says: 24 hours.
///
/// A delivery that waits longer than a day is better seen as a dead letter than as one that is still under way.
pub const CAP: Duration = Duration::from_secs(24 * 60 * 60);

/// The shortest wait. Full jitter starts at zero, and an attempt at once after a failure tells nothing new.
pub const FLOOR: Duration = Duration::from_secs(1);

/// The first delay when a subscription names none: 60 seconds.
pub const DEFAULT_FIRST: Duration = Duration::from_secs(60);

/// A schedule of waits: `first`, twice that, four times that, up to `most`; each drawn evenly between nothing and that bound.
///
/// Full jitter unless it is turned off, because deliveries that failed together (an endpoint went down) must not come back together. Source: AWS Architecture
/// Blog, "Exponential Backoff And Jitter".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    jitter: bool,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: DEFAULT_FIRST,
            most: CAP,
            jitter: true,
        }
    }
}

impl Backoff {
    /// A schedule whose first wait is at most `first` and whose longest is at most `most`, drawn evenly or, without `jitter`, in full.
    ///
    /// # Errors
    /// [`Error::is_usage`] when `first` is shorter than [`FLOOR`], or `most` is shorter than `first` or longer than [`CAP`].
    pub fn new(first: Duration, most: Duration, jitter: bool) -> Result<Self> {
        if first < FLOOR || first > CAP {
            return Err(Error::usage(format!(
                "a first delay of {} ms is not between {} s and {} s",
                first.as_millis(),
                FLOOR.as_secs(),
                CAP.as_secs()
            )));
        }
        if most < first || most > CAP {
            return Err(Error::usage(format!(
                "a longest delay of {} ms is not between the first one and {} s",
                most.as_millis(),
                CAP.as_secs()
            )));
        }
        Ok(Self { first, most, jitter })
    }

    /// The longest wait after the failed attempt number `attempt`, counted from 1.
    #[must_use]
    pub fn ceiling(self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.most)
    }

    /// The wait after the failed attempt number `attempt`, counted from 1.
    ///
    /// `random` lies in `0.0..1.0`. `retry_after` is what the receiver asked for: the wait is then at least that long, within [`CAP`].
    /// Never less than [`FLOOR`].
    #[must_use]
    pub fn delay(self, attempt: u32, random: f64, retry_after: Option<Duration>) -> Duration {
        // `max` after `clamp` turns a NaN, which `clamp` lets through, into no wait.
        let share = if self.jitter {
            random.clamp(0.0, 1.0).max(0.0)
        } else {
            1.0
        };
        let drawn = self.ceiling(attempt).mul_f64(share);
        drawn.max(retry_after.unwrap_or_default()).clamp(FLOOR, CAP)
    }
}

/// Reads a `Retry-After` header: seconds, or an HTTP date that is turned into seconds by `now` (seconds since 1970).
///
/// A date in the past asks for no wait. `None` when it is neither form: the receiver then has no say. The value is clamped to [`CAP`].
/// Source: RFC 9110, section 10.2.3; dates in all three forms of section 5.6.7.
#[must_use]
pub fn parse_retry_after(value: &str, now: i64) -> Option<Duration> {
    let value = value.trim();
    let seconds = if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit mean "very long", which the clamp settles.
        value.parse().unwrap_or(u64::MAX)
    } else {
        let at = httpdate::parse_http_date(value)
            .ok()?
            .duration_since(UNIX_EPOCH)
            .ok()?
            .as_secs();
        at.saturating_sub(u64::try_from(now).unwrap_or(0))
    };
    Some(Duration::from_secs(seconds).min(CAP))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_schedule_doubles_up_to_a_day() {
        let backoff = Backoff::default();
        let ceilings: Vec<u64> = (1..=12).map(|attempt| backoff.ceiling(attempt).as_secs()).collect();
        assert_eq!(
            ceilings,
            [
                60, 120, 240, 480, 960, 1_920, 3_840, 7_680, 15_360, 30_720, 61_440, 86_400
            ]
        );
        assert_eq!(backoff.ceiling(u32::MAX), CAP);
        assert_eq!(
            backoff.ceiling(0),
            DEFAULT_FIRST,
            "an attempt that was never numbered is the first"
        );
    }

    #[test]
    fn jitter_spans_the_whole_range_but_never_hammers() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(3, 0.0, None), FLOOR);
        assert_eq!(backoff.delay(3, 0.5, None), 120 * SECOND);
        assert_eq!(backoff.delay(3, 1.0, None), 240 * SECOND);
        assert_eq!(backoff.delay(3, f64::NAN, None), FLOOR);
    }

    #[test]
    fn retry_after_lengthens_the_wait_and_never_shortens_it() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(1, 0.5, Some(90 * SECOND)), 90 * SECOND);
        assert_eq!(backoff.delay(1, 0.5, Some(SECOND)), 30 * SECOND);
        assert_eq!(backoff.delay(1, 0.5, Some(Duration::MAX)), CAP);
    }

    #[test]
    fn a_first_delay_outside_its_bounds_is_refused() {
        for (first, most) in [
            (Duration::ZERO, CAP),
            (CAP + SECOND, CAP),
            (SECOND, CAP + SECOND),
            (2 * SECOND, SECOND),
        ] {
            assert!(
                Backoff::new(first, most, true).unwrap_err().is_usage(),
                "{first:?} {most:?}"
            );
        }
        assert_eq!(Backoff::new(SECOND, CAP, true).unwrap().ceiling(2), 2 * SECOND);
    }

    #[test]
    fn a_schedule_has_its_own_cap_and_may_do_without_jitter() {
        let backoff = Backoff::new(SECOND, 5 * SECOND, false).unwrap();
        let delays: Vec<u64> = (1..=5)
            .map(|attempt| backoff.delay(attempt, 0.0, None).as_secs())
            .collect();
        assert_eq!(delays, [1, 2, 4, 5, 5]);
        assert_eq!(
            backoff.delay(1, 0.0, Some(90 * SECOND)),
            90 * SECOND,
            "the receiver may ask for longer than the cap of the schedule"
        );
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        // 784111777 is Sun, 06 Nov 1994 08:49:37 GMT, the date of the examples in RFC 9110.
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999999999999999999", Some(CAP.as_secs())),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(77)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(77)),
            ("Sun Nov  6 08:49:37 1994", Some(77)),
            ("Sun, 06 Nov 1994 08:48:00 GMT", Some(0)),
            ("Sat, 06 Nov 2094 08:48:00 GMT", Some(CAP.as_secs())),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(
                parse_retry_after(value, 784_111_700).map(|d| d.as_secs()),
                seconds,
                "{value:?}"
            );
        }
    }
}
