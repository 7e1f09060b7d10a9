//! Every receiver that means harm, through the whole service: each delivery ends within its time, with the documented error in the
//! log, and none of them costs memory. And what a receiver may do to the next attempt over the same connection.

mod cases;
mod traps;

use std::sync::Arc;
use std::time::Duration;

use cases::{AMPLE_MS, cases};
use odoo_eventd::delivery::{Failure, Verdict};
use odoo_eventd::http::client::Request;
use tokio::io::AsyncWriteExt;
use traps::{Receivers, Server, read_request, trap, until_closed};

use crate::support::client::{client, post};
use crate::support::service::{SOON, Service, eventd_ok, wait_until_leading};
use crate::support::{Database, eventually};
use crate::tls::Authority;

/// What the service may grow by while all of them are at it: 40 receivers, none of whose answers is kept beyond 16 KiB.
const GROWTH_KIB: i64 = 32 * 1024;

/// The most memory that a process has had, in KiB, where the system tells.
fn peak_kib(pid: u32) -> Option<i64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_receiver_ends_as_documented_in_time_and_in_bounded_memory() {
    let database = Database::fixture().await;
    let authority = Authority::new();
    let ca_file = std::env::temp_dir().join(format!("odoo-eventd-hostile-ca-{}.pem", std::process::id()));
    std::fs::write(&ca_file, authority.pem()).unwrap();
    eventd_ok(&database.url(), &["install"]).await;
    let mut receivers = Receivers::default();
    let cases = cases(&authority);
    let client = database.client().await;
    let mut expected = Vec::new();
    for (name, server, timeout_ms, error, code) in cases {
        let url = receivers.start(server).await;
        client
            .execute(
                "insert into mcp_event_subscription (name, model, event_type, fields, webhook_url, webhook_secret, timeout_ms)
                 values ($1, 'res.partner', 'write', '{phone}', $2, 'secret', $3::int8)",
                &[&name, &url, &timeout_ms],
            )
            .await
            .unwrap();
        expected.push((name.to_owned(), error.map(str::to_owned), code));
    }
    let service = Service::start(&database.url(), &["--ca-file", ca_file.to_str().unwrap()]);
    wait_until_leading(&database).await;
    std::fs::remove_file(&ca_file).unwrap();
    let before = peak_kib(service.pid());
    database.psql("update res_partner set phone = '1' where id = 1").await;

    let finished =
        "select s.name, l.error, l.response_code, l.duration_ms, s.timeout_ms, coalesce(length(l.response_body), 0)
                      from mcp_event_subscription s
                      join mcp_webhook_delivery l on l.subscription_id = s.id and l.status <> 'pending' order by s.id";
    let rows = eventually("every attempt to end", SOON * 3, async || {
        let rows = client.query(finished, &[]).await.unwrap();
        (rows.len() >= expected.len()).then_some(rows)
    })
    .await;
    let mut found = Vec::new();
    for row in &rows {
        let (name, duration_ms, timeout_ms): (String, i32, i32) = (row.get(0), row.get(3), row.get(4));
        let error: Option<String> = row.get(1);
        assert!(
            error.as_deref() != Some("timeout") || duration_ms >= timeout_ms,
            "{name}: cut off after {duration_ms} of {timeout_ms} ms"
        );
        let kept: i32 = row.get(5);
        assert!(kept <= 64 * 1024, "{name}: {kept} characters kept");
        found.push((name, error, row.get::<_, Option<i32>>(2)));
    }
    let wrong: Vec<_> = found
        .iter()
        .zip(&expected)
        .filter(|(found, expected)| found != expected)
        .collect();
    assert!(
        wrong.is_empty(),
        "(receiver, error, response_code), as it is and as it should be: {wrong:#?}"
    );
    assert_eq!(found.len(), expected.len());
    if let (Some(before), Some(after)) = (before, peak_kib(service.pid())) {
        eprintln!("the service grew by {} KiB", after - before);
        assert!(after - before < GROWTH_KIB, "grew by {} KiB", after - before);
    }
    assert!(
        receivers.scripted.iter().all(|receiver| receiver.requests().len() == 1),
        "one request each"
    );
    let (status, _) = service.terminate().await;
    assert!(status.success());
}

/// For one attempt alone, as for those of the cases.
fn ample() -> Duration {
    Duration::from_millis(AMPLE_MS.unsigned_abs())
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_is_not_taken_for_that_of_the_next_request() {
    let mut receivers = Receivers::default();
    // Keep-alive, and a second answer smuggled in behind the first; on the next connection the truth.
    let connections = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let act = trap(move |mut stream| {
        let first = connections.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
        async move {
            read_request(&mut stream).await;
            let answer: &[u8] = if first {
                b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsmuggled!"
            } else {
                b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n"
            };
            let _ = stream.write_all(answer).await;
            until_closed(&mut stream).await;
        }
    });
    let url = receivers.start(Server::Plain(act)).await;
    let client = client(&["127.0.0.1"]);
    assert!(client.send(post(&url, ample())).await.outcome.is_success());
    let second = client.send(post(&url, ample())).await;
    assert!(
        !second.outcome.is_success() && second.response.text.is_empty(),
        "{second:?}"
    );
}

#[tokio::test]
async fn an_answer_that_comes_before_a_large_body_is_read_is_heard() {
    let mut receivers = Receivers::default();
    let act = trap(|mut stream| async move {
        read_request(&mut stream).await;
        // The rest of the body is never read; the connection stays open, so nothing of the answer is lost to a reset.
        let _ = stream
            .write_all(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
            .await;
        std::future::pending().await
    });
    let url = receivers.start(Server::Plain(act)).await;
    let client = client(&["127.0.0.1"]);
    let attempt = client
        .send(Request {
            body: vec![b'a'; 32 << 20].into(),
            ..post(&url, ample())
        })
        .await;
    assert_eq!(
        (attempt.status, attempt.outcome.verdict),
        (Some(503), Verdict::Retry),
        "{attempt:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_speaks_first_is_not_http_whenever_it_is_heard() {
    let mut receivers = Receivers::default();
    let act = trap(|mut stream| async move {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        until_closed(&mut stream).await;
    });
    let url = receivers.start(Server::Plain(act)).await;
    let client = client(&["127.0.0.1"]);
    for _ in 0..50 {
        let attempt = client.send(post(&url, ample())).await;
        assert_eq!(attempt.outcome.failure, Some(Failure::Protocol), "{attempt:?}");
    }
}
