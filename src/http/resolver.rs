//! Resolves names for the client and lets only permitted addresses through.
//!
//! The dialer connects to exactly the addresses a resolver returns, which is what makes the check hold: there is no second look-up between
//! the check and the connection.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::endpoint::guard::{Blocked, Guard, Reach};

/// The system's resolver: `getaddrinfo`, so `/etc/hosts`, DNS and mDNS as the host is configured.
///
/// `getaddrinfo` blocks a thread, for half a minute where a name's servers are silent, and cannot be told to stop. So there is at most one
/// look-up of a name at a time and everybody who asks meanwhile waits for it: a dead name costs one thread, however many
/// requests to it time out. A result is never kept beyond its look-up.
#[derive(Clone)]
pub struct SystemResolver {
    look_up: fn(&str) -> io::Result<Vec<SocketAddr>>,
    under_way: UnderWay,
}

type Found = Result<Arc<[SocketAddr]>, Arc<io::Error>>;
type UnderWay = Arc<Mutex<HashMap<String, Shared<BoxFuture<'static, Found>>>>>;

impl Default for SystemResolver {
    fn default() -> Self {
        // Port 0 stands for "the URL's port": the dialer puts it in.
        Self::with(|name| (name, 0).to_socket_addrs().map(Iterator::collect))
    }
}

impl SystemResolver {
    fn with(look_up: fn(&str) -> io::Result<Vec<SocketAddr>>) -> Self {
        Self {
            look_up,
            under_way: UnderWay::default(),
        }
    }

    /// The look-up of this name that is under way, or a new one.
    fn join(&self, name: &str) -> Shared<BoxFuture<'static, Found>> {
        let mut under_way = lock(&self.under_way);
        if let Some(running) = under_way.get(name) {
            return running.clone();
        }
        let (look_up, map, key) = (self.look_up, Arc::clone(&self.under_way), name.to_owned());
        let thread = tokio::task::spawn_blocking(move || {
            let found = look_up(&key);
            // By the thread itself, and before anybody sees the result: whoever asks from now on gets a look-up of their own, also when
            // all who waited for this one are gone.
            lock(&map).remove(&key);
            found
        });
        let running = async move {
            match thread.await {
                Ok(Ok(found)) => Ok(found.into()),
                Ok(Err(error)) => Err(Arc::new(error)),
                Err(error) => Err(Arc::new(io::Error::other(error))),
            }
        };
        let running = running.boxed().shared();
        under_way.insert(name.to_owned(), running.clone());
        running
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that can panic is done while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Resolve for SystemResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let running = self.join(name.as_str());
        Box::pin(async move {
            let found = running.await?.to_vec();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Any resolver behind a [`Guard`].
///
/// A name with several addresses keeps the permitted ones. When none is left, the look-up fails with [`Blocked`] as its error;
/// The dialer keeps it among the causes of the request's error.
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
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn guarded() -> GuardedResolver {
        GuardedResolver::new(
            Arc::new(SystemResolver::default()),
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

    #[tokio::test]
    async fn a_silent_name_costs_one_look_up_and_its_result_is_not_kept() {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        static SILENT: Mutex<()> = Mutex::new(());
        let silence = lock(&SILENT);
        let resolver = SystemResolver::with(|_| {
            let address = ([1, 1, 1, 1], ASKED.fetch_add(1, Ordering::SeqCst) as u16).into();
            drop(lock(&SILENT));
            Ok(vec![address])
        });
        let waiting: Vec<_> = (0..100)
            .map(|_| resolver.resolve("silent.example".parse().unwrap()))
            .collect();
        let patient = resolver.resolve("silent.example".parse().unwrap());
        // As requests do that run out of time.
        drop(waiting);
        drop(silence);
        assert_eq!(
            patient.await.unwrap().map(|found| found.port()).collect::<Vec<_>>(),
            [0]
        );
        let again = resolver.resolve("silent.example".parse().unwrap()).await.unwrap();
        assert_eq!(
            again.map(|found| found.port()).collect::<Vec<_>>(),
            [1],
            "a look-up of its own"
        );
        assert!(lock(&resolver.under_way).is_empty());
    }
}
