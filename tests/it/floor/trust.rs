//! A test event goes as the service's deliveries go: to whom it trusts, with the certificate that it shows.

use serde_json::Value;

use crate::support::Database;
use crate::support::delivery::subscribe;
use crate::support::receiver::Receiver;
use crate::support::service::{eventd, eventd_ok};
use crate::tls::{Authority, receiver};

/// The answer of `test ID --json` with these options.
async fn tested(database: &Database, id: i32, options: &[&str]) -> Value {
    let id = id.to_string();
    let output = eventd(&database.url(), &[&["test", &id, "--json"], options].concat()).await;
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)))
}

async fn to(database: &Database, receiver: &Receiver) -> i32 {
    let url = format!("https://127.0.0.1:{}/hook", receiver.address().port());
    subscribe(database, "sale.order", &url, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_trusts_the_authorities_and_shows_the_certificates_of_the_service() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let authority = Authority::new();
    let (open, strict) = (
        receiver(authority.server("127.0.0.1", &[], |_| {})).await,
        receiver(authority.strict_server("127.0.0.1")).await,
    );
    let (to_open, to_strict) = (to(&database, &open).await, to(&database, &strict).await);
    let directory = std::env::temp_dir().join(format!("odoo-eventd-trust-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = |name: &str, text: String| {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let authorities = file("authority.pem", authority.pem());
    let (certificate, key) = authority.issue("odoo.example", |_| {});
    let identity = file("identity.pem", certificate.pem() + &key.serialize_pem());
    let settings = file(
        "config.toml",
        format!("ca_file = \"{authorities}\"\n[[tls]]\nhosts = [\"127.0.0.1\"]\ncertificate_file = \"{identity}\"\n"),
    );

    assert_eq!(tested(&database, to_open, &[]).await["error"], "tls");
    assert_eq!(
        tested(&database, to_open, &["--ca-file", &authorities]).await["success"],
        true
    );
    assert_eq!(
        tested(&database, to_strict, &["--ca-file", &authorities]).await["error"],
        "tls"
    );
    assert_eq!(
        tested(&database, to_strict, &["--config", &settings]).await["success"],
        true
    );
    assert_eq!(
        tested(&database, to_open, &["--config", &settings]).await["success"],
        true
    );
    std::fs::remove_dir_all(&directory).unwrap();
}
