//! The documents' snippets for verifying a signature, run as they are printed, on requests that were really sent. A language that is not
//! installed is skipped with a word.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use odoo_eventd::signature::{Message, Secret, sign_body, sign_message};
use tokio::process::Command;

use crate::support::Database;
use crate::support::delivery::subscribe;
use crate::support::receiver::{Receiver, Recorded};
use crate::support::service::{SOON, Service, eventd_ok};

const README: &str = include_str!("../../README.md");
const RECEIVERS: &str = include_str!("../../.packaging/RECEIVERS.md");
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PLAIN: &str = "Grüße, ein ganz gewöhnliches Geheimnis";

/// The one block of this language in a page's section on signatures.
fn snippet_of(page: &'static str, language: &str) -> &'static str {
    let section = page.split("## Verify a signature").nth(1).expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    let opening = format!("```{language}\n");
    let mut blocks = section
        .split(opening.as_str())
        .skip(1)
        .map(|rest| rest.split("```").next().expect("its end"));
    let block = blocks.next().unwrap_or_else(|| panic!("no {language}"));
    assert_eq!(blocks.next(), None, "two of {language}");
    block
}

/// The block of this language on the page for receivers, which has all of them.
fn snippet(language: &str) -> &'static str {
    snippet_of(RECEIVERS, language)
}

#[test]
fn the_readme_shows_a_snippet_of_the_page_for_receivers() {
    assert_eq!(snippet_of(README, "python"), snippet("python"));
}

/// A request to judge, and whether it is good.
struct Question {
    what: &'static str,
    secret: &'static str,
    id: String,
    timestamp: String,
    signature: String,
    mcp: String,
    body: Vec<u8>,
    good: bool,
    /// Whether the header without a time is good.
    mcp_good: bool,
}

fn questions(sent: &Recorded, secret: &'static str, old: &str) -> Vec<Question> {
    let header = |name: &str| sent.header(name).unwrap().to_owned();
    let real = |what| Question {
        what,
        secret,
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
        mcp: header("x-mcp-signature"),
        body: sent.body.clone(),
        good: false,
        mcp_good: false,
    };
    let signing = [secret, old].map(|text| Secret::parse(text).unwrap());
    let signed = |timestamp: i64, secrets: &[Secret]| {
        let id = &header("webhook-id");
        let body = &sent.body;
        sign_message(secrets, Message { id, timestamp, body })
    };
    let sent_at: i64 = header("webhook-timestamp").parse().unwrap();
    let mut altered = sent.body.clone();
    altered[2] ^= 1;
    vec![
        Question {
            good: true,
            mcp_good: true,
            ..real("as it was sent")
        },
        Question {
            good: true,
            mcp_good: true,
            signature: signed(sent_at, &signing),
            ..real("during a rotation, the first of two fits")
        },
        Question {
            good: true,
            mcp_good: false,
            signature: signed(sent_at, &[signing[1].clone(), signing[0].clone()]),
            mcp: sign_body(&signing[1], &sent.body),
            ..real("during a rotation, the second of two fits")
        },
        Question {
            body: altered,
            ..real("another body")
        },
        Question {
            body: [sent.body.as_slice(), b"\n"].concat(),
            ..real("a line break too much")
        },
        Question {
            mcp_good: true,
            id: "0198f2a4-0f3e-7c11-8a77-1b2c3d4e5f60".to_owned(),
            ..real("another id")
        },
        Question {
            mcp_good: true,
            timestamp: (sent_at + 1).to_string(),
            ..real("another time")
        },
        Question {
            mcp_good: true,
            timestamp: (sent_at - 3_600).to_string(),
            signature: signed(sent_at - 3_600, &signing[..1]),
            ..real("an hour old")
        },
        Question {
            secret: "whsec_b3RoZXI=",
            ..real("another secret")
        },
        Question {
            signature: "v1,".to_owned(),
            mcp: "sha256=".to_owned(),
            ..real("empty signatures")
        },
    ]
}

/// A directory of this test's own.
struct Workshop(PathBuf);

impl Workshop {
    fn new(language: &str) -> Self {
        let path = std::env::temp_dir().join(format!("odoo-eventd-readme-{}-{language}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Has a program judge every question; it ends with 0 for good and 3 for bad, so that a crash is neither.
async fn judge(workshop: &Workshop, command: &[&str], questions: &[Question], by_time: bool) {
    for question in questions {
        workshop.write("body", &question.body);
        let (program, arguments) = command.split_first().unwrap();
        let output = Command::new(program)
            .args(arguments)
            .current_dir(&workshop.0)
            .env("SECRET", question.secret)
            .env("WEBHOOK_ID", &question.id)
            .env("WEBHOOK_TIMESTAMP", &question.timestamp)
            .env("WEBHOOK_SIGNATURE", &question.signature)
            .env("X_MCP_SIGNATURE", &question.mcp)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let good = if by_time { question.good } else { question.mcp_good };
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(if good { 0 } else { 3 }),
            "{program}, {}: {said}",
            question.what
        );
    }
}

/// Whether it can be run here; says so if not.
async fn is_there(program: &str, version: &str) -> bool {
    let found = Command::new(program)
        .arg(version)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await;
    let found = found.is_ok_and(|status| status.success());
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// A request that the service sent.
async fn sent_by_the_service(secret: &str) -> Recorded {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let url = receiver.url("/");
    subscribe(&database, "res.partner", &url, &["--secret", secret]).await;
    let service = Service::leading(&database).await;
    database
        .psql("update res_partner set phone = 'Größe €' where id = 1")
        .await;
    let request = receiver.wait_for(1, SOON).await.remove(0);
    service.terminate().await;
    request
}

const PYTHON: &str = r#"
import os, sys
headers = {"webhook-" + name: os.environ["WEBHOOK_" + name.upper()] for name in ("id", "timestamp", "signature")}
sys.exit(0 if verify(os.environ["SECRET"], headers, open("body", "rb").read()) else 3)
"#;

const NODE: &str = r#"
const headers = Object.fromEntries(["id", "timestamp", "signature"].map((n) => ["webhook-" + n, process.env["WEBHOOK_" + n.toUpperCase()]]));
process.exit(verify(process.env.SECRET, headers, require("node:fs").readFileSync("body")) ? 0 : 3);
"#;

const PHP: &str = r#"
$headers = [];
foreach (["id", "timestamp", "signature"] as $name) $headers["webhook-$name"] = getenv("WEBHOOK_" . strtoupper($name));
exit(verify(getenv("SECRET"), $headers, file_get_contents("body")) ? 0 : 3);
"#;

const RUBY: &str = r#"
headers = %w[id timestamp signature].to_h { |name| ["webhook-#{name}", ENV["WEBHOOK_#{name.upcase}"]] }
exit(verify(ENV["SECRET"], headers, File.binread("body")) ? 0 : 3)
"#;

const GO: &str = r#"
func main() {
	body, err := os.ReadFile("body")
	if err != nil {
		os.Exit(4)
	}
	headers := http.Header{}
	for _, name := range []string{"ID", "TIMESTAMP", "SIGNATURE"} {
		headers.Set("webhook-"+name, os.Getenv("WEBHOOK_"+name))
	}
	if !Verify(os.Getenv("SECRET"), headers, body) {
		os.Exit(3)
	}
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_snippets_accept_what_is_sent_and_refuse_what_was_altered() {
    let mut asked = Vec::new();
    for (secret, old) in [(SECRET, PLAIN), (PLAIN, SECRET)] {
        asked.extend(questions(&sent_by_the_service(secret).await, secret, old));
    }
    let run = async |language: &str, program: &str, version: &str, file: &str, text: String| {
        let workshop = Workshop::new(language);
        workshop.write(file, text);
        if is_there(program, version).await {
            judge(&workshop, &[program, file], &asked, true).await;
        }
    };
    run(
        "python",
        "python3",
        "--version",
        "verify.py",
        format!("{}{PYTHON}", snippet("python")),
    )
    .await;
    run(
        "js",
        "node",
        "--version",
        "verify.cjs",
        format!("{}{NODE}", snippet("js")),
    )
    .await;
    run(
        "php",
        "php",
        "--version",
        "verify.php",
        format!("<?php\n{}{PHP}", snippet("php")),
    )
    .await;
    run(
        "ruby",
        "ruby",
        "--version",
        "verify.rb",
        format!("{}{RUBY}", snippet("ruby")),
    )
    .await;
    go(&asked).await;
    let workshop = Workshop::new("sh");
    if is_there("openssl", "version").await {
        let script = workshop.write("verify.sh", format!("{} || exit 3\n", snippet("sh").trim_end()));
        judge(&workshop, &["sh", script.to_str().unwrap()], &asked, false).await;
    }
}

async fn go(asked: &[Question]) {
    let workshop = Workshop::new("go");
    let program = snippet("go")
        .replace("package webhook", "package main")
        .replace("\t\"net/http\"\n", "\t\"net/http\"\n\t\"os\"\n");
    workshop.write("main.go", program + GO);
    workshop.write("go.mod", "module verify\n\ngo 1.19\n");
    if !is_there("go", "version").await {
        return;
    }
    let mut build = Command::new("go");
    build
        .args(["build", "-o", "verify", "."])
        .current_dir(&workshop.0)
        .env("GOFLAGS", "-mod=mod");
    let built = tokio::time::timeout(Duration::from_secs(300), build.output())
        .await
        .unwrap()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let binary = Path::new(&workshop.0).join("verify");
    judge(&workshop, &[binary.to_str().unwrap()], asked, true).await;
}
