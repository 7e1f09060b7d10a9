//! Which addresses may be called.
//!
//! A webhook URL is text from a database row; without a guard it turns this service into a way into the operator's own network (server-side
//! request forgery). The rules:
//!
//! 1. The scheme is `https` or `http`; a user name or password in the URL is refused.
//! 2. Every address is judged where the connection is made: those a name resolves to by [`resolver`](crate::http::resolver), a literal one by
//!    [`Guard::check_url`]. The connection goes to the address that was judged, so a name that resolves differently a moment later
//!    (DNS rebinding) gains nothing.
//! 3. An address must be globally reachable according to the IANA special-purpose registries, or lie in a network of `allow_networks`.
//! 4. Plain `http`, and ports other than 443 and those of `allow_ports`, go to networks of `allow_networks` only.
//!
//! Spellings need no rule of their own: `http://2130706433/`, `0x7f.1` and `0177.0.0.1` are all `127.0.0.1` once parsed (the URL standard), and
//! an IPv4-mapped address is judged as the IPv4 address it is. What this cannot know: a NAT64 prefix of the operator's own, behind
//! which private IPv4 addresses look like global IPv6 ones; such a gateway has to filter by itself.
//!
//! Pure: nothing is resolved here.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

use crate::{Error, Result};

const HINT_NETWORKS: &str =
    "to call receivers in your own network, name it in allow_networks (ODOO_EVENTD_ALLOW_NETWORKS=10.0.0.0/8)";

/// How far a request may reach; follows from its URL alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Any globally reachable address, and those of `allow_networks`: https on an ordinary port.
    Public,
    /// Only addresses of `allow_networks`: plain http, or another port.
    AllowListed,
}

/// What the operator's rules forbid. The causes of a failed request are searched for this type, never for its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Blocked {
    /// The address is not one that everybody can reach.
    #[error("{address} is {range}, and not in {setting}")]
    Special {
        /// The address, as it would have been connected to.
        address: IpAddr,
        /// What kind of address it is, with an article: "a loopback address".
        range: &'static str,
        /// The list that does not name it.
        setting: &'static str,
    },
    /// The address is an ordinary one, but the URL may only reach `allow_networks`.
    #[error(
        "{address} is not in {setting}, the only place for plain http and for ports other than 443 and allow_ports"
    )]
    NotListed {
        /// The address, as it would have been connected to.
        address: IpAddr,
        /// The list that does not name it.
        setting: &'static str,
    },
    /// Plain http, and no networks are allowed.
    #[error("plain http is only allowed to networks named in {0}, and none are named")]
    PlainHttp(&'static str),
    /// Another port, and no networks are allowed.
    #[error("port {0} is not 443, not in allow_ports, and no networks are named in {1}")]
    Port(u16, &'static str),
}

/// The rules, ready to be asked. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    networks: Arc<[IpNet]>,
    ports: Arc<[u16]>,
    /// The setting that the networks come from; what a refusal tells an operator to change.
    setting: &'static str,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field(self.setting, &self.networks)
            .field("allow_ports", &self.ports)
            .finish()
    }
}

impl Guard {
    /// Rules with these networks (`10.0.0.0/8`, or a single address) and these ports besides 443 allowed.
    ///
    /// # Errors
    /// [`Error::is_usage`] naming the network that cannot be read.
    pub fn new<S: AsRef<str>>(allow_networks: &[S], allow_ports: &[u16]) -> Result<Self> {
        let networks = allow_networks
            .iter()
            .map(|text| parse_network(text.as_ref()))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            networks: networks.into(),
            ports: allow_ports.into(),
            setting: "allow_networks",
        })
    }

    /// The rules of `other` without its networks: public addresses only.
    #[must_use]
    pub fn public(other: &Self) -> Self {
        Self {
            networks: Arc::new([]),
            ..other.clone()
        }
    }

    /// The same rules, whose refusals name this setting instead of `allow_networks`.
    #[must_use]
    pub fn for_networks_named_in(self, setting: &'static str) -> Self {
        Self { setting, ..self }
    }

    /// Checks a URL when it is entered: everything that can be known without resolving its name.
    ///
    /// # Errors
    /// [`Error::is_usage`] with a sentence that does not repeat the URL, which may be a secret.
    pub fn validate_url(&self, text: &str) -> Result<Url> {
        let url = parse_url(text)?;
        match self.check_url(&url) {
            Ok(_) => Ok(url),
            Err(blocked) => Err(Error::usage(format!("the URL may not be called: {blocked}")).with_hint(HINT_NETWORKS)),
        }
    }

    /// Checks a parsed URL before it is called; a literal address in it is judged here, because no name is resolved for it.
    ///
    /// # Errors
    /// What rule it breaks.
    pub fn check_url(&self, url: &Url) -> Result<Reach, Blocked> {
        let port = url.port_or_known_default().unwrap_or(0);
        let reach = if url.scheme() == "https" && (port == 443 || self.ports.contains(&port)) {
            Reach::Public
        } else if !self.networks.is_empty() {
            Reach::AllowListed
        } else if url.scheme() == "https" {
            return Err(Blocked::Port(port, self.setting));
        } else {
            return Err(Blocked::PlainHttp(self.setting));
        };
        match url.host() {
            Some(Host::Ipv4(address)) => self.check_address(IpAddr::V4(address), reach)?,
            Some(Host::Ipv6(address)) => self.check_address(IpAddr::V6(address), reach)?,
            // RFC 6761: these names mean this host, whatever a resolver says. Told at once rather than at the first delivery.
            Some(Host::Domain(name)) if is_localhost(name) => {
                let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
                if !loopback.into_iter().any(|address| self.lists(address)) {
                    self.check_address(loopback[0], reach)?;
                }
            }
            Some(Host::Domain(_)) | None => {}
        }
        Ok(reach)
    }

    /// Judges one address that is about to be connected to.
    ///
    /// # Errors
    /// Which rule forbids it.
    pub fn check_address(&self, address: IpAddr, reach: Reach) -> Result<(), Blocked> {
        let address = address.to_canonical();
        if self.lists(address) {
            return Ok(());
        }
        match (special_range(address), reach) {
            (Some(range), _) => Err(Blocked::Special {
                address,
                range,
                setting: self.setting,
            }),
            (None, Reach::AllowListed) => Err(Blocked::NotListed {
                address,
                setting: self.setting,
            }),
            (None, Reach::Public) => Ok(()),
        }
    }

    fn lists(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }
}

/// Reads a URL that may be called at all: a syntax without doubts, `https` or `http`, no user name or password.
///
/// # Errors
/// [`Error::is_usage`] with a sentence that does not repeat the URL.
pub fn parse_url(text: &str) -> Result<Url> {
    let text = text.trim();
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        // The URL standard drops tabs and line breaks silently; what was meant is then not what is called.
        return Err(Error::usage("the URL contains a space or a control character"));
    }
    let url = Url::parse(text).map_err(|error| {
        Error::usage(format!("the URL cannot be read: {error}"))
            .with_hint("it looks like https://receiver.example/path")
    })?;
    if !matches!(url.scheme(), "https" | "http") {
        return Err(Error::usage(format!(
            "the URL's scheme is {}; only https and http can be called",
            url.scheme()
        )));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Error::usage("the URL contains a user name or password")
            .with_hint("give credentials as the subscription's auth: URLs end up in logs"));
    }
    Ok(url)
}

/// Reads a network (`10.0.0.0/8`) or a single address as one entry of `allow_networks`.
///
/// # Errors
/// [`Error::is_usage`] when it is neither, or an IPv4-mapped IPv6 network: addresses are compared as the IPv4 addresses they are.
pub fn parse_network(text: &str) -> Result<IpNet> {
    let text = text.trim();
    let network = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| {
            Error::usage(format!("{text:?} is not a network"))
                .with_hint("write it like 10.0.0.0/8, fd00::/8 or 192.168.1.7")
        })?;
    match network {
        IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() => {
            Err(Error::usage(format!("the network {text:?} is IPv4 written as IPv6"))
                .with_hint("write it as an IPv4 network"))
        }
        network => Ok(network.trunc()),
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

/// What kind of address this is when it is not globally reachable; `None` when it is.
///
/// Stricter than the registries where they leave room: of 192.0.0.0/24 and 2001::/23 no assignment is let through (anycast
/// services of routers), nor are the deprecated transition mechanisms 6to4 and Teredo, in which anybody may embed any IPv4 address.
#[must_use]
pub fn special_range(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(v4) => SPECIAL_V4
            .iter()
            .find(|(network, _)| network.contains(&v4))
            .map(|&(_, range)| range),
        IpAddr::V6(v6) if NAT64.contains(&v6) => {
            // RFC 6052: the last 32 bits are the IPv4 address that the gateway connects to.
            let [.., a, b, c, d] = v6.octets();
            special_range(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
        }
        IpAddr::V6(v6) => SPECIAL_V6
            .iter()
            .find(|(network, _)| network.contains(&v6))
            .map(|&(_, range)| range)
            .or_else(|| (!GLOBAL_UNICAST.contains(&v6)).then_some("outside the global unicast addresses (2000::/3)")),
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix)
}

/// The well-known NAT64 prefix: global, but with an IPv4 address inside that has to be judged too.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

/// All that IANA has given out as global unicast lies in here.
const GLOBAL_UNICAST: Ipv6Net = v6(0x2000, 0, 0, 3);

/// IANA IPv4 Special-Purpose Address Registry, the blocks that are not globally reachable, and multicast.
const SPECIAL_V4: [(Ipv4Net, &str); 16] = [
    (v4(0, 0, 0, 0, 8), "an address of this network (0.0.0.0/8)"),
    (v4(10, 0, 0, 0, 8), "a private address (10.0.0.0/8)"),
    (v4(100, 64, 0, 0, 10), "a shared address of a carrier (100.64.0.0/10)"),
    (v4(127, 0, 0, 0, 8), "a loopback address (127.0.0.0/8)"),
    (
        v4(169, 254, 0, 0, 16),
        "a link-local address (169.254.0.0/16, where clouds keep their metadata)",
    ),
    (v4(172, 16, 0, 0, 12), "a private address (172.16.0.0/12)"),
    (v4(192, 0, 0, 0, 24), "a protocol assignment (192.0.0.0/24)"),
    (v4(192, 0, 2, 0, 24), "a documentation address (192.0.2.0/24)"),
    (v4(192, 88, 99, 0, 24), "a 6to4 relay (192.88.99.0/24)"),
    (v4(192, 168, 0, 0, 16), "a private address (192.168.0.0/16)"),
    (v4(198, 18, 0, 0, 15), "a benchmarking address (198.18.0.0/15)"),
    (v4(198, 51, 100, 0, 24), "a documentation address (198.51.100.0/24)"),
    (v4(203, 0, 113, 0, 24), "a documentation address (203.0.113.0/24)"),
    (v4(224, 0, 0, 0, 4), "a multicast address (224.0.0.0/4)"),
    (v4(255, 255, 255, 255, 32), "the broadcast address (255.255.255.255)"),
    (v4(240, 0, 0, 0, 4), "a reserved address (240.0.0.0/4)"),
];

/// IANA IPv6 Special-Purpose Address Registry, the blocks that are not globally reachable; those outside 2000::/3 only for their names.
const SPECIAL_V6: [(Ipv6Net, &str); 14] = [
    (
        Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128),
        "the unspecified address (::)",
    ),
    (
        Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128),
        "a loopback address (::1)",
    ),
    (v6(0x64, 0xff9b, 1, 48), "a local translation address (64:ff9b:1::/48)"),
    (v6(0x100, 0, 0, 64), "a discard address (100::/64)"),
    (v6(0x2001, 0, 0, 32), "a Teredo address (2001::/32)"),
    (v6(0x2001, 0, 0, 23), "a protocol assignment (2001::/23)"),
    (v6(0x2001, 0xdb8, 0, 32), "a documentation address (2001:db8::/32)"),
    (v6(0x2002, 0, 0, 16), "a 6to4 address (2002::/16)"),
    (v6(0x3fff, 0, 0, 20), "a documentation address (3fff::/20)"),
    (v6(0x5f00, 0, 0, 16), "a segment routing address (5f00::/16)"),
    (v6(0xfc00, 0, 0, 7), "a unique local address (fc00::/7)"),
    (v6(0xfe80, 0, 0, 10), "a link-local address (fe80::/10)"),
    (v6(0xfec0, 0, 0, 10), "a site-local address (fec0::/10)"),
    (v6(0xff00, 0, 0, 8), "a multicast address (ff00::/8)"),
];

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
