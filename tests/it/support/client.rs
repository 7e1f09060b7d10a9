//! Sending without a service: the client alone, and a request for it.

use std::time::Duration;

use bytes::Bytes;
use odoo_eventd::endpoint::guard::{Guard, parse_url};
use odoo_eventd::http::client::{Audience, Client, ClientConfig, Request, Reuse};
use reqwest::Method;
use reqwest::header::HeaderMap;

/// A limit of time that only a defect reaches.
pub const AMPLE: Duration = Duration::from_secs(120);

/// How a client is configured that may call these networks.
pub fn allowing(networks: &[&str]) -> ClientConfig {
    ClientConfig::new(Guard::new(networks, &[]).unwrap())
}

/// A client that may call these networks.
pub fn client(networks: &[&str]) -> Client {
    Client::new(allowing(networks)).unwrap()
}

/// An empty object for an endpoint.
pub fn post(url: &str, timeout: Duration) -> Request {
    Request {
        method: Method::POST,
        url: parse_url(url).unwrap(),
        audience: Audience::Endpoint,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
        timeout,
        reuse: Reuse::Any,
        secrets: Vec::new(),
    }
}

/// The same, to be posted once at most.
pub fn one_shot(url: &str, timeout: Duration) -> Request {
    Request {
        reuse: Reuse::Fresh,
        ..post(url, timeout)
    }
}
