//! What is secret is not in what is printed or kept: whatever the log's filter says, and whatever a receiver sends back.

use std::path::PathBuf;

use odoo_eventd::signature::{Message, Secret, sign_body, sign_message};

use crate::support::delivery::{subscribe, wait_logged, wait_true};
use crate::support::receiver::{Receiver, Recorded, Reply};
use crate::support::service::{Service, eventd, program, wait_until_leading};
use crate::support::{Database, Server};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TOKEN: &str = "tok3n/with+odd \"characters\" and a tail";
const KEY: &str = "k3y-of-a-gateway";
const QUERY: &str = "query-s3cret";
const PASSWORD: &str = "basic-passw0rd";

/// Says everything that it was told, in the ways in which programs say such things.
fn echo(request: &Recorded) -> Reply {
    let plain: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let plain = format!("{} {}\n{}", request.method, request.path, plain.join("\n"));
    let json = serde_json::json!({ "url": request.path, "headers": request.headers }).to_string();
    let python = json.replace('/', "\\/").replace('t', "\\u0074");
    let percent: String = plain.bytes().map(|byte| format!("%{byte:02X}")).collect();
    Reply::status(200).body(format!(
        "{plain}\n{json}\n{python}\n{percent}\n{}",
        serde_json::json!(json)
    ))
}

/// As somebody would who looks for a secret: escapes of any kind taken away.
fn found(text: &str, secret: &str) -> bool {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, ..] = rest {
        let hex = |from: usize, to: usize| {
            let digits = rest.get(from..to).and_then(|digits| std::str::from_utf8(digits).ok())?;
            u8::from_str_radix(digits, 16).ok()
        };
        let (byte, length) = match (first, rest.get(1)) {
            (b'\\', Some(b'u')) if hex(4, 6).is_some() => (hex(4, 6), 6),
            (b'%', _) if hex(1, 3).is_some() => (hex(1, 3), 3),
            (b'\\', _) => (None, 1),
            (other, _) => (Some(*other), 1),
        };
        bytes.extend(byte);
        rest = &rest[length..];
    }
    let plain = secret.replace('\\', "");
    text.contains(secret) || String::from_utf8_lossy(&bytes).contains(&plain)
}

fn assert_hidden(what: &str, text: &str) {
    for secret in [SECRET, &SECRET["whsec_".len()..], TOKEN, KEY, QUERY, PASSWORD] {
        assert!(!found(text, secret), "{secret} is in {what}:\n{text}");
    }
}

/// A file of this test's own, removed with it.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("odoo-eventd-{}-unprintable-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_says_what_it_was_told_does_not_get_secrets_into_the_log_or_the_output() {
    let database = Database::fixture().await;
    eventd(&database.url(), &["install"]).await;
    let receiver = Receiver::answering(echo).await;
    let url = receiver.url(&format!("/hook?key={QUERY}"));
    let (bearer, basic) = (
        File::new("bearer", &format!("bearer {TOKEN}")),
        File::new("basic", &format!("basic somebody:{PASSWORD}\n")),
    );
    let gateway = format!("X-Gateway: {KEY}");
    let given = [
        "--event",
        "write",
        "--secret",
        SECRET,
        "--auth-file",
        bearer.path(),
        "--header",
        &gateway,
    ];
    subscribe(&database, "sale.order", &url, &given).await;
    let basic = ["--event", "write", "--auth-file", basic.path()];
    subscribe(&database, "sale.order", &receiver.url("/basic"), &basic).await;
    let _service = Service::leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'told' where id = 1")
        .await;
    wait_logged(&database, "status = 'success'", 2).await;
    for id in ["1", "2"] {
        let tested = eventd(&database.url(), &["test", id]).await;
        let said = String::from_utf8(tested.stdout).unwrap();
        assert!(
            tested.status.success() && said.contains("x-mcp-test"),
            "it was told: {said}"
        );
        assert_hidden("the output of test", &said);
        let tested = eventd(&database.url(), &["--log", "trace", "test", id, "--json"]).await;
        assert_hidden("the output of test", &String::from_utf8(tested.stdout).unwrap());
        assert_hidden("the log of test", &String::from_utf8(tested.stderr).unwrap());
    }
    let kept = database
        .psql("select string_agg(response_body || coalesce(error_detail, ''), '') from mcp_webhook_delivery")
        .await;
    assert!(kept.contains("x-mcp-event"), "{kept}");
    assert_hidden("response_body", &kept);
    let basic = base64_of(&format!("somebody:{PASSWORD}"));
    assert!(!kept.contains(&basic), "{kept}");
}

fn base64_of(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_filter_of_the_log_shows_a_secret() {
    let database = Database::fixture().await;
    let receiver = Receiver::answering(echo).await;
    let url = receiver.url(&format!("/hook?key={QUERY}"));
    let bearer = File::new("bearer-logged", &format!("bearer {TOKEN}"));
    let gateway = format!("X-Gateway: {KEY}");
    let mut said = String::new();
    let mut run = async |arguments: &[&str]| {
        let ran = eventd(
            &database.url(),
            &[&["--log", "trace,odoo_eventd=trace,tokio_postgres=trace"], arguments].concat(),
        )
        .await;
        said.push_str(&String::from_utf8(ran.stderr).unwrap());
        (ran.status.success(), String::from_utf8(ran.stdout).unwrap())
    };
    run(&["install"]).await;
    let mut subscribing = vec!["subscribe", "--model", "sale.order", "--event", "write", "--url", &url];
    subscribing.extend(["--secret", SECRET, "--auth-file", bearer.path(), "--header", &gateway]);
    assert!(run(&subscribing).await.0);
    // Refused by the database, which repeats the row.
    subscribing.extend(["--timeout-ms", "0"]);
    assert!(!run(&subscribing).await.0);

    let mut command = program();
    command.arg("--database-url").arg(database.url()).args([
        "--log",
        "trace,tokio_postgres=trace,hyper=trace,h2=trace,rustls=trace",
        "run",
    ]);
    let service = Service::spawn(command);
    wait_until_leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'a' where id = 1")
        .await;
    wait_logged(&database, "status = 'success'", 1).await;
    let (_, rotated) = run(&["secret", "rotate", "1"]).await;
    wait_true(&database, "bool_and(state = 'ready') from mcp_event_subscription").await;
    database
        .psql("update sale_order set client_order_ref = 'b' where id = 1")
        .await;
    wait_logged(&database, "status = 'success'", 2).await;
    run(&["test", "1"]).await;
    let (_, log) = service.terminate().await;
    assert!(log.contains("delivered"), "{log}");
    for (what, text) in [("the service's log", &log), ("the commands' log", &said)] {
        assert_hidden(what, text);
        assert!(!text.contains(rotated.trim()), "{what}:\n{text}");
    }
}

/// A secret as it is written, and what it is.
const WRITTEN: [(&str, &str); 5] = [
    ("\u{feff}plain secret\r\n", "plain secret"),
    ("plain secret\n\n", "plain secret"),
    (
        "\u{feff}whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ),
    ("whsec_AAECAwQFBgcICQoLDA0ODw", "whsec_AAECAwQFBgcICQoLDA0ODw=="),
    (
        "v1,whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ),
];

#[test]
fn what_surrounds_a_secret_is_not_a_part_of_its_key() {
    let message = Message {
        id: "id",
        timestamp: 1,
        body: b"{}",
    };
    for (written, meant) in WRITTEN {
        let (read, meant) = (Secret::parse(written).unwrap(), Secret::parse(meant).unwrap());
        assert_eq!(
            sign_message(&[read], message),
            sign_message(&[meant], message),
            "{written:?}"
        );
    }
    // The body's signature is made with the text that the receiver has in front of him.
    for (written, text) in WRITTEN.iter().take(3) {
        assert_eq!(
            sign_body(&Secret::parse(*written).unwrap(), b"{}"),
            sign_body(&Secret::parse(*text).unwrap(), b"{}")
        );
    }
    for unclear in [" secret", "secret ", "secret\t", "two\nlines", "\u{feff}"] {
        let error = Secret::parse(unclear).unwrap_err();
        assert!(
            error.is_usage() && !error.chain().contains("two"),
            "{unclear:?}: {error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_written_by_sql_with_a_line_break_signs_as_the_receiver_expects_or_says_why_not() {
    let database = Server::shared().fixture().await;
    eventd(&database.url(), &["install"]).await;
    let receiver = Receiver::start().await;
    database
        .psql(&format!(
            "insert into mcp_event_subscription (model, event_type, webhook_url, webhook_secret)
             values ('sale.order', 'write', '{0}', E'from an editor\\n'), ('sale.order', 'write', '{0}', 'two words and a space ')",
            receiver.url("/")
        ))
        .await;
    let _service = Service::leading(&database).await;
    wait_true(
        &database,
        "(select state from mcp_event_subscription where id = 1) = 'ready'",
    )
    .await;
    wait_true(
        &database,
        "(select error from mcp_event_subscription where id = 2) like '%begins or ends with a space%'",
    )
    .await;
    database
        .psql("update sale_order set client_order_ref = 'a' where id = 1")
        .await;
    let request = receiver.wait_for(1, crate::support::service::SOON).await.remove(0);
    let expected = sign_body(&Secret::parse("from an editor").unwrap(), &request.body);
    assert_eq!(request.header("x-mcp-signature"), Some(expected.as_str()));
}

#[tokio::test]
async fn a_file_with_a_byte_order_mark_verifies_what_was_signed_without_it() {
    let file = File::new("bom", "\u{feff}plain secret\r\n");
    let signature = sign_body(&Secret::parse("plain secret").unwrap(), b"");
    let verified = program()
        .args(["verify", "--secret-file", file.path(), "--signature", &signature])
        .output()
        .await
        .unwrap();
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
}
