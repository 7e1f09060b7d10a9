//! MCP on standard input and output: one client, which starts the program.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use odoo_eventd::demo::scratch::Scratch;

use super::{Home, OLD};
use crate::support::service::{SOON, eventd, eventd_ok, program};

/// The program, as a client has it.
struct Spoken {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Spoken {
    async fn start(home: &Home, arguments: &[&str]) -> Self {
        let mut child = program()
            .args(["--database-url", &home.database.url(), "mcp"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut spoken = Self { child, input, output };
        let params =
            json!({"protocolVersion": OLD, "capabilities": {}, "clientInfo": {"name": "desktop", "version": "3"}});
        let told = spoken.ask("initialize", params).await;
        assert_eq!(told["result"]["serverInfo"]["name"], "odoo-eventd", "{told}");
        spoken
            .say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}))
            .await;
        spoken
    }

    async fn say(&mut self, message: &Value) {
        self.input.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    /// The next message that fits.
    async fn hear(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        let heard = async {
            loop {
                let line = self.output.next_line().await.unwrap().expect("it has ended");
                let message: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no message: {line}"));
                if fits(&message) {
                    return message;
                }
            }
        };
        tokio::time::timeout(SOON, heard).await.expect("nothing was said")
    }

    async fn ask(&mut self, method: &str, params: Value) -> Value {
        self.say(&json!({"jsonrpc": "2.0", "id": method, "method": method, "params": params}))
            .await;
        self.hear(|message| message["id"] == method).await
    }

    async fn done(&mut self, tool: &str, arguments: Value) -> Value {
        let told = self
            .ask("tools/call", json!({"name": tool, "arguments": arguments}))
            .await;
        assert_ne!(told["result"]["isError"], true, "{told}");
        told["result"]["structuredContent"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_on_this_machine_subscribes_and_is_told() {
    let home = Home::new().await;
    let scratch = Scratch::new(None).unwrap();
    let file = scratch.write("token", &home.token).unwrap();
    let mut spoken = Spoken::start(&home, &["--token-file", file.to_str().unwrap()]).await;
    let wanted = json!({"model": "sale.order", "event_type": "write", "fields": ["client_order_ref"]});
    let told = spoken.done("subscribe_events", wanted).await;
    spoken
        .ask("resources/subscribe", json!({"uri": told["resource_uri"]}))
        .await;
    home.change("by somebody").await;
    let updated = spoken
        .hear(|message| message["method"] == "notifications/resources/updated")
        .await;
    assert_eq!(updated["params"]["uri"], told["resource_uri"]);
    let page = spoken
        .done("poll_events", json!({"subscription_id": told["subscription_id"]}))
        .await;
    assert_eq!(page["events"].as_array().unwrap().len(), 1);
    let kept = home
        .database
        .psql("select connection from mcp_event_subscription")
        .await;
    assert_eq!(kept.trim(), "anna / desktop 3");
    // Its client closes its end, and it goes.
    drop(spoken.input);
    let ended = tokio::time::timeout(SOON, spoken.child.wait()).await.unwrap().unwrap();
    assert!(ended.success(), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_databases_own_login_acts_for_the_user_that_is_named() {
    let home = Home::new().await;
    let mut spoken = Spoken::start(&home, &["--user", "2"]).await;
    spoken.done("subscribe_events", json!({"model": "sale.order"})).await;
    let kept = home
        .database
        .psql("select user_id || ' ' || created_from || ' ' || connection from mcp_event_subscription")
        .await;
    assert_eq!(kept.trim(), "2 ai desktop 3");
    for (arguments, said) in [
        (&["mcp", "--user", "nobody"][..], "no Odoo user"),
        (&["mcp", "--token-file", "/nowhere"][..], "cannot read the token"),
        (&["mcp"][..], "--user"),
    ] {
        let refused = eventd(&home.database.url(), arguments).await;
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && told.contains(said), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_revoked_ends_it() {
    let home = Home::new().await;
    let scratch = Scratch::new(None).unwrap();
    let file = scratch.write("token", &home.token).unwrap();
    let mut spoken = Spoken::start(&home, &["--token-file", file.to_str().unwrap()]).await;
    eventd_ok(&home.database.url(), &["token", "revoke", "1"]).await;
    let ended = tokio::time::timeout(SOON, spoken.child.wait()).await.unwrap().unwrap();
    assert!(!ended.success());
}
