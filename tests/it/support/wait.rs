//! Waiting for what announces itself to nobody.
//!
//! A test waits on an event where there is one: a request that arrives, a process that ends, a notification. Where there is
//! none (a row that another process writes), [`eventually`] looks again and again, with a deadline instead of a sleep.

use std::time::{Duration, Instant};

/// Between two looks at first: short against everything that is waited for, long against a query.
const FIRST_INTERVAL: Duration = Duration::from_millis(10);

/// And at most, after five seconds. Many looks are a process and a session of their own, and tests that look while they wait take the
/// time that what they wait for needs.
const LAST_INTERVAL: Duration = Duration::from_millis(500);

/// Calls `probe` until it returns a value, and panics once `deadline` has passed without one.
///
/// `what` completes the sentence "still waiting for ..", so that a failure says which hope was in vain. The clock is the
/// machine's, not Tokio's: what is waited for happens in other processes.
#[track_caller]
pub(crate) fn eventually<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> impl Future<Output = T> {
    let caller = std::panic::Location::caller();
    async move {
        let started = Instant::now();
        let mut looks = 0_u32;
        loop {
            looks += 1;
            if let Some(value) = probe().await {
                return value;
            }
            let waited = started.elapsed();
            assert!(
                waited < deadline,
                "{caller}: still waiting for {what} after {waited:.1?} and {looks} looks"
            );
            // A tenth of the wait so far: nobody learns of anything much later than it happened.
            tokio::time::sleep((waited / 10).clamp(FIRST_INTERVAL, LAST_INTERVAL)).await;
        }
    }
}
