//! One attempt over a real socket: every outcome, and every receiver that means harm.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use odoo_eventd::delivery::{Failure, Verdict};
use odoo_eventd::endpoint::headers::parse_headers;
use odoo_eventd::http::client::{Attempt, Client, DEFAULT_RESPONSE_CAP_BYTES};
use reqwest::Method;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::support::client::{AMPLE, allowing, client, post};
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::SOON;

const LOOPBACK: &str = "127.0.0.0/8";
/// Long enough for the head of an answer on a machine under load, short enough for the tests that wait for it to end.
const SHORT: Duration = Duration::from_millis(1_500);

async fn attempt(receiver: &Receiver, reply: Reply, timeout: Duration) -> Attempt {
    receiver.replies([reply]);
    let client = client(&[LOOPBACK]);
    let attempt = client.send(post(&receiver.url("/hook"), timeout));
    tokio::time::timeout(SOON + timeout, attempt)
        .await
        .expect("the time of an attempt ends it")
}

#[tokio::test]
async fn every_status_is_judged_by_the_table() {
    let receiver = Receiver::start().await;
    let client = client(&[LOOPBACK]);
    for (status, verdict, failure) in [
        (200, Verdict::Success, None),
        (201, Verdict::Success, None),
        (202, Verdict::Success, None),
        (204, Verdict::Success, None),
        (301, Verdict::Fail, Some(Failure::Redirect)),
        (304, Verdict::Fail, Some(Failure::Redirect)),
        (400, Verdict::Fail, Some(Failure::HttpStatus)),
        (401, Verdict::Fail, Some(Failure::HttpStatus)),
        (403, Verdict::Fail, Some(Failure::HttpStatus)),
        (404, Verdict::Fail, Some(Failure::HttpStatus)),
        (408, Verdict::Retry, Some(Failure::HttpStatus)),
        (410, Verdict::Disable, Some(Failure::HttpStatus)),
        (413, Verdict::Fail, Some(Failure::HttpStatus)),
        (422, Verdict::Fail, Some(Failure::HttpStatus)),
        (425, Verdict::Retry, Some(Failure::HttpStatus)),
        (429, Verdict::Retry, Some(Failure::HttpStatus)),
        (500, Verdict::Retry, Some(Failure::HttpStatus)),
        (502, Verdict::Retry, Some(Failure::HttpStatus)),
        (503, Verdict::Retry, Some(Failure::HttpStatus)),
        (504, Verdict::Retry, Some(Failure::HttpStatus)),
        (999, Verdict::Fail, Some(Failure::HttpStatus)),
    ] {
        receiver.replies([Reply::status(status).body(if matches!(status, 204 | 304) { "" } else { "said" })]);
        let attempt = client.send(post(&receiver.url("/"), AMPLE)).await;
        assert_eq!(
            (attempt.outcome.verdict, attempt.outcome.failure),
            (verdict, failure),
            "{status}: {attempt:?}"
        );
        assert_eq!(attempt.status, Some(status));
        assert_eq!(
            attempt.response.text,
            if matches!(status, 204 | 304) { "" } else { "said" }
        );
    }
    assert_eq!(
        receiver.requests().len(),
        21,
        "one request for each attempt, whatever the answer"
    );
    assert_eq!(receiver.connections(), 1, "and one connection for all");
}

#[tokio::test]
async fn every_hostile_receiver_ends_in_its_outcome_within_the_time() {
    let receiver = Receiver::start().await;
    for (name, reply, timeout, failure, status) in [
        ("hangs", Reply::hang(), SHORT, Some(Failure::Timeout), None),
        (
            "answers late",
            Reply::status(200).after(AMPLE),
            SHORT,
            Some(Failure::Timeout),
            None,
        ),
        (
            "drips its head",
            Reply::drip_head(),
            SHORT,
            Some(Failure::Timeout),
            None,
        ),
        (
            "drips its body",
            Reply::drip_body(),
            SHORT,
            Some(Failure::Timeout),
            Some(200),
        ),
        (
            "never ends its headers",
            Reply::endless_head(),
            AMPLE,
            Some(Failure::Protocol),
            None,
        ),
        (
            "sends 1 GiB after a 200",
            Reply::huge(200, 1 << 10),
            AMPLE,
            None,
            Some(200),
        ),
        (
            "sends 1 GiB after a 503",
            Reply::huge(503, 1 << 10),
            AMPLE,
            Some(Failure::HttpStatus),
            Some(503),
        ),
        ("never ends its body", Reply::endless_body(), AMPLE, None, Some(200)),
        ("sends a gzip bomb", Reply::gzip_bomb(), AMPLE, None, Some(200)),
        (
            "sends an invalid chunk",
            Reply::invalid_chunk(),
            AMPLE,
            Some(Failure::Protocol),
            Some(200),
        ),
        (
            "breaks off after a 200",
            Reply::short_body(200),
            AMPLE,
            Some(Failure::ConnectionReset),
            Some(200),
        ),
        (
            "breaks off after a 404",
            Reply::short_body(404),
            AMPLE,
            Some(Failure::HttpStatus),
            Some(404),
        ),
        ("resets", Reply::reset(), AMPLE, Some(Failure::ConnectionReset), None),
        ("closes", Reply::close(), AMPLE, Some(Failure::ConnectionReset), None),
        (
            "closes in its head",
            Reply::raw("HTTP/1.1 200 OK\r\nX-"),
            AMPLE,
            Some(Failure::ConnectionReset),
            None,
        ),
        (
            "sends early hints without end",
            Reply::endless_hints(),
            AMPLE,
            Some(Failure::Protocol),
            None,
        ),
        (
            "is no web server",
            Reply::raw("220 mail.example ESMTP\r\n"),
            AMPLE,
            Some(Failure::Protocol),
            None,
        ),
        (
            "switches protocols",
            Reply::raw("HTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n"),
            AMPLE,
            Some(Failure::HttpStatus),
            Some(101),
        ),
    ] {
        let attempt = attempt(&receiver, reply, timeout).await;
        assert_eq!(
            (attempt.outcome.failure, attempt.status),
            (failure, status),
            "a receiver that {name}: {attempt:?}"
        );
        assert!(attempt.response.text.len() <= 4 * DEFAULT_RESPONSE_CAP_BYTES, "{name}");
        if failure == Some(Failure::Timeout) {
            assert!(attempt.duration >= timeout, "{name}: {:?}", attempt.duration);
            assert_eq!(attempt.detail.as_deref(), Some("not finished after 1500 ms"));
        }
    }
    assert_eq!(receiver.requests().len(), 18, "no attempt sends twice");
}

#[tokio::test]
async fn reading_stops_at_the_cap_and_the_rest_is_never_fetched() {
    let receiver = Receiver::start().await;
    let attempt = attempt(&receiver, Reply::huge(200, 1 << 10), AMPLE).await;
    assert!(attempt.outcome.is_success() && attempt.response.truncated);
    assert_eq!(attempt.response.text.len(), DEFAULT_RESPONSE_CAP_BYTES);
    // What was already on its way fills the sockets' buffers; a gigabyte does not fit there.
    assert!(
        receiver.bytes_written() < 64 << 20,
        "{} bytes written",
        receiver.bytes_written()
    );
}

#[tokio::test]
async fn a_body_of_exactly_the_cap_is_whole_and_one_more_byte_is_not() {
    let receiver = Receiver::start().await;
    for (length, truncated) in [
        (DEFAULT_RESPONSE_CAP_BYTES, false),
        (DEFAULT_RESPONSE_CAP_BYTES + 1, true),
    ] {
        let attempt = attempt(&receiver, Reply::status(200).body(vec![b'a'; length]), AMPLE).await;
        assert_eq!(attempt.response.text.len(), DEFAULT_RESPONSE_CAP_BYTES);
        assert_eq!(attempt.response.truncated, truncated);
    }
}

#[tokio::test]
async fn a_compressed_answer_is_kept_as_it_came() {
    let receiver = Receiver::start().await;
    let attempt = attempt(&receiver, Reply::gzip_bomb(), AMPLE).await;
    assert!(
        attempt.response.text.starts_with("\u{1f}\\x8b"),
        "{:?}",
        &attempt.response.text[..20]
    );
    assert_eq!(
        receiver.requests()[0].header("accept-encoding"),
        None,
        "compression is not asked for"
    );
}

#[tokio::test]
async fn the_request_is_what_was_asked_for() {
    let receiver = Receiver::start().await;
    let mut request = post(&receiver.url("/hook?x=1"), AMPLE);
    request.method = Method::PATCH;
    request.headers = parse_headers([("Content-Type", "application/json"), ("X-Tenant", "42")]).unwrap();
    request.body = Bytes::from_static(br#"{"a":1}"#);
    assert!(client(&[LOOPBACK]).send(request).await.outcome.is_success());
    let seen = &receiver.wait_for(1, AMPLE).await[0];
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("PATCH", "/hook?x=1"));
    assert_eq!(seen.json(), serde_json::json!({"a": 1}));
    assert_eq!(seen.header("x-tenant"), Some("42"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(
        seen.header("user-agent"),
        Some(concat!("odoo-eventd/", env!("CARGO_PKG_VERSION")))
    );
    assert_eq!(seen.header("host"), Some(receiver.address().to_string().as_str()));
}

#[tokio::test]
async fn a_redirect_to_the_metadata_address_is_not_followed() {
    let receiver = Receiver::start().await;
    for status in [301, 302, 303, 307, 308] {
        let attempt = attempt(
            &receiver,
            Reply::redirect(status, "http://169.254.169.254/latest/"),
            AMPLE,
        )
        .await;
        assert_eq!(attempt.outcome.failure, Some(Failure::Redirect), "{status}");
    }
    let attempt = attempt(&receiver, Reply::redirect(302, &receiver.url("/elsewhere")), AMPLE).await;
    assert_eq!(attempt.outcome.failure, Some(Failure::Redirect));
    assert!(receiver.requests().iter().all(|request| request.path == "/hook"));
}

#[tokio::test]
async fn retry_after_is_reported_in_both_forms() {
    let receiver = Receiver::start().await;
    let asked = attempt(&receiver, Reply::status(503).header("Retry-After", "120"), AMPLE).await;
    assert_eq!(asked.retry_after, Some(Duration::from_secs(120)));
    let dated = Reply::status(429).header("Retry-After", "Sat, 06 Nov 2094 08:48:00 GMT");
    assert_eq!(
        attempt(&receiver, dated, AMPLE).await.retry_after,
        Some(odoo_eventd::backoff::CAP)
    );
    assert_eq!(
        attempt(&receiver, Reply::status(503).header("Retry-After", "soon"), AMPLE)
            .await
            .retry_after,
        None
    );
}

#[tokio::test]
async fn an_address_nobody_listens_at_is_refused() {
    let free = crate::support::pages::free_port().await;
    let attempt = client(&[LOOPBACK])
        .send(post(&format!("http://127.0.0.1:{free}/"), AMPLE))
        .await;
    assert_eq!(attempt.outcome.failure, Some(Failure::ConnectionRefused), "{attempt:?}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_a_dns_failure() {
    // RFC 6761: .invalid never resolves.
    let attempt = client(&[]).send(post("https://nowhere.invalid/", AMPLE)).await;
    assert_eq!(attempt.outcome.failure, Some(Failure::Dns), "{attempt:?}");
}

#[tokio::test]
async fn a_blocked_address_is_never_connected_to() {
    let receiver = Receiver::start().await;
    let port = receiver.address().port();
    let nothing_allowed = client(&[]);
    let other_network_allowed = client(&["10.0.0.0/8"]);
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://0177.0.0.1:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://localhost:{port}/"),
        format!("https://localhost:{port}/"),
    ] {
        for client in [&nothing_allowed, &other_network_allowed] {
            let attempt = client.send(post(&url, AMPLE)).await;
            assert_eq!(
                attempt.outcome.failure,
                Some(Failure::BlockedAddress),
                "{url}: {attempt:?}"
            );
            assert_eq!(attempt.outcome.verdict, Verdict::Fail);
        }
    }
    assert_eq!(receiver.connections(), 0);
}

/// Answers each look-up with the next of its addresses, whatever the name; an attacker's DNS server.
struct Rebinding(Mutex<VecDeque<&'static [&'static str]>>);

impl Resolve for Rebinding {
    fn resolve(&self, _: Name) -> Resolving {
        let next = self
            .0
            .lock()
            .unwrap()
            .pop_front()
            .expect("no more look-ups than scripted");
        let addresses: Vec<SocketAddr> = next.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
        Box::pin(async { Ok(Box::new(addresses.into_iter()) as Addrs) })
    }
}

#[tokio::test]
async fn a_name_that_is_rebound_between_attempts_is_judged_again() {
    let receiver = Receiver::start().await;
    // Each answer closes the connection, so that the next attempt resolves anew.
    receiver.otherwise(Reply::status(200).header("Connection", "close"));
    let lookups: [&[&str]; 4] = [
        &["127.0.0.1"],
        &["127.0.0.2"],
        &["169.254.169.254", "127.0.0.1"],
        &["10.0.0.1", "::1"],
    ];
    let mut config = allowing(&["127.0.0.1"]);
    config.resolver = Arc::new(Rebinding(Mutex::new(lookups.into())));
    let client = Client::new(config).unwrap();
    let url = format!("http://attacker.example:{}/", receiver.address().port());
    for (lookup, failure) in
        lookups
            .iter()
            .zip([None, Some(Failure::BlockedAddress), None, Some(Failure::BlockedAddress)])
    {
        let attempt = client.send(post(&url, AMPLE)).await;
        assert_eq!(attempt.outcome.failure, failure, "{lookup:?}: {attempt:?}");
    }
    assert_eq!(receiver.requests().len(), 2);
    assert_eq!(
        receiver.requests()[0].header("host"),
        Some(&url["http://".len()..url.len() - 1])
    );
}

#[tokio::test]
async fn tls_to_something_else_is_a_tls_failure() {
    let receiver = Receiver::start().await;
    let url = format!("https://127.0.0.1:{}/", receiver.address().port());
    let attempt = client(&[LOOPBACK]).send(post(&url, AMPLE)).await;
    assert_eq!(attempt.outcome.failure, Some(Failure::Tls), "{attempt:?}");
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_not_used() {
    // The variables are read when a client is built, and a test must not set them for its whole process: another test runs as a child.
    let receiver = Receiver::start().await;
    let output = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "http::a_name_that_does_not_exist_is_a_dns_failure"])
        .envs(
            ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"]
                .map(|name| (name, receiver.url(""))),
        )
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("1 passed"), "{said}");
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn attempts_side_by_side_do_not_wait_for_one_another() {
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::hang());
    let client = client(&[LOOPBACK]);
    let url = receiver.url("/");
    let attempts = futures_util::future::join_all((0..50).map(|_| client.send(post(&url, AMPLE))));
    tokio::select! {
        ended = attempts => panic!("nobody has answered: {ended:?}"),
        arrived = receiver.wait_for(50, SOON) => assert_eq!(arrived.len(), 50),
    }
}

#[tokio::test]
async fn a_connection_that_the_receiver_closed_is_not_used_again() {
    let receiver = Receiver::start().await;
    // Keep-alive is promised and not kept, as by a server whose idle time has just run out.
    receiver.otherwise(Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    let client = client(&[LOOPBACK]);
    for round in 1..=20 {
        let attempt = client.send(post(&receiver.url("/"), AMPLE)).await;
        assert!(attempt.outcome.is_success(), "{round}: {attempt:?}");
    }
    assert_eq!((receiver.connections(), receiver.requests().len()), (20, 20));
}

#[tokio::test]
async fn a_receiver_that_never_reads_counts_against_the_time() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut request = post(&format!("http://{}/", listener.local_addr().unwrap()), SHORT);
    // More than the sockets' buffers take.
    request.body = vec![b'a'; 64 << 20].into();
    let accepted = tokio::spawn(async move { listener.accept().await });
    let attempt = client(&[LOOPBACK]).send(request).await;
    assert_eq!(attempt.outcome.failure, Some(Failure::Timeout), "{attempt:?}");
    accepted.abort();
}
