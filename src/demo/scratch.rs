//! A private directory and the processes that live in it, both gone when their owner is gone.
//!
//! The promise holds for any end of the owner: a normal return, a panic, Ctrl-C, SIGTERM, SIGKILL. It is kept by a small
//! shell, `watchdog.sh`, that blocks on a pipe only this
//! process can write to: the kernel closes the pipe with the process. All processes started through
//! [`Scratch::command`] join the watchdog's process group, so that one signal reaches them all, also those that
//! started a moment before the owner died, and so that a terminal's Ctrl-C goes to the owner alone.
//!
//! What it does not survive: a machine that loses power, or a supervisor that kills every process of a container at once.
//! The directory then stays where temporary files stay.

use std::ffi::OsStr;
use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use rand::distr::{Alphanumeric, SampleString};

use super::account::Account;
use crate::{Error, Result};

/// The path of a Unix socket has 108 bytes on Linux and 104 on macOS and the BSDs, the closing NUL included.
const SOCKET_PATH_MAX_BYTES: usize = 103;

/// The longest name that PostgreSQL gives a socket in its directory.
const SOCKET_NAME: &str = "/.s.PGSQL.65535";

/// All that a started program sees of our environment: where programs and their libraries are. `PGDATA`, `PGPORT`,
/// `PGOPTIONS` and their kin would change what a server or client does.
const KEPT_VARIABLES: [&str; 3] = ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"];

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// The user that owns the directory and the processes, where that is not the one we run as.
    account: Option<Account>,
    watchdog: Child,
    /// Never written to. Closing it tells the watchdog to clean up.
    lifeline: Option<ChildStdin>,
}

impl Scratch {
    /// Makes the directory, below `parent` or where temporary files belong, and sets the watchdog on it.
    ///
    /// The directory has mode 0700 and a path short enough for a PostgreSQL socket in it. When this process is root,
    /// directory and processes belong to an unprivileged user; root may enter all the same.
    ///
    /// # Errors
    /// When no place can be written to and entered by the user that the server is to run as.
    pub fn new(parent: Option<&Path>) -> Result<Self> {
        let places = match parent {
            Some(parent) => vec![parent.to_owned()],
            // The usual place may be too deep for a socket, or below a home that only its owner may enter.
            None => vec![std::env::temp_dir(), "/tmp".into(), "/var/tmp".into()],
        };
        let mut refusals = Vec::new();
        for place in &places {
            match Self::below(place) {
                Ok(scratch) => return Ok(scratch),
                Err(Refusal::Everywhere(error)) => return Err(error),
                Err(Refusal::Here(reason)) => refusals.push(format!("{}: {reason}", place.display())),
            }
        }
        Err(Error::unfit(format!(
            "cannot make a private directory for PostgreSQL ({})",
            refusals.join("; ")
        ))
        .with_hint("set TMPDIR to a directory with a short path that every user may enter"))
    }

    fn below(parent: &Path) -> Result<Self, Refusal> {
        let parent = parent.canonicalize()?;
        let path = parent.join(format!(
            "odoo-eventd-{}",
            Alphanumeric.sample_string(&mut rand::rng(), 8)
        ));
        let socket_bytes = path.as_os_str().len() + SOCKET_NAME.len();
        if socket_bytes > SOCKET_PATH_MAX_BYTES {
            let reason =
                format!("a socket's path may have {SOCKET_PATH_MAX_BYTES} bytes, here it needs {socket_bytes}");
            return Err(Refusal::Here(reason));
        }
        // Fails if the name is taken, by a symbolic link too: nobody can prepare the place for us.
        DirBuilder::new().mode(0o700).create(&path)?;
        let made = Self::guard(&path);
        if made.is_err() {
            // Empty still. If even this fails, the first error tells more.
            let _ = std::fs::remove_dir(&path);
        }
        made
    }

    fn guard(path: &Path) -> Result<Self, Refusal> {
        // A fresh file's owner is the one user id that the standard library tells without a system call of our own.
        let owner = path.metadata().map(|made: Metadata| made.uid())?;
        let account = Account::for_owner(owner).map_err(Refusal::Everywhere)?;
        if let Some(account) = &account {
            chown(path, Some(account.uid), Some(account.gid))?;
        }
        let mut command = command_as(account.as_ref(), "/bin/sh", path);
        command
            .process_group(0)
            .args(["-c", include_str!("watchdog.sh"), "watchdog"])
            .arg(path);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // It starts in the directory, as the server's user: an unreachable place is noticed here.
        let mut watchdog = command.spawn().map_err(|error| match &account {
            Some(account) => Refusal::Here(format!("not usable by the user {}: {error}", account.name)),
            None => Refusal::from(error),
        })?;
        let lifeline = watchdog.stdin.take();
        Ok(Self {
            path: path.to_owned(),
            account,
            watchdog,
            lifeline,
        })
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of the user that owns the directory, where that is not the one this process runs as.
    pub fn account(&self) -> Option<&str> {
        self.account.as_ref().map(|account| account.name)
    }

    /// Prepares `program` to run in the directory, as its owner, in the watchdog's process group, with an environment
    /// of its own and nothing on standard input.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = command_as(self.account.as_ref(), program, &self.path);
        if let Ok(group) = i32::try_from(self.watchdog.id()) {
            command.process_group(group);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Writes a file that only the directory's owner and this process can read.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        let write = || -> io::Result<()> {
            std::fs::write(&path, text)?;
            self.account
                .as_ref()
                .map_or(Ok(()), |account| chown(&path, Some(account.uid), Some(account.gid)))
        };
        write().map_err(|error| Error::other(format!("cannot write {}", path.display())).with_source(error))?;
        Ok(path)
    }

    /// Tells the watchdog to end everything, without waiting for it.
    ///
    /// An owner that has started processes itself calls this, then waits for them, then drops the scratch: the watchdog
    /// cannot tell a process that is gone from one that its parent has not yet waited for.
    pub(super) fn release(&mut self) {
        self.lifeline = None;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.release();
        // Nothing useful can be done about an error here, and drop must not panic.
        let _ = self.watchdog.wait();
        // For a parent directory that the server's user may not remove from; elsewhere it is gone already.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn command_as(account: Option<&Account>, program: impl AsRef<OsStr>, directory: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(directory).env_clear();
    for name in KEPT_VARIABLES {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    // Messages are read by us, and a server's locale must not depend on who started it.
    command.env("LC_ALL", "C").env("TZ", "UTC");
    if let Some(account) = account {
        // As root, `uid` also drops root's supplementary groups.
        command.uid(account.uid).gid(account.gid);
    }
    command
}

/// Why a directory could not be made.
enum Refusal {
    /// Another place may do.
    Here(String),
    /// No place will.
    Everywhere(Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Here(error.to_string())
    }
}
