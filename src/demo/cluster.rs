//! A throw-away PostgreSQL server: made in a moment, private to its maker, gone without a trace.
//!
//! [`Cluster::start`] runs `initdb` in a fresh private directory and `postgres` on it, and returns once connections are
//! accepted. Dropping the cluster, or the end of this process in whatever way, ends the server at once and removes the
//! directory ([`Scratch`] tells how).
//!
//! Who may connect: over the Unix socket, which lies in a directory that only its owner and root may enter, every role
//! without a password. Over TCP, which listens on 127.0.0.1 because some tests put a proxy in between, only with the
//! random password of [`Cluster::tcp_url`]: loopback is open to every user of the machine.
//!
//! Everything here blocks and needs no async runtime; it takes about a second. Connecting is left to the caller, but for
//! [`Cluster::execute`], which is there for the few statements that set a test up.

use std::fmt;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::distr::{Alphanumeric, SampleString};

use super::programs::{Programs, Search, Version};
use super::scratch::Scratch;
use crate::{Error, Result};

/// The bootstrap superuser.
pub const SUPERUSER: &str = "postgres";

/// Below the range from which Linux and macOS take the ports of outgoing connections (32768 and 49152 up), so that a
/// stopped server's port is still free when it starts again.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// Starts tried on different ports before giving up: a clash is rare, eight in a row are something else.
const PORT_TRIES: u32 = 8;

/// A start takes tens of milliseconds, recovery after a crash some seconds. A loaded machine is granted much more.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How often the server's own status file is looked at while it starts; there is nothing to wait on.
const START_POLL: Duration = Duration::from_millis(10);

/// Odoo's databases compare bytes and know letters: collation C, and a UTF-8 character type.
const LC_CTYPE: &str = if cfg!(target_os = "macos") { "UTF-8" } else { "C.UTF-8" };

/// Whether the server keeps its promises over a crash of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// No `fsync`: much faster, and still safe against a crash of the server itself. For tests.
    #[default]
    Off,
    /// As in production. For benches and whatever measures.
    On,
}

/// How a cluster is to be.
#[derive(Debug, Clone, Default)]
pub struct Options {
    durability: Durability,
    settings: Vec<(String, String)>,
    parent: Option<PathBuf>,
    search: Option<Search>,
}

impl Options {
    /// A cluster for tests, found as the environment says, below the temporary directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets whether commits are flushed to disk.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Adds a line to `postgresql.conf`, after ours: the last one counts.
    #[must_use]
    pub fn setting(mut self, name: impl Into<String>, value: impl fmt::Display) -> Self {
        self.settings.push((name.into(), value.to_string()));
        self
    }

    /// Puts the cluster below `parent`, for instance on a file system of limited size.
    #[must_use]
    pub fn below(mut self, parent: impl Into<PathBuf>) -> Self {
        self.parent = Some(parent.into());
        self
    }

    /// Looks for the server programs there instead of where the environment says.
    #[must_use]
    pub fn search(mut self, search: Search) -> Self {
        self.search = Some(search);
        self
    }
}

/// See the [module documentation](self).
pub struct Cluster {
    programs: Programs,
    scratch: Scratch,
    /// For connections over TCP, equal for all roles that [`Cluster::create_role`] makes.
    password: String,
    port: u16,
    server: Mutex<Option<Child>>,
}

impl Cluster {
    /// Makes a cluster and starts it; returns once it accepts connections.
    ///
    /// # Errors
    /// When no server programs are installed or they are too old (the hint says what to do), or when one of them fails.
    pub fn start(options: Options) -> Result<Self> {
        let search = options.search.clone().map_or_else(Search::from_env, Ok)?;
        let programs = Programs::find(&search)?;
        let scratch = Scratch::new(options.parent.as_deref())?;
        let password = Alphanumeric.sample_string(&mut rand::rng(), 32);
        let mut cluster = Self {
            programs,
            scratch,
            password,
            port: 0,
            server: Mutex::new(None),
        };
        cluster.initialize(&options)?;
        cluster.port = cluster.start_on_a_free_port()?;
        Ok(cluster)
    }

    /// Runs `initdb` and writes the configuration.
    fn initialize(&self, options: &Options) -> Result<()> {
        // In a file of our own directory: arguments and environments of processes can be read by others.
        let password_file = self.scratch.write("password", &self.password)?;
        let mut initdb = self.scratch.command(self.programs.program("initdb"));
        initdb
            .arg("--pgdata")
            .arg(self.data_directory())
            .arg("--pwfile")
            .arg(&password_file);
        initdb.args([
            "--username",
            SUPERUSER,
            "--auth-local",
            "trust",
            "--auth-host",
            "scram-sha-256",
        ]);
        initdb.args([
            "--encoding",
            "UTF8",
            "--locale",
            "C",
            "--lc-ctype",
            LC_CTYPE,
            "--no-sync",
        ]);
        let done = initdb.output().map_err(|error| self.cannot_run("initdb", error))?;
        if !done.status.success() {
            let said = String::from_utf8_lossy(&done.stderr);
            return Err(Error::other(format!(
                "initdb failed ({}): {}",
                done.status,
                said.trim()
            )));
        }
        let tried = "cannot prepare a PostgreSQL data directory";
        std::fs::remove_file(password_file).map_err(|error| Error::other(tried).with_source(error))?;

        let directory = self.scratch.path().to_string_lossy();
        let mut settings: Vec<(&str, &str)> = vec![
            ("cluster_name", "odoo-eventd"),
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", &directory),
            ("max_connections", "200"),
            ("max_prepared_transactions", "20"),
            ("timezone", "UTC"),
            ("log_timezone", "UTC"),
            ("log_line_prefix", "%m [%p] %q%u@%d "),
            // Its segments are files of the data directory then, and go with it also when the server was killed.
            ("dynamic_shared_memory_type", "mmap"),
        ];
        if options.durability == Durability::Off {
            settings.extend([("fsync", "off"), ("full_page_writes", "off")]);
        }
        settings.extend(
            options
                .settings
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str())),
        );
        let lines: String = settings
            .iter()
            .map(|(name, value)| format!("{name} = {}\n", quote(value, '\'')))
            .collect();
        let append = || -> io::Result<()> {
            let path = self.data_directory().join("postgresql.conf");
            io::Write::write_all(&mut File::options().append(true).open(path)?, lines.as_bytes())
        };
        append().map_err(|error| Error::other(tried).with_source(error))
    }

    fn start_on_a_free_port(&self) -> Result<u16> {
        let mut tries = 0;
        loop {
            let port = rand::rng().random_range(PORTS);
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
                continue;
            }
            tries += 1;
            // Another process may have taken the port in between.
            match self.launch(port) {
                Err(Failure::PortTaken) if tries < PORT_TRIES => {}
                launched => return launched.map(|()| port).map_err(|failure| self.explain(failure, port)),
            }
        }
    }

    /// Starts the server on `port` and waits until it accepts connections.
    fn launch(&self, port: u16) -> Result<(), Failure> {
        let mut server = self.server();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .map_err(Failure::Io)?;
        let said_before = log.metadata().map_err(Failure::Io)?.len();
        let mut command = self.scratch.command(self.programs.program("postgres"));
        command
            .arg("-D")
            .arg(self.data_directory())
            .arg("-p")
            .arg(port.to_string());
        command.stdout(log.try_clone().map_err(Failure::Io)?).stderr(log);
        let mut child = command.spawn().map_err(Failure::Io)?;

        let deadline = Instant::now() + START_TIMEOUT;
        while !self.accepts_connections(child.id()) {
            if child.try_wait().map_err(Failure::Io)?.is_some() {
                let log = std::fs::read(self.log_path()).map_err(Failure::Io)?;
                let said =
                    String::from_utf8_lossy(log.get(usize::try_from(said_before).unwrap_or(0)..).unwrap_or(&log));
                return Err(if said.contains("could not create any TCP/IP sockets") {
                    Failure::PortTaken
                } else if said.contains("is still in use") {
                    Failure::StillInUse
                } else {
                    Failure::Ended
                });
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                return Err(Failure::Slow);
            }
            std::thread::sleep(START_POLL);
        }
        *server = Some(child);
        Ok(())
    }

    /// The eighth line of the server's lock file is its status; `pg_ctl` waits for it in the same way.
    fn accepts_connections(&self, pid: u32) -> bool {
        let Ok(lock) = std::fs::read_to_string(self.data_directory().join("postmaster.pid")) else {
            return false;
        };
        let mut lines = lock.lines().map(str::trim);
        lines.next() == Some(&pid.to_string()) && matches!(lines.nth(6), Some("ready" | "standby"))
    }

    fn explain(&self, failure: Failure, port: u16) -> Error {
        let log = || {
            format!(
                "cannot start PostgreSQL {}; its log ends with:\n{}",
                self.version(),
                self.log_tail(20)
            )
        };
        match failure {
            Failure::Io(error) => self.cannot_run("postgres", error),
            Failure::PortTaken => Error::other(format!("cannot start PostgreSQL: port {port} of 127.0.0.1 is taken")),
            Failure::StillInUse | Failure::Ended => Error::other(log()),
            Failure::Slow => Error::other(format!("{}\nit had {} s", log(), START_TIMEOUT.as_secs())),
        }
    }

    fn cannot_run(&self, name: &str, error: io::Error) -> Error {
        let refused = error.kind() == io::ErrorKind::PermissionDenied;
        let program = self.programs.program(name);
        let failed = Error::other(format!("cannot run {}", program.display())).with_source(error);
        match self.scratch.account() {
            Some(account) if refused => failed.with_hint(format!(
                "PostgreSQL does not run as root, so the user {account} runs it: that user must be able to read {}",
                self.programs.bindir().display()
            )),
            _ => failed,
        }
    }

    /// A connection string over the Unix socket; no password is asked for.
    pub fn url(&self, database: &str, user: &str) -> String {
        format!(
            "postgresql:///{}?host={}&port={}&user={}",
            percent_encode(database),
            percent_encode(&self.scratch.path().to_string_lossy()),
            self.port,
            percent_encode(user),
        )
    }

    /// A connection string over TCP. It holds the cluster's password; `user` must be the superuser or come from
    /// [`Cluster::create_role`].
    pub fn tcp_url(&self, database: &str, user: &str) -> String {
        let [user, database] = [user, database].map(percent_encode);
        format!(
            "postgresql://{user}:{}@127.0.0.1:{}/{database}",
            self.password, self.port
        )
    }

    /// The directory of the Unix socket, for clients that want it as `host`.
    pub fn socket_directory(&self) -> &Path {
        self.scratch.path()
    }

    /// The port, both of the TCP socket on 127.0.0.1 and in the Unix socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of [`Cluster::tcp_url`].
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Makes a role that may log in, with `attributes` as in CREATE ROLE (`"CREATEDB"`, or nothing).
    ///
    /// # Errors
    /// When the server refuses.
    pub fn create_role(&self, name: &str, attributes: &str) -> Result<()> {
        let password = quote(&self.password, '\'');
        self.execute(
            SUPERUSER,
            &format!(
                "CREATE ROLE {} LOGIN PASSWORD {password} {attributes}",
                quote(name, '"')
            ),
        )
    }

    /// Makes an empty database as Odoo does: UTF-8, collation C.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn create_database(&self, name: &str, owner: &str) -> Result<()> {
        self.create_database_from("template0", name, owner)
    }

    /// Copies the database `template`, to which nobody may be connected.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn create_database_from(&self, template: &str, name: &str, owner: &str) -> Result<()> {
        let [template, name, owner] = [template, name, owner].map(|name| quote(name, '"'));
        self.execute(
            SUPERUSER,
            &format!("CREATE DATABASE {name} OWNER {owner} TEMPLATE {template}"),
        )
    }

    /// Drops a database, and ends the sessions in it.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn drop_database(&self, name: &str) -> Result<()> {
        self.execute(
            SUPERUSER,
            &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quote(name, '"')),
        )
    }

    /// Runs SQL as the superuser. Blocks; may be called inside an async runtime and outside of one.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub fn execute(&self, database: &str, sql: &str) -> Result<()> {
        self.execute_as(SUPERUSER, database, sql)
    }

    /// [`Cluster::execute`] as another role.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses.
    pub fn execute_as(&self, role: &str, database: &str, sql: &str) -> Result<()> {
        let url = self.url(database, role);
        let run = || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| Error::other("cannot start a runtime").with_source(error))?;
            let outcome = runtime.block_on(async {
                let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await?;
                tokio::select! {
                    biased;
                    done = client.batch_execute(sql) => done,
                    // Only a failed connection ends before the client is dropped.
                    ended = connection => ended,
                }
            });
            outcome.map_err(|error| Error::database(format!("run SQL in the database {database}"), error))
        };
        // A thread of its own, because a runtime must not be blocked from within another one.
        std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// The server programs in use.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// The server's version.
    pub fn version(&self) -> &Version {
        self.programs.version()
    }

    /// The process id of the server, unless it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.server().as_ref().map(Child::id)
    }

    /// The private directory with the socket, the log and the data.
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// PostgreSQL's data directory.
    pub fn data_directory(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// The server's log.
    pub fn log_path(&self) -> PathBuf {
        self.scratch.path().join("log")
    }

    /// The last lines of the server's log; empty when it cannot be read.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = std::fs::read(self.log_path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Stops the server as an administrator does (`pg_ctl stop -m fast`): sessions are ended, a checkpoint is written.
    ///
    /// # Errors
    /// When the server cannot be signalled.
    pub fn stop(&self) -> Result<()> {
        self.end_with("INT")
    }

    /// Kills the server with SIGKILL, and on Linux its other processes too: what a crash of the machine would leave, but
    /// for what the kernel had not yet written to disk.
    ///
    /// (The other processes also end by themselves when the first one is gone, but some take their time, and until then
    /// the server does not start again.)
    ///
    /// # Errors
    /// When the server cannot be signalled.
    pub fn crash(&self) -> Result<()> {
        self.end_with("KILL")?;
        let data = self.data_directory();
        let orphans: Vec<String> = std::fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter(|process| std::fs::read_link(process.path().join("cwd")).is_ok_and(|directory| directory == data))
            .filter_map(|process| process.file_name().into_string().ok())
            .collect();
        // One that has just ended by itself is no error.
        signal("KILL", &orphans)
            .map(|_| ())
            .map_err(|error| Error::other("cannot kill PostgreSQL").with_source(error))
    }

    /// Starts the server after [`Cluster::stop`] or [`Cluster::crash`], on the same port. Does nothing when it runs.
    ///
    /// # Errors
    /// When it does not start: the message holds the end of its log.
    pub fn start_again(&self) -> Result<()> {
        if self.pid().is_some() {
            return Ok(());
        }
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            match self.launch(self.port) {
                // After a crash the old sessions hold the data directory until they have noticed.
                Err(Failure::StillInUse | Failure::PortTaken) if Instant::now() < deadline => {
                    std::thread::sleep(START_POLL);
                }
                launched => return launched.map_err(|failure| self.explain(failure, self.port)),
            }
        }
    }

    /// [`Cluster::stop`], then [`Cluster::start_again`].
    ///
    /// # Errors
    /// As those two.
    pub fn restart(&self) -> Result<()> {
        self.stop()?;
        self.start_again()
    }

    fn end_with(&self, name: &str) -> Result<()> {
        let mut server = self.server();
        let Some(child) = server.as_mut() else { return Ok(()) };
        let tried = format!("cannot stop PostgreSQL (process {})", child.id());
        // The number is still the server's: nobody has waited for the process yet.
        let sent = signal(name, &[child.id().to_string()]).and_then(|sent| {
            if sent.status.success() {
                child.wait().map(|_| ())
            } else {
                Err(io::Error::other(
                    String::from_utf8_lossy(&sent.stderr).trim().to_owned(),
                ))
            }
        });
        sent.map_err(|error| Error::other(tried).with_source(error))?;
        *server = None;
        Ok(())
    }

    /// A panic elsewhere says nothing about the server.
    fn server(&self) -> MutexGuard<'_, Option<Child>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the password.
        f.debug_struct("Cluster")
            .field("directory", &self.directory())
            .field("port", &self.port)
            .field("version", &self.version().text)
            .finish_non_exhaustive()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.scratch.release();
        if let Some(mut child) = self.server().take() {
            // Immediate shutdown, by the watchdog; it kills a server that does not obey, so this returns.
            let _ = child.wait();
        }
    }
}

/// Why the server did not come up.
enum Failure {
    /// The program could not be run, or its files not be read.
    Io(io::Error),
    /// Somebody else listens on the port.
    PortTaken,
    /// Sessions of a crashed server still hold the data directory.
    StillInUse,
    /// It ended by itself, for a reason that its log tells.
    Ended,
    /// It did not accept connections in time.
    Slow,
}

/// Sends a signal by way of the shell: the standard library sends SIGKILL only, and only to children.
fn signal(name: &str, processes: &[String]) -> io::Result<std::process::Output> {
    let kill = r#"signal=$1; shift; [ $# -eq 0 ] || kill -s "$signal" "$@""#;
    Command::new("/bin/sh")
        .args(["-c", kill, "kill", name])
        .args(processes)
        .stdin(Stdio::null())
        .output()
}

/// Quotes an SQL name (`"`), or a string constant or setting (`'`).
fn quote(text: &str, mark: char) -> String {
    let doubled: String = [mark, mark].iter().collect();
    format!("{mark}{}{mark}", text.replace(mark, &doubled))
}

/// Everything but letters, digits and `-._~` as `%XX`.
fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_constants_are_quoted_and_urls_encoded() {
        assert_eq!(quote(r#"a"b"#, '"'), r#""a""b""#);
        assert_eq!(quote("it's", '\''), "'it''s'");
        assert_eq!(percent_encode("/tmp/a b-c"), "%2Ftmp%2Fa%20b-c");
    }
}
