//! What was claimed and never sent: a term that ends between the two takes no one-shot with it. Only a crash of the service does, because
//! then nobody knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use odoo_eventd::demo::Options;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::delivery::{logged, order_refs};
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, wait_until_leading};
use crate::support::{Database, Server, eventually};

/// Each has a record of its own, so that they never wait for each other.
const WRITERS: i32 = 4;

/// So that a service built without optimization, on a machine that does other things, keeps up with all of them.
const PACE: Duration = Duration::from_millis(40);

/// People who change orders all the time, whatever happens to their connections.
struct Writers {
    committed: Arc<AtomicU64>,
    enough: CancellationToken,
    tasks: JoinSet<()>,
}

impl Writers {
    fn start(database: &Database) -> Self {
        let (committed, enough) = (Arc::<AtomicU64>::default(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        for record in 1..=WRITERS {
            let (url, committed, enough) = (database.url(), Arc::clone(&committed), enough.clone());
            tasks.spawn(async move {
                while !enough.is_cancelled() {
                    let Ok((client, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await else {
                        tokio::time::sleep(PACE).await;
                        continue;
                    };
                    tokio::spawn(connection);
                    while !enough.is_cancelled() {
                        let change = "update sale_order set client_order_ref = gen_random_uuid() where id = $1";
                        if client.execute(change, &[&record]).await.is_err() {
                            break;
                        }
                        committed.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(PACE).await;
                    }
                }
            });
        }
        Self {
            committed,
            enough,
            tasks,
        }
    }

    /// How many changes were committed, at least: who loses the connection in a commit does not know.
    async fn stop(self) -> u64 {
        self.enough.cancel();
        self.tasks.join_all().await;
        self.committed.load(Ordering::Relaxed)
    }
}

/// Waits until everything has come to rest, and looks whether each change was sent once, and none cut off.
async fn assert_each_was_sent(database: &Database, receiver: &Receiver, committed: u64) {
    eventually("everything to be sent", SOON * 5, async || {
        let unfinished = "select (odoo_eventd.status() -> 'outbox' ->> 'unread')::int8 + (select count(*) from odoo_eventd.delivery where due_at is not null)";
        (database.psql(unfinished).await == "0").then_some(())
    })
    .await;
    let ends = database
        .psql("select coalesce(error, status), count(*) from mcp_webhook_delivery group by 1 order by 1")
        .await;
    let sent = logged(database, "status = 'success'").await;
    assert_eq!(ends, format!("success|{sent}"));
    assert_eq!(receiver.requests().len(), usize::try_from(sent).unwrap());
    assert!(u64::try_from(sent).unwrap() >= committed, "{sent} of {committed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_in_the_midst_of_writes_cuts_off_no_one_shot() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    order_refs(&database, &receiver, &[]).await;
    let writers = Writers::start(&database);
    for _ in 0..6 {
        let service = Service::leading(&database).await;
        receiver.wait_for(receiver.requests().len() + 100, SOON).await;
        let (status, log) = service.terminate().await;
        assert!(status.success(), "{log}");
    }
    let committed = writers.stop().await;
    let _service = Service::leading(&database).await;
    assert_each_was_sent(&database, &receiver, committed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_postgresql_in_the_midst_of_writes_cuts_off_no_one_shot() {
    let server = Server::private(Options::new());
    let database = server.fixture().await;
    let receiver = Receiver::start().await;
    order_refs(&database, &receiver, &[]).await;
    let _service = Service::leading(&database).await;
    let writers = Writers::start(&database);
    for _ in 0..3 {
        receiver.wait_for(receiver.requests().len() + 100, SOON).await;
        server.cluster().crash().unwrap();
        server.cluster().start_again().unwrap();
        wait_until_leading(&database).await;
    }
    let committed = writers.stop().await;
    assert_each_was_sent(&database, &receiver, committed).await;
}
