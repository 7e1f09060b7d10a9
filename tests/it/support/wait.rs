//! Waiting for what announces itself to nobody.
//!
//! A test waits on an event where there is one: a request that arrives, a process that ends, a notification. Where there is
//! none (a row that another process writes), [`eventually`] looks again and again, with a deadline instead of a sleep.

use std::time::{Duration, Instant};

/// Short against everything that is waited for, long against a query.
const INTERVAL: Duration = Duration::from_millis(10);

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
            tokio::time::sleep(INTERVAL).await;
        }
    }
}
