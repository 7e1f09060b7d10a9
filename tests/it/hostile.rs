//! Every receiver that means harm, through the whole service: each delivery ends within its time, with the documented error in the
//! log, and none of them costs memory.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use odoo_eventd::delivery::Verdict;
use odoo_eventd::http::client::{Audience, Client, ClientConfig, Request};
use odoo_eventd::http::guard::{Guard, parse_url};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{SOON, Service, eventd_ok, wait_until_leading};
use crate::support::{Database, eventually};
use crate::tls::Authority;

/// For receivers that are cut off by the time alone.
const SHORT_MS: i64 = 1_500;
/// For all others: reaching it is a failure of the test.
const AMPLE_MS: i64 = 60_000;
/// How much later than its time an attempt may be recorded, on a machine under load.
const SLACK_MS: i64 = 30_000;
/// What the service may grow by while all of them are at it: 40 receivers, none of whose answers is kept beyond 16 KiB.
const GROWTH_KIB: i64 = 32 * 1024;

/// What is done with a connection.
type Trap = Arc<dyn Fn(TcpStream) -> BoxFuture<'static, ()> + Send + Sync>;

fn trap<F: Future<Output = ()> + Send + 'static>(act: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Trap {
    Arc::new(move |stream| act(stream).boxed())
}

/// Reads the request, answers with these bytes, and closes in good order.
fn says(bytes: impl Into<Vec<u8>>) -> Trap {
    let bytes: Arc<[u8]> = bytes.into().into();
    trap(move |mut stream| {
        let bytes = Arc::clone(&bytes);
        async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
            until_closed(&mut stream).await;
        }
    })
}

/// As [`says`], then the connection is aborted.
fn says_and_resets(bytes: &'static str) -> Trap {
    trap(move |mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(bytes.as_bytes()).await;
        // What was said must have been heard: a reset takes what is still on its way with it.
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.set_zero_linger().unwrap();
    })
}

/// Says the first, and then the second for as long as anybody listens.
fn goes_on(first: &'static str, then: String) -> Trap {
    let then: Arc<str> = then.into();
    trap(move |mut stream| {
        let then = Arc::clone(&then);
        async move {
            read_request(&mut stream).await;
            let mut going = stream.write_all(first.as_bytes()).await;
            while going.is_ok() {
                going = stream.write_all(then.as_bytes()).await;
            }
        }
    })
}

/// Says it one byte at a time, then nothing, and does not hang up.
fn drips(text: String) -> Trap {
    let text: Arc<str> = text.into();
    trap(move |mut stream| {
        let text = Arc::clone(&text);
        async move {
            read_request(&mut stream).await;
            for byte in text.bytes() {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            until_closed(&mut stream).await;
        }
    })
}

/// What a scripted reply of the ordinary receiver does.
fn replies(reply: Reply) -> Server {
    Server::Scripted(reply)
}

/// A handshake with this acceptor, then `act`.
fn tls<F: Future<Output = ()> + Send + 'static>(
    acceptor: TlsAcceptor,
    act: impl Fn(tokio_rustls::server::TlsStream<TcpStream>) -> F + Clone + Send + Sync + 'static,
) -> Trap {
    trap(move |stream| {
        let (acceptor, act) = (acceptor.clone(), act.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                act(stream).await;
            }
        }
    })
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) {
    let mut seen = Vec::new();
    while !seen.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {
            continue;
        }
        return;
    }
}

/// The same for HTTP/2: up to a HEADERS frame. What is answered before that ends a connection that no request is on yet.
async fn read_http2_request(stream: &mut (impl AsyncRead + Unpin)) {
    const PREFACE: usize = 24;
    const FRAME_HEADER: usize = 9;
    const HEADERS: u8 = 1;
    let mut seen = Vec::new();
    let mut frame = PREFACE;
    loop {
        while let Some(header) = seen.get(frame..frame + FRAME_HEADER) {
            if header[3] == HEADERS {
                return;
            }
            frame +=
                FRAME_HEADER + usize::from(header[0]) * 65_536 + usize::from(header[1]) * 256 + usize::from(header[2]);
        }
        if !stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {
            return;
        }
    }
}

async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let mut ignored = [0; 4096];
    while stream.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
}

async fn answers_ok(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    read_request(&mut stream).await;
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    until_closed(&mut stream).await;
}

/// Where a case's requests go.
enum Server {
    Plain(Trap),
    Tls(Trap),
    Scripted(Reply),
    /// Listens and never accepts.
    Deaf,
}

/// A case: its name, its receiver, the limit of time, and the `error` and `response_code` of the log.
type Case = (&'static str, Server, i64, Option<&'static str>, Option<i32>);

fn cases(authority: &Authority) -> Vec<Case> {
    use Server::{Deaf, Plain, Tls};
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let certificate =
        |name: &str, change: fn(&mut rcgen::CertificateParams)| authority.server(name, &["http/1.1"], change);
    vec![
        // Too slow.
        ("hangs", replies(Reply::hang()), SHORT_MS, Some("timeout"), None),
        ("listens and never accepts", Deaf, SHORT_MS, Some("timeout"), None),
        (
            "drips its head",
            Plain(drips(format!("{ok}X-Slow: {}", "a".repeat(10_000)))),
            SHORT_MS,
            Some("timeout"),
            None,
        ),
        (
            "drips its body",
            Plain(drips(format!("{ok}Content-Length: 9999\r\n\r\n{}", "a".repeat(9_000)))),
            SHORT_MS,
            Some("timeout"),
            Some(200),
        ),
        (
            "sends early hints without end",
            replies(Reply::endless_hints()),
            SHORT_MS,
            Some("timeout"),
            None,
        ),
        (
            "says continue without end",
            Plain(goes_on("", "HTTP/1.1 100 Continue\r\n\r\n".repeat(64))),
            SHORT_MS,
            Some("timeout"),
            None,
        ),
        // Too much.
        (
            "never ends its headers",
            replies(Reply::endless_head()),
            AMPLE_MS,
            Some("protocol"),
            None,
        ),
        (
            "floods with headers",
            Plain(says(format!(
                "{ok}{}Content-Length: 0\r\n\r\n",
                "X-A: b\r\n".repeat(10_000)
            ))),
            AMPLE_MS,
            Some("protocol"),
            None,
        ),
        (
            "sends one header of 2 MB",
            Plain(says(format!(
                "{ok}X-A: {}\r\nContent-Length: 0\r\n\r\n",
                "a".repeat(2_000_000)
            ))),
            AMPLE_MS,
            Some("protocol"),
            None,
        ),
        (
            "sends 1 GB after a 200",
            replies(Reply::huge(200, 1 << 10)),
            AMPLE_MS,
            None,
            Some(200),
        ),
        (
            "sends 1 GB after a 500",
            replies(Reply::huge(500, 1 << 10)),
            AMPLE_MS,
            Some("http_status"),
            Some(500),
        ),
        (
            "never ends its body",
            replies(Reply::endless_body()),
            AMPLE_MS,
            None,
            Some(200),
        ),
        (
            "sends a gzip bomb",
            replies(Reply::gzip_bomb()),
            AMPLE_MS,
            None,
            Some(200),
        ),
        (
            "never ends a chunk's extension",
            Plain(goes_on(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
                "a".repeat(4_096),
            )),
            AMPLE_MS,
            Some("protocol"),
            Some(200),
        ),
        (
            "never ends its trailers",
            Plain(goes_on(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
                "X-A: b\r\n".repeat(512),
            )),
            AMPLE_MS,
            Some("protocol"),
            Some(200),
        ),
        // Not HTTP.
        (
            "sends an invalid chunk",
            replies(Reply::invalid_chunk()),
            AMPLE_MS,
            Some("protocol"),
            Some(200),
        ),
        (
            "sends a chunk of 2^68 bytes",
            Plain(says(format!("{chunked}FFFFFFFFFFFFFFFFF\r\nx"))),
            AMPLE_MS,
            Some("protocol"),
            Some(200),
        ),
        (
            "answers as HTTP/0.9",
            Plain(says("<html>hello</html>\n")),
            AMPLE_MS,
            Some("protocol"),
            None,
        ),
        (
            "answers as HTTP/3.7",
            Plain(says("HTTP/3.7 200 OK\r\n\r\n")),
            AMPLE_MS,
            Some("protocol"),
            None,
        ),
        (
            "has a status of four digits",
            Plain(says("HTTP/1.1 2000 OK\r\n\r\n")),
            AMPLE_MS,
            Some("protocol"),
            None,
        ),
        (
            "has two lengths",
            Plain(says(format!("{ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"))),
            AMPLE_MS,
            Some("protocol"),
            None,
        ),
        (
            "has a negative length",
            Plain(says(format!("{ok}Content-Length: -1\r\n\r\n"))),
            AMPLE_MS,
            Some("protocol"),
            None,
        ),
        (
            "is a mail server",
            Plain(trap(|mut stream| async move {
                let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
                until_closed(&mut stream).await;
            })),
            AMPLE_MS,
            Some("protocol"),
            None,
        ),
        // Breaking off.
        (
            "resets at once",
            Plain(trap(|stream| async move { stream.set_zero_linger().unwrap() })),
            AMPLE_MS,
            Some("connection_reset"),
            None,
        ),
        (
            "resets after the request",
            Plain(says_and_resets("")),
            AMPLE_MS,
            Some("connection_reset"),
            None,
        ),
        (
            "resets in its head",
            Plain(says_and_resets("HTTP/1.1 200 OK\r\nX-")),
            AMPLE_MS,
            Some("connection_reset"),
            None,
        ),
        (
            "resets in its body",
            Plain(says_and_resets("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")),
            AMPLE_MS,
            Some("connection_reset"),
            Some(200),
        ),
        (
            "closes without a word",
            Plain(says("")),
            AMPLE_MS,
            Some("connection_reset"),
            None,
        ),
        (
            "closes in its head",
            Plain(says("HTTP/1.1 20")),
            AMPLE_MS,
            Some("connection_reset"),
            None,
        ),
        (
            "closes in a chunk",
            Plain(says(format!("{chunked}64\r\nhalf"))),
            AMPLE_MS,
            Some("connection_reset"),
            Some(200),
        ),
        // Odd, and fair.
        (
            "says continue, then 200",
            Plain(says(format!(
                "HTTP/1.1 100 Continue\r\n\r\n{ok}Content-Length: 0\r\n\r\n"
            ))),
            AMPLE_MS,
            None,
            Some(200),
        ),
        (
            "answers 413 before it has the body",
            Plain(says(
                "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            )),
            AMPLE_MS,
            Some("http_status"),
            Some(413),
        ),
        (
            "answers 999",
            Plain(says("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n")),
            AMPLE_MS,
            Some("http_status"),
            Some(999),
        ),
        (
            "answers as HTTP/1.0 without a length",
            Plain(says("HTTP/1.0 200 OK\r\n\r\nbody")),
            AMPLE_MS,
            None,
            Some(200),
        ),
        (
            "switches protocols",
            Plain(says(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            )),
            AMPLE_MS,
            Some("http_status"),
            Some(101),
        ),
        (
            "redirects to the metadata address",
            replies(Reply::redirect(302, "http://169.254.169.254/latest/meta-data/")),
            AMPLE_MS,
            Some("redirect"),
            Some(302),
        ),
        // TLS.
        (
            "has a good certificate",
            Tls(tls(certificate("127.0.0.1", |_| {}), answers_ok)),
            AMPLE_MS,
            None,
            Some(200),
        ),
        (
            "has an expired certificate",
            Tls(tls(
                certificate("127.0.0.1", |params| {
                    params.not_after = rcgen::date_time_ymd(2024, 1, 1)
                }),
                answers_ok,
            )),
            AMPLE_MS,
            Some("tls"),
            None,
        ),
        (
            "has another host's certificate",
            Tls(tls(certificate("receiver.example", |_| {}), answers_ok)),
            AMPLE_MS,
            Some("tls"),
            None,
        ),
        (
            "signed its certificate itself",
            Tls(tls(Authority::new().server("127.0.0.1", &[], |_| {}), answers_ok)),
            AMPLE_MS,
            Some("tls"),
            None,
        ),
        (
            "speaks plain text on its TLS port",
            Tls(trap(|mut stream| async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                    .await;
                until_closed(&mut stream).await;
            })),
            AMPLE_MS,
            Some("tls"),
            None,
        ),
        (
            "demands a client certificate",
            Tls(tls(authority.strict_server("127.0.0.1"), answers_ok)),
            AMPLE_MS,
            Some("tls"),
            None,
        ),
        (
            "stalls in the handshake",
            Tls(trap(|mut stream| async move { until_closed(&mut stream).await })),
            SHORT_MS,
            Some("timeout"),
            None,
        ),
        (
            "resets in the handshake",
            Tls(trap(|mut stream| async move {
                let _ = stream.read(&mut [0; 64]).await;
                stream.set_zero_linger().unwrap();
            })),
            AMPLE_MS,
            Some("connection_reset"),
            None,
        ),
        (
            "promises HTTP/2 and speaks none",
            Tls(tls(
                authority.server("127.0.0.1", &["h2"], |_| {}),
                |mut stream| async move {
                    read_http2_request(&mut stream).await;
                    let _ = stream.write_all(&[b'x'; 256]).await;
                    until_closed(&mut stream).await;
                },
            )),
            AMPLE_MS,
            Some("protocol"),
            None,
        ),
        (
            "promises HTTP/2 and falls silent",
            Tls(tls(
                authority.server("127.0.0.1", &["h2"], |_| {}),
                |mut stream| async move {
                    until_closed(&mut stream).await;
                },
            )),
            SHORT_MS,
            Some("timeout"),
            None,
        ),
    ]
}

/// The receivers of all cases; gone when dropped.
#[derive(Default)]
struct Receivers {
    tasks: JoinSet<()>,
    scripted: Vec<Receiver>,
    deaf: Vec<TcpListener>,
}

impl Receivers {
    /// Starts one; returns its URL.
    async fn start(&mut self, server: Server) -> String {
        let (scheme, act) = match server {
            Server::Plain(act) => ("http", act),
            Server::Tls(act) => ("https", act),
            Server::Scripted(reply) => {
                let receiver = Receiver::start().await;
                receiver.otherwise(reply);
                let url = receiver.url("/hook");
                self.scripted.push(receiver);
                return url;
            }
            Server::Deaf => {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let url = format!("http://{}/hook", listener.local_addr().unwrap());
                self.deaf.push(listener);
                return url;
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}/hook", listener.local_addr().unwrap());
        self.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(act(stream));
            }
        });
        url
    }
}

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
        assert!(
            i64::from(duration_ms) < i64::from(timeout_ms) + SLACK_MS,
            "{name}: {duration_ms} ms"
        );
        let kept: i32 = row.get(5);
        assert!(kept <= 64 * 1024, "{name}: {kept} characters kept");
        found.push((name, row.get::<_, Option<String>>(1), row.get::<_, Option<i32>>(2)));
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

fn post(url: &str, body: Vec<u8>) -> Request {
    Request {
        method: reqwest::Method::POST,
        url: parse_url(url).unwrap(),
        audience: Audience::Endpoint,
        headers: reqwest::header::HeaderMap::new(),
        body: body.into(),
        timeout: Duration::from_millis(AMPLE_MS.unsigned_abs()),
    }
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
    let client = Client::new(ClientConfig::new(Guard::new(&["127.0.0.1"], &[]).unwrap())).unwrap();
    assert!(client.send(post(&url, b"{}".to_vec())).await.outcome.is_success());
    let second = client.send(post(&url, b"{}".to_vec())).await;
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
    let client = Client::new(ClientConfig::new(Guard::new(&["127.0.0.1"], &[]).unwrap())).unwrap();
    let attempt = client.send(post(&url, vec![b'a'; 32 << 20])).await;
    assert_eq!(
        (attempt.status, attempt.outcome.verdict),
        (Some(503), Verdict::Retry),
        "{attempt:?}"
    );
}
