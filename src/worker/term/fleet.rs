//! The databases of one process, each supervised on its own.
//!
//! Of many, one that is away, was dropped, has no installation or refuses the password stops no other: it is tried again after a pause
//! that grows to minutes. What the service of a single database ends with, so that somebody sees it, is an error in the log then.
//! Databases can come and go while the others go on.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::worker::term::budget::Budget;
use crate::worker::term::supervisor::{self, Options};
use crate::worker::vitals::board::Board;
use crate::worker::vitals::{Phase, Vitals};
use crate::{Error, Result};

/// Pauses before a database that needs somebody's help is tried again. Each try costs a connection.
const RETRY_FIRST: Duration = Duration::from_secs(2);
const RETRY_MOST: Duration = Duration::from_secs(300);

/// A pause is no standstill: so often it is said.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(20);

/// A service that went on for so long was a good one: the next pause is short again.
const GOOD_RUN: Duration = Duration::from_secs(60);

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Fleet {
    budget: Budget,
    board: Arc<Board>,
    keeps_up: bool,
    stop: CancellationToken,
    served: HashMap<String, Served>,
    tasks: JoinSet<Result<()>>,
}

#[derive(Debug)]
struct Served {
    options: watch::Sender<Options>,
    stop: CancellationToken,
}

impl Fleet {
    /// Serves nothing yet. With `keeps_up` a database that cannot be served is tried again and again; else the first one that cannot
    /// ends it.
    pub fn new(budget: Budget, board: Arc<Board>, keeps_up: bool, stop: CancellationToken) -> Self {
        Self {
            budget,
            board,
            keeps_up,
            stop,
            served: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Serves these from now on, by name: begins with new ones, gives others their new options, and ends what is no longer named. What is
    /// under way there may end.
    pub fn serve(&mut self, databases: Vec<Options>) {
        let named: HashSet<&str> = databases.iter().map(|options| options.name.as_str()).collect();
        self.served.retain(|name, served| {
            let stays = named.contains(name.as_str());
            if !stays {
                served.stop.cancel();
                self.board.remove(name);
                tracing::info!(database = name, "this database is served no more");
            }
            stays
        });
        for options in databases {
            if let Some(served) = self.served.get(&options.name) {
                served.options.send_replace(options);
                continue;
            }
            let name = options.name.clone();
            let span = tracing::info_span!("database", name);
            let vitals = self.board.add(&name);
            let stop = self.stop.child_token();
            let (sender, options) = watch::channel(options);
            let run = keep_up(options, self.budget.clone(), vitals, self.keeps_up, stop.clone());
            self.tasks.spawn(run.instrument(span));
            self.served.insert(name, Served { options: sender, stop });
        }
    }

    /// Waits until all of them have ended, which they do when stopped.
    ///
    /// # Errors
    /// What cannot heal by itself, of a service that does not keep up; and when a task dies, which is a mistake in this
    /// program: whoever started it starts it again.
    pub async fn ended(&mut self) -> Result<()> {
        loop {
            match self.tasks.join_next().await {
                Some(ended) => ended
                    .unwrap_or_else(|died| Err(Error::other("the service of a database died").with_source(died)))?,
                None if self.stop.is_cancelled() || !self.keeps_up => return Ok(()),
                // Nothing is served until the configuration names something.
                None => std::future::pending().await,
            }
        }
    }
}

/// Runs the service of one database, again and again if `keeps_up`.
async fn keep_up(
    options: watch::Receiver<Options>,
    budget: Budget,
    vitals: Arc<Vitals>,
    keeps_up: bool,
    stop: CancellationToken,
) -> Result<()> {
    let mut options = options;
    let mut pause = RETRY_FIRST;
    while !stop.is_cancelled() {
        let began = Instant::now();
        let ended = supervisor::run(options.clone(), budget.clone(), Arc::clone(&vitals), stop.clone()).await;
        let error = match ended {
            Ok(()) => continue,
            Err(error) if keeps_up => error,
            Err(error) => return Err(error),
        };
        if began.elapsed() > GOOD_RUN {
            pause = RETRY_FIRST;
        }
        tracing::error!(
            error = %error.chain(), hint = error.hint(), retry_in_s = pause.as_secs(),
            "this database cannot be served"
        );
        options.mark_unchanged();
        let until = tokio::time::Instant::now() + pause;
        let mut sign = tokio::time::interval(SIGN_OF_LIFE_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Ok(()) = options.changed() => break,
                () = tokio::time::sleep_until(until) => break,
                _ = sign.tick() => vitals.enter(Phase::Connecting),
            }
        }
        pause = (pause * 2).min(RETRY_MOST);
    }
    Ok(())
}
