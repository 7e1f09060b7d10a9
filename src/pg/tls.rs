//! TLS to PostgreSQL: what `sslmode`, `sslrootcert`, `sslcert` and `sslkey` of a connection string ask for, as libpq means them.
//!
//! The driver knows `disable`, `prefer` and `require` only, and no files; so these parameters are taken out of the string before it
//! reads the rest. `channel_binding` and `sslnegotiation` are the driver's own and stay.
//!
//! Source: PostgreSQL documentation, "Database Connection Control Functions" and "SSL Support".

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::{Error, Result};

/// How much a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Not at all.
    Disable,
    /// Encrypted where the server offers it; whoever is in between can prevent it.
    Prefer,
    /// Encrypted; whoever is in between can pretend to be the server.
    Require,
    /// The server's certificate is signed by the right authority.
    VerifyCa,
    /// And it is for the host that was named.
    VerifyFull,
}

/// The parameters that are read here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// `sslmode`.
    pub mode: Mode,
    root: Option<Root>,
    certificate: Option<String>,
    key: Option<String>,
}

/// Whom to trust: `sslrootcert`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Root {
    /// `system`, as libpq 16 has it.
    System,
    File(String),
}

impl TlsOptions {
    /// Takes the parameters out of a connection string; returns them and what is left of it, with an `sslmode` that the driver knows.
    ///
    /// # Errors
    /// [`Error::is_usage`] for an unknown `sslmode`, for verification without `sslrootcert`, and for a certificate without a key.
    pub fn extract(connection_string: &str) -> Result<(Self, String)> {
        let mut taken = Taken::default();
        let rest = if is_url(connection_string) {
            take_from_url(connection_string, &mut taken)
        } else {
            take_from_pairs(connection_string, &mut taken)
        };
        let root = taken.root.map(|root| match root.as_str() {
            "system" => Root::System,
            _ => Root::File(root),
        });
        let mode = match taken.mode.as_deref() {
            Some("disable") => Mode::Disable,
            // As in libpq: with an authority at hand, "require" checks that it is the one.
            Some("require") if matches!(root, Some(Root::File(_))) => Mode::VerifyCa,
            Some("require") => Mode::Require,
            Some("verify-ca") => Mode::VerifyCa,
            Some("verify-full") => Mode::VerifyFull,
            // With the system's authorities anything less would be meaningless; libpq refuses it, too.
            None if root == Some(Root::System) => Mode::VerifyFull,
            None | Some("prefer" | "allow") => Mode::Prefer,
            Some(_) => {
                return Err(Error::usage("the database URL has an unknown sslmode")
                    .with_hint("one of disable, prefer, require, verify-ca, verify-full"));
            }
        };
        if mode >= Mode::VerifyCa && root.is_none() {
            return Err(
                Error::usage("the database URL asks to verify the server and says not by what").with_hint(
                    "add sslrootcert=FILE with the authority's certificate, or sslrootcert=system for public ones",
                ),
            );
        }
        if mode == Mode::VerifyCa && root == Some(Root::System) {
            return Err(Error::usage(
                "sslmode=verify-ca with sslrootcert=system would trust every server with a public name",
            )
            .with_hint("use sslmode=verify-full"));
        }
        if taken.certificate.is_some() != taken.key.is_some() {
            return Err(Error::usage("the database URL has only one of sslcert and sslkey"));
        }
        let options = Self {
            mode,
            root,
            certificate: taken.certificate,
            key: taken.key,
        };
        Ok((options, rest))
    }

    /// What the driver is to do: its own modes neither verify nor refuse to.
    pub fn driver_mode(&self) -> tokio_postgres::config::SslMode {
        match self.mode {
            Mode::Disable => tokio_postgres::config::SslMode::Disable,
            Mode::Prefer => tokio_postgres::config::SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => tokio_postgres::config::SslMode::Require,
        }
    }

    /// The client side of TLS.
    ///
    /// # Errors
    /// [`Error::is_usage`] when a file cannot be read or does not hold what it should.
    pub fn client_config(&self) -> Result<rustls::ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = self.verifier(&provider)?;
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::other("cannot set up TLS").with_source(error))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|e| Error::usage(format!("cannot read a private key from {key}")).with_source(e))?;
                builder
                    .with_client_auth_cert(read_certificates(certificate)?, key)
                    .map_err(|e| Error::usage("sslcert and sslkey do not fit").with_source(e))?
            }
            _ => builder.with_no_client_auth(),
        };
        // PostgreSQL 17 and later insist on it for sslnegotiation=direct, so that no other protocol's server is talked to.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(config)
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>> {
        let inner: Arc<dyn ServerCertVerifier> = match (&self.root, self.mode) {
            (_, Mode::Disable | Mode::Prefer | Mode::Require) | (None, _) => {
                return Ok(Arc::new(Encrypted(Arc::clone(provider))));
            }
            (Some(Root::System), _) => Arc::new(
                rustls_platform_verifier::Verifier::new(Arc::clone(provider))
                    .map_err(|e| Error::other("cannot load the system's authorities").with_source(e))?,
            ),
            (Some(Root::File(file)), _) => {
                let mut roots = RootCertStore::empty();
                for certificate in read_certificates(file)? {
                    roots.add(certificate).map_err(|e| {
                        Error::usage(format!("{file} holds a certificate that cannot be used")).with_source(e)
                    })?;
                }
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                    .build()
                    .map_err(|e| Error::usage(format!("cannot verify by {file}")).with_source(e))?
            }
        };
        Ok(if self.mode == Mode::VerifyFull {
            inner
        } else {
            Arc::new(AnyName(inner))
        })
    }
}

impl PartialOrd for Mode {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        (*self as u8).partial_cmp(&(*other as u8))
    }
}

fn read_certificates(file: &str) -> Result<Vec<CertificateDer<'static>>> {
    let path = Path::new(file);
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => {
            Err(Error::usage(format!("{file} holds no certificate in PEM form")))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(Error::usage(format!("cannot read certificates from {file}")).with_source(error)),
    }
}

#[derive(Default)]
struct Taken {
    mode: Option<String>,
    root: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
}

impl Taken {
    /// Keeps a parameter that is ours; false for the driver's.
    fn take(&mut self, name: &str, value: String) -> bool {
        let place = match name {
            "sslmode" => &mut self.mode,
            "sslrootcert" => &mut self.root,
            "sslcert" => &mut self.certificate,
            "sslkey" => &mut self.key,
            _ => return false,
        };
        *place = Some(value);
        true
    }
}

fn is_url(connection_string: &str) -> bool {
    ["postgres://", "postgresql://"]
        .iter()
        .any(|scheme| connection_string.starts_with(scheme))
}

fn take_from_url(url: &str, taken: &mut Taken) -> String {
    // A password may hold a question mark; the driver, too, takes everything up to the first @ for credentials.
    let after_credentials = url.find('@').map_or(0, |at| at + 1);
    let Some(question) = url[after_credentials..].find('?').map(|i| after_credentials + i) else {
        return url.to_owned();
    };
    let kept: Vec<&str> = url[question + 1..]
        .split('&')
        .filter(|pair| {
            // In this place a plus is a plus, not a space as in forms.
            let decoded = url::form_urlencoded::parse(pair.replace('+', "%2B").as_bytes())
                .next()
                .map(|(name, value)| (name.into_owned(), value.into_owned()));
            !decoded.is_some_and(|(name, value)| taken.take(&name, value))
        })
        .collect();
    let mut rest = url[..question].to_owned();
    if !kept.is_empty() {
        rest.push('?');
        rest.push_str(&kept.join("&"));
    }
    rest
}

fn take_from_pairs(pairs: &str, taken: &mut Taken) -> String {
    let mut kept = String::new();
    let mut rest = pairs;
    // What is not of this form is left for the driver to complain about.
    while let Some((name, value, length)) = next_pair(rest) {
        if !taken.take(&name, value) {
            kept.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    kept + rest
}

/// The first `name = value` with its length in bytes, the white space around it included.
fn next_pair(text: &str) -> Option<(String, String, usize)> {
    let equals = text.find('=')?;
    let name = text[..equals].trim();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return None;
    }
    let after = &text[equals + 1..];
    let begins = after.len() - after.trim_start().len();
    let is_quoted = after[begins..].starts_with('\'');
    let mut value = String::new();
    let mut is_closed = !is_quoted;
    let mut end = after.len();
    let mut characters = after
        .char_indices()
        .skip_while(|(i, _)| *i < begins + usize::from(is_quoted));
    while let Some((i, c)) = characters.next() {
        match c {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if is_quoted => {
                is_closed = true;
                end = i + 1;
                break;
            }
            c if c.is_whitespace() && !is_quoted => {
                end = i;
                break;
            }
            c => value.push(c),
        }
    }
    let trailing = after[end..].len() - after[end..].trim_start().len();
    is_closed.then(|| (name.to_owned(), value, equals + 1 + end + trailing))
}

/// What libpq does for `sslmode=prefer` and `require`: encrypts, and takes any certificate.
#[derive(Debug)]
struct Encrypted(Arc<CryptoProvider>);

impl ServerCertVerifier for Encrypted {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// `verify-ca`: the chain counts, the name does not.
#[derive(Debug)]
struct AnyName(Arc<dyn ServerCertVerifier>);

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self
            .0
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        {
            // The name is looked at last, once the chain was found good.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            judged => judged,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extract(text: &str) -> (Mode, Option<Root>, String) {
        let (options, rest) = TlsOptions::extract(text).unwrap();
        (options.mode, options.root, rest)
    }

    fn file(path: &str) -> Option<Root> {
        Some(Root::File(path.to_owned()))
    }

    #[test]
    fn what_tls_is_to_be_is_taken_out_of_urls_and_pairs() {
        assert_eq!(
            extract("postgres://u:p?@h/d?sslmode=verify-full&application_name=a%26b&sslrootcert=%2Fetc%2Fca+1.pem"),
            (
                Mode::VerifyFull,
                file("/etc/ca+1.pem"),
                "postgres://u:p?@h/d?application_name=a%26b".to_owned()
            )
        );
        assert_eq!(
            extract("postgresql://h/d?sslmode=disable"),
            (Mode::Disable, None, "postgresql://h/d".to_owned())
        );
        assert_eq!(
            extract("postgres:///d"),
            (Mode::Prefer, None, "postgres:///d".to_owned())
        );
        let (mode, root, rest) =
            extract(r"host=h sslrootcert = 'my \'ca\'.pem'  password='a b\\' sslmode=verify-ca dbname=d");
        assert_eq!((mode, root), (Mode::VerifyCa, file("my 'ca'.pem")));
        assert_eq!(rest, r"host=h password='a b\\' dbname=d");
    }

    #[test]
    fn require_with_an_authority_verifies_it_and_the_systems_means_everything() {
        assert_eq!(extract("host=h sslmode=require sslrootcert=ca.pem").0, Mode::VerifyCa);
        assert_eq!(extract("host=h sslmode=require").0, Mode::Require);
        assert_eq!(extract("host=h sslrootcert=system").0, Mode::VerifyFull);
    }

    #[test]
    fn what_would_verify_nothing_is_refused() {
        for wrong in [
            "host=h sslmode=verify-full",
            "host=h sslmode=verify-ca sslrootcert=system",
            "host=h sslmode=sometimes",
            "host=h sslcert=a.pem",
        ] {
            assert!(TlsOptions::extract(wrong).unwrap_err().is_usage(), "{wrong}");
        }
    }
}
