//! Resolves names for the client and lets only permitted addresses through.
//!
//! `reqwest` connects to exactly the addresses a resolver returns, which is what makes the check hold: there is no second look-up between
//! the check and the connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::guard::{Blocked, Guard, Reach};

/// The system's resolver: `getaddrinfo`, so `/etc/hosts`, DNS and mDNS as the host is configured.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // Port 0 stands for "the URL's port": reqwest puts it in.
            let resolved = tokio::net::lookup_host((name.as_str(), 0)).await?.collect::<Vec<_>>();
            Ok(Box::new(resolved.into_iter()) as Addrs)
        })
    }
}

/// Any resolver behind a [`Guard`].
///
/// A name with several addresses keeps the permitted ones. When none is left, the look-up fails with [`Blocked`] as its error;
/// `reqwest` keeps it among the causes of the request's error.
#[derive(Clone)]
pub struct GuardedResolver {
    inner: Arc<dyn Resolve>,
    guard: Guard,
    reach: Reach,
}

impl GuardedResolver {
    /// A resolver for requests of this reach; one client, one reach, so that connections of the two are never pooled together.
    #[must_use]
    pub fn new(inner: Arc<dyn Resolve>, guard: Guard, reach: Reach) -> Self {
        Self { inner, guard, reach }
    }

    /// Keeps the permitted ones of `resolved`; fails with the first refusal when none is.
    fn permitted(&self, resolved: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Blocked> {
        let mut refusal = None;
        let mut permitted = Vec::new();
        for address in resolved {
            match self.guard.check_address(address.ip(), self.reach) {
                Ok(()) => permitted.push(address),
                Err(blocked) => refusal = refusal.or(Some(blocked)),
            }
        }
        match refusal {
            Some(blocked) if permitted.is_empty() => Err(blocked),
            _ => Ok(permitted),
        }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let addresses = resolver.permitted(resolver.inner.resolve(name).await?)?;
            if addresses.is_empty() {
                return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address").into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded() -> GuardedResolver {
        GuardedResolver::new(
            Arc::new(SystemResolver),
            Guard::new::<&str>(&[], &[]).unwrap(),
            Reach::Public,
        )
    }

    fn addresses(list: &[&str]) -> impl Iterator<Item = SocketAddr> {
        list.iter()
            .map(|ip| SocketAddr::new(ip.parse().unwrap(), 0))
            .collect::<Vec<_>>()
            .into_iter()
    }

    #[test]
    fn a_name_keeps_its_permitted_addresses() {
        let resolver = guarded();
        let kept = resolver.permitted(addresses(&["127.0.0.1", "1.1.1.1", "::1"])).unwrap();
        assert_eq!(kept, addresses(&["1.1.1.1"]).collect::<Vec<_>>());
        assert!(matches!(
            resolver.permitted(addresses(&["10.0.0.1", "::1"])),
            Err(Blocked::Special { .. })
        ));
        assert_eq!(
            resolver.permitted(addresses(&[])),
            Ok(vec![]),
            "no address at all is a matter of DNS"
        );
    }

    #[tokio::test]
    async fn a_refused_name_fails_with_the_typed_error() {
        let error = guarded().resolve("localhost".parse().unwrap()).await.err().unwrap();
        assert!(error.downcast_ref::<Blocked>().is_some(), "{error}");
    }
}
