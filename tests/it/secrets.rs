//! Secrets of subscriptions: changed with an overlap, encrypted at rest, and never in anybody's way.

use std::path::{Path, PathBuf};

use odoo_eventd::signature::{DEFAULT_TOLERANCE, Received, Secret, verify_body, verify_message};

use crate::support::delivery::subscribe;
use crate::support::receiver::{Receiver, Recorded};
use crate::support::service::{SOON, Service, eventd, eventd_ok, wait_until_leading};
use crate::support::{Database, eventually};

const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

/// A file of this test's own, removed with it.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("odoo-eventd-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        // Whatever the tester's umask is.
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(Path::new(&self.0));
    }
}

fn signed_with(request: &Recorded, secret: &str) -> bool {
    let received = Received {
        id: request.header("webhook-id").unwrap(),
        timestamp: request.header("webhook-timestamp").unwrap(),
        signature: request.header("webhook-signature").unwrap(),
    };
    let secrets = [Secret::parse(secret).unwrap()];
    let now = received.timestamp.parse().unwrap();
    verify_message(&secrets, received, &request.body, now, DEFAULT_TOLERANCE).is_ok()
}

fn body_signed_with(request: &Recorded, secret: &str) -> bool {
    let secrets = [Secret::parse(secret).unwrap()];
    verify_body(&secrets, request.header("x-mcp-signature").unwrap(), &request.body).is_ok()
}

async fn subscribed(database: &Database, receiver: &Receiver) {
    eventd_ok(&database.url(), &["install"]).await;
    let url = receiver.url("/");
    subscribe(
        database,
        "sale.order",
        &url,
        &["--event", "write", "--fields", "client_order_ref", "--secret", OLD],
    )
    .await;
}

async fn wait_until_ready(database: &Database, id: i32) {
    eventually("a subscription that is ready", SOON, async || {
        let row = database
            .psql(&format!("select state from mcp_event_subscription where id = {id}"))
            .await;
        (row == "ready").then_some(())
    })
    .await;
}

/// Changes an order, and returns the request that tells of it.
async fn next_request(database: &Database, receiver: &Receiver) -> Recorded {
    let before = receiver.requests().len();
    database
        .psql("update sale_order set client_order_ref = gen_random_uuid() where id = 1")
        .await;
    receiver.wait_for(before + 1, SOON).await.pop().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_rotation_overlaps_both_secrets_sign_and_then_the_old_one_is_forgotten() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    subscribed(&database, &receiver).await;
    let _service = Service::leading(&database).await;
    let alone = next_request(&database, &receiver).await;
    assert!(signed_with(&alone, OLD) && body_signed_with(&alone, OLD));

    let printed = eventd_ok(&database.url(), &["secret", "rotate", "1"]).await;
    let new = printed.trim();
    assert!(new.starts_with("whsec_") && new.len() == 50, "a secret of 32 bytes");
    wait_until_ready(&database, 1).await;
    let both = next_request(&database, &receiver).await;
    assert_eq!(both.header("webhook-signature").unwrap().split(' ').count(), 2);
    assert!(signed_with(&both, OLD) && signed_with(&both, new) && !signed_with(&both, "whsec_b3RoZXI="));
    assert!(
        body_signed_with(&both, OLD) && !body_signed_with(&both, new),
        "what was accepted is accepted on"
    );
    for secret in [OLD, new] {
        let official = standardwebhooks::Webhook::new(secret).unwrap();
        let headers = both.headers.iter().filter(|(name, _)| name.starts_with("webhook-"));
        let headers = headers
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        official.verify(&both.body, &headers).unwrap();
    }
    for (header, secret) in [
        ("webhook-signature", OLD),
        ("webhook-signature", new),
        ("x-mcp-signature", OLD),
    ] {
        verified_by_the_command(&both, header, secret).await;
    }
    let secrets = database
        .psql("select odoo_eventd.secret_status() ->> 'overlapping'")
        .await;
    assert_eq!(secrets, "1");

    // A day later.
    database
        .psql("update odoo_eventd.subscription_secret set previous_until = now(); update mcp_event_subscription set name = 'seen anew'")
        .await;
    wait_until_ready(&database, 1).await;
    let after = next_request(&database, &receiver).await;
    assert!(signed_with(&after, new) && body_signed_with(&after, new));
    assert!(!signed_with(&after, OLD) && !body_signed_with(&after, OLD));
    eventually("the old secret to be forgotten", SOON, async || {
        let left = database
            .psql("select count(*) from odoo_eventd.subscription_secret where num_nonnulls(previous_secret, previous_until) > 0")
            .await;
        (left == "0").then_some(())
    })
    .await;
}

async fn verified_by_the_command(request: &Recorded, header: &str, secret: &str) {
    let mut verify = crate::support::service::program();
    verify.args([
        "verify",
        "--signature",
        request.header(header).unwrap(),
        "--secret",
        secret,
    ]);
    verify.args(["--id", request.header("webhook-id").unwrap()]);
    verify.args(["--timestamp", request.header("webhook-timestamp").unwrap()]);
    let mut child = verify.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, &request.body)
        .await
        .unwrap();
    drop(stdin);
    assert!(child.wait().await.unwrap().success(), "{header}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_written_with_sql_replaces_at_once() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    subscribed(&database, &receiver).await;
    let _service = Service::leading(&database).await;
    // With SQL as well: the new secret of a rotation, with an overlap.
    database
        .psql("select odoo_eventd.rotate_secret(1, 'second', '1 hour')")
        .await;
    wait_until_ready(&database, 1).await;
    let both = next_request(&database, &receiver).await;
    assert!(signed_with(&both, OLD) && signed_with(&both, "second"));
    // Other credentials are no reason to end it.
    database
        .psql("update mcp_event_subscription set auth = 'bearer token'")
        .await;
    wait_until_ready(&database, 1).await;
    let still = next_request(&database, &receiver).await;
    assert!(signed_with(&still, OLD) && signed_with(&still, "second"));
    assert_eq!(still.header("authorization"), Some("Bearer token"));

    database
        .psql("update mcp_event_subscription set webhook_secret = 'third'")
        .await;
    wait_until_ready(&database, 1).await;
    let third = next_request(&database, &receiver).await;
    assert!(signed_with(&third, "third") && body_signed_with(&third, "third"));
    assert!(!signed_with(&third, OLD) && !signed_with(&third, "second"));
    assert_eq!(third.header("authorization"), Some("Bearer token"));
    let shown = database
        .psql("select webhook_secret, auth from mcp_event_subscription")
        .await;
    assert_eq!(shown, "********|********");

    database
        .psql("update mcp_event_subscription set webhook_secret = null, auth = null")
        .await;
    wait_until_ready(&database, 1).await;
    let none = next_request(&database, &receiver).await;
    assert_eq!(none.header("webhook-signature").or(none.header("authorization")), None);
    assert_eq!(
        database
            .psql("select count(*) from odoo_eventd.subscription_secret")
            .await,
        "0"
    );
}

#[tokio::test]
async fn a_rotation_that_cannot_be_is_refused_and_changes_nothing() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    subscribed(&database, &receiver).await;
    let empty = File::new("empty-secret", "\n");
    for (arguments, said) in [
        (vec!["secret", "rotate", "99"], "there is no subscription 99"),
        (
            vec!["secret", "rotate", "1", "--secret-file", empty.path()],
            "the secret is empty",
        ),
        (vec!["secret", "rotate", "1", "--overlap", "soon"], "not a duration"),
    ] {
        let refused = eventd(&database.url(), &arguments).await;
        let stderr = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
    let kept = database
        .psql("select webhook_secret, previous_until is null from odoo_eventd.subscription_secret")
        .await;
    assert_eq!(kept, format!("{OLD}|t"));
}

/// How many secrets are in the table as they were written.
async fn plain_secrets(database: &Database) -> String {
    let sql = "select count(*) from odoo_eventd.subscription_secret k
                where num_nonnulls(k.webhook_secret, k.auth, k.previous_secret) > 0 or k::text like '%s3cret%'";
    database.psql(sql).await
}

async fn running(database: &Database, key_file: Option<&str>) -> Service {
    let arguments: Vec<&str> = key_file
        .into_iter()
        .flat_map(|file| ["--secret-key-file", file])
        .collect();
    let service = Service::start(&database.url(), &arguments);
    wait_until_leading(database).await;
    service
}

async fn error_of(database: &Database, id: i32) -> String {
    eventually("an invalid subscription", SOON, async || {
        let row = database
            .psql(&format!(
                "select state, error from mcp_event_subscription where id = {id}"
            ))
            .await;
        row.strip_prefix("invalid|").map(str::to_owned)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_key_secrets_are_encrypted_at_rest_and_without_it_their_subscriptions_alone_are_invalid() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let (key, other_key) = (File::new("key", KEY), File::new("other-key", OTHER_KEY));
    database
        .psql(&format!(
            "insert into mcp_event_subscription (model, event_type, fields, webhook_url, webhook_secret, auth)
             values ('sale.order', 'write', '{{client_order_ref}}', '{0}', 's3cret one', 'bearer s3cret'),
                    ('res.partner', 'write', '{{phone}}', '{0}', null, null)",
            receiver.url("/")
        ))
        .await;
    assert_eq!(plain_secrets(&database).await, "1", "nobody has looked yet");
    let status = eventd_ok(&database.url(), &["status"]).await;
    assert!(status.contains("secrets    2 in plain text, 0 encrypted"), "{status}");

    let service = running(&database, Some(key.path())).await;
    eventually("secrets that are encrypted", SOON, async || {
        (plain_secrets(&database).await == "0").then_some(())
    })
    .await;
    let first = next_request(&database, &receiver).await;
    assert!(signed_with(&first, "s3cret one"));
    assert_eq!(first.header("authorization"), Some("Bearer s3cret"));

    // One of the two is written anew: the other stays readable.
    database
        .psql("update mcp_event_subscription set auth = 'X-Key: s3cret too' where id = 1")
        .await;
    eventually("the new one to be encrypted", SOON, async || {
        (plain_secrets(&database).await == "0").then_some(())
    })
    .await;
    wait_until_ready(&database, 1).await;
    let second = next_request(&database, &receiver).await;
    assert!(signed_with(&second, "s3cret one"));
    assert_eq!(second.header("x-key"), Some("s3cret too"));
    // A rotation moves what is encrypted.
    database.psql("select odoo_eventd.rotate_secret(1, 's3cret two')").await;
    eventually("the third to be encrypted", SOON, async || {
        (plain_secrets(&database).await == "0").then_some(())
    })
    .await;
    wait_until_ready(&database, 1).await;
    let third = next_request(&database, &receiver).await;
    assert!(signed_with(&third, "s3cret one") && signed_with(&third, "s3cret two"));
    let status = eventd_ok(&database.url(), &["status"]).await;
    assert!(status.contains("secrets    0 in plain text, 3 encrypted"), "{status}");
    let (_, log) = service.terminate().await;
    assert!(!log.contains("s3cret") && !log.contains(KEY), "{log}");
    assert!(log.contains("everybody on this machine can read the key"), "{log}");

    // No key, and the wrong one: a sentence each, and the other subscription is served.
    for (file, sentence) in [
        (None, "no key is configured"),
        (Some(other_key.path()), "the key that is configured is"),
    ] {
        let service = running(&database, file).await;
        let error = error_of(&database, 1).await;
        assert!(
            error.starts_with("webhook_secret cannot be read: ") && error.contains(sentence),
            "{error}"
        );
        let before = receiver.requests().len();
        database
            .psql("update res_partner set phone = gen_random_uuid() where id = 1")
            .await;
        receiver.wait_for(before + 1, SOON).await;
        service.terminate().await;
        database
            .psql("update mcp_event_subscription set name = 'seen anew'")
            .await;
    }

    // Another key: not without the one in use, and then all at once.
    let arguments = ["secret", "rewrap", "--new-key-file", other_key.path()];
    let refused = eventd(&database.url(), &arguments).await;
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert!(
        refused.status.code() == Some(2) && stderr.contains("3 of 3 secrets cannot be read"),
        "{stderr}"
    );
    let both = [arguments.as_slice(), &["--secret-key-file", key.path(), "--json"]].concat();
    let told: serde_json::Value = serde_json::from_str(&eventd_ok(&database.url(), &both).await).unwrap();
    assert_eq!((&told["rewrapped"], &told["left"]), (&3.into(), &0.into()));
    let again: serde_json::Value = serde_json::from_str(&eventd_ok(&database.url(), &both).await).unwrap();
    assert_eq!((&again["rewrapped"], &again["left"]), (&0.into(), &3.into()));
    let _service = running(&database, Some(other_key.path())).await;
    wait_until_ready(&database, 1).await;
    let last = next_request(&database, &receiver).await;
    assert!(signed_with(&last, "s3cret one") && signed_with(&last, "s3cret two"));
    assert_eq!(last.header("x-key"), Some("s3cret too"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_moved_to_another_subscription_does_not_open() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    subscribed(&database, &receiver).await;
    let key = File::new("moved-key", KEY);
    let url = receiver.url("/mine");
    database
        .psql(&format!(
            "insert into mcp_event_subscription (model, webhook_url, webhook_secret) values ('sale.order', '{url}', 'mine')"
        ))
        .await;
    let _service = running(&database, Some(key.path())).await;
    eventually("secrets that are encrypted", SOON, async || {
        (plain_secrets(&database).await == "0").then_some(())
    })
    .await;
    database
        .psql(
            "update odoo_eventd.subscription_secret k set sealed_secret = (
               select o.sealed_secret from odoo_eventd.subscription_secret o join mcp_event_subscription s using (secret_ref) where s.id = 1)
              from mcp_event_subscription s where s.secret_ref = k.secret_ref and s.id = 2;
             update mcp_event_subscription set name = 'seen anew'",
        )
        .await;
    let error = error_of(&database, 2).await;
    assert!(
        error.contains("it was altered, or moved here from another row"),
        "{error}"
    );
    wait_until_ready(&database, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_comes_from_a_systemd_credential_where_there_is_one() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    subscribed(&database, &receiver).await;
    let directory = std::env::temp_dir().join(format!("odoo-eventd-credentials-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("secret_key"), KEY).unwrap();
    let mut run = crate::support::service::program();
    run.env("CREDENTIALS_DIRECTORY", &directory);
    run.args(["--database-url", &database.url(), "run"]);
    let _service = run.stderr(std::process::Stdio::null()).spawn().unwrap();
    eventually("secrets that are encrypted", SOON, async || {
        (plain_secrets(&database).await == "0").then_some(())
    })
    .await;
    std::fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
async fn a_key_file_that_holds_no_key_stops_the_service_before_it_does_anything() {
    let key = File::new("no-key", "s3cret but no key");
    let refused = eventd(
        "postgres://nobody@127.0.0.1:1/none",
        &["run", "--secret-key-file", key.path()],
    )
    .await;
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("cannot read the key for secrets") && stderr.contains("hint:"),
        "{stderr}"
    );
    assert!(!stderr.contains("s3cret"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_tables_leave_no_secret_behind() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql(
            "insert into mcp_event_subscription (model, webhook_secret) values ('sale.order', 'of-the-subscription');
             insert into mcp_record_callback (model, record_id, callback_url, secret) values ('sale.order', 1, 'https://example.com', 'of-the-record')",
        )
        .await;
    let kept = "select coalesce(string_agg(webhook_secret, ' '), 'none') from odoo_eventd.subscription_secret";
    database.psql("truncate mcp_event_subscription").await;
    assert_eq!(database.psql(kept).await.trim(), "of-the-record");
    database.psql("truncate mcp_record_callback").await;
    assert_eq!(database.psql(kept).await.trim(), "none");
}
