//! Where clients learn who gives tokens for this address (RFC 9728).

use axum::Json;
use axum::http::HeaderMap;
use axum::http::header::HOST;
use serde::Serialize;

use crate::api::layers::Mount;
use crate::config::ApiSettings;
use crate::mcp::door::PATH;
use crate::ops::Scope;

/// Where it is, below the database's own path; with the resource's path behind it too.
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The scopes that a client of MCP can use.
pub const SCOPES: [Scope; 3] = [Scope::SubscriptionsRead, Scope::SubscriptionsWrite, Scope::EventsRead];

/// What is told.
#[derive(Debug, Serialize)]
pub struct Metadata {
    resource: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorization_servers: Vec<String>,
    scopes_supported: Vec<&'static str>,
    bearer_methods_supported: [&'static str; 1],
    resource_name: &'static str,
}

impl Metadata {
    /// Of the address that was asked.
    pub fn of(here: &str, issuer: Option<&str>) -> Json<Self> {
        Json(Self {
            resource: format!("{here}{PATH}"),
            authorization_servers: issuer.iter().map(|issuer| (*issuer).to_owned()).collect(),
            scopes_supported: SCOPES.iter().map(|scope| scope.as_str()).collect(),
            bearer_methods_supported: ["header"],
            resource_name: "Odoo events",
        })
    }
}

/// Under which URL a client reaches a database: the public one, or as he has called it.
pub fn url_of(settings: &ApiSettings, mount: &Mount, headers: &HeaderMap) -> String {
    match &settings.public_url {
        // What a proxy takes away is before the path that we see.
        Some(public) => {
            let own = mount.0.strip_prefix(settings.base_path.as_str()).unwrap_or(&mount.0);
            format!("{public}{own}")
        }
        None => {
            let host = headers
                .get(HOST)
                .and_then(|host| host.to_str().ok())
                .unwrap_or("localhost");
            format!("http://{host}{}", mount.0)
        }
    }
}
