//! Opens connections: resolves within the guard's rules, connects, agrees on TLS.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::dns::Resolve;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Host;

use super::resolver::GuardedResolver;
use super::wire::{Gauge, Socket, Wire};

/// The longest wait for a connection, TLS included, whatever the request's budget: more time is for slow answers, not for hosts that are away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the addresses of the family that came first are tried alone. Source: RFC 8305, "Connection Attempt Delay".
const HEAD_START: Duration = Duration::from_millis(300);

/// A connection over which nothing comes is asked after so long whether it is alive.
const TCP_KEEPALIVE: Duration = Duration::from_secs(15);

/// Why there is no connection, or no exchange on it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("the name cannot be resolved")]
    Name(#[source] Box<dyn StdError + Send + Sync>),
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    #[error("cannot agree on TLS")]
    Tls(#[source] io::Error),
    #[error("the request cannot be written")]
    Request(#[source] Box<dyn StdError + Send + Sync>),
    #[error("the receiver spoke before it was asked, which is not HTTP")]
    SpokeFirst(#[source] hyper::Error),
    #[error("the connection had ended before the request was written")]
    Ended,
    #[error("the exchange broke off")]
    Exchange(#[from] hyper::Error),
}

/// Where a connection leads; those that lead to the same place can be used for one another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    is_tls: bool,
    host: Host,
    port: u16,
}

impl Place {
    /// Where a URL leads; `None` for one without a host.
    pub(super) fn of(url: &Url) -> Option<Self> {
        Some(Self {
            is_tls: url.scheme() == "https",
            host: url.host()?.to_owned(),
            port: url.port_or_known_default()?,
        })
    }
}

/// Opens connections of one reach and one TLS identity.
#[derive(Clone)]
pub(super) struct Dialer {
    resolver: GuardedResolver,
    tls: TlsConnector,
}

impl Dialer {
    pub(super) fn new(resolver: GuardedResolver, tls: ClientConfig) -> Self {
        Self {
            resolver,
            tls: Arc::new(tls).into(),
        }
    }

    /// Connects. An address that stands in the URL itself was checked with it.
    pub(super) async fn dial(&self, place: &Place) -> Result<(Wire, Gauge), Broken> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, self.connect(place));
        connected
            .await
            .unwrap_or_else(|_| Err(Broken::Connect(io::ErrorKind::TimedOut.into())))
    }

    async fn connect(&self, place: &Place) -> Result<(Wire, Gauge), Broken> {
        let addresses = match &place.host {
            Host::Ipv4(address) => vec![SocketAddr::from((*address, place.port))],
            Host::Ipv6(address) => vec![SocketAddr::from((*address, place.port))],
            Host::Domain(name) => self.resolve(name, place.port).await?,
        };
        let stream = connect_any(addresses).await.map_err(Broken::Connect)?;
        let _ = stream.set_nodelay(true);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(TCP_KEEPALIVE));
        let gauge = Gauge::default();
        let socket = Socket::new(stream, gauge.clone());
        if !place.is_tls {
            return Ok((Wire::Plain(socket), gauge));
        }
        let name = match &place.host {
            Host::Ipv4(address) => ServerName::from(std::net::IpAddr::from(*address)),
            Host::Ipv6(address) => ServerName::from(std::net::IpAddr::from(*address)),
            Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|error| Broken::Request(error.into()))?,
        };
        let stream = self.tls.connect(name, socket).await.map_err(Broken::Tls)?;
        Ok((Wire::Tls(Box::new(stream)), gauge))
    }

    async fn resolve(&self, name: &str, port: u16) -> Result<Vec<SocketAddr>, Broken> {
        let asked = name.parse().map_err(|error| Broken::Name(Box::new(error)))?;
        let found = self.resolver.resolve(asked).await.map_err(Broken::Name)?;
        Ok(found
            .map(|mut address| {
                if address.port() == 0 {
                    address.set_port(port);
                }
                address
            })
            .collect())
    }
}

/// Connects to whichever address answers; the family that comes second is not waited for when the first is silent.
async fn connect_any(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let family = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == family);
    if second.is_empty() {
        return connect_each(first).await;
    }
    let mut preferred = Box::pin(connect_each(first));
    let other = Box::pin(connect_each(second));
    match tokio::time::timeout(HEAD_START, &mut preferred).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(_)) => other.await,
        Err(_) => futures_util::future::select_ok([preferred, other])
            .await
            .map(|(stream, _)| stream),
    }
}

/// Connects to the first address that answers, one after the other, each with its share of the time.
async fn connect_each(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let share = CONNECT_TIMEOUT / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "there is no address");
    for address in addresses {
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}
