//! Whom the client trusts, and with which cryptography.
//!
//! The trust store is the operating system's (`/etc/ssl/certs`, or what `SSL_CERT_FILE` names), not one built into the program: on-premise
//! receivers are signed by a company's own authority, which its administrators install there, and a distribution withdraws a
//! root without this program being built again. More authorities can be added, none taken away.
//!
//! A client certificate, where one is given, is shown to every receiver that asks for one and proves nothing but who we are.
//!
//! The cryptography is *ring*, named explicitly: a process-wide default would be decided by whichever crate comes first.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::Verifier;

use crate::{Error, Result};

/// A client certificate with its key.
#[derive(Debug)]
pub struct Identity {
    /// The certificate first, then those it was signed by.
    certificates: Vec<CertificateDer<'static>>,
    /// Its `Debug` shows nothing of it.
    key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            certificates: self.certificates.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Identity {
    /// Reads a certificate (with the chain above it) and its private key from PEM files; both may be in one file.
    ///
    /// # Errors
    /// [`Error::is_usage`] when a file cannot be read or does not hold what it should; that they belong together is checked by
    /// [`client_config`].
    pub fn read(certificate_file: &Path, key_file: &Path) -> Result<Self> {
        let certificates = read_certificates(certificate_file)?;
        let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| {
            Error::usage(format!("cannot read a private key from {}", key_file.display())).with_source(error)
        })?;
        Ok(Self { certificates, key })
    }
}

/// The client side of TLS 1.2 and 1.3 offering HTTP/2 and HTTP/1.1; trusts the system's authorities and `authorities`.
///
/// # Errors
/// When there is no trust store at all, one of `authorities` is not a certificate, or `identity` has the wrong key.
pub fn client_config(authorities: &[CertificateDer<'static>], identity: Option<Identity>) -> Result<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let verifier =
        Verifier::new_with_extra_roots(authorities.iter().cloned(), Arc::clone(&provider)).map_err(|error| {
            Error::other("cannot load the certificates of the authorities that https receivers are signed by")
                .with_source(error)
                .with_hint("install the package ca-certificates, or name a file of certificates in SSL_CERT_FILE")
        })?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::other("cannot set up TLS").with_source(error))?
        // "Dangerous" is any verifier of one's own; this one is the system's.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { certificates, key }) => builder
            .with_client_auth_cert(certificates, key)
            .map_err(|error| Error::usage("the client certificate and its key do not fit").with_source(error))?,
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Reads the certificates of a PEM file: a company's own authority.
///
/// # Errors
/// [`Error::is_usage`] when the file cannot be read or holds no certificate.
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(Error::usage(format!(
            "{} holds no certificate in PEM form",
            path.display()
        ))),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(Error::usage(format!("cannot read certificates from {}", path.display())).with_source(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_by_name() {
        let error = read_certificates(Path::new("/nonexistent.pem")).unwrap_err();
        assert!(
            error.is_usage()
                && error
                    .chain()
                    .starts_with("cannot read certificates from /nonexistent.pem"),
            "{error:?}"
        );
        let error = read_certificates(Path::new("/dev/null")).unwrap_err();
        assert_eq!(error.chain(), "/dev/null holds no certificate in PEM form");
        assert!(
            Identity::read(Path::new("/dev/null"), Path::new("/dev/null"))
                .unwrap_err()
                .is_usage()
        );
    }
}
