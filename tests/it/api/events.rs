//! The event feed over HTTP: pages, waits and streams.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Api, EVERYTHING, token};
use crate::support::pages::free_port;
use crate::support::service::{SOON, Service, eventd_ok, wait_until_leading};
use crate::support::{Database, eventually};

/// A service that keeps events for one subscription, with the token that reads them.
async fn feeding() -> (Database, Api, String, i64) {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let port = free_port().await;
    let service = Service::start(&database.url(), &["--api-listen", &port.to_string()]);
    let api = Api::inside(service, port);
    api.wait().await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let draft = json!({"model": "sale.order", "event_type": "write", "fields": ["client_order_ref"]});
    let id = api.subscribe(&anna, draft).await;
    wait_until_leading(&database).await;
    (database, api, anna, id)
}

async fn change(database: &Database, reference: &str) {
    database
        .psql(&format!(
            "update sale_order set client_order_ref = '{reference}' where id = 1"
        ))
        .await;
}

/// A stream as it comes.
struct Stream {
    socket: TcpStream,
    text: String,
}

impl Stream {
    async fn open(api: &Api, token: &str, query: &str, last: Option<&str>) -> Self {
        let mut socket = TcpStream::connect(("127.0.0.1", api.port)).await.unwrap();
        let last = last.map(|id| format!("last-event-id: {id}\r\n")).unwrap_or_default();
        let head = format!(
            "GET /api/v1/events?{query} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\naccept: text/event-stream\r\n{last}\r\n"
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut stream = Self {
            socket,
            text: String::new(),
        };
        stream.until("\r\n\r\n").await;
        assert!(
            stream.text.starts_with("HTTP/1.1 200") && stream.text.contains("text/event-stream"),
            "{}",
            stream.text
        );
        stream
    }

    /// Reads until this text has come.
    async fn until(&mut self, text: &str) {
        let read = async {
            let mut buffer = vec![0; 4096];
            while !self.text.contains(text) {
                let length = self.socket.read(&mut buffer).await.unwrap();
                assert!(length > 0, "the stream ended: {}", self.text);
                self.text.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        };
        tokio::time::timeout(SOON, read)
            .await
            .unwrap_or_else(|_| panic!("{text} has not come"));
    }

    /// The id of the last event.
    fn last_id(&self) -> &str {
        let from = self.text.rfind("id: ").unwrap() + 4;
        self.text[from..].lines().next().unwrap().trim()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_read_waited_for_and_gone_on_with() {
    let (database, api, anna, id) = feeding().await;
    let read = async |query: &str| {
        let answer = api
            .ask(&anna, "GET", &format!("/api/v1/events?subscription={id}{query}"), None)
            .await;
        assert_eq!(answer.status, 200, "{query}: {}", answer.text);
        answer.json()
    };
    let nothing = read("").await;
    assert_eq!(
        (&nothing["events"], &nothing["has_more"], &nothing["truncated"]),
        (&json!([]), &json!(false), &json!(false))
    );
    let cursor = nothing["cursor"].as_str().unwrap().to_owned();
    let query = format!("&cursor={cursor}&wait_s=30");
    let (page, ()) = tokio::join!(read(&query), change(&database, "first"));
    assert_eq!(page["events"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(page["events"][0]["body"]["model"], "sale.order");
    assert_eq!(page["events"][0]["record_ids"], json!([1]));
    let cursor = page["cursor"].as_str().unwrap().to_owned();
    for n in 0..3 {
        change(&database, &format!("more {n}")).await;
    }
    let mut met = Vec::new();
    let mut at = cursor;
    eventually("three more events", SOON, async || {
        let page = read(&format!("&cursor={at}&limit=2")).await;
        met.extend(
            page["events"]
                .as_array()
                .unwrap()
                .iter()
                .map(|event| event["event_id"].clone()),
        );
        at = page["cursor"].as_str().unwrap().to_owned();
        (met.len() == 3).then_some(())
    })
    .await;
    for (query, status) in [
        (format!("subscription={id}&cursor=x"), 422),
        (format!("subscription={id}&limit=0"), 400),
        (format!("subscription={id}&wait_s=31"), 400),
        ("subscription=4711".to_owned(), 404),
        (String::new(), 400),
    ] {
        let answer = api.ask(&anna, "GET", &format!("/api/v1/events?{query}"), None).await;
        assert_eq!(answer.status, status, "{query}: {}", answer.text);
    }
    let bert = token(&database, "bert", EVERYTHING, &[]).await;
    let foreign = api
        .ask(&bert, "GET", &format!("/api/v1/events?subscription={id}"), None)
        .await;
    assert_eq!(foreign.status, 404, "{}", foreign.text);
    let bound = token(
        &database,
        "bound",
        &format!("{EVERYTHING},admin"),
        &["--models", "res.partner"],
    )
    .await;
    assert_eq!(
        api.ask(&bound, "GET", &format!("/api/v1/events?subscription={id}"), None)
            .await
            .status,
        404
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_where_it_was_cut_off_and_says_why_it_ends() {
    let (database, api, anna, id) = feeding().await;
    let query = format!("subscription={id}");
    let mut stream = Stream::open(&api, &anna, &query, None).await;
    change(&database, "one").await;
    stream.until("event: event\n").await;
    stream.until("\"record_ids\":[1]").await;
    stream.until("id: ").await;
    let last = stream.last_id().to_owned();
    drop(stream);
    change(&database, "two").await;
    let mut stream = Stream::open(&api, &anna, &query, Some(&last)).await;
    stream.until("\"record_ids\":[1]").await;
    // The one after the last, once.
    assert_eq!(stream.text.matches("event: event").count(), 1, "{}", stream.text);
    assert_ne!(stream.last_id(), last);
    // Who may not stay is shown out, from a stream and from a wait.
    let end = format!("/api/v1/events?{query}&cursor={}&wait_s=30", stream.last_id());
    let waits = api.ask(&anna, "GET", &end, None);
    let revoked = async {
        // He is let in before: his token is asked for once more behind him.
        api.ask(&anna, "GET", "/api/v1/models", None).await;
        eventd_ok(&database.url(), &["token", "revoke", "1"]).await;
        stream.until("event: end").await;
    };
    let (waited, ()) = tokio::join!(waits, revoked);
    assert_eq!(waited.status, 401, "{}", waited.text);
    let bert = token(&database, "bert", "admin", &[]).await;
    let mut stream = Stream::open(&api, &bert, &query, None).await;
    stream.until("event: event").await;
    let stopped = tokio::spawn(api.service.terminate());
    stream.until("event: end").await;
    assert!(stream.text.contains("Last-Event-ID"), "{}", stream.text);
    let (status, log) = stopped.await.unwrap();
    assert!(status.success(), "{log}");
}
