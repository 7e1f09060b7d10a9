//! What is signed here is verified by programs that know nothing of this one; where a program is missing, its test says so and passes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use odoo_eventd::signature::{DEFAULT_TOLERANCE, Message, Received, Secret, sign_body, sign_message, verify_message};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::support::program::run;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PLAIN: &str = "Grüße, ein ganz gewöhnliches Geheimnis";
const ID: &str = "0198f2a4-0f3e-7c11-8a77-1b2c3d4e5f60";
const AT: i64 = 1_700_000_000;
const BODY: &str = r#"{"model":"sale.order","record_ids":[1,2],"note":"Größe € \u0000"}"#;

fn signed(secret: &str) -> (String, String) {
    let secret = Secret::parse(secret).unwrap();
    let message = Message {
        id: ID,
        timestamp: AT,
        body: BODY.as_bytes(),
    };
    (sign_body(&secret, BODY.as_bytes()), sign_message(&[secret], message))
}

#[tokio::test]
async fn openssl_makes_the_same_body_signature() {
    for secret in [SECRET, PLAIN] {
        let Some(said) = run("openssl", &["dgst", "-sha256", "-hmac", secret], BODY.as_bytes()).await else {
            return;
        };
        let digest = said.rsplit(' ').next().unwrap();
        assert_eq!(signed(secret).0, format!("sha256={digest}"), "{secret}");
    }
}

#[tokio::test]
async fn openssl_makes_the_same_message_signature() {
    let key = format!(
        "hexkey:{}",
        hex::encode(BASE64_STANDARD.decode(&SECRET["whsec_".len()..]).unwrap())
    );
    let content = format!("{ID}.{AT}.{BODY}");
    let args = ["dgst", "-sha256", "-mac", "HMAC", "-macopt", &key];
    let Some(said) = run("openssl", &args, content.as_bytes()).await else {
        return;
    };
    let digest = said.rsplit(' ').next().unwrap();
    let encoded = BASE64_STANDARD.encode(hex::decode(digest).unwrap());
    assert_eq!(signed(SECRET).1, format!("v1,{encoded}"));
}

const PYTHON: &str = r#"
import base64, hashlib, hmac, sys
secret, id, timestamp, mcp, standard = sys.argv[1:]
body = sys.stdin.buffer.read()
digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
assert hmac.compare_digest("sha256=" + digest, mcp)
key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
content = f"{id}.{timestamp}.".encode() + body
expected = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
assert any(hmac.compare_digest(expected, one) for one in standard.split(" "))
print("valid")
"#;

#[tokio::test]
async fn python_accepts_both_signatures() {
    for secret in [SECRET, PLAIN] {
        let (body, message) = signed(secret);
        let args = ["-c", PYTHON, secret, ID, &AT.to_string(), &body, &message];
        let Some(said) = run("python3", &args, BODY.as_bytes()).await else {
            return;
        };
        assert_eq!(said, "valid");
    }
}

const NODE: &str = r#"
const { createHmac, timingSafeEqual } = require("node:crypto");
const [secret, id, timestamp, mcp, standard] = process.argv.slice(1);
const body = require("node:fs").readFileSync(0);
const equal = (a, b) => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
const digest = createHmac("sha256", secret).update(body).digest("hex");
if (!equal("sha256=" + digest, mcp)) throw new Error("X-MCP-Signature");
const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : secret;
const expected = "v1," + createHmac("sha256", key).update(`${id}.${timestamp}.`).update(body).digest("base64");
if (!standard.split(" ").some((one) => equal(expected, one))) throw new Error("webhook-signature");
console.log("valid");
"#;

#[tokio::test]
async fn node_accepts_both_signatures() {
    for secret in [SECRET, PLAIN] {
        let (body, message) = signed(secret);
        let args = ["-e", NODE, "--", secret, ID, &AT.to_string(), &body, &message];
        let Some(said) = run("node", &args, BODY.as_bytes()).await else {
            return;
        };
        assert_eq!(said, "valid");
    }
}

#[test]
fn the_official_library_accepts_what_is_sent_also_during_a_rotation() {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64;
    let secrets = [SECRET, PLAIN].map(|text| Secret::parse(text).unwrap());
    let signature = sign_message(
        &secrets,
        Message {
            id: ID,
            timestamp: now,
            body: BODY.as_bytes(),
        },
    );
    let headers = HeaderMap::from_iter(
        [
            ("webhook-id", ID.to_owned()),
            ("webhook-timestamp", now.to_string()),
            ("webhook-signature", signature),
        ]
        .map(|(name, value)| (HeaderName::from_static(name), value.parse::<HeaderValue>().unwrap())),
    );
    // A secret without the prefix is handed to it as the documentation says: prefixed, in base64.
    for secret in [SECRET.to_owned(), format!("whsec_{}", BASE64_STANDARD.encode(PLAIN))] {
        let official = standardwebhooks::Webhook::new(&secret).unwrap();
        official.verify(BODY.as_bytes(), &headers).unwrap();
        assert!(official.verify(b"{}", &headers).is_err());
    }
    assert!(
        standardwebhooks::Webhook::new("whsec_b3RoZXI=")
            .unwrap()
            .verify(BODY.as_bytes(), &headers)
            .is_err()
    );
}

#[test]
fn what_the_official_library_signs_is_accepted() {
    let signature = standardwebhooks::Webhook::new(SECRET)
        .unwrap()
        .sign(ID, AT, BODY.as_bytes())
        .unwrap();
    let received = Received {
        id: ID,
        timestamp: &AT.to_string(),
        signature: &signature,
    };
    let secrets = [Secret::parse(SECRET).unwrap()];
    verify_message(&secrets, received, BODY.as_bytes(), AT, DEFAULT_TOLERANCE).unwrap();
}
