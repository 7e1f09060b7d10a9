//! How far this service has led a database: what tells it that the database has forgotten some of that.
//!
//! The position in the outbox is kept in the database, so it goes back with it: seen from inside, a cluster whose files were put back,
//! or a promoted replica that lacks the last commits, is as it once was. It would send again what was sent, under the same ids, and its
//! transaction ids come a second time. The process that led it before remembers what it has committed; with a directory for its state
//! it knows that after its own restart too.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Result;
use crate::pg::connect::Database;
use crate::pg::outbox::{Lead, Position};

/// How often the file follows. What is put back to a moment so shortly before the service was killed goes unnoticed; a service that
/// stops in order writes the last word.
const WRITE_EVERY: Duration = Duration::from_secs(10);

/// A disk that takes longer is not waited for.
const DISK_WITHIN: Duration = Duration::from_secs(3);

/// See the [module documentation](self). Clones are the same one; it outlives terms.
#[derive(Debug, Clone, Default)]
pub struct HighWater {
    known: Arc<Mutex<Known>>,
    files: Option<Arc<Files>>,
}

#[derive(Debug, Default)]
struct Known {
    mark: Option<Mark>,
    /// What the file says.
    written: Option<Mark>,
    /// The disk has not answered yet.
    is_writing: bool,
    /// It could not be written, and that was said.
    complained: bool,
}

/// Of one database: which file is its installation's.
#[derive(Debug)]
struct Files {
    directory: PathBuf,
    /// Of the database's address: a clone of a cluster has the installation of its original.
    address: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// The installation's: an `adopt` makes it another one, a restored database keeps it.
    epoch: Uuid,
    term: i64,
    /// See [`Position::place`].
    place: (u64, u64, i64),
}

impl HighWater {
    /// What this process learns, and what is in that directory: a small file for each installation.
    pub fn in_directory(directory: Option<&Path>, database: &Database) -> Self {
        let files = directory.map(|directory| Files {
            directory: directory.to_owned(),
            address: hex::encode(&Sha256::digest(database.to_string())[..4]),
        });
        Self {
            known: Arc::default(),
            files: files.map(Arc::new),
        }
    }

    /// Whether what a new leader found is from before what this service has committed, of the same installation. An `adopt` makes it another.
    pub async fn is_beyond(&self, lead: &Lead) -> bool {
        self.recall(lead.epoch).await;
        // A term begins with counting.
        let found = (lead.term - 1, lead.position.place());
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .mark
            .as_ref()
            .is_some_and(|mark| mark.epoch == lead.epoch && found < (mark.term, mark.place))
    }

    /// A term began.
    pub async fn lead(&self, lead: &Lead) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).mark = Some(Mark {
            epoch: lead.epoch,
            term: lead.term,
            place: lead.position.place(),
        });
        self.write().await;
    }

    /// The position moved in this term, and that is committed.
    pub fn moved(&self, position: &Position) {
        if let Some(mark) = &mut self.known.lock().unwrap_or_else(PoisonError::into_inner).mark {
            mark.place = position.place();
        }
    }

    /// Writes the file every ten seconds in which there is something new, until `cancel`.
    ///
    /// # Errors
    /// None: a service without its file goes on, and says so.
    pub async fn keep_writing(self, cancel: CancellationToken) -> Result<()> {
        if self.files.is_none() {
            cancel.cancelled().await;
            return Ok(());
        }
        while cancel
            .run_until_cancelled(tokio::time::sleep(WRITE_EVERY))
            .await
            .is_some()
        {
            self.write().await;
        }
        Ok(())
    }

    /// Writes the file, if there is something new; does not wait long for the disk.
    pub async fn write(&self) {
        let Some(files) = self.files.clone() else { return };
        let mark = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            match &known.mark {
                Some(mark) if !known.is_writing && known.written.as_ref() != Some(mark) => {
                    let mark = mark.clone();
                    known.is_writing = true;
                    mark
                }
                _ => return,
            }
        };
        let known = Arc::clone(&self.known);
        let write = spawn_blocking(move || {
            let written = files.write(&mark);
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.is_writing = false;
            match written {
                Ok(()) => {
                    known.written = Some(mark);
                    known.complained = false;
                }
                Err(error) if !known.complained => {
                    known.complained = true;
                    tracing::warn!(
                        directory = %files.directory.display(), %error,
                        "cannot write down how far this database was led: after a restart, its being put back to an earlier time would go unnoticed"
                    );
                }
                Err(_) => {}
            }
        });
        let _ = timeout(DISK_WITHIN, write).await;
    }

    /// Reads the file, unless this process knows better.
    async fn recall(&self, epoch: Uuid) {
        let Some(files) = self.files.clone() else { return };
        let knows = |known: &Known| known.mark.as_ref().is_some_and(|mark| mark.epoch == epoch);
        if knows(&self.known.lock().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let file = files.of(epoch);
        let read = match timeout(DISK_WITHIN, spawn_blocking(move || files.read(epoch))).await {
            Ok(Ok(read)) => read,
            Ok(Err(ended)) => Err(io::Error::other(ended)),
            Err(elapsed) => Err(elapsed.into()),
        };
        match read {
            Ok(mark) => {
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                known.written.clone_from(&mark);
                known.mark = mark;
            }
            Err(error) => tracing::warn!(
                file = %file.display(), %error,
                "cannot read how far this database was led: that it was put back to an earlier time meanwhile would go unnoticed"
            ),
        }
    }
}

impl Files {
    fn of(&self, epoch: Uuid) -> PathBuf {
        self.directory.join(format!("reached-{epoch}-{}.json", self.address))
    }

    fn read(&self, epoch: Uuid) -> io::Result<Option<Mark>> {
        match fs::read(self.of(epoch)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All of it or nothing, also when the machine loses its power.
    fn write(&self, mark: &Mark) -> io::Result<()> {
        let file = self.of(mark.epoch);
        let draft = file.with_extension("new");
        let mut new = File::create(&draft)?;
        new.write_all(&serde_json::to_vec(mark)?)?;
        new.sync_all()?;
        fs::rename(&draft, &file)?;
        File::open(&self.directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::scratch::Scratch;
    use crate::pg::outbox::Target;

    fn at(done: &str, target: Option<(&str, u64, i64)>) -> Position {
        Position {
            done: done.into(),
            target: target.map(|(snapshot, last_xid, last_id)| Target {
                snapshot: snapshot.into(),
                last_xid,
                last_id,
            }),
        }
    }

    fn lead(epoch: u128, term: i64, position: Position) -> Lead {
        Lead {
            term,
            position,
            epoch: Uuid::from_u128(epoch),
            database: "odoo".into(),
            notify: true,
        }
    }

    #[test]
    fn positions_are_in_the_order_in_which_they_are_reached() {
        let path = [
            at("90:100:90,95", None),
            at("90:100:90,95", Some(("110:120:", 101, 7))),
            at("90:100:90,95", Some(("110:120:", 101, 9))),
            at("90:100:90,95", Some(("110:120:", 115, 8))),
            at("110:120:", None),
            // A transaction that ran in one snapshot and has ended in the next, while nobody else began.
            at("119:121:119", None),
            at("119:121:119", Some(("122:122:", 119, 2_000))),
            at("122:122:", None),
        ];
        assert!(path.windows(2).all(|pair| pair[0].place() < pair[1].place()));
    }

    #[tokio::test]
    async fn what_was_committed_and_is_not_there_any_more_is_missed() {
        let high_water = HighWater::default();
        let first = at("100:100:", None);
        assert!(
            !high_water.is_beyond(&lead(1, 5, first.clone())).await,
            "nothing is known yet"
        );
        high_water.lead(&lead(1, 5, first.clone())).await;
        high_water.moved(&at("110:110:", None));
        assert_misses_what_it_committed(&high_water).await;
    }

    /// Of something that led term 5 of epoch 1 up to 110.
    async fn assert_misses_what_it_committed(high_water: &HighWater) {
        let first = at("100:100:", None);
        assert!(
            high_water.is_beyond(&lead(1, 6, first.clone())).await,
            "the position went back"
        );
        assert!(
            high_water.is_beyond(&lead(1, 5, at("120:120:", None))).await,
            "the term went back"
        );
        assert!(!high_water.is_beyond(&lead(1, 6, at("110:110:", None))).await);
        // A commit of which nobody knows whether it was one.
        assert!(!high_water.is_beyond(&lead(1, 6, at("115:115:", None))).await);
        assert!(
            !high_water.is_beyond(&lead(1, 9, first.clone())).await,
            "others led; they would have noticed"
        );
        assert!(!high_water.is_beyond(&lead(2, 2, first)).await, "it was adopted");
    }

    fn in_directory(directory: &Path, url: &str) -> HighWater {
        HighWater::in_directory(Some(directory), &Database::parse(url).unwrap())
    }

    const URL: &str = "postgres://odoo@db.example/prod";

    #[tokio::test]
    async fn a_process_that_starts_later_misses_what_the_one_before_it_committed() {
        let state = Scratch::new(None).unwrap();
        let before = in_directory(state.path(), URL);
        before.lead(&lead(1, 5, at("100:100:", None))).await;
        before.moved(&at("110:110:", None));
        before.write().await;

        assert_misses_what_it_committed(&in_directory(state.path(), URL)).await;
        let clone = in_directory(state.path(), "postgres://odoo@clone.example/prod");
        assert!(!clone.is_beyond(&lead(1, 5, at("100:100:", None))).await);
    }

    #[tokio::test]
    async fn a_spoiled_or_missing_file_stops_nobody() {
        let state = Scratch::new(None).unwrap();
        let high_water = in_directory(state.path(), URL);
        let files = high_water.files.clone().unwrap();
        let epoch = Uuid::from_u128(1);
        fs::write(files.of(epoch), "{").unwrap();
        let found = lead(1, 5, at("100:100:", None));
        assert!(!high_water.is_beyond(&found).await);
        high_water.lead(&found).await;
        assert_eq!(files.read(epoch).unwrap().unwrap().term, 5, "it is written anew");

        let gone = in_directory(&state.path().join("gone"), URL);
        assert!(!gone.is_beyond(&found).await);
        gone.lead(&found).await;
        assert!(
            gone.is_beyond(&lead(1, 5, at("90:90:", None))).await,
            "it still remembers"
        );
    }
}
