//! Whom the client trusts, and HTTP/2 behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use odoo_eventd::delivery::Failure;
use odoo_eventd::http::client::{Attempt, Audience, Client, Request};
use odoo_eventd::http::tls::HostTls;
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{WantsServerCert, WebPkiClientVerifier};
use rustls::{ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::client::{self, AMPLE};
use crate::support::receiver::{Receiver, Socket};

impl Socket for TlsStream<TcpStream> {}

/// An authority of our own, as a company has one.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(crate) fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// A server for this name, with the certificate changed at will.
    pub(crate) fn server(&self, name: &str, alpn: &[&str], change: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
        acceptor(server_builder().with_no_client_auth(), self.issue(name, change), alpn)
    }

    /// A server for this name that lets in clients with a certificate of this authority only.
    pub(crate) fn strict_server(&self, name: &str) -> TlsAcceptor {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        acceptor(
            server_builder().with_client_cert_verifier(verifier),
            self.issue(name, |_| {}),
            &[],
        )
    }
}

fn server_builder() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    let provider = Arc::new(ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
}

fn acceptor(
    builder: ConfigBuilder<ServerConfig, WantsServerCert>,
    (certificate, key): (Certificate, KeyPair),
    alpn: &[&str],
) -> TlsAcceptor {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

fn client(trusted: &[&Authority]) -> Client {
    let mut config = client::allowing(&["127.0.0.1"]);
    config.authorities = trusted.iter().map(|authority| authority.certificate()).collect();
    Client::new(config).unwrap()
}

fn request(port: u16, timeout: Duration) -> Request {
    client::post(&format!("https://127.0.0.1:{port}/hook"), timeout)
}

async fn post(client: &Client, port: u16, timeout: Duration) -> Attempt {
    client.send(request(port, timeout)).await
}

pub(crate) async fn receiver(acceptor: TlsAcceptor) -> Receiver {
    Receiver::start_with(move |stream| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(stream).await.ok() }
    })
    .await
}

#[tokio::test]
async fn a_certificate_of_a_named_authority_is_trusted() {
    let authority = Authority::new();
    let receiver = receiver(authority.server("127.0.0.1", &["http/1.1"], |_| {})).await;
    let attempt = post(&client(&[&authority]), receiver.address().port(), AMPLE).await;
    assert!(attempt.outcome.is_success(), "{attempt:?}");
    assert_eq!(receiver.requests()[0].body, b"{}");
}

#[tokio::test]
async fn every_certificate_that_proves_nothing_is_a_tls_failure() {
    let (authority, other) = (Authority::new(), Authority::new());
    let cases = [
        ("unknown authority", &other, authority.server("127.0.0.1", &[], |_| {})),
        (
            "another host",
            &authority,
            authority.server("receiver.example", &[], |_| {}),
        ),
        (
            "another address",
            &authority,
            authority.server("127.0.0.2", &[], |_| {}),
        ),
        (
            "expired",
            &authority,
            authority.server("127.0.0.1", &[], |params| {
                params.not_after = rcgen::date_time_ymd(2024, 1, 1)
            }),
        ),
        (
            "not yet valid",
            &authority,
            authority.server("127.0.0.1", &[], |params| {
                params.not_before = rcgen::date_time_ymd(4000, 1, 1)
            }),
        ),
    ];
    for (name, trusted, acceptor) in cases {
        let receiver = receiver(acceptor).await;
        let attempt = post(&client(&[trusted]), receiver.address().port(), AMPLE).await;
        assert_eq!(attempt.outcome.failure, Some(Failure::Tls), "{name}: {attempt:?}");
        assert!(receiver.requests().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_receiver_that_asks_for_one() {
    let authority = Authority::new();
    let receiver = receiver(authority.strict_server("127.0.0.1")).await;
    let port = receiver.address().port();
    let stranger = post(&client(&[&authority]), port, AMPLE).await;
    assert_eq!(stranger.outcome.failure, Some(Failure::Tls), "{stranger:?}");

    let (certificate, key) = authority.issue("odoo.example", |_| {});
    // Both in one file, as they are often handed out.
    let file = std::env::temp_dir().join(format!("odoo-eventd-identity-{}.pem", std::process::id()));
    std::fs::write(&file, certificate.pem() + &key.serialize_pem()).unwrap();
    let section = |host: &str| {
        let section = HostTls {
            hosts: vec![host.to_owned()],
            ca_file: None,
            certificate_file: Some(file.clone()),
            key_file: None,
        };
        section.read().unwrap()
    };
    let mut config = client::allowing(&["127.0.0.1"]);
    config.callback_guard = config.guard.clone();
    config.authorities = vec![authority.certificate()];
    config.hosts = vec![section("127.0.0.2"), section("127.0.0.1")];
    std::fs::remove_file(&file).unwrap();
    let client = Client::new(config).unwrap();
    for _ in 0..2 {
        let known = post(&client, port, AMPLE).await;
        assert!(known.outcome.is_success(), "{known:?}");
    }
    assert_eq!(receiver.requests().len(), 2);
    assert_eq!(
        receiver.connections(),
        2,
        "one of the stranger's, one for both requests"
    );

    // Not to a URL that came from outside: whoever names it would have the certificate speak for them.
    let named_by_a_stranger = Request {
        audience: Audience::Callback,
        ..request(port, AMPLE)
    };
    let refused = client.send(named_by_a_stranger).await;
    assert_eq!(refused.outcome.failure, Some(Failure::Tls), "{refused:?}");
}

#[tokio::test]
async fn a_handshake_that_is_never_answered_counts_against_the_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {}
    });
    let attempt = post(&client(&[]), port, Duration::from_millis(300)).await;
    assert_eq!(attempt.outcome.failure, Some(Failure::Timeout), "{attempt:?}");
}

#[tokio::test]
async fn http_2_is_spoken_where_the_receiver_offers_it() {
    let authority = Authority::new();
    let acceptor = authority.server("127.0.0.1", &["h2"], |_| {});
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut served = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            let stream = acceptor.accept(stream).await.unwrap();
            served.spawn(async move {
                let count = AtomicUsize::new(0);
                let answer = service_fn(|request| {
                    let version = hyper::Request::<hyper::body::Incoming>::version(&request);
                    // The second request is answered by resetting its stream alone.
                    let broken = count.fetch_add(1, Ordering::Relaxed) == 1;
                    async move {
                        if broken {
                            Err("stream reset")
                        } else {
                            Ok(Response::new(Full::<Bytes>::from(format!("{version:?}"))))
                        }
                    }
                });
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), answer)
                    .await;
            });
        }
    });
    let client = client(&[&authority]);
    let first = post(&client, port, AMPLE).await;
    assert_eq!(first.response.text, format!("{:?}", Version::HTTP_2), "{first:?}");
    let second = post(&client, port, AMPLE).await;
    assert_eq!(second.outcome.failure, Some(Failure::ConnectionReset), "{second:?}");
    assert!(post(&client, port, AMPLE).await.outcome.is_success());
    assert_eq!(
        connections.load(Ordering::Relaxed),
        1,
        "all requests share the connection"
    );
}
