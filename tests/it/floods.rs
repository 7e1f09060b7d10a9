//! Receivers that answer without end and never come to the point: each attempt ends, and says why; the others do not notice.

use futures_util::future::join_all;
use odoo_eventd::delivery::Failure;
use odoo_eventd::http::client::Client;

use crate::support::client::{self, AMPLE, allowing, post};
use crate::support::http2::{Http2Receiver, Turn};
use crate::support::receiver::{Receiver, Reply};
use crate::tls::Authority;

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_without_end_end_the_attempt_and_hold_up_no_other() {
    let well = Receiver::start().await;
    let client = client::client(&["127.0.0.0/8"]);
    for head in [
        "100 Continue\r\n",
        "102 Processing\r\n",
        "103 Early Hints\r\nLink: </style.css>; rel=preload\r\n",
        "199 X\r\n",
    ] {
        let flooding = Receiver::start().await;
        flooding.otherwise(Reply::endless(&format!("HTTP/1.1 {head}\r\n")));
        let url = flooding.url("/");
        let floods = join_all((0..8).map(|_| client.send(post(&url, AMPLE))));
        let others = async {
            for _ in 0..50 {
                assert!(client.send(post(&well.url("/"), AMPLE)).await.outcome.is_success());
            }
        };
        let (ended, ()) = tokio::join!(floods, others);
        for attempt in ended {
            assert_eq!(attempt.outcome.failure, Some(Failure::Protocol), "{head}: {attempt:?}");
            let detail = attempt.detail.unwrap();
            assert!(detail.contains("interim answers (1xx)"), "{detail}");
        }
        // What fills the sockets' buffers, and not more.
        assert!(flooding.bytes_written() < 128 << 20, "{}", flooding.bytes_written());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_few_interim_answers_are_no_flood() {
    let receiver = Receiver::start().await;
    let answer = "HTTP/1.1 102 Processing\r\n\r\n".repeat(50) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    receiver.otherwise(Reply::raw(answer));
    let attempt = client::client(&["127.0.0.0/8"])
        .send(post(&receiver.url("/"), AMPLE))
        .await;
    assert!(attempt.outcome.is_success(), "{attempt:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_without_end_over_http2_end_the_connection() {
    let authority = Authority::new();
    for status in [100, 102, 103] {
        let tls = authority.server("127.0.0.1", &["h2"], |_| {});
        let receiver = Http2Receiver::start(tls, move |_, _| Turn::Flood(status)).await;
        let mut config = allowing(&["127.0.0.1"]);
        config.authorities = vec![authority.certificate()];
        let client = Client::new(config).unwrap();
        let attempt = client.send(post(&receiver.url(), AMPLE)).await;
        assert_eq!(attempt.outcome.failure, Some(Failure::Protocol), "{attempt:?}");
        let detail = attempt.detail.unwrap();
        assert!(detail.contains("no part of an answer"), "{detail}");
    }
}
