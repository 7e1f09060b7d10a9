//! The door for assistants, as their clients meet it: messages of both eras, the program itself, real sockets, real tokens.

mod clients;
mod hostile;
mod oauth;
mod paths;
mod schemas;
mod sessions;
mod stdio;
mod tools;
mod updates;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::api::{Answer, Api, EVERYTHING, token};
use crate::support::Database;
use crate::support::pages::free_port;
use crate::support::service::{SOON, Service, eventd_ok, wait_until_leading};

/// The revision whose requests stand alone.
const NEW: &str = "2026-07-28";

/// The last one with sessions.
const OLD: &str = "2025-11-25";

/// What a client of the new era says of itself in each request.
fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": NEW,
        "io.modelcontextprotocol/clientInfo": {"name": "a-client", "version": "1.2"},
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

/// The message with this id in an answer, which is JSON or a stream of events.
fn message(text: &str) -> Value {
    let lines = text.lines().filter_map(|line| line.strip_prefix("data:"));
    let messages = lines
        .chain([text])
        .filter_map(|line| serde_json::from_str::<Value>(line.trim()).ok());
    let mut answers = messages.filter(|message| message.get("id").is_some());
    answers.next().unwrap_or_else(|| panic!("no message: {text}"))
}

/// A service with its API, for one token that may do everything.
struct Home {
    database: Database,
    api: Api,
    token: String,
}

impl Home {
    async fn new() -> Self {
        Self::with(&[]).await
    }

    async fn with(arguments: &[&str]) -> Self {
        Self::on(free_port().await, arguments).await
    }

    async fn on(port: u16, arguments: &[&str]) -> Self {
        let database = Database::fixture().await;
        eventd_ok(&database.url(), &["install"]).await;
        let port_text = port.to_string();
        let mut all = vec!["--api-listen", &port_text];
        all.extend(arguments);
        let service = Service::start(&database.url(), &all);
        let api = Api { service, port };
        api.wait().await;
        let token = token(&database, "anna", EVERYTHING, &[]).await;
        wait_until_leading(&database).await;
        Self { database, api, token }
    }

    fn client(&self) -> Client<'_> {
        Client::new(&self.api, &self.token)
    }

    async fn change(&self, reference: &str) {
        let sql = format!("update sale_order set client_order_ref = '{reference}' where id = 1");
        self.database.psql(&sql).await;
    }
}

/// Somebody who speaks MCP, in one of the eras.
struct Client<'a> {
    api: &'a Api,
    token: String,
    session: Option<String>,
}

impl<'a> Client<'a> {
    /// Of the new era.
    fn new(api: &'a Api, token: &str) -> Self {
        Self {
            api,
            token: token.to_owned(),
            session: None,
        }
    }

    /// Of the old era: he has a session.
    async fn with_session(api: &'a Api, token: &str) -> Self {
        let mut client = Self::new(api, token);
        let answer = client.initialize().await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let told = message(&answer.text);
        assert_eq!(told["result"]["protocolVersion"], OLD, "{told}");
        client.session = Some(answer.header("mcp-session-id").to_owned());
        let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(client.post(&ready).await.status, 202);
        client
    }

    async fn initialize(&self) -> Answer {
        let params = json!({
            "protocolVersion": OLD, "capabilities": {}, "clientInfo": {"name": "old-client", "version": "0.9"},
        });
        let message = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let accept = [("accept", "application/json, text/event-stream")];
        self.api
            .ask_with(&self.token, "POST", "/mcp", &accept, Some(message))
            .await
    }

    async fn post(&self, message: &Value) -> Answer {
        self.post_with(message, &[]).await
    }

    async fn post_with(&self, message: &Value, headers: &[(&str, &str)]) -> Answer {
        let mut all = vec![("accept", "application/json, text/event-stream")];
        let method = message["method"].as_str().unwrap_or_default().to_owned();
        let name = message["params"].get("name").or(message["params"].get("uri"));
        let name = name.and_then(Value::as_str).unwrap_or_default().to_owned();
        match &self.session {
            Some(session) => all.extend([("mcp-session-id", session.as_str()), ("mcp-protocol-version", OLD)]),
            None => {
                all.extend([("mcp-protocol-version", NEW), ("mcp-method", &method)]);
                if !name.is_empty() {
                    all.push(("mcp-name", &name));
                }
            }
        }
        all.extend(headers);
        self.api
            .ask_with(&self.token, "POST", "/mcp", &all, Some(message.clone()))
            .await
    }

    fn request(&self, method: &str, mut params: Value) -> Value {
        if self.session.is_none() {
            params["_meta"] = meta();
        }
        json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
    }

    /// Asks; the whole answer.
    async fn ask(&self, method: &str, params: Value) -> Value {
        let answer = self.post(&self.request(method, params)).await;
        message(&answer.text)
    }

    /// Asks; what came of it.
    async fn result(&self, method: &str, params: Value) -> Value {
        let answer = self.ask(method, params).await;
        answer.get("result").cloned().unwrap_or_else(|| panic!("{answer}"))
    }

    /// Calls a tool; its result, which may be an error for the model.
    async fn call(&self, tool: &str, arguments: Value) -> Value {
        self.result("tools/call", json!({"name": tool, "arguments": arguments}))
            .await
    }

    /// Calls a tool that does what it is for; the object that it answers.
    async fn done(&self, tool: &str, arguments: Value) -> Value {
        let result = self.call(tool, arguments).await;
        assert_ne!(result["isError"], true, "{result}");
        result["structuredContent"].clone()
    }

    /// Calls a tool that refuses; what it says.
    async fn refused(&self, tool: &str, arguments: Value) -> String {
        let result = self.call(tool, arguments).await;
        assert_eq!(result["isError"], true, "{result}");
        result["content"][0]["text"].as_str().unwrap().to_owned()
    }

    /// Subscribes to writes of an order's reference, for this session.
    async fn subscribed(&self) -> i64 {
        let wanted = json!({"model": "sale.order", "event_type": "write", "fields": ["client_order_ref"]});
        self.done("subscribe_events", wanted).await["subscription_id"]
            .as_i64()
            .unwrap()
    }
}

/// A stream as it comes.
struct Stream {
    socket: TcpStream,
    text: String,
}

impl Stream {
    /// What a session is told that it did not ask for.
    async fn of_session(client: &Client<'_>) -> Self {
        let session = client.session.as_deref().unwrap();
        let head = format!(
            "GET /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\naccept: text/event-stream\r\n\
             mcp-session-id: {session}\r\nmcp-protocol-version: {OLD}\r\n\r\n",
            client.token
        );
        Self::open(client.api, &head).await
    }

    /// `subscriptions/listen` of the new era.
    async fn listening(client: &Client<'_>, uris: &[String]) -> Self {
        let params = json!({"notifications": {"resourceSubscriptions": uris}});
        let body = client.request("subscriptions/listen", params).to_string();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\naccept: application/json, text/event-stream\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nmcp-protocol-version: {NEW}\r\nmcp-method: subscriptions/listen\r\n\r\n{body}",
            client.token,
            body.len()
        );
        Self::open(client.api, &head).await
    }

    async fn open(api: &Api, head: &str) -> Self {
        let mut socket = TcpStream::connect(("127.0.0.1", api.port)).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut stream = Self {
            socket,
            text: String::new(),
        };
        stream.until("\r\n\r\n").await;
        assert!(
            stream.text.starts_with("HTTP/1.1 200") && stream.text.contains("text/event-stream"),
            "{}",
            stream.text
        );
        stream
    }

    /// Reads until this text has come.
    async fn until(&mut self, text: &str) {
        let read = async {
            let mut buffer = vec![0; 4096];
            while !self.text.contains(text) {
                let length = self.socket.read(&mut buffer).await.unwrap();
                assert!(length > 0, "the stream ended: {}", self.text);
                self.text.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        };
        let read = tokio::time::timeout(SOON, read).await;
        read.unwrap_or_else(|_| panic!("{text} has not come"));
    }

    /// Forgets what has come, and reads until this text has.
    async fn next(&mut self, text: &str) {
        self.text.clear();
        self.until(text).await;
    }

    /// Reads to the end.
    async fn rest(mut self) -> String {
        let read = tokio::time::timeout(SOON, async {
            let mut rest = Vec::new();
            self.socket.read_to_end(&mut rest).await.unwrap();
            String::from_utf8_lossy(&rest).into_owned()
        });
        self.text + &read.await.expect("the stream does not end")
    }
}
