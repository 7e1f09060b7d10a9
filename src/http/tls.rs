//! Whom the client trusts, and with which cryptography.
//!
//! The trust store is the operating system's (`/etc/ssl/certs`, or what `SSL_CERT_FILE` names), not one built into the program: on-premise
//! receivers are signed by a company's own authority, which its administrators install there, and a distribution withdraws a
//! root without this program being built again. More authorities can be added, none taken away.
//!
//! What is particular to single hosts, a private authority or a client certificate, is a section of the configuration file by
//! host ([`HostTls`]), not a column of the subscription: files on this machine are the operator's, and whoever may write
//! subscriptions must not choose which of them is read, nor to whom a certificate is shown.
//!
//! The cryptography is *ring*, named explicitly: a process-wide default would be decided by whichever crate comes first.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls_platform_verifier::Verifier;
use serde::{Deserialize, Serialize};
use url::Url;

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

/// One `[[tls]]` section: what holds for the hosts that it names.
///
/// ```toml
/// [[tls]]
/// hosts = ["erp.example.com", "*.plant.example.com", "10.0.0.7"]
/// ca_file = "/etc/odoo-eventd/plant-ca.pem"             # trusted for these hosts, beside the system's and ca_file
/// certificate_file = "/etc/odoo-eventd/odoo.pem"        # shown to these hosts when they ask; the chain above it may follow
/// key_file = "/etc/odoo-eventd/odoo.key"                # may be in certificate_file as well
/// ```
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HostTls {
    /// Names or addresses as in the URL; `*.` before a name stands for one label or more. The first section that fits counts.
    pub hosts: Vec<String>,
    /// PEM file of authorities.
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client certificate.
    pub certificate_file: Option<PathBuf>,
    /// PEM file of its private key.
    pub key_file: Option<PathBuf>,
}

/// A [`HostTls`] with its files read.
#[derive(Debug, Clone)]
pub struct HostIdentity {
    hosts: Vec<String>,
    /// Trusted for these hosts, beside all others.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Shown to these hosts.
    pub identity: Option<Identity>,
}

impl HostTls {
    /// Reads its files.
    ///
    /// # Errors
    /// [`Error::is_usage`] when it names no host or nothing for them, or a file is not what it should be.
    pub fn read(&self) -> Result<HostIdentity> {
        let said = |what: &str| Error::usage(format!("a [[tls]] section {what}"));
        if self.hosts.is_empty() {
            return Err(said("names no hosts").with_hint("hosts = [\"erp.example.com\", \"*.plant.example.com\"]"));
        }
        let identity = match (&self.certificate_file, &self.key_file) {
            (Some(certificate), key) => Some(Identity::read(certificate, key.as_ref().unwrap_or(certificate))?),
            (None, Some(_)) => return Err(said("has a key_file without a certificate_file")),
            (None, None) if self.ca_file.is_none() => {
                return Err(said("has neither a ca_file nor a certificate_file"));
            }
            (None, None) => None,
        };
        Ok(HostIdentity {
            hosts: self.hosts.iter().map(|host| plain_host(host)).collect::<Result<_>>()?,
            authorities: self
                .ca_file
                .as_deref()
                .map(read_certificates)
                .transpose()?
                .unwrap_or_default(),
            identity,
        })
    }
}

impl HostIdentity {
    /// Whether it holds for this URL's host.
    #[must_use]
    pub fn is_for(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let host = host.strip_suffix('.').unwrap_or(host);
        self.hosts.iter().any(|pattern| match pattern.strip_prefix('*') {
            Some(suffix) => host.strip_suffix(suffix).is_some_and(|rest| !rest.is_empty()),
            None => host == pattern,
        })
    }
}

/// A host as the URL standard spells it: lower case, punycode, addresses in their shortest form.
fn plain_host(text: &str) -> Result<String> {
    let (wildcard, name) = match text.strip_prefix("*.") {
        Some(name) => ("*.", name),
        None => ("", text),
    };
    let bracketed = if name.contains(':') && !name.starts_with('[') {
        format!("[{name}]")
    } else {
        name.to_owned()
    };
    let parsed = Url::parse(&format!("https://{bracketed}/")).ok();
    let is_host_alone = parsed.as_ref().is_some_and(|url| {
        url.port().is_none() && url.path() == "/" && url.username().is_empty() && url.query().is_none()
    });
    let host = parsed
        .as_ref()
        .and_then(Url::host_str)
        .filter(|_| is_host_alone && !name.contains('*'));
    let host = host.ok_or_else(|| {
        Error::usage(format!("{text:?} in a [[tls]] section is no host"))
            .with_hint("write a name (erp.example.com), *. and a name, or an address; without scheme and port")
    })?;
    Ok(format!("{wildcard}{}", host.strip_suffix('.').unwrap_or(host)))
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

    fn hosts(patterns: &[&str]) -> HostIdentity {
        HostIdentity {
            hosts: patterns.iter().map(|host| plain_host(host).unwrap()).collect(),
            authorities: Vec::new(),
            identity: None,
        }
    }

    #[test]
    fn a_section_holds_for_the_hosts_it_names_and_no_others() {
        let section = hosts(&[
            "ERP.example.com",
            "*.plant.example.com",
            "10.0.0.7",
            "fd00::7",
            "bücher.example",
        ]);
        for (url, holds) in [
            ("https://erp.example.com/", true),
            ("https://erp.example.com.:8443/x", true),
            ("https://a.erp.example.com/", false),
            ("https://erp.example.com.evil.example/", false),
            ("https://a.plant.example.com/", true),
            ("https://a.b.plant.example.com/", true),
            ("https://plant.example.com/", false),
            ("https://evilplant.example.com/", false),
            ("https://10.0.0.7/", true),
            ("https://0xa.7/", true),
            ("https://10.0.0.70/", false),
            ("https://[fd00:0::7]/", true),
            ("https://xn--bcher-kva.example/", true),
        ] {
            assert_eq!(section.is_for(&Url::parse(url).unwrap()), holds, "{url}");
        }
        for wrong in [
            "",
            "*",
            "a*.example.com",
            "https://example.com",
            "example.com:443",
            "example.com/x",
        ] {
            assert!(plain_host(wrong).unwrap_err().is_usage(), "{wrong}");
        }
    }

    #[test]
    fn a_section_that_says_nothing_is_refused() {
        let empty = HostTls {
            hosts: vec!["a.example".into()],
            ca_file: None,
            certificate_file: None,
            key_file: None,
        };
        assert!(empty.read().unwrap_err().is_usage());
        assert!(
            HostTls {
                hosts: vec![],
                ..empty.clone()
            }
            .read()
            .unwrap_err()
            .is_usage()
        );
        let key_alone = HostTls {
            key_file: Some("/dev/null".into()),
            ..empty
        };
        assert!(key_alone.read().unwrap_err().chain().contains("key_file"));
    }

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
