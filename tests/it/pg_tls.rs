//! TLS to PostgreSQL: who is trusted, and who is not.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;
use std::sync::Arc;

use odoo_eventd::demo::Options;
use odoo_eventd::demo::scratch::Scratch;
use odoo_eventd::pg::connect::Database as Connection;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};

use crate::support::service::eventd;
use crate::support::{Database, Server};

/// A server with a certificate for this name, signed by the first of two authorities; and files with their certificates.
struct Secured {
    database: Database,
    server: Arc<Server>,
    directory: Scratch,
}

async fn secured(name: &str) -> Secured {
    let directory = Scratch::new(None).unwrap();
    let authority = || {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    };
    let (ours, other) = (authority(), authority());
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, &ours).unwrap();
    directory.write("ca.pem", &ours.pem()).unwrap();
    directory.write("other.pem", &other.pem()).unwrap();
    let certificate = directory.write("server.pem", &certificate.pem()).unwrap();
    let key = directory.write("server.key", &key.serialize_pem()).unwrap();
    // The server refuses a key that others may read.
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let owner = fs::metadata(directory.path()).unwrap();
    chown(&key, Some(owner.uid()), Some(owner.gid())).unwrap();

    let server = Server::private(
        Options::new()
            .setting("ssl", "on")
            .setting("ssl_cert_file", certificate.display())
            .setting("ssl_key_file", key.display()),
    );
    let database = server.fixture().await;
    Secured {
        database,
        server,
        directory,
    }
}

impl Secured {
    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The database over TCP at this host, with these parameters.
    fn url(&self, host: &str, parameters: &str) -> String {
        let url = self.database.tcp_url().replace("@127.0.0.1:", &format!("@{host}:"));
        assert!(url.contains(host));
        format!("{url}{}{parameters}", if url.contains('?') { '&' } else { '?' })
    }

    fn verified(&self, host: &str, mode: &str, authority: &str) -> String {
        self.url(
            host,
            &format!("sslmode={mode}&sslrootcert={}", self.file(authority).display()),
        )
    }
}

/// Whether the session is encrypted, or why there is none.
async fn is_encrypted(url: &str) -> Result<bool, odoo_eventd::Error> {
    let client = Connection::parse(url)?.connect().await?;
    let row = client
        .query_one("select ssl from pg_stat_ssl where pid = pg_backend_pid()", &[])
        .await
        .unwrap();
    Ok(row.get(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_full_takes_the_right_server_alone() {
    let secured = secured("localhost").await;
    assert!(
        is_encrypted(&secured.verified("localhost", "verify-full", "ca.pem"))
            .await
            .unwrap()
    );

    let wrong_authority = is_encrypted(&secured.verified("localhost", "verify-full", "other.pem"))
        .await
        .unwrap_err();
    let wrong_host = is_encrypted(&secured.verified("127.0.0.1", "verify-full", "ca.pem"))
        .await
        .unwrap_err();
    for refused in [&wrong_authority, &wrong_host] {
        assert!(refused.hint().unwrap().contains("certificate"), "{}", refused.chain());
        assert!(!refused.chain().contains(secured.server.cluster().password()));
    }
    assert!(
        wrong_authority.chain().contains("invalid peer certificate"),
        "{}",
        wrong_authority.chain()
    );
    assert!(
        wrong_host.chain().contains("not valid for name"),
        "{}",
        wrong_host.chain()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_ca_takes_any_name_and_no_other_authority() {
    let secured = secured("db.example").await;
    for mode in ["verify-ca", "require"] {
        assert!(
            is_encrypted(&secured.verified("localhost", mode, "ca.pem"))
                .await
                .unwrap(),
            "{mode}"
        );
        let refused = is_encrypted(&secured.verified("localhost", mode, "other.pem"))
            .await
            .unwrap_err();
        assert!(
            refused.chain().contains("invalid peer certificate"),
            "{mode}: {}",
            refused.chain()
        );
    }
    assert!(
        is_encrypted(&secured.url("localhost", "sslmode=require"))
            .await
            .unwrap()
    );
    assert!(
        !is_encrypted(&secured.url("localhost", "sslmode=disable"))
            .await
            .unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn channel_binding_can_be_insisted_on() {
    let secured = secured("localhost").await;
    let bound = format!(
        "{}&channel_binding=require",
        secured.verified("localhost", "verify-full", "ca.pem")
    );
    assert!(is_encrypted(&bound).await.unwrap());
    // Without TLS there is nothing to bind to, and that is refused rather than done without.
    let unbound = secured.url("localhost", "sslmode=disable&channel_binding=require");
    assert!(is_encrypted(&unbound).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_verifies_and_a_missing_authority_is_wrong_use() {
    let secured = secured("localhost").await;
    let installed = eventd(&secured.verified("localhost", "verify-full", "ca.pem"), &["install"]).await;
    assert!(
        installed.status.success(),
        "{}",
        String::from_utf8_lossy(&installed.stderr)
    );
    for (url, code) in [
        (secured.verified("localhost", "verify-full", "other.pem"), 1),
        (secured.verified("localhost", "verify-full", "nowhere.pem"), 2),
        (secured.url("localhost", "sslmode=verify-full"), 2),
    ] {
        assert_eq!(eventd(&url, &["status"]).await.status.code(), Some(code), "{url}");
    }
}
