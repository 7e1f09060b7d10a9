//! A database per test, cloned from a template on one throw-away server.
//!
//! The server starts with the first test that asks for it and ends with the process, however that ends (see
//! [`odoo_eventd::demo::scratch`]). `cargo test` runs all tests of a binary in one process, so there is one server; under
//! cargo-nextest, which runs each test in its own, it works too, but every test then pays for a server.
//!
//! Tests that stop, kill or starve the server take a [`Server::private`] one.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use odoo_eventd::demo::cluster::SUPERUSER;
use odoo_eventd::demo::{Cluster, ODOO_SHAPED, Options};
use tokio_postgres::{Client, NoTls};

/// The ordinary role that owns the databases, as an Odoo server's role does: it may create databases and nothing else.
pub(crate) const ODOO: &str = "odoo";

/// What real Odoo databases hold and answer, where it lies beside this repository. It is Odoo S.A.'s data (LGPL), so not in it.
const ORACLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/odoo");

/// A dump's views are written for a server whose EXTRACT returns numeric.
const DUMP_MAJOR: u32 = 14;

/// A file of the oracle for a version of Odoo; none, and a line that says so, where this checkout stands alone.
pub(crate) fn oracle(version: u16, file: &str) -> Option<PathBuf> {
    let path = odoo_data(version).join(file);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

static SHARED: LazyLock<Arc<Server>> = LazyLock::new(|| Server::private(Options::new()));

/// A running server with templates to clone databases from.
pub(crate) struct Server {
    cluster: Cluster,
    fixture: OnceLock<()>,
    /// Of 16 to 19.
    dumps: [OnceLock<()>; 4],
    databases: AtomicU32,
}

impl Server {
    /// The server that all tests of this process share. They must leave it running and its settings alone.
    pub(crate) fn shared() -> Arc<Self> {
        Arc::clone(&SHARED)
    }

    /// A server of one's own, gone with its last database. It blocks for a second.
    pub(crate) fn private(options: Options) -> Arc<Self> {
        let cluster = Cluster::start(options)
            .unwrap_or_else(|error| panic!("{}\nhint: {}", error.chain(), error.hint().unwrap_or("none")));
        cluster.create_role(ODOO, "CREATEDB").unwrap();
        Arc::new(Self {
            cluster,
            fixture: OnceLock::new(),
            dumps: std::array::from_fn(|_| OnceLock::new()),
            databases: AtomicU32::new(0),
        })
    }

    /// A psql that speaks to it.
    pub(crate) fn psql(&self) -> PathBuf {
        psql_program(&self.cluster)
    }

    /// The server itself: its port, its log, its end.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A fresh database without any table.
    pub(crate) async fn empty(self: &Arc<Self>) -> Database {
        self.clone_of("template0", |_| {}).await
    }

    /// A fresh copy of our own Odoo-shaped database.
    pub(crate) async fn fixture(self: &Arc<Self>) -> Database {
        self.clone_of("odoo_shaped", |server| {
            server.fixture.get_or_init(|| {
                server.cluster.drop_database("odoo_shaped").unwrap();
                server.cluster.create_database("odoo_shaped", ODOO).unwrap();
                server.cluster.execute_as(ODOO, "odoo_shaped", ODOO_SHAPED).unwrap();
            });
        })
        .await
    }

    /// A fresh copy of a real Odoo 18 database; `None`, and a line that says so, where its dump is not at hand or the server
    /// is too old for it.
    pub(crate) async fn dump(self: &Arc<Self>) -> Option<Database> {
        self.dump_of(18).await
    }

    /// The same of Odoo 16, 17, 18 or 19.
    pub(crate) async fn dump_of(self: &Arc<Self>, version: u16) -> Option<Database> {
        let (template, prepare): (_, fn(&Self)) = match version {
            16 => ("odoo_demo_16", |server| server.prepare_dump(16)),
            17 => ("odoo_demo_17", |server| server.prepare_dump(17)),
            18 => ("odoo_demo_18", |server| server.prepare_dump(18)),
            19 => ("odoo_demo_19", |server| server.prepare_dump(19)),
            other => panic!("no dump of Odoo {other}"),
        };
        let dump = oracle(version, "odoo_demo.dump.sql.gz")?;
        if self.cluster.version().major < DUMP_MAJOR {
            eprintln!(
                "skipped: PostgreSQL {} cannot restore {}",
                self.cluster.version(),
                dump.display()
            );
            return None;
        }
        Some(self.clone_of(template, prepare).await)
    }

    fn prepare_dump(&self, version: u16) {
        self.dumps[usize::from(version - 16)].get_or_init(|| {
            let template = format!("odoo_demo_{version}");
            let dump = oracle(version, "odoo_demo.dump.sql.gz").expect("whoever asks has looked");
            self.cluster.drop_database(&template).unwrap();
            self.cluster.create_database(&template, ODOO).unwrap();
            restore(&self.cluster, &dump, &template);
        });
    }

    /// Copies `template`, which `prepare` makes if it is the first to come, or if the first to come has failed.
    async fn clone_of(
        self: &Arc<Self>,
        template: &'static str,
        prepare: impl FnOnce(&Self) + Send + 'static,
    ) -> Database {
        let server = Arc::clone(self);
        // Blocking calls, up to seconds long; a test's other tasks go on meanwhile.
        tokio::task::spawn_blocking(move || {
            prepare(&server);
            let name = format!("test_{}", server.databases.fetch_add(1, Ordering::Relaxed) + 1);
            server.cluster.create_database_from(template, &name, ODOO).unwrap();
            Database { name, server }
        })
        .await
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

/// Where what a real Odoo of that version said lies: its database, its answers.
pub(crate) fn odoo_data(version: u16) -> PathBuf {
    match version {
        18 => ORACLE.into(),
        version => Path::new(ORACLE).join(version.to_string()),
    }
}

/// Restores a gzipped plain dump as the ordinary role, the way its owner would: any error fails.
fn restore(cluster: &Cluster, dump: &Path, database: &str) {
    let mut unzip = std::process::Command::new("gzip")
        .arg("-dc")
        .arg(dump)
        .stdout(Stdio::piped())
        .spawn()
        .expect("gzip runs");
    let psql = std::process::Command::new(psql_program(cluster))
        .args([
            "--no-psqlrc",
            "--quiet",
            "--set",
            "ON_ERROR_STOP=1",
            "--dbname",
            &cluster.url(database, ODOO),
        ])
        .stdin(unzip.stdout.take().unwrap())
        .stdout(Stdio::null())
        .output()
        .expect("psql runs");
    assert!(
        psql.status.success(),
        "cannot restore {}: {}",
        dump.display(),
        String::from_utf8_lossy(&psql.stderr)
    );
    assert!(unzip.wait().unwrap().success(), "cannot unzip {}", dump.display());
}

/// The psql of the installation, or the one on the PATH: some server packages come without.
fn psql_program(cluster: &Cluster) -> PathBuf {
    let own = cluster.programs().program("psql");
    if own.exists() { own } else { "psql".into() }
}

/// A test's own database, owned by the role [`ODOO`], dropped with this value.
pub(crate) struct Database {
    name: String,
    server: Arc<Server>,
}

impl Database {
    /// [`Server::empty`] on the shared server.
    pub(crate) async fn empty() -> Self {
        Server::shared().empty().await
    }

    /// [`Server::fixture`] on the shared server.
    pub(crate) async fn fixture() -> Self {
        Server::shared().fixture().await
    }

    /// [`Server::dump`] on the shared server.
    pub(crate) async fn dump() -> Option<Self> {
        Server::shared().dump().await
    }

    /// [`Server::dump_of`] on the shared server.
    pub(crate) async fn dump_of(version: u16) -> Option<Self> {
        Server::shared().dump_of(version).await
    }

    /// The database's name, unique on its server.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The server it lives on.
    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// A connection string for the owner, over the Unix socket.
    pub(crate) fn url(&self) -> String {
        self.url_as(ODOO)
    }

    /// A connection string for the superuser, over the Unix socket.
    pub(crate) fn admin_url(&self) -> String {
        self.url_as(SUPERUSER)
    }

    /// A connection string for any role, over the Unix socket.
    pub(crate) fn url_as(&self, role: &str) -> String {
        self.server.cluster.url(&self.name, role)
    }

    /// A connection string for the owner over TCP, with a password, for tests with a proxy in between.
    pub(crate) fn tcp_url(&self) -> String {
        self.server.cluster.tcp_url(&self.name, ODOO)
    }

    /// A session of the owner.
    pub(crate) async fn client(&self) -> Client {
        self.client_as(ODOO).await
    }

    /// A session of the superuser.
    pub(crate) async fn admin_client(&self) -> Client {
        self.client_as(SUPERUSER).await
    }

    /// A session of any role. Its connection runs as a task of the test's runtime and ends with the client.
    pub(crate) async fn client_as(&self, role: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url_as(role), NoTls).await.unwrap();
        // An error in it reaches the test through the client.
        tokio::spawn(connection);
        client
    }

    /// Runs SQL as the owner with psql, as a DBA would. Returns what it prints: rows without headings, `|` between columns.
    ///
    /// # Panics
    /// On the first error, with psql's words.
    pub(crate) async fn psql(&self, sql: &str) -> String {
        self.try_psql(sql)
            .await
            .unwrap_or_else(|said| panic!("psql: {said}\nin: {sql}"))
    }

    /// [`Database::psql`] for what may fail: the error is what psql wrote to stderr.
    pub(crate) async fn try_psql(&self, sql: &str) -> Result<String, String> {
        self.run_psql(ODOO, &["--command", sql]).await
    }

    /// Runs a file as the owner with psql.
    ///
    /// # Panics
    /// On the first error, with psql's words.
    pub(crate) async fn psql_file(&self, file: &Path) -> String {
        let name = file.to_str().unwrap();
        self.run_psql(ODOO, &["--file", name])
            .await
            .unwrap_or_else(|said| panic!("psql: {said}\nin: {name}"))
    }

    /// Runs a file as the superuser with psql; the error is what psql wrote to stderr.
    pub(crate) async fn admin_psql_file(&self, file: &Path) -> Result<String, String> {
        self.run_psql(SUPERUSER, &["--file", file.to_str().unwrap()]).await
    }

    async fn run_psql(&self, role: &str, arguments: &[&str]) -> Result<String, String> {
        let done = tokio::process::Command::new(psql_program(&self.server.cluster))
            .args([
                "--no-psqlrc",
                "--quiet",
                "--tuples-only",
                "--no-align",
                "--set",
                "ON_ERROR_STOP=1",
            ])
            .args(["--dbname", &self.url_as(role)])
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .await
            .expect("psql runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().trim_end().to_owned();
        if done.status.success() {
            Ok(text(done.stdout))
        } else {
            Err(text(done.stderr))
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A test that has stopped its server cannot drop, and need not: the database goes with the server.
        if self.server.cluster.pid().is_some() {
            let _ = self.server.cluster.drop_database(&self.name);
        }
    }
}
