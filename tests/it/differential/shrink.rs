//! Makes a failing script smaller while it still fails in the same way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::runner::{Difference, Mode, Runner, Slow};
use super::script::Script;
use crate::support::Server;

/// Runs a script; the difference that it shows, if it does.
pub async fn replay(server: &Arc<Server>, script: &Script, mode: Mode) -> Option<Difference> {
    replay_timed(server, script, mode).await.err()
}

/// The same; without a difference, the statements that were slow with us.
pub async fn replay_timed(server: &Arc<Server>, script: &Script, mode: Mode) -> Result<Vec<Slow>, Difference> {
    let mut runner = Runner::new(server, mode).await;
    for step in &script.0 {
        runner.step(step).await?;
    }
    runner.finish().await?;
    Ok(runner.slow)
}

/// Leaves out what can be left out: halves first, then less, until nothing can or `most` has passed.
pub async fn shrink(server: &Arc<Server>, script: Script, sort: &str, mode: Mode, most: Duration) -> Script {
    let end = Instant::now() + most;
    let mut best = script;
    let mut size = best.0.len() / 2;
    while size > 0 {
        let mut at = best.0.len();
        let mut has_shrunk = false;
        // From the end: what comes last is most likely what is needed least, but for the last step itself.
        while at > 0 {
            if Instant::now() > end {
                return best;
            }
            let from = at.saturating_sub(size);
            let mut smaller = best.clone();
            smaller.0.drain(from..at);
            let difference = replay(server, &smaller, mode).await;
            if difference.is_some_and(|d| d.sort() == sort) {
                best = smaller;
                has_shrunk = true;
            }
            at = from;
        }
        if !has_shrunk || size > 1 {
            size /= 2;
        }
    }
    best
}
