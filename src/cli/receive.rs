//! `odoo-eventd receive`: shows what arrives.

use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hyper::StatusCode;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::secret::SecretArgs;
use crate::http::receiver::{Check, Received, Receiver, ReceiverConfig};
use crate::{Error, Result};

/// The port when none is given.
pub const DEFAULT_PORT: u16 = 8787;

/// The arguments of `receive`.
#[derive(Debug, clap::Args)]
pub struct ReceiveArgs {
    /// The port to listen at; 0 takes a free one
    #[arg(long, default_value_t = DEFAULT_PORT)]
    pub port: u16,

    /// The address to listen at
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: IpAddr,

    /// What to answer instead of 200 (401 when a signature is wrong)
    #[arg(long, value_name = "CODE", value_parser = parse_status)]
    pub status: Option<StatusCode>,

    /// How long to wait before answering
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    pub delay_ms: u64,

    /// Print each delivery as one line of JSON
    #[arg(long)]
    pub json: bool,

    /// The secret.
    #[command(flatten)]
    pub secret: SecretArgs,
}

/// Listens and prints until Ctrl-C, SIGTERM, or nobody reads what is printed.
///
/// Deliveries go to standard output, everything else to standard error; the URL is told before the first delivery can arrive.
///
/// # Errors
/// A secret that cannot be a key, an address that cannot be listened at, or output that cannot be written.
pub async fn receive(args: &ReceiveArgs) -> Result<()> {
    let config = ReceiverConfig {
        bind: SocketAddr::new(args.host, args.port),
        secrets: args.secret.read()?,
        status: args.status,
        delay: Duration::from_millis(args.delay_ms),
    };
    let checking = if config.secrets.is_empty() {
        "signatures are not checked: no secret is given"
    } else {
        "checking signatures"
    };
    let (on_delivery, mut deliveries) = mpsc::channel(64);
    let receiver = Receiver::start(config, on_delivery).await?;
    let told = writeln!(
        io::stderr(),
        "listening at {} ({checking}); Ctrl-C stops",
        receiver.url()
    );
    told.map_err(cannot_write)?;

    let style = Style::of(&io::stdout());
    let mut stop = std::pin::pin!(stopped());
    loop {
        let received = tokio::select! {
            Some(received) = deliveries.recv() => received,
            () = &mut stop => return Ok(()),
        };
        let shown = if args.json {
            to_json_line(&received)
        } else {
            render(&received, style)
        };
        let mut out = io::stdout().lock();
        match out.write_all(shown.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => {}
            // `odoo-eventd receive | head -1` has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(cannot_write(error)),
        }
    }
}

fn cannot_write(error: io::Error) -> Error {
    Error::other("cannot write the deliveries").with_source(error)
}

/// Ends when the process is asked to stop.
pub(super) async fn stopped() {
    let interrupt = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! { _ = interrupt => {}, _ = terminate.recv() => {} }
            return;
        }
    }
    let _ = interrupt.await;
}

fn parse_status(text: &str) -> Result<StatusCode, String> {
    match text.parse() {
        Ok(code @ 200..=599) => StatusCode::from_u16(code).map_err(|error| error.to_string()),
        _ => Err("a status lies between 200 and 599".into()),
    }
}

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For people at a terminal.
    Coloured,
    /// For files and programs, and where `NO_COLOR` is set.
    Plain,
}

impl Style {
    /// Colours only on a terminal whose user has not set `NO_COLOR`. Source: no-color.org.
    #[must_use]
    pub fn of(out: &impl IsTerminal) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if out.is_terminal() && !unwanted {
            Self::Coloured
        } else {
            Self::Plain
        }
    }

    pub(super) fn paint(self, code: &str, text: &str) -> String {
        match self {
            Self::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.into(),
        }
    }
}

/// One delivery for people: a line that says what and whether it is to be trusted, then the body.
///
/// What arrives is not trusted to be shown as it is: control characters are written out, so nothing can move the cursor or
/// set a terminal's title.
#[must_use]
pub fn render(received: &Received, style: Style) -> String {
    let at =
        Timestamp::try_from(received.at).map_or_else(|_| String::new(), |at| at.strftime("%H:%M:%S.%3f ").to_string());
    let event = received.header("x-mcp-event").unwrap_or("(no X-MCP-Event)");
    let id = received
        .header("webhook-id")
        .or(received.header("x-mcp-delivery-id"))
        .unwrap_or("(no webhook-id)");
    let again = if received.repeated {
        style.paint("33", "  seen before")
    } else {
        String::new()
    };
    let head = format!("{} {} ", received.method, received.path);
    format!(
        "{}{}{}  delivery {}  {}  {}{again}\n{}\n",
        style.paint("2", &at),
        visible(&head),
        style.paint("1", &visible(event)),
        visible(id),
        render_check("X-MCP-Signature", received.body_signature, style),
        render_check("webhook-signature", received.message_signature, style),
        indent(&render_body(&received.body)),
    )
}

fn render_check(name: &str, check: Check, style: Style) -> String {
    match check {
        Check::Valid => style.paint("32", &format!("{name} valid")),
        Check::Absent => style.paint("2", &format!("no {name}")),
        Check::NotChecked => style.paint("2", &format!("{name} not checked")),
        Check::Invalid(error) => style.paint("31", &format!("{name} WRONG: {error}")),
    }
}

pub(super) fn render_body(body: &[u8]) -> String {
    let pretty = serde_json::from_slice::<Box<serde_json::value::RawValue>>(body)
        .ok()
        // Through a `Value` the keys would be sorted and large numbers rounded; the text keeps both.
        .map(|raw| pretty_json(raw.get()));
    pretty.unwrap_or_else(|| visible(&String::from_utf8_lossy(body)))
}

/// Breaks valid JSON text into lines, changing nothing else: order, numbers and escapes stay as they were sent.
///
/// Short lists of plain values stay on one line: ids are read side by side.
fn pretty_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        match c {
            '"' => {
                length = string_length(rest);
                out.extend(rest[..length].chars().filter(|c| !c.is_control()));
            }
            '{' | '[' => match short_length(rest) {
                Some(whole) => {
                    length = whole;
                    flatten(&rest[..whole], &mut out);
                }
                None => {
                    out.push(c);
                    depth += 1;
                    line(&mut out, depth);
                }
            },
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_whitespace() => {}
            c => out.push(c),
        }
        rest = &rest[length..];
    }
    out
}

/// The length of the string literal that `text` begins with, in bytes.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().enumerate().skip(1).find(|&(_, byte)| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// The length of the list or object that `text` begins with, if it fits on a line and nothing is nested in it; objects only when empty.
fn short_length(text: &str) -> Option<usize> {
    const LINE_BYTES: usize = 100;
    let is_list = text.starts_with('[');
    let mut at = 1;
    while at < text.len().min(LINE_BYTES) {
        match text.as_bytes()[at] {
            b']' | b'}' => return Some(at + 1),
            b'[' | b'{' => return None,
            b'"' => at += string_length(&text[at..]),
            byte if is_list || byte.is_ascii_whitespace() => at += 1,
            _ => return None,
        }
        if !is_list && !matches!(text.as_bytes().get(at), Some(byte) if byte.is_ascii_whitespace() || *byte == b'}') {
            return None;
        }
    }
    None
}

/// Writes a list without line breaks, a space after each comma.
fn flatten(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if c == '"' { string_length(rest) } else { c.len_utf8() };
        match c {
            ',' => out.push_str(", "),
            c if c.is_whitespace() => {}
            _ => out.extend(rest[..length].chars().filter(|c| !c.is_control())),
        }
        rest = &rest[length..];
    }
}

/// Starts a line. Deeper than 32 levels is no deeper to the eye, and a million brackets must not print a million spaces each.
fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth.min(32)));
}

pub(super) fn indent(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' {
            shown.extend(c.escape_default())
        } else {
            shown.push(c)
        }
    }
    shown
}

/// One delivery for programs. A body that is not JSON becomes a string.
fn to_json_line(received: &Received) -> String {
    let body = serde_json::from_slice(&received.body)
        .unwrap_or_else(|_| serde_json::Value::String(String::from_utf8_lossy(&received.body).into_owned()));
    let headers: serde_json::Map<_, _> = received
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let at = Timestamp::try_from(received.at).map_or(serde_json::Value::Null, |at| format!("{at:.6}").into());
    let line = serde_json::json!({
        "at": at,
        "method": received.method,
        "path": received.path,
        "headers": headers,
        "verified": received.is_verified(),
        "repeated": received.repeated,
        "body": body,
    });
    format!("{line}\n")
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::signature::VerifyError;

    fn received(body: &str) -> Received {
        Received {
            at: UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
            method: "POST".into(),
            path: "/hook".into(),
            headers: vec![
                ("x-mcp-event".into(), "sale.order.write".into()),
                ("webhook-id".into(), "0198".into()),
            ],
            body: body.to_owned().into(),
            body_signature: Check::Valid,
            message_signature: Check::Absent,
            repeated: false,
        }
    }

    #[test]
    fn a_delivery_reads_well_without_colours() {
        let shown = render(&received(r#"{"b":[1,2],"a":{},"c":"x\",{"}"#), Style::Plain);
        assert_eq!(
            shown,
            "22:13:20.123 POST /hook sale.order.write  delivery 0198  X-MCP-Signature valid  no webhook-signature\n\
             \x20   {\n      \"b\": [1, 2],\n      \"a\": {},\n      \"c\": \"x\\\",{\"\n    }\n\n"
        );
        assert!(render(&received("{}"), Style::Coloured).contains("\x1b[32mX-MCP-Signature valid\x1b[0m"));
    }

    #[test]
    fn json_is_only_broken_into_lines() {
        for (text, shown) in [
            ("{}", "{}"),
            ("[ ]", "[]"),
            ("12.50", "12.50"),
            (r#"{"a" : 1.0}"#, "{\n  \"a\": 1.0\n}"),
            (r#"{"a":["x,]\"",-1, null]}"#, "{\n  \"a\": [\"x,]\\\"\", -1, null]\n}"),
            (r#"[[1],{"a":{}}]"#, "[\n  [1],\n  {\n    \"a\": {}\n  }\n]"),
        ] {
            assert_eq!(pretty_json(text), shown, "{text}");
        }
        let long = format!("[{}1]", "1,".repeat(100));
        assert_eq!(pretty_json(&long).lines().count(), 103);
    }

    #[test]
    fn a_wrong_signature_stands_out_and_a_repetition_is_named() {
        let wrong = Received {
            body_signature: Check::Invalid(VerifyError::Mismatch),
            message_signature: Check::NotChecked,
            repeated: true,
            ..received("{}")
        };
        let shown = render(&wrong, Style::Plain);
        assert!(
            shown.contains("X-MCP-Signature WRONG: the signature does not match"),
            "{shown}"
        );
        assert!(shown.contains("webhook-signature not checked  seen before"), "{shown}");
        assert!(!wrong.is_verified());
    }

    #[test]
    fn nothing_received_can_command_the_terminal() {
        let mut hostile = received("\x1b]0;title\x07 not json");
        hostile.path = "/\x1b[2J".into();
        hostile.headers[0].1 = "\u{9b}31m".into();
        let shown = render(&hostile, Style::Plain);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        assert!(shown.contains("\\u{1b}]0;title"), "{shown}");
        assert!(!render(&received("[\"\u{9b}31m\"]"), Style::Plain).contains('\u{9b}'));
    }

    #[test]
    fn json_lines_can_be_read_back() {
        let line = to_json_line(&received("not json"));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["body"], "not json");
        assert_eq!(value["at"], "2023-11-14T22:13:20.123000Z");
        assert_eq!(value["verified"], true);
    }

    #[test]
    fn only_final_statuses_can_be_answered() {
        assert_eq!(parse_status("503"), Ok(StatusCode::SERVICE_UNAVAILABLE));
        assert!(parse_status("100").is_err() && parse_status("x").is_err());
    }
}
