//! Many databases in one process, each supervised on its own.
//!
//! A database that is away, was dropped, has no installation or refuses the password stops no other: it is tried again after a pause
//! that grows to minutes. What the service of a single database ends with, so that somebody sees it, is an error in the log
//! here.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::process::Process;
use super::supervisor::{self, Options};
use crate::{Error, Result};

/// Pauses before a database that needs somebody's help is tried again. Each try costs a connection.
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_MOST: Duration = Duration::from_secs(300);

/// A service that went on for so long was a good one: the next pause is short again.
const GOOD_RUN: Duration = Duration::from_secs(60);

/// Serves all of them until `stop` is cancelled.
///
/// # Errors
/// When the task of one of them dies, which is a mistake in this program: whoever started it starts it again. Whatever is wrong with a
/// database is logged and tried again.
pub async fn run(databases: Vec<Options>, process: Process, stop: CancellationToken) -> Result<()> {
    let mut tasks = JoinSet::new();
    for options in databases {
        let span = tracing::info_span!("database", name = options.name);
        tasks.spawn(keep_up(options, process.clone(), stop.clone()).instrument(span));
    }
    let mut died = None;
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(error = %error, "the service of a database died");
            died = Some(error);
            stop.cancel();
        }
    }
    died.map_or(Ok(()), |error| {
        Err(Error::other("the service of a database died").with_source(error))
    })
}

/// Runs the service of one database again and again.
async fn keep_up(options: Options, process: Process, stop: CancellationToken) {
    let mut pause = RETRY_FIRST;
    while !stop.is_cancelled() {
        let began = Instant::now();
        let Err(error) = supervisor::run(options.clone(), process.clone(), stop.clone()).await else {
            continue;
        };
        if began.elapsed() > GOOD_RUN {
            pause = RETRY_FIRST;
        }
        tracing::error!(
            error = %error.chain(), hint = error.hint(), retry_in_s = pause.as_secs(),
            "this database cannot be served"
        );
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(RETRY_MOST);
    }
}
