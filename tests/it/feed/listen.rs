//! `odoo-eventd listen`: in each of its ways, and each of its ends.

use std::process::Stdio;

use odoo_eventd::signature::{Secret, verify_body};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};

use super::{admin, subscribed, verbs};
use crate::support::delivery::{number, wait_true, write_ref};
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{SOON, Service, eventd, eventd_ok, program, wait_until_leading};
use crate::support::{Database, process};

/// A running `listen`.
struct Listener {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    words: Lines<BufReader<ChildStderr>>,
}

impl Listener {
    fn start(database: &Database, arguments: &[&str]) -> Self {
        let mut child = program()
            .args(["--database-url", &database.url(), "listen"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let words = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, out, words }
    }

    /// Starts, and waits until it listens.
    async fn listening(database: &Database, arguments: &[&str]) -> Self {
        let mut listener = Self::start(database, arguments);
        listener.says("listening to subscription").await;
        listener
    }

    async fn says(&mut self, what: &str) -> String {
        let said = async {
            loop {
                let line = self.words.next_line().await.unwrap().expect("it goes on");
                if line.contains(what) {
                    return line;
                }
            }
        };
        tokio::time::timeout(SOON, said)
            .await
            .unwrap_or_else(|_| panic!("it does not say \"{what}\""))
    }

    async fn line(&mut self) -> String {
        tokio::time::timeout(SOON, self.out.next_line())
            .await
            .expect("an event comes")
            .unwrap()
            .expect("it goes on")
    }

    async fn event(&mut self) -> Value {
        serde_json::from_str(&self.line().await).unwrap()
    }

    async fn ends(&mut self) -> Option<i32> {
        tokio::time::timeout(SOON, self.child.wait())
            .await
            .expect("it ends")
            .unwrap()
            .code()
    }
}

const ORDERS: [&str; 7] = [
    "--model",
    "sale.order",
    "--fields",
    "client_order_ref",
    "--payload-fields",
    "client_order_ref",
    "--json",
];

async fn installed() -> Database {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
}

async fn nothing_is_left(database: &Database) {
    wait_true(database, "not exists (select from mcp_event_subscription)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_lines_of_json_and_the_subscription_goes_with_sigterm() {
    let database = installed().await;
    let _service = Service::leading(&database).await;
    let mut listener = Listener::listening(&database, &ORDERS).await;
    wait_until_leading(&database).await;
    write_ref(&database, 1, "first").await;
    write_ref(&database, 2, "second").await;
    let first = listener.event().await;
    assert_eq!(
        first["body"]["records"][0]["values"]["client_order_ref"], "first",
        "{first}"
    );
    assert_eq!(
        (&first["model"], &first["event_type"], &first["record_ids"]),
        (&json!("sale.order"), &json!("write"), &json!([1]))
    );
    assert_eq!(first.get("answer"), None);
    assert_eq!(
        listener.event().await["body"]["records"][0]["values"]["client_order_ref"],
        "second"
    );
    process::signal(listener.child.id().unwrap(), "TERM");
    assert_eq!(listener.ends().await, Some(0));
    assert_eq!(
        number(&database, "select count(*) from mcp_event_subscription").await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_pipe_ends_it_whether_or_not_there_is_something_to_print() {
    let database = installed().await;
    let _service = Service::leading(&database).await;
    let mut listener = Listener::listening(&database, &ORDERS).await;
    drop(listener.out);
    let ended = tokio::time::timeout(SOON, listener.child.wait())
        .await
        .expect("it ends")
        .unwrap();
    assert_eq!(ended.code(), Some(0));
    nothing_is_left(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_the_lease_ends_what_was_left() {
    let database = installed().await;
    let _service = Service::start(&database.url(), &["--feed-lease-s", "10"]);
    wait_until_leading(&database).await;
    let mut listener = Listener::listening(&database, &ORDERS).await;
    listener.child.kill().await.unwrap();
    wait_true(&database, "not (select active from mcp_event_subscription)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_it_says_so_and_goes_on_waiting() {
    let database = installed().await;
    let mut listener = Listener::listening(&database, &ORDERS).await;
    listener.says("no service leads this database").await;
    write_ref(&database, 1, "early").await;
    let _service = Service::leading(&database).await;
    assert_eq!(
        listener.event().await["body"]["records"][0]["values"]["client_order_ref"],
        "early"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_forwarded_signed_and_the_answers_shown() {
    let database = installed().await;
    let receiver = Receiver::start().await;
    receiver.replies([Reply::status(200), Reply::status(500)]);
    let _service = Service::leading(&database).await;
    let url = receiver.url("/hook");
    let mut forwarding = ORDERS.to_vec();
    forwarding.extend(["--forward-to", &url, "--secret", "a secret of sixteen bytes"]);
    let mut listener = Listener::listening(&database, &forwarding).await;
    wait_until_leading(&database).await;
    write_ref(&database, 1, "first").await;
    let first = listener.event().await;
    assert_eq!(
        (&first["answer"]["status"], &first["answer"]["error"]),
        (&json!(200), &Value::Null),
        "{first}"
    );
    write_ref(&database, 1, "second").await;
    let second = listener.event().await;
    assert_eq!(
        (&second["answer"]["status"], &second["answer"]["error"]),
        (&json!(500), &json!("http_status")),
        "{second}"
    );
    let requests = receiver.wait_for(2, SOON).await;
    let request = &requests[0];
    let secret = Secret::parse("a secret of sixteen bytes").unwrap();
    verify_body(&[secret], request.header("x-mcp-signature").unwrap(), &request.body).unwrap();
    assert_eq!(request.json()["event_id"], first["event_id"]);
    assert_eq!(request.header("x-mcp-event"), Some("sale.order.write"));
    assert!(request.header("webhook-signature").is_some());
    assert_eq!(request.header("webhook-id"), request.header("x-mcp-delivery-id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn for_people_it_prints_the_body_and_the_answer() {
    let database = installed().await;
    let receiver = Receiver::start().await;
    let _service = Service::leading(&database).await;
    let port = receiver
        .url("/")
        .rsplit(':')
        .next()
        .unwrap()
        .trim_end_matches('/')
        .to_owned();
    let mut listener = Listener::start(&database, &["--model", "sale.order", "--forward-to", &port]);
    assert!(listener.says("signed with").await.contains("whsec_"));
    listener.says("listening to subscription").await;
    wait_until_leading(&database).await;
    write_ref(&database, 1, "first").await;
    assert!(listener.line().await.contains("sale.order.write"));
    loop {
        let line = listener.line().await;
        if line.contains("<--") {
            assert!(line.contains("[200]"), "{line}");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_file_lets_the_next_one_go_on() {
    let database = installed().await;
    let verbs = verbs(&database).await;
    let id = subscribed(&verbs, &admin(), json!({})).await.to_string();
    let _service = Service::leading(&database).await;
    let scratch = odoo_eventd::demo::scratch::Scratch::new(None).unwrap();
    let file = scratch.path().join("cursor");
    let arguments = ["--subscription", &id, "--json", "--cursor-file", file.to_str().unwrap()];
    let mut listener = Listener::listening(&database, &arguments).await;
    write_ref(&database, 1, "first").await;
    let first = listener.event().await;
    crate::support::eventually("the cursor to be remembered", SOON, async || {
        let kept = std::fs::read_to_string(&file).ok()?;
        (kept.trim() == first["cursor"].as_str().unwrap()).then_some(())
    })
    .await;
    listener.child.kill().await.unwrap();
    write_ref(&database, 1, "while nobody listened").await;
    let mut listener = Listener::listening(&database, &arguments).await;
    assert_eq!(
        listener.event().await["body"]["records"][0]["values"]["client_order_ref"],
        "while nobody listened"
    );
    // It would write its own place over it.
    listener.child.kill().await.unwrap();
    std::fs::write(&file, "no cursor").unwrap();
    let refused = eventd(
        &database.url(),
        &["listen", "--subscription", &id, "--cursor-file", file.to_str().unwrap()],
    )
    .await;
    assert_eq!(refused.status.code(), Some(2));
    assert_eq!(
        number(&database, "select count(*) from mcp_event_subscription").await,
        1,
        "it is somebody else's"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_listened_to_is_refused_with_what_to_do() {
    let database = installed().await;
    let verbs = verbs(&database).await;
    let sent = subscribed(&verbs, &admin(), json!({"webhook_url": "http://127.0.0.1:9/"}))
        .await
        .to_string();
    for (arguments, said) in [
        (vec!["--subscription", &*sent], "in_session"),
        (vec!["--subscription", "999"], "there is no subscription 999"),
        (vec!["--model", "sale.ordre"], "did you mean"),
        (
            vec!["--model", "sale.order", "--forward-to", "https://example.com/"],
            "not this machine",
        ),
        (
            vec!["--model", "sale.order", "--cursor-file", "f"],
            "cannot be used with",
        ),
        (vec![], "--model"),
    ] {
        let output = eventd(&database.url(), &[&["listen"][..], &arguments].concat()).await;
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && words.contains(said),
            "{arguments:?}: {words}"
        );
    }
    assert_eq!(
        number(&database, "select count(*) from mcp_event_subscription").await,
        1
    );
}
