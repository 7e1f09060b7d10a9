//! Connections that are opened and left keep nobody out.

use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::process::Stdio;

use socket2::SockRef;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::support::Database;
use crate::support::client::{AMPLE, client, post};
use crate::support::service::{SOON, Service, eventd, program, wait_until_leading};

/// So many connections that say nothing, or only the beginning of something.
async fn half_open(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for number in 0..count {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let said: &[u8] = [&b""[..], b"G", b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"\x16\x03\x01"][number % 4];
        // It may have been closed already.
        let _ = stream.write_all(said).await;
        open.push(stream);
    }
    open
}

async fn get(address: SocketAddr, path: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    tokio::time::timeout(SOON, exchange).await.expect("an answer")
}

/// Whether the other side has neither closed it nor said anything.
fn is_open(stream: &TcpStream) -> bool {
    let peeked = SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]);
    peeked.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

/// Opens more of them, and is answered while the latest of those that say nothing is still open: not because their time was over.
async fn is_answered_beside_them(address: SocketAddr, path: &str) -> Vec<TcpStream> {
    let mut left = Vec::new();
    // On a busy machine their time may be over first.
    for _ in 0..10 {
        left.extend(half_open(address, 100).await);
        let answer = get(address, path).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        if is_open(&left[left.len() - 4]) {
            return left;
        }
    }
    panic!("{path} was answered only when no connection was left half-open");
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_are_answered_however_many_connections_are_left_half_open() {
    let database = Database::fixture().await;
    eventd(&database.url(), &["install"]).await;
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let _service = Service::start(&database.url(), &["--listen-http", &address.to_string()]);
    wait_until_leading(&database).await;
    let mut left = Vec::new();
    for path in ["/healthz", "/metrics", "/healthz"] {
        left.extend(is_answered_beside_them(address, path).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_answers_however_many_connections_are_left_half_open() {
    let mut receiving = program()
        .args(["receive", "--port", "0"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(receiving.stderr.take().unwrap()).lines();
    let line = tokio::time::timeout(SOON, said.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let url = line
        .split(' ')
        .find(|word| word.starts_with("http://"))
        .unwrap()
        .to_owned();
    let address: SocketAddr = url["http://".len()..].trim_end_matches('/').parse().unwrap();
    let mut left = half_open(address, 400).await;
    let attempt = client(&["127.0.0.0/8"]).send(post(&url, AMPLE)).await;
    assert!(attempt.outcome.is_success(), "{attempt:?}");
    // The first of them has been closed for the last.
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(SOON, left[0].read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "it is still open");
    receiving.kill().await.unwrap();
}
