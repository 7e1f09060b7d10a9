//! Whatever is sent is answered or cut off, and nobody else notices.

use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Api, EVERYTHING, orders, token};
use crate::support::service::{SOON, eventd_ok};
use crate::support::{Database, eventually};

const LIST: &str = "/api/v1/subscriptions";

/// Sends these bytes and reads until the other side closes, or for as long as anything comes.
async fn raw(port: u16, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // It may be cut off before it has sent everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(SOON, stream.read_to_end(&mut answer))
        .await
        .unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(token: &str, head: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "{head}\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_cannot_be_are_problems() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let post = format!("POST {LIST} HTTP/1.1");
    let name = |length: usize| {
        json!({"model": "sale.order", "name": "x".repeat(length)})
            .to_string()
            .into_bytes()
    };
    let frame = name(0).len();
    let mut broken = br#"{"model": "sale.order", "name": ""#.to_vec();
    broken.extend_from_slice(b"\xff\xfe\"}");
    for (what, body, status) in [
        ("a body that just fits", name(1024 * 1024 - frame), 201),
        ("one byte more", name(1024 * 1024 - frame + 1), 413),
        ("broken UTF-8", broken, 400),
        ("deep JSON", "[".repeat(500_000).into_bytes(), 400),
        ("deep objects", "{\"a\":".repeat(100_000).into_bytes(), 400),
        ("no JSON", b"model=sale.order".to_vec(), 400),
        ("nothing", Vec::new(), 400),
        ("half of it", br#"{"model": "#.to_vec(), 400),
        (
            "a huge number",
            br#"{"model": "sale.order", "timeout_ms": 1e400}"#.to_vec(),
            422,
        ),
        (
            "a lone surrogate",
            br#"{"model": "sale.order", "name": "\ud800"}"#.to_vec(),
            400,
        ),
    ] {
        let answer = raw(api.port, &request(&anna, &post, &body)).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{what}: {}",
            &answer[..answer.len().min(400)]
        );
        assert!(status == 201 || answer.contains("application/problem+json"), "{what}");
    }
    let no_json = [("content-type", "text/plain")];
    assert_eq!(
        api.ask_with(&anna, "POST", LIST, &no_json, Some(orders())).await.status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_cannot_be_are_answered_or_cut_off() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let large = format!(
        "GET {LIST} HTTP/1.1\r\nhost: localhost\r\nx-large: {}\r\n\r\n",
        "x".repeat(64 * 1024)
    );
    assert!(raw(api.port, large.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    let many = format!(
        "GET {LIST} HTTP/1.1\r\nhost: localhost\r\n{}\r\n",
        "a: b\r\n".repeat(500)
    );
    assert!(raw(api.port, many.as_bytes()).await.starts_with("HTTP/1.1 431 "));
    for nonsense in [
        "\r\n\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00",
        "GET /\x00 HTTP/1.1\r\n\r\n",
    ] {
        let answer = raw(api.port, nonsense.as_bytes()).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 505"),
            "{nonsense:?}: {answer}"
        );
    }
    // Long, and yet a path; and a Host that is not ours.
    let long = format!("GET /{} HTTP/1.1", "a".repeat(20_000));
    assert!(
        raw(api.port, &request(&anna, &long, b""))
            .await
            .starts_with("HTTP/1.1 404 ")
    );
    for host in ["evil.example", "localhost.evil.example", ""] {
        let answer = api.ask_with(&anna, "GET", LIST, &[("host", host)], None).await;
        assert_eq!(answer.status, 421, "{host}");
        answer.pointers();
    }
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8075", "[::1]:8075"] {
        assert_eq!(
            api.ask_with(&anna, "GET", LIST, &[("host", host)], None).await.status,
            200,
            "{host}"
        );
    }
    let told = api
        .ask_with(&anna, "GET", LIST, &[("x-request-id", "mine-1")], None)
        .await;
    assert_eq!(told.header("x-request-id"), "mine-1");
    let forged = api
        .ask_with(&anna, "GET", LIST, &[("x-request-id", "a b{\"")], None)
        .await;
    assert_ne!(forged.header("x-request-id"), "a b{\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_says_nothing_keeps_nobody_out() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let api = Api::beside(&database, &["--api-max-connections", "64"]).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let before = api.memory_kib();
    let mut silent = Vec::new();
    for n in 0..1_500 {
        let mut stream = TcpStream::connect(("127.0.0.1", api.port)).await.unwrap();
        // Some begin to say something and never end.
        if n % 2 == 0 {
            let _ = stream
                .write_all(b"POST /api/v1/subscriptions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
                .await;
        }
        silent.push(stream);
        if n % 300 == 299 {
            assert_eq!(api.ask(&anna, "GET", LIST, None).await.status, 200, "beside {n}");
        }
    }
    // Those that are open have buffers, and no more than the limit are open.
    let grown = api.memory_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB more");
    // The first have gone for others: its sockets are the limit's, and the few that it has to the database.
    eventually("the others to be closed", SOON, async || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", api.service.pid()))
            .unwrap()
            .count();
        (open < 64 + 40).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_nothing_or_does_not_go_on_is_cut_off() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let slow = format!(
        "POST {LIST} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {anna}\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{{"
    );
    let (nothing, preface, head, body) = tokio::join!(
        raw(api.port, b""),
        raw(api.port, b"PRI * HTTP/2.0"),
        raw(api.port, b"GET /api/v1/subscriptions HTTP/1.1\r\nhost: local"),
        raw(api.port, slow.as_bytes()),
    );
    assert_eq!((nothing.as_str(), preface.as_str()), ("", ""));
    assert!(head.is_empty() || head.starts_with("HTTP/1.1 408"), "{head}");
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_one_connection_are_answered_side_by_side() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let anna = token(&database, "anna", EVERYTHING, &[]).await;
    let stream = TcpStream::connect(("127.0.0.1", api.port)).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let asked = (0..20).map(|_| {
        let mut sender = sender.clone();
        let request = Request::get(format!("http://localhost:{}{LIST}", api.port))
            .header("authorization", format!("Bearer {anna}"))
            .body(http_body_util::Full::new(Bytes::new()))
            .unwrap();
        async move { sender.send_request(request).await.unwrap().status() }
    });
    assert!(
        futures_util::future::join_all(asked)
            .await
            .iter()
            .all(|status| *status == 200)
    );
}
