//! PostgreSQL has no room left: where outbox, deliveries and log are, or anywhere, its write-ahead log included.

use std::os::unix::fs::{MetadataExt, chown};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use odoo_eventd::demo::Options;
use tokio::task::block_in_place;
use tokio_postgres::NoTls;

use super::world::{Load, World};
use super::{Fault, nothing_is_lost_in_the_end, table};
use crate::support::Server;
use crate::support::delivery::number;
use crate::support::service::SOON;
use crate::support::tmpfs::Tmpfs;

/// How long there is no room: the service tries again several times.
const FULL_FOR: Duration = Duration::from_secs(4);

/// What PostgreSQL says then.
const NO_ROOM: &str = "No space left on device";

/// Outbox, deliveries and the days of the log.
const OURS_THAT_GROWS: &str = "c.relnamespace = 'odoo_eventd'::regnamespace and c.relkind = 'r'
    and (c.relname ~ '^outbox_|^mcp_webhook_delivery' or c.relname = 'delivery')";

/// All faults of this kind.
pub fn faults() -> Vec<Box<dyn Fault>> {
    vec![Box::new(TablespaceFull)]
}

/// Outbox, deliveries and the log of today in a tablespace that is full: those who write to Odoo's tables fail, as they would if these
/// were full, and so does the service.
struct TablespaceFull;

impl Fault for TablespaceFull {
    fn name(&self) -> &'static str {
        "out of disk for 4 s"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            // What has come together in a long run has to fit, and some more.
            let size = number(
                &world.database,
                &format!(
                    "select (sum(pg_table_size(c.oid)) / 1048576)::bigint from pg_class c where {OURS_THAT_GROWS}"
                ),
            )
            .await;
            let Some(disk) = Tmpfs::mount(24 + u32::try_from(size).unwrap()) else {
                return;
            };
            let cluster = world.database.server().cluster();
            let owner = std::fs::metadata(cluster.data_directory().join("base")).unwrap();
            chown(disk.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
            let admin = world.database.admin_client().await;
            let location = disk.path().display();
            admin
                .batch_execute(&format!("create tablespace small location '{location}'"))
                .await
                .unwrap();
            move_tables(world, "small").await;
            let refused_before = refusals(world);
            disk.fill();
            tokio::time::sleep(FULL_FOR).await;
            disk.free();
            assert!(refusals(world) > refused_before, "nobody found the disk full");
            world.recovered().await;
            move_tables(world, "pg_default").await;
            admin.batch_execute("drop tablespace small").await.unwrap();
        }
        .boxed()
    }
}

/// How often the server has found the disk full.
fn refusals(world: &World) -> usize {
    let log = std::fs::read(world.database.server().cluster().log_path()).unwrap();
    String::from_utf8_lossy(&log).matches(NO_ROOM).count()
}

/// Moves what is ours and grows. Everybody else waits for it, so it waits for nobody.
async fn move_tables(world: &World, tablespace: &str) {
    let admin = world.database.admin_client().await;
    admin.batch_execute("set lock_timeout = '200ms'").await.unwrap();
    let tables = admin
        .query(
            &format!("select c.oid::regclass::text from pg_class c where {OURS_THAT_GROWS}"),
            &[],
        )
        .await
        .unwrap();
    for table in tables {
        let statement = format!("alter table {} set tablespace {tablespace}", table.get::<_, String>(0));
        let moved = async {
            while let Err(error) = admin.batch_execute(&statement).await {
                match error.code().map(tokio_postgres::error::SqlState::code) {
                    // It is busy.
                    Some("55P03") => {}
                    // A day of the log may have been dropped meanwhile.
                    Some("42P01") => break,
                    _ => panic!("{statement}: {error:?}"),
                }
            }
        };
        tokio::time::timeout(SOON, moved)
            .await
            .expect("the table is not busy for ever");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_full_disk_lets_writers_commit_nothing_is_lost() {
    nothing_is_lost_in_the_end(&[&TablespaceFull], 1, 51).await;
}

/// The whole data directory is full, so that the server panics and does not come up again.
struct Everything<'a>(&'a Tmpfs);

impl Fault for Everything<'_> {
    fn name(&self) -> &'static str {
        "PostgreSQL dead of a full disk"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            let before = refusals(world);
            self.0.fill();
            let found = async {
                while refusals(world) == before {
                    // It asks for a file more of the write-ahead log.
                    let Ok((client, connection)) = tokio_postgres::connect(&world.database.admin_url(), NoTls).await
                    else {
                        continue;
                    };
                    tokio::spawn(connection);
                    let _ = client.batch_execute("select pg_switch_wal()").await;
                }
            };
            tokio::time::timeout(SOON, found)
                .await
                .expect("the server finds its disk full");
            tokio::time::sleep(FULL_FOR).await;
            self.0.free();
            let cluster = world.database.server().cluster();
            block_in_place(|| {
                cluster.crash().unwrap();
                cluster.start_again().unwrap();
            });
        }
        .boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_died_of_a_full_disk_has_lost_nothing_when_it_is_back() {
    let Some(disk) = Tmpfs::mount(400) else { return };
    let server = Server::private(Options::new().below(disk.path()));
    let load = Load {
        writers: 4,
        pause: Duration::from_millis(400),
    };
    let mut world = World::new(&server, load, 52).await;
    let run = table::inject(&Everything(&disk), &mut world).await;
    let report = world.settle_and_check().await;
    eprint!("{}", table::render(&report, &[run]));
    report.assert_clean();
}
