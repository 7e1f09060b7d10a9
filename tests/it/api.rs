//! The HTTP API, as its clients meet it: the program itself, real sockets, real tokens.

mod conditional;
mod documented;
mod events;
mod hangups;
mod hostile;
mod once;
mod page;
mod routes;
mod server;
mod subscriptions;
mod tokens;
mod tools;
mod walls;
mod webhooks;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::support::pages::free_port;
use crate::support::service::{SOON, Service, eventd_ok, program};
use crate::support::{Database, eventually};

/// What somebody with every scope but `admin` has.
const EVERYTHING: &str =
    "subscriptions:read,subscriptions:write,deliveries:read,deliveries:redeliver,events:read,inbound";

/// An address that nobody listens at.
const NOWHERE: &str = "http://127.0.0.1:9/hook";

/// An API that serves one database.
struct Api {
    service: Service,
    port: u16,
}

/// What was answered.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The pointers of a problem.
    fn pointers(&self) -> Vec<String> {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors
            .iter()
            .map(|error| error["pointer"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Api {
    /// Installs and serves.
    async fn of(database: &Database) -> Self {
        eventd_ok(&database.url(), &["install"]).await;
        Self::beside(database, &[]).await
    }

    /// Serves what is installed.
    async fn beside(database: &Database, arguments: &[&str]) -> Self {
        let port = free_port().await;
        let mut command = program();
        command
            .args([
                "--database-url",
                &database.url(),
                "--log",
                "debug",
                "--log-format",
                "json",
                "serve",
            ])
            .args(["--api-listen", &port.to_string()])
            .args(arguments);
        let api = Self {
            service: Service::spawn(command),
            port,
        };
        api.wait().await;
        api
    }

    async fn wait(&self) {
        eventually("the API to listen", SOON, async || {
            TcpStream::connect(("127.0.0.1", self.port)).await.ok().map(drop)
        })
        .await;
    }

    /// Asks, with a token.
    async fn ask(&self, token: &str, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.ask_with(token, method, path, &[], body).await
    }

    /// Asks, with headers beside.
    async fn ask_with(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "localhost");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        self.send(request.body(Full::from(Bytes::from(body))).unwrap()).await
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        Answer {
            status: head.status,
            headers: head.headers,
            text,
        }
    }

    /// Makes a subscription; its id.
    async fn subscribe(&self, token: &str, draft: Value) -> i64 {
        let made = self.ask(token, "POST", "/api/v1/subscriptions", Some(draft)).await;
        assert_eq!(made.status, 201, "{}", made.text);
        made.json()["id"].as_i64().unwrap()
    }

    /// The document.
    async fn document(&self) -> Value {
        let answer = self.ask("", "GET", "/api/v1/openapi.json", None).await;
        assert_eq!(answer.status, 200);
        answer.json()
    }
}

/// A new token.
async fn token(database: &Database, name: &str, scopes: &str, options: &[&str]) -> String {
    let mut arguments = vec!["token", "create", "--name", name, "--scope", scopes];
    arguments.extend(options);
    eventd_ok(&database.url(), &arguments).await.trim().to_owned()
}

/// As a path has it.
fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// A subscription to writes of an order's reference.
fn orders() -> Value {
    serde_json::json!({"model": "sale.order", "event_type": "write", "fields": ["client_order_ref"], "webhook_url": NOWHERE})
}
