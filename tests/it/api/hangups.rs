//! Who goes away in the middle, and endpoints that do not answer: nobody else is kept waiting, and no session of the database is left.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use super::{Api, EVERYTHING, orders, token};
use crate::support::service::SOON;
use crate::support::{Database, eventually};

/// Statements of the API that wait for a lock.
const WAITING: &str = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database() \
                       and application_name like 'odoo-eventd%'";

async fn ask_and_go(api: &Api, token: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", api.port)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_hangs_up_leaves_no_statement_that_others_wait_for() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let mut holder = database.admin_client().await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute("lock table mcp_webhook_delivery in access exclusive mode")
        .await
        .unwrap();
    let mut readers = Vec::new();
    for _ in 0..4 {
        readers.push(ask_and_go(&api, &anna, "/api/v1/deliveries?q=nothing").await);
    }
    eventually("the readers to wait for the table", SOON, async || {
        (database.psql(WAITING).await == "4").then_some(())
    })
    .await;
    drop(readers);
    eventually("their statements to be cancelled", SOON, async || {
        (database.psql(WAITING).await == "0").then_some(())
    })
    .await;
    for _ in 0..10 {
        assert_eq!(api.ask(&anna, "GET", "/api/v1/models", None).await.status, 200);
    }
    held.rollback().await.unwrap();
    let found = api.ask(&anna, "GET", "/api/v1/deliveries?q=nothing", None).await;
    assert_eq!(found.json()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_that_do_not_answer_a_test_hold_no_session_and_only_so_many_are_tried_at_once() {
    let database = Database::fixture().await;
    crate::support::service::eventd_ok(&database.url(), &["install"]).await;
    let api = Api::beside(&database, &["--allow-networks", "127.0.0.0/8"]).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut draft = orders();
    draft["webhook_url"] = json!(format!("http://{}/", silent.local_addr().unwrap()));
    draft["timeout_ms"] = json!(600_000);
    let id = api.subscribe(&anna, draft).await;
    let path = format!("/api/v1/subscriptions/{id}/test");
    let asked = futures_util::future::join_all((0..12).map(|_| api.ask(&anna, "POST", &path, None)));
    let looked = async {
        let mut connections = Vec::new();
        while connections.len() < 8 {
            connections.push(silent.accept().await.unwrap());
        }
        // While all of them wait, others are served, and no more sessions are there than the API may have.
        let listed = api.ask(&anna, "GET", "/api/v1/subscriptions", None).await;
        assert_eq!(listed.status, 200, "{}", listed.text);
        let sessions = "select count(*) <= 9 from pg_stat_activity where datname = current_database() and application_name like 'odoo-eventd%'";
        assert_eq!(database.psql(sessions).await, "t");
        drop(connections);
    };
    let (answers, ()) = tokio::time::timeout(Duration::from_secs(60), futures_util::future::join(asked, looked))
        .await
        .unwrap();
    let busy = answers.iter().filter(|answer| answer.status == 503).count();
    let tried = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!((tried, busy), (8, 4), "{answers:?}");
}
