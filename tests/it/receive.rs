//! The development receiver: what it says of a delivery, and what it answers.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use odoo_eventd::http::client::{Attempt, Request};
use odoo_eventd::http::receiver::{Check, Received, Receiver, ReceiverConfig};
use odoo_eventd::signature::{Message, Secret, VerifyError, sign_body, sign_message};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::support::client::{AMPLE, client, post};

const ID: &str = "0198f2a4-0f3e-7c11-8a77-1b2c3d4e5f60";
const BODY: &[u8] = br#"{"model":"sale.order"}"#;

fn secret(text: &str) -> Secret {
    Secret::parse(text).unwrap()
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        .try_into()
        .unwrap()
}

async fn start(secrets: &[&str], status: Option<StatusCode>) -> (Receiver, mpsc::Receiver<Received>) {
    let (sender, deliveries) = mpsc::channel(8);
    let config = ReceiverConfig {
        bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        secrets: secrets.iter().map(|text| secret(text)).collect(),
        status,
        delay: Duration::ZERO,
    };
    (Receiver::start(config, sender).await.unwrap(), deliveries)
}

/// Sends as the service does, signed with these secrets at this time.
async fn send(receiver: &Receiver, secrets: &[&str], at: i64) -> Attempt {
    send_to(&receiver.url(), secrets, at).await
}

async fn send_to(url: &str, secrets: &[&str], at: i64) -> Attempt {
    let secrets: Vec<Secret> = secrets.iter().map(|text| secret(text)).collect();
    let mut headers = HeaderMap::new();
    let mut add = |name: &'static str, value: String| headers.insert(name, HeaderValue::from_str(&value).unwrap());
    add("webhook-id", ID.into());
    add("webhook-timestamp", at.to_string());
    if let Some(current) = secrets.first() {
        add("x-mcp-signature", sign_body(current, BODY));
        add(
            "webhook-signature",
            sign_message(
                &secrets,
                Message {
                    id: ID,
                    timestamp: at,
                    body: BODY,
                },
            ),
        );
    }
    let request = Request {
        headers,
        body: Bytes::from_static(BODY),
        ..post(&format!("{url}hook"), AMPLE)
    };
    client(&["127.0.0.1"]).send(request).await
}

#[tokio::test]
async fn a_signed_delivery_is_accepted_and_its_repetition_recognised() {
    let (receiver, mut deliveries) = start(&["s1"], None).await;
    for repeated in [false, true] {
        assert_eq!(send(&receiver, &["s1"], now()).await.status, Some(200));
        let received = deliveries.recv().await.unwrap();
        assert_eq!(
            (received.body_signature, received.message_signature),
            (Check::Valid, Check::Valid)
        );
        assert!(received.is_verified());
        assert_eq!(received.repeated, repeated);
        assert_eq!(
            (received.method.as_str(), received.path.as_str(), &received.body[..]),
            ("POST", "/hook", BODY)
        );
    }
}

#[tokio::test]
async fn during_a_rotation_a_receiver_with_the_old_secret_accepts_the_message_signature() {
    let (receiver, mut deliveries) = start(&["old"], None).await;
    send(&receiver, &["new", "old"], now()).await;
    let received = deliveries.recv().await.unwrap();
    assert_eq!(received.message_signature, Check::Valid);
    assert_eq!(
        received.body_signature,
        Check::Invalid(VerifyError::Mismatch),
        "this header has room for the current one only"
    );
}

#[tokio::test]
async fn wrong_old_and_missing_signatures_are_answered_401() {
    let (receiver, mut deliveries) = start(&["s1"], None).await;
    for (secrets, at, message_signature) in [
        (&["other"][..], now(), Check::Invalid(VerifyError::Mismatch)),
        (
            &["s1"],
            now() - 400,
            Check::Invalid(VerifyError::TooOld { seconds: 400 }),
        ),
        (&[], now(), Check::Absent),
    ] {
        assert_eq!(send(&receiver, secrets, at).await.status, Some(401));
        let received = deliveries.recv().await.unwrap();
        match (received.message_signature, message_signature) {
            // A second may pass between signing and receiving.
            (Check::Invalid(VerifyError::TooOld { seconds }), Check::Invalid(VerifyError::TooOld { .. })) => {
                assert!((400..=420).contains(&seconds), "{seconds}");
            }
            (found, expected) => assert_eq!(found, expected),
        }
    }
}

#[tokio::test]
async fn without_a_secret_nothing_is_checked_and_a_chosen_status_is_answered() {
    let (receiver, mut deliveries) = start(&[], Some(StatusCode::SERVICE_UNAVAILABLE)).await;
    assert_eq!(send(&receiver, &["s1"], now()).await.status, Some(503));
    let received = deliveries.recv().await.unwrap();
    assert_eq!(
        (received.body_signature, received.message_signature),
        (Check::NotChecked, Check::NotChecked)
    );
    assert!(!received.is_verified());
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let (receiver, _deliveries) = start(&[], None).await;
    let config = ReceiverConfig {
        bind: receiver.address(),
        secrets: vec![],
        status: None,
        delay: Duration::ZERO,
    };
    let error = Receiver::start(config, mpsc::channel(1).0).await.unwrap_err();
    assert!(
        error
            .chain()
            .starts_with(&format!("cannot listen at {}: ", receiver.address())),
        "{error:?}"
    );
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_odoo-eventd");

#[tokio::test]
async fn verify_tells_by_its_exit_code() {
    let good = sign_body(&secret("s1"), BODY);
    let bad = sign_body(&secret("other"), BODY);
    for (args, code, said) in [
        (&["--signature", &good, "--secret", "s1"][..], 0, ""),
        (
            &["--signature", &bad, "--secret", "s1"],
            1,
            "not valid: the signature does not match",
        ),
        (&["--signature", &bad, "--secret", "s1", "--secret", "other"], 0, ""),
        (
            &["--signature", "v1,abc", "--secret", "s1"],
            2,
            "a v1 signature covers the id and the timestamp too",
        ),
        (&["--signature", &good], 2, "no secret to verify with"),
    ] {
        let mut child = Command::new(PROGRAM)
            .arg("verify")
            .args(args)
            .env_remove("ODOO_EVENTD_SECRET")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Wrong use is told before the body is read.
        let _ = child.stdin.take().unwrap().write_all(BODY).await;
        let output = child.wait_with_output().await.unwrap();
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {words}");
        assert!(words.contains(said), "{args:?}: {words}");
    }
}

#[tokio::test]
async fn receive_tells_its_url_at_once_prints_what_arrives_and_stops_when_asked() {
    let mut child = Command::new(PROGRAM)
        .args(["receive", "--port", "0"])
        .env("ODOO_EVENTD_SECRET", "s1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let told = BufReader::new(child.stderr.take().unwrap())
        .lines()
        .next_line()
        .await
        .unwrap()
        .unwrap();
    let url = told
        .split(' ')
        .find(|word| word.starts_with("http://127.0.0.1:"))
        .expect(&told);
    let attempt = send_to(url, &["s1"], now()).await;
    assert_eq!(attempt.status, Some(200), "{attempt:?}");
    let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = printed.next_line().await.unwrap().unwrap();
    assert!(
        first.contains("X-MCP-Signature valid  webhook-signature valid"),
        "{first}"
    );
    assert!(!first.contains('\u{1b}'), "no colours outside a terminal: {first}");
    let pid = child.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .unwrap()
            .success()
    );
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}
