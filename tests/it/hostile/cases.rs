//! The receivers that mean harm, and what the log is to say of each.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::traps::{
    Server, answers_ok, drips, goes_on, read_http2_request, says, says_and_resets, tls, trap, until_closed,
};
use crate::support::receiver::Reply;
use crate::tls::Authority;

/// For receivers that are cut off by the time alone: enough for the head of an answer on a busy machine, and short for who waits for it.
pub(super) const SHORT_MS: i64 = 5_000;
/// For all others, the most there can be: reaching it is a hang.
pub(super) const AMPLE_MS: i64 = 600_000;

/// A case: its name, its receiver, the limit of time, and the `error` and `response_code` of the log.
pub(super) type Case = (&'static str, Server, i64, Option<&'static str>, Option<i32>);

pub(super) fn cases(authority: &Authority) -> Vec<Case> {
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
            Plain(drips(String::new(), format!("{ok}X-Slow: {}", "a".repeat(10_000)))),
            SHORT_MS,
            Some("timeout"),
            None,
        ),
        (
            "drips its body",
            Plain(drips(format!("{ok}Content-Length: 9999\r\n\r\n"), "a".repeat(9_000))),
            SHORT_MS,
            Some("timeout"),
            Some(200),
        ),
        (
            "sends early hints without end",
            replies(Reply::endless_hints()),
            AMPLE_MS,
            Some("protocol"),
            None,
        ),
        (
            "says continue without end",
            Plain(goes_on("", "HTTP/1.1 100 Continue\r\n\r\n".repeat(64))),
            AMPLE_MS,
            Some("protocol"),
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

/// What a scripted reply of the ordinary receiver does.
fn replies(reply: Reply) -> Server {
    Server::Scripted(reply)
}
