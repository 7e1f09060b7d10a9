//! What a subscription's request options do to the request: method, headers, credentials, connections.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use odoo_eventd::delivery::Failure;
use odoo_eventd::http::client::Client;
use odoo_eventd::signature::{Secret, verify_body};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::support::client::{AMPLE, allowing, post};
use crate::support::receiver::{Receiver, Recorded, Reply};
use crate::support::service::{SOON, Service, eventd, eventd_ok, wait_until_leading};
use crate::support::{Database, eventually};
use crate::tls::Authority;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

async fn subscribe(database: &Database, url: &str, options: &[&str]) {
    let mut arguments = vec![
        "subscribe",
        "--model",
        "res.partner",
        "--event",
        "write",
        "--fields",
        "phone",
        "--secret",
        SECRET,
        "--url",
        url,
    ];
    arguments.extend(options);
    eventd_ok(&database.url(), &arguments).await;
}

async fn touch(database: &Database) {
    database
        .psql("update res_partner set phone = gen_random_uuid() where id = 1")
        .await;
}

fn at<'a>(requests: &'a [Recorded], path: &str) -> &'a Recorded {
    requests
        .iter()
        .find(|request| request.path == path)
        .unwrap_or_else(|| panic!("nothing at {path}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_carries_the_same_signed_body() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    const METHODS: [&str; 5] = ["POST", "GET", "PUT", "PATCH", "DELETE"];
    for method in METHODS {
        subscribe(
            &database,
            &receiver.url(&format!("/{method}")),
            &["--http-method", method],
        )
        .await;
    }
    let _service = Service::leading(&database).await;
    touch(&database).await;
    let requests = receiver.wait_for(METHODS.len(), SOON).await;
    for method in METHODS {
        let request = at(&requests, &format!("/{method}"));
        assert_eq!(request.method, method);
        assert_eq!(request.json()["record_ids"], serde_json::json!([1]), "{method}");
        let secret = [Secret::parse(SECRET).unwrap()];
        verify_body(&secret, request.header("x-mcp-signature").unwrap(), &request.body).unwrap();
        // A cache between here and there may answer a GET in the receiver's stead.
        assert_eq!(
            request.header("cache-control"),
            (method == "GET").then_some("no-store"),
            "{method}"
        );
    }
    let logged = database
        .psql("select count(*) from mcp_webhook_delivery where payload like '{\"event_id\"%'")
        .await;
    assert_eq!(logged, METHODS.len().to_string());
    for method in ["TRACE", "CONNECT", "post", "GET\r\nX: y"] {
        let url = receiver.url("/");
        let refused = eventd(
            &database.url(),
            &[
                "subscribe",
                "--model",
                "res.partner",
                "--url",
                &url,
                "--http-method",
                method,
            ],
        )
        .await;
        assert_eq!(refused.status.code(), Some(2), "{method}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_credentials_becomes_its_header_and_stays_out_of_the_log() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let file = std::env::temp_dir().join(format!("odoo-eventd-auth-{}", std::process::id()));
    let cases = [
        (
            "/basic",
            "basic Aladdin:open sesame",
            "authorization",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
        ("/bearer", "bearer s3cret.token", "authorization", "Bearer s3cret.token"),
        ("/key", "X-Api-Key: s3cret key", "x-api-key", "s3cret key"),
    ];
    for (path, auth, _, _) in cases {
        std::fs::write(&file, format!("{auth}\n")).unwrap();
        let options = ["--auth-file", file.to_str().unwrap(), "--header", "X-Team: sales"];
        subscribe(&database, &receiver.url(path), &options).await;
    }
    std::fs::remove_file(&file).unwrap();
    let service = Service::leading(&database).await;
    touch(&database).await;
    let requests = receiver.wait_for(cases.len(), SOON).await;
    for (path, _, header, value) in cases {
        let request = at(&requests, path);
        assert_eq!(request.header(header), Some(value), "{path}");
        assert_eq!(request.header("x-team"), Some("sales"), "{path}");
    }
    eventually("the log's rows", SOON, async || {
        let ended = database
            .psql("select count(*) from mcp_webhook_delivery where status = 'success'")
            .await;
        (ended == "3").then_some(())
    })
    .await;
    let (_, log) = service.terminate().await;
    let stored = database
        .psql("select string_agg(l::text, ' ') from mcp_webhook_delivery l")
        .await;
    let listed = eventd_ok(&database.url(), &["subscriptions", "--json"]).await;
    for secret in ["s3cret", "sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ", SECRET] {
        assert!(
            ![&log, &stored, &listed].iter().any(|text| text.contains(secret)),
            "{secret}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_to_one_receiver_share_their_connection() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    // One-shots share a connection only while no close can be on its way: see `unprocessed`.
    for path in ["/a", "/b"] {
        subscribe(&database, &receiver.url(path), &["--max-attempts", "2"]).await;
    }
    let _service = Service::start(&database.url(), &["--max-in-flight", "1"]);
    wait_until_leading(&database).await;
    // Below the 4 s for which an unused connection is kept.
    for round in 1..=3 {
        touch(&database).await;
        receiver.wait_for(2 * round, SOON).await;
    }
    assert!(
        receiver.connections() <= 2,
        "{} connections for 6 requests",
        receiver.connections()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_section_of_the_configuration_brings_authority_and_client_certificate_for_its_host() {
    let database = Database::fixture().await;
    let authority = Authority::new();
    let acceptor = authority.strict_server("127.0.0.1");
    let receiver = Receiver::start_with(move |stream| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(stream).await.ok() }
    })
    .await;
    eventd_ok(&database.url(), &["install"]).await;
    let url = format!("https://127.0.0.1:{}/", receiver.address().port());
    subscribe(&database, &url, &[]).await;
    let directory = std::env::temp_dir().join(format!("odoo-eventd-mtls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (certificate, key) = authority.issue("odoo.example", |_| {});
    let (ca_file, certificate_file) = (write("ca.pem", &authority.pem()), write("odoo.pem", &certificate.pem()));
    let key_file = write("odoo.key", &key.serialize_pem());
    let config = write(
        "config.toml",
        &format!(
            "[[tls]]\nhosts = [\"127.0.0.1\"]\nca_file = \"{ca_file}\"\ncertificate_file = \"{certificate_file}\"\nkey_file = \"{key_file}\"\n"
        ),
    );
    let _service = Service::start(&database.url(), &["--config", &config]);
    wait_until_leading(&database).await;
    touch(&database).await;
    assert_eq!(receiver.wait_for(1, SOON).await.len(), 1);

    let shown = eventd_ok(&database.url(), &["run", "--config", &config, "--print-config"]).await;
    assert!(shown.contains("odoo.key") && !shown.contains("PRIVATE KEY"), "{shown}");
    let broken = write(
        "broken.toml",
        "[[tls]]\nhosts = [\"a.example\"]\ncertificate_file = \"/nonexistent\"\n",
    );
    let refused = eventd(&database.url(), &["run", "--config", &broken]).await;
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(
        refused.status.code() == Some(2) && stderr.contains("/nonexistent"),
        "{stderr}"
    );
    std::fs::remove_dir_all(&directory).unwrap();
}

/// Answers each look-up with the next address; an attacker's name server.
struct Rebinding(Mutex<VecDeque<&'static str>>);

impl Resolve for Rebinding {
    fn resolve(&self, _: Name) -> Resolving {
        let next = self
            .0
            .lock()
            .unwrap()
            .pop_front()
            .expect("no more look-ups than scripted");
        let address = SocketAddr::new(next.parse().unwrap(), 0);
        Box::pin(async move { Ok(Box::new(std::iter::once(address)) as Addrs) })
    }
}

#[tokio::test]
async fn a_connection_goes_to_the_address_that_was_judged_and_is_looked_up_once() {
    let receiver = Receiver::start().await;
    // The second answer would be refused, and is never asked for while the connection lives; then it is asked for, and refused.
    let mut config = allowing(&["127.0.0.1"]);
    config.resolver = Arc::new(Rebinding(Mutex::new(["127.0.0.1", "169.254.169.254"].into())));
    let client = Client::new(config).unwrap();
    receiver.replies([Reply::status(200), Reply::status(200).header("Connection", "close")]);
    let port = receiver.address().port();
    let request = |path: &str| post(&format!("http://rebound.example:{port}{path}"), AMPLE);
    for path in ["/first", "/kept-alive"] {
        assert!(client.send(request(path)).await.outcome.is_success(), "{path}");
    }
    let rebound = client.send(request("/rebound")).await;
    assert_eq!(rebound.outcome.failure, Some(Failure::BlockedAddress), "{rebound:?}");
    assert_eq!((receiver.requests().len(), receiver.connections()), (2, 1));
}
