//! Asks an Odoo server about its own fields over JSON-RPC, for `registry pull`.
//!
//! The URL is the user's own word on the command line, so any address may be called, private ones too; the password goes into
//! request bodies only, never into an error.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde_json::{Value, json};

use super::client::{Audience, Client, ClientConfig, Request, Reuse};
use crate::endpoint::guard::{Guard, parse_url};
use crate::endpoint::mask::mask_url;
use crate::odoo::pulled::{ATTRIBUTES, Pulled};
use crate::{Error, Result};

/// How long one call may take: `fields_get` of a large model computes selections, on a busy server.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest answer kept: `fields_get` of the largest standard model is below 1 MiB.
const ANSWER_CAP_BYTES: usize = 32 * 1024 * 1024;

/// An Odoo server, logged in.
#[derive(Clone)]
pub struct Odoo {
    client: Client,
    url: Url,
    database: String,
    uid: i64,
    password: String,
}

impl std::fmt::Debug for Odoo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Odoo")
            .field("url", &mask_url(&self.url))
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

impl Odoo {
    /// Logs in with a password or an API key.
    ///
    /// # Errors
    /// [`Error::is_usage`] for a URL that cannot be called or a login that Odoo refuses; otherwise the server could not be
    /// reached or did not answer as Odoo does.
    pub async fn log_in(url: &str, database: &str, login: &str, password: &str) -> Result<Self> {
        let base = parse_url(url)?;
        let guard = Guard::new(&["0.0.0.0/0", "::/0"], &[])?;
        let client = Client::new(ClientConfig {
            response_cap_bytes: ANSWER_CAP_BYTES,
            ..ClientConfig::new(guard)
        })?;
        let url = base
            .join("/jsonrpc")
            .map_err(|e| Error::usage("the URL has no room for a path").with_source(e))?;
        let mut odoo = Self {
            client,
            url,
            database: database.to_owned(),
            uid: 0,
            password: password.to_owned(),
        };
        let answer = odoo.call("common", "login", json!([database, login, password])).await?;
        odoo.uid = answer.as_i64().filter(|uid| *uid > 0).ok_or_else(|| {
            Error::usage(format!("Odoo refuses {login} on database {database}"))
                .with_hint("check the login and the password or API key; the database is the one in --database-url")
        })?;
        Ok(odoo)
    }

    /// What `fields_get` says about these models. A model the user may not see is left out.
    ///
    /// # Errors
    /// The server could not be reached or did not answer as Odoo does.
    pub async fn fields_of(&self, models: &[&str]) -> Result<Pulled> {
        let mut pulled = Pulled::default();
        for model in models {
            let options = json!({ "attributes": ATTRIBUTES });
            let arguments = json!([self.database, self.uid, self.password, model, "fields_get", [], options]);
            match self.call("object", "execute_kw", arguments).await {
                Ok(answer) => pulled.add(model, &answer),
                Err(error) if error.is_usage() => {
                    tracing::debug!(model, error = %error, "Odoo tells nothing about a model")
                }
                Err(error) => return Err(error),
            }
        }
        Ok(pulled)
    }

    /// One JSON-RPC call; an error that Odoo itself reports is wrong use.
    async fn call(&self, service: &str, method: &str, args: Value) -> Result<Value> {
        let body = json!({
            "jsonrpc": "2.0", "method": "call", "id": 1,
            "params": { "service": service, "method": method, "args": args },
        });
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let request = Request {
            method: Method::POST,
            url: self.url.clone(),
            audience: Audience::Endpoint,
            headers,
            body: Bytes::from(body.to_string()),
            timeout: CALL_TIMEOUT,
            reuse: Reuse::Any,
            secrets: Vec::new(),
        };
        let attempt = self.client.send(request).await;
        let failed = |why: String| {
            Error::other(format!("cannot ask Odoo at {}: {why}", mask_url(&self.url)))
                .with_hint("give --odoo-url as a browser would open it, and check that the server runs")
        };
        if !attempt.outcome.is_success() {
            let status = attempt.status.map(|status| format!("status {status}"));
            return Err(failed(
                attempt.detail.or(status).unwrap_or_else(|| "no answer".to_owned()),
            ));
        }
        if attempt.response.truncated {
            return Err(failed("the answer is too large".to_owned()));
        }
        let answer: Value =
            serde_json::from_str(&attempt.response.text).map_err(|_| failed("this is no JSON-RPC".to_owned()))?;
        if let Some(error) = answer.get("error") {
            let said = error
                .pointer("/data/message")
                .or_else(|| error.get("message"))
                .and_then(Value::as_str);
            return Err(Error::usage(format!(
                "Odoo says: {}",
                said.unwrap_or("an error without a text")
            )));
        }
        Ok(answer.get("result").cloned().unwrap_or(Value::Null))
    }
}
