//! The throw-away PostgreSQL server: it starts anywhere, lets nobody else in, and leaves nothing behind.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use odoo_eventd::demo::programs::{Programs, Search};
use odoo_eventd::demo::scratch::Scratch;
use odoo_eventd::demo::{Cluster, Durability, Options};
use tokio_postgres::NoTls;

use crate::support::process::{runs, signal};
use crate::support::service::SOON;
use crate::support::{Database, Server, eventually};

/// Set for the process that plays the owner of a cluster and is killed; its test does nothing without it.
const VICTIM: &str = "ODOO_EVENTD_TEST_VICTIM";

async fn one_value(url: &str, sql: &str) -> Result<String, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let connection = tokio::spawn(connection);
    let value = client.query_one(sql, &[]).await?.get(0);
    drop(client);
    connection.await.unwrap()?;
    Ok(value)
}

/// A directory with programs that answer `--version` as a PostgreSQL of that version does.
fn fake_installation(version: &str) -> (Scratch, PathBuf) {
    let scratch = Scratch::new(None).unwrap();
    let bindir = scratch.path().join("bin");
    fs::create_dir(&bindir).unwrap();
    for name in ["initdb", "postgres"] {
        let path = bindir.join(name);
        fs::write(&path, format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let bindir = bindir.canonicalize().unwrap();
    (scratch, bindir)
}

#[tokio::test]
async fn roles_need_no_password_on_the_socket_and_one_over_tcp() {
    let database = Database::empty().await;
    let (cluster, name) = (database.server().cluster(), database.name());

    let who = "SELECT current_user::text";
    assert_eq!(one_value(&cluster.url(name, "odoo"), who).await.unwrap(), "odoo");
    assert_eq!(one_value(&cluster.tcp_url(name, "odoo"), who).await.unwrap(), "odoo");

    let guessed = cluster.tcp_url(name, "postgres").replace(cluster.password(), "guessed");
    let refused = one_value(&guessed, who).await.unwrap_err();
    assert_eq!(refused.code(), Some(&tokio_postgres::error::SqlState::INVALID_PASSWORD));
    assert_eq!(
        fs::metadata(cluster.directory()).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert!(!format!("{cluster:?}").contains(cluster.password()));
}

#[tokio::test]
async fn databases_are_made_as_odoo_makes_them_whatever_their_name() {
    let server = Server::shared();
    let cluster = server.cluster();
    cluster.create_database("it's \"odd\"", "odoo").unwrap();
    let how =
        "SELECT pg_encoding_to_char(encoding) || ' ' || datcollate FROM pg_database WHERE datname = current_database()";
    assert_eq!(
        one_value(&cluster.url("it's \"odd\"", "odoo"), how).await.unwrap(),
        "UTF8 C"
    );
    cluster.drop_database("it's \"odd\"").unwrap();
}

#[test]
fn the_server_never_runs_as_root_and_owns_its_files() {
    let server = Server::shared();
    let cluster = server.cluster();
    let ours = fs::metadata(Scratch::new(None).unwrap().path()).unwrap().uid();
    let data = fs::metadata(cluster.data_directory().join("base")).unwrap().uid();
    assert_ne!(data, 0);
    assert_eq!(
        data, ours,
        "a private directory belongs to the user that the server runs as"
    );
}

#[test]
fn two_clusters_do_not_disturb_each_other() {
    let (shared, own) = (Server::shared(), Cluster::start(Options::new()).unwrap());
    assert_ne!(shared.cluster().directory(), own.directory());
    drop(own);
    shared.cluster().execute("postgres", "SELECT 1").unwrap();
}

#[tokio::test]
async fn settings_of_the_caller_win() {
    let cluster = Cluster::start(Options::new().durability(Durability::On).setting("max_connections", 17)).unwrap();
    let url = cluster.url("postgres", "postgres");
    assert_eq!(
        one_value(&url, "SELECT current_setting('max_connections')")
            .await
            .unwrap(),
        "17"
    );
    assert_eq!(one_value(&url, "SELECT current_setting('fsync')").await.unwrap(), "on");
}

#[test]
fn a_dropped_cluster_leaves_no_process_and_no_file() {
    let cluster = Cluster::start(Options::new()).unwrap();
    let (pid, directory) = (cluster.pid().unwrap(), cluster.directory().to_owned());
    assert!(runs(pid) && directory.exists());
    drop(cluster);
    assert!(!runs(pid), "the server runs on");
    assert!(!directory.exists(), "{} is still there", directory.display());
}

#[test]
fn a_stopped_or_crashed_server_starts_again_on_the_same_port_with_its_data() {
    let cluster = Cluster::start(Options::new()).unwrap();
    let (port, first) = (cluster.port(), cluster.pid().unwrap());
    cluster.execute("postgres", "CREATE TABLE kept (id int)").unwrap();

    cluster.stop().unwrap();
    assert_eq!(cluster.pid(), None);
    assert!(cluster.execute("postgres", "SELECT 1").is_err());
    cluster.start_again().unwrap();

    cluster.crash().unwrap();
    assert!(!runs(first));
    cluster.start_again().unwrap();

    assert_eq!(cluster.port(), port);
    cluster.execute("postgres", "INSERT INTO kept VALUES (1)").unwrap();
    assert!(
        cluster
            .log_tail(30)
            .contains("database system was not properly shut down")
    );
}

#[tokio::test]
async fn a_server_killed_by_somebody_else_leaves_no_process_and_no_shared_memory() {
    let cluster = Cluster::start(Options::new()).unwrap();
    let data = cluster.data_directory();
    let lock = fs::read_to_string(data.join("postmaster.pid")).unwrap();
    let segment = lock.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap();

    signal(cluster.pid().unwrap(), "KILL");
    drop(cluster);

    // The kernel takes a moment to bury them, and frees the segment with the last. A removed directory is still named.
    let data = data.display().to_string();
    eventually("the last process in the data directory to end", SOON, async || {
        let mut processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let works_there = |process: fs::DirEntry| {
            let place = fs::read_link(process.path().join("cwd"));
            place.is_ok_and(|place| place.to_string_lossy().starts_with(&data))
        };
        (!processes.any(works_there)).then_some(())
    })
    .await;
    eventually("the shared memory segment to go", SOON, async || {
        let segments = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
        let is_it = |line: &str| line.split_whitespace().nth(1) == Some(segment);
        (!segments.lines().any(is_it)).then_some(())
    })
    .await;
}

/// Not a test of its own: the process that the next two kill.
#[test]
fn victim_that_owns_a_cluster_until_it_is_killed() {
    let Some(report) = std::env::var_os(VICTIM) else { return };
    let cluster = Cluster::start(Options::new()).unwrap();
    cluster.execute("postgres", "CREATE TABLE busy (id int)").unwrap();
    let told = format!("{}\n{}\n", cluster.pid().unwrap(), cluster.directory().display());
    fs::write(report, told).unwrap();
    loop {
        std::thread::park();
    }
}

async fn an_owner_ended_with(name: &str) {
    let scratch = Scratch::new(None).unwrap();
    let report = scratch.path().join("report");
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cluster::victim_that_owns_a_cluster_until_it_is_killed"])
        .env(VICTIM, &report)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (server, directory) = eventually("the owner to start its cluster", SOON, async || {
        let report = fs::read_to_string(&report).ok()?;
        let (server, directory) = report.trim_end().split_once('\n')?;
        Some((server.parse().unwrap(), PathBuf::from(directory)))
    })
    .await;
    assert!(runs(server) && directory.exists());

    signal(owner.id(), name);
    owner.wait().unwrap();

    eventually("the server to end", SOON, async || (!runs(server)).then_some(())).await;
    eventually("the directory to be removed", SOON, async || {
        (!directory.exists()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_owner_killed_with_sigkill_leaves_nothing_behind() {
    an_owner_ended_with("KILL").await;
}

#[tokio::test]
async fn an_owner_ended_with_ctrl_c_leaves_nothing_behind() {
    if ctrl_c_is_ignored() {
        eprintln!("skipped: whoever started the tests ignores Ctrl-C, so the owner would inherit that");
        return;
    }
    an_owner_ended_with("INT").await;
}

/// Whether this process was started to ignore SIGINT, as a shell script's background jobs are.
fn ctrl_c_is_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // A bit for each signal, from number 1 on; SIGINT is number 2.
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 0b10 != 0))
}

#[test]
fn a_server_older_than_13_is_refused_with_its_version_and_place() {
    let (_scratch, bindir) = fake_installation("12.22");
    let error = Programs::find(&Search {
        roots: vec![bindir.parent().unwrap().into()],
        ..Search::default()
    })
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "PostgreSQL 12.22 in {} is too old: 13 or later is needed",
            bindir.display()
        )
    );
    assert!(error.hint().unwrap().contains("install"));
}

#[test]
fn a_missing_server_is_answered_with_what_to_install() {
    let empty = Scratch::new(None).unwrap();
    let nowhere = Search {
        path: OsString::from(empty.path()),
        ..Search::default()
    };
    let error = Programs::find(&nowhere).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no PostgreSQL server programs (initdb, postgres) found"
    );
    assert!(
        error.hint().unwrap().starts_with("install them ("),
        "{:?}",
        error.hint()
    );

    let named = Search {
        bindir: Some(empty.path().into()),
        ..Search::default()
    };
    let error = Programs::find(&named).unwrap_err();
    assert!(
        error.to_string().ends_with("which ODOO_EVENTD_PG_BINDIR names"),
        "{error}"
    );
}

#[test]
fn the_wanted_major_version_is_taken_and_another_one_refused() {
    let (_old, older) = fake_installation("14.9");
    let (_new, newer) = fake_installation("17.2 (Debian 17.2-1)");
    let roots: Vec<PathBuf> = [&newer, &older]
        .map(|bindir| bindir.parent().unwrap().to_owned())
        .to_vec();

    let any = Programs::find(&Search {
        roots: roots.clone(),
        ..Search::default()
    })
    .unwrap();
    assert_eq!((any.version().major, any.bindir()), (17, newer.as_path()));
    let wanted = Programs::find(&Search {
        roots: roots.clone(),
        major: Some(14),
        ..Search::default()
    })
    .unwrap();
    assert_eq!(
        (wanted.version().to_string(), wanted.bindir()),
        ("14.9".to_owned(), older.as_path())
    );

    let error = Programs::find(&Search {
        roots,
        major: Some(16),
        ..Search::default()
    })
    .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no PostgreSQL 16 server programs found, only 17.2 in "),
        "{error}"
    );
}

#[test]
fn a_place_too_deep_for_a_socket_is_refused() {
    let scratch = Scratch::new(None).unwrap();
    let deep = scratch.path().join("d".repeat(80));
    fs::create_dir(&deep).unwrap();
    let error = Scratch::new(Some(&deep)).unwrap_err();
    assert!(
        error.to_string().contains("a socket's path may have 103 bytes"),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("TMPDIR"));
}
