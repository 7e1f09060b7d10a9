//! Events of the feed posted to a program on this machine: what a developer of an endpoint asks for, beside his own server.
//!
//! A request is what a subscription with a URL would send: the same body, headers and signatures. It is made once. The guard lets it go to
//! loopback addresses alone, which no setting of the service allows here: whoever asks for it is at this machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::Method;
use http::header::{HeaderMap, HeaderValue};
use url::{Host, Url};

use super::FeedEvent;
use crate::endpoint::guard::{Guard, parse_url};
use crate::event::delivery_id;
use crate::http::client::{Attempt, Audience, Client, ClientConfig, Request, Reuse};
use crate::signature::Secret;
use crate::worker::deliver::request::Ours;
use crate::{Error, Result};

/// The limit of one request; a developer may stand at a breakpoint.
const TIMEOUT: Duration = Duration::from_secs(30);

/// This machine.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// Posts events to one address of this machine.
#[derive(Debug)]
pub struct Forwarder {
    client: Client,
    url: Url,
    secrets: Vec<Secret>,
}

impl Forwarder {
    /// To this address: a URL, or `localhost:3000/hook`, or a port. Signed with these secrets.
    ///
    /// # Errors
    /// [`Error::is_usage`] for what is no address, or not one of this machine.
    pub fn new(address: &str, secrets: Vec<Secret>) -> Result<Self> {
        let spelled = match address {
            port if port.parse::<u16>().is_ok() => format!("http://localhost:{port}/"),
            url if url.contains("://") => url.to_owned(),
            host => format!("http://{host}"),
        };
        let url = parse_url(&spelled)?;
        let is_of_this_machine = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        if !is_of_this_machine {
            let host = url.host_str().unwrap_or_default();
            return Err(Error::usage(format!("\"{host}\" is not this machine")).with_hint(
                "events are forwarded to localhost only; for anywhere else: `odoo-eventd subscribe --url ..`",
            ));
        }
        let client = Client::new(ClientConfig::new(Guard::new(&LOOPBACK, &[])?))?;
        Ok(Self { client, url, secrets })
    }

    /// Where to.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Posts an event once, and says what came of it.
    ///
    /// # Errors
    /// [`Error::is_usage`] for an event that no request can be made of.
    pub async fn forward(&self, subscription: i32, event: &FeedEvent) -> Result<Attempt> {
        let body = Bytes::copy_from_slice(event.body.as_bytes());
        let unix_now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| now.as_secs());
        let ours = Ours {
            event: format!("{}.{}", event.model, event.event_type),
            event_id: event.event_id,
            subscription_id: subscription,
            delivery_id: delivery_id(event.event_id, subscription, event.part),
            content_type: HeaderValue::try_from(&event.content_type)
                .map_err(|e| Error::usage("the event's type cannot be sent").with_source(e))?,
            unix_now: i64::try_from(unix_now).unwrap_or(i64::MAX),
        };
        let mut headers = HeaderMap::new();
        ours.add_to(&mut headers, &body, &self.secrets)?;
        let request = Request {
            method: Method::POST,
            url: self.url.clone(),
            audience: Audience::Endpoint,
            headers,
            body,
            timeout: TIMEOUT,
            reuse: Reuse::Fresh,
            secrets: self.secrets.clone(),
        };
        Ok(self.client.send(request).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_forwarded_to_this_machine_alone() {
        for (address, url) in [
            ("3000", "http://localhost:3000/"),
            ("localhost:3000/hook", "http://localhost:3000/hook"),
            ("http://127.0.0.1:8080/a?b", "http://127.0.0.1:8080/a?b"),
            ("http://[::1]:8080", "http://[::1]:8080/"),
            ("http://app.localhost:8080", "http://app.localhost:8080/"),
        ] {
            assert_eq!(Forwarder::new(address, Vec::new()).unwrap().url().as_str(), url);
        }
        for elsewhere in [
            "https://example.com/",
            "http://10.0.0.1:3000",
            "http://localhost.example.com",
            "http://user:secret@localhost:3000",
            "70000",
            "",
            "ftp://localhost/",
        ] {
            assert!(
                Forwarder::new(elsewhere, Vec::new()).unwrap_err().is_usage(),
                "{elsewhere}"
            );
        }
    }
}
