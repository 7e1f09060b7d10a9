//! How fast somebody may ask: a bucket for each token, and a pause for whoever brings a wrong one.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests that may come at once, in seconds of the rate.
const BURST_S: f64 = 4.0;

/// Requests with one token.
#[derive(Debug)]
pub struct Bucket {
    left: f64,
    filled_at: Instant,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: u32, now: Instant) -> Self {
        Self {
            left: f64::from(rate) * BURST_S,
            filled_at: now,
        }
    }

    /// Takes one request out of it.
    ///
    /// # Errors
    /// How long to wait for the next.
    pub fn take(&mut self, rate: u32, now: Instant) -> Result<(), Duration> {
        let rate = f64::from(rate);
        let filled = now.saturating_duration_since(self.filled_at).as_secs_f64() * rate;
        self.left = (self.left + filled).min(rate * BURST_S);
        self.filled_at = now;
        if self.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - self.left) / rate));
        }
        self.left -= 1.0;
        Ok(())
    }
}

/// The pause after a wrong token grows by this with each of the last seconds' wrong ones,
const STEP: Duration = Duration::from_millis(10);

/// up to this.
const LONGEST: Duration = Duration::from_secs(1);

/// So many wrong ones a second are forgiven.
const FORGIVEN_PER_S: f64 = 10.0;

/// Whoever brings wrong tokens. All of them together wait the longer the more there are; nobody with a right one waits, and nothing is kept of
/// any.
#[derive(Debug)]
pub struct Strangers(Mutex<(f64, Instant)>);

impl Strangers {
    /// Nobody was there yet.
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new((0.0, now)))
    }

    /// Notes another; how long he waits for his answer.
    pub fn pause(&self, now: Instant) -> Duration {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (wrong, since) = *held;
        let forgiven = now.saturating_duration_since(since).as_secs_f64() * FORGIVEN_PER_S;
        // What is beyond the longest pause need not be remembered for longer than that takes.
        let most = LONGEST.as_secs_f64() / STEP.as_secs_f64();
        let wrong = ((wrong - forgiven).max(0.0) + 1.0).min(most);
        *held = (wrong, now);
        STEP.mul_f64(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_what_was_agreed_and_says_when_there_is_more() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        for _ in 0..40 {
            bucket.take(10, start).unwrap();
        }
        assert!(bucket.take(10, start).unwrap_err() <= Duration::from_millis(100));
        bucket.take(10, start + Duration::from_millis(101)).unwrap();
        assert!(bucket.take(10, start + Duration::from_millis(101)).is_err());
    }

    #[test]
    fn strangers_wait_the_longer_the_more_there_are_and_are_forgotten() {
        let start = Instant::now();
        let strangers = Strangers::new(start);
        let first = strangers.pause(start);
        for _ in 0..10_000 {
            assert!(strangers.pause(start) <= LONGEST);
        }
        assert!(strangers.pause(start) > first * 50);
        assert_eq!(strangers.pause(start + Duration::from_secs(60)), first);
    }
}
