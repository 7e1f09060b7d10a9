//! PgBouncer, where it is installed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use odoo_eventd::demo::scratch::Scratch;
use tokio::process::{Child, Command};

use super::db::Database;
use super::service::SOON;

const CONFIG: &str = "pgbouncer.ini";

/// PgBouncer before a database; ends with this value.
pub struct PgBouncer {
    process: Child,
    scratch: Scratch,
    program: PathBuf,
    port: u16,
}

impl PgBouncer {
    /// `None`, with a word, when it is not installed.
    pub async fn start(database: &Database, mode: &str) -> Option<Self> {
        let found = std::env::var_os("PATH")
            .into_iter()
            .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>())
            .chain([PathBuf::from("/usr/sbin")])
            .map(|directory| directory.join("pgbouncer"))
            .find(|path| path.exists());
        let Some(program) = found else {
            eprintln!("skipped: pgbouncer is not installed");
            return None;
        };
        let port = {
            let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            free.local_addr().unwrap().port()
        };
        let cluster = database.server().cluster();
        let scratch = Scratch::new(None).unwrap();
        let users = scratch
            .write("users.txt", &format!("\"odoo\" \"{}\"\n", cluster.password()))
            .unwrap();
        let config = scratch
            .write(
                CONFIG,
                &format!(
                    "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
                     unix_socket_dir =\npool_mode = {mode}\nauth_type = plain\nauth_file = {}\n",
                    cluster.port(),
                    users.display()
                ),
            )
            .unwrap();
        assert_eq!(config, scratch.path().join(CONFIG));
        let process = run(&scratch, &program, port).await;
        Some(Self {
            process,
            scratch,
            program,
            port,
        })
    }

    /// Dies by SIGKILL and is started anew on the same port.
    pub async fn die_and_come_back(&mut self) {
        self.process.kill().await.unwrap();
        self.process = run(&self.scratch, &self.program, self.port).await;
    }

    /// The connection string of the database's owner through it.
    pub fn url(&self, database: &Database) -> String {
        let direct = database.tcp_url();
        let through = direct.replace(
            &format!(":{}/", database.server().cluster().port()),
            &format!(":{}/", self.port),
        );
        assert_ne!(through, direct);
        through
    }
}

async fn run(scratch: &Scratch, program: &Path, port: u16) -> Child {
    let process = Command::from(scratch.command(program))
        .arg(CONFIG)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // Also called where a future has to be `Send`, which no asynchronous closure can promise.
    let listens = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(SOON, listens).await.expect("pgbouncer listens");
    process
}
