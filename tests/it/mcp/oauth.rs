//! Tokens of another server, which this one only believes: who is let in, and what clients are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use super::{Client, Home};
use crate::support::receiver::{Receiver, Reply};

/// What tokens have to be meant for.
const AUDIENCE: &str = "https://odoo.example.com/mcp";

/// A server that gives tokens.
struct Issuer {
    receiver: Receiver,
    key: Arc<AtomicU64>,
    is_away: Arc<AtomicBool>,
}

/// The key of a generation.
fn key(generation: u64) -> Ed25519KeyPair {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&generation.to_be_bytes());
    Ed25519KeyPair::from_seed_unchecked(&seed).unwrap()
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

impl Issuer {
    async fn start() -> Self {
        let (generation, is_away) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicBool::new(false)));
        let (published, away) = (Arc::clone(&generation), Arc::clone(&is_away));
        let receiver = Receiver::answering(move |_| {
            if away.load(Ordering::SeqCst) {
                return Reply::status(500);
            }
            let generation = published.load(Ordering::SeqCst);
            let x = URL_SAFE_NO_PAD.encode(key(generation).public_key().as_ref());
            let jwk = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": generation.to_string(), "x": x});
            Reply::status(200).body(json!({"keys": [jwk]}).to_string())
        })
        .await;
        Self {
            receiver,
            key: generation,
            is_away,
        }
    }

    fn url(&self) -> String {
        self.receiver.url("/").trim_end_matches('/').to_owned()
    }

    async fn home(&self) -> Home {
        let (issuer, jwks) = (self.url(), self.receiver.url("/jwks"));
        Home::with(&[
            "--mcp-oauth-issuer",
            &issuer,
            "--mcp-oauth-jwks-url",
            &jwks,
            "--mcp-oauth-audience",
            AUDIENCE,
        ])
        .await
    }

    /// A token with these claims in the place of right ones; null takes one away.
    fn token(&self, claims: Value) -> String {
        let mut all = json!({
            "iss": self.url(), "aud": AUDIENCE, "sub": "2", "exp": now() + 300, "iat": now(),
            "scope": "subscriptions:read subscriptions:write events:read",
        });
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let generation = self.key.load(Ordering::SeqCst);
        self.signed(
            &json!({"alg": "EdDSA", "typ": "at+jwt", "kid": generation.to_string()}),
            &all,
        )
    }

    fn signed(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let generation = self.key.load(Ordering::SeqCst);
        let signature = URL_SAFE_NO_PAD.encode(key(generation).sign(message.as_bytes()).as_ref());
        format!("{message}.{signature}")
    }
}

async fn status(home: &Home, token: &str) -> (u16, String) {
    let client = Client::new(&home.api, token);
    let answer = client.post(&client.request("tools/list", json!({}))).await;
    (answer.status.as_u16(), answer.header("www-authenticate").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_token_lets_an_odoo_user_in_and_his_is_his_by_whatever_door() {
    let issuer = Issuer::start().await;
    let home = issuer.home().await;
    let client = Client::new(&home.api, &issuer.token(json!({})));
    let id = client.subscribed().await;
    let kept = home
        .database
        .psql("select user_id || ' ' || connection from mcp_event_subscription")
        .await;
    assert_eq!(kept.trim(), "2 oauth:2 / a-client 1.2");
    let own = crate::api::token(&home.database, "own", crate::api::EVERYTHING, &["--user", "2"]).await;
    let listed = Client::new(&home.api, &own).done("list_subscriptions", json!({})).await;
    assert_eq!(listed["subscriptions"][0]["subscription_id"], id);
    let stranger = home.client().done("list_subscriptions", json!({})).await;
    assert_eq!(stranger["subscriptions"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_refused_with_the_right_header() {
    let issuer = Issuer::start().await;
    let home = issuer.home().await;
    for wrong in [
        json!({"aud": "https://other.example.com"}),
        json!({"aud": null}),
        json!({"iss": "https://other.example.com"}),
        json!({"iss": null}),
        json!({"exp": now() - 300}),
        json!({"exp": null}),
        json!({"nbf": now() + 300}),
        json!({"sub": null}),
    ] {
        let (status, challenge) = status(&home, &issuer.token(wrong.clone())).await;
        assert_eq!(status, 401, "{wrong}");
        assert!(
            challenge.contains("error=\"invalid_token\"") && challenge.contains("resource_metadata=\"http"),
            "{challenge}"
        );
    }
    // A little late is not too late: clocks differ.
    assert_eq!(status(&home, &issuer.token(json!({"exp": now() - 20}))).await.0, 200);
    let claims = json!({"iss": issuer.url(), "aud": AUDIENCE, "sub": "2", "exp": now() + 300, "scope": "events:read"});
    for header in [
        json!({"alg": "none"}),
        json!({"alg": "HS256", "kid": "1"}),
        json!({"alg": "RS256", "kid": "1"}),
        json!({"alg": "EdDSA", "kid": "of somebody else"}),
    ] {
        let (status, _) = status(&home, &issuer.signed(&header, &claims)).await;
        assert_eq!(status, 401, "{header}");
    }
    let right = issuer.token(json!({}));
    let forged = format!(
        "{}.{}",
        right.rsplit_once('.').unwrap().0,
        URL_SAFE_NO_PAD.encode([1; 64])
    );
    assert_eq!(status(&home, &forged).await.0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_do_it_is_told_which_scope_would_let_him() {
    let issuer = Issuer::start().await;
    let home = issuer.home().await;
    let reader = Client::new(&home.api, &issuer.token(json!({"scope": "openid events:read"})));
    let params = json!({"name": "subscribe_events", "arguments": {"model": "sale.order"}});
    let answer = reader.post(&reader.request("tools/call", params)).await;
    assert_eq!(answer.status, 403, "{}", answer.text);
    let challenge = answer.header("www-authenticate");
    assert!(
        challenge.contains("error=\"insufficient_scope\"") && challenge.contains("scope=\"subscriptions:write\""),
        "{challenge}"
    );
    for nothing in [
        json!({"scope": "openid profile"}),
        json!({"scope": null}),
        json!({"scope": "admin"}),
        json!({"sub": "nobody"}),
    ] {
        let (status, challenge) = status(&home, &issuer.token(nothing.clone())).await;
        assert_eq!(status, 403, "{nothing}");
        assert!(challenge.contains("insufficient_scope"), "{challenge}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_fetched_and_where_that_fails_nobody_comes_in() {
    let issuer = Issuer::start().await;
    issuer.is_away.store(true, Ordering::SeqCst);
    let home = issuer.home().await;
    let (away, _) = status(&home, &issuer.token(json!({}))).await;
    assert_eq!(away, 503);
    assert_eq!(
        home.client().result("tools/list", json!({})).await["tools"][0]["name"],
        "subscribe_events"
    );
    issuer.is_away.store(false, Ordering::SeqCst);
    for generation in [1, 2] {
        issuer.key.store(generation, Ordering::SeqCst);
        crate::support::eventually("the key to be read", crate::support::service::SOON, async || {
            (status(&home, &issuer.token(json!({}))).await.0 == 200).then_some(())
        })
        .await;
    }
    let (_, log) = home.api.service.terminate().await;
    assert!(log.contains("mcp.oauth_jwks_url cannot be read"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_learn_who_gives_tokens_without_one() {
    let issuer = Issuer::start().await;
    let home = issuer.home().await;
    for path in ["", "/mcp"] {
        let path = format!("/.well-known/oauth-protected-resource{path}");
        let answer = home.api.ask("", "GET", &path, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let metadata = answer.json();
        assert_eq!(metadata["authorization_servers"], json!([issuer.url()]));
        assert_eq!(metadata["resource"], "http://localhost/mcp");
        assert!(
            metadata["scopes_supported"]
                .as_array()
                .unwrap()
                .contains(&json!("events:read"))
        );
    }
}
