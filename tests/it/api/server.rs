//! The server: off unless asked for, inside `run` or alone, of one database or several, and how it stops.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Api, EVERYTHING, orders, token};
use crate::support::pages::{free_port, page};
use crate::support::service::{SOON, Service, eventd, eventd_ok};
use crate::support::{Database, eventually};

impl Api {
    /// Of a service that runs.
    pub(super) fn inside(service: Service, port: u16) -> Self {
        Self { service, port }
    }

    /// The memory of its process.
    pub(super) fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.service.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_off_unless_an_address_is_named() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let alone = eventd(&database.url(), &["serve"]).await;
    assert_eq!(alone.status.code(), Some(2));
    assert!(String::from_utf8(alone.stderr).unwrap().contains("--api-listen"));
    let shown = eventd_ok(&database.url(), &["run", "--print-config"]).await;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["settings"]["api"]["listen"], serde_json::Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn inside_a_service_it_serves_beside_the_pages() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let (port, pages) = (free_port().await, free_port().await);
    let arguments = ["--api-listen", &port.to_string(), "--listen-http", &pages.to_string()];
    let api = Api::inside(Service::start(&database.url(), &arguments), port);
    api.wait().await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let id = api.subscribe(&anna, orders()).await;
    eventually("the service to be ready", SOON, async || {
        (page(pages, "/readyz").await?.0 == 200).then_some(())
    })
    .await;
    assert_eq!(
        api.ask(&anna, "GET", &format!("/api/v1/subscriptions/{id}"), None)
            .await
            .json()["state"],
        "ready"
    );
    // The pages are theirs, the API is its own.
    assert_eq!(page(pages, "/api/v1/openapi.json").await.unwrap().0, 404);
    assert_eq!(api.ask(&anna, "GET", "/metrics", None).await.status, 404);
    let (status, log) = api.service.terminate().await;
    assert!(status.success(), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_what_was_asked_be_answered() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let body = orders().to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", api.port)).await.unwrap();
    let head = format!(
        "POST /api/v1/subscriptions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {anna}\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // It waits for the body: the request is under way.
    let mut said = vec![0; 64];
    let read = stream.read(&mut said).await.unwrap();
    assert!(
        said[..read].starts_with(b"HTTP/1.1 100"),
        "{}",
        String::from_utf8_lossy(&said[..read])
    );
    let port = api.port;
    let stopping = tokio::spawn(api.service.terminate());
    eventually("the server to take nobody any more", SOON, async || {
        TcpStream::connect(("127.0.0.1", port)).await.is_err().then_some(())
    })
    .await;
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let (status, _) = stopping.await.unwrap();
    assert!(status.success());
    assert_eq!(database.psql("select count(*) from mcp_event_subscription").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_databases_each_has_its_own_place_tokens_and_rows() {
    let (one, other) = (Database::fixture().await, Database::fixture().await);
    for database in [&one, &other] {
        eventd_ok(&database.url(), &["install"]).await;
    }
    let port = free_port().await;
    let file = std::env::temp_dir().join(format!("odoo-eventd-api-{}-{port}.toml", std::process::id()));
    let text = format!(
        "allow_networks = ['127.0.0.0/8']\n[api]\nlisten = '{port}'\nbase_path = '/eventd'\nallowed_hosts = ['odoo.example.com']\n\
         [[database]]\nurl = '{}'\nname = 'one'\n[[database]]\nurl = '{}'\nname = 'the other'\n\
         [[database]]\nurl = 'postgres://odoo@127.0.0.1:1/away'\nname = 'away'\n",
        one.url(),
        other.url()
    );
    std::fs::write(&file, text).unwrap();
    let mut command = crate::support::service::program();
    command.args(["--log-format", "json", "serve", "--config", file.to_str().unwrap()]);
    let api = Api::inside(Service::spawn(command), port);
    api.wait().await;
    let anna = token(&one, "anna", EVERYTHING, &[]).await;
    let made = api
        .ask(&anna, "POST", "/eventd/d/one/api/v1/subscriptions", Some(orders()))
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.header("location"), "/eventd/d/one/api/v1/subscriptions/1");
    assert_eq!(api.ask(&anna, "GET", made.header("location"), None).await.status, 200);
    assert_eq!(
        api.ask(&anna, "GET", "/eventd/d/one/restapi/1.0/webhooks/", None)
            .await
            .status,
        200
    );
    assert_eq!(
        api.ask(&anna, "GET", "/eventd/d/the%20other/api/v1/subscriptions", None)
            .await
            .status,
        401
    );
    let bert = token(&other, "bert", EVERYTHING, &[]).await;
    let counted = api
        .ask(&bert, "GET", "/eventd/d/the%20other/api/v1/subscriptions/count", None)
        .await;
    assert_eq!(counted.json(), json!({"count": 0}));
    let away = api.ask(&anna, "GET", "/eventd/d/away/api/v1/subscriptions", None).await;
    assert_eq!(away.status, 503);
    assert!(
        !away.text.contains("127.0.0.1") && !away.header("retry-after").is_empty(),
        "{}",
        away.text
    );
    for nowhere in [
        "/d/one/api/v1/models",
        "/eventd/api/v1/models",
        "/eventd/d/third/api/v1/models",
        "/eventd/d",
        "/eventd/d/",
    ] {
        assert_eq!(api.ask(&anna, "GET", nowhere, None).await.status, 404, "{nowhere}");
    }
    let document = api
        .ask_with(
            "",
            "GET",
            "/eventd/d/one/api/v1/openapi.json",
            &[("host", "odoo.example.com")],
            None,
        )
        .await;
    assert_eq!(document.json()["servers"][0]["url"], "/eventd/d/one");
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_for_is_done_to_its_end_when_the_client_goes_away() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let mut holder = database.admin_client().await;
    let held = holder.transaction().await.unwrap();
    held.batch_execute("lock table mcp_event_subscription in share mode")
        .await
        .unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", api.port)).await.unwrap();
    let body = orders().to_string();
    let request = format!(
        "POST /api/v1/subscriptions HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {anna}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let waits =
        "select count(*)::text from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()";
    eventually("the request to wait for the table", SOON, async || {
        (database.psql(waits).await.trim() == "1").then_some(())
    })
    .await;
    // An end of the connection, which the server sees at once.
    socket2::SockRef::from(&stream)
        .set_linger(Some(std::time::Duration::ZERO))
        .unwrap();
    drop(stream);
    // Answered after it.
    api.document().await;
    held.commit().await.unwrap();
    // No service runs: only the request itself looks at what it wrote.
    eventually("the subscription to be captured", SOON, async || {
        let state = database.psql("select state from mcp_event_subscription").await;
        (state.trim() == "ready").then_some(())
    })
    .await;
}
